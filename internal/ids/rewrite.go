package ids

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"parallax"
	"parallax/internal/body"
)

// Edit puts another value where a span stands.
type Edit struct {
	Span  Span
	Value string
}

// Fits reports whether a value can be written where the span stands: not every
// text can be a header or a cookie.
func (s Span) Fits(value string) bool {
	switch s.spelling {
	case asField:
		return parallax.IsFieldValue(value)
	case asCookie:
		return parallax.IsFieldValue(value) && !strings.ContainsAny(value, `;," `)
	case asSegment:
		return value != "" && value != "." && value != ".."
	}
	return true
}

// Rewrite makes edits to a request and returns its new body. Every byte outside the
// spans stays as it is; headers are copied before they are changed, and so is the
// body. A number stays a number where the new value is one. Of two edits of the same
// span the first counts.
func Rewrite(r *parallax.Request, b []byte, edits []Edit) []byte {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b Edit) int {
		return cmp.Or(cmp.Compare(a.Span.part, b.Span.part), cmp.Compare(a.Span.index, b.Span.index), cmp.Compare(a.Span.start, b.Span.start))
	})
	copied := false
	for len(edits) > 0 {
		first := edits[0].Span
		n := 1
		for n < len(edits) && edits[n].Span.part == first.part && edits[n].Span.index == first.index {
			n++
		}
		switch first.part {
		case ofTarget:
			r.Target = string(splice([]byte(r.Target), edits[:n]))
		case ofHeader:
			if !copied {
				r.Headers, copied = slices.Clone(r.Headers), true
			}
			field := &r.Headers[first.index]
			field.Value = string(splice([]byte(field.Value), edits[:n]))
		case ofBody:
			b = splice(b, edits[:n])
		}
		edits = edits[n:]
	}
	return b
}

// splice returns a text with edits, which are in order.
func splice(text []byte, edits []Edit) []byte {
	out := make([]byte, 0, len(text)+len(text)/8)
	at := 0
	for _, e := range edits {
		if e.Span.start < at || e.Span.end > len(text) {
			continue
		}
		out = append(out, text[at:e.Span.start]...)
		out = append(out, e.Span.spelled(e.Value)...)
		at = e.Span.end
	}
	return append(out, text[at:]...)
}

// spelled returns a value as it is written where the span stands.
func (s Span) spelled(value string) string {
	switch s.spelling {
	case asSegment:
		return url.PathEscape(value)
	case asParameter:
		return url.QueryEscape(value)
	case asNumber:
		if t, err := body.ParseJSON([]byte(value), body.Limits{Depth: 1, Nodes: 1}); err == nil && t.Nodes[0].Kind == body.Number && len(t.Text(0)) == len(value) {
			return value
		}
		return quoted(value)
	case asText:
		return quoted(value)
	}
	return value
}

// quoted writes a JSON string.
func quoted(value string) string {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	_ = e.Encode(value) // a string can always be written
	return strings.TrimSuffix(out.String(), "\n")
}
