package mirror_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// TestWhatEachLegMadeOfRequestsIsSeen: by endpoint, and apart what callers got; a reload
// forgets none of it.
func TestWhatEachLegMadeOfRequestsIsSeen(t *testing.T) {
	t.Parallel()
	gone := mirrortest.NewBackend(t, mirrortest.Status(200))
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(503))
	cfg := pair(primary.URL, candidate.URL, mirror.None)
	cfg.Split.Key, cfg.Split.Pin = "header:X-User", map[string]string{"ann": "candidate"}
	cfg.Endpoints = []string{"GET /orders", "GET /idle"}
	r := start(t, cfg)
	for _, user := range []string{"ann", "bob", "ann"} {
		r.do("GET", "/orders", "", "X-User: "+user)
	}
	r.settled(3)

	gone.Stop()
	cfg.Candidate.URLs = at(gone.URL, mirror.None).URLs
	change, faults := r.Mirror.Prepare(cfg)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	change.Commit()
	r.do("GET", "/orders", "", "X-User: bob")
	r.settled(4)

	seen := r.Mirror.Seen()
	slices.SortFunc(seen, func(a, b mirror.Seen) int {
		return strings.Compare(a.Leg.String()+map[bool]string{true: "live"}[a.Live], b.Leg.String()+map[bool]string{true: "live"}[b.Live])
	})
	if diff := cmp.Diff([]mirror.Seen{
		{Endpoint: "GET /orders", Leg: parallax.Candidate, Requests: 2, Errors: 1, ServerErrors: map[int]uint64{503: 1}},
		{Endpoint: "GET /orders", Leg: parallax.Candidate, Live: true, Requests: 2, ServerErrors: map[int]uint64{503: 2}},
		{Endpoint: "GET /orders", Leg: parallax.Primary, Requests: 2},
		{Endpoint: "GET /orders", Leg: parallax.Primary, Live: true, Requests: 2},
	}, seen); diff != "" {
		t.Errorf("seen (-want +got)\n%s", diff)
	}
}

// TestTimesAreCountedInBuckets: four an octave, each up to its end.
func TestTimesAreCountedInBuckets(t *testing.T) {
	t.Parallel()
	f := func(d time.Duration, want int) {
		t.Helper()
		if got := mirror.TimeBucket(d); got != want {
			t.Errorf("%v: bucket %d, want %d", d, got, want)
		}
	}
	f(0, 0)
	f(-time.Second, 0)
	f(63*time.Microsecond, 0)
	f(65*time.Microsecond, 1)
	f(129*time.Microsecond, 5)
	f(10*time.Millisecond, 30)
	f(24*time.Hour, mirror.TimeBuckets-1)
	for i := range mirror.TimeBuckets - 1 {
		if got := mirror.TimeBucket(mirror.BucketEnd(i) - time.Microsecond); got != i {
			t.Errorf("the end of bucket %d is counted in %d", i, got)
		}
	}
}

// TestOnlyCallersWaitsAreTimed: those of shadows are not, and neither is what failed.
func TestOnlyCallersWaitsAreTimed(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(503))
	cfg := pair(primary.URL, candidate.URL, mirror.None)
	cfg.Split.Key, cfg.Split.Pin = "header:X-User", map[string]string{"ann": "candidate"}
	cfg.Endpoints = []string{"GET /orders"}
	r := start(t, cfg)
	for _, user := range []string{"ann", "bob", "ann"} {
		r.do("GET", "/orders", "", "X-User: "+user)
	}
	r.settled(3)
	for leg, want := range map[parallax.Leg]uint64{parallax.Primary: 1, parallax.Candidate: 2, parallax.Secondary: 0} {
		var got uint64
		for _, n := range r.Mirror.LiveTimes("GET /orders", leg) {
			got += n
		}
		if got != want {
			t.Errorf("%v: %d times, want %d", leg, got, want)
		}
	}
	if got := r.Mirror.LiveTimes("GET /nothing", parallax.Primary); got != (mirror.Times{}) {
		t.Errorf("of an unknown endpoint: %v", got)
	}
}

// TestAShadowOfAStreamIsNoFailure: it is cut off because it goes on, which live answers may; and a leg that gives
// no answer in time fails as ever.
func TestAShadowOfAStreamIsNoFailure(t *testing.T) {
	t.Parallel()
	f := func(answer mirrortest.Answer, errors uint64) {
		primary := mirrortest.NewBackend(t, answer)
		cfg := pair(primary.URL, mirrortest.Refused(t), mirror.None)
		cfg.Mirror.Timeout = 50 * time.Millisecond
		r := start(t, cfg)
		r.Mirror.Split().SetStep(10_000)
		r.do("GET", "/orders/7", "")
		r.settled(1)
		for _, s := range r.Mirror.Seen() {
			if s.Leg == parallax.Primary && (s.Requests != 1 || s.Errors != errors) {
				t.Errorf("of %d requests %d count as failed, want %d", s.Requests, s.Errors, errors)
			}
		}
	}
	f(events, 0)
	f(mirrortest.Hang, 1)
}

// TestStreamsOpenNoBreaker: a leg that is cut off in streams of events has answered them.
func TestStreamsOpenNoBreaker(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, events), mirrortest.NewBackend(t, events)
	cfg := pair(primary.URL, candidate.URL, mirror.Shared)
	cfg.Mirror.Timeout = 50 * time.Millisecond
	cfg.Candidate.Breaker = mirror.Breaker{Failures: 2, Of: 2, OpenFor: time.Hour, HalfOpen: 1}
	r := start(t, cfg)
	for i := range 4 {
		in, conn := r.raw("GET /orders/7 HTTP/1.1\r\nHost: x\r\n\r\n")
		head(t, in)
		candidate.Wait(t, i+1)
		r.untilIdle(parallax.Candidate) // cut off
		conn.Close()
	}
	r.settled(4)
	candidate.Become(mirrortest.Status(200))
	primary.Become(mirrortest.Status(200))
	r.do("GET", "/orders/8", "")
	if got := r.next().Legs[parallax.Candidate]; got == nil || got.Response.Status != 200 {
		t.Errorf("the candidate was not asked: %+v", got)
	}
}
