package body

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/encoding/htmlindex"
)

// ParseXML reads one XML document as a lax tree, so that it is walked and named as
// JSON is:
//
//	<order id="17"><item>a</item><item>b</item></order>
//	{"order": [{"@id": "17", "item": ["a", "b"]}]}
//
// An element with neither attributes nor elements in it is its text; any other one
// is an object. Elements of one name are an array, in their order, even if there is
// one only: paths need not mention these arrays (see [Tree.Lax]). Of elements with
// different names the order in which they appear first is kept; where that does not
// tell what stands behind what, as in a b a, the member #order does: "a b a". Names are local names. The URI of an element's namespace is the member @xmlns where it is not that
// of the element around it, prefixes say nothing; an attribute in a namespace is
// @{URI}name. Text beside elements is the array #text, without what is blank; other
// text is kept as it is. Comments, processing instructions and a document type are
// left out. Entities are the five of XML itself: documents that declare and use
// others are refused, so nothing is expanded or fetched.
//
// What is decoded takes at most limit bytes. Errors say where, as "not XML: line 3: ...".
func ParseXML(source []byte, limits Limits, limit int) (*Tree, error) {
	root, err := readXML(source, limits)
	if err != nil {
		return nil, err
	}
	w := xmlWriter{limit: limit}
	w.out.WriteByte('{')
	w.group(root.name, []*xmlElement{root}, "")
	w.out.WriteByte('}')
	if w.full() {
		return nil, errors.New("not read: the document takes more memory than is allowed")
	}
	tree, err := ParseJSON(w.out.Bytes(), limits)
	if err != nil {
		return nil, fmt.Errorf("not read: %w", err)
	}
	tree.Lax, tree.Ordered = true, true
	return tree, nil
}

// xmlElement is an element as it was read.
type xmlElement struct {
	name, space string
	attributes  []xml.Attr
	text        []xmlText // pieces between elements
	elements    []*xmlElement
	open        bool // the last piece of text goes on
}

// xmlText is a piece of text and how many elements stand before it.
type xmlText struct {
	text   string
	behind int
}

// readXML reads a document into elements.
func readXML(source []byte, limits Limits) (*xmlElement, error) {
	d := xml.NewDecoder(bytes.NewReader(source))
	d.CharsetReader = charsetReader
	r := xmlReader{limits: limits}
	for {
		token, err := d.Token()
		if err == io.EOF && r.root != nil && len(r.way) == 0 {
			return r.root, nil
		}
		if err == nil {
			err = r.take(token)
		}
		if err != nil {
			return nil, xmlError(err, d)
		}
	}
}

// charsetReader reads the encoding that a document declares.
func charsetReader(charset string, in io.Reader) (io.Reader, error) {
	e, err := htmlindex.Get(charset)
	if err != nil {
		return nil, fmt.Errorf("unknown encoding %.40q", charset)
	}
	return e.NewDecoder().Reader(in), nil
}

func xmlError(err error, d *xml.Decoder) error {
	line, column := d.InputPos()
	text := strings.TrimPrefix(err.Error(), "XML syntax error on ")
	if err == io.EOF {
		text = "there is no element"
	}
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		line, text = syntax.Line, syntax.Msg
	}
	return fmt.Errorf("not XML: line %d, column %d: %.200s", line, column, text)
}

// xmlReader builds elements from tokens.
type xmlReader struct {
	limits Limits
	root   *xmlElement
	way    []*xmlElement
	nodes  int
}

func (r *xmlReader) take(token xml.Token) error {
	switch t := token.(type) {
	case xml.StartElement:
		return r.start(t)
	case xml.EndElement:
		r.way = r.way[:len(r.way)-1]
	case xml.CharData:
		return r.chars(t)
	}
	return nil
}

func (r *xmlReader) start(t xml.StartElement) error {
	e := &xmlElement{name: t.Name.Local, space: t.Name.Space}
	for i, a := range t.Attr {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			continue
		}
		for _, b := range t.Attr[:i] {
			if a.Name == b.Name {
				return fmt.Errorf("the attribute %.40q is there twice", a.Name.Local)
			}
		}
		e.attributes = append(e.attributes, a)
	}
	if r.nodes += 1 + len(t.Attr); r.nodes > r.limits.Nodes || len(t.Attr) > maxAttributes {
		return errors.New("too many elements or attributes")
	}
	if len(r.way) >= r.limits.Depth/2 {
		return errors.New("elements are nested too deeply")
	}
	if len(r.way) == 0 {
		if r.root != nil {
			return errors.New("something follows the document")
		}
		r.root = e
	} else {
		above := r.way[len(r.way)-1]
		above.elements, above.open = append(above.elements, e), false
	}
	r.way = append(r.way, e)
	return nil
}

// maxAttributes bounds the attributes of one element, which are compared with one
// another.
const maxAttributes = 512

func (r *xmlReader) chars(text []byte) error {
	if len(r.way) == 0 {
		if len(bytes.TrimSpace(text)) > 0 && !bytes.Equal(text, byteOrderMark) {
			return errors.New("there is text outside of the document's element")
		}
		return nil
	}
	e := r.way[len(r.way)-1]
	if e.open {
		e.text[len(e.text)-1].text += string(text)
		return nil
	}
	if r.nodes++; r.nodes > r.limits.Nodes {
		return errors.New("too many pieces of text")
	}
	e.text, e.open = append(e.text, xmlText{string(text), len(e.elements)}), true
	return nil
}

// xmlWriter writes elements as JSON.
type xmlWriter struct {
	out   bytes.Buffer
	limit int
}

func (w *xmlWriter) full() bool { return w.out.Len() > w.limit }

// group writes the elements of one name as a member.
func (w *xmlWriter) group(name string, elements []*xmlElement, space string) {
	w.string(name)
	w.out.WriteString(":[")
	for i, e := range elements {
		if w.full() {
			return
		}
		if i > 0 {
			w.out.WriteByte(',')
		}
		w.element(e, space)
	}
	w.out.WriteByte(']')
}

func (w *xmlWriter) element(e *xmlElement, space string) {
	pieces := e.pieces()
	if len(e.attributes) == 0 && len(e.elements) == 0 && e.space == space {
		w.string(strings.Join(textsOf(pieces), ""))
		return
	}
	w.out.WriteByte('{')
	first := true
	comma := func() {
		if !first {
			w.out.WriteByte(',')
		}
		first = false
	}
	member := func(name, value string) {
		comma()
		w.string(name)
		w.out.WriteByte(':')
		w.string(value)
	}
	if e.space != space {
		member("@xmlns", e.space)
	}
	for _, a := range e.attributes {
		if a.Name.Space == "" {
			member("@"+a.Name.Local, a.Value)
		} else {
			member("@{"+a.Name.Space+"}"+a.Name.Local, a.Value)
		}
	}
	if len(e.elements) == 0 && len(pieces) > 0 {
		member("#text", pieces[0].text)
	} else if len(pieces) > 0 {
		comma()
		w.string("#text")
		w.out.WriteByte(':')
		for i, piece := range pieces {
			w.out.WriteByte("[,"[min(i, 1)])
			w.string(piece.text)
		}
		w.out.WriteByte(']')
	}
	if order := e.order(pieces); order != "" {
		member("#order", order)
	}
	for _, group := range e.groups() {
		if w.full() {
			return
		}
		comma()
		w.group(group[0].name, group, e.space)
	}
	w.out.WriteByte('}')
}

// pieces returns the text of an element: all of it if there are no elements in it,
// otherwise what is not blank between them.
func (e *xmlElement) pieces() []xmlText {
	if len(e.elements) == 0 {
		return e.text
	}
	var out []xmlText
	for _, t := range e.text {
		if t.text = strings.Trim(t.text, jsonBlanks); t.text != "" { // XML has the same blanks.
			out = append(out, t)
		}
	}
	return out
}

func textsOf(pieces []xmlText) []string {
	out := make([]string, len(pieces))
	for i := range pieces {
		out[i] = pieces[i].text
	}
	return out
}

// order tells what stands in an element one after the other, each run of one name
// once; "" where its groups tell that already: text first, then one run of each name.
func (e *xmlElement) order(pieces []xmlText) string {
	var runs []string
	seen, told := map[string]bool{}, true
	next := func(name string) {
		if len(runs) > 0 && runs[len(runs)-1] == name {
			return
		}
		told = told && !seen[name] && (name != "#text" || len(runs) == 0)
		seen[name] = true
		runs = append(runs, name)
	}
	for i, child := range e.elements {
		for len(pieces) > 0 && pieces[0].behind <= i {
			next("#text")
			pieces = pieces[1:]
		}
		next(child.name)
	}
	if len(e.elements) > 0 && len(pieces) > 0 {
		next("#text")
	}
	if told {
		return ""
	}
	return strings.Join(runs, " ")
}

// groups returns the elements inside by name, in the order in which names appear.
func (e *xmlElement) groups() [][]*xmlElement {
	at := make(map[string]int, len(e.elements))
	var out [][]*xmlElement
	for _, child := range e.elements {
		i, known := at[child.name]
		if !known {
			i = len(out)
			at[child.name] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], child)
	}
	return out
}

func (w *xmlWriter) string(text string) {
	w.out.Write(AppendQuoted(w.out.AvailableBuffer(), text))
}

// AppendQuoted appends a JSON string that says what text does, byte by byte.
func AppendQuoted(out []byte, text string) []byte {
	out = append(out, '"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, `\n`...)
		case c < 0x20:
			out = fmt.Appendf(out, `\u%04x`, c)
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}
