package body

import "encoding/base64"

// Opener opens a text: it returns the JSON document that stands for what the text
// holds, nil to leave it as it is. The steps lead to the text and hold until it
// returns.
type Opener func(steps []Step, text []byte) []byte

// maxOpenedBytes bounds what all texts of one document come to when they are
// opened; further ones are left as they are.
const maxOpenedBytes = 64 << 20

// Open returns the document with texts opened: what a text holds stands in its
// place, as one value whose node says that it was [Node.Inside]. What was opened
// before is looked through for texts again, but for a text that opening gave. It is
// the tree itself if nothing was opened, or if the outcome exceeds the limits. Of
// documents inside texts paths mention all arrays, also those of XML and forms.
func (t *Tree) Open(limits Limits, filters bool, open Opener) *Tree {
	o := opener{tree: t, open: open, left: maxOpenedBytes}
	if filters {
		o.doc = NewDoc(t)
	}
	o.value(0)
	if len(o.opened) == 0 {
		return t
	}
	out, err := ParseJSON(o.text(), limits)
	if err != nil {
		return t
	}
	out.Lax, out.Ordered = t.Lax, t.Ordered
	o.mark(out)
	return out
}

// opener opens the texts of one document.
type opener struct {
	tree   *Tree
	doc    *Doc
	open   Opener
	steps  []Step
	opened []openedText
	left   int // bytes that further texts may come to
}

// openedText is a node with the text that stands in its place.
type openedText struct {
	node int32
	text []byte
}

func (o *opener) value(i int32) {
	n := &o.tree.Nodes[i]
	if n.Kind == String && !n.Inside {
		if text := o.open(o.steps, o.tree.Value(i)); text != nil && len(text) <= o.left {
			o.left -= len(text)
			o.opened = append(o.opened, openedText{i, text})
		}
	}
	if n.Kind < Array {
		return
	}
	index := 0
	for child := i + 1; child < n.Next; child = o.tree.Nodes[child].Next {
		step := Step{Element: true, Index: index, Len: int(n.Count), Doc: o.doc, Node: child}
		if n.Kind == Object {
			step = Step{Name: string(o.tree.Name(child)), Doc: o.doc, Node: child}
		}
		o.steps = append(o.steps, step)
		o.value(child)
		o.steps = o.steps[:len(o.steps)-1]
		index++
	}
}

// text writes the document with what was opened.
func (o *opener) text() []byte {
	var out []byte
	at := int32(0)
	for _, each := range o.opened {
		n := &o.tree.Nodes[each.node]
		out = append(append(out, o.tree.Source[at:n.Start]...), each.text...)
		at = n.End
	}
	return append(out, o.tree.Source[at:]...)
}

// mark tells the nodes of a new tree that were inside a text, now or before.
func (o *opener) mark(out *Tree) {
	moved, next := int32(0), 0
	for i := range o.tree.Nodes {
		here := int32(i) + moved
		switch {
		case next < len(o.opened) && o.opened[next].node == int32(i):
			out.Nodes[here].Inside = true
			moved += out.Nodes[here].Next - here - 1
			next++
		case o.tree.Nodes[i].Inside:
			out.Nodes[here].Inside = true
		}
	}
}

// maxDecodings bounds how many codings of one text are taken off in a row.
const maxDecodings = 4

// fromBase64 decodes both alphabets of RFC 4648, with or without padding.
func fromBase64(text []byte) ([]byte, error) {
	plain := make([]byte, 0, len(text))
	for _, c := range text {
		switch c {
		case '-':
			c = '+'
		case '_':
			c = '/'
		case '=', '\r', '\n':
			continue
		}
		plain = append(plain, c)
	}
	return base64.RawStdEncoding.AppendDecode(nil, plain)
}
