package compare

import (
	"bytes"
	"slices"
	"strings"

	"parallax/internal/body"
)

// walker compares two JSON documents, the same way every time.
type walker struct {
	p, c    *body.Tree
	find    *finder
	asks    *asks
	asserts bool      // rules ask something of equal values too
	docP    *body.Doc // the documents as filters look at them, nil without filters
	docC    *body.Doc
	goneP   map[int32]gone // nodes of the primary's document that are compared elsewhere
	goneC   map[int32]gone
	way     []level // from the roots to what is compared now
	at      place   // the way written as a place, where somebody asks
	meter   *meter  // of the finder
	probes  *int    // pairs of elements that may still be tried, nil outside of sets
}

// level is one step of the way down: the nodes it leads to, -1 where there is
// none, and which of how many elements it is; index is -1 for members. A step is
// given where the nodes do not tell it.
type level struct {
	p, c, index, of int32
	step            *body.Step
}

func atMember(p, c int32) level { return level{p: p, c: c, index: -1} }

func atElement(p, c int32, e *element) level { return level{p: p, c: c, index: e.index, of: e.of} }

// walk compares two documents and gives every difference to the finder.
func walk(p, c *body.Tree, find *finder) {
	w := newWalker(find.open(p), find.open(c), find)
	w.value(0, 0)
	w.expectPaths()
	w.countLooks()
}

// countLooks counts what the filters have looked at.
func (w *walker) countLooks() {
	if w.docP != nil {
		w.meter.step((w.docP.Looked() + w.docC.Looked()) / looksPerStep)
	}
}

func newWalker(p, c *body.Tree, find *finder) *walker {
	find.p, find.c = p, c
	if find.meter == nil {
		find.meter = find.allow(p.Source, c.Source)
	}
	w := &walker{p: p, c: c, find: find, asks: find.asks(), asserts: find.assertsAt(placeJSON), at: place{kind: placeJSON}, meter: find.meter}
	if w.asks.filters {
		w.docP, w.docC = body.NewDoc(p), body.NewDoc(c)
	}
	return w
}

// here writes the way as a place. It is valid until the next call.
func (w *walker) here() *place {
	w.at.steps, w.at.nodes = w.at.steps[:0], w.at.nodes[:0]
	w.meter.step(1 + len(w.way)/levelsPerStep)
	for _, l := range w.way {
		s := body.Step{Element: true, Index: int(l.index), Len: int(l.of), Implied: w.p.Lax}
		if l.step != nil {
			s = *l.step
		} else if l.index < 0 {
			s = body.Step{Name: string(w.name(l))}
		}
		if w.docP != nil {
			s.Doc, s.Node = w.docP, l.p
			if l.p < 0 {
				s.Doc, s.Node = w.docC, l.c
			}
			if s.Node < 0 {
				s.Doc = nil
			}
		}
		w.at.steps = append(w.at.steps, s)
		w.at.nodes = append(w.at.nodes, nodes{l.p, l.c})
	}
	return &w.at
}

func (w *walker) name(l level) []byte {
	if l.p >= 0 {
		return w.p.Name(l.p)
	}
	return w.c.Name(l.c)
}

// value compares node i of the primary with node j of the candidate. The place
// already names them.
func (w *walker) value(i, j int32) {
	if !w.asserts && w.same(i, j) {
		return
	}
	if w.find.full() {
		w.find.stop()
		return
	}
	before := w.find.found
	a, b := w.p.Nodes[i].Kind, w.c.Nodes[j].Kind
	switch {
	case w.insideOne(i, j):
		w.halfOpened(i, j)
	case a != b && !(isBool(a) && isBool(b)):
		w.differ(Type, i, j)
	case a >= body.Array:
		w.inside(i, j, a)
	case !w.sameScalar(i, j):
		w.differ(Changed, i, j)
	}
	if w.asserts && w.find.found == before {
		w.find.agree(w.here(), jsonSide(w.p, i))
	}
}

// inside compares two arrays or two objects.
func (w *walker) inside(i, j int32, kind body.Kind) {
	if w.asks.moves != nil {
		w.shift(i, j)
	}
	if kind == body.Object {
		w.object(i, j)
	} else {
		w.array(i, j)
	}
}

// sameScalar reports whether two scalars at the place are equal.
func (w *walker) sameScalar(i, j int32) bool {
	if w.same(i, j) {
		return true
	}
	return w.asks.spells && body.SameScalar(w.p, i, w.c, j) && !w.find.spelled(w.here())
}

// spelled reports whether the spelling of numbers counts at a place.
func (f *finder) spelled(at *place) bool {
	f.meter.tries(len(f.rules), at)
	return slices.ContainsFunc(f.rules, func(r *rule) bool { return r.source.Number != "" && r.isAbout(at) })
}

func isBool(k body.Kind) bool { return k == body.True || k == body.False }

// same reports whether two values need no look at what is below them: they are
// written alike, or they are scalars of one value. Where the spelling of numbers
// may count, it is looked at closer.
func (w *walker) same(i, j int32) bool {
	w.meter.step(1)
	if w.asks.decodes != nil && (w.insideOne(i, j) || w.p.Nodes[i].Kind >= body.Array) {
		return false
	}
	a, b := w.p.Text(i), w.c.Text(j)
	if len(a) == len(b) {
		w.meter.step(len(a) / bytesPerStep)
	}
	if bytes.Equal(a, b) {
		return true
	}
	kind := w.p.Nodes[i].Kind
	return kind < body.Array && !(w.asks.spells && kind == body.Number) && body.SameScalar(w.p, i, w.c, j)
}

// differ gives one difference to the finder; -1 stands for a missing value.
func (w *walker) differ(kind Kind, i, j int32) {
	var primary, candidate side
	if i >= 0 {
		primary = jsonSide(w.p, i)
	}
	if j >= 0 {
		candidate = jsonSide(w.c, j)
	}
	w.find.add(w.here(), kind, primary, candidate)
}

func jsonSide(t *body.Tree, i int32) side {
	s := side{text: t.Text(i), class: valueClass(t, i)}
	if t.Nodes[i].Kind == body.String {
		s.whole = t.Value(i)
	}
	return s
}

// below looks at one member or element: both sides, or one that the other lacks.
func (w *walker) below(l level) {
	if w.find.full() {
		w.find.stop()
		return
	}
	if (l.p < 0 || l.c < 0) && (w.goneP[l.p] == moved || w.goneC[l.c] == moved) {
		return
	}
	w.way = append(w.way, l)
	switch {
	case l.p < 0 && w.goneC[l.c] == holds, l.c < 0 && w.goneP[l.p] == holds:
		w.remains(l)
	case l.p < 0:
		w.differ(Extra, l.p, l.c)
	case l.c < 0:
		w.differ(Missing, l.p, l.c)
	default:
		w.value(l.p, l.c)
	}
	w.way = w.way[:len(w.way)-1]
}

// object compares members by name. Members of one name are told apart: the
// first is compared with the first, the second with the second.
func (w *walker) object(i, j int32) {
	a, endA := i+1, w.p.Nodes[i].Next
	b, endB := j+1, w.c.Nodes[j].Next
	// Fast path: both sides write their members in the same order
	// (BenchmarkCompare).
	for a < endA && b < endB && body.SameName(w.p, a, w.c, b) {
		w.member(a, b)
		a, b = w.p.Nodes[a].Next, w.c.Nodes[b].Next
	}
	if a < endA || b < endB {
		w.byName(w.members(w.p, a, endA), w.members(w.c, b, endB))
		if a, b := w.orders(i, j); a != b {
			w.find.add(w.here(), Moved, side{text: []byte(a), class: "order"}, side{text: []byte(b), class: "order"})
		}
	}
}

// orders returns in which order the members stand that both objects have, where
// that says something.
func (w *walker) orders(i, j int32) (primary, candidate string) {
	if !w.p.Ordered || !w.c.Ordered || w.insideText() {
		return "", ""
	}
	p, c := memberNames(w.p, i), memberNames(w.c, j)
	common := func(names, other []string) string {
		known := make(map[string]bool, len(other))
		for _, name := range other {
			known[name] = true
		}
		return strings.Join(slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !known[name] }), ", ")
	}
	return common(p, c), common(c, p)
}

// memberNames lists the members of an object whose order says something: not what
// an element of XML has besides elements.
func memberNames(t *body.Tree, i int32) []string {
	var out []string
	for child := i + 1; child < t.Nodes[i].Next; child = t.Nodes[child].Next {
		if name := t.Name(child); !bytes.HasPrefix(name, []byte("@")) && !bytes.HasPrefix(name, []byte("#")) {
			out = append(out, string(name))
		}
	}
	return out
}

// member compares two members of one name.
func (w *walker) member(a, b int32) {
	switch {
	case w.asks.moves != nil && (w.goneP[a] != 0 || w.goneC[b] != 0):
		w.left(a, b)
	case w.asserts || !w.same(a, b):
		w.below(atMember(a, b))
	}
}

// namedNode is a member with its name.
type namedNode struct {
	name []byte
	node int32
}

// members lists the members from one node up to another, by name; those of one
// name stay in their order.
func (w *walker) members(t *body.Tree, from, to int32) []namedNode {
	out := make([]namedNode, 0, 8)
	for i := from; i < to; i = t.Nodes[i].Next {
		out = append(out, namedNode{t.Name(i), i})
	}
	w.meter.step(len(out))
	slices.SortStableFunc(out, func(a, b namedNode) int { return bytes.Compare(a.name, b.name) })
	return out
}

func (w *walker) byName(p, c []namedNode) {
	for len(p) > 0 || len(c) > 0 {
		order := 0
		switch {
		case len(p) == 0:
			order = 1
		case len(c) == 0:
			order = -1
		default:
			order = bytes.Compare(p[0].name, c[0].name)
		}
		switch {
		case order < 0:
			w.below(atMember(p[0].node, -1))
			p = p[1:]
		case order > 0:
			w.below(atMember(-1, c[0].node))
			c = c[1:]
		default:
			w.member(p[0].node, c[0].node)
			p, c = p[1:], c[1:]
		}
	}
}

// equalValue reports whether two values have no difference at all, suppressed
// ones included.
func (w *walker) equalValue(i, j int32) bool {
	if w.same(i, j) {
		return true
	}
	a, b := &w.p.Nodes[i], &w.c.Nodes[j]
	if a.Kind != b.Kind || a.Count != b.Count || a.Kind < body.Array || !w.meter.mayAlign(0) {
		return false
	}
	x, y := i+1, j+1
	for x < a.Next && (a.Kind == body.Array || body.SameName(w.p, x, w.c, y)) {
		if !w.equalValue(x, y) {
			return false
		}
		x, y = w.p.Nodes[x].Next, w.c.Nodes[y].Next
	}
	if x == a.Next {
		return true
	}
	if p, c := w.orders(i, j); p != c {
		return false
	}
	return w.equalByName(w.members(w.p, x, a.Next), w.members(w.c, y, b.Next))
}

func (w *walker) equalByName(p, c []namedNode) bool {
	return slices.EqualFunc(p, c, func(a, b namedNode) bool {
		return bytes.Equal(a.name, b.name) && w.equalValue(a.node, b.node)
	})
}

// array compares arrays as the rules of their place say.
func (w *walker) array(i, j int32) {
	if w.asks.arrays {
		rule := w.find.arrayRule(w.here())
		switch p, c := elements(w.p, i, i+1, 0), elements(w.c, j, j+1, 0); rule.mode() {
		case Set:
			w.set(p, c, true)
			return
		case Multiset:
			w.set(p, c, false)
			return
		case Keyed:
			w.keyed(p, c, rule.keys)
			return
		}
	}
	// What both begin with alike needs no alignment.
	a, b, index := i+1, j+1, int32(0)
	for a < w.p.Nodes[i].Next && b < w.c.Nodes[j].Next && w.equalValue(a, b) {
		if w.asserts {
			w.below(level{p: a, c: b, index: index, of: w.p.Nodes[i].Count})
		}
		a, b, index = w.p.Nodes[a].Next, w.c.Nodes[b].Next, index+1
	}
	if a < w.p.Nodes[i].Next || b < w.c.Nodes[j].Next {
		w.list(elements(w.p, i, a, index), elements(w.c, j, b, index))
	}
}

// arrayRule returns the rule that says how arrays at a place are compared, nil for
// lists; the last one wins.
func (f *finder) arrayRule(at *place) *rule {
	f.meter.tries(len(f.rules), at)
	for _, r := range slices.Backward(f.rules) {
		if r.source.Array.Mode != "" && r.path.Matches(at.steps) {
			return r
		}
	}
	return nil
}

// mode returns how arrays are compared; no rule means as lists.
func (r *rule) mode() ArrayMode {
	if r == nil {
		return List
	}
	return r.source.Array.Mode
}

// element is one element of an array: its node, where it stands, and the hash it
// is aligned by.
type element struct {
	node, index int32
	of          int32 // number of elements of its array
	match       int32 // what it is aligned with in the other array, -1 nothing
	hash        uint64
	moved       bool
}

// elements lists the elements of an array from one on, of which index stand
// before it.
func elements(t *body.Tree, array, from, index int32) []element {
	n := &t.Nodes[array]
	out := make([]element, 0, n.Count-index)
	for child := from; child < n.Next; child = t.Nodes[child].Next {
		out = append(out, element{node: child, index: index, of: n.Count, match: -1})
		index++
	}
	return out
}

// pair compares two elements that belong together. The difference is named after
// where the primary has it.
func (w *walker) pair(p, c *element) {
	if w.asks.moves != nil && (w.goneP[p.node] == moved || w.goneC[c.node] == moved) {
		w.below(atElement(p.node, -1, p))
		w.below(atElement(-1, c.node, c))
	} else if w.asserts || !w.same(p.node, c.node) {
		w.below(atElement(p.node, c.node, p))
	}
}

// only reports elements that one side has and the other lacks.
func (w *walker) only(p, c []element) {
	for _, e := range p {
		w.below(atElement(e.node, -1, &e))
	}
	for _, e := range c {
		w.below(atElement(-1, e.node, &e))
	}
}
