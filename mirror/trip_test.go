package mirror_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

func TestATripStopsMirroringToTheLegAlone(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	secondary := mirrortest.NewBackend(t, mirrortest.Status(200))
	cfg := pair(primary.URL, candidate.URL, mirror.Dry)
	cfg.Secondary = at(secondary.URL, mirror.None)
	cfg.Split.Key, cfg.Split.Pin = "header:X-User", map[string]string{"ann": "candidate"}
	r := start(t, cfg)
	asked := func(method, user string, want ...int) {
		t.Helper()
		before := []int{primary.Count(), candidate.Count(), secondary.Count()}
		r.do(method, "/orders", "", "X-User: "+user)
		r.settled(r.Ledger.Received())
		after := []int{primary.Count(), candidate.Count(), secondary.Count()}
		for i := range after {
			after[i] -= before[i]
		}
		if diff := cmp.Diff(want, after); diff != "" {
			t.Errorf("%s by %s (-want +got)\n%s", method, user, diff)
		}
	}
	var heard []mirror.Trip
	r.Mirror.OnTrip(func(trip mirror.Trip) { heard = append(heard, trip) })
	asked("POST", "bob", 1, 1, 1)
	if !r.Mirror.Trip(parallax.Candidate, "it committed an insert into orders") || r.Mirror.Trip(parallax.Candidate, "again") {
		t.Error("the first trip is not the first, or the second is")
	}
	want := []mirror.Trip{{Leg: parallax.Candidate, Reason: "it committed an insert into orders"}}
	if diff := cmp.Diff(want, r.Mirror.Tripped(), cmpopts.IgnoreFields(mirror.Trip{}, "At")); diff != "" {
		t.Errorf("in force (-want +got)\n%s", diff)
	}
	if !slices.Equal(heard, r.Mirror.Tripped()) {
		t.Errorf("heard of %v, in force is %v", heard, r.Mirror.Tripped())
	}
	asked("POST", "bob", 1, 0, 1)
	asked("GET", "bob", 1, 0, 1)
	asked("GET", "ann", 1, 1, 1) // live it goes on

	trips := r.Mirror.Tripped()
	r.Mirror.SetTrips(nil)
	asked("POST", "bob", 1, 1, 1)
	r.Mirror.SetTrips(trips) // as after a restart
	asked("POST", "bob", 1, 0, 1)
	if len(heard) != 1 {
		t.Errorf("heard of %d trips, want the one", len(heard))
	}
}

// With nobody else to compare with, the exchange is counted with its reason.
func TestTrippedIsAReason(t *testing.T) {
	t.Parallel()
	f := func(change func(*mirror.Service)) {
		t.Helper()
		cfg := pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, mirrortest.NewBackend(t, mirrortest.Status(200)).URL, mirror.Own)
		change(&cfg)
		r := start(t, cfg)
		r.Mirror.Trip(parallax.Candidate, "why")
		for _, method := range []string{"GET", "POST"} {
			r.do(method, "/orders", "")
		}
		if diff := cmp.Diff(map[parallax.Place]int{parallax.UnmirroredTripped: 2}, r.settled(2)); diff != "" {
			t.Errorf("places (-want +got)\n%s", diff)
		}
	}
	f(func(*mirror.Service) {})
	f(func(s *mirror.Service) { s.Tap, s.Primary.State = true, mirror.Own })
}

// What waits behind a user's earlier request when a leg trips is not sent either.
func TestATripStopsWhatWaits(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	candidate := mirrortest.NewBackend(t, mirrortest.Held(release, mirrortest.Status(200)))
	cfg := pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, candidate.URL, mirror.Own)
	cfg.Mirror.OrderBy, cfg.Mirror.Timeout = "header:X-User", time.Minute
	r := start(t, cfg)
	r.do("GET", "/orders/1", "", "X-User: ann")
	candidate.Wait(t, 1)
	r.do("GET", "/orders/2", "", "X-User: ann")
	if err := r.Ledger.Wait(t.Context(), func(places map[parallax.Place]int) bool { return places[parallax.InLane] == 1 }); err != nil {
		t.Fatal(err)
	}
	r.Mirror.Trip(parallax.Candidate, "why")
	close(release)
	if diff := cmp.Diff(map[parallax.Place]int{parallax.InQueue: 1, parallax.UnmirroredTripped: 1}, r.settled(2)); diff != "" {
		t.Errorf("places (-want +got)\n%s", diff)
	}
	if candidate.Count() != 1 {
		t.Errorf("the candidate was asked %d times, want what it had been sent before", candidate.Count())
	}
}

// A call of another service's shadow, which may go to the candidate alone.
func TestATrippedLegGetsNoShadowCalls(t *testing.T) {
	t.Parallel()
	marked := mirrortest.NewBackend(t, mirrortest.Status(200))
	front := pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, marked.URL, mirror.Own)
	front.Name = "front"
	start(t, front).do("GET", "/", "")
	baggage := "Baggage: " + marked.Wait(t, 1)[0].Header.Get("Baggage")

	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, candidate.URL, mirror.Dry))
	r.Mirror.Trip(parallax.Candidate, "why")
	if res, _ := r.do("POST", "/orders", "", baggage); res.StatusCode != 403 || candidate.Count() != 0 {
		t.Errorf("answered %d, the candidate was asked %d times; want 403 and not at all", res.StatusCode, candidate.Count())
	}
}
