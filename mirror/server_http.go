package mirror

import (
	"context"
	"errors"
	"time"

	"parallax/internal/h1"
)

// Limits of the callers' side.
const (
	maxRequestHead = 64 << 10    // bytes
	idleGrace      = time.Second // of a shutdown, for requests that are on their way already
)

// server is what speaks HTTP to callers: HTTP/1.1 itself, and HTTP/2 by another
// server that it hands such connections to.
type server struct {
	*h1.Server
	h2 *h2Server
}

// Shutdown stops accepting and waits for requests to finish, as h1.Server does.
// Connections of HTTP/2 are told with their next answer, or after the grace that
// idle ones have in any case.
func (s *server) Shutdown(ctx context.Context) error {
	s.h2.closing.Store(true)
	grace := time.AfterFunc(idleGrace, func() { _ = s.h2.server.Shutdown(ctx) }) // whose end the other server waits for
	defer grace.Stop()
	defer s.h2.server.Close()
	return s.Server.Shutdown(ctx)
}

// Close closes all connections.
func (s *server) Close() error { return errors.Join(s.h2.server.Close(), s.Server.Close()) }

// newServer returns what speaks HTTP to callers. It is to be closed.
func (m *Mirror) newServer() *server {
	s := m.newH1Server()
	h2 := m.newH2Server()
	s.HandOver = h2.accepted.handOver
	return &server{s, h2}
}

func (m *Mirror) newH1Server() *h1.Server {
	return &h1.Server{
		Handler: func(r *h1.Request, w *h1.Writer) {
			a := &arrival{callerContext: callerContext{Context: m.lives, request: r}}
			defer a.leave()
			a.incoming.from(r)
			m.serve(&a.callerContext, &a.incoming, w)
		},
		Refused:   func(r *h1.Refusal) { m.deps.Metrics.refuse(m.name, r.Status) },
		Log:       m.deps.Log,
		NoDate:    true, // answers pass as they are
		MaxHead:   maxRequestHead,
		Timeouts:  func() h1.Timeouts { return h1.Timeouts(m.timeouts()) },
		IdleGrace: idleGrace,
	}
}

// checkLine returns the status for a request that cannot be passed on as
// HTTP/1.1, and why; 0 for any other.
func checkLine(method, target, host string) (status int, why string) {
	if refusal := h1.CheckLine(method, target, host); refusal != nil {
		return refusal.Status, refusal.Text
	}
	return 0, ""
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
