package reports

import (
	"testing"

	"parallax/divergence"
)

func TestNeedsAttention(t *testing.T) {
	t.Parallel()
	f := func(want bool, e Endpoint) {
		t.Helper()
		if got := e.NeedsAttention(); got != want {
			t.Errorf("%+v: %v, want %v", e, got, want)
		}
	}
	diverged := divergence.EndpointStats{Diverged: 1}
	f(false, Endpoint{Verdict: Promote, EndpointStats: diverged})
	f(false, Endpoint{Verdict: Hold})
	f(false, Endpoint{Verdict: Hold, Reasons: []Reason{{Code: InsufficientSamples}, {Code: TooShort}}})
	f(true, Endpoint{Verdict: Hold, Reasons: []Reason{{Code: InsufficientSamples}}, EndpointStats: diverged})
	f(true, Endpoint{Verdict: Hold, Reasons: []Reason{{Code: TooShort}, {Code: KnownBug}}})
	f(true, Endpoint{Verdict: Rollback})
	f(true, Endpoint{Verdict: Promote, Diagnosis: &Diagnosis{}})
}
