package compare

import (
	"bytes"
	"slices"

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

// countLooks counts what the filters have looked at. Where they gave up, rules that ask
// something of equal values were not all heard.
func (w *walker) countLooks() {
	if w.docP == nil {
		return
	}
	w.meter.step((w.docP.Looked() + w.docC.Looked()) / looksPerStep)
	if (w.docP.GaveUp() || w.docC.GaveUp()) && w.asks.finds {
		w.find.stop()
	}
}

func newWalker(p, c *body.Tree, find *finder) *walker {
	find.p, find.c = p, c
	if find.meter == nil {
		find.meter = find.allow(p.Source, c.Source)
	}
	w := &walker{p: p, c: c, find: find, asks: find.asks(), asserts: find.assertsAt(placeJSON), at: place{kind: placeJSON, row: find.row}, meter: find.meter}
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
