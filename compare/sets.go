package compare

import (
	"cmp"
	"slices"

	"parallax/internal/body"
)

// maxSetProbes bounds how many pairs of elements of a set are tried under the
// rules of tolerance, sets within them included.
const maxSetProbes = 4096

// set asks that each element of one side is also on the other, as often unless
// once is enough. Elements that differ only in what rules ignore or noise excuses are
// one element; what is excused is still reported as such. What is left over on
// both sides may match within a tolerance.
func (w *walker) set(p, c []element, once bool) {
	if w.hashSteps(p, c) > w.meter.left() {
		w.meter.step(w.meter.left()) // Which belong together would take too long to tell.
		return
	}
	w.hash(p, c, true)
	byHash(p)
	byHash(c)
	var onlyP, onlyC []element
	for len(p) > 0 || len(c) > 0 {
		a, b := oneHash(p, c), oneHash(c, p)
		p, c = p[len(a):], c[len(b):]
		n := min(len(a), len(b))
		switch {
		case n == 0 && once:
			onlyP, onlyC = append(onlyP, a[:min(len(a), 1)]...), append(onlyC, b[:min(len(b), 1)]...)
		case once:
			w.together(a, b)
		default:
			w.together(a[:n], b[:n])
			onlyP, onlyC = append(onlyP, a[n:]...), append(onlyC, b[n:]...)
		}
	}
	byIndex(onlyP)
	byIndex(onlyC)
	w.leftOver(onlyP, onlyC)
}

// leftOver pairs elements of a set that are equal under the rules and reports the
// others as missing or extra.
func (w *walker) leftOver(p, c []element) {
	probes := w.probes
	if probes == nil {
		probes = new(int)
		*probes = maxSetProbes
	}
	for i := range p {
		found := w.equalOneOf(&p[i], c, probes)
		if found < 0 {
			w.only(p[i:i+1], nil)
			continue
		}
		w.pair(&p[i], &c[found])
		copy(c[1:], c[:found]) // Those that were tried stay, in their order; the rest is not touched.
		c = c[1:]
	}
	w.only(nil, c)
}

// equalOneOf returns the place of an element that is equal under the rules, -1 if
// none is found before the probes are used up.
func (w *walker) equalOneOf(p *element, c []element, probes *int) int {
	for k := range c {
		if *probes <= 0 {
			break
		}
		if *probes--; w.equal(p, &c[k], probes) {
			return k
		}
	}
	return -1
}

// equal reports whether two elements have no difference that counts.
func (w *walker) equal(p, c *element, probes *int) bool {
	probe := &finder{endpoint: w.find.endpoint, received: w.find.received, later: w.find.later, rules: w.find.rules, noise: w.find.noise, listen: w.find.listen, errors: w.find.errors, probe: true, limit: 1, meter: w.meter, p: w.p, c: w.c}
	other := &walker{p: w.p, c: w.c, find: probe, asks: probe.asks(), docP: w.docP, docC: w.docC, way: slices.Clip(w.way), at: place{kind: placeJSON, row: w.find.row}, meter: w.meter, probes: probes}
	other.pair(p, c)
	return probe.counting == 0
}

// together compares elements that have one hash: the first with the first, and what one
// side has more with the other's last. A hash does not say that they are equal.
func (w *walker) together(p, c []element) {
	n := min(len(p), len(c))
	for k := range max(len(p), len(c)) {
		a, b := &p[min(k, len(p)-1)], &c[min(k, len(c)-1)]
		if k < n || !w.same(a.node, b.node) {
			w.pair(a, b)
		}
	}
}

// byHash sorts elements by hash, those of one hash in order.
func byHash(e []element) {
	slices.SortFunc(e, func(a, b element) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.index, b.index)) })
}

// oneHash returns the elements that a sorted list begins with and that have the lowest
// hash of two lists.
func oneHash(e, other []element) []element {
	if len(e) == 0 || len(other) > 0 && other[0].hash < e[0].hash {
		return nil
	}
	n := 1
	for n < len(e) && e[n].hash == e[0].hash {
		n++
	}
	return e[:n]
}

func byIndex(e []element) {
	slices.SortFunc(e, func(a, b element) int { return cmp.Compare(a.index, b.index) })
}

// keyed compares elements that have the same key; where they stand does not
// matter. Of several with one key the first is compared with the first. Elements
// that lack a part of the key are compared with each other by position.
func (w *walker) keyed(p, c []element, keys [][]body.Step) {
	loneP, loneC := w.hashKeys(p, c, keys)
	waiting := make(map[uint64][]int, len(c))
	for k := range c {
		if c[k].match >= 0 {
			waiting[c[k].hash] = append(waiting[c[k].hash], k)
		}
	}
	paired := make([]bool, len(c))
	for k := range p {
		if p[k].match < 0 {
			continue
		}
		same := waiting[p[k].hash]
		if len(same) == 0 {
			w.only(p[k:k+1], nil)
			continue
		}
		waiting[p[k].hash], paired[same[0]] = same[1:], true
		w.pair(&p[k], &c[same[0]])
	}
	for k := range c {
		if c[k].match >= 0 && !paired[k] {
			w.only(nil, c[k:k+1])
		}
	}
	n := min(len(loneP), len(loneC))
	for k := range n {
		w.pair(&loneP[k], &loneC[k])
	}
	w.only(loneP[n:], loneC[n:])
}

// hashKeys fills in the hashes of the elements' keys; match is 0 for elements that
// have one. It returns those that have none.
func (w *walker) hashKeys(p, c []element, keys [][]body.Step) (loneP, loneC []element) {
	h := w.hasher(true)
	way := len(h.at.steps)
	key := func(e *element) bool {
		e.hash = hashArray
		for _, steps := range keys {
			h.at.steps = append(h.at.steps[:way], h.element(e.node, int(e.index), int(e.of)))
			h.at.steps = append(h.at.steps, steps...)
			node := h.partOfKey(e.node, steps)
			if node < 0 {
				return false
			}
			e.hash = mix(e.hash, h.value(node))
		}
		return true
	}
	lone := func(t *body.Tree, doc *body.Doc, of []element) (out []element) {
		h.tree, h.doc = t, doc
		for k := range of {
			if e := &of[k]; key(e) {
				e.match = 0
			} else {
				out = append(out, *e)
			}
		}
		return out
	}
	loneP, loneC = lone(w.p, w.docP, p), lone(w.c, w.docC, c)
	return loneP, loneC
}

// partOfKey returns the node at the place, some steps below an element, -1 if there
// is none. In the candidate's document it may have moved.
func (h *hasher) partOfKey(element int32, steps []body.Step) int32 {
	node := descend(h.tree, element, steps)
	if node >= 0 || h.tree == h.primary || h.find.listen {
		return node
	}
	for _, r := range h.find.asks().moves {
		if kept := len(steps) - len(r.from); kept >= 0 && r.isAbout(&h.at) {
			return descend(h.tree, element, slices.Concat(steps[:kept], r.onto))
		}
	}
	return -1
}
