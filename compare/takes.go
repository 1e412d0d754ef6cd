package compare

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"parallax/internal/body"
)

// ruleFor returns the rule that takes a difference away, nil if there is none.
// Rules that expect a difference come first, so that they know of it.
func (f *finder) ruleFor(at *place, kind Kind, primary, candidate side) *rule {
	if at.kind == placeAnswer {
		return nil
	}
	for _, r := range f.asks().expects {
		if r.meets(f, at, kind, primary, candidate) {
			return r
		}
	}
	for _, r := range f.rules {
		switch {
		case r.source.Ignore && r.covers(at):
			return r
		case r.source.Expect == "" && r.values() && r.isAbout(at) && r.takes(f, kind, primary, candidate):
			return r
		}
	}
	return nil
}

// isAbout reports whether a rule is about the very place.
func (r *rule) isAbout(at *place) bool {
	switch {
	case at.kind != r.place:
		return false
	case r.place == placeJSON:
		return r.path.Matches(at.steps)
	case r.place == placeCookie && r.name == "":
		return !strings.Contains(at.name, ";")
	}
	return r.name == "" || r.name == at.name
}

// values reports whether the rule says when two values are alike.
func (r *rule) values() bool {
	s := &r.source
	return s.Tolerance != nil || s.Time != nil || s.Class != "" || s.Regex != "" || len(s.Enum) > 0 ||
		len(s.Null) > 0 || len(s.Text) > 0 || s.URL != nil || s.Move != nil
}

// takes reports whether two values at the rule's place are alike by what it says.
func (r *rule) takes(f *finder, kind Kind, p, c side) bool {
	s := &r.source
	switch {
	case kind == Moved:
		return s.Move != nil && p.class == movedClass
	case kind != Changed && kind != Type && kind != Missing && kind != Extra:
		return false
	case len(s.Null) > 0 && r.nullish(p.class) && r.nullish(c.class):
		return true
	case !scalar(p) || !scalar(c):
		return false
	case !f.listen && r.renames(p, c):
		return true
	case kind == Type:
		return false
	}
	return s.Tolerance != nil && isNumeric(p) && isNumeric(c) && body.Within(p.value(), c.value(), r.abs, r.rel) ||
		s.Time != nil && s.Time.within(p.value(), c.value(), f.received, f.later) ||
		(s.Class != "" || s.Regex != "") && r.fits(p) && r.fits(c) ||
		len(s.Text) > 0 && bytes.Equal(r.plain(p.value()), r.plain(c.value())) ||
		s.URL != nil && r.sameURL(p.value(), c.value())
}

// renames reports whether the candidate has its own word for the primary's.
func (r *rule) renames(p, c side) bool {
	to, ok := r.source.Enum[string(p.value())]
	return ok && to == string(c.value())
}

// scalar reports whether a side is a single value.
func scalar(s side) bool {
	switch s.class {
	case "", "array", "object", "[]", "{}":
		return false
	}
	return true
}

// isNumeric reports whether a side is a number, or a text that is one.
func isNumeric(s side) bool { return s.class == "number" || s.class == "string:number" }

// nullish reports whether a value of a class is equal to null by the rule.
func (r *rule) nullish(class string) bool {
	switch class {
	case "null":
		return true
	case "":
		return slices.Contains(r.source.Null, "missing")
	case `""`, "[]", "{}":
		return slices.Contains(r.source.Null, "empty")
	}
	return false
}

// fits reports whether a value is what the rule says both are: of its class, and
// matched by its expression.
func (r *rule) fits(s side) bool {
	return scalar(s) && r.fitsText(s.value())
}

func (r *rule) fitsText(text []byte) bool {
	if r.source.Class != "" && !HasClass(r.source.Class, text) {
		return false
	}
	return r.regex == nil || len(text) <= maxMatched && r.regex.Match(text)
}

// plain returns a text without what does not count in it: case, or how many blanks
// there are, and whether there are any at its ends.
func (r *rule) plain(text []byte) []byte {
	if slices.Contains(r.source.Text, "space") {
		text = bytes.Join(bytes.Fields(text), []byte(" "))
	}
	if slices.Contains(r.source.Text, "case") {
		text = foldCase(text)
	}
	return text
}

// foldCase returns what texts that differ only in case have in common: each
// character is the first of those that simple folding makes equal to it. Bytes that
// are not UTF-8 stay what they are.
func foldCase(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		c, size := utf8.DecodeRune(text)
		if c == utf8.RuneError && size == 1 {
			out = append(out, text[0])
		} else {
			out = utf8.AppendRune(out, firstFold(c))
		}
		text = text[size:]
	}
	return out
}

func firstFold(c rune) rune {
	first := c
	for next := unicode.SimpleFold(c); next != c; next = unicode.SimpleFold(next) {
		first = min(first, next)
	}
	return first
}

// sameURL compares two addresses by their parts.
func (r *rule) sameURL(p, c []byte) bool {
	a, okA := r.address(p)
	b, okB := r.address(c)
	return okA && okB && a == b
}

// address writes an address in the one way that all equal ones share; false if it
// is none.
func (r *rule) address(text []byte) (string, bool) {
	if len(text) > maxClassed {
		return "", false
	}
	u, err := url.Parse(string(text))
	if err != nil {
		return "", false
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", false
	}
	u.Scheme, u.Host, u.RawQuery, u.ForceQuery = strings.ToLower(u.Scheme), strings.ToLower(u.Host), "", false
	for _, part := range r.source.URL.Without {
		switch name, one := strings.CutPrefix(part, "query:"); {
		case one:
			query.Del(name)
		case part == "origin":
			u.Scheme, u.Host, u.User = "", "", nil
		case part == "query":
			query = nil
		case part == "fragment":
			u.Fragment, u.RawFragment = "", ""
		}
	}
	return u.String() + " ?" + query.Encode(), true
}
