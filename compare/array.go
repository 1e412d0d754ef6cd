package compare

import (
	"slices"

	"parallax/internal/body"
)

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
		if r.source.Array.Mode != "" && r.place == placeJSON && r.path.Matches(at.steps) {
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
