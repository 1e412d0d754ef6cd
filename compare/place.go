package compare

import (
	"bytes"
	"strconv"
	"strings"

	"parallax/internal/body"
)

// placeKind is what part of an answer a place is in, as rules write it.
type placeKind string

const (
	placeStatus  placeKind = "status"
	placeHeader  placeKind = "header"
	placeCookie  placeKind = "cookie"
	placeTrailer placeKind = "trailer"
	placeText    placeKind = "text"
	placeBody    placeKind = "body"
	placeAnswer  placeKind = "answer" // there is none; no rule excuses that
	placeJSON    placeKind = "$"
	placeRow     placeKind = "effects" // of rules only: what they are about is in a document, see [place.row]
)

// place is where two answers are looked at.
type place struct {
	kind  placeKind
	name  string      // of a header, cookie (with ;attribute) or trailer
	line  int         // of a text, from 1; 0 for all of it
	steps []body.Step // in a JSON document
	nodes []nodes     // the nodes the steps lead to
	row   *rowAt      // that the document stands for; nil for an answer's
}

// nodes are the nodes of one place in both documents, -1 where there is none.
type nodes struct{ p, c int32 }

// path writes the place as people and rules do.
func (at *place) path() string {
	switch at.kind {
	case placeHeader, placeCookie, placeTrailer:
		return string(at.kind) + ":" + at.name
	case placeText:
		if at.line > 0 {
			return "text line " + strconv.Itoa(at.line)
		}
	case placeJSON:
		var out []byte
		if at.row != nil {
			if out = append(out, at.row.String()...); len(at.steps) == 0 {
				return string(out)
			}
			out = append(out, ' ')
		}
		out = append(out, '$')
		for i := range at.steps {
			out = appendStep(out, &at.steps[i])
		}
		return string(out)
	}
	return string(at.kind)
}

// normal writes the place with positions and keys of maps taken out.
func (at *place) normal() string {
	if at.kind == placeText {
		return "text"
	}
	if at.kind != placeJSON {
		return at.path()
	}
	var out []byte
	if at.row != nil {
		if out = append(out, "effects:"+at.row.table...); len(at.steps) == 0 {
			return string(out)
		}
		out = append(out, ' ')
	}
	out = append(out, '$')
	for i := range at.steps {
		out = appendNormal(out, &at.steps[i])
	}
	return string(out)
}

func appendStep(out []byte, s *body.Step) []byte {
	if s.Element {
		if s.Implied && s.Len == 1 {
			return out
		}
		out = strconv.AppendInt(append(out, '['), int64(s.Index), 10)
		return append(out, ']')
	}
	if plainName(s.Name) {
		return append(append(out, '.'), s.Name...)
	}
	out = append(out, "['"...)
	out = append(out, quoteName(s.Name)...)
	return append(out, "']"...)
}

func appendNormal(out []byte, s *body.Step) []byte {
	if s.Element {
		if s.Implied {
			return out
		}
		return append(out, "[*]"...)
	}
	if madeUpName(s.Name) {
		return append(out, ".*"...)
	}
	return appendStep(out, s)
}

// plainName reports whether a member name may stand in a path without quotes.
func plainName(name string) bool {
	for i := 0; i < len(name); i++ {
		c := name[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// quoteName writes a member name for use between single quotes, as RFC 9535,
// section 2.7 has it.
func quoteName(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		switch {
		case c == '\'' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < 0x20 || c == 0x7f:
			b.WriteString(`\u00`)
			b.WriteByte("0123456789abcdef"[c>>4])
			b.WriteByte("0123456789abcdef"[c&15])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// madeUpName reports whether a member name looks like the key of a map (a
// number, a date, an id, an address) and not like the name of a field.
func madeUpName(name string) bool {
	if name == "" {
		return false
	}
	digits, hex, letters := 0, 0, 0
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c >= '0' && c <= '9':
			digits++
			hex++
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			letters++
			if c|0x20 <= 'f' {
				hex++
			}
		case c == '@':
			return true
		}
	}
	switch {
	case digits > 0 && letters == 0: // 17, 2026-11-21
		return true
	case digits > 0 && len(name) >= 12 && hex+strings.Count(name, "-") == len(name): // hashes, UUIDs
		return true
	}
	return digits >= 4 && len(name) >= 20 // tokens
}

// naturally compares paths so that [2] stands before [10].
func naturally(a, b string) int {
	for i, j := 0, 0; ; {
		switch {
		case i == len(a) || j == len(b):
			return (len(a) - i) - (len(b) - j)
		case isDigit(a[i]) && isDigit(b[j]):
			x, y := digitRun(a[i:]), digitRun(b[j:])
			if len(x) != len(y) {
				return len(x) - len(y)
			}
			if n := strings.Compare(x, y); n != 0 {
				return n
			}
			i, j = i+len(x), j+len(y)
		case a[i] != b[j]:
			return int(a[i]) - int(b[j])
		default:
			i, j = i+1, j+1
		}
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func digitRun(s string) string {
	n := 1
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return s[:n]
}

// maxValueBytes is how much of a value a difference keeps.
const maxValueBytes = 512

// cutMark ends a value that was cut.
const cutMark = "…"

// maxPathBytes is how much of a path a difference keeps: names may be as long as a
// body.
const maxPathBytes = 2048

// cut shortens a value to the bound, at the border of a character.
func cut(text []byte) string { return cutTo(text, maxValueBytes) }

func cutTo(text []byte, bound int) string {
	if len(text) <= bound {
		return string(text)
	}
	end := bound
	for end > bound-4 && text[end]&0xc0 == 0x80 {
		end--
	}
	return string(text[:end]) + cutMark
}

// covers reports whether a rule is about a place, or about one it lies in.
func (r *rule) covers(at *place) bool {
	switch r.place {
	case placeBody:
		return at.kind == placeBody || at.kind == placeText || at.kind == placeJSON
	case placeJSON:
		return at.kind == placeJSON && r.path.Covers(at.steps)
	case placeCookie:
		name, _, _ := strings.Cut(at.name, ";")
		return at.kind == placeCookie && (r.name == "" || r.name == at.name || r.name == name)
	}
	return at.kind == r.place && (r.name == "" || r.name == at.name)
}

// valueClass says what a JSON value looks like, in few words, so that differences
// of one cause have one class.
func valueClass(t *body.Tree, i int32) string {
	n := &t.Nodes[i]
	switch n.Kind {
	case body.Array, body.Object:
		if n.Count > 0 {
			return n.Kind.String()
		}
		return map[body.Kind]string{body.Array: "[]", body.Object: "{}"}[n.Kind]
	case body.String:
		return stringClass(t.Value(i))
	}
	return n.Kind.String()
}

// stringClass tells texts of well-known forms apart.
func stringClass(text []byte) string {
	switch {
	case len(text) == 0:
		return `""`
	case isUUID(text):
		return "string:uuid"
	case isTimestamp(text):
		return "string:timestamp"
	case bytes.HasPrefix(text, []byte("http://")), bytes.HasPrefix(text, []byte("https://")):
		return "string:url"
	}
	if _, err := body.ParseDecimal(text); err == nil {
		return "string:number"
	}
	return "string"
}

func isUUID(text []byte) bool {
	if len(text) != 36 {
		return false
	}
	for i, c := range text {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return true
}

// isTimestamp reports whether text begins like 2026-11-21 with a time behind it
// or nothing, or is a date as HTTP writes it.
func isTimestamp(text []byte) bool {
	const shape = "0000-00-00"
	if len(text) >= len(shape) {
		same := true
		for i := range len(shape) {
			same = same && (shape[i] == '-') == (text[i] == '-') && (shape[i] == '-' || isDigit(text[i]))
		}
		if same && (len(text) == len(shape) || text[10] == 'T' || text[10] == 't' || text[10] == ' ') {
			return true
		}
	}
	return len(text) == 29 && bytes.HasSuffix(text, []byte(" GMT")) && text[3] == ','
}

// changeClass joins the forms of both sides; a value that is missing has none.
func changeClass(primary, candidate string) string {
	if primary == candidate {
		return primary
	}
	if primary == "" {
		primary = "missing"
	}
	if candidate == "" {
		candidate = "missing"
	}
	return primary + " became " + candidate
}
