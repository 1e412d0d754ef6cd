package mirror

import (
	"context"
	"errors"
	"net/url"
	"time"

	"parallax"
	"parallax/internal/h1"
)

// Connections to a leg.
const (
	dialTimeout      = 5 * time.Second
	maxAnswerHead    = 1 << 20     // bytes
	silence          = time.Minute // of a leg that takes nothing of a request, and of what is left of a tunnel
	expectContinueIn = time.Second // then a body is sent without a leg's 100
)

// httpSender speaks HTTP/1.1 to a leg.
type httpSender struct{ pool *h1.Pool }

var _ sender = (*httpSender)(nil)

// newHTTPSender returns a sender with a connection pool of its own. headTimeout
// bounds the wait for an answer's head; zero means no bound.
func newHTTPSender(headTimeout time.Duration, c Connections) *httpSender {
	return &httpSender{&h1.Pool{
		DialTimeout: dialTimeout, HeadTimeout: headTimeout, IdleTimeout: c.IdleTimeout,
		ContinueTimeout: expectContinueIn, WriteTimeout: silence,
		MaxIdle: c.Idle, MaxConns: c.Max, MaxHead: maxAnswerHead,
	}}
}

// Close implements sender.
func (s *httpSender) Close() { s.pool.Close() }

// Forget implements sender.
func (s *httpSender) Forget(to *url.URL, addr string) { s.pool.Forget(to, addr) }

// Send implements sender.
func (s *httpSender) Send(ctx context.Context, to *url.URL, out *outgoing) (*answer, error) {
	host := out.Host
	if host == "" {
		host = to.Host // a caller that speaks HTTP/1.0 need not name one
	}
	message := h1.Message{
		Method: out.Method, Target: out.Target, Host: host, Addr: out.Addr, Headers: out.Headers,
		Length: out.Length, Body: out.Body, Ready: out.Ready, Continue: out.Continue,
		TrailerNames: out.TrailerNames, Trailers: out.Trailers,
		Upgrade: out.Upgrade, Deadline: out.Deadline, Inform: out.Inform,
	}
	both := new(struct { // in one piece
		answer
		response h1.Response
	})
	a, res := &both.answer, &both.response
	if err := s.pool.DoInto(ctx, to, &message, res); err != nil {
		e := failed(err)
		if fault := out.fault(); e.kind == parallax.NotAsked && fault != nil {
			e.err = fault
		}
		return nil, e
	}
	a.Status, a.Proto, a.Headers, a.Length = res.Status, "HTTP/1.1", res.Headers, res.Length
	if res.Tunnel != nil {
		a.Conn = res.Tunnel
		return a, nil
	}
	a.Headers = endToEnd(a.Headers, 0)
	a.Body = answerBody{res}
	a.TrailerNames, a.Trailers = res.TrailerNames, noTrailers
	if res.Length < 0 {
		a.Trailers = res.Trailers
	}
	return a, nil
}

// noTrailers are those of an answer whose length was declared.
func noTrailers() []parallax.Field { return nil }

// answerBody is the body of an answer. It fails with a *sendError, and tells whether
// it is Ready.
type answerBody struct{ *h1.Response }

// Read implements io.Reader.
func (b answerBody) Read(p []byte) (int, error) {
	n, err := b.Response.Read(p)
	if _, ok := errors.AsType[*h1.Error](err); ok {
		err = failed(err)
	}
	return n, err
}

// failed turns a failure of h1 into one of the seam. What h1 says of an answer
// that is not HTTP repeats nothing of it.
func failed(err error) *sendError {
	e, ok := errors.AsType[*h1.Error](err)
	if !ok {
		return &sendError{kind: parallax.Reset, err: err}
	}
	return &sendError{kind: e.Kind, reused: e.Reused, unsent: !e.Sent, err: err}
}
