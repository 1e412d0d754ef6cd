package mirror

import "strings"

// longLiteral is how long a segment may be before it is taken for a value, in
// bytes.
const longLiteral = 48

// classes are what class calls values.
var classes = []string{"{text}", "{id}", "{uuid}", "{date}", "{hash}", "{email}", "{version}", "{locale}", "{token}", "{slug}", "{code}"}

// class returns what a segment of a path that nobody declared is called in a
// template: itself, or the class of the value that it looks like. It costs one
// pass and no allocation.
func class(s string) string {
	c := count(s)
	switch {
	case c.strange > 0:
		return "{text}"
	case c.digits > 0 && c.digits == len(s):
		return "{id}"
	case s == "", c.digits == 0 && c.joints < 3 && c.at == 0 && len(s) <= longLiteral && !locale(s):
		return s // Fast path: a plain word; see BenchmarkFindEndpoint
	}
	return c.class(s)
}

// class decides about a segment that is not plainly a word.
func (c chars) class(s string) string {
	switch {
	case len(s) == 36 && c.hexes+c.digits == 32 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-':
		return "{uuid}"
	case date(s):
		return "{date}"
	case c.hexes+c.digits == len(s) && len(s) >= 8 && c.digits > 0:
		return "{hash}"
	case c.at == 1 && s[0] != '@' && strings.IndexByte(s[strings.IndexByte(s, '@'):], '.') > 1:
		return "{email}"
	case c.digits >= 2 && c.dots > 0 && c.digits+c.dots == len(s), c.dots >= 2 && s[0] == 'v' && c.digits+c.dots+1 == len(s):
		return "{version}"
	case locale(s):
		return "{locale}"
	case len(s) >= 20 && c.digits >= 4, len(s) >= 12 && c.digits > 0 && c.lower > 0 && c.upper > 1 && c.joints < 3:
		return "{token}"
	case len(s) > longLiteral:
		return "{text}"
	case c.joints >= 3:
		return "{slug}"
	case c.digits >= 3:
		return "{code}"
	}
	return s
}

// chars counts what a segment is made of. Hexes are letters from a to f, which
// lower and upper count too.
type chars struct{ digits, hexes, lower, upper, joints, dots, at, strange int }

func count(s string) (c chars) {
	for i := range len(s) {
		switch b := s[i]; {
		case b >= 'a' && b <= 'z':
			c.lower++
			if b <= 'f' {
				c.hexes++
			}
		case b >= '0' && b <= '9':
			c.digits++
		case b == '-' || b == '_':
			c.joints++
		case b >= 'A' && b <= 'Z':
			c.upper++
			if b <= 'F' {
				c.hexes++
			}
		case b == '.':
			c.dots++
		case b == '@':
			c.at++
		case b <= ' ' || b >= 0x7f || b == '%' || b == '{' || b == '}':
			c.strange++
		}
	}
	return c
}

// date reports whether a segment begins with a day such as 2026-11-21 and goes
// on, if at all, with a time.
func date(s string) bool {
	if len(s) < 10 || s[4] != '-' || s[7] != '-' || len(s) > 10 && s[10] != 'T' {
		return false
	}
	return digits(s[:4]) && digits(s[5:7]) && digits(s[8:10])
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// locale reports whether a segment is a language with its country, such as
// en-US or pt_BR. A language alone could be any short word.
func locale(s string) bool {
	return len(s) == 5 && (s[2] == '-' || s[2] == '_') &&
		count(s[:2]).lower == 2 && count(s[3:]).upper == 2
}
