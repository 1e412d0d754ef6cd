package body

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"unicode/utf8"
)

// Kind is the type of a JSON value.
type Kind uint8

// The kinds of JSON values.
const (
	Null Kind = iota
	False
	True
	Number
	String
	Array
	Object
)

// String returns the type's name.
func (k Kind) String() string {
	return [...]string{"null", "false", "true", "number", "string", "array", "object"}[k]
}

// Node is one value of a document. Its text and its member name are ranges of
// the source, so that spelling is kept; nothing is converted.
type Node struct {
	Start, End       int32 // of the value's text
	KeyStart, KeyEnd int32 // of the member name, without quotes; empty for elements
	Next             int32 // index of the node behind this one and all below it
	Count            int32 // number of members or elements
	Kind             Kind
	escaped          bool // the string has escapes
	keyEscaped       bool // the member name has escapes
	Inside           bool // the value was written inside a text; see [Tree.Open]
}

// Tree is a decoded JSON document: its values in the order they were written,
// parents before children. The children of node i begin at i+1; the sibling of
// node c is its Next; the children end where Next of node i is.
//
// Numbers keep their spelling, duplicate names stay, and so do bytes in strings
// that are not UTF-8.
type Tree struct {
	Source []byte
	Nodes  []Node

	// Lax trees are of formats in which a value may be repeated without more ado,
	// such as XML's elements. Paths need not mention the arrays of such a tree:
	// $.order.item.price is the price of each item (the lax mode of SQL/JSON paths,
	// ISO/IEC 9075-2:2016).
	Lax bool

	// Ordered trees are of formats in which the order of members says something, as
	// that of XML's elements does.
	Ordered bool
}

// Limits bound what a document may ask for.
type Limits struct {
	Depth int // levels of arrays and objects
	Nodes int // values
}

// DefaultLimits are generous for documents that services exchange.
var DefaultLimits = Limits{Depth: 1000, Nodes: 4 << 20}

// SyntaxError says why a document is not JSON, and where: Line and Column count
// from 1, columns in bytes.
type SyntaxError struct {
	Offset, Line, Column int
	Text                 string
}

// Error returns the fault as one sentence.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("not JSON: line %d, column %d: %s", e.Line, e.Column, e.Text)
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// ParseJSON reads one JSON document as RFC 8259 has it; a byte order mark before
// it is skipped. The tree refers to source, which must not change any more. Its
// error is a [*SyntaxError].
func ParseJSON(source []byte, limits Limits) (*Tree, error) {
	return parseAlong(source, nil, limits)
}

// document reads the whole text, along a node of the other document.
func (p *jsonParser) document(along int32) (*Tree, error) {
	p.nodes = make([]Node, 0, min(atMostNodes(p.src), p.limits.Nodes))
	if len(p.src) > math.MaxInt32 {
		return nil, p.fault(0, "longer than 2 GiB")
	}
	if bytes.HasPrefix(p.src, byteOrderMark) {
		p.at = len(byteOrderMark)
	}
	p.blanks()
	if err := p.value(0, along); err != nil {
		return nil, err
	}
	p.blanks()
	if p.at < len(p.src) {
		return nil, p.fault(p.at, "something follows the document")
	}
	return &Tree{Source: p.src, Nodes: p.nodes}, nil
}

// atMostNodes returns a number of values that a document does not exceed: each
// but the first one follows a comma or is the first of an array or object.
func atMostNodes(source []byte) int {
	return 1 + bytes.Count(source, []byte(",")) + bytes.Count(source, []byte("[")) + bytes.Count(source, []byte("{"))
}

type jsonParser struct {
	src    []byte
	at     int
	nodes  []Node
	limits Limits
	other  *Tree   // read before; nil: none
	known  stretch // of this text and the other one
}

func (p *jsonParser) fault(at int, text string) error {
	before := p.src[:at]
	line := bytes.Count(before, []byte("\n"))
	column := at - (bytes.LastIndexByte(before, '\n') + 1)
	return &SyntaxError{Offset: at, Line: line + 1, Column: column + 1, Text: text}
}

func (p *jsonParser) blanks() {
	for p.at < len(p.src) {
		switch p.src[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// value reads one value and what is below it. Along is the node of the other
// document that stands in its place.
func (p *jsonParser) value(depth int, along int32) error {
	if along != noNode && p.take(along) {
		return nil
	}
	if p.at == len(p.src) {
		return p.fault(p.at, "the document ends where a value should be")
	}
	if len(p.nodes) >= p.limits.Nodes {
		return p.fault(p.at, fmt.Sprintf("more than %d values", p.limits.Nodes))
	}
	self := len(p.nodes)
	p.nodes = append(p.nodes, Node{Start: int32(p.at)})
	err := p.content(self, depth, along)
	n := &p.nodes[self]
	n.End, n.Next = int32(p.at), int32(len(p.nodes))
	return err
}

func (p *jsonParser) content(self, depth int, along int32) error {
	switch c := p.src[p.at]; c {
	case '{':
		return p.object(self, depth+1, along)
	case '[':
		return p.array(self, depth+1, along)
	case '"':
		escaped, err := p.text()
		n := &p.nodes[self]
		n.Kind, n.escaped = String, escaped
		return err
	case 't':
		return p.word(self, "true", True)
	case 'f':
		return p.word(self, "false", False)
	case 'n':
		return p.word(self, "null", Null)
	default:
		n := numberLen(p.src[p.at:])
		if n == 0 {
			return p.fault(p.at, "want a value here")
		}
		p.at += n
		p.nodes[self].Kind = Number
		return nil
	}
}

// below returns the first child of a node of the other document and where its
// children end, if the node is of a kind.
func (p *jsonParser) below(along int32, kind Kind) (child, end int32) {
	if along == noNode || p.other.Nodes[along].Kind != kind {
		return 0, 0
	}
	return along + 1, p.other.Nodes[along].Next
}

// pass returns the child at hand of the other document, noNode behind the last
// one, and moves on to the next.
func (p *jsonParser) pass(child *int32, end int32) int32 {
	at := *child
	if at >= end {
		return noNode
	}
	*child = p.other.Nodes[at].Next
	return at
}

func (p *jsonParser) word(self int, word string, kind Kind) error {
	if !bytes.HasPrefix(p.src[p.at:], []byte(word)) {
		return p.fault(p.at, "want a value here")
	}
	p.at += len(word)
	p.nodes[self].Kind = kind
	return nil
}

func (p *jsonParser) array(self, depth int, along int32) error {
	if depth > p.limits.Depth {
		return p.fault(p.at, fmt.Sprintf("nested more than %d deep", p.limits.Depth))
	}
	p.nodes[self].Kind = Array
	p.at++
	p.blanks()
	if p.at < len(p.src) && p.src[p.at] == ']' {
		p.at++
		return nil
	}
	child, end := p.below(along, Array)
	for {
		p.blanks()
		if err := p.value(depth, p.pass(&child, end)); err != nil {
			return err
		}
		p.nodes[self].Count++
		if more, err := p.comma(']'); err != nil || !more {
			return err
		}
	}
}

func (p *jsonParser) object(self, depth int, along int32) error {
	if depth > p.limits.Depth {
		return p.fault(p.at, fmt.Sprintf("nested more than %d deep", p.limits.Depth))
	}
	p.nodes[self].Kind = Object
	p.at++
	p.blanks()
	if p.at < len(p.src) && p.src[p.at] == '}' {
		p.at++
		return nil
	}
	child, end := p.below(along, Object)
	for {
		p.blanks()
		if err := p.member(depth, p.pass(&child, end)); err != nil {
			return err
		}
		p.nodes[self].Count++
		if more, err := p.comma('}'); err != nil || !more {
			return err
		}
	}
}

// member reads a name, a colon and a value.
func (p *jsonParser) member(depth int, along int32) error {
	if p.at == len(p.src) || p.src[p.at] != '"' {
		return p.fault(p.at, "want a name in quotes here")
	}
	start := p.at + 1
	escaped, err := p.text()
	if err != nil {
		return err
	}
	end := p.at - 1
	p.blanks()
	if p.at == len(p.src) || p.src[p.at] != ':' {
		return p.fault(p.at, "want a colon here")
	}
	p.at++
	p.blanks()
	child := len(p.nodes)
	if err := p.value(depth, along); err != nil {
		return err
	}
	n := &p.nodes[child]
	n.KeyStart, n.KeyEnd, n.keyEscaped = int32(start), int32(end), escaped
	return nil
}

// comma reads what follows an element: a comma, or the end of what it is in.
func (p *jsonParser) comma(end byte) (more bool, err error) {
	p.blanks()
	if p.at < len(p.src) {
		switch p.src[p.at] {
		case ',':
			p.at++
			return true, nil
		case end:
			p.at++
			return false, nil
		}
	}
	return false, p.fault(p.at, fmt.Sprintf("want , or %c here", end))
}

// text reads a string and reports whether it has escapes.
func (p *jsonParser) text() (escaped bool, err error) {
	open := p.at
	p.at++
	for {
		p.at += plainLen(p.src[p.at:])
		if p.at >= len(p.src) {
			return escaped, p.fault(open, "this string does not end")
		}
		switch c := p.src[p.at]; c {
		case '"':
			p.at++
			return escaped, nil
		case '\\':
			escaped = true
			if err := p.escape(); err != nil {
				return escaped, err
			}
		default:
			return escaped, p.fault(p.at, "control characters in a string are written as escapes")
		}
	}
}

// plainLen returns how many bytes text begins with that stand for themselves in
// a string. Eight bytes are looked at in one go: a byte is special if it is below
// 0x20, a quote or a backslash.
func plainLen(text []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(text); i += 8 {
		w := binary.LittleEndian.Uint64(text[i:])
		quote, back := w^(ones*'"'), w^(ones*'\\')
		special := ((w - ones*0x20) &^ w) | ((quote - ones) &^ quote) | ((back - ones) &^ back)
		if special &= tops; special != 0 {
			return i + bits.TrailingZeros64(special)/8
		}
	}
	for ; i < len(text); i++ {
		if c := text[i]; c < 0x20 || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

func (p *jsonParser) escape() error {
	rest := p.src[p.at+1:]
	if len(rest) > 0 {
		switch rest[0] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			p.at += 2
			return nil
		case 'u':
			if _, ok := hex4(rest[1:]); ok {
				p.at += 6
				return nil
			}
			return p.fault(p.at, `want four hex digits behind \u`)
		}
	}
	return p.fault(p.at, "this escape is not known")
}

// Text returns the value of node i as it is written.
func (t *Tree) Text(i int32) []byte {
	n := &t.Nodes[i]
	return t.Source[n.Start:n.End]
}

// Value returns what the string node i stands for.
func (t *Tree) Value(i int32) []byte {
	n := &t.Nodes[i]
	return decoded(t.Source[n.Start+1:n.End-1], n.escaped)
}

// Name returns the member name of node i.
func (t *Tree) Name(i int32) []byte {
	n := &t.Nodes[i]
	return decoded(t.Source[n.KeyStart:n.KeyEnd], n.keyEscaped)
}

// SameName reports whether node i of t and node j of u have the same member name.
func SameName(t *Tree, i int32, u *Tree, j int32) bool {
	return bytes.Equal(t.Name(i), u.Name(j))
}

// SameScalar reports whether two nodes that are neither arrays nor objects have
// the same type and value.
func SameScalar(t *Tree, i int32, u *Tree, j int32) bool {
	kind := t.Nodes[i].Kind
	if kind != u.Nodes[j].Kind {
		return false
	}
	switch kind {
	case Number:
		return EqualNumbers(t.Text(i), u.Text(j))
	case String:
		return bytes.Equal(t.Value(i), u.Value(j))
	}
	return true
}

// decoded takes the escapes out of the inside of a string. Half of a surrogate
// pair stays what it is: its three bytes are what UTF-8 would have for it, so
// that different ones stay different.
func decoded(text []byte, escaped bool) []byte {
	if !escaped {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		if text[i] != '\\' {
			out = append(out, text[i])
			i++
			continue
		}
		c := text[i+1]
		if c != 'u' {
			out = append(out, shortEscape(c))
			i += 2
			continue
		}
		r, _ := hex4(text[i+2:])
		i += 6
		if r >= 0xd800 && r < 0xdc00 && bytes.HasPrefix(text[i:], []byte(`\u`)) {
			if low, _ := hex4(text[i+2:]); low >= 0xdc00 && low < 0xe000 {
				r = 0x10000 + (r-0xd800)<<10 + (low - 0xdc00)
				i += 6
			}
		}
		out = appendRune(out, r)
	}
	return out
}

func shortEscape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

func appendRune(out []byte, r rune) []byte {
	if r >= 0xd800 && r < 0xe000 {
		return append(out, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f)
	}
	return utf8.AppendRune(out, r)
}
