package reports

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
)

// rare is the quick policy with a limit of its own for one endpoint.
func rare() Promotion {
	p := quick()
	p.MaxDivergenceRate, p.MaxErrorRate = 0.001, 0.001
	p.Endpoints = map[string]Waiver{"GET /rare": {MaxDivergenceRate: 0.05, MaxErrorRate: 0.05}}
	return p
}

// TestRareEndpointsHaveLimitsOfTheirOwn: one endpoint asks for less, at its own limit,
// which the reasons name; the others ask for what they did.
func TestRareEndpointsHaveLimitsOfTheirOwn(t *testing.T) {
	t.Parallel()
	p := rare()
	on := func(endpoint string, seconds int, n, k, b uint64) divergence.Tick {
		x := tick(endpoint, seconds, n, k)
		x.PolicyHash, x.B = p.Hash(), b
		return x
	}
	need := SamplesNeeded(0, 0.05, p.Alpha)
	need = max(need, SamplesNeeded(0, p.Slower.MaxShare, p.Alpha/2))
	short := at(fold(p, on("GET /rare", 1, 10, 0, 0), on("GET /b", 1, 100_000, 0, 0)), 2)
	is(t, short, Hold, "insufficient_samples GET /rare")
	if r := short.Reasons[0]; r.Need != need {
		t.Errorf("it needs %d, want %d", r.Need, need)
	}
	is(t, at(fold(p, on("GET /rare", 1, need, 0, 0), on("GET /b", 1, 100_000, 0, 0)), 2), Promote)
	is(t, at(fold(p, on("GET /rare", 1, need, 0, 0), on("GET /b", 1, need, 0, 0)), 2), Hold, "insufficient_samples GET /b")

	// At 2 % one passes, and the other is rolled back.
	is(t, at(fold(p, on("GET /rare", 1, 10_000, 200, 2)), 2), Promote)
	is(t, at(fold(p, on("GET /rare", 1, 200, 0, 1)), 2), Promote)
	is(t, at(fold(p, on("GET /b", 1, 5000, 0, 1)), 2), Hold, "candidate_errors GET /b")
	is(t, at(fold(p, on("GET /b", 1, 10_000, 200, 0)), 2), Rollback, "divergence_rate GET /b")
	bad := at(fold(p, on("GET /rare", 1, 1000, 200, 0)), 2)
	is(t, bad, Rollback, "divergence_rate GET /rare")
	if got := bad.Reasons[0].Threshold; got != 0.05 {
		t.Errorf("the threshold is %v", got)
	}
}

func TestALimitOfItsOwnIsPartOfThePolicy(t *testing.T) {
	t.Parallel()
	p := rare()
	plain := rare()
	plain.Endpoints = nil
	waived := rare()
	waived.Endpoints = map[string]Waiver{"GET /rare": {Waived: "2026-12-31 team", MaxDivergenceRate: 0.05, MaxErrorRate: 0.05}}
	if p.Hash() == plain.Hash() || p.Hash() != waived.Hash() {
		t.Errorf("hashes: %s with, %s without, %s waived too", p.Hash(), plain.Hash(), waived.Hash())
	}
	if faults := waived.Validate(); faults != nil {
		t.Error(faults)
	}
	p.Endpoints = map[string]Waiver{"a": {MaxDivergenceRate: 1}, "b": {MaxErrorRate: -1}, "c": {}, "d": {Waived: "x", MaxErrorRate: 0.1}}
	var at []string
	for _, f := range p.Validate() {
		at = append(at, f.Path)
	}
	if diff := cmp.Diff([]string{`endpoints["a"].max_divergence_rate`, `endpoints["b"].max_error_rate`, `endpoints["c"].waived`, `endpoints["d"].waived`}, at); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}
