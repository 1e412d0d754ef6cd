package mirror_test

import (
	"slices"
	"strings"
	"testing"

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
