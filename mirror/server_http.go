package mirror

import (
	"time"

	"parallax/internal/h1"
)

// Limits of the callers' side.
const (
	readHeadTimeout = 10 * time.Second  // for a request's head
	keepAlive       = 120 * time.Second // of an idle connection
	maxRequestHead  = 64 << 10          // bytes
	silence         = time.Minute       // of a caller who sends a body, or is sent one
	idleGrace       = time.Second       // of a shutdown, for requests that are on their way already
)

// newServer returns what speaks HTTP/1.1 to callers.
func (m *Mirror) newServer() *h1.Server {
	return &h1.Server{
		Handler: func(r *h1.Request, w *h1.Writer) {
			a := &arrival{callerContext: callerContext{Context: m.lives, request: r}}
			defer a.leave()
			a.incoming.from(r)
			m.serve(&a.callerContext, &a.incoming, w)
		},
		Refused:     func(r *h1.Refusal) { m.deps.Metrics.refuse(m.name, r.Status) },
		Log:         m.deps.Log,
		NoDate:      true, // answers pass as they are
		MaxHead:     maxRequestHead,
		HeadTimeout: readHeadTimeout, IdleTimeout: keepAlive,
		BodyTimeout: silence, WriteTimeout: silence,
		IdleGrace: idleGrace,
	}
}

// arrival is a request and what its caller's presence means to it, in one piece.
type arrival struct {
	incoming
	callerContext
}

// from takes over what a request's head says.
func (in *incoming) from(r *h1.Request) {
	*in = incoming{
		Method: r.Method, Target: r.Target, Host: r.Host, Proto: r.Proto,
		Headers: r.Headers, Length: r.Length, RemoteIP: r.RemoteIP, TLS: r.TLS != nil,
	}
	if r.Body != nil {
		in.Body, in.Ready, in.Continue = r.Body, r.Body.Ready, r.Continue
	}
	if r.Length < 0 {
		in.TrailerNames, in.Trailers = r.TrailerNames, r.Body.Trailers
	}
}

var _ caller = (*h1.Writer)(nil)
