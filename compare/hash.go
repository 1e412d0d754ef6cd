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
	h := w.hasher(exact)
	if !exact { // in a list, which may be compared by position instead
		h.most = w.meter.align
	}
	way := len(h.at.steps)
	for _, s := range []struct {
		tree     *body.Tree
		doc      *body.Doc
		elements []element
	}{{w.p, w.docP, p}, {w.c, w.docC, c}} {
		h.tree, h.doc = s.tree, s.doc
		for i := range s.elements {
			e := &s.elements[i]
			h.at.steps = append(h.at.steps[:way], h.element(e.node, int(e.index), int(e.of)))
			e.hash = h.value(e.node)
		}
	}
}

func (w *walker) hasher(exact bool) *hasher {
	h := &hasher{find: w.find, primary: w.p, masked: w.find.masks(), exact: exact, at: place{kind: placeJSON}, most: w.meter.most}
	if h.masked {
		h.at.steps = slices.Clone(w.here().steps)
	}
	return h
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
	tree    *body.Tree
	doc     *body.Doc  // of the tree, for filters
	primary *body.Tree // which of the trees is the primary's
	find    *finder
	masked  bool
	exact   bool // tolerances count for nothing
	most    int  // steps after which hashing ends
	at      place
}

const (
	hashExcused uint64 = 0x9e3779b97f4a7c15
	hashObject  uint64 = 0xbf58476d1ce4e5b9
	hashArray   uint64 = 0x94d049bb133111eb
	hashNull    uint64 = 0xd6e8feb86659fd93
	hashMissing uint64 = 0xa0761d6478bd642f // what may as well not be there
	hashWord    uint64 = 0xe7037ed1a0b428db
)

func (h *hasher) value(i int32) uint64 {
	n := &h.tree.Nodes[i]
	if !h.find.meter.mayTake(h.most) {
		return 0 // The hashes are of no use any more.
	}
	h.find.meter.step(h.find.hashTries(h.masked, len(h.at.steps)))
	if h.masked {
		if h.excused(i) {
			return hashExcused
		}
		if sum, ok := h.meant(i); ok {
			return sum
		}
	}
	switch n.Kind {
	case body.Object:
		return h.object(i)
	case body.Array:
		return h.array(i)
	case body.String:
		h.find.meter.step(int(n.End-n.Start) / bytesPerStep)
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
			h.at.steps = append(h.at.steps, body.Step{Name: string(name), Doc: h.doc, Node: child})
		}
		if value := h.value(child); !h.masked || value != hashMissing {
			sum += mix(xxhash.Sum64(h.renamed(name)), value)
		}
		if h.masked {
			h.at.steps = h.at.steps[:len(h.at.steps)-1]
		}
	}
	return sum
}

func (h *hasher) array(i int32) uint64 {
	n := &h.tree.Nodes[i]
	unordered := h.masked && h.find.asks().arrays && h.find.arrayRule(&h.at).mode() != List
	sum, index := hashArray, 0
	for child := i + 1; child < n.Next; child = h.tree.Nodes[child].Next {
		if h.masked {
			h.at.steps = append(h.at.steps, h.element(child, index, int(n.Count)))
		}
		if value := h.value(child); unordered {
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

func (h *hasher) element(node int32, index, of int) body.Step {
	return body.Step{Element: true, Index: index, Len: of, Implied: h.tree.Lax, Doc: h.doc, Node: node}
}

// excused reports whether whatever stands at the place would be excused: it is
// ignored, it is a number with a tolerance or a time with a window, it is expected
// to differ, or it is noise.
func (h *hasher) excused(i int32) bool {
	for _, r := range h.find.rules {
		s := &r.source
		if (s.Ignore || s.Expect == "any" && !h.exact) && r.covers(&h.at) {
			return true
		}
		if !h.exact && (s.Tolerance != nil || s.Time != nil || s.Expect != "") && r.isAbout(&h.at) && r.blurs(jsonSide(h.tree, i)) {
			return true
		}
	}
	return h.tree.Nodes[i].Kind < body.Array && h.find.noise.any() && h.find.noise.masked(&h.at)
}

// blurs reports whether a value says little about which elements belong together.
func (r *rule) blurs(s side) bool {
	switch what := &r.source; {
	case !scalar(s):
		return false
	case what.Tolerance != nil && isNumeric(s), what.Expect != "":
		return true
	case what.Time != nil:
		_, ok := what.Time.read(s.value())
		return ok
	}
	return false
}

// meant returns the hash of a value that stands for others too by a rule.
func (h *hasher) meant(i int32) (sum uint64, ok bool) {
	for _, r := range h.find.rules {
		if !r.values() && r.source.Number == "" || !r.isAbout(&h.at) {
			continue
		}
		if sum, ok = r.meant(jsonSide(h.tree, i), h.tree == h.primary && !h.find.listen); ok {
			return sum, true
		}
	}
	return 0, false
}

// meant is the hash that all values have which the rule takes for one. A primary's
// word is the candidate's for it.
func (r *rule) meant(s side, primary bool) (uint64, bool) {
	what := &r.source
	switch {
	case len(what.Null) > 0 && r.nullish(s.class):
		if r.nullish("") {
			return hashMissing, true
		}
		return hashNull, true
	case !scalar(s):
		return 0, false
	case len(what.Enum) > 0:
		to, ok := what.Enum[string(s.value())]
		if !primary || !ok {
			to = string(s.value())
		}
		return mix(xxhash.Sum64String(to), hashWord), true
	case (what.Class != "" || what.Regex != "") && r.fits(s):
		return mix(uint64(r.index), hashWord), true
	case len(what.Text) > 0:
		return mix(xxhash.Sum64(r.plain(s.value())), xxhash.Sum64String(s.class)), true
	case what.Number != "" && s.class == "number":
		return mix(xxhash.Sum64(s.text), uint64(body.Number)), true
	case what.URL != nil:
		if address, ok := r.address(s.value()); ok {
			return mix(xxhash.Sum64String(address), uint64(body.String)), true
		}
	}
	return 0, false
}

// renamed returns the name that a member has on the candidate's side by a rule.
func (h *hasher) renamed(name []byte) []byte {
	if !h.masked || h.tree != h.primary || h.find.listen {
		return name
	}
	h.find.meter.tries(len(h.find.asks().moves), &h.at)
	for _, r := range h.find.asks().moves {
		if len(r.from) == 1 && len(r.onto) == 1 && !r.onto[0].Element && r.isAbout(&h.at) {
			return []byte(r.onto[0].Name)
		}
	}
	return name
}

// mix joins two hashes into one.
func mix(a, b uint64) uint64 {
	var buf [16]byte
	binary.LittleEndian.PutUint64(buf[:8], a)
	binary.LittleEndian.PutUint64(buf[8:], b)
	return xxhash.Sum64(buf[:])
}
