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
	same := sameBodies(p, c)
	if same && !readOtherwise(p, c) {
		if !find.assertsAt(placeJSON, placeText, placeBody) {
			// Fast path: nothing is decoded (BenchmarkCompare/equal).
			return true
		}
		if p.Body.Cut || c.Body.Cut {
			return false // Rules ask for more than is kept.
		}
	}
	if p.Body.Cut || c.Body.Cut {
		return !same && compareCut(p, c, find)
	}
	a, errA := find.contentOf(p)
	b, errB := find.contentOf(c)
	bothGraphQL(&a, &b)
	switch {
	case errA != nil && errB != nil && !sameCoding(header(p.Headers, "content-encoding"), header(c.Headers, "content-encoding")):
		undecoded(errA, errB, find)
	case errA != nil && errB != nil:
		compareOpaque(p.Body.Bytes, c.Body.Bytes, find)
	case errA != nil || errB != nil:
		undecoded(errA, errB, find)
	case a.format != b.format:
		compareFormats(a, b, find)
	default:
		compareContents(a, b, find)
	}
	return true
}

// readOtherwise reports whether two bodies may say different things although their
// bytes are the same: the answers tell different charsets, boundaries of parts, or
// codings of messages.
func readOtherwise(p, c *parallax.Response) bool {
	a, b := header(p.Headers, "content-type"), header(c.Headers, "content-type")
	if a != b && (FormatOf(a) == Multipart || FormatOf(b) == Multipart || charsetOf(a) != charsetOf(b)) {
		return true
	}
	return strings.HasPrefix(a, "application/grpc") && header(p.Headers, "grpc-encoding") != header(c.Headers, "grpc-encoding")
}

// sameBodies reports whether two answers are known to have the same body in the
// same coding.
func sameBodies(p, c *parallax.Response) bool {
	return sameBytes(&p.Body, &c.Body) && sameCoding(header(p.Headers, "content-encoding"), header(c.Headers, "content-encoding"))
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

// compareCut compares bodies of which one or both were cut, and reports whether
// that was possible. Texts and bytes differ if their sizes or hashes do. Of JSON that
// can be said only of a body that is far longer than a complete other one, and of
// other trees it cannot be said at all.
func compareCut(p, c *parallax.Response, find *finder) bool {
	format := find.readAs(header(p.Headers, "content-type"), p.Body.Bytes)
	if !uncoded(header(p.Headers, "content-encoding")) || !uncoded(header(c.Headers, "content-encoding")) ||
		format != find.readAs(header(c.Headers, "content-type"), c.Body.Bytes) {
		return false
	}
	if format == GraphQL {
		format = JSON
	}
	a, b := &p.Body, &c.Body
	at := place{kind: placeBody}
	classP, classC := string(format), string(format)
	switch {
	case !format.structured() && !sizesDiffer(a, b) && !(hashed(a) && hashed(b)):
		return false
	case format == Text:
		at.kind = placeText
	case format == Bytes:
	case format == JSON && b.Cut && farLonger(b, a):
		classC = "json:longer"
	case format == JSON && a.Cut && farLonger(a, b):
		classP = "json:longer"
	default:
		return false
	}
	find.add(&at, Changed, side{text: summary(a.Size, a.Sum()), class: classP}, side{text: summary(b.Size, b.Sum()), class: classC})
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
func compareFormats(a, b content, find *finder) {
	if !bytes.Equal(a.text, b.text) {
		find.add(&place{kind: placeBody}, Type, formatSide(a.text, a.format), formatSide(b.text, b.format))
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

// compareContents compares two bodies of one format.
func compareContents(a, b content, find *finder) {
	find.meter = find.allow(a.text, b.text)
	compareMarks(&a, &b, find)
	switch {
	case a.sameBytes(&b) && !find.assertsAt(placeJSON):
	case a.format == Text:
		compareText(a.text, b.text, find)
	case a.format == Bytes:
		compareOpaque(a.text, b.text, find)
	default:
		compareTrees(a, b, find)
	}
	if find.meter.spent() {
		find.stop()
	}
}

// compareTrees compares two bodies that are read as trees.
func compareTrees(a, b content, find *finder) {
	p, c, errP, errC := trees(a, b)
	switch {
	case errP != nil && errC != nil:
		compareOpaque(a.text, b.text, find)
	case errP != nil || errC != nil:
		undecoded(errP, errC, find)
	default:
		if a.format == GraphQL {
			find.asGraphQL()
		}
		walk(p, c, find)
	}
}

// compareOpaque compares bytes nobody can read, by hash and length.
func compareOpaque(a, b []byte, find *finder) {
	if !bytes.Equal(a, b) {
		find.add(&place{kind: placeBody}, Changed, formatSide(a, Bytes), formatSide(b, Bytes))
	}
}
