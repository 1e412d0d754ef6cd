package body

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// ParsePair reads two JSON documents, each as [ParseJSON] does, in lockstep: the
// second is read along the tree of the first. A value that both have at the same
// place, and write alike, is read once; the second tree takes its nodes over.
// Trees and errors are exactly what ParseJSON gives for each document.
//
// The time is linear in the length of both: no byte is looked at twice for being
// alike (BenchmarkParsePair).
func ParsePair(first, second []byte, limits Limits) (a, b *Tree, errA, errB error) {
	a, errA = ParseJSON(first, limits)
	b, errB = parseAlong(second, a, limits)
	return a, b, errA, errB
}

// parseAlong is ParseJSON along a tree that was read under the same limits; nil
// is none.
func parseAlong(source []byte, along *Tree, limits Limits) (*Tree, error) {
	p := &jsonParser{src: source, limits: limits, other: along}
	if along == nil {
		return p.document(noNode)
	}
	return p.document(0)
}

// noNode stands for a node that is not there.
const noNode int32 = -1

// stretch is a part of both texts that is known to be alike: the bytes from one
// place of this text to another are those of the other text, shift before.
type stretch struct {
	from, to, shift int
	ends            bool // what follows differs
}

// take reads the value at hand by taking over node i of the other document and
// all below it. It returns false, and has read nothing, if that value is written
// otherwise.
func (p *jsonParser) take(i int32) bool {
	n := &p.other.Nodes[i]
	start, size, count := int(n.Start), int(n.End-n.Start), n.Next-i
	if size > len(p.src)-p.at || !p.alike(start, size) {
		return false
	}
	end := p.at + size
	if n.Kind == Number && end < len(p.src) && inNumber(p.src[end]) {
		return false // a longer number
	}
	if int(count) > p.limits.Nodes-len(p.nodes) {
		return false // what goes beyond the limit is found node by node
	}
	shift, moved := int32(p.at-start), int32(len(p.nodes))-i
	p.nodes = append(p.nodes, p.other.Nodes[i:n.Next]...)
	if shift != 0 || moved != 0 {
		shiftNodes(p.nodes[len(p.nodes)-int(count):], shift, moved)
	}
	p.at = end
	return true
}

// shiftNodes moves nodes in their source and in their tree.
func shiftNodes(nodes []Node, source, tree int32) {
	for i := range nodes {
		n := &nodes[i]
		n.Start += source
		n.End += source
		n.Next += tree
		if n.KeyStart > 0 { // a name never stands at the very beginning
			n.KeyStart += source
			n.KeyEnd += source
		}
	}
}

// inNumber reports whether a byte may stand in a number.
func inNumber(c byte) bool {
	return c >= '0' && c <= '9' || c == '.' || c|0x20 == 'e' || c == '+' || c == '-'
}

// alike reports whether the next size bytes are those of the other text from
// start on. Both texts have as many.
func (p *jsonParser) alike(start, size int) bool {
	s, shift := &p.known, p.at-start
	if shift != s.shift || p.at < s.from || p.at > s.to {
		*s = stretch{from: p.at, to: p.at, shift: shift}
	}
	end := p.at + size
	if end > s.to && !s.ends {
		s.to += commonPrefix(p.src[s.to:end], p.other.Source[s.to-shift:end-shift])
		s.ends = s.to < end
	}
	return end <= s.to
}

// commonPrefix returns how many bytes two texts of one length begin with alike.
func commonPrefix(a, b []byte) int {
	const block = 512
	i := 0
	for i+block <= len(a) && bytes.Equal(a[i:i+block], b[i:i+block]) {
		i += block
	}
	for ; i+8 <= len(a); i += 8 {
		if d := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); d != 0 {
			return i + bits.TrailingZeros64(d)/8
		}
	}
	for i < len(a) && a[i] == b[i] {
		i++
	}
	return i
}
