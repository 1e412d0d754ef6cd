package reports

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
)

// TestCaughtIsShown: the figure stands in verdict and report with its age, and the
// decision is the same without it.
func TestCaughtIsShown(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	known := map[string]Caught{"GET /a": {Share: 0.75, N: 40, At: now.Add(-90 * time.Second)}}
	e := NewEvidence(DefaultPromotion())
	with, without := e.Verdict(now, Context{Service: "shop", Caught: known}), e.Verdict(now, Context{Service: "shop"})
	want := Caught{Share: 0.75, N: 40, At: now.Add(-90 * time.Second), Age: 90}
	if diff := cmp.Diff(map[string]Caught{"GET /a": want}, with.Caught); diff != "" {
		t.Error(diff)
	}
	r := Build(divergence.Window{}, divergence.Summary{Endpoints: []divergence.EndpointStats{{Endpoint: "GET /a"}, {Endpoint: "GET /b"}}}, with)
	if r.Endpoints[0].Caught == nil || *r.Endpoints[0].Caught != want || r.Endpoints[1].Caught != nil {
		t.Errorf("%+v", r.Endpoints)
	}
	with.Caught = nil
	if diff := cmp.Diff(without, with); diff != "" {
		t.Error(diff)
	}
}
