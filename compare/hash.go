package compare

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"

	"parallax/internal/body"
)

// hash fills in the hashes of both sides' elements. Values that are equal, and
// values that differ only in what rules or noise excuse, have one hash. A hash
// decides which elements are compared with each other and never whether they are
// equal. With exact, numbers within a tolerance keep hashes of their own.
func (w *walker) hash(p, c []element, exact bool) {
	h := hasher{find: w.find, masked: w.find.masks(), exact: exact, at: place{kind: placeJSON}}
	if h.masked {
		h.at.steps = slices.Clone(w.here().steps)
	}
	way := len(h.at.steps)
	defer func() { w.budget -= h.looked }()
	for _, s := range []struct {
		tree     *body.Tree
		elements []element
	}{{w.p, p}, {w.c, c}} {
		h.tree = s.tree
		for i := range s.elements {
			e := &s.elements[i]
			h.at.steps = append(h.at.steps[:way], body.Step{Element: true, Index: int(e.index), Len: int(e.of)})
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
	looked int // at nodes
}

const (
	hashExcused uint64 = 0x9e3779b97f4a7c15
	hashObject  uint64 = 0xbf58476d1ce4e5b9
	hashArray   uint64 = 0x94d049bb133111eb
)

func (h *hasher) value(i int32) uint64 {
	h.looked++
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
	return kind < body.Array && h.find.noise.any() && h.find.noise.masked(&h.at)
}

// mix joins two hashes into one.
func mix(a, b uint64) uint64 {
	var buf [16]byte
	binary.LittleEndian.PutUint64(buf[:8], a)
	binary.LittleEndian.PutUint64(buf[8:], b)
	return xxhash.Sum64(buf[:])
}
