package body

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Path is a compiled query: the subset of RFC 9535 that names places. It has
// names, indices, slices, wildcards, descendant segments, and filters that compare
// values ([Doc]) or ask whether there are any; functions are refused.
type Path struct {
	text     string
	segments []segment
	end      string // the name of whatever it selects, if ends
	ends     bool
}

// segment is one step of a path: any of its selectors may match, and a
// descendant segment may skip levels first.
type segment struct {
	descendant bool
	selectors  []selector
}

type selectorKind uint8

const (
	byName selectorKind = iota
	byIndex
	bySlice
	byWildcard
	byFilter
)

type selector struct {
	kind             selectorKind
	name             string
	index            int64
	start, end, step int64
	hasStart, hasEnd bool
	filter           *filter
}

// PathError says what is wrong with a path and where: Column counts characters
// from 1.
type PathError struct {
	Path   string
	Column int
	Text   string
}

// Error returns the fault as one sentence.
func (e *PathError) Error() string {
	return fmt.Sprintf("cannot read path %.200q: column %d: %s", e.Path, e.Column, e.Text)
}

// Limits of a path that is read from configuration.
const (
	maxPathBytes    = 4096
	maxPathSegments = 128
	maxPathInteger  = 1<<53 - 1 // RFC 9535, section 2.1: the I-JSON range
)

// ParsePath reads a path such as $.items[*].price. Its error is a [*PathError].
func ParsePath(text string) (*Path, error) {
	p := &pathParser{text: text}
	if len(text) > maxPathBytes {
		return nil, p.fault(0, fmt.Sprintf("a path has at most %d bytes", maxPathBytes))
	}
	if !utf8.ValidString(text) {
		return nil, p.fault(0, "this is not UTF-8")
	}
	if !strings.HasPrefix(text, "$") {
		return nil, p.fault(0, "a path begins with $")
	}
	p.at = 1
	out := &Path{text: text}
	for p.at < len(text) {
		if len(out.segments) == maxPathSegments {
			return nil, p.fault(p.at, fmt.Sprintf("a path has at most %d segments", maxPathSegments))
		}
		s, err := p.segment()
		if err != nil {
			return nil, err
		}
		out.segments = append(out.segments, s)
	}
	out.seal()
	return out, nil
}

// String returns the path as it was written.
func (p *Path) String() string { return p.text }

// Names returns the member names the path mentions, in order.
func (p *Path) Names() []string {
	var names []string
	for _, s := range p.segments {
		for _, sel := range s.selectors {
			if sel.kind == byName {
				names = append(names, sel.name)
			}
		}
	}
	return names
}

type pathParser struct {
	text  string
	at    int
	depth int // of filters and parentheses
}

func (p *pathParser) fault(at int, text string) error {
	return &PathError{Path: p.text, Column: utf8.RuneCountInString(p.text[:min(at, len(p.text))]) + 1, Text: text}
}

func (p *pathParser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *pathParser) blanks() {
	for p.at < len(p.text) && strings.IndexByte(" \t\n\r", p.text[p.at]) >= 0 {
		p.at++
	}
}

// segment reads .name, .*, ..name, ..*, ..[...] or [...].
func (p *pathParser) segment() (segment, error) {
	start := p.at
	p.blanks()
	if p.at == len(p.text) {
		return segment{}, p.fault(start, "a path does not end with a blank")
	}
	switch {
	case strings.HasPrefix(p.text[p.at:], ".."):
		p.at += 2
		s := segment{descendant: true}
		var err error
		if p.peek() == '[' {
			s.selectors, err = p.bracket()
		} else {
			s.selectors, err = p.shorthand()
		}
		return s, err
	case p.peek() == '.':
		p.at++
		selectors, err := p.shorthand()
		return segment{selectors: selectors}, err
	case p.peek() == '[':
		selectors, err := p.bracket()
		return segment{selectors: selectors}, err
	}
	return segment{}, p.fault(p.at, "want a dot or a bracket here")
}

// shorthand reads a wildcard or a bare member name.
func (p *pathParser) shorthand() ([]selector, error) {
	if p.peek() == '*' {
		p.at++
		return []selector{{kind: byWildcard}}, nil
	}
	start := p.at
	for p.at < len(p.text) {
		r, size := utf8.DecodeRuneInString(p.text[p.at:])
		if !nameRune(r, p.at == start) {
			break
		}
		p.at += size
	}
	if p.at == start {
		return nil, p.fault(start, "want a name or * here; other names are written ['like this']")
	}
	return []selector{{kind: byName, name: p.text[start:p.at]}}, nil
}

// nameRune reports whether r may stand in a bare member name.
func nameRune(r rune, first bool) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '_', r >= 0x80:
		return true
	}
	return !first && r >= '0' && r <= '9'
}

// bracket reads [selector, selector, ...].
func (p *pathParser) bracket() ([]selector, error) {
	p.at++
	var out []selector
	for {
		p.blanks()
		s, err := p.selector()
		if err != nil {
			return nil, err
		}
		out = append(out, s)
		p.blanks()
		switch p.peek() {
		case ',':
			p.at++
		case ']':
			p.at++
			return out, nil
		default:
			return nil, p.fault(p.at, "want , or ] here")
		}
	}
}

func (p *pathParser) selector() (selector, error) {
	switch c := p.peek(); {
	case c == '*':
		p.at++
		return selector{kind: byWildcard}, nil
	case c == '\'' || c == '"':
		name, err := p.quoted(c)
		return selector{kind: byName, name: name}, err
	case c == '?':
		return p.filter()
	case c == ':' || c == '-' || c >= '0' && c <= '9':
		return p.indexOrSlice()
	}
	return selector{}, p.fault(p.at, "want a quoted name, an index, a slice, a filter or * here")
}

func (p *pathParser) indexOrSlice() (selector, error) {
	var s selector
	var err error
	if p.peek() != ':' {
		if s.start, err = p.integer(); err != nil {
			return s, err
		}
		s.hasStart = true
		after := p.at
		p.blanks()
		if p.peek() != ':' {
			p.at = after
			return selector{kind: byIndex, index: s.start}, nil
		}
	}
	s.kind, s.step = bySlice, 1
	p.at++
	p.blanks()
	if c := p.peek(); c == '-' || c >= '0' && c <= '9' {
		if s.end, err = p.integer(); err != nil {
			return s, err
		}
		s.hasEnd = true
		p.blanks()
	}
	if p.peek() != ':' {
		return s, nil
	}
	p.at++
	p.blanks()
	if c := p.peek(); c == '-' || c >= '0' && c <= '9' {
		s.step, err = p.integer()
	}
	return s, err
}

// integer reads the int production of RFC 9535: no leading zeros, no -0, within
// the I-JSON range.
func (p *pathParser) integer() (int64, error) {
	start := p.at
	if p.peek() == '-' {
		p.at++
	}
	digits := p.at
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.at++
	}
	word := p.text[start:p.at]
	switch {
	case p.at == digits:
		return 0, p.fault(start, "want a whole number here")
	case p.text[digits] == '0' && (p.at-digits > 1 || digits > start):
		return 0, p.fault(start, "whole numbers have no leading zeros and no -0")
	}
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil || n > maxPathInteger || n < -maxPathInteger {
		return 0, p.fault(start, "this number is out of range")
	}
	return n, nil
}

// quoted reads a quoted name with the escapes of RFC 9535, section 2.3.1.1.
func (p *pathParser) quoted(quote byte) (string, error) {
	open := p.at
	p.at++
	var b strings.Builder
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == quote:
			p.at++
			return b.String(), nil
		case c < 0x20:
			return "", p.fault(p.at, "control characters in a name are written as escapes")
		case c == '\\':
			if err := p.escape(&b, quote); err != nil {
				return "", err
			}
		default:
			b.WriteByte(c)
			p.at++
		}
	}
	return "", p.fault(open, "this quoted name does not end")
}

func (p *pathParser) escape(b *strings.Builder, quote byte) error {
	start := p.at
	p.at++
	c := p.peek()
	p.at++
	switch c {
	case 'b':
		b.WriteByte('\b')
	case 'f':
		b.WriteByte('\f')
	case 'n':
		b.WriteByte('\n')
	case 'r':
		b.WriteByte('\r')
	case 't':
		b.WriteByte('\t')
	case '/', '\\':
		b.WriteByte(c)
	case 'u':
		return p.unicode(b, start)
	default:
		if c != quote {
			return p.fault(start, "this escape is not known")
		}
		b.WriteByte(c)
	}
	return nil
}

// unicode reads the digits of \uXXXX; a high surrogate must be followed by a low
// one.
func (p *pathParser) unicode(b *strings.Builder, start int) error {
	r, ok := hex4(p.text[min(p.at, len(p.text)):])
	if !ok {
		return p.fault(start, `want four hex digits behind \u`)
	}
	p.at += 4
	if utf16.IsSurrogate(r) {
		rest := p.text[p.at:]
		low, ok := rune(0), strings.HasPrefix(rest, `\u`)
		if ok {
			low, ok = hex4(rest[2:])
		}
		pair := utf16.DecodeRune(r, low)
		if !ok || pair == utf8.RuneError {
			return p.fault(start, "half of a surrogate pair")
		}
		p.at += 6
		r = pair
	}
	b.WriteRune(r)
	return nil
}

// hex4 reads four hex digits.
func hex4[T string | []byte](s T) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for i := range 4 {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// FromEnd reports whether the path counts from the end of an array anywhere, so
// that the array's length must be known to match it.
func (p *Path) FromEnd() bool {
	for _, s := range p.segments {
		for _, sel := range s.selectors {
			if sel.index < 0 || sel.start < 0 || sel.end < 0 || sel.step < 0 {
				return true
			}
		}
	}
	return false
}

// Filters reports whether the path has a filter, so that documents must be at hand
// to match it.
func (p *Path) Filters() bool {
	for _, s := range p.segments {
		for _, sel := range s.selectors {
			if sel.kind == byFilter {
				return true
			}
		}
	}
	return false
}

// Steps returns the way to the one place a path names; false if it may name
// several. The lengths of arrays are unknown.
func (p *Path) Steps() ([]Step, bool) {
	out := make([]Step, 0, len(p.segments))
	for _, s := range p.segments {
		if s.descendant || len(s.selectors) != 1 {
			return nil, false
		}
		switch sel := s.selectors[0]; sel.kind {
		case byName:
			out = append(out, Step{Name: sel.name})
		case byIndex:
			out = append(out, Step{Element: true, Index: int(sel.index)})
		default:
			return nil, false
		}
	}
	return out, true
}
