package reports

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
)

// lived is a tick in which callers got something of POST /a from both legs, a minute after
// the one before.
func lived(minute int, candidate, primary divergence.Lived) divergence.Tick {
	t := tick("POST /a", 60*minute, 0, 0)
	t.Received, t.LiveCandidate, t.LivePrimary = candidate.N+primary.N, candidate, primary
	return t
}

// beside is what else is compared, so that there is a verdict, some minutes after noon.
func beside(minute int) divergence.Tick { return tick("GET /b", 60*minute+1, 1000, 0) }

// served is so many timed requests, of which some failed and some were slow.
func served(n, failed, slow uint64) divergence.Lived {
	return divergence.Lived{N: n, Failed: failed, Timed: n, Slow: slow}
}

// TestUnpairedEndpointsDoNotWait: what has too few requests is said, and holds nothing; what
// has enough passes.
func TestUnpairedEndpointsDoNotWait(t *testing.T) {
	t.Parallel()
	e := fold(quick(), lived(0, served(20, 0, 2), served(200, 1, 20)), lived(1, served(0, 0, 0), served(1, 0, 0)), beside(2))
	v := at(e, 130)
	is(t, v, Promote)
	if len(v.Unpaired) != 1 || v.Unpaired[0].Decision != Hold || !cmp.Equal(v.NotCovered, []string{"POST /a: not compared, judged unpaired by what callers got"}) {
		t.Errorf("%+v; not covered %q", v.Unpaired, v.NotCovered)
	}
	want := []string{"insufficient_samples unpaired_errors", "insufficient_samples unpaired_latency"}
	var got []string
	for _, r := range v.Endpoints[1].Reasons {
		got = append(got, string(r.Code)+" "+string(r.Test))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reasons of the endpoint (-want +got):\n%s", diff)
	}
	for minute := range 30 {
		e.Add(lived(3+minute, served(20, 0, 2), served(200, 1, 20)))
	}
	v = at(e, 40*60)
	if got := v.Unpaired[0]; v.Decision != Hold || got.Decision != Promote || got.Candidate.N != 20*30 || got.Failed.Upper > 0.01 {
		t.Errorf("%s %v; %+v", v.Decision, codesOf(v), got) // stale, since nothing else is compared
	}
}

// TestACandidateThatFailsWritesIsFound: it holds, then it is rolled back, and what both legs
// fail is nobody's fault.
func TestACandidateThatFailsWritesIsFound(t *testing.T) {
	t.Parallel()
	e := fold(quick(), beside(0))
	var held, back int
	for minute := 1; minute < 20 && back == 0; minute++ {
		e.Add(lived(minute, served(5, 1, 0), served(100, 0, 0)))
		switch v := at(e, 60*minute); {
		case v.Decision == Rollback:
			back = minute
			is(t, v, Rollback, "candidate_errors POST /a")
			if r := v.Reasons[0]; r.Test != UnpairedErrors || r.PrimaryN == 0 || !strings.Contains(r.Sentence(), "POST /a: unpaired: the candidate failed") {
				t.Errorf("%+v: %s", r, r.Sentence())
			}
		case len(v.Reasons) > 0 && held == 0 && v.Reasons[0].Code == CandidateErrors:
			held = minute
			is(t, v, Hold, "candidate_errors POST /a")
		}
	}
	if held == 0 || back == 0 || back > 14 {
		t.Errorf("held in minute %d, rolled back in minute %d", held, back)
	}
	t.Logf("held after %d requests, rolled back after %d", 5*(held-1), 5*(back-1))

	e = fold(quick(), beside(0))
	for minute := 1; minute < 20; minute++ {
		e.Add(lived(minute, served(5, 3, 0), served(100, 60, 0)))
	}
	is(t, at(e, 60*14), Promote)
}

// TestASlowCandidateHoldsUnpaired: it never rolls back.
func TestASlowCandidateHoldsUnpaired(t *testing.T) {
	t.Parallel()
	e := fold(quick(), beside(0))
	for minute := 1; minute < 14; minute++ {
		e.Add(lived(minute, served(100, 0, 90), served(1000, 0, 400)))
	}
	is(t, at(e, 60*14), Hold, "slower POST /a")
}

// TestUnpairedEvidenceStartsAnew: with what starts any other anew, and it ends where pairs
// begin.
func TestUnpairedEvidenceStartsAnew(t *testing.T) {
	t.Parallel()
	begin := func() *Evidence {
		e := fold(quick(), beside(0))
		for minute := 1; minute < 5; minute++ {
			e.Add(lived(minute, served(5, 5, 0), served(100, 0, 0)))
		}
		if v := at(e, 5*60); v.Decision != Rollback {
			t.Fatalf("%s %v", v.Decision, codesOf(v))
		}
		return e
	}
	for name, change := range map[string]func(*divergence.Tick){
		"rules":   func(t *divergence.Tick) { t.RulesHash = "r2" },
		"version": func(t *divergence.Tick) { t.CandidateVersion = "3.0" },
	} {
		e, next := begin(), lived(6, served(5, 0, 0), served(100, 0, 0))
		change(&next)
		e.Add(next)
		if v := at(e, 6*60); v.Decision == Rollback || len(v.Unpaired) != 0 {
			t.Errorf("other %s: %s, unpaired %+v", name, v.Decision, v.Unpaired)
		}
	}
	e := fold(quick(), beside(0))
	for minute := 1; minute < 3; minute++ {
		e.Add(lived(minute, served(2, 1, 0), served(100, 0, 0)))
	}
	e.Add(tick("POST /a", 200, 1000, 0))
	v := at(e, 210)
	is(t, v, Promote)
	if len(v.Unpaired) != 0 {
		t.Errorf("with pairs: %+v", v.Unpaired)
	}

	// Looking does not change what is known.
	rules := func(string) string { return "r9" }
	e = begin()
	e.Verdict(noon.Add(5*time.Minute), Context{RulesHash: rules})
	if v := at(e, 5*60); v.Decision != Rollback || len(v.Unpaired) != 1 {
		t.Errorf("after a look under other rules: %s, %+v", v.Decision, v.Unpaired)
	}
}

func TestAWaivedEndpointIsNotJudgedUnpaired(t *testing.T) {
	t.Parallel()
	p := quick()
	p.Endpoints = map[string]Waiver{"POST /a": {Waived: "2026-12-31 team"}}
	e := fold(p, beside(0))
	for minute := 1; minute < 10; minute++ {
		e.Add(lived(minute, served(5, 5, 0), served(100, 0, 0)))
	}
	v := at(e, 10*60)
	is(t, v, Promote)
	if !cmp.Equal(v.NotCovered, []string{"POST /a: waived until 2026-12-31 by team"}) {
		t.Errorf("not covered: %q", v.NotCovered)
	}
}

// TestRollbackOfUnpairedGoodVersions: one that fails as often as the primary does, at rates
// that move, is hardly ever held and never rolled back.
func TestRollbackOfUnpairedGoodVersions(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(9, 10))
	runs, held, back := statistics(40, 400), 0, 0
	draw := func(n uint64, rate float64) (k uint64) {
		for range n {
			if random.Float64() < rate {
				k++
			}
		}
		return k
	}
	for range runs {
		e, was := fold(quick(), beside(0)), false
		for minute := 1; minute < 60; minute++ {
			rate := []float64{0.001, 0.02, 0.3}[minute/20]
			e.Add(lived(minute, served(10, draw(10, rate), draw(10, 0.4)), served(100, draw(100, rate), draw(100, 0.4))))
			v := e.judgeEndpoint(e.endpoints["POST /a"], noon.Add(time.Duration(60*minute+60)*time.Second))
			was = was || len(v.worseAlone()) > 0
		}
		if e.rollback != nil {
			back++
		}
		if was {
			held++
		}
	}
	t.Logf("of %d runs %d were held at some time, %d rolled back", runs, held, back)
	if back > 0 || held > runs/10 { // two tests, each with alpha
		t.Errorf("of %d runs %d were held at some time, %d rolled back", runs, held, back)
	}
}

func TestUnpairedVerdictsAreRendered(t *testing.T) {
	t.Parallel()
	e := fold(quick(), beside(0))
	for minute := 1; minute < 5; minute++ {
		e.Add(lived(minute, served(5, 5, 0), served(100, 0, 0)))
	}
	v := at(e, 5*60)
	r := Build(divergence.Window{}, divergence.Summary{Endpoints: []divergence.EndpointStats{{Endpoint: "POST /a", Received: 420}}}, v)
	want := "POST /a (unpaired): rollback; the candidate failed 15 of 15 requests and the primary 0 of 300"
	for name, write := range map[string]func(*bytes.Buffer) error{
		"text":     func(b *bytes.Buffer) error { return WriteText(b, r, v) },
		"markdown": func(b *bytes.Buffer) error { return WriteMarkdown(b, r, v) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil || !strings.Contains(b.String(), want) || !strings.Contains(b.String(), "rollback (unpaired, candidate errors)") {
			t.Errorf("%s, %v:\n%s", name, err, &b)
		}
	}
}
