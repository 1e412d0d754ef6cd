package reports

import (
	"strings"
	"testing"
	"time"

	"parallax/divergence"
)

// careful is the quick policy that allows no divergence at one place.
func careful() Promotion {
	p := quick()
	p.Zero = []string{"$.amount"}
	return p
}

// carefully is a tick under that policy.
func carefully(endpoint string, seconds int, n, k uint64, zero ...string) divergence.Tick {
	t := tick(endpoint, seconds, n, k)
	t.PolicyHash, t.Zero = careful().Hash(), zero
	return t
}

// TestOneDivergenceAtAZeroPlaceHolds: one in a hundred thousand does, and what else
// starts new evidence does not free it.
func TestOneDivergenceAtAZeroPlaceHolds(t *testing.T) {
	t.Parallel()
	e := fold(careful(), carefully("GET /a", 1, 1, 1, "1-aa"), carefully("GET /a", 2, 100_000, 0), carefully("GET /b", 3, 100_000, 0))
	v := at(e, 4)
	is(t, v, Hold, "zero_place GET /a")
	if v.Endpoints[0].Decision != Hold || v.Endpoints[1].Decision != Promote {
		t.Errorf("endpoints: %+v", v.Endpoints)
	}
	if text := v.Reasons[0].Sentence(); !strings.Contains(text, "one issue") || !strings.Contains(text, "1-aa") {
		t.Error(text)
	}
	for name, change := range map[string]func(*divergence.Tick){
		"rules":   func(t *divergence.Tick) { t.RulesHash = "r2" },
		"version": func(t *divergence.Tick) { t.CandidateVersion = "3.0" },
	} {
		e := fold(careful(), carefully("GET /a", 1, 1, 1, "1-aa"))
		next := carefully("GET /a", 2, 100_000, 0)
		change(&next)
		e.Add(next)
		if v := at(e, 4); v.Decision != Hold || v.Reasons[0].Code != ZeroPlace {
			t.Errorf("other %s: %s %v", name, v.Decision, codesOf(v))
		}
	}
	if v := at(fold(quick(), tick("GET /a", 1, 1, 1), tick("GET /a", 2, 100_000, 0)), 4); v.Decision != Promote {
		t.Errorf("without such a place: %s %v", v.Decision, codesOf(v))
	}
}

func TestAZeroPlaceHoldsHoweverOldTheFinding(t *testing.T) {
	t.Parallel()
	e := NewEvidenceFrom(careful(), noon.Add(60*24*time.Hour))
	if !e.cursor().At.IsZero() {
		t.Fatalf("reads from %v on", e.cursor().At)
	}
	e.Add(carefully("GET /a", 1, 100, 1, "1-aa"))
	is(t, at(e, 60*24*3600+1), Hold, "no_traffic ", "zero_place GET /a")
}

func TestAWaivedEndpointIsNotHeldByItsIssues(t *testing.T) {
	t.Parallel()
	p := careful()
	p.Endpoints = map[string]Waiver{"GET /a": {Waived: "2026-12-31 team"}}
	e := fold(p, carefully("GET /a", 1, 100, 1, "1-aa"), carefully("GET /b", 3, 100_000, 0))
	is(t, at(e, 4), Promote)
}

// saidOf is what people said, as a running board tells it.
func saidOf(decisions ...divergence.IssueDecision) divergence.Said {
	return divergence.NewSaid(decisions)
}

func TestOnlyAPersonClosesAZeroPlace(t *testing.T) {
	t.Parallel()
	day := noon.AddDate(0, 0, 1).Format(time.DateOnly)
	for _, c := range []struct {
		state, who, until string
		after             time.Duration
		want              Decision
	}{
		{"accepted", "ann", day, time.Second, Promote},
		{"noise", "ann", day, time.Second, Promote},
		{"accepted", "ann", noon.AddDate(0, 0, -1).Format(time.DateOnly), time.Second, Hold}, // over
		{"resolved", "ann", "", 2 * time.Second, Promote},
		{"resolved", "ann", "", 0, Hold}, // seen since
		{"resolved", divergence.Itself, "", 2 * time.Second, Hold},
		{"open", "ann", "", 2 * time.Second, Hold},
		{"bug", "ann", "", 2 * time.Second, Hold},
	} {
		e := fold(careful(), carefully("GET /a", 1, 1, 1, "1-aa"), carefully("GET /a", 2, 100_000, 0))
		v := e.Verdict(noon.Add(5*time.Second), Context{Said: saidOf(divergence.IssueDecision{
			At: noon.Add(c.after), Fingerprint: "1-aa", Endpoint: "GET /a", State: c.state, Who: c.who, Until: c.until})})
		if v.Decision != c.want {
			t.Errorf("%+v: %s %v", c, v.Decision, codesOf(v))
		}
	}
}

// TestABugHoldsAtAnyRate: whatever the rate, and whether or not its endpoint was seen.
func TestABugHoldsAtAnyRate(t *testing.T) {
	t.Parallel()
	e := fold(quick(), tick("GET /a", 1, 100_000, 1))
	bug := func(fingerprint, endpoint string) divergence.IssueDecision {
		return divergence.IssueDecision{At: noon, Fingerprint: fingerprint, Endpoint: endpoint, State: divergence.BugIssue, Who: "ann"}
	}
	v := e.Verdict(noon.Add(2*time.Second), Context{Said: saidOf(bug("1-aa", "GET /a"), bug("1-ab", "GET /a"), bug("1-ac", "GET /a"), bug("1-ad", "GET /a"), bug("1-ba", "GET /b"))})
	is(t, v, Hold, "known_bug GET /a", "known_bug GET /b")
	if want := "GET /a: 4 issues that a person called a bug of the candidate: 1-aa, 1-ab, 1-ac and 1 more."; v.Reasons[0].Sentence() != want {
		t.Errorf("%q", v.Reasons[0].Sentence())
	}
	if v := e.Verdict(noon.Add(2*time.Second), Context{}); v.Decision != Promote {
		t.Errorf("without: %s %v", v.Decision, codesOf(v))
	}
}
