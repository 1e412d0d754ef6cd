package mirror_test

import (
	"testing"
	"time"

	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// TestAudienceIsWhoMayMeetTheCandidate: users of endpoints that may not go live are not
// in it. A reload keeps it, unless others may go live then.
func TestAudienceIsWhoMayMeetTheCandidate(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	cfg := pair(primary.URL, candidate.URL, mirror.Shared)
	cfg.Split.Key, cfg.Split.Pin = "header:X-User", map[string]string{"staff": "candidate"}
	cfg.Split.Endpoints = []string{"GET /orders/*"}
	r := start(t, cfg)
	r.do("GET", "/orders/1", "", "X-User: ann")
	r.do("GET", "/orders/2", "", "X-User: ann")
	r.do("GET", "/orders/1", "", "X-User: bob")
	r.do("GET", "/orders/1", "", "X-User: staff")
	r.do("GET", "/orders/1", "")
	r.do("GET", "/elsewhere", "", "X-User: eve")
	r.do("POST", "/orders", "{}", "X-User: kim")

	f := func(what string, step int, want mirror.Audience) {
		t.Helper()
		got := r.Mirror.Audience(step)
		got.Since = time.Time{}
		if got != want {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	reload := func() {
		t.Helper()
		change, faults := r.Mirror.Prepare(cfg)
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		change.Commit()
	}
	f("at the last step", 10000, mirror.Audience{Seen: 2, WouldMeet: 2, Unknown: 1})
	f("at no step", 0, mirror.Audience{Seen: 2, Unknown: 1})
	cfg.Mirror.Timeout++
	reload()
	f("after a reload", 10000, mirror.Audience{Seen: 2, WouldMeet: 2, Unknown: 1})
	cfg.Split.Salt = "another"
	reload()
	f("with other buckets", 10000, mirror.Audience{})
}
