package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"parallax"
)

// This file is the seam between what the mirror does and how HTTP is spoken.
// Everything else in this package sees requests, fields and bodies; what parses
// and writes HTTP/1.1 is package h1, which server_http.go uses for callers and
// client_http.go for legs, and what speaks HTTP/2 is net/http, behind server_h2.go
// and client_h2.go.

// incoming is a request as it came from a caller. Its head is complete and not
// changed afterwards; its body is still coming.
type incoming struct {
	Method, Target, Host, Proto string
	Headers                     []parallax.Field
	Length                      int64                   // of the body: 0 for none, -1 when only its end will tell
	Body                        io.Reader               // nil when Length is 0
	Ready                       func() bool             // whether reading Body never waits; asked before the first Read; nil for no
	Continue                    bool                    // the caller waits for 100 before it sends Body
	TrailerNames                []string                // as announced
	Trailers                    func() []parallax.Field // valid once Body is at its end; nil when there are none
	RemoteIP                    string
	Replayed                    *Recorded // the recording it came from; nil for a caller\'s
	TLS                         bool
}

func (in *incoming) scheme() string {
	if in.TLS {
		return "https"
	}
	return "http"
}

// caller is where the answer to an incoming request goes. All of it is called
// from the goroutine that serves the request.
type caller interface {
	// Inform passes on an informational answer at once.
	Inform(status int, headers []parallax.Field) error
	// Head begins the answer. A length of -1 means that only the end of the body
	// will tell. last says that the connection cannot serve another request.
	Head(status int, headers []parallax.Field, length int64, trailers []string, last bool)
	// Write passes on a piece of the body. It does not keep p.
	Write(p []byte) (int, error)
	// Flush sends out at once what was written.
	Flush() error
	// Trailers ends the answer with trailer fields.
	Trailers(fields []parallax.Field)
	// End ends the answer and sends it out, so that whatever is done afterwards
	// does not hold it back.
	End() error
	// Abort ends the answer so that the caller sees that it is not complete.
	Abort()
	// Switch answers 101 and hands over the connection.
	Switch(headers []parallax.Field) (io.ReadWriteCloser, error)
}

// outgoing is a request for one leg.
type outgoing struct {
	Method, Target, Host string
	Addr                 string // where to connect, host and port; "" for what the URL says
	Headers              []parallax.Field
	Length               int64
	Body                 io.ReadCloser // nil when Length is 0
	TrailerNames         []string
	Ready                bool                                       // reading Body never waits
	Continue             bool                                       // Body is kept back until the leg asks for it, or for a while
	Trailers             func() []parallax.Field                    // asked for once Body is at its end
	Upgrade              string                                     // protocol to change to; "" for none
	Deadline             time.Time                                  // when the answer must be complete; zero for no bound
	Inform               func(status int, headers []parallax.Field) // hears of informational answers before Send returns; may be nil
	Again                func(error)                                // hears of a try that the leg says it has not looked at, before the next; may be nil
}

// answer is a leg's answer. Its head is complete, its body is still coming.
type answer struct {
	Status       int
	Proto        string           // that the leg was asked by: HTTP/1.1 or HTTP/2.0
	Headers      []parallax.Field // end to end
	Length       int64            // -1 when only the end of the body will tell
	Body         io.ReadCloser    // fails, before its end, with a *sendError
	TrailerNames []string
	Trailers     func() []parallax.Field // valid once Body is at its end
	Conn         io.ReadWriteCloser      // the connection, after 101
}

// sender sends requests to a leg, each exactly once: a request of which a byte
// has left is never sent again, however the connection ends, unless the leg says
// in so many words that it has not looked at it (which HTTP/2 can).
type sender interface {
	// Send returns when the head of the answer is there. It closes the body,
	// perhaps later. A failure is one of *sendError.
	Send(ctx context.Context, to *url.URL, out *outgoing) (*answer, error)
	// Forget closes the connections to an instance that is no more, those in use
	// at the end of their answers. addr is as in outgoing.
	Forget(to *url.URL, addr string)
	// Close closes the connections, those in use at the end of their answers.
	// Nothing can be sent afterwards.
	Close()
}

// ready reports whether the next Read of the body does not wait, as far as the
// body can tell.
func (a *answer) ready() bool {
	body, tells := a.Body.(interface{ Ready() bool })
	return tells && body.Ready()
}

// fault says why a request cannot be written at all; nil if it can.
func (out *outgoing) fault() error {
	if !parallax.IsToken(out.Method) {
		return errors.New("the request's method is not a token")
	}
	if out.Target == "" || strings.ContainsFunc(out.Target, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return errors.New("the request's target is empty or holds spaces")
	}
	for _, f := range out.Headers {
		if !parallax.IsToken(f.Name) || !parallax.IsFieldValue(f.Value) {
			return fmt.Errorf("the name or value of the request's header %.40q is not allowed in HTTP", f.Name)
		}
	}
	return nil
}

// sendError is the failure of a leg with its kind. Its text goes to pages: it
// repeats nothing of an answer that is not HTTP.
type sendError struct {
	kind   parallax.ErrKind
	reused bool // on a connection that had served other requests
	unsent bool // surely no byte of the request has left
	err    error
}

func (e *sendError) Error() string { return e.err.Error() }
func (e *sendError) Unwrap() error { return e.err }

// maxErrorText bounds what is kept of an error's text, in bytes.
const maxErrorText = 200

// callErr turns a failure into what the exchange says about it.
func callErr(err error) parallax.CallErr {
	out := parallax.CallErr{Kind: parallax.Reset, Text: err.Error()}
	if e, ok := errors.AsType[*sendError](err); ok {
		out.Kind = e.kind
	}
	if len(out.Text) > maxErrorText {
		out.Text = strings.ToValidUTF8(out.Text[:maxErrorText], "")
	}
	return out
}
