package mirror

import (
	"strings"
	"time"

	"parallax"
)

// isEventStream reports whether an answer is one of server-sent events, which
// may never end.
func isEventStream(headers []parallax.Field) bool {
	kind, _, _ := strings.Cut(value(headers, "Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "text/event-stream")
}

// streamCut reports whether a shadow's call of this kind of end was cut off in a stream of events:
// the leg has answered, and goes on for longer than a shadow may take.
func streamCut(c *parallax.Call, kind parallax.ErrKind) bool {
	return kind == parallax.Timeout && isEventStream(c.Response.Headers)
}

// outlived reports whether the live answer went on for longer than a shadow leg
// may take, and one was cut off in the middle of its answer: it had no chance to
// be the same.
func (f *flight) outlived() bool {
	if f.live == nil {
		return false // no leg had longer than the others
	}
	live := f.x.Legs[f.live.name]
	if live == nil || live.Done-live.Start <= time.Duration(f.service.options.Timeout) {
		return false
	}
	for _, l := range f.shadows {
		if c := f.x.Legs[l.name]; c != nil && c.Err.Kind == parallax.Timeout && c.Response.Status != 0 {
			return true
		}
	}
	return false
}
