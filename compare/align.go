package compare

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"

	"parallax/internal/body"
)

// maxAlignCells bounds the table of the longest common subsequence: the product
// of what is left of both arrays once their equal ends are off. Beyond it
// elements are compared by position.
const maxAlignCells = 1 << 20

// list compares arrays in order. Equal ends are taken off; what is left is
// aligned by a longest common subsequence, so that one insertion is one
// difference. An element that is left over on both sides has moved; what stands
// between two aligned elements is compared by position.
func (w *walker) list(p, c []element) {
	for len(p) > 0 && len(c) > 0 && w.same(p[0].node, c[0].node) {
		p, c = p[1:], c[1:]
	}
	for len(p) > 0 && len(c) > 0 && w.same(p[len(p)-1].node, c[len(c)-1].node) {
		p, c = p[:len(p)-1], c[:len(c)-1]
	}
	if len(p) > 1 || len(c) > 1 {
		w.hash(p, c, false)
		if align(len(p), len(c), elementsOf{p, c}) {
			markMoved(p, c)
		}
	}
	w.report(p, c)
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
	for k := n; k < len(p); k++ {
		w.below(p[k].step(), p[k].node, -1)
	}
	for k := n; k < len(c); k++ {
		w.below(c[k].step(), -1, c[k].node)
	}
}

// moves returns the element that stands at an index of its array.
func (w *walker) moves(e []element, index int32) *element { return &e[index-e[0].index] }

// moved reports an element that stands elsewhere, then whatever rules or noise
// excuse inside it.
func (w *walker) moved(p, c *element) {
	w.at.steps = append(w.at.steps, p.step())
	w.at.nodes = append(w.at.nodes, nodes{p.node, c.node})
	from, to := appendStep(nil, stepOf(p)), appendStep(nil, stepOf(c))
	w.find.add(&w.at, Moved, side{text: from, class: "position"}, side{text: to, class: "position"})
	w.value(p.node, c.node)
	w.at.steps = w.at.steps[:len(w.at.steps)-1]
	w.at.nodes = w.at.nodes[:len(w.at.nodes)-1]
}

func stepOf(e *element) *body.Step {
	s := e.step()
	return &s
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

// sequences are two sequences to be aligned by hash.
type sequences interface {
	hashes(i, j int) (p, c uint64)
	join(i, j int)
}

type elementsOf struct{ p, c []element }

func (e elementsOf) hashes(i, j int) (uint64, uint64) { return e.p[i].hash, e.c[j].hash }

func (e elementsOf) join(i, j int) {
	e.p[i].match, e.c[j].match = e.c[j].index, e.p[i].index
}

// align joins a longest common subsequence of n and m elements. Where two choices
// are as good, the element with the smaller hash is left out, so that the result
// does not depend on which side is which. If the table would be too large, it
// returns false and has joined only elements that stand once on each side.
func align(n, m int, s sequences) bool {
	if n == 0 || m == 0 {
		return true
	}
	if n > maxAlignCells/m {
		alignUnique(n, m, s)
		return false
	}
	width := m + 1
	table := make([]uint32, (n+1)*width) // length for what is behind i and j
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if p, c := s.hashes(i, j); p == c {
				table[i*width+j] = table[(i+1)*width+j+1] + 1
			} else {
				table[i*width+j] = max(table[(i+1)*width+j], table[i*width+j+1])
			}
		}
	}
	for i, j := 0, 0; i < n && j < m; {
		p, c := s.hashes(i, j)
		down, right := table[(i+1)*width+j], table[i*width+j+1]
		switch {
		case p == c:
			s.join(i, j)
			i, j = i+1, j+1
		case down > right || down == right && p < c:
			i++
		default:
			j++
		}
	}
	return true
}

// alignUnique joins a longest increasing run of the elements that stand exactly
// once on each side. It takes n log n steps.
func alignUnique(n, m int, s sequences) {
	type seen struct{ i, j, onP, onC int }
	by := make(map[uint64]*seen, n)
	for i := range n {
		h, _ := s.hashes(i, 0)
		if by[h] == nil {
			by[h] = &seen{}
		}
		by[h].i, by[h].onP = i, by[h].onP+1
	}
	for j := range m {
		if _, h := s.hashes(0, j); by[h] != nil {
			by[h].j, by[h].onC = j, by[h].onC+1
		}
	}
	var ends []int // ends[k]: the i whose j ends the run of length k+1
	target, before := make([]int, n), make([]int, n)
	for i := range n {
		h, _ := s.hashes(i, 0)
		one := by[h]
		if one.onP != 1 || one.onC != 1 {
			continue
		}
		target[i], before[i] = one.j, -1
		k, _ := slices.BinarySearchFunc(ends, one.j, func(end, j int) int { return target[end] - j })
		if k > 0 {
			before[i] = ends[k-1]
		}
		ends = append(ends[:k], append([]int{i}, ends[min(k+1, len(ends)):]...)...)
	}
	if len(ends) == 0 {
		return
	}
	for i := ends[len(ends)-1]; i >= 0; i = before[i] {
		s.join(i, target[i])
	}
}

// hash fills in the hashes of both sides' elements. Values that are equal, and
// values that differ only in what rules or noise excuse, have one hash. A hash
// decides which elements are compared with each other and never whether they are
// equal. With exact, numbers within a tolerance keep hashes of their own.
func (w *walker) hash(p, c []element, exact bool) {
	h := hasher{find: w.find, masked: w.find.masks(), exact: exact}
	for _, s := range []struct {
		tree     *body.Tree
		elements []element
	}{{w.p, p}, {w.c, c}} {
		h.tree = s.tree
		for i := range s.elements {
			e := &s.elements[i]
			h.at = place{kind: placeJSON, steps: append(slices.Clip(w.at.steps), e.step())}
			e.hash = h.value(e.node)
		}
	}
}

// masks reports whether rules or noise may excuse anything inside a document.
func (f *finder) masks() bool {
	for _, r := range f.rules {
		if r.place == placeJSON || r.place == placeBody {
			return true
		}
	}
	return f.noise.any()
}

// hasher computes hashes of values. It is deterministic across processes.
type hasher struct {
	tree   *body.Tree
	find   *finder
	masked bool
	exact  bool // tolerances count for nothing
	at     place
}

const (
	hashExcused uint64 = 0x9e3779b97f4a7c15
	hashObject  uint64 = 0xbf58476d1ce4e5b9
	hashArray   uint64 = 0x94d049bb133111eb
)

func (h *hasher) value(i int32) uint64 {
	n := &h.tree.Nodes[i]
	if h.masked && h.excused(n.Kind) {
		return hashExcused
	}
	switch n.Kind {
	case body.Object:
		return h.object(i)
	case body.Array:
		return h.array(i)
	case body.String:
		return mix(xxhash.Sum64(h.tree.Value(i)), uint64(body.String))
	case body.Number:
		return mix(xxhash.Sum64(body.CanonicalNumber(h.tree.Text(i))), uint64(body.Number))
	}
	return mix(uint64(n.Kind), uint64(n.Kind))
}

// object adds its members up, so that their order does not matter.
func (h *hasher) object(i int32) uint64 {
	n := &h.tree.Nodes[i]
	sum := hashObject
	for child := i + 1; child < n.Next; child = h.tree.Nodes[child].Next {
		name := h.tree.Name(child)
		if h.masked {
			h.at.steps = append(h.at.steps, body.Step{Name: string(name)})
		}
		sum += mix(xxhash.Sum64(name), h.value(child))
		if h.masked {
			h.at.steps = h.at.steps[:len(h.at.steps)-1]
		}
	}
	return sum
}

func (h *hasher) array(i int32) uint64 {
	n := &h.tree.Nodes[i]
	set := h.masked && h.find.arrayMode(&h.at) == Set
	sum, index := hashArray, 0
	for child := i + 1; child < n.Next; child = h.tree.Nodes[child].Next {
		if h.masked {
			h.at.steps = append(h.at.steps, body.Step{Element: true, Index: index, Len: int(n.Count)})
		}
		if value := h.value(child); set {
			sum += mix(hashArray, value)
		} else {
			sum = mix(sum, value)
		}
		if h.masked {
			h.at.steps = h.at.steps[:len(h.at.steps)-1]
		}
		index++
	}
	return sum
}

// excused reports whether whatever stands at the place would be excused: it is
// ignored, it is a number with a tolerance, or it is noise.
func (h *hasher) excused(kind body.Kind) bool {
	for _, r := range h.find.rules {
		if r.source.Ignore && r.covers(&h.at) {
			return true
		}
		if kind == body.Number && !h.exact && r.source.Tolerance != nil && r.path.Matches(h.at.steps) {
			return true
		}
	}
	if kind >= body.Array || !h.find.noise.any() {
		return false
	}
	_, _, ok := h.find.noise.judge(noisePlace(h.at.normal(), Changed))
	return ok
}

// mix joins two hashes into one.
func mix(a, b uint64) uint64 {
	var buf [16]byte
	binary.LittleEndian.PutUint64(buf[:8], a)
	binary.LittleEndian.PutUint64(buf[8:], b)
	return xxhash.Sum64(buf[:])
}
