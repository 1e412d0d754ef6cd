package reports

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
)

// What could not be compared may not be more than may be lost, however well the
// rest does; what the primary gave nothing to compare with is not held against an
// endpoint that has enough of the rest.
func TestNotComparableShareHolds(t *testing.T) {
	t.Parallel()
	f := func(n, notComparable, unanswered uint64, want Decision, reasons ...string) {
		t.Helper()
		x := tick("GET /a", 1, n, 0)
		x.Received, x.NotComparable, x.Unanswered = n+notComparable, notComparable, unanswered
		is(t, at(fold(quick(), x), 1), want, reasons...)
	}
	f(4000, 76_000, 0, Hold, "not_comparable GET /a")
	f(4000, 40, 0, Promote) // 1 % of 4040
	f(4000, 41, 0, Hold, "not_comparable GET /a")
	f(4000, 76_000, 76_000, Promote)
	f(4000, 76_041, 76_000, Hold, "not_comparable GET /a")
	f(0, 76_000, 76_000, Hold, "not_comparable GET /a")

	x := tick("GET /a", 1, 4000, 0)
	x.NotComparable, x.Unanswered = 1041, 1000
	want := []Reason{{Code: NotComparable, Endpoint: "GET /a", K: 41, N: 4041, Threshold: 0.01}}
	if diff := cmp.Diff(want, at(fold(quick(), x), 1).Reasons); diff != "" {
		t.Errorf("reason (-want +got):\n%s", diff)
	}
	// The way out is on somebody's word.
	p := quick()
	p.Endpoints = map[string]Waiver{"GET /a": {Waived: "2026-12-31 team-pay"}}
	is(t, at(fold(p, x, tick("GET /b", 2, 1000, 0)), 2), Promote)
}

// A candidate that does not tell its version gets new evidence when a person says
// so; endpoints that were seen before stay required.
func TestNewEvidenceByHand(t *testing.T) {
	t.Parallel()
	unversioned := func(endpoint string, seconds int, n, k uint64) divergence.Tick {
		x := tick(endpoint, seconds, n, k)
		x.CandidateVersion = ""
		return x
	}
	ticks := []divergence.Tick{
		unversioned("GET /forgotten", -8*24*3600, 1000, 0),
		unversioned("GET /a", 1, 1000, 1000), unversioned("GET /rare", 2, 1000, 0),
		unversioned("GET /a", 10, 1000, 0),
	}
	after := func(from time.Time) *Evidence {
		e := NewEvidenceFrom(quick(), from)
		for _, x := range ticks {
			e.Add(x)
		}
		return e
	}
	is(t, at(after(time.Time{}), 10), Rollback, "divergence_rate GET /a")
	fresh := after(noon.Add(10 * time.Second))
	is(t, at(fresh, 10), Hold, "insufficient_samples GET /rare")
	if got := at(fresh, 10).Since; !got.Equal(noon.Add(10 * time.Second)) {
		t.Errorf("since %v", got)
	}
	is(t, at(after(noon.Add(11*time.Second)), 11), Hold, "no_traffic ", "insufficient_samples GET /a", "insufficient_samples GET /rare")

	// The verdict says that it may be about another build.
	if at(fresh, 10).VersionKnown || !at(fold(quick(), tick("GET /a", 1, 1, 0)), 1).VersionKnown {
		t.Error("version_known is not what the ticks say")
	}
	var text strings.Builder
	if err := WriteText(&text, Report{}, at(fresh, 10)); err != nil || !strings.Contains(text.String(), unknownVersion) {
		t.Errorf("%v, no word on the unknown version in:\n%s", err, text.String())
	}
}

// judgeOn is a judge whose context has a beginning of the evidence that may move.
func judgeOn(l *ledger, from *time.Time, change func(*JudgeConfig)) *Judge {
	return judgeOf(l, func(c *JudgeConfig) {
		c.Context = func(context.Context) (Context, error) { return Context{RulesVersion: "r", From: *from}, nil }
		if change != nil {
			change(c)
		}
	})
}

func TestJudgeStartsNewEvidence(t *testing.T) {
	t.Parallel()
	l, from, state := &ledger{}, time.Time{}, State{}
	l.write(tick("GET /a", 1, 10, 10))
	j := judgeOn(l, &from, func(c *JudgeConfig) {
		c.Latched = func(latch Latch) error { state.Latch = &latch; return nil }
		c.Unlatched = func(Latch) error { state.Latch = nil; return nil }
	})
	is(t, j.Look(t.Context()), Rollback, "divergence_rate GET /a")
	if state.Latch == nil || !state.Latch.At.Equal(noon.Add(time.Second)) {
		t.Fatalf("latch %+v, want one of the tick's time", state.Latch)
	}
	l.write(tick("GET /a", 5, 1000, 0))
	is(t, j.Look(t.Context()), Rollback, "divergence_rate GET /a")

	state.RestartEvidence(noon.Add(5 * time.Second))
	from = state.EvidenceFrom
	is(t, j.Look(t.Context()), Promote)
	is(t, j.Look(t.Context()), Promote)
	// A rollback of the new evidence is news again, of the same versions or not.
	l.write(tick("GET /b", 6, 20, 20))
	is(t, j.Look(t.Context()), Rollback, "divergence_rate GET /b")
	if state.Latch == nil || state.Latch.Reasons[0].Endpoint != "GET /b" {
		t.Errorf("latch %+v, want one on GET /b", state.Latch)
	}
}

func TestRestartedEvidenceOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := OpenState(dir, "shop")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Update(func(s *State) { s.Step, s.Latch = 100, &Latch{At: noon}; s.RestartEvidence(noon) }); err != nil {
		t.Fatal(err)
	}
	again, err := OpenState(filepath.Clean(dir), "shop")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(State{Step: 100, EvidenceFrom: noon}, again.State()); diff != "" {
		t.Errorf("read again (-want +got):\n%s", diff)
	}
}

// A latch does not speak for what was waived since, nor for other rules, another
// candidate or other evidence; and then it does not stay on disk either.
func TestVoidLatchIsForgotten(t *testing.T) {
	t.Parallel()
	latch := Latch{
		At: noon, RulesVersion: "r", PolicyVersion: quick().Hash(), CandidateVersion: "2.0",
		Reasons: []Reason{{Code: DivergenceRate, Endpoint: "GET /x"}, {Code: DivergenceRate, Endpoint: "GET /y"}},
	}
	waived := func(endpoints ...string) map[string]Waiver {
		out := map[string]Waiver{}
		for _, e := range endpoints {
			out[e] = Waiver{Waived: "2026-12-31 team-pay"}
		}
		return out
	}
	f := func(name string, change func(*JudgeConfig, *Latch, *time.Time), forgotten bool, want Decision, reasons ...string) {
		t.Helper()
		l, from, kept := &ledger{}, time.Time{}, latch
		l.write(tick("GET /a", 1, 1000, 0))
		fails, told := errors.New("disk full"), 0
		j := judgeOn(l, &from, func(c *JudgeConfig) {
			change(c, &kept, &from)
			c.Latch = &kept
			c.Latched = func(Latch) error { t.Errorf("%s: latched again", name); return nil }
			c.Unlatched = func(Latch) error { told++; return fails }
		})
		is(t, j.Look(t.Context()), want, reasons...)
		fails = nil
		for range 3 {
			is(t, j.Look(t.Context()), want, reasons...)
		}
		if forgotten != (told > 0) || forgotten && told != 2 {
			t.Errorf("%s: told %d times to forget the latch; forgotten: %v, and the first time fails", name, told, forgotten)
		}
	}
	f("in force", func(*JudgeConfig, *Latch, *time.Time) {}, false, Rollback, "divergence_rate GET /x", "divergence_rate GET /y")
	f("one waived", func(c *JudgeConfig, _ *Latch, _ *time.Time) { c.Policy.Endpoints = waived("GET /x") }, false, Rollback, "divergence_rate GET /y")
	f("all waived", func(c *JudgeConfig, _ *Latch, _ *time.Time) { c.Policy.Endpoints = waived("GET /x", "GET /y") }, true, Promote)
	f("other rules", func(_ *JudgeConfig, l *Latch, _ *time.Time) { l.RulesVersion = "q" }, true, Promote)
	f("other candidate", func(_ *JudgeConfig, l *Latch, _ *time.Time) { l.CandidateVersion = "1.9" }, true, Promote)
	f("new evidence", func(_ *JudgeConfig, _ *Latch, from *time.Time) { *from = noon.Add(time.Millisecond) }, true, Promote)
}

// A store that cannot be read voids nothing, and a candidate that tells no version
// does not take the latch over.
func TestLatchStaysWhileNothingIsKnown(t *testing.T) {
	t.Parallel()
	latch := Latch{At: noon, RulesVersion: "r", PolicyVersion: quick().Hash(), CandidateVersion: "2.0", Reasons: []Reason{{Code: DivergenceRate, Endpoint: "GET /x"}}}
	l := &ledger{}
	l.goAway(errors.New("no route"))
	j := judgeOf(l, func(c *JudgeConfig) {
		c.Latch = &latch
		c.Latched = func(Latch) error { t.Error("latched again"); return nil }
		c.Unlatched = func(Latch) error { t.Error("the latch was forgotten"); return nil }
	})
	is(t, j.Look(t.Context()), Hold, "store_away ")
	l.goAway(nil)
	is(t, j.Look(t.Context()), Rollback, "divergence_rate GET /x")
	refusing := tick("GET /x", 1, 10, 10)
	refusing.CandidateVersion = ""
	l.write(refusing)
	is(t, j.Look(t.Context()), Rollback, "divergence_rate GET /x")
}

// An engine that is starting is no reason to warn; one that does not start, or
// goes away, is.
func TestJudgeWarnsAfterTheStart(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	l, now := &ledger{}, noon
	l.goAway(errors.New("the engine is starting"))
	judge := func() *Judge {
		return judgeOf(l, func(c *JudgeConfig) {
			c.Now = func() time.Time { return now }
			c.Log = slog.New(slog.NewTextHandler(&log, nil))
		})
	}
	f := func(j *Judge, line string) {
		t.Helper()
		j.Look(t.Context())
		if got := log.String(); line == "" && got != "" || !strings.Contains(got, line) {
			t.Errorf("log %q, want %q", got, line)
		}
		log.Reset()
	}
	j := judge()
	f(j, "")
	now = now.Add(startup)
	f(j, `level=WARN msg="the verdict is on hold"`)
	f(j, "")
	l.goAway(nil)
	f(j, `msg="the evidence can be read again"`)

	j = judge()
	f(j, "")
	l.goAway(errors.New("no route"))
	f(j, `level=WARN msg="the verdict is on hold"`)
}

// TestALatchThatCouldNotBeKeptIsTriedAgain: also while the evidence cannot be read, once a look and no
// more once it is kept or void; and what a second alarm adds takes its reasons along.
func TestALatchThatCouldNotBeKeptIsTriedAgain(t *testing.T) {
	t.Parallel()
	latch := func(endpoint string) Latch {
		return Latch{At: noon, RulesVersion: "r", PolicyVersion: quick().Hash(), CandidateVersion: "2.0", Reasons: []Reason{{Code: LiveErrors, Endpoint: endpoint}}}
	}
	l, from, full, tries, kept := &ledger{}, time.Time{}, errors.New("disk full"), 0, []Latch{}
	l.write(tick("GET /a", 1, 1000, 0))
	j := judgeOn(l, &from, func(c *JudgeConfig) {
		c.Latched = func(latch Latch) error {
			if tries++; full == nil {
				kept = append(kept, latch)
			}
			return full
		}
	})
	j.Accuse(latch("POST /a"), false)
	is(t, j.Look(t.Context()), Rollback, "live_errors POST /a")
	j.Accuse(latch("POST /b"), true)
	l.goAway(errors.New("no route"))
	j.Look(t.Context())
	if tries != 2 {
		t.Errorf("tried %d times in two looks", tries)
	}
	full = nil
	for range 3 {
		j.Look(t.Context())
	}
	if len(kept) != 1 || len(kept[0].Reasons) != 2 {
		t.Errorf("kept %+v", kept)
	}
	l.goAway(nil)
	is(t, j.Look(t.Context()), Rollback, "live_errors POST /a", "live_errors POST /b")

	full = errors.New("disk full")
	j.Accuse(latch("POST /c"), false)
	j.Look(t.Context())
	from = noon.Add(time.Second) // a person starts anew: it is void
	is(t, j.Look(t.Context()), Promote)
	before := tries
	j.Look(t.Context())
	if tries != before {
		t.Error("what is void is still tried")
	}
}
