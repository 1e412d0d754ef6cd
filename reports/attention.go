package reports

import "slices"

// waits are the reasons that go away by themselves while the same traffic goes on.
var waits = []Code{InsufficientSamples, TooShort, HoursMissing, NoTraffic, Stale, NotCovered, Paused, MirroringPaused, StoreAway}

// NeedsAttention reports whether somebody should look at the endpoint: it does not pass,
// and something of it diverges, or holds it that more of the same traffic will not mend.
// One that merely waits for evidence needs nobody.
func (e *Endpoint) NeedsAttention() bool {
	if e.Diagnosis != nil || e.Verdict == Rollback {
		return true
	}
	return e.Verdict != Promote && (e.Diverged > 0 || slices.ContainsFunc(e.Reasons, func(r Reason) bool { return !slices.Contains(waits, r.Code) }))
}
