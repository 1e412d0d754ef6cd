package body

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// ParseNDJSON reads JSON documents of which each stands on a line of its own, as
// an array of them. Blank lines are left out.
func ParseNDJSON(source []byte, limits Limits) (*Tree, error) {
	out := []byte{'['}
	number := 0
	for line := range bytes.Lines(source) {
		number++
		line = bytes.Trim(line, jsonBlanks)
		if number == 1 {
			line = bytes.TrimPrefix(line, byteOrderMark)
		}
		if len(line) == 0 {
			continue
		}
		if _, err := ParseJSON(line, limits); err != nil {
			fault := err.(*SyntaxError) // it has no other
			return nil, fmt.Errorf("not JSON: line %d, column %d: %s", number, fault.Column, fault.Text)
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, line...)
	}
	return ParseJSON(append(out, ']'), limits)
}

// ParseEvents reads a stream of server-sent events (HTML standard, section 9.2) as
// an array:
//
//	[{"event": "price", "id": "7", "data": {"eur": 17}}]
//
// Data of several lines is joined; where it is a JSON object or array it is read as
// such, otherwise it is a string. Comments are left out. An event without the empty
// line that ends it, which a client drops, has the member unfinished.
func ParseEvents(source []byte, limits Limits) (*Tree, error) {
	e := eventReader{out: []byte{'['}, limits: limits}
	text := bytes.TrimPrefix(source, byteOrderMark)
	for len(text) > 0 {
		var line []byte
		line, text = eventLine(text)
		e.line(string(line))
	}
	if len(e.event) > 0 {
		e.event = append(e.event, eventField{"unfinished", "true"})
		e.end()
	}
	return ParseJSON(append(e.out, ']'), limits)
}

// eventLine cuts the first line off a text: lines end with a line feed, a carriage
// return or both.
func eventLine(text []byte) (line, rest []byte) {
	i := bytes.IndexAny(text, "\r\n")
	switch {
	case i < 0:
		return text, nil
	case text[i] == '\r' && i+1 < len(text) && text[i+1] == '\n':
		return text[:i], text[i+2:]
	}
	return text[:i], text[i+1:]
}

type eventField struct{ name, value string }

type eventReader struct {
	out    []byte
	event  []eventField
	data   []string
	limits Limits
}

func (e *eventReader) line(line string) {
	name, value, _ := strings.Cut(line, ":")
	switch name {
	case "":
		if line == "" {
			e.end()
		}
		return // otherwise it is a comment
	case "data":
		if len(e.data) == 0 {
			e.event = append(e.event, eventField{name: "data"})
		}
		e.data = append(e.data, strings.TrimPrefix(value, " "))
	case "event", "id", "retry":
		e.set(name, strings.TrimPrefix(value, " "))
	}
}

// set notes a field; the last one of a name holds.
func (e *eventReader) set(name, value string) {
	for i := range e.event {
		if e.event[i].name == name {
			e.event[i].value = value
			return
		}
	}
	e.event = append(e.event, eventField{name, value})
}

// end writes the event that an empty line ends.
func (e *eventReader) end() {
	if len(e.event) == 0 {
		return
	}
	if len(e.out) > 1 {
		e.out = append(e.out, ',')
	}
	e.out = append(e.out, '{')
	for i, f := range e.event {
		if i > 0 {
			e.out = append(e.out, ',')
		}
		e.out = append(strconv.AppendQuote(e.out, f.name), ':')
		switch f.name {
		case "data":
			e.out = appendLoose(e.out, strings.Join(e.data, "\n"), e.limits)
		case "unfinished":
			e.out = append(e.out, f.value...)
		default:
			e.out = AppendQuoted(e.out, f.value)
		}
	}
	e.out = append(e.out, '}')
	e.event, e.data = e.event[:0], e.data[:0]
}

// appendLoose writes a text that may be a document: a JSON object or array as it
// is, any other text as a string.
func appendLoose(out []byte, text string, limits Limits) []byte {
	if trimmed := strings.Trim(text, jsonBlanks); strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "[") {
		limits.Depth -= maxAround
		if _, err := ParseJSON([]byte(trimmed), limits); err == nil {
			return append(out, trimmed...)
		}
	}
	return AppendQuoted(out, text)
}

// jsonBlanks are the characters that may stand around a document. Others that look
// like blanks, such as U+00A0, make it none.
const jsonBlanks = " \t\r\n"

// maxAround is how many levels are written around a document inside another.
const maxAround = 4
