package mirror_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// TestWatchdogPausesWhatSlowsCallersDown: two legs share one processor, so that
// callers wait for shadow requests. The watchdog finds out, says why, and tries
// again after a while.
//
// It runs alone: what it measures is time.
func TestWatchdogPausesWhatSlowsCallersDown(t *testing.T) {
	processor := make(chan struct{}, 1)
	work := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		processor <- struct{}{}
		<-time.After(time.Millisecond)
		<-processor
	})
	primary, candidate := httptest.NewServer(work), httptest.NewServer(work)
	t.Cleanup(primary.Close)
	t.Cleanup(candidate.Close)
	cfg := pair(primary.URL, candidate.URL, mirror.Shared)
	cfg.Mirror.InFlight = 12
	quick, began := start(t, cfg), time.Now()
	callUntil(quick, func() bool { return quick.Ledger.Received() >= 200 })
	enough := time.Since(began) * 40 / 200 // forty requests, however busy the machine is
	quick.Stop()
	cfg.Mirror.Watchdog = mirror.WatchdogOptions{Enabled: true, Ratio: 1.1, Window: max(enough, 50*time.Millisecond), Share: 1.0 / 3, Cooldown: 200 * time.Millisecond}
	r := start(t, cfg)

	var why mirror.Pause
	callUntil(r, func() bool {
		p, paused := r.Mirror.Paused()
		if paused {
			why = p
		}
		return paused
	})
	if why.By != mirror.ByWatchdog || !strings.Contains(why.Reason, "slower with mirroring") || why.Until.IsZero() {
		t.Fatalf("paused by %+v", why)
	}
	callUntil(r, func() bool { _, paused := r.Mirror.Paused(); return !paused })
	if places := r.settled(1); places[parallax.UnmirroredWatchdog] == 0 {
		t.Errorf("nothing is counted as left out for the watchdog: %v", places)
	}
}

// callUntil sends requests from four callers until something has happened, for three
// minutes at most.
func callUntil(r *rig, until func() bool) {
	deadline := time.Now().Add(3 * time.Minute)
	var callers sync.WaitGroup
	var mu sync.Mutex
	happened := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return until() || time.Now().After(deadline)
	}
	for range 4 {
		callers.Go(func() {
			for !happened() {
				res, err := r.Client.Get(r.URL + "/orders/17")
				if err != nil {
					r.t.Errorf("a caller got no answer: %v", err)
					return
				}
				res.Body.Close()
			}
		})
	}
	callers.Wait()
}

// TestWatchdogLeavesFewRequestsAlone: where there is too little traffic to
// measure, none of it is taken away.
func TestWatchdogLeavesFewRequestsAlone(t *testing.T) {
	t.Parallel()
	r, _, _ := twins(t, mirror.Shared, func(cfg *mirror.Service) {
		cfg.Mirror.Watchdog = mirror.DefaultWatchdog()
		cfg.Mirror.Watchdog.Enabled, cfg.Mirror.Watchdog.Window, cfg.Mirror.Watchdog.Share = true, 20*time.Millisecond, 1.0/3
	})
	last := time.Now()
	for n := range 30 { // two in three windows
		for time.Since(last) < 30*time.Millisecond {
			<-time.After(time.Millisecond)
		}
		last = time.Now()
		r.do("GET", "/orders/17", "")
		if places := r.settled(n + 1); places[parallax.InQueue] != n+1 {
			t.Fatalf("%v, want all of them mirrored", places)
		}
	}
}

// TestWatchdogHearsOfAnotherConfiguration: a measurement that takes long does not
// keep the watchdog from what a reload says.
func TestWatchdogHearsOfAnotherConfiguration(t *testing.T) {
	t.Parallel()
	b := mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
	cfg := pair(b.URL, b.URL, mirror.Shared)
	cfg.Mirror.Watchdog = mirror.DefaultWatchdog()
	cfg.Mirror.Watchdog.Enabled, cfg.Mirror.Watchdog.Window, cfg.Mirror.Watchdog.Share = true, time.Minute, 1.0/3
	r := start(t, cfg)
	r.do("GET", "/orders/17", "")
	cfg.Mirror.Watchdog.Window = time.Second
	began := time.Now()
	r.reload(cfg)
	callUntil(r, func() bool { return r.Ledger.Places()[parallax.UnmirroredWatchdog] > 0 })
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took the watchdog %s to measure as it was told anew", took)
	}
}
