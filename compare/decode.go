package compare

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"parallax"
	"parallax/internal/body"
)

// maxOpenings bounds how deep texts are opened that hold documents with texts.
const maxOpenings = 4

// open opens the texts of a document that rules say are documents themselves, those
// inside them too. The last rule about a place holds.
func (f *finder) open(t *body.Tree) *body.Tree {
	rules := f.asks().decodes
	if rules == nil {
		return t
	}
	for range maxOpenings {
		next := t.Open(body.DefaultLimits, f.asks().filters, func(steps []body.Step, text []byte) []byte {
			for _, r := range slices.Backward(rules) {
				if r.path.Matches(steps) {
					return r.opened(text)
				}
			}
			return nil
		})
		if next == t {
			break
		}
		t = next
	}
	return t
}

// opened returns what a text holds by the rule as JSON, nil if it does not.
func (r *rule) opened(text []byte) []byte {
	out, err := r.opens.Open(text, body.DefaultLimits, maxDecoded)
	if err != nil {
		return nil
	}
	return out
}

// insideOne reports whether one of two values was written inside a text and the
// other was not: they are never equal.
func (w *walker) insideOne(i, j int32) bool { return w.p.Nodes[i].Inside != w.c.Nodes[j].Inside }

// insideText reports whether what is compared now was written inside a text.
func (w *walker) insideText() bool {
	return slices.ContainsFunc(w.way, func(l level) bool { return l.p >= 0 && w.p.Nodes[l.p].Inside })
}

// halfOpened reports that one value was written inside a text and the other was
// not: that one is either a text that cannot be decoded, or of another type.
func (w *walker) halfOpened(i, j int32) {
	kind, primary, candidate := Type, jsonSide(w.p, i), jsonSide(w.c, j)
	inside, plain := &primary, w.c.Nodes[j].Kind
	if w.c.Nodes[j].Inside {
		inside, plain = &candidate, w.p.Nodes[i].Kind
	}
	if plain == body.String {
		kind = Undecoded
	} else {
		inside.whole = inside.value()
		inside.text, inside.class = body.AppendQuoted(nil, string(inside.whole)), "string"
	}
	w.find.add(w.here(), kind, primary, candidate)
}

// setDecode reads how texts, or the whole body, are to be read.
func (r *rule) setDecode() []parallax.Fault {
	word := r.source.Decode
	if word == "" {
		return nil
	}
	if r.place == placeBody {
		return r.setBodyFormat()
	}
	opens, err := body.ParseDecoding(word)
	if err != nil {
		return []parallax.Fault{{Path: "decode", Text: err.Error(), Hint: "write " + strings.Join(body.DecodingFormats, ", ") +
			", perhaps after codings such as base64+gzip+json; codings are " + strings.Join(body.DecodingCodings, ", ")}}
	}
	r.opens = &opens
	return nil
}

// setBodyFormat reads how bodies are read, whatever their content type says.
func (r *rule) setBodyFormat() []parallax.Fault {
	if slices.Contains(bodyFormats, Format(r.source.Decode)) {
		return nil
	}
	words := make([]string, len(bodyFormats))
	for i, f := range bodyFormats {
		words[i] = string(f)
	}
	return []parallax.Fault{{Path: "decode", Text: fmt.Sprintf("bodies are not read as %.40q", r.source.Decode), Hint: "there are " + strings.Join(words, ", ")}}
}

// sniffed is the format that asks to look at a body whose content type says
// nothing.
const sniffed Format = "sniff"

// bodyFormats are what a rule about the body may ask for.
var bodyFormats = []Format{sniffed, JSON, NDJSON, Events, Form, XML, GraphQL, Protobuf, GRPC, Text, Bytes}

// readAs returns how a body is read: as the last rule about bodies says, otherwise
// as its content type does.
func (f *finder) readAs(contentType string, text []byte) Format {
	of := FormatOf(contentType)
	if of == JSON && (f.answers.graphql || mediaType(contentType) == graphqlType) {
		of = GraphQL
	}
	for _, r := range slices.Backward(f.rules) {
		if r.place != placeBody || r.source.Decode == "" {
			continue
		}
		if Format(r.source.Decode) != sniffed {
			return Format(r.source.Decode)
		}
		return sniff(of, text)
	}
	return of
}

// sniff looks at a body whose content type says no more than text or bytes: one
// that begins like a JSON array or object is JSON, one that begins like a document
// or an element is XML, but for HTML.
func sniff(of Format, text []byte) Format {
	if of != Bytes && of != Text {
		return of
	}
	text = bytes.TrimLeft(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), " \t\r\n")
	begins := func(prefix string) bool {
		return len(text) >= len(prefix) && strings.EqualFold(string(text[:len(prefix)]), prefix)
	}
	switch {
	case begins("{"), begins("["):
		return JSON
	case begins("<!doctype html"), begins("<html"):
		return of
	case begins("<?xml"), len(text) > 1 && text[0] == '<' && (text[1]|0x20 >= 'a' && text[1]|0x20 <= 'z' || text[1] == '_'):
		return XML
	}
	return of
}
