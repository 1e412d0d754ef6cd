package reports

import (
	"testing"

	"parallax/divergence"
)

// TestTooMuchNoiseHolds: noise in more than the policy's share of an endpoint's
// exchanges holds the verdict with the figures; at the share it does not.
func TestTooMuchNoiseHolds(t *testing.T) {
	t.Parallel()
	f := func(noise uint64, want bool) {
		t.Helper()
		policy := DefaultPromotion()
		policy.MinDuration, policy.MaxNoiseShare = 0, 0.25
		e := NewEvidence(policy)
		e.Add(divergence.Tick{At: noon, Endpoint: "GET /", Received: 10_000, N: 10_000, Timed: 10_000, Noise: noise})
		v := e.Verdict(noon, Context{Service: "shop"})
		var got *Reason
		for i := range v.Reasons {
			if v.Reasons[i].Code == NoiseShare {
				got = &v.Reasons[i]
			}
		}
		switch {
		case (got != nil) != want:
			t.Errorf("%d of 10000 with noise: %+v", noise, v.Reasons)
		case want && (v.Decision != Hold || got.K != noise || got.N != 10_000 || got.Threshold != 0.25 || got.Endpoint != "GET /"):
			t.Errorf("%s, %+v", v.Decision, *got)
		case !want && v.Decision != Promote:
			t.Errorf("%s: %+v", v.Decision, v.Reasons)
		}
	}
	f(2500, false)
	f(2501, true)
}

// TestNoiseIsAShareOfWhatHasAPrimary: exchanges whose primary failed do not make the
// noise of the others less.
func TestNoiseIsAShareOfWhatHasAPrimary(t *testing.T) {
	t.Parallel()
	policy := DefaultPromotion()
	policy.MinDuration, policy.MaxNoiseShare = 0, 0.25
	e := NewEvidence(policy)
	e.Add(divergence.Tick{At: noon, Endpoint: "GET /", Received: 20_000, N: 10_000, Timed: 10_000, NotComparable: 10_000, Unanswered: 10_000, Noise: 4000})
	v := e.Verdict(noon, Context{Service: "shop"})
	if v.Decision != Hold || len(v.Reasons) != 1 || v.Reasons[0].Code != NoiseShare || v.Reasons[0].K != 4000 || v.Reasons[0].N != 10_000 {
		t.Errorf("%s: %+v", v.Decision, v.Reasons)
	}
}
