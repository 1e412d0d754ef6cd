package compare

import (
	"bytes"
	"slices"
	"strings"

	"parallax/internal/body"
)

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
