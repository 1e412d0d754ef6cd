package compare

import (
	"bytes"
	"cmp"
	"slices"

	"parallax/internal/body"
)

// walker compares two JSON documents, the same way every time.
type walker struct {
	p, c   *body.Tree
	find   *finder
	way    []level // from the roots to what is compared now
	at     place   // the way written as a place, where somebody asks
	budget int     // nodes that may still be looked at to align arrays
}

// level is one step of the way down: the nodes it leads to, -1 where there is
// none, and which of how many elements it is; index is -1 for members.
type level struct{ p, c, index, of int32 }

// alignEffort bounds what aligning arrays may cost: this many looks at each node.
// A level may be looked at anew for every array above it; past the bound arrays
// are compared by position.
const alignEffort = 32

// walk compares two documents and gives every difference to the finder.
func walk(p, c *body.Tree, find *finder) {
	find.p, find.c = p, c
	w := &walker{p: p, c: c, find: find, at: place{kind: placeJSON}}
	w.budget = alignEffort * (len(p.Nodes) + len(c.Nodes))
	w.value(0, 0)
}

// here writes the way as a place. It is valid until the next call.
func (w *walker) here() *place {
	w.at.steps, w.at.nodes = w.at.steps[:0], w.at.nodes[:0]
	for _, l := range w.way {
		s := body.Step{Element: true, Index: int(l.index), Len: int(l.of)}
		if l.index < 0 {
			s = body.Step{Name: string(w.name(l))}
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
	if w.same(i, j) {
		return
	}
	if w.find.full() {
		w.find.stop()
		return
	}
	a, b := w.p.Nodes[i].Kind, w.c.Nodes[j].Kind
	switch {
	case a == body.Object && b == body.Object:
		w.object(i, j)
	case a == body.Array && b == body.Array:
		w.array(i, j)
	case a == b || isBool(a) && isBool(b):
		w.differ(Changed, i, j)
	default:
		w.differ(Type, i, j)
	}
}

func isBool(k body.Kind) bool { return k == body.True || k == body.False }

// same reports whether two values need no look at what is below them: they are
// written alike, or they are scalars of one value.
func (w *walker) same(i, j int32) bool {
	if bytes.Equal(w.p.Text(i), w.c.Text(j)) {
		return true
	}
	return w.p.Nodes[i].Kind < body.Array && body.SameScalar(w.p, i, w.c, j)
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
	w.way = append(w.way, l)
	switch {
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
		w.byName(members(w.p, a, endA), members(w.c, b, endB))
	}
}

// member compares two members of one name.
func (w *walker) member(a, b int32) {
	if !w.same(a, b) {
		w.below(level{a, b, -1, 0})
	}
}

// namedNode is a member with its name.
type namedNode struct {
	name []byte
	node int32
}

// members lists the members from one node up to another, by name; those of one
// name stay in their order.
func members(t *body.Tree, from, to int32) []namedNode {
	var out []namedNode
	for i := from; i < to; i = t.Nodes[i].Next {
		out = append(out, namedNode{t.Name(i), i})
	}
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
			w.below(level{p[0].node, -1, -1, 0})
			p = p[1:]
		case order > 0:
			w.below(level{-1, c[0].node, -1, 0})
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
	if w.budget--; w.same(i, j) {
		return true
	}
	a, b := &w.p.Nodes[i], &w.c.Nodes[j]
	if a.Kind != b.Kind || a.Count != b.Count || a.Kind < body.Array || w.budget < 0 {
		return false
	}
	x, y := i+1, j+1
	for x < a.Next && (a.Kind == body.Array || body.SameName(w.p, x, w.c, y)) {
		if !w.equalValue(x, y) {
			return false
		}
		x, y = w.p.Nodes[x].Next, w.c.Nodes[y].Next
	}
	return x == a.Next || w.equalByName(members(w.p, x, a.Next), members(w.c, y, b.Next))
}

func (w *walker) equalByName(p, c []namedNode) bool {
	return slices.EqualFunc(p, c, func(a, b namedNode) bool {
		return bytes.Equal(a.name, b.name) && w.equalValue(a.node, b.node)
	})
}

// array compares arrays as the rules of their place say.
func (w *walker) array(i, j int32) {
	if w.find.arrayRules() && w.find.arrayMode(w.here()) == Set {
		w.set(elements(w.p, i, i+1, 0), elements(w.c, j, j+1, 0))
		return
	}
	// What both begin with alike needs no alignment.
	a, b, index := i+1, j+1, int32(0)
	for a < w.p.Nodes[i].Next && b < w.c.Nodes[j].Next && w.equalValue(a, b) {
		a, b, index = w.p.Nodes[a].Next, w.c.Nodes[b].Next, index+1
	}
	if a < w.p.Nodes[i].Next || b < w.c.Nodes[j].Next {
		w.list(elements(w.p, i, a, index), elements(w.c, j, b, index))
	}
}

// arrayRules reports whether any rule is about arrays.
func (f *finder) arrayRules() bool {
	return slices.ContainsFunc(f.rules, func(r *rule) bool { return r.source.Array.Mode != "" })
}

// arrayMode returns how arrays at a place are compared; the last rule that says
// so wins.
func (f *finder) arrayMode(at *place) ArrayMode {
	mode := List
	for _, r := range f.rules {
		if r.source.Array.Mode != "" && r.path.Matches(at.steps) {
			mode = r.source.Array.Mode
		}
	}
	return mode
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
	if !w.same(p.node, c.node) {
		w.below(level{p.node, c.node, p.index, p.of})
	}
}

// only reports elements that one side has and the other lacks.
func (w *walker) only(p, c []element) {
	for _, e := range p {
		w.below(level{e.node, -1, e.index, e.of})
	}
	for _, e := range c {
		w.below(level{-1, e.node, e.index, e.of})
	}
}

// maxSetProbes bounds how many pairs of elements of a set are tried under the
// rules of tolerance.
const maxSetProbes = 4096

// set asks that each element of one side is also on the other; how often does
// not matter. Elements that differ only in what rules ignore or noise excuses are
// one element; what is excused is still reported as such. What is left over on
// both sides may match within a tolerance.
func (w *walker) set(p, c []element) {
	w.hash(p, c, true)
	p, c = distinct(p), distinct(c)
	var onlyP, onlyC []element
	for len(p) > 0 || len(c) > 0 {
		switch {
		case len(c) == 0 || len(p) > 0 && p[0].hash < c[0].hash:
			onlyP, p = append(onlyP, p[0]), p[1:]
		case len(p) == 0 || c[0].hash < p[0].hash:
			onlyC, c = append(onlyC, c[0]), c[1:]
		default:
			w.pair(&p[0], &c[0])
			p, c = p[1:], c[1:]
		}
	}
	byIndex(onlyP)
	byIndex(onlyC)
	w.leftOver(onlyP, onlyC)
}

// leftOver pairs elements of a set that are equal under the rules and reports the
// others as missing or extra.
func (w *walker) leftOver(p, c []element) {
	probes := maxSetProbes
	for i := range p {
		found := w.equalOneOf(&p[i], c, &probes)
		if found < 0 {
			w.only(p[i:i+1], nil)
			continue
		}
		w.pair(&p[i], &c[found])
		c = slices.Delete(c, found, found+1)
	}
	w.only(nil, c)
}

// equalOneOf returns the place of an element that is equal under the rules, -1 if
// none is found before the probes are used up.
func (w *walker) equalOneOf(p *element, c []element, probes *int) int {
	for k := range c {
		if *probes == 0 {
			break
		}
		if *probes--; w.equal(p, &c[k]) {
			return k
		}
	}
	return -1
}

// equal reports whether two elements have no difference that counts.
func (w *walker) equal(p, c *element) bool {
	probe := &finder{endpoint: w.find.endpoint, rules: w.find.rules, noise: w.find.noise, probe: true, limit: 1, p: w.p, c: w.c}
	other := &walker{p: w.p, c: w.c, find: probe, way: slices.Clip(w.way), at: place{kind: placeJSON}, budget: w.budget}
	other.pair(p, c)
	w.budget = other.budget
	return probe.counting == 0
}

// distinct sorts elements by hash and drops repeats; the first of them stays.
func distinct(e []element) []element {
	slices.SortFunc(e, func(a, b element) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.index, b.index)) })
	return slices.CompactFunc(e, func(a, b element) bool { return a.hash == b.hash })
}

func byIndex(e []element) {
	slices.SortFunc(e, func(a, b element) int { return cmp.Compare(a.index, b.index) })
}
