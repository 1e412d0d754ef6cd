package compare

import (
	"fmt"
	"slices"
)

// list compares arrays in order. Equal ends are taken off; what is left is
// aligned by a longest common subsequence, so that one insertion is one
// difference. An element that is left over on both sides has moved; what stands
// between two aligned elements is compared by position.
func (w *walker) list(p, c []element) {
	for len(p) > 0 && len(c) > 0 && w.equalValue(p[len(p)-1].node, c[len(c)-1].node) {
		if w.asserts {
			w.pair(&p[len(p)-1], &c[len(c)-1])
		}
		p, c = p[:len(p)-1], c[:len(c)-1]
	}
	if (len(p) > 1 || len(c) > 1) && w.meter.mayAlign(w.hashSteps(p, c)) {
		w.alignLists(p, c)
	}
	w.report(p, c)
}

func (w *walker) alignLists(p, c []element) {
	if w.hash(p, c, false); !w.meter.mayAlign(0) {
		return
	}
	complete := align(hashesOf(p), hashesOf(c), w.meter, func(i, j int) {
		p[i].match, c[j].match = c[j].index, p[i].index
	})
	if complete {
		markMoved(p, c)
	}
}

// report walks both arrays along their alignment.
func (w *walker) report(p, c []element) {
	for i, j := 0, 0; i < len(p) || j < len(c); {
		gapP, gapC := gap(p[i:]), gap(c[j:])
		w.gap(p[i:i+gapP], c[j:j+gapC])
		i, j = i+gapP, j+gapC
		if i < len(p) && j < len(c) {
			w.pair(&p[i], &c[j])
			i, j = i+1, j+1
		}
	}
	for i := range p {
		if p[i].moved {
			w.moved(&p[i], w.moves(c, p[i].match))
		}
	}
}

// gap returns how many elements stand before the next aligned one.
func gap(e []element) int {
	for i := range e {
		if e[i].match >= 0 && !e[i].moved {
			return i
		}
	}
	return len(e)
}

// gap compares by position what stands between aligned elements on both sides.
func (w *walker) gap(p, c []element) {
	left := func(e element) bool { return e.moved }
	p = slices.DeleteFunc(slices.Clone(p), left)
	c = slices.DeleteFunc(slices.Clone(c), left)
	n := min(len(p), len(c))
	for k := range n {
		w.pair(&p[k], &c[k])
	}
	w.only(p[n:], c[n:])
}

// moves returns the element that stands at an index of its array.
func (w *walker) moves(e []element, index int32) *element { return &e[index-e[0].index] }

// moved reports an element that stands elsewhere, then whatever rules or noise
// excuse inside it.
func (w *walker) moved(p, c *element) {
	w.way = append(w.way, atElement(p.node, c.node, p))
	w.find.add(w.here(), Moved, positionSide(p), positionSide(c))
	w.value(p.node, c.node)
	w.way = w.way[:len(w.way)-1]
}

func positionSide(e *element) side {
	return side{text: fmt.Appendf(nil, "[%d]", e.index), class: "position"}
}

// markMoved pairs what is left over on both sides and equal, in order.
func markMoved(p, c []element) {
	waiting := map[uint64][]int{}
	for j := range c {
		if c[j].match < 0 {
			waiting[c[j].hash] = append(waiting[c[j].hash], j)
		}
	}
	for i := range p {
		if p[i].match >= 0 {
			continue
		}
		if same := waiting[p[i].hash]; len(same) > 0 {
			j := same[0]
			waiting[p[i].hash] = same[1:]
			p[i].match, p[i].moved = c[j].index, true
			c[j].match, c[j].moved = p[i].index, true
		}
	}
}

func hashesOf(e []element) []uint64 {
	out := make([]uint64, len(e))
	for i := range e {
		out[i] = e[i].hash
	}
	return out
}
