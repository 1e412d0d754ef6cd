package mirror_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"math"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// faults are the ways a shadow leg can be of no use, and whether exchanges with
// it stay in flight for as long as it lasts.
var faults = []struct {
	name   string
	answer mirrortest.Answer
	holds  bool
}{
	{"hangs", mirrortest.Hang, true},
	{"stops mid-body", mirrortest.StopMidBody, true},
	{"resets", mirrortest.Reset, false},
	{"lies about its length", mirrortest.Lie, false},
	{"is not HTTP", mirrortest.Garbage, false},
	{"answers 10 MB", mirrortest.Sized(10 << 20), false},
	{"answers 500", mirrortest.Status(500), false},
}

func TestLiveAnswerNeverWaitsForShadow(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, candidate string, holds bool) *rig {
		primary := mirrortest.NewBackend(t, mirrortest.JSON(`{"ok":true}`))
		cfg := pair(primary.URL, candidate, mirror.Own)
		cfg.Mirror.Timeout = time.Hour // nothing but the fault ends a shadow request
		cfg.Mirror.InFlight = 8
		r := start(t, cfg)
		const requests = 24
		for i := range requests {
			method, body := "GET", ""
			if i%2 == 1 {
				method, body = "POST", strings.Repeat("x", 4096)
			}
			if res, got := r.do(method, "/orders", body); res.StatusCode != 200 || got != `{"ok":true}` {
				t.Fatalf("request %d: the caller got %d %q", i, res.StatusCode, got)
			}
		}
		if primary.Count() != requests {
			t.Errorf("the primary was asked %d times, want %d", primary.Count(), requests)
		}
		if holds {
			r.atShadows(8) // those of mirror.in_flight
		}
		return r
	}
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			candidate := mirrortest.NewBackend(t, fault.answer)
			r := check(t, candidate.URL, fault.holds)
			candidate.Stop() // ends what hangs, so that the rig can stop
			r.settled(24)
		})
	}
	t.Run("refuses", func(t *testing.T) {
		t.Parallel()
		check(t, mirrortest.Refused(t), false).settled(24)
	})
	t.Run("queue full", func(t *testing.T) {
		t.Parallel()
		primary := mirrortest.NewBackend(t, mirrortest.Status(200))
		candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
		r := start(t, pair(primary.URL, candidate.URL, mirror.Own), func(d *mirror.Deps) { d.Queue = mirror.NewMemQueue(2, 1<<20) })
		for range 10 {
			if res, _ := r.do("GET", "/", ""); res.StatusCode != 200 {
				t.Fatalf("the caller got %d", res.StatusCode)
			}
		}
		err := r.Ledger.Wait(t.Context(), func(places map[parallax.Place]int) bool {
			return places[parallax.InQueue] == 2 && places[parallax.LostQueueFull] == 8
		})
		if err != nil {
			t.Errorf("places %v, want 2 queued and 8 lost: %v", r.Ledger.Places(), err)
		}
	})
}

// TestLiveAnswerNeverWaitsForShadowWithManyUsers has fifty users at once, each in
// order and with identifiers that shadow requests wait for.
func TestLiveAnswerNeverWaitsForShadowWithManyUsers(t *testing.T) {
	t.Parallel()
	const users, each = 50, 6
	check := func(t *testing.T, candidate string) *rig {
		primary := mirrortest.NewBackend(t, mirrortest.JSON(`{"id":17}`)).Forget()
		cfg := withIdentifiers(primary.URL, candidate)
		cfg.Mirror.Timeout = time.Hour // nothing but the fault ends a shadow request
		cfg.Mirror.InFlight = 8
		cfg.Mirror.OrderBy = "header:X-User"
		r := start(t, cfg)
		var all sync.WaitGroup
		for u := range users {
			user := fmt.Sprintf("X-User: user-%d", u)
			all.Go(func() {
				for i := range each {
					method, target, body := "POST", "/orders", strings.Repeat("x", 4096)
					if i%2 == 1 {
						method, target, body = "GET", "/orders/17", ""
					}
					if res, got := r.do(method, target, body, user); res.StatusCode != 200 || got != `{"id":17}` {
						t.Errorf("user %d, request %d: the caller got %d %q", u, i, res.StatusCode, got)
					}
				}
			})
		}
		all.Wait()
		if n := primary.Count(); n != users*each {
			t.Errorf("the primary was asked %d times, want %d", n, users*each)
		}
		return r
	}
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			candidate := mirrortest.NewBackend(t, fault.answer).Forget()
			r := check(t, candidate.URL)
			candidate.Stop() // ends what hangs, so that the rig can stop
			r.settled(users * each)
		})
	}
	t.Run("refuses", func(t *testing.T) {
		t.Parallel()
		check(t, mirrortest.Refused(t)).settled(users * each)
	})
}

func TestMemoryIsBoundedWhateverTheBodies(t *testing.T) {
	const (
		callers = 16
		upload  = 8 << 20
		budget  = 1 << 20
		allowed = 64 << 20 // growth of the heap, all backends of this process included
	)
	primary := mirrortest.NewBackend(t, mirrortest.Sized(4<<20)).Forget()
	candidate := mirrortest.NewBackend(t, mirrortest.Sized(4<<20)).Forget()
	cfg := pair(primary.URL, candidate.URL, mirror.Own)
	cfg.Mirror.MaxBody = 512 << 10
	shared := mirror.NewBudget(budget)
	queue := mirror.NewMemQueue(1000, budget)
	r := start(t, cfg, func(d *mirror.Deps) { d.Budget, d.Queue = shared, queue })

	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	stop, watched := make(chan struct{}), make(chan struct{})
	var mostBytes int64
	var mostHeap uint64
	go func() {
		defer close(watched)
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				mostHeap, mostBytes = max(mostHeap, now.HeapAlloc), max(mostBytes, shared.InUse())
			}
		}
	}()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for _, size := range []int64{upload, 100 << 10, 400 << 10} {
				res, err := http.Post(r.URL+"/orders", "text/plain", io.LimitReader(endless{}, size))
				if err != nil {
					t.Errorf("caller %d: %v", i, err)
					return
				}
				if n, err := io.Copy(io.Discard, res.Body); n != 4<<20 || err != nil {
					t.Errorf("caller %d: %d bytes of answer, %v", i, n, err)
				}
				res.Body.Close()
			}
		})
	}
	wg.Wait()
	http.DefaultClient.CloseIdleConnections()
	places := r.settled(callers * 3)
	close(stop)
	<-watched
	if mostBytes > budget {
		t.Errorf("copies held %d bytes, the budget is %d", mostBytes, budget)
	}
	if grown := int64(mostHeap) - int64(before.HeapAlloc); grown > allowed {
		t.Errorf("the heap grew by %d MiB, allowed are %d", grown>>20, allowed>>20)
	}
	if places[parallax.UnmirroredBodySize]+places[parallax.UnmirroredBudget] < callers {
		t.Errorf("places %v: want at least the %d long uploads given up", places, callers)
	}
	r.Stop() // the last copy is let go of after its exchange has been counted
	if shared.InUse() != 0 {
		t.Errorf("%d bytes are still reserved", shared.InUse())
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestNothingUnsafeIsMirroredUnlessAllowed(t *testing.T) {
	t.Parallel()
	states := []mirror.State{"", mirror.None, mirror.Dry, mirror.Shared, mirror.Follower, mirror.Own}
	// Section 8 of the design, written down a second time.
	takesUnsafe := map[mirror.State]bool{mirror.None: true, mirror.Dry: true, mirror.Own: true}
	unsafeLive := map[mirror.State]bool{mirror.None: true, mirror.Dry: true, mirror.Shared: true, "": true}
	methods := []string{"GET", "POST", "PUT", "PATCH", "DELETE", "PURGE"}

	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	secondary := mirrortest.NewBackend(t, mirrortest.Status(200))
	counts := func() [3]int { return [3]int{primary.Count(), candidate.Count(), secondary.Count()} }
	check := func(allow mirror.Unsafe, ps, cs, ss mirror.State, user string) {
		cfg := pair(primary.URL, candidate.URL, cs)
		cfg.Primary.State = ps
		cfg.Secondary = at(secondary.URL, ss)
		cfg.Mirror.Unsafe = allow
		cfg.Split.Key = "header:X-User"
		cfg.Split.Pin = map[string]string{"on-candidate": "candidate"}
		if len(cfg.Validate()) > 0 {
			if takesUnsafe[ps] && cs != mirror.Own || ps == mirror.Follower {
				return // a primary whose shadow writes would go to the candidate's database is refused
			}
			t.Errorf("primary %q, candidate %q: refused", ps, cs)
			return
		}
		r := start(t, cfg)
		for _, method := range methods {
			before := counts()
			r.do(method, "/orders", "", "X-User: "+user)
			r.settled(r.Ledger.Received())
			after := counts()
			liveOn := 0
			if user == "on-candidate" && (method == "GET" || unsafeLive[cs]) {
				liveOn = 1
			}
			for leg, state := range []mirror.State{ps, cs, ss} {
				want := method == "GET" || leg == liveOn || (allow == mirror.UnsafeAllowed && takesUnsafe[state])
				if got := after[leg] - before[leg]; got != map[bool]int{true: 1}[want] {
					t.Errorf("unsafe: %q, primary %q, candidate %q, secondary %q, %s: %s reached the %s %d times, want %t",
						allow, ps, cs, ss, user, method, parallax.Leg(leg), got, want)
				}
			}
		}
		r.Stop()
	}
	// Beside another proxy every leg executes a second time, the primary too.
	executesAgain := map[mirror.State]bool{mirror.None: true, mirror.Own: true}
	checkTap := func(allow mirror.Unsafe, ps, cs, ss mirror.State) {
		cfg := pair(primary.URL, candidate.URL, cs)
		cfg.Tap = true
		cfg.Primary.State = ps
		cfg.Secondary = at(secondary.URL, ss)
		cfg.Mirror.Unsafe = allow
		r := start(t, cfg)
		for _, method := range methods {
			before := counts()
			if res, _ := r.do(method, "/orders", ""); res.StatusCode != 202 {
				t.Errorf("%s: a copy is answered %d", method, res.StatusCode)
			}
			r.settled(r.Ledger.Received())
			after := counts()
			compared := allow == mirror.UnsafeAllowed && executesAgain[ps] && executesAgain[cs]
			for leg, state := range []mirror.State{ps, cs, ss} {
				want := method == "GET" || compared && executesAgain[state]
				if got := after[leg] - before[leg]; got != map[bool]int{true: 1}[want] {
					t.Errorf("tap, unsafe: %q, primary %q, candidate %q, secondary %q: %s reached the %s %d times, want %t",
						allow, ps, cs, ss, method, parallax.Leg(leg), got, want)
				}
			}
		}
		r.Stop()
	}
	for _, allow := range []mirror.Unsafe{"", mirror.UnsafeNever, mirror.UnsafeAllowed} {
		for _, ps := range states {
			for _, cs := range states {
				for _, ss := range states {
					checkTap(allow, ps, cs, ss)
					for _, user := range []string{"on-primary", "on-candidate"} {
						check(allow, ps, cs, ss, user)
					}
				}
			}
		}
	}
}

func TestRejectedRequestsAreNotRepeated(t *testing.T) {
	t.Parallel()
	for status, mirrored := range map[int]bool{200: true, 201: true, 400: true, 429: false, 500: true, 503: false} {
		primary := mirrortest.NewBackend(t, mirrortest.Status(status))
		candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
		r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
		r.do("POST", "/orders", "{}")
		places := r.settled(1)
		if got := places[parallax.InQueue] == 1; got != mirrored || candidate.Count() != places[parallax.InQueue] {
			t.Errorf("live status %d: places %v, candidate asked %d times, want mirrored %t", status, places, candidate.Count(), mirrored)
		}
		if !mirrored && places[parallax.UnmirroredRejected] != 1 {
			t.Errorf("live status %d: places %v", status, places)
		}
	}
}

func TestUnsafeRequestsWaitForTheLiveStatus(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	primary := mirrortest.NewBackend(t, mirrortest.Held(release, mirrortest.Status(200)))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.do("POST", "/orders", "{}")
	}()
	primary.Wait(t, 1)
	r.Client.Transport.(*http.Transport).CloseIdleConnections()
	overtaken := make(chan struct{})
	go func() {
		defer close(overtaken)
		r.do("GET", "/orders/1", "") // a safe one overtakes it on the candidate
	}()
	if seen := candidate.Wait(t, 1)[0]; seen.Method != "GET" {
		t.Errorf("the candidate got %s before the live leg had answered it", seen.Method)
	}
	close(release)
	<-done
	<-overtaken
	candidate.Wait(t, 2)
	r.settled(2)
}

func TestSampling(t *testing.T) {
	t.Parallel()
	f := func(state mirror.State, method string, share float64, want float64) {
		t.Helper()
		primary := mirrortest.NewBackend(t, mirrortest.Status(200))
		candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
		cfg := pair(primary.URL, candidate.URL, state)
		cfg.Mirror.Sample = share
		r := start(t, cfg)
		const n = 400
		for range n {
			r.do(method, "/orders", "")
		}
		places := r.settled(n)
		// Six standard deviations: once in 5e8 runs.
		slack := 6 * math.Sqrt(n*share*(1-share))
		if got := float64(places[parallax.InQueue]); math.Abs(got-n*want) > slack || places[parallax.InQueue]+places[parallax.UnmirroredSample] != n {
			t.Errorf("state %q, %s, share %v: places %v, want about %v mirrored", state, method, share, places, n*want)
		}
	}
	f(mirror.Shared, "GET", 0, 0)
	f(mirror.Shared, "GET", 0.5, 0.5)
	f(mirror.Own, "GET", 0.5, 0.5)
	f(mirror.Own, "POST", 0, 1) // its database must not miss a write
	f(mirror.Dry, "POST", 0.5, 0.5)
}

func TestQueueConformance(t *testing.T) {
	t.Parallel()
	open := func(*testing.T) (mirrortest.Queue, int) { return mirror.NewMemQueue(64, 1<<20), 64 }
	mirrortest.TestQueue(t, open)
	mirrortest.TestBlockingReceive(t, open)
}

func TestQueueIsBoundedByBytes(t *testing.T) {
	t.Parallel()
	q := mirror.NewMemQueue(1000, 64<<10)
	x := mirrortest.Exchanges(2)
	x[0].Legs[parallax.Primary].Response.Body.Bytes = make([]byte, 60<<10)
	long := mirrortest.Exchanges(3)[2]
	long.Legs = [parallax.Legs]*parallax.Call{{
		Request: parallax.Request{Target: "/?" + strings.Repeat("q", 30<<10), Host: strings.Repeat("h", 20<<10)},
		Err:     parallax.CallErr{Text: strings.Repeat("e", 20<<10)},
	}}
	if q.Offer(long) {
		t.Error("the queue took an exchange whose texts alone are more than its bytes")
	}
	if !q.Offer(x[0]) || q.Offer(x[1]) && q.Offer(func() *parallax.Exchange { y := *x[0]; rand.Read(y.ID[:]); return &y }()) {
		t.Error("the queue took more than its bytes")
	}
}

func TestShutdownDrains(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	primary := mirrortest.NewBackend(t, mirrortest.Held(release, mirrortest.Status(200)))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
	answered := make(chan int)
	go func() {
		res, _ := r.do("POST", "/orders", "{}")
		answered <- res.StatusCode
	}()
	primary.Wait(t, 1)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.Stop()
	}()
	close(release)
	if status := <-answered; status != 200 {
		t.Errorf("the request under way was answered %d", status)
	}
	<-stopped
	places := r.Ledger.Places()
	if places[parallax.InQueue]+places[parallax.UnmirroredDraining] != 1 {
		t.Errorf("places %v", places)
	}
}
