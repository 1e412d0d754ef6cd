package ids

import (
	"fmt"
	"math"
	"strings"

	"parallax"
	"parallax/internal/body"
)

type placeKind uint8

const (
	inBody     placeKind = iota // a value that a path selects
	inPath                      // a segment of the request's path
	inLocation                  // a segment of the path in Location
	inQuery                     // a parameter
	inHeader
	inCookie
	anyInPath
	anyInQuery
	anyInBody
	inNextLink // the query of the address in Link whose rel is next
	inTagList  // entity tags, separated by commas
)

// place is where values of an identifier stand.
type place struct {
	text   string
	method string    // "" or *: any
	scope  *template // of the request's path; nil: any
	kind   placeKind
	name   string
	path   *body.Path
	where  *template
}

// bare reports whether only values of 64 bits and more count there.
func (p *place) bare() bool {
	return p.kind == anyInPath || p.kind == anyInQuery || p.kind == anyInBody
}

// applies reports whether a request, or its answer, is looked at.
func (p *place) applies(method, path string) bool {
	if p.method != "" && p.method != "*" && p.method != method {
		return false
	}
	if p.scope == nil {
		return true
	}
	_, _, ok := p.scope.find(path)
	return ok
}

const bareHint = "write an exact place, such as path:/orders/{id}, query:order or $.order_id; bare path, query and body are for values of 64 bits and more, because the 17 of an order and a quantity of 17 look the same"

// locate reads the place itself.
func (p *place) locate(text string, born bool) *placeError {
	var err *placeError
	kind, name, named := strings.Cut(text, ":")
	switch {
	case strings.HasPrefix(text, "$"):
		path, wrong := body.ParsePath(text)
		if wrong != nil {
			return &placeError{wrong.Error(), "write a path such as $.id"}
		}
		p.kind, p.path = inBody, path
	case named && kind == "path" && !born:
		p.kind = inPath
		p.where, err = parseTemplate(name, true)
	case named && kind == "location":
		p.kind = inLocation
		p.where, err = parseTemplate(name, true)
	case named && kind == "query" && !born:
		p.kind, p.name, err = inQuery, name, needName(text, name)
	case named && kind == "header" && parallax.IsToken(name):
		p.kind, p.name = inHeader, name
	case named && kind == "cookie" && parallax.IsToken(name):
		p.kind, p.name = inCookie, name
	case born && (kind == "path" || kind == "query" || text == "body"):
		return &placeError{fmt.Sprintf("no value is born at %q", text), "write where the answer has it, such as $.id, header:NAME, cookie:NAME or location:/orders/{id}"}
	case text == "path":
		p.kind = anyInPath
	case text == "query":
		p.kind = anyInQuery
	case text == "body":
		p.kind = anyInBody
	default:
		return &placeError{fmt.Sprintf("%q is no place", text), bareHint}
	}
	return err
}

func needName(text, name string) *placeError {
	if name == "" {
		return &placeError{fmt.Sprintf("%q names no parameter", text), bareHint}
	}
	return nil
}

// template is a path with variables.
type template struct {
	segments []templateSegment
	open     bool // any rest may follow
	value    int  // segment that is the value; -1 for none
}

type templateSegment struct {
	any            bool
	prefix, suffix string // around what is any
}

// parseTemplate reads a template. With value, exactly one of its variables in
// braces is the identifier.
func parseTemplate(text string, value bool) (*template, *placeError) {
	hint := "write a template such as /orders/{id}, with * for any other segment and /** for any rest"
	if !strings.HasPrefix(text, "/") || strings.ContainsAny(text, "?# ") {
		return nil, &placeError{fmt.Sprintf("%q is no template of a path", text), hint}
	}
	t := &template{value: -1}
	segments := strings.Split(text[1:], "/")
	for i, s := range segments {
		last := i == len(segments)-1
		if s == "**" || s == "*" && !value && last || strings.HasSuffix(s, "...}") && !value {
			if !last {
				return nil, &placeError{fmt.Sprintf("%s is not the last segment of %q", s, text), hint}
			}
			t.open = true
			break
		}
		seg, braces, err := parseSegment(s)
		if err {
			return nil, &placeError{fmt.Sprintf("cannot read segment %q of %q", s, text), hint}
		}
		if braces && value {
			if t.value >= 0 {
				return nil, &placeError{fmt.Sprintf("%q has more than one variable", text), "write {id} for the identifier and * for the others, such as /users/*/orders/{id}"}
			}
			t.value = i
		}
		t.segments = append(t.segments, seg)
	}
	if value && t.value < 0 {
		return nil, &placeError{fmt.Sprintf("%q has no variable", text), hint}
	}
	return t, nil
}

func parseSegment(s string) (seg templateSegment, braces, bad bool) {
	if s == "*" {
		return templateSegment{any: true}, false, false
	}
	opens, closes := strings.IndexByte(s, '{'), strings.IndexByte(s, '}')
	if opens < 0 && closes < 0 {
		return templateSegment{prefix: s}, false, false
	}
	if opens < 0 || closes < opens || strings.ContainsAny(s[closes+1:], "{}") || strings.ContainsAny(s[opens+1:closes], "{}") {
		return seg, false, true
	}
	return templateSegment{any: true, prefix: s[:opens], suffix: s[closes+1:]}, true, false
}

// find matches a raw path and returns where the value stands in it; 0, 0 if the
// template has none.
func (t *template) find(path string) (start, end int, ok bool) {
	if !strings.HasPrefix(path, "/") {
		return 0, 0, false
	}
	at := 1
	for i, s := range t.segments {
		if at > len(path) {
			return 0, 0, false
		}
		stop := len(path)
		if j := strings.IndexByte(path[at:], '/'); j >= 0 {
			stop = at + j
		}
		segment := path[at:stop]
		if !s.any && segment != s.prefix || s.any && (len(segment) <= len(s.prefix)+len(s.suffix) ||
			!strings.HasPrefix(segment, s.prefix) || !strings.HasSuffix(segment, s.suffix)) {
			return 0, 0, false
		}
		if i == t.value {
			start, end = at+len(s.prefix), stop-len(s.suffix)
		}
		at = stop + 1
	}
	return start, end, t.open || at == len(path)+1
}

// BareBits is how much a value must hold at least to be known at a bare place.
const BareBits = 64

// Bits estimates how many bits a value that was made up at random holds: its
// length times what one of its characters may be, by the classes of characters in
// it: digits 3.3 bits, hexadecimal 4, letters of one case with digits 5.2, of both
// cases 6. Dashes are not counted. Letters alone may be words and count 2 bits
// each; a text of fewer than six different characters is taken for none.
func Bits(value string) float64 {
	var digits, lower, upper, other, beyondHex int
	var seen [128]bool
	different, n := 0, 0
	for i := range len(value) {
		c := value[i]
		if c >= 0x80 || c <= ' ' {
			return 0
		}
		if c == '-' {
			continue
		}
		n++
		if !seen[c] {
			seen[c] = true
			different++
		}
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'z':
			lower++
			if c > 'f' {
				beyondHex++
			}
		case c >= 'A' && c <= 'Z':
			upper++
			if c > 'F' {
				beyondHex++
			}
		default:
			other++
		}
	}
	bits := 6.0
	switch {
	case different < 6:
		return 0
	case digits == n:
		bits = math.Log2(10)
	case digits == 0:
		bits = 2
	case beyondHex+other == 0:
		bits = 4
	case lower == 0 || upper == 0:
		bits = math.Log2(36)
	}
	return float64(n) * bits
}
