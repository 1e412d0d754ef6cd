package body

import (
	"fmt"
	"strings"
)

// maxFilterDepth bounds how deep parentheses and filters within filters go.
const maxFilterDepth = 32

// filter reads what follows the question mark of a filter.
func (p *pathParser) filter() (selector, error) {
	p.at++
	start := p.at
	c, err := p.anyOf()
	if err != nil {
		return selector{}, err
	}
	return selector{kind: byFilter, filter: &filter{text: p.text[start:p.at], condition: c}}, nil
}

// anyOf reads conditions with || between them.
func (p *pathParser) anyOf() (condition, error) {
	if p.depth++; p.depth > maxFilterDepth {
		return condition{}, p.fault(p.at, fmt.Sprintf("filters and parentheses are nested more than %d deep", maxFilterDepth))
	}
	defer func() { p.depth-- }()
	return p.joined(anyOf, "||", func() (condition, error) { return p.joined(allOf, "&&", p.basic) })
}

// joined reads one or more parts with an operator between them.
func (p *pathParser) joined(kind conditionKind, operator string, part func() (condition, error)) (condition, error) {
	c := condition{kind: kind}
	for {
		p.blanks()
		next, err := part()
		if err != nil {
			return c, err
		}
		c.parts = append(c.parts, next)
		p.blanks()
		if !strings.HasPrefix(p.text[p.at:], operator) {
			return c, nil
		}
		p.at += len(operator)
	}
}

// basic reads a condition in parentheses, a comparison, or a query, which asks
// whether there is such a node. The first and the last may have a ! before them.
func (p *pathParser) basic() (condition, error) {
	if p.peek() == '!' {
		p.at++
		p.blanks()
		if c := p.peek(); c != '(' && c != '@' && c != '$' {
			return condition{}, p.notACondition("want a query or parentheses behind the ! here")
		}
		c, err := p.plain(false)
		return condition{kind: not, parts: []condition{c}}, err
	}
	return p.plain(true)
}

func (p *pathParser) plain(mayCompare bool) (condition, error) {
	if p.peek() == '(' {
		p.at++
		c, err := p.anyOf()
		if err == nil && p.peek() != ')' {
			err = p.fault(p.at, "want && or || or ) here")
		}
		p.at++
		return c, err
	}
	start := p.at
	left, err := p.operand()
	if err != nil {
		return condition{}, err
	}
	end := p.at
	p.blanks()
	by := p.comparison()
	switch {
	case by == "" && left.query == nil:
		return condition{}, p.fault(p.at, "want a comparison here: a value alone is no condition")
	case by == "" || !mayCompare:
		p.at = end
		return condition{kind: exists, query: left.query}, nil
	case left.query != nil && !left.query.singular():
		return condition{}, p.fault(start, "this may be several values, which cannot be compared")
	}
	p.at += len(by)
	p.blanks()
	start = p.at
	right, err := p.operand()
	if err == nil && right.query != nil && !right.query.singular() {
		err = p.fault(start, "this may be several values, which cannot be compared")
	}
	return condition{kind: compares, left: left, by: by, right: right}, err
}

// comparison returns the comparison operator that follows, "" if there is none.
func (p *pathParser) comparison() string {
	for _, by := range []string{"==", "!=", "<=", ">=", "<", ">"} {
		if strings.HasPrefix(p.text[p.at:], by) {
			return by
		}
	}
	return ""
}

// operand reads a query or a literal.
func (p *pathParser) operand() (operand, error) {
	switch c := p.peek(); {
	case c == '@' || c == '$':
		p.at++
		segments, err := p.segments()
		return operand{query: &query{root: c == '$', segments: segments}}, err
	case c == '\'' || c == '"':
		text, err := p.quoted(c)
		return operand{literal: literal(String, `"`+text+`"`)}, err
	}
	if n := numberLen([]byte(p.text[p.at:])); n > 0 {
		p.at += n
		return operand{literal: literal(Number, p.text[p.at-n:p.at])}, nil
	}
	word := p.word()
	for kind := Null; kind <= True; kind++ {
		if word == kind.String() {
			p.at += len(word)
			return operand{literal: literal(kind, word)}, nil
		}
	}
	return operand{}, p.notACondition("want a query such as @.name or a literal here")
}

// notACondition says that no condition begins here.
func (p *pathParser) notACondition(text string) error {
	if word := p.word(); strings.HasPrefix(p.text[p.at+len(word):], "(") && word != "" {
		text = fmt.Sprintf("functions such as %s() are not supported", word)
	}
	return p.fault(p.at, text)
}

// word returns the letters, digits and underscores that follow.
func (p *pathParser) word() string {
	end := p.at
	for end < len(p.text) && (p.text[end] < 0x80 && nameRune(rune(p.text[end]), end == p.at)) {
		end++
	}
	return p.text[p.at:end]
}

// segments reads the segments of a query within a filter.
func (p *pathParser) segments() ([]segment, error) {
	var out []segment
	for {
		before := p.at
		p.blanks()
		next := p.peek()
		p.at = before
		if next != '.' && next != '[' {
			return out, nil
		}
		if len(out) == maxPathSegments {
			return nil, p.fault(p.at, fmt.Sprintf("a path has at most %d segments", maxPathSegments))
		}
		s, err := p.segment()
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
}

// literal makes a document of one value, whose text has no escapes.
func literal(kind Kind, text string) *Tree {
	return &Tree{Source: []byte(text), Nodes: []Node{{End: int32(len(text)), Next: 1, Kind: kind}}}
}
