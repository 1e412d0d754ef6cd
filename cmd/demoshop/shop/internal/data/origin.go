package data

import (
	"context"
	"net/http"
	"regexp"
)

// Origin is what a request says of itself besides what it asks for.
type Origin struct {
	Exchange    string // X-Parallax-Exchange; empty where it is no UUID
	Traceparent string // W3C; empty where it is malformed
	Baggage     string
	Shadow      bool   // X-Parallax-Role: shadow
	Key         string // what made-up ids are taken from: Idempotency-Key, else Exchange
}

// Both go into SQL, one of them as a comment.
var (
	exchangeForm    = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	traceparentForm = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
)

// OriginOf reads the origin out of a request's headers.
func OriginOf(h http.Header) Origin {
	o := Origin{Baggage: h.Get("Baggage"), Shadow: h.Get("X-Parallax-Role") == "shadow"}
	if id := h.Get("X-Parallax-Exchange"); exchangeForm.MatchString(id) {
		o.Exchange = id
	}
	if trace := h.Get("Traceparent"); traceparentForm.MatchString(trace) {
		o.Traceparent = trace
	}
	if o.Key = h.Get("Idempotency-Key"); o.Key == "" {
		o.Key = o.Exchange
	}
	return o
}

type originKey struct{}

// WithOrigin returns a context that carries where a request came from.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// From returns the origin in a context, or the zero one.
func From(ctx context.Context) Origin {
	o, _ := ctx.Value(originKey{}).(Origin)
	return o
}
