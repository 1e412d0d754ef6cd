package mirror

import (
	"context"
	"crypto/rand"
	"io"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

	"parallax"
	"parallax/mirror/mirrortest"
)

// quick is a leg that answers everything at once.
type quick struct{}

func (quick) Send(_ context.Context, _ *url.URL, out *outgoing) (*answer, error) {
	return &answer{Status: 200, Body: io.NopCloser(strings.NewReader("ok")), Length: 2, Trailers: noTrailers}, nil
}

func (quick) Close() {}

func (quick) Forget(*url.URL, string) {}

// seen is a queue that takes everything and keeps nothing but where it was.
type seen struct {
	exchanges chan weak.Pointer[parallax.Exchange]
}

func (q seen) Offer(x *parallax.Exchange) bool {
	q.exchanges <- weak.Make(x)
	return true
}

// TestGoroutinesThatStayHoldNoExchange: what waits for the next request holds
// nothing of the last one, which may be megabytes.
func TestGoroutinesThatStayHoldNoExchange(t *testing.T) {
	t.Parallel()
	q := seen{make(chan weak.Pointer[parallax.Exchange], 8)}
	cfg := Service{Name: "shop", Mirror: DefaultOptions(), Primary: LegConfig{URLs: LegURLs("http://primary")}, Candidate: LegConfig{URLs: LegURLs("http://candidate"), State: Own}}
	key := []byte("0123456789abcdef")
	m, faults := New(cfg, Deps{
		Queue: q, Ledger: mirrortest.NewLedger(), Keys: Keys{User: key, Fleet: key},
		Now: time.Now, NewID: parallax.NewIDSource(time.Now, rand.Reader),
	})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	defer m.Close()
	s := m.current.Load()
	s.legs[parallax.Primary].senders[live] = quick{}
	s.legs[parallax.Candidate].senders[shadow] = quick{}
	for n := range 3 {
		m.serve(t.Context(), get(), &answered{})
		x := <-q.exchanges
		for m.crew.waiting() == 0 {
			runtime.Gosched()
		}
		runtime.GC()
		runtime.GC() // what the first found free of finalizers
		if x.Value() != nil {
			t.Errorf("exchange %d is still held", n)
		}
	}
}

// waiting returns how many goroutines wait for work.
func (c *crew) waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.free)
}

// defective panics where it is asked, or where its answer is read.
type defective struct {
	quick
	read bool
}

func (d defective) Send(context.Context, *url.URL, *outgoing) (*answer, error) {
	if !d.read {
		panic("a defect")
	}
	return &answer{Status: 200, Body: io.NopCloser(d), Length: 2, Trailers: noTrailers}, nil
}

func (defective) Read([]byte) (int, error) { panic("a defect") }

// TestGoroutineOutlivesADefect: it goes on to the next request, which nothing is left
// of the defect to.
func TestGoroutineOutlivesADefect(t *testing.T) {
	t.Parallel()
	m, ledger := newTestMirror(t, "http://primary", "http://candidate")
	s := m.current.Load()
	s.legs[parallax.Primary].senders[live] = quick{}
	for n, candidate := range []sender{defective{}, defective{read: true}, quick{}} {
		s.legs[parallax.Candidate].senders[shadow] = candidate
		m.serve(t.Context(), get(), &answered{})
		settle(t, ledger, n+1)
		for m.crew.waiting() != 1 {
			runtime.Gosched()
		}
	}
	if places := ledger.Places(); places[parallax.LostPanic] != 2 || places[parallax.InQueue] != 1 {
		t.Errorf("places %v, want two that a defect cost, and one", places)
	}
	if n := s.legs[parallax.Candidate].status().InFlight; n != 0 {
		t.Errorf("%d requests are said to be under way", n)
	}
}
