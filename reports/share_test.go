package reports

import (
	"testing"

	"parallax/divergence"
)

// TestTooMuchLeftUnjudgedHolds: exchanges that are transient, or that name identifiers
// without a partner, hold the verdict above their own share with their own reason, and
// at it they do not; neither counts as not comparable besides.
func TestTooMuchLeftUnjudgedHolds(t *testing.T) {
	t.Parallel()
	f := func(code Code, n uint64, want bool) {
		t.Helper()
		policy := DefaultPromotion()
		policy.MinDuration, policy.MaxLostShare, policy.MaxTransientShare, policy.MaxUnmappedShare, policy.MaxUnknownShare, policy.MaxInheritedShare = 0, 0, 0.2, 0.1, 0.05, 0.02
		tick := divergence.Tick{At: noon, Endpoint: "GET /", Received: 10_000, N: 10_000 - n, Timed: 10_000 - n, NotComparable: n}
		switch code {
		case TransientShare:
			tick.Transient = n
		case UnmappedShare:
			tick.Unmapped = n
		case EffectsUnknown:
			tick.Unknown = n
		case InheritedShare:
			tick.Inherited = n
		case EffectsByKey: // They are compared.
			tick.N, tick.Timed, tick.NotComparable, tick.ByKey = 10_000, 10_000, 0, n
		}
		e := NewEvidence(policy)
		e.Add(tick)
		v := e.Verdict(noon, Context{Service: "shop"})
		switch {
		case !want:
			if v.Decision != Promote {
				t.Errorf("%d of 10000 %s: %s, %+v", n, code, v.Decision, v.Reasons)
			}
		case v.Decision != Hold || len(v.Reasons) != 1 || v.Reasons[0].Code != code || v.Reasons[0].K != n || v.Reasons[0].N != 10_000:
			t.Errorf("%d of 10000 %s: %s, %+v", n, code, v.Decision, v.Reasons)
		}
	}
	f(TransientShare, 2000, false)
	f(TransientShare, 2001, true)
	f(UnmappedShare, 1000, false)
	f(UnmappedShare, 1001, true)
	f(EffectsUnknown, 500, false)
	f(EffectsUnknown, 501, true)
	f(InheritedShare, 200, false)
	f(InheritedShare, 201, true)
	f(EffectsByKey, 500, false)
	f(EffectsByKey, 501, true)
}
