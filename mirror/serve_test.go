package mirror

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"parallax"
	"parallax/mirror/mirrortest"
)

// answered is a caller without HTTP: what the core does is seen through the
// seam alone.
type answered struct {
	status  int
	body    strings.Builder
	flushed int
	ended   bool
	informs []int
	aborted bool
	fail    func() // called by Head; may panic
}

func (a *answered) Head(status int, _ []parallax.Field, _ int64, _ []string, _ bool) {
	if a.fail != nil {
		a.fail()
	}
	a.status = status
}
func (a *answered) Write(p []byte) (int, error) { return a.body.Write(p) }
func (a *answered) Flush() error                { a.flushed++; return nil }
func (a *answered) Trailers([]parallax.Field)   {}
func (a *answered) End() error                  { a.ended = true; return nil }
func (a *answered) Inform(status int, _ []parallax.Field) error {
	a.informs = append(a.informs, status)
	return nil
}
func (a *answered) Abort() { a.aborted = true }
func (a *answered) Switch([]parallax.Field) (io.ReadWriteCloser, error) {
	return nil, errors.New("no connection here")
}

func newTestMirror(t *testing.T, primary, candidate string) (*Mirror, *mirrortest.Ledger) {
	t.Helper()
	o := DefaultOptions()
	o.Timeout, o.Unsafe = time.Hour, UnsafeAllowed
	cfg := Service{Name: "shop", Mirror: o, Primary: LegConfig{URLs: LegURLs(primary)}, Candidate: LegConfig{URLs: LegURLs(candidate), State: Own, Outbound: OutboundNone, Jobs: JobsOff}}
	key := []byte("0123456789abcdef")
	ledger := mirrortest.NewLedger()
	m, faults := New(cfg, Deps{
		Queue: NewMemQueue(10, 1<<20), Ledger: ledger, Keys: Keys{User: key, Fleet: key},
		Now: time.Now, NewID: parallax.NewIDSource(time.Now, rand.Reader),
	})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	t.Cleanup(func() {
		m.drain(func(context.Context) error { return nil }, func() error { return nil })
		for _, err := range ledger.Check() {
			t.Error(err)
		}
		if n := m.deps.Budget.InUse(); n != 0 {
			t.Errorf("%d bytes stay reserved", n)
		}
		if n := slotsTaken(m); n != 0 {
			t.Errorf("%d slots stay taken", n)
		}
	})
	return m, ledger
}

func get() *incoming { return &incoming{Method: "GET", Target: "/", Host: "a", RemoteIP: "192.0.2.1"} }

func settle(t *testing.T, l *mirrortest.Ledger, n int) map[parallax.Place]int {
	t.Helper()
	if err := l.Wait(t.Context(), func(p map[parallax.Place]int) bool { return mirrortest.Settled(p) && l.Received() >= n }); err != nil {
		t.Fatal(err)
	}
	return l.Places()
}

func TestShadowsGivenUpByAShutdownAreLost(t *testing.T) {
	t.Parallel()
	candidate := mirrortest.NewBackend(t, mirrortest.Hang)
	m, ledger := newTestMirror(t, mirrortest.NewBackend(t, mirrortest.JSON(`{}`)).URL, candidate.URL)
	out := &answered{}
	m.serve(t.Context(), get(), out)
	if out.status != 200 || out.body.String() != "{}" {
		t.Errorf("the caller got %d %q", out.status, out.body.String())
	}
	candidate.Wait(t, 1)
	m.giveUp()
	if places := settle(t, ledger, 1); places[parallax.LostShutdown] != 1 {
		t.Errorf("places %v", places)
	}
}

// An unsafe request goes on when its caller has left, but not beyond the end of a
// shutdown.
func TestNoRequestOutlivesTheMirror(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		synctest.Test(t, func(t *testing.T) {
			m, ledger := newTestMirror(t, "http://primary", "http://candidate")
			m.current.Load().legs[parallax.Primary].senders[live] = &held{release: make(chan struct{})}
			answered200 := &held{release: make(chan struct{})}
			close(answered200.release)
			m.current.Load().legs[parallax.Candidate].senders[shadow] = answered200
			in := get()
			if in.Method = method; method == "POST" {
				in.Body, in.Length = strings.NewReader("{}"), 2
			}
			ctx, leave := context.WithCancel(t.Context())
			served := make(chan struct{})
			go func() {
				defer close(served)
				m.serve(ctx, in, &answered{})
			}()
			synctest.Wait()
			began := time.Now()
			m.drain(func(ctx context.Context) error { return errors.New("callers stay") }, func() error { leave(); return nil })
			took := time.Since(began)
			synctest.Wait() // the request ends at the same moment, on a goroutine of its own
			if !isOver(served) {
				t.Errorf("%s: the request goes on after the shutdown", method)
			}
			if took > giveUpWithin {
				t.Errorf("%s: the shutdown took %s", method, took)
			}
			if places := ledger.Places(); places[parallax.InLive] != 0 {
				t.Errorf("%s: places %v", method, places)
			}
			<-served
		})
	}
}

// A request that Parallax could not send is no failure of the leg.
func TestALegThatWasNotAskedIsNotBlamed(t *testing.T) {
	t.Parallel()
	m, ledger := newTestMirror(t, mirrortest.NewBackend(t, mirrortest.JSON(`{}`)).URL, "http://candidate")
	registry := prometheus.NewRegistry()
	s := m.current.Load()
	s.router.find("GET", "/").counts.metrics = NewMetrics(registry)
	l := s.legs[parallax.Candidate]
	l.senders[shadow] = broken{}
	m.serve(t.Context(), get(), &answered{})
	settle(t, ledger, 1)
	xs, err := m.deps.Queue.(*MemQueue).Receive(t.Context(), 1)
	if err != nil || xs[0].Legs[parallax.Candidate].Err.Kind != parallax.NotAsked {
		t.Fatalf("exchange %+v, %v", xs, err)
	}
	if status := l.status(); status.LastError != nil || status.InFlight != 0 {
		t.Errorf("the leg's status is %+v", status)
	}
	if n, err := testutil.GatherAndCount(registry, "parallax_requests_total"); n != 1 || err != nil {
		t.Errorf("%d series of requests, %v: want the primary's alone", n, err)
	}
}

// broken cannot write any request.
type broken struct{}

func (broken) Send(context.Context, *url.URL, *outgoing) (*answer, error) {
	return nil, &sendError{kind: parallax.NotAsked, err: errors.New("no such request")}
}
func (broken) Close() {}

func (broken) Forget(*url.URL, string) {}

func TestMirroringEndsWhenAShutdownGivesCallersUp(t *testing.T) {
	t.Parallel()
	candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
	m, ledger := newTestMirror(t, mirrortest.NewBackend(t, mirrortest.JSON(`{}`)).URL, candidate.URL)
	m.stop()
	m.serve(t.Context(), get(), &answered{})
	if places := settle(t, ledger, 1); places[parallax.InQueue] != 1 || candidate.Count() != 1 {
		t.Errorf("while callers are let finish: places %v", places)
	}
	m.cutOff()
	m.serve(t.Context(), get(), &answered{})
	if places := settle(t, ledger, 2); places[parallax.UnmirroredDraining] != 1 || candidate.Count() != 1 {
		t.Errorf("afterwards: places %v", places)
	}
}

func TestADefectCostsOneAnswer(t *testing.T) {
	t.Parallel()
	m, ledger := newTestMirror(t, mirrortest.NewBackend(t, mirrortest.JSON(`{}`)).URL, mirrortest.NewBackend(t, mirrortest.JSON(`{}`)).URL)
	out := &answered{fail: func() { panic("defect") }}
	m.serve(t.Context(), get(), out)
	if places := settle(t, ledger, 1); places[parallax.LostPanic] != 1 || !out.aborted {
		t.Errorf("places %v, aborted %t", places, out.aborted)
	}
	m.serve(t.Context(), get(), &answered{})
	if places := settle(t, ledger, 2); places[parallax.InQueue] != 1 {
		t.Errorf("places %v", places)
	}
}

func TestASlotIsFreeOnceTheShadowsAreDone(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	primary := mirrortest.NewBackend(t, mirrortest.Held(release, mirrortest.JSON(`{}`)))
	candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
	m, ledger := newTestMirror(t, primary.URL, candidate.URL)
	m.current.Load().options.InFlight = 1
	done := make(chan struct{})
	for i := range 3 { // the second and third find the slot free although no live answer has come
		go func() {
			m.serve(context.Background(), get(), &answered{})
			done <- struct{}{}
		}()
		candidate.Wait(t, i+1)
		freeSlots(t, m)
	}
	close(release)
	for range 3 {
		<-done
	}
	if places := settle(t, ledger, 3); places[parallax.InQueue] != 3 {
		t.Errorf("places %v", places)
	}
}

// slotsTaken counts the slots of all legs.
func slotsTaken(m *Mirror) (n int64) {
	for _, l := range m.current.Load().legs {
		if l != nil {
			n += l.slots.Load()
		}
	}
	return n
}

// freeSlots returns when no slot is taken.
func freeSlots(t *testing.T, m *Mirror) {
	t.Helper()
	for slotsTaken(m) > 0 {
		select {
		case <-t.Context().Done():
			t.Fatal("the slot was never given back")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestServeSaysWhyItCannotAccept(t *testing.T) {
	t.Parallel()
	m, _ := newTestMirror(t, mirrortest.Refused(t), mirrortest.Refused(t))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := m.Serve(t.Context(), l); err == nil || !strings.Contains(err.Error(), "cannot serve shop on ") {
		t.Errorf("Serve on a closed listener: %v", err)
	}
}

func TestLegsTakeTurns(t *testing.T) {
	t.Parallel()
	a, b := mirrortest.NewBackend(t, mirrortest.Status(200)), mirrortest.NewBackend(t, mirrortest.Status(200))
	cfg := LegConfig{URLs: LegURLs(a.URL, b.URL)}
	l, err := newLeg(parallax.Primary, cfg, DefaultOptions(), Deps{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	turns := map[string]int{}
	for range 10 {
		turns[l.pool.Pick(0, nil).String()]++
	}
	if turns[a.URL] != 5 || turns[b.URL] != 5 {
		t.Errorf("turns %v", turns)
	}
}

func TestTallyWaitsForAll(t *testing.T) {
	t.Parallel()
	var n tally
	if err := n.wait(t.Context()); err != nil {
		t.Errorf("wait for nothing: %v", err)
	}
	n.enter()
	n.enter()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.wait(ended); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "2 left") {
		t.Errorf("wait with an ended context: %v", err)
	}
	go func() { n.leave(); n.leave() }()
	if err := n.wait(t.Context()); err != nil {
		t.Errorf("wait: %v", err)
	}
}
