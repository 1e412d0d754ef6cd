package mirror

import (
	"context"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parallax"
)

// held is a leg that answers when it is told to, or fails when its call is
// cancelled.
type held struct {
	release chan struct{}
	asked   int
}

func (h *held) Send(ctx context.Context, _ *url.URL, out *outgoing) (*answer, error) {
	h.asked++
	if out.Body != nil {
		io.Copy(io.Discard, out.Body)
	}
	select {
	case <-h.release:
		return &answer{Status: 200, Body: io.NopCloser(strings.NewReader("ok")), Length: 2, Trailers: func() []parallax.Field { return nil }}, nil
	case <-ctx.Done():
		return nil, &sendError{kind: parallax.Reset, err: ctx.Err()}
	case <-at(out.Deadline):
		return nil, &sendError{kind: parallax.Timeout, err: context.DeadlineExceeded}
	}
}

// at returns a channel that tells when a deadline has passed; the zero one never
// does.
func at(deadline time.Time) <-chan time.Time {
	if deadline.IsZero() {
		return nil
	}
	return time.After(time.Until(deadline))
}

func (h *held) Close() {}

func (h *held) Forget(*url.URL, string) {}

// leaving serves one request whose caller leaves while the live leg is at work.
func leaving(t *testing.T, method string, then func(primary, candidate *held, served <-chan struct{})) (places map[parallax.Place]int, x *parallax.Exchange) {
	t.Helper()
	m, ledger := newTestMirror(t, "http://primary", "http://candidate")
	primary, candidate := &held{release: make(chan struct{})}, &held{release: make(chan struct{})}
	close(candidate.release)
	s := m.current.Load()
	s.legs[parallax.Primary].senders[live] = primary
	s.legs[parallax.Candidate].senders[shadow] = candidate

	ctx, leave := context.WithCancel(t.Context())
	served := make(chan struct{})
	in := get()
	in.Method = method
	if method == "POST" {
		in.Body, in.Length = strings.NewReader("{}"), 2
	}
	go func() {
		defer close(served)
		m.serve(ctx, in, &answered{})
	}()
	synctest.Wait()
	leave()
	synctest.Wait()
	then(primary, candidate, served)
	<-served
	synctest.Wait()
	if xs, err := m.deps.Queue.(*MemQueue).Receive(ended(t), 1); err == nil {
		x = xs[0]
	}
	return ledger.Places(), x
}

func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	t.Cleanup(cancel)
	return ctx
}

func isOver(served <-chan struct{}) bool {
	select {
	case <-served:
		return true
	default:
		return false
	}
}

func TestACallerWhoLeavesEndsASafeRequestOnTheLiveLeg(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, x := leaving(t, "GET", func(_, _ *held, served <-chan struct{}) {
			if !isOver(served) {
				t.Error("the live call goes on")
			}
		})
		if x == nil || x.Legs[parallax.Primary].Err.Kind != parallax.CallerGone || x.Legs[parallax.Candidate].Response.Status != 200 {
			t.Errorf("exchange %+v", x)
		}
	})
}

func TestACallerWhoLeavesDoesNotEndAnUnsafeRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, x := leaving(t, "POST", func(primary, candidate *held, served <-chan struct{}) {
			if isOver(served) || candidate.asked != 0 {
				t.Errorf("the live call ended, or the shadow was asked (%d) before its status", candidate.asked)
			}
			close(primary.release)
		})
		if x == nil || x.Legs[parallax.Primary].Response.Status != 200 || x.Legs[parallax.Candidate].Response.Status != 200 {
			t.Errorf("exchange %+v", x)
		}
	})
}

func TestAnUnsafeRequestWhoseCallerLeftIsBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := time.Now()
		places, _ := leaving(t, "POST", func(*held, *held, <-chan struct{}) {})
		if took := time.Since(left); took < defaultLiveTimeout || took > 2*defaultLiveTimeout {
			t.Errorf("the live call ended after %s, want %s", took, defaultLiveTimeout)
		}
		if places[parallax.UnmirroredRejected] != 1 {
			t.Errorf("places %v", places)
		}
	})
}

func TestAShadowThatIsNotInTimeIsATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newTestMirror(t, "http://primary", "http://candidate")
		primary, candidate := &held{release: make(chan struct{})}, &held{release: make(chan struct{})}
		close(primary.release)
		s := m.current.Load()
		s.legs[parallax.Primary].senders[live] = primary
		s.legs[parallax.Candidate].senders[shadow] = candidate
		began := time.Now()
		m.serve(t.Context(), get(), &answered{})
		if took := time.Since(began); took != 0 {
			t.Errorf("the caller waited %s for the shadow", took)
		}
		xs, err := m.deps.Queue.(*MemQueue).Receive(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		c := xs[0].Legs[parallax.Candidate]
		if c.Err.Kind != parallax.Timeout || c.Done-c.Start != s.options.Timeout {
			t.Errorf("the shadow's call ended as %v after %s", c.Err, c.Done-c.Start)
		}
	})
}

// early answers before it has read the request, and reads it a while later.
type early struct {
	after  time.Duration
	length int64
}

func (e early) Send(_ context.Context, _ *url.URL, out *outgoing) (*answer, error) {
	time.AfterFunc(e.after, func() { io.Copy(io.Discard, out.Body) })
	return &answer{Status: 200, Length: e.length, Body: io.NopCloser(strings.NewReader("")), Trailers: func() []parallax.Field { return nil }}, nil
}

func (early) Close() {}

func (early) Forget(*url.URL, string) {}

func TestTheRestOfARequestThatWasAnsweredEarlyIsWaitedForBriefly(t *testing.T) {
	f := func(after time.Duration, want parallax.Place) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			m, ledger := newTestMirror(t, "http://primary", "http://candidate")
			candidate := &held{release: make(chan struct{})}
			close(candidate.release)
			s := m.current.Load()
			s.legs[parallax.Primary].senders[live] = early{after: after}
			s.legs[parallax.Candidate].senders[shadow] = candidate
			in := get()
			in.Method, in.Body, in.Length = "POST", strings.NewReader("{}"), 2
			began := time.Now()
			m.serve(t.Context(), in, &answered{})
			if took := time.Since(began); took > lateBody {
				t.Errorf("the caller's connection was held for %s", took)
			}
			synctest.Wait()
			if places := ledger.Places(); places[want] != 1 {
				t.Errorf("a body read %s after the answer: %v, want %s", after, places, want)
			}
			time.Sleep(time.Hour) // of the bubble: the leg reads on, for nobody
		})
	}
	f(lateBody/2, parallax.InQueue)
	f(2*lateBody, parallax.UnmirroredUnfinished)
}

// What is done for the other legs after an early answer comes after its end, of
// a stream as well.
func TestAnEarlyStreamIsNotHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, ledger := newTestMirror(t, "http://primary", "http://candidate")
		m.current.Load().legs[parallax.Primary].senders[live] = early{after: time.Hour, length: -1}
		in := get()
		in.Method, in.Body, in.Length = "POST", strings.NewReader("{}"), 2
		out := &answered{}
		served := make(chan struct{})
		go func() {
			defer close(served)
			m.serve(t.Context(), in, out)
		}()
		synctest.Wait()
		if !out.ended || isOver(served) {
			t.Errorf("ended %t, served %t: want an answer at its end while the rest is waited for", out.ended, isOver(served))
		}
		<-served
		if places := ledger.Places(); places[parallax.UnmirroredUnfinished] != 1 {
			t.Errorf("places %v", places)
		}
		time.Sleep(2 * time.Hour) // of the bubble: the leg reads on, for nobody
	})
}
