package compare

import (
	"bytes"
	"fmt"
	"strings"

	"parallax"
	"parallax/internal/body"
)

// maxDecoded bounds a body once its coding is off, in bytes.
const maxDecoded = 16 << 20

// Format is how a body is read.
type Format string

// The formats.
const (
	JSON  Format = "json"
	Text  Format = "text"
	Bytes Format = "bytes"
)

// FormatOf returns how a body with this content type is read: media types of JSON
// (application/json, +json) as JSON, text and XML and the like as text, everything
// else as bytes.
func FormatOf(contentType string) Format {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	media = strings.TrimSpace(media)
	switch {
	case media == "application/json", media == "text/json", strings.HasSuffix(media, "+json"):
		return JSON
	case strings.HasPrefix(media, "text/"), strings.HasSuffix(media, "+xml"), strings.HasSuffix(media, "+yaml"):
		return Text
	}
	switch strings.TrimPrefix(media, "application/") {
	case "xml", "javascript", "ecmascript", "x-javascript", "x-www-form-urlencoded", "x-ndjson", "ndjson",
		"jsonlines", "yaml", "x-yaml", "graphql", "sql", "toml":
		return Text
	}
	return Bytes
}

// header returns the value of a header, repeats joined.
func header(fields []parallax.Field, name string) string {
	value, found := "", false
	for _, f := range fields {
		if !strings.EqualFold(f.Name, name) {
			continue
		}
		if found {
			value += ", "
		}
		value, found = value+f.Value, true
	}
	return value
}

// compareBodies compares the bodies of two answers. It reports whether that was
// possible: a body that was cut may not be.
func compareBodies(p, c *parallax.Response, find *finder) (possible bool) {
	if sameBodies(p, c) {
		if !find.assertsAt(placeJSON, placeText, placeBody) {
			// Fast path: nothing is decoded (BenchmarkCompare/equal).
			return true
		}
		if p.Body.Cut || c.Body.Cut {
			return false // Rules ask for more than is kept.
		}
	}
	codingP, codingC := header(p.Headers, "content-encoding"), header(c.Headers, "content-encoding")
	formatP, formatC := FormatOf(header(p.Headers, "content-type")), FormatOf(header(c.Headers, "content-type"))
	if p.Body.Cut || c.Body.Cut {
		return uncoded(codingP) && uncoded(codingC) && formatP == formatC && compareCut(&p.Body, &c.Body, formatP, find)
	}
	a, errA := body.Decode(codingP, p.Body.Bytes, maxDecoded)
	b, errB := body.Decode(codingC, c.Body.Bytes, maxDecoded)
	switch {
	case errA != nil && errB != nil:
		compareOpaque(p.Body.Bytes, c.Body.Bytes, find)
	case errA != nil || errB != nil:
		undecoded(errA, errB, find)
	case formatP != formatC:
		compareFormats(a, b, formatP, formatC, find)
	default:
		compareDecoded(formatP, a, b, find)
	}
	return true
}

// sameBodies reports whether two answers are known to have the same body in the
// same coding.
func sameBodies(p, c *parallax.Response) bool {
	return sameBytes(&p.Body, &c.Body) && strings.EqualFold(header(p.Headers, "content-encoding"), header(c.Headers, "content-encoding"))
}

// sameBytes reports whether two bodies are known to be the same. Hashes cover
// all that passed, so they serve for bodies that were cut as well.
func sameBytes(p, c *parallax.Body) bool {
	if p.Size != c.Size && (p.Cut || c.Cut) {
		return false
	}
	if p.Cut || c.Cut {
		return hashed(p) && hashed(c) && p.Sum() == c.Sum()
	}
	return bytes.Equal(p.Bytes, c.Bytes)
}

func hashed(b *parallax.Body) bool { return b.Sum() != [32]byte{} }

// uncoded reports whether a body with this Content-Encoding is as it is. Coded
// bytes say nothing about the text: the same text may be coded in many ways.
func uncoded(coding string) bool {
	codings, err := body.Codings(coding)
	return err == nil && len(codings) == 0
}

// sizesDiffer reports whether two bodies are known to differ in size. One without
// a hash was not seen to its end and has at least its size.
func sizesDiffer(p, c *parallax.Body) bool {
	switch {
	case seen(p) && seen(c):
		return p.Size != c.Size
	case seen(p):
		return c.Size > p.Size
	case seen(c):
		return p.Size > c.Size
	}
	return false
}

// seen reports whether a body was seen to its end.
func seen(b *parallax.Body) bool { return !b.Cut || hashed(b) }

// compareCut compares bodies of one format of which one or both were cut. Texts
// and bytes differ if their sizes or hashes do. Of JSON that can be said only of a
// body that is far longer than a complete other one.
func compareCut(p, c *parallax.Body, format Format, find *finder) bool {
	at := place{kind: placeBody}
	classP, classC := string(format), string(format)
	switch {
	case format != JSON && !sizesDiffer(p, c) && !(hashed(p) && hashed(c)):
		return false
	case format == Text:
		at.kind = placeText
	case format == JSON && c.Cut && farLonger(c, p):
		classC = "json:longer"
	case format == JSON && p.Cut && farLonger(p, c):
		classP = "json:longer"
	case format == JSON:
		return false
	}
	find.add(&at, Changed, side{text: summary(p.Size, p.Sum()), class: classP}, side{text: summary(c.Size, c.Sum()), class: classC})
	return true
}

// farLonger reports whether a JSON body that was cut has more than twice as many
// characters as a complete one, going by the beginning that was kept. Blanks
// between tokens do not count, and an escaped character is one, so that spelling
// alone does not make a body far longer.
func farLonger(cut, complete *parallax.Body) bool {
	if complete.Cut {
		return false
	}
	if len(cut.Bytes) == 0 { // given up unread; blanks and escapes take a few bytes a character
		return cut.Size > 12*int64(len(complete.Bytes))
	}
	begins := int64(jsonCharacters(cut.Bytes))
	return max(begins, begins*(cut.Size/int64(len(cut.Bytes)))) > 2*int64(jsonCharacters(complete.Bytes))
}

// jsonCharacters counts the characters of a JSON text without blanks between its
// tokens.
func jsonCharacters(text []byte) int {
	n, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			n++
			if i++; i < len(text) && text[i] == 'u' {
				i += 4
			}
		case c == '"':
			n, quoted = n+1, !quoted
		case !quoted && isBlank(c), c&0xc0 == 0x80: // A later byte of a character.
		default:
			n++
		}
	}
	return n
}

func summary(size int64, hash [32]byte) []byte {
	return fmt.Appendf(nil, "%d bytes, SHA-256 %x…", size, hash[:8])
}

// undecoded reports that one side cannot be decoded as what it says it is.
func undecoded(errP, errC error, find *finder) {
	sideOf := func(err error) side {
		if err == nil {
			return side{text: []byte("decoded"), class: "decoded"}
		}
		return side{text: []byte(err.Error()), class: "undecoded"}
	}
	find.add(&place{kind: placeBody}, Undecoded, sideOf(errP), sideOf(errC))
}

// compareFormats compares bodies that are not of one format: they are equal only
// if their bytes are.
func compareFormats(a, b []byte, formatP, formatC Format, find *finder) {
	if !bytes.Equal(a, b) {
		find.add(&place{kind: placeBody}, Type, formatSide(a, formatP), formatSide(b, formatC))
	}
}

func formatSide(text []byte, f Format) side {
	class := string(f)
	if len(text) == 0 {
		class = "empty"
	}
	s := side{text: text, class: class, whole: text}
	if f == Bytes && len(text) > 0 {
		s.text = summaryOf(text)
	}
	return s
}

// compareDecoded compares two bodies of one format.
func compareDecoded(f Format, a, b []byte, find *finder) {
	switch {
	case bytes.Equal(a, b) && !find.assertsAt(placeJSON):
	case f == JSON:
		compareJSON(a, b, find)
	case f == Text:
		compareText(a, b, find)
	default:
		compareOpaque(a, b, find)
	}
}

func compareJSON(a, b []byte, find *finder) {
	p, c, errP, errC := body.ParsePair(a, b, body.DefaultLimits)
	switch {
	case errP != nil && errC != nil:
		compareOpaque(a, b, find)
	case errP != nil || errC != nil:
		undecoded(errP, errC, find)
	default:
		walk(p, c, find)
	}
}

// compareOpaque compares bytes nobody can read, by hash and length.
func compareOpaque(a, b []byte, find *finder) {
	if !bytes.Equal(a, b) {
		find.add(&place{kind: placeBody}, Changed, formatSide(a, Bytes), formatSide(b, Bytes))
	}
}
