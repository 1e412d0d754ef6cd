package reports

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/compare"
	"parallax/divergence"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// quick is the default policy without a minimum duration, at one percent.
func quick() Promotion {
	p := DefaultPromotion()
	p.MaxDivergenceRate, p.MaxErrorRate, p.MinDuration = 0.01, 0.01, 0
	return p
}

// tick is one tick of an endpoint, seconds after noon, with n exchanges of which k
// diverged. Nothing in it is slow.
func tick(endpoint string, seconds int, n, k uint64) divergence.Tick {
	return divergence.Tick{
		At: noon.Add(time.Duration(seconds) * time.Second), Instance: "a", Seq: uint64(seconds),
		Service: "shop", Endpoint: endpoint, RulesHash: "r1", PolicyHash: quick().Hash(), CandidateVersion: "2.0",
		Received: n, N: n, K: k, Timed: n,
	}
}

func fold(p Promotion, ticks ...divergence.Tick) *Evidence {
	e := NewEvidence(p)
	for _, t := range ticks {
		e.Add(t)
	}
	return e
}

// at is the verdict some seconds after noon.
func at(e *Evidence, seconds int) Verdict {
	return e.Verdict(noon.Add(time.Duration(seconds)*time.Second), Context{Service: "shop", RulesVersion: "r"})
}

func codesOf(v Verdict) []string {
	out := []string{}
	for _, r := range v.Reasons {
		out = append(out, string(r.Code)+" "+r.Endpoint)
	}
	return out
}

// is checks a verdict's decision and its reasons, each as "code endpoint".
func is(t *testing.T, v Verdict, want Decision, reasons ...string) {
	t.Helper()
	if reasons == nil {
		reasons = []string{}
	}
	if v.Decision != want {
		t.Errorf("verdict %s, want %s; reasons %v", v.Decision, want, codesOf(v))
	}
	if diff := cmp.Diff(reasons, codesOf(v)); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	if v.Final != (v.Decision != Hold) {
		t.Errorf("final is %v of %s", v.Final, v.Decision)
	}
}

func TestVerdictPromotesAtTheFirstSampleThatSuffices(t *testing.T) {
	t.Parallel()
	is(t, at(fold(quick(), tick("GET /a", 1, 376, 0)), 1), Hold, "insufficient_samples GET /a")
	is(t, at(fold(quick(), tick("GET /a", 1, 377, 0)), 1), Promote)
	is(t, at(fold(quick(), tick("GET /a", 1, 662, 1)), 1), Hold, "divergence_rate GET /a")
	is(t, at(fold(quick(), tick("GET /a", 1, 663, 1)), 1), Promote)
}

func TestVerdictSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	p := DefaultPromotion()
	p.MinDuration = 0
	e := NewEvidence(p)
	for i := range 100 {
		x := tick("GET /a", i, 2, 0)
		x.PolicyHash = p.Hash()
		e.Add(x)
	}
	v := at(e, 99)
	if len(v.Reasons) != 1 {
		t.Fatalf("reasons %v, want one", codesOf(v))
	}
	got := v.Reasons[0]
	want := Reason{Code: InsufficientSamples, Endpoint: "GET /a", Test: DivergenceTest, N: 200, Need: 3787, Threshold: 0.001, Upper: got.Upper}
	want.EtaSeconds = got.EtaSeconds
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reason (-want +got):\n%s", diff)
	}
	// Two a second, and the first tick counts for a second of its own.
	if eta := (3787.0 - 200) / 2; math.Abs(got.EtaSeconds-eta) > 0.03*eta {
		t.Errorf("eta %v s, want about %v", got.EtaSeconds, eta)
	}
	near(t, "Upper", 0, 200, 0.05, got.Upper, UpperLimit(0, 200, 0.05), 0)
	if diff := cmp.Diff(&Worst{Endpoint: "GET /a", Test: DivergenceTest, Threshold: 0.001, Upper: got.Upper}, v.Worst); diff != "" {
		t.Errorf("worst (-want +got):\n%s", diff)
	}
}

func TestVerdictHoldsForEachRequiredEndpoint(t *testing.T) {
	t.Parallel()
	good := tick("GET /a", 1, 1000, 0)
	failing := tick("GET /primary-fails", 1, 0, 0)
	failing.Received, failing.NotComparable = 50, 50
	never := tick("POST /orders", 1, 0, 0)
	never.Received = 9
	lost := tick("GET /lost", 1, 1000, 0)
	lost.Lost = 11
	slow := tick("GET /slow", 1, 1000, 0)
	slow.SlowB = 300
	errors := tick("GET /errors", 1, 1000, 5)
	errors.B, errors.C = 5, 4

	for _, c := range []struct {
		name    string
		ticks   []divergence.Tick
		after   int
		want    Decision
		reasons []string
	}{
		{"no tick", nil, 1, Hold, []string{"no_traffic "}},
		{"rare endpoint", []divergence.Tick{good, tick("GET /rare", 2, 3, 0)}, 2, Hold, []string{"insufficient_samples GET /rare"}},
		{"rare endpoint, a week later", []divergence.Tick{tick("GET /rare", 0, 3, 0), tick("GET /a", 7*24*3600+1, 1000, 0)}, 7*24*3600 + 1, Promote, nil},
		{"primary fails", []divergence.Tick{good, failing}, 2, Hold, []string{"not_comparable GET /primary-fails"}},
		{"never mirrored, may be under way", []divergence.Tick{good, never}, 2, Hold, []string{"insufficient_samples POST /orders"}},
		{"never mirrored", []divergence.Tick{good, never}, 61, Promote, nil},
		{"only never mirrored", []divergence.Tick{never}, 61, Hold, []string{"no_traffic "}},
		{"lost", []divergence.Tick{lost}, 2, Hold, []string{"lost_share ", "lost_share GET /lost"}},
		{"lost on a small endpoint", []divergence.Tick{good, good, lost}, 2, Hold, []string{"lost_share GET /lost"}},
		{"slow", []divergence.Tick{slow}, 2, Hold, []string{"slower GET /slow"}},
		{"errors", []divergence.Tick{errors}, 2, Hold, []string{"divergence_rate GET /errors", "candidate_errors GET /errors"}},
		{"stale", []divergence.Tick{good}, 15*60 + 2, Hold, []string{"stale "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			is(t, at(fold(quick(), c.ticks...), c.after), c.want, c.reasons...)
		})
	}
	redeployed := good
	redeployed.At, redeployed.CandidateVersion = noon.Add(time.Minute), "2.1"
	v := at(fold(quick(), good, never, redeployed), 61)
	is(t, v, Promote)
	if diff := cmp.Diff([]string{"POST /orders: never sent to the candidate"}, v.NotCovered); diff != "" {
		t.Errorf("not covered (-want +got):\n%s", diff)
	}
}

// Two equal versions on a busy machine are slower than each other in a fifth of
// all exchanges: the second way to pass.
func TestEqualVersionsAreNotSlower(t *testing.T) {
	t.Parallel()
	x := tick("GET /a", 1, 2000, 0)
	x.SlowB, x.SlowC = 400, 400
	is(t, at(fold(quick(), x), 1), Promote)
	x.SlowC = 200
	is(t, at(fold(quick(), x), 1), Hold, "slower GET /a")
}

func TestRollback(t *testing.T) {
	t.Parallel()
	two := tick("GET /a", 1, 2, 2)
	is(t, at(fold(quick(), two), 1), Hold, "divergence_rate GET /a", "insufficient_samples GET /a")
	three := tick("GET /a", 1, 3, 3)
	is(t, at(fold(quick(), three), 1), Rollback, "divergence_rate GET /a")

	// The candidate fails and the primary does not: discordant pairs decide even
	// where divergences are allowed in plenty.
	lax := quick()
	lax.MaxDivergenceRate = 0.9
	x := tick("GET /a", 1, 100, 40)
	x.PolicyHash, x.B, x.C = lax.Hash(), 40, 1
	is(t, at(fold(lax, x), 1), Rollback, "candidate_errors GET /a")

	// An endpoint seen late weighs less, and the others name themselves too.
	e := NewEvidence(quick())
	for i := range 20 {
		e.Add(tick("GET /"+string(rune('a'+i)), i, 400, 0))
	}
	e.Add(tick("GET /u", 21, 3, 3))
	is(t, at(e, 21), Hold, "divergence_rate GET /u", "insufficient_samples GET /u")
	e.Add(tick("GET /u", 22, 30, 30))
	e.Add(tick("GET /b", 23, 60, 60))
	is(t, at(e, 23), Rollback, "divergence_rate GET /u", "divergence_rate GET /b")
}

func TestRollbackIsLatched(t *testing.T) {
	t.Parallel()
	e := fold(quick(), tick("GET /a", 1, 10, 10))
	is(t, at(e, 1), Rollback, "divergence_rate GET /a")
	first := at(e, 1).Reasons
	e.Add(tick("GET /a", 2, 100_000, 0))
	if diff := cmp.Diff(first, at(e, 2).Reasons); diff != "" {
		t.Errorf("the reason moved (-then +now):\n%s", diff)
	}
	is(t, at(e, 2), Rollback, "divergence_rate GET /a")
}

func TestPassIsLatched(t *testing.T) {
	t.Parallel()
	e := fold(quick(), tick("GET /a", 1, 400, 0))
	is(t, at(e, 1), Promote)
	e.Add(tick("GET /a", 2, 100, 4)) // 4 of 500 would not pass afresh
	is(t, at(e, 2), Promote)
}

func TestNewEvidence(t *testing.T) {
	t.Parallel()
	start := []divergence.Tick{tick("GET /a", 1, 1000, 0), tick("GET /b", 2, 1000, 0)}
	for _, c := range []struct {
		name    string
		change  func(*divergence.Tick)
		want    Decision
		reasons []string
	}{
		{"nothing changes", func(*divergence.Tick) {}, Promote, nil},
		{"rules of the endpoint", func(x *divergence.Tick) { x.RulesHash = "r2" }, Hold, []string{"insufficient_samples GET /a"}},
		{"candidate", func(x *divergence.Tick) { x.CandidateVersion = "2.1" }, Hold, []string{"insufficient_samples GET /a", "insufficient_samples GET /b"}},
		{"candidate says nothing", func(x *divergence.Tick) { x.CandidateVersion = "" }, Promote, nil},
		{"primary says something for the first time", func(x *divergence.Tick) { x.PrimaryVersion = "1.0" }, Promote, nil},
		{"policy", func(x *divergence.Tick) { x.PolicyHash = "other" }, Hold, []string{"no_traffic ", "insufficient_samples GET /a", "insufficient_samples GET /b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			next := tick("GET /a", 3, 1, 0)
			c.change(&next)
			is(t, at(fold(quick(), append(start[:2:2], next)...), 3), c.want, c.reasons...)
		})
	}

	// A rollback goes with the evidence it was decided on, and with no other.
	bad, other, mended := tick("GET /a", 1, 10, 10), tick("GET /b", 2, 500, 0), tick("GET /a", 3, 500, 0)
	mended.RulesHash = "r2"
	is(t, at(fold(quick(), bad, other, mended), 3), Promote)
	elsewhere := tick("GET /b", 3, 500, 0)
	elsewhere.RulesHash = "r2"
	is(t, at(fold(quick(), bad, other, elsewhere), 3), Rollback, "divergence_rate GET /a")
}

// Rules that changed at a restart make old evidence void before the first tick
// under the new ones.
func TestEvidenceUnderOtherRulesDoesNotCount(t *testing.T) {
	t.Parallel()
	in := func(hash string) Context { return Context{RulesHash: func(string) string { return hash }} }
	e := fold(quick(), tick("GET /a", 1, 1000, 0))
	is(t, e.Verdict(noon, in("r1")), Promote)
	is(t, e.Verdict(noon, in("r2")), Hold, "insufficient_samples GET /a")
	e = fold(quick(), tick("GET /a", 1, 10, 10))
	is(t, e.Verdict(noon, in("r1")), Rollback, "divergence_rate GET /a")
	is(t, e.Verdict(noon, in("r2")), Hold, "insufficient_samples GET /a")
}

func TestMinDurationCountsFromTheLastChange(t *testing.T) {
	t.Parallel()
	p := quick()
	p.MinDuration = time.Hour
	on := func(seconds int, rules string) divergence.Tick {
		x := tick("GET /a", seconds, 500, 0)
		x.PolicyHash, x.RulesHash = p.Hash(), rules
		return x
	}
	e := fold(p, on(0, "r1"), on(3599, "r1"))
	is(t, at(e, 4000), Hold, "too_short ")
	e.Add(on(3600, "r1"))
	is(t, at(e, 4000), Promote)
	e.Add(on(4000, "r2"))
	is(t, at(e, 4000), Hold, "too_short ")
	if got, want := at(e, 4000).Since, noon.Add(4000*time.Second); !got.Equal(want) {
		t.Errorf("since %v, want %v", got, want)
	}
}

func TestWaivedEndpointNeitherHoldsNorRollsBack(t *testing.T) {
	t.Parallel()
	p := quick()
	p.Endpoints = map[string]Waiver{"POST /refunds": {Waived: "2026-11-21 team-pay"}}
	ticks := []divergence.Tick{tick("GET /a", 1, 1000, 0), tick("POST /refunds", 2, 50, 50)}
	v := at(fold(p, ticks...), 2)
	is(t, v, Promote)
	if diff := cmp.Diff([]string{"POST /refunds: waived until 2026-11-21 by team-pay"}, v.NotCovered); diff != "" {
		t.Errorf("not covered (-want +got):\n%s", diff)
	}
	// The day after, it counts again.
	e := fold(p, ticks...)
	e.Add(tick("GET /a", 24*3600, 1, 0))
	is(t, at(e, 24*3600), Rollback, "divergence_rate POST /refunds")
}

func TestWhatComesBeforeTheEvidence(t *testing.T) {
	t.Parallel()
	e := fold(quick(), tick("GET /a", 1, 1000, 0))
	is(t, e.Verdict(noon, Context{StoreAway: true}), Hold, "store_away ")
	is(t, e.Verdict(noon, Context{Paused: true}), Hold, "paused ")

	latch := Latch{RulesVersion: "r", PolicyVersion: quick().Hash(), CandidateVersion: "2.0", Reasons: []Reason{{Code: DivergenceRate, Endpoint: "GET /x"}}}
	is(t, e.Verdict(noon, Context{RulesVersion: "r", Latch: &latch}), Rollback, "divergence_rate GET /x")
	is(t, e.Verdict(noon, Context{RulesVersion: "s", Latch: &latch}), Promote)
	latch.CandidateVersion = "1.9"
	is(t, e.Verdict(noon, Context{RulesVersion: "r", Latch: &latch}), Promote)
}

// A pass is withdrawn when the endpoint gets worse after it, although the sum of
// all traffic would still pass.
func TestLateRegressionWithdrawsThePass(t *testing.T) {
	t.Parallel()
	p := quick()
	p.MaxDivergenceRate = 0.001
	on := func(seconds int, n, k uint64) divergence.Tick {
		x := tick("GET /a", seconds, n, k)
		x.PolicyHash = p.Hash()
		return x
	}
	e := fold(p, on(1, 1_000_000, 0))
	is(t, at(e, 1), Promote)
	sent := 0
	for i := 2; at(e, i).Decision == Promote && i < 1000; i++ {
		var k uint64
		if i%10 == 0 {
			k = 1
		}
		e.Add(on(i, 1, k))
		sent++
	}
	is(t, at(e, 900), Hold, "late_regression GET /a")
	if sent > 160 {
		t.Errorf("a 10 %% failure took %d exchanges to see, want at most 160", sent)
	}
	e.Add(on(1001, 1_000_000, 0))
	is(t, at(e, 1001), Hold, "late_regression GET /a")
}

func TestVerdictIsReplayable(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	var ticks []divergence.Tick
	for i := range 3000 {
		x := tick([]string{"GET /a", "GET /b", "POST /c"}[r.IntN(3)], i, uint64(r.IntN(20)), 0)
		if r.IntN(30) == 0 {
			x.K = min(1, x.N)
		}
		x.SlowB, x.SlowC = min(uint64(r.IntN(3)), x.Timed), min(uint64(r.IntN(3)), x.Timed)
		if i > 500 {
			x.RulesHash = "r2"
		}
		if i > 1500 {
			x.CandidateVersion = "2.1"
		}
		ticks = append(ticks, x)
	}
	text, err := json.Marshal(ticks)
	if err != nil {
		t.Fatal(err)
	}
	var again []divergence.Tick
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	seen := map[Decision]bool{}
	for cut := 100; cut <= len(ticks); cut += 100 {
		whole := at(fold(quick(), ticks[:cut]...), cut)
		// In pieces, read in between, from an export.
		pieces := NewEvidence(quick())
		for i, x := range again[:cut] {
			pieces.Add(x)
			if i%37 == 0 {
				at(pieces, i)
			}
		}
		if diff := cmp.Diff(whole, at(pieces, cut)); diff != "" {
			t.Fatalf("after %d ticks (-at once +in pieces):\n%s", cut, diff)
		}
		seen[whole.Decision] = true
	}
	if len(seen) < 2 {
		t.Errorf("the ticks led to %v only; the test shows nothing", seen)
	}
}

func BenchmarkEvidence(b *testing.B) {
	names := make([]string, 300)
	for i := range names {
		names[i] = "GET /" + string(rune('a'+i%26)) + string(rune('a'+i/26))
	}
	full := NewEvidence(quick())
	for i, name := range names {
		full.Add(tick(name, i, 200, uint64(i%4)))
	}
	b.Run("Add/endpoints=300", func(b *testing.B) {
		e := NewEvidence(quick())
		for i := 0; b.Loop(); i++ {
			e.Add(tick(names[i%300], i/300, 5, 0))
		}
	})
	b.Run("Verdict/endpoints=300", func(b *testing.B) {
		for b.Loop() {
			at(full, 300)
		}
	})
}

// TestEvidenceStartsAnewWhenAnAcceptanceEnds: with its last day what passed with it
// is void, before and after the first tick without it; another endpoint goes on.
func TestEvidenceStartsAnewWhenAnAcceptanceEnds(t *testing.T) {
	t.Parallel()
	accepted := compare.NewAcceptances([]compare.Acceptance{{Fingerprint: "1-aa", Endpoint: "GET /a", By: compare.ByAcceptance, Who: "ann", At: noon, Until: noon.Add(time.Hour)}})
	verdict := func(e *Evidence, now time.Time) Verdict {
		return e.Verdict(now, Context{Service: "shop", RulesHash: func(endpoint string) string { return accepted.HashAt("r1", endpoint, now) }})
	}
	filed := func(endpoint string, seconds int, n uint64) divergence.Tick {
		x := tick(endpoint, seconds, n, 0)
		x.RulesHash = accepted.HashAt("r1", endpoint, x.At)
		return x
	}
	e := fold(quick(), filed("GET /a", 3590, 1000), filed("GET /b", 3591, 1000))
	is(t, verdict(e, noon.Add(3595*time.Second)), Promote)
	is(t, verdict(e, noon.Add(time.Hour)), Hold, "insufficient_samples GET /a")
	e.Add(filed("GET /a", 3601, 10))
	is(t, verdict(e, noon.Add(3602*time.Second)), Hold, "insufficient_samples GET /a")
	e.Add(filed("GET /a", 3603, 400))
	is(t, verdict(e, noon.Add(3604*time.Second)), Promote)
}
