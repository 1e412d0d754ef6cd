package mirror

import (
	"context"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parallax"
)

// endless is a sender whose answers go on until the request is cut off.
type endless struct{ every time.Duration }

func (s endless) Send(ctx context.Context, _ *url.URL, out *outgoing) (*answer, error) {
	if out.Body != nil {
		if _, err := io.Copy(io.Discard, out.Body); err != nil {
			return nil, &sendError{kind: parallax.CallerGone, err: err}
		}
	}
	if !out.Deadline.IsZero() {
		var end context.CancelFunc
		ctx, end = context.WithDeadline(ctx, out.Deadline)
		context.AfterFunc(ctx, end)
	}
	return &answer{Status: 200, Length: -1, Body: &dripping{ctx, s.every}, Trailers: func() []parallax.Field { return nil }}, nil
}

func (endless) Close()                  {}
func (endless) Forget(*url.URL, string) {}

type dripping struct {
	ctx   context.Context
	every time.Duration
}

func (d *dripping) Read(p []byte) (int, error) {
	select {
	case <-time.After(d.every):
		return copy(p, "drip"), nil
	case <-d.ctx.Done():
		kind := parallax.Reset
		if errors.Is(d.ctx.Err(), context.DeadlineExceeded) {
			kind = parallax.Timeout
		}
		return 0, &sendError{kind: kind, err: d.ctx.Err()}
	}
}

func (*dripping) Close() error { return nil }

// deaf is a caller that is there and takes nothing.
type deaf struct{ answered }

func (d *deaf) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestAnAnswerThatNobodyTakesIsNotReadForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, ledger := newTestMirror(t, "http://primary", "http://candidate")
		legs := m.current.Load().legs
		legs[parallax.Primary].senders[live] = endless{time.Second}
		legs[parallax.Candidate].senders[shadow] = endless{time.Second}
		in := get()
		in.Method, in.Body, in.Length = "POST", strings.NewReader("{}"), 2
		began := time.Now()
		m.serve(t.Context(), in, &deaf{})
		if took := time.Since(began); took < defaultLiveTimeout || took > defaultLiveTimeout+5*time.Second {
			t.Errorf("the leg's answer was read for %s after its caller took no more, want %s", took, defaultLiveTimeout)
		}
		m.giveUp()
		settle(t, ledger, 1)
	})
}

// An answer that goes on for longer than a shadow leg may take cannot be
// compared with one that was cut off.
func TestAnswersThatOutliveTheirShadowAreNotCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, ledger := newTestMirror(t, "http://primary", "http://candidate")
		m.current.Load().options.Timeout = 5 * time.Second
		legs := m.current.Load().legs
		legs[parallax.Primary].senders[live] = endless{time.Second}
		legs[parallax.Candidate].senders[shadow] = endless{time.Second}
		ctx, leave := context.WithTimeout(t.Context(), time.Minute)
		defer leave()
		m.serve(ctx, get(), &answered{})
		if places := settle(t, ledger, 1); places[parallax.UnmirroredStream] != 1 {
			t.Errorf("places %v", places)
		}
	})
}
