package body

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Decoding says how a text inside a document is read: codings that are taken off
// one after the other, then what it is.
type Decoding struct {
	codings []string
	format  string
}

// The words of a decoding.
var (
	DecodingCodings = []string{"base64", "gzip", "deflate", "br", "zstd"}
	DecodingFormats = []string{"json", "ndjson", "xml", "form", "jwt", "text"}
)

// ParseDecoding reads a decoding such as json, base64 or base64+gzip+json: the
// codings in the order they are taken off, then what is left. Without the latter
// it is text.
func ParseDecoding(text string) (Decoding, error) {
	words := strings.Split(text, "+")
	d := Decoding{format: "text"}
	for i, word := range words {
		switch {
		case slices.Contains(DecodingCodings, word):
			d.codings = append(d.codings, word)
		case i == len(words)-1 && slices.Contains(DecodingFormats, word):
			d.format = word
		default:
			return d, fmt.Errorf("unknown word %.40q", word)
		}
	}
	if len(d.codings) > maxDecodings {
		return d, fmt.Errorf("%d codings, at most %d are taken off", len(d.codings), maxDecodings)
	}
	if len(d.codings) == 0 && d.format == "text" {
		return d, errors.New("a text is text already")
	}
	return d, nil
}

// Format returns what the text is once its codings are off.
func (d Decoding) Format() string { return d.format }

// Coded reports whether codings are taken off.
func (d Decoding) Coded() bool { return len(d.codings) > 0 }

// Open reads a text and returns it as a JSON document. At most limit bytes are
// decoded.
func (d Decoding) Open(text []byte, limits Limits, limit int64) ([]byte, error) {
	var err error
	for _, coding := range d.codings {
		if coding == "base64" {
			text, err = fromBase64(text)
		} else {
			text, err = Decode(coding, text, limit)
		}
		if err != nil {
			return nil, err
		}
	}
	switch d.format {
	case "text":
		return AppendQuoted(nil, string(text)), nil
	case "jwt":
		return openJWT(text, limits)
	case "ndjson":
		return documentText(ParseNDJSON(text, limits))
	case "xml":
		return documentText(ParseXML(text, limits, int(limit)))
	case "form":
		return documentText(ParseForm(text, limits))
	}
	return documentText(ParseJSON(text, limits))
}

// documentText returns the text of a document's value, without what stands around it.
func documentText(t *Tree, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return t.Text(0), nil
}

// openJWT reads a JSON Web Token (RFC 7519) that is signed and not encrypted as
// {"header": {...}, "payload": {...}, "signature": "..."}. Nothing is verified.
func openJWT(token []byte, limits Limits) ([]byte, error) {
	parts := bytes.Split(token, []byte("."))
	if len(parts) != 3 {
		return nil, errors.New("not a signed JSON Web Token")
	}
	out := []byte{'{'}
	for i, name := range []string{"header", "payload"} {
		text, err := fromBase64(parts[i])
		if err != nil {
			return nil, fmt.Errorf("not a JSON Web Token: its %s: %w", name, err)
		}
		if text, err = documentText(ParseJSON(text, limits)); err != nil {
			return nil, fmt.Errorf("not a JSON Web Token: its %s: %w", name, err)
		}
		out = append(append(append(AppendQuoted(out, name), ':'), text...), ',')
	}
	return append(AppendQuoted(append(out, `"signature":`...), string(parts[2])), '}'), nil
}
