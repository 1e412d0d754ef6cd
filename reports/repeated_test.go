package reports

import (
	"testing"

	"parallax/divergence"
)

// TestRepeatsAreNoEvidence: however many there are, and the verdict says that there are.
func TestRepeatsAreNoEvidence(t *testing.T) {
	t.Parallel()
	repeated := func(n, repeated uint64) divergence.Tick {
		x := tick("GET /a", 1, n, 0)
		x.Received, x.Repeated = n+repeated, repeated
		return x
	}
	is(t, at(fold(quick(), repeated(20, 1_000_000)), 1), Hold, "insufficient_samples GET /a", "repeated GET /a")
	is(t, at(fold(quick(), repeated(20, 10)), 1), Hold, "insufficient_samples GET /a")
	is(t, at(fold(quick(), repeated(1000, 1_000_000)), 1), Promote)

	// Lost exchanges are a share of all that were mirrored.
	x := repeated(1000, 1000)
	x.Lost = 15
	is(t, at(fold(quick(), x), 1), Promote)

	// Traffic of nothing else keeps a verdict from being stale.
	e := fold(quick(), tick("GET /a", 1, 1000, 0))
	late := repeated(0, 5)
	late.At = late.At.Add(StaleAfter)
	e.Add(late)
	is(t, e.Verdict(late.At.Add(StaleAfter), Context{Service: "shop"}), Promote)
}
