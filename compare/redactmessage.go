package compare

import (
	"bytes"

	"parallax"
)

// messageTreeType is the media type of a stored body that a redactor turned into
// JSON because it was of messages.
const messageTreeType = "application/vnd.parallax.message+json"

// WithMessages returns the same redactor with what is known of messages. Answers
// that are messages are then stored as the JSON they were compared as, so that
// secrets in them are found by name and place like any others; requests too if
// there is one. What cannot be read is left out.
func (r *Redactor) WithMessages(m *Messages) *Redactor {
	out := *r
	out.messages = m
	return &out
}

// asMessage redacts a body of messages that somebody knows.
func (s *scrubber) asMessage(fields []parallax.Field, plain []byte, cut bool) (clean []byte, ok bool) {
	contentType := header(fields, "content-type")
	c := content{format: FormatOf(contentType), known: s.said, text: plain}
	if c.format != GRPC && c.format != Protobuf || c.known.message == nil {
		return nil, false
	}
	if cut {
		return []byte(removedNote), true
	}
	c.encoding, c.json = header(fields, "grpc-encoding"), mediaType(contentType) == "application/grpc+json"
	tree, err := c.tree()
	if err != nil {
		return []byte(removedNote), true
	}
	d := document{scrubber: s, tree: tree}
	d.value(0, false)
	d.out.Write(tree.Source[d.end:])
	clean = []byte(s.text(d.out.String()))
	if s.asking && bytes.Equal(clean, tree.Source) && bytes.Equal([]byte(s.replaceKnown(string(plain))), plain) {
		return nil, false // A request without secrets can be asked again.
	}
	return clean, true
}

// asked returns what a request is, by its endpoint's method.
func (m *Messages) asked(target string) (a answers) {
	if m != nil {
		a.message, a.stream = m.schema.Question(pathOf(target))
	}
	return a
}
