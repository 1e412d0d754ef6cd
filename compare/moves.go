package compare

import (
	"slices"

	"parallax"
	"parallax/internal/body"
)

// movedClass is the class of the places of a value that a rule says has moved.
const movedClass = "place"

// setMove reads where a value has moved to.
func (r *rule) setMove() []parallax.Fault {
	m := r.source.Move
	if m == nil {
		return nil
	}
	r.to = &rule{}
	if f := r.to.setPlace(m.To); f != nil {
		return []parallax.Fault{{Path: "move.to", Text: f.Text, Hint: f.Hint}}
	}
	const hint = "move a header to a header, a path to a path"
	switch {
	case r.place == "":
		return nil
	case r.to.place != r.place:
		return []parallax.Fault{{Path: "move.to", Text: "is not a place of the same kind as path", Hint: hint}}
	case r.place != placeJSON && (r.name == "" || r.to.name == "" || r.name == r.to.name):
		return []parallax.Fault{{Path: "move.to", Text: "must be another place, and path a single one", Hint: hint}}
	case r.place != placeJSON:
		return nil
	}
	var ok bool
	if r.anchor, r.from, r.onto, ok = body.Fork(r.path, r.to.path); !ok {
		return []parallax.Fault{{Path: "move.to", Text: "differs from path in more than names and indices at its end", Hint: "write {path: $.items[*].cost, move: {to: $.items[*].price}}"}}
	}
	return nil
}

// gone says of a node what became of it because a value has moved.
type gone uint8

const (
	moved gone = iota + 1 // it is compared elsewhere
	holds                 // something below it is
)

// shift compares what rules say has moved from a place below node i of the
// primary to another one below node j of the candidate. Between two instances of
// one version it has not moved, and is only called by its new name.
func (w *walker) shift(i, j int32) {
	w.meter.tries(len(w.asks.moves), &w.at)
	for _, r := range w.asks.moves {
		if r.place != placeJSON || !r.anchor.Matches(w.here().steps) {
			continue
		}
		onto := r.onto
		if w.find.listen {
			onto = r.from
		}
		old, now := descend(w.p, i, r.from), descend(w.c, j, onto)
		if old < 0 || now < 0 || w.unmoved(r, i, j) {
			continue
		}
		stays := !w.find.listen && !begins(r.from, r.onto) && descend(w.c, j, r.from) >= 0
		if !stays {
			w.goneP = mark(w.goneP, w.p, i, r.from)
		}
		w.goneC = mark(w.goneC, w.c, j, onto)
		if !w.find.listen {
			w.hasMoved(r, old)
		}
		w.under(r.onto, atMember(old, now), func() { w.value(old, now) })
	}
}

// unmoved reports whether a value stands where it stood: the primary has something
// at the new place already, or what has left an object is still in it.
func (w *walker) unmoved(r *rule, i, j int32) bool {
	if begins(r.onto, r.from) {
		return !w.find.listen && descend(w.c, j, r.from) >= 0
	}
	return descend(w.p, i, r.onto) >= 0
}

// hasMoved notes that a value stands elsewhere.
func (w *walker) hasMoved(r *rule, old int32) {
	to := *w.here()
	to.steps = append(append([]body.Step(nil), to.steps...), r.onto...)
	path := to.path()
	w.under(r.from, atMember(old, -1), func() {
		at := w.here()
		w.find.add(at, Moved, side{text: []byte(at.path()), class: movedClass}, side{text: []byte(path), class: movedClass})
	})
}

// under does something a few steps further down, where the last step leads to the
// nodes of a level.
func (w *walker) under(steps []body.Step, last level, do func()) {
	above := len(w.way)
	for k := range steps {
		l := level{p: -1, c: -1, step: &steps[k]}
		if k == len(steps)-1 {
			l.p, l.c = last.p, last.c
		}
		w.way = append(w.way, l)
	}
	do()
	w.way = w.way[:above]
}

// mark notes which node steps lead to from another one, and which lie on the way.
func mark(marks map[int32]gone, t *body.Tree, from int32, steps []body.Step) map[int32]gone {
	if marks == nil {
		marks = map[int32]gone{}
	}
	for k := range steps {
		from = descend(t, from, steps[k:k+1])
		if k == len(steps)-1 {
			marks[from] = moved
		} else if marks[from] == 0 {
			marks[from] = holds
		}
	}
	return marks
}

// begins reports whether a way begins with another one.
func begins(with, way []body.Step) bool {
	return len(with) <= len(way) && slices.Equal(with, way[:len(with)])
}

// descend returns the node that steps lead to from another one, -1 if there is
// none. Of members of one name it takes the first; negative indices count from the
// end.
func descend(t *body.Tree, from int32, steps []body.Step) int32 {
	for k := range steps {
		s, n := &steps[k], &t.Nodes[from]
		if s.Element != (n.Kind == body.Array) || n.Kind < body.Array {
			return -1
		}
		index := int32(s.Index)
		if s.Element && s.Index < 0 {
			index += n.Count
		}
		child := from + 1
		for ; child < n.Next; child = t.Nodes[child].Next {
			if s.Element && index == 0 || !s.Element && string(t.Name(child)) == s.Name {
				break
			}
			index--
		}
		if child >= n.Next {
			return -1
		}
		from = child
	}
	return from
}

// left compares what is left of two members, of which one or both hold something
// that has moved or have moved themselves.
func (w *walker) left(a, b int32) {
	if w.goneP[a] == moved || w.goneC[b] == moved {
		w.below(atMember(a, -1))
		w.below(atMember(-1, b))
		return
	}
	w.below(atMember(a, b))
}

// remains reports one by one what one side has below a node and the other lacks,
// but for what has moved.
func (w *walker) remains(l level) {
	tree, node := w.p, l.p
	if l.p < 0 {
		tree, node = w.c, l.c
	}
	n, index := &tree.Nodes[node], int32(0)
	for child := node + 1; child < n.Next; child = tree.Nodes[child].Next {
		below := atMember(-1, -1)
		if n.Kind == body.Array {
			below.index, below.of = index, n.Count
		}
		if l.p >= 0 {
			below.p = child
		} else {
			below.c = child
		}
		w.below(below)
		index++
	}
}
