package compare

import (
	"bytes"
	"mime"
	"slices"
	"strconv"
	"strings"

	"parallax"
	"parallax/internal/body"
)

// charsetOf returns the charset that a Content-Type tells, in lower case; utf-8 if it
// tells none.
func charsetOf(contentType string) string {
	if !strings.Contains(contentType, ";") {
		return "utf-8"
	}
	if _, params, err := mime.ParseMediaType(contentType); err == nil && params["charset"] != "" {
		return strings.ToLower(params["charset"])
	}
	return "utf-8"
}

// sameCoding reports whether two values of Content-Encoding mean the same.
func sameCoding(p, c string) bool { return strings.EqualFold(p, c) || uncoded(p) && uncoded(c) }

const blanks = " \t\r\n"

// markOf names what a text begins with that some clients stumble over although it
// says nothing: a byte order mark where a format has none (RFC 8259, section 8.1), one
// of UTF-16 that no charset announces, and blanks before the declaration of XML, which
// stands at the beginning. "" is nothing.
func markOf(format Format, contentType string, text []byte) string {
	rest := bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	switch {
	case format == XML:
		if declared := bytes.TrimLeft(rest, blanks); len(declared) < len(rest) && bytes.HasPrefix(declared, []byte("<?xml")) {
			return "blanks before the XML declaration"
		}
	case !format.text() || strings.Contains(strings.ToLower(contentType), "charset"):
	case bytes.HasPrefix(text, []byte("\xff\xfe")), bytes.HasPrefix(text, []byte("\xfe\xff")):
		return "byte order mark of UTF-16"
	}
	if len(rest) < len(text) && (format == JSON || format == NDJSON || format == GraphQL) {
		return "byte order mark"
	}
	return ""
}

// compareMarks compares what two bodies begin with before what they say.
func compareMarks(a, b *content, find *finder) {
	at := &place{kind: placeBody}
	p, c := side{text: []byte(a.mark), class: a.mark}, side{text: []byte(b.mark), class: b.mark}
	switch {
	case a.mark == b.mark:
	case a.mark == "":
		find.add(at, Extra, side{}, c)
	case b.mark == "":
		find.add(at, Missing, p, side{})
	default:
		find.add(at, Changed, p, c)
	}
}

// refusedCoding returns both content codings where the candidate's client does not take
// its one and the primary's does, else nil: which one an answer has is no difference as
// long as the client can read it.
func refusedCoding(p, c *parallax.Call) []side {
	const name = "content-encoding"
	a, b := header(p.Response.Headers, name), header(c.Response.Headers, name)
	if c.Response.Body.Size == 0 || sameCoding(a, b) || !takesCoding(&p.Request, a) || takesCoding(&c.Request, b) {
		return nil
	}
	return []side{textSide(a, name), textSide(b, name)}
}

// takesCoding reports whether a request accepts an answer with this Content-Encoding
// (RFC 9110, section 12.5.3). One without Accept-Encoding takes everything.
func takesCoding(r *parallax.Request, coding string) bool {
	codings, err := body.Codings(coding)
	if err != nil {
		return false
	}
	accepts := header(r.Headers, "accept-encoding")
	if !slices.ContainsFunc(r.Headers, func(f parallax.Field) bool { return strings.EqualFold(f.Name, "Accept-Encoding") }) {
		return true
	}
	return !slices.ContainsFunc(codings, func(each string) bool { return !listsCoding(accepts, each) })
}

// listsCoding reports whether a list of codings with weights has one.
func listsCoding(list, coding string) bool {
	others := false
	for item := range strings.SplitSeq(strings.ToLower(list), ",") {
		name, weight, _ := strings.Cut(item, ";")
		name = strings.TrimPrefix(strings.TrimSpace(name), "x-")
		q, err := strconv.ParseFloat(strings.TrimPrefix(strings.ReplaceAll(weight, " ", ""), "q="), 64)
		taken := err != nil || q > 0
		switch name {
		case coding:
			return taken
		case "*":
			others = taken
		}
	}
	return others
}
