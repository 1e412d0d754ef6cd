package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"parallax"
)

// Recorded is a request that was recorded somewhere, to be asked again. Target
// is the path and query. Host may be empty, for that of each leg. User is who
// order_by goes by; empty: as order_by says.
type Recorded struct {
	Method, Target, Host string
	Headers              []parallax.Field
	Body                 []byte
	User, RemoteIP       string

	done func()
}

// Fault says why the request cannot be sent; nil if it can.
func (r Recorded) Fault() error {
	out := outgoing{Method: r.Method, Target: r.Target, Headers: r.Headers}
	switch {
	case !strings.HasPrefix(r.Target, "/"):
		return errors.New("the request's target does not begin with a slash")
	case strings.ContainsFunc(r.Host, notInHost):
		return errors.New("the request's host cannot be one")
	case strings.ContainsFunc(r.RemoteIP, notInHost):
		return errors.New("the address that the request came from cannot be one")
	case strings.IndexByte(r.Target, '#') >= 0:
		return errors.New("the request's target holds a fragment, which is not sent")
	}
	return out.fault()
}

func notInHost(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(`/@,;"`, c) }

// Replay takes in a recorded request as a copy: nobody waits for its answer, and
// all legs are asked, the primary included, unsafe requests only as each leg's
// state allows for a second time. It returns at once; done is called when the
// exchange has gone to the queue, or ended with its reason. The mirror needs no
// listener for it, but must not be shut down. The error is that of
// [Recorded.Fault]; then nothing was counted, and done is not called.
func (m *Mirror) Replay(r Recorded, done func()) error {
	if err := r.Fault(); err != nil {
		return fmt.Errorf("cannot replay %s: %w", r.Method, err)
	}
	r.done = done
	in := &incoming{
		Method: r.Method, Target: r.Target, Host: r.Host, Proto: "HTTP/1.1",
		Headers: sendable(r.Headers), Length: int64(len(r.Body)), RemoteIP: r.RemoteIP, Replayed: &r,
	}
	if len(r.Body) > 0 {
		in.Body, in.Ready = bytes.NewReader(r.Body), func() bool { return true }
	}
	m.serve(context.Background(), in, nobody{})
	return nil
}

// sendable returns the headers of a recording without those that were about its
// connection, its length or its place among Parallaxes.
func sendable(fields []parallax.Field) []parallax.Field {
	return fieldsThat(func(name string) bool {
		return unframed(name) && !strings.EqualFold(name, "Host") && !strings.EqualFold(name, "Expect")
	}, endToEnd(fields, 1))
}

// over says that a replayed exchange has gone on or ended.
func (in *incoming) over() {
	if in.Replayed != nil {
		in.Replayed.done()
	}
}

// nobody is the caller of a recorded request: it takes any answer.
type nobody struct{}

var _ caller = nobody{}

func (nobody) Inform(int, []parallax.Field) error                  { return nil }
func (nobody) Head(int, []parallax.Field, int64, []string, bool)   {}
func (nobody) Write(p []byte) (int, error)                         { return len(p), nil }
func (nobody) Flush() error                                        { return nil }
func (nobody) Trailers([]parallax.Field)                           {}
func (nobody) End() error                                          { return nil }
func (nobody) Abort()                                              {}
func (nobody) Switch([]parallax.Field) (io.ReadWriteCloser, error) { return nil, errCallerGone }
