package mirror_test

import (
	"net"
	"testing"
	"time"

	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// TestAUserStaysWhereTheCandidateTurnedHerWriteDown: she was told that it is done, and the
// candidate would not show it.
func TestAUserStaysWhereTheCandidateTurnedHerWriteDown(t *testing.T) {
	t.Parallel()
	for _, status := range []int{409, 500, 503} {
		r, _, candidate := notebooks(t, nil)
		candidate.gate = func(q *mirrortest.Seen) int {
			return map[string]int{"refused": status}[string(q.Body)]
		}
		note(r, "ann", "refused")
		r.settled(1)
		r.Mirror.Split().SetStep(10_000)
		leg, notes := noted(r, "ann")
		if has := candidate.written("ann"); leg == "candidate" && len(has) == 0 {
			t.Errorf("%d: she moved to the candidate, which lacks what she was told is done: %v", status, notes)
		}
		if leg, _ := noted(r, "bob"); leg != "candidate" {
			t.Errorf("%d: another user is answered by the %s", status, leg)
		}
	}
}

// TestTheWayBackWaitsForWhatThePrimaryTurnedDown: it sheds load for a moment, and another leg
// that takes its time keeps the exchange from its end.
func TestTheWayBackWaitsForWhatThePrimaryTurnedDown(t *testing.T) {
	t.Parallel()
	turned, release := make(chan struct{}), make(chan struct{})
	secondary := mirrortest.NewBackend(t, func(b *mirrortest.Backend, c net.Conn, q *mirrortest.Seen) bool {
		if q.Method != "GET" {
			<-release
		}
		return mirrortest.Status(200)(b, c, q)
	})
	r, primary, _ := notebooks(t, func(s *mirror.Service) { s.Secondary = at(secondary.URL, mirror.Own) })
	first := true
	primary.gate = func(q *mirrortest.Seen) int {
		if q.Method == "GET" || !first {
			return 0
		}
		first = false
		close(turned)
		return 503
	}
	r.Mirror.Split().SetStep(10_000)
	note(r, "ann", "1")
	<-turned
	r.Mirror.Split().SetStep(0)
	began := time.Now()
	if leg, notes := noted(r, "ann"); len(notes) == 0 && time.Since(began) < mirror.DrainWithin {
		t.Errorf("the %s answers without her write after %v", leg, time.Since(began))
	}
	close(release)
	for deadline := time.Now().Add(20 * time.Second); r.Mirror.WayBack().WritesMissing > 0; <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the primary still lacks %d", r.Mirror.WayBack().WritesMissing)
		}
	}
}
