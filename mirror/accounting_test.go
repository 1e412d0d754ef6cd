package mirror_test

import (
	"bytes"
	"fmt"
	"io"
	mathrand "math/rand"
	"net/http"
	"sync"
	"testing"
	"time"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

func TestEveryExchangeIsAccountedFor(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*mirror.Service){
		"at once":             func(*mirror.Service) {},
		"in order":            func(s *mirror.Service) { s.Mirror.OrderBy = "ip" },
		"beside a proxy":      func(s *mirror.Service) { s.Tap, s.Primary.State = true, mirror.Own },
		"in order beside one": func(s *mirror.Service) { s.Tap, s.Primary.State, s.Mirror.OrderBy = true, mirror.Own, "ip" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			accountForOdd(t, change)
		})
	}
}

// accountForOdd sends requests of all kinds to legs with all faults, and adds up
// where they went.
func accountForOdd(t *testing.T, change func(*mirror.Service)) {
	t.Helper()
	const callers, each = 8, 60
	primary := mirrortest.NewBackend(t, mirrortest.JSON(`{}`)).Forget()
	candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{}`)).Forget()
	cfg := pair(primary.URL, candidate.URL, mirror.Own)
	cfg.Mirror.Timeout = 50 * time.Millisecond
	cfg.Mirror.InFlight = 6
	cfg.Mirror.MaxBody = 8 << 10
	cfg.Mirror.Sample = 0.9
	change(&cfg)
	r := start(t, cfg, func(d *mirror.Deps) { d.Budget = mirror.NewBudget(64 << 10) })

	workers := consume(r)
	var wg sync.WaitGroup
	for c := range callers {
		random := mathrand.New(mathrand.NewSource(int64(c)))
		wg.Go(func() {
			for i := range each {
				if i%10 == 0 {
					candidate.Become(faults[random.Intn(len(faults))].answer)
				}
				if random.Intn(20) == 0 {
					primary.Become([]mirrortest.Answer{mirrortest.Status(503), mirrortest.Reset, mirrortest.Lie, mirrortest.JSON(`{}`)}[random.Intn(4)])
				}
				odd(r, random)
			}
		})
	}
	wg.Wait()
	r.settled(callers * each)
	r.dealtWith() // the queue takes what is on its way to it only while it is open
	r.Queue.Close()
	<-workers
	places := r.Ledger.Places()
	sum := 0
	for _, n := range places {
		sum += n
	}
	if received := r.Ledger.Received(); sum != received || received < callers*each {
		t.Errorf("received %d, accounted for %d: %v", received, sum, places)
	}
	for _, p := range []parallax.Place{parallax.ComparedMatch, parallax.UnmirroredUnfinished, parallax.UnmirroredBodySize, parallax.UnmirroredSample} {
		if places[p] == 0 {
			t.Errorf("%v: the mix of faults never led to %s", places, p)
		}
	}
	for _, p := range []parallax.Place{parallax.InLive, parallax.InLane, parallax.InShadow, parallax.InQueue, parallax.InWorker, parallax.LostPanic} {
		if places[p] != 0 {
			t.Errorf("%v: something is left at %s", places, p)
		}
	}
}

// consume takes exchanges from the queue as a worker does.
func consume(r *rig) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			xs, err := r.Queue.Receive(r.t.Context(), 10)
			if err != nil {
				return
			}
			for _, x := range xs {
				r.Ledger.Move(x.Stamp(), parallax.InQueue, parallax.InWorker)
				r.Ledger.Move(x.Stamp(), parallax.InWorker, parallax.ComparedMatch)
				r.Queue.Ack(r.t.Context(), x.ID)
			}
		}
	}()
	return done
}

// odd sends one request of any kind, from a caller who may leave in the middle.
func odd(r *rig, random *mathrand.Rand) {
	size := []int{0, 10, 4 << 10, 100 << 10}[random.Intn(4)]
	method := []string{"GET", "POST", "DELETE", "HEAD"}[random.Intn(4)]
	body := io.Reader(bytes.NewReader(make([]byte, size)))
	if random.Intn(8) == 0 {
		body = io.MultiReader(body, failing{})
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, fmt.Sprintf("%s/orders/%d", r.URL, random.Intn(5)), body)
	if err != nil {
		r.t.Error(err)
		return
	}
	res, err := r.Client.Do(req)
	if err != nil {
		return // the caller broke off, or the live leg did
	}
	defer res.Body.Close()
	if random.Intn(4) > 0 {
		io.Copy(io.Discard, res.Body)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }
