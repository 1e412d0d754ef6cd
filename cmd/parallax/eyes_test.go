package main

import (
	"testing"
	"time"

	"parallax"
	"parallax/mirror"
	"parallax/reports"
)

// live is what was seen so far of a live candidate that answered 503 so often, and of the
// primary beside it.
func live(n, unavailable uint64) []mirror.Seen {
	return []mirror.Seen{
		{Endpoint: "GET /x", Leg: parallax.Candidate, Live: true, Requests: n, ServerErrors: map[int]uint64{503: unavailable}},
		{Endpoint: "GET /x", Leg: parallax.Candidate, Requests: 1000, Errors: 1000},
		{Endpoint: "GET /x", Leg: parallax.Primary, Requests: n},
	}
}

func normal(of bool) func(string, int) bool { return func(string, int) bool { return of } }

// TestARuleThatEndsAccusesNobody of what was normal until then; and what was answered stays so.
func TestARuleThatEndsAccusesNobody(t *testing.T) {
	t.Parallel()
	var e eyes
	if s := e.sights(live(500, 100), normal(true), nil); len(s) != 1 || s[0].Candidate != (reports.Tally{N: 500}) {
		t.Errorf("%+v", s)
	}
	s := e.sights(live(540, 101), normal(false), nil)
	if len(s) != 1 || s[0].Candidate != (reports.Tally{N: 40, Failed: 1}) || s[0].Primary != (reports.Tally{N: 40}) {
		t.Errorf("%+v, want the 40 requests that are new, and one of them failed", s)
	}
	if e.answered[""] != 539 {
		t.Errorf("%d answered, want 539", e.answered[""])
	}
}

// alarmed sees a candidate fail, and reports whether there is an alarm.
func (e *eyes) alarmed(n, failed uint64) bool {
	sight := reports.Sight{Endpoint: "GET /x", Candidate: reports.Tally{N: n, Failed: failed}, Primary: reports.Tally{N: 2 * n}}
	return e.watch.See(time.Time{}, []reports.Sight{sight}, reports.DefaultPromotion()) != nil
}

// TestNewEvidenceIsWatchedAnew: whoever was found bad, and mended, is not taken back for it.
func TestNewEvidenceIsWatchedAnew(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	was := subject{candidate: "1", rules: "r", accepted: "a", policy: "p"}
	for name, change := range map[string]func(*subject){
		"another build":        func(s *subject) { s.candidate = "2" },
		"other rules":          func(s *subject) { s.rules = "s" },
		"another policy":       func(s *subject) { s.policy = "q" },
		"something accepted":   func(s *subject) { s.accepted = "b" },
		"on a person's word":   func(s *subject) { s.from = now },
		"none of these at all": nil,
	} {
		var e eyes
		e.turnTo(was, now)
		if !e.alarmed(50, 50) {
			t.Fatal("no alarm though everything fails")
		}
		e.accused = []string{"GET /x"}
		s := was
		if change != nil {
			change(&s)
		}
		e.turnTo(s, now.Add(time.Hour))
		if old := e.alarmed(1, 0); old != (change == nil) || (len(e.accused) > 0) != old {
			t.Errorf("%s: alarm %t, accused %q", name, old, e.accused)
		}
	}
}

// TestTwoBuildsByTurnsAreWatched: while the instances of a candidate are replaced, or it stays
// with two builds. A build that is not told changes nothing.
func TestTwoBuildsByTurnsAreWatched(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var e eyes
	alarm := false
	for i := range 60 {
		e.turnTo(subject{candidate: []string{"1", "2", ""}[i%3]}, now.Add(time.Duration(i)*time.Second))
		alarm = e.alarmed(2, 2) || alarm
	}
	if !alarm {
		t.Error("no alarm though everything fails for a minute")
	}
	e.turnTo(subject{candidate: "2"}, now.Add(2*time.Minute))
	if e.about.candidate != "2" || e.alarmed(1, 0) {
		t.Errorf("%+v is still watched", e.about)
	}
}

// TestEachEndpointIsAccusedOnce: another one is news, also where the first is waived by then.
func TestEachEndpointIsAccusedOnce(t *testing.T) {
	t.Parallel()
	var p pilot
	for i, c := range []struct {
		endpoint string
		known    bool
	}{{"GET /a", false}, {"GET /a", true}, {"GET /b", false}, {"GET /b", true}, {"", false}} {
		if _, known := p.accused(c.endpoint); known != c.known {
			t.Errorf("%d: %q known %t", i, c.endpoint, known)
		}
	}
}
