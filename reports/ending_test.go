package reports

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"parallax/divergence"
)

// ended is a run that may end: everybody is on the candidate.
func ended() Ending {
	r, v := week()
	v.Decision, v.Final, v.Reasons = Promote, true, []Reason{}
	return Ending{
		Report: r, Verdict: v, Stand: Stand{Step: lastStep, Who: "ann", Reason: "all of it", At: v.AsOf},
		Issues: []divergence.Issue{{State: divergence.OpenIssue, Endpoint: "GET /orders", Kind: "changed", Path: "$.note", Count: 3, Fingerprint: "1-00112233aabbccdd"}, {State: divergence.AcceptedIssue}},
	}
}

// TestRunMayEnd is docs/finish.md as a table.
func TestRunMayEnd(t *testing.T) {
	t.Parallel()
	f := func(change func(*Ending), want ...string) {
		t.Helper()
		e := ended()
		change(&e)
		got := e.WhyNot()
		if len(got) != len(want) {
			t.Errorf("got %q, want %q", got, want)
			return
		}
		for i, part := range want {
			if !strings.Contains(got[i], part) {
				t.Errorf("got %q, want %q", got[i], part)
			}
		}
	}
	bug := divergence.Issue{State: divergence.BugIssue}
	f(func(e *Ending) {})
	f(func(e *Ending) { e.Back = &WayBack{} })
	f(func(e *Ending) { e.Stand.Paused = true }) // all the same: everybody is there
	f(func(e *Ending) { e.Verdict.Decision = Hold }, "The verdict is hold")
	f(func(e *Ending) { e.Verdict.Decision = Rollback }, "The verdict is rollback")
	f(func(e *Ending) { e.Issues = append(e.Issues, bug) }, "called a bug: 1")
	f(func(e *Ending) { e.Back = &WayBack{WritesMissing: 2} }, "the primary lacks 2")
	f(func(e *Ending) { e.Lacks = "the candidate is still to get 1" }, "the candidate is still to get 1")
	f(func(e *Ending) { e.Elsewhere = []string{"the splitter edge is away"} }, "the splitter edge is away")
	f(func(e *Ending) { e.Stand.Step = 2500 }, "in between: 25 % of users")
	f(func(e *Ending) { e.Stand.Step, e.Verdict.Decision = 2500, Hold }, "in between", "The verdict is hold")

	f(func(e *Ending) { e.Stand.Step = 0 }, "nobody gave it up")
	f(func(e *Ending) { e.Stand.Step, e.Verdict.Decision = 0, Hold }, "nobody gave it up")
	f(func(e *Ending) { e.Stand.Step, e.Verdict.Decision = 0, Rollback })
	f(func(e *Ending) { e.Stand.Step, e.Stand.Paused, e.Verdict.Decision = 0, true, Hold })
	moved := func(kind ChainKind, after time.Duration) func(*Ending) {
		return func(e *Ending) {
			e.Stand.Step, e.Stand.Paused, e.Verdict.Decision = 0, true, Hold
			e.History = []ChainRecord{{At: e.Stand.At.Add(after), Kind: kind, Moved: &Moved{}}, {At: e.Stand.At.Add(after), Kind: ChainVerdict}}
		}
	}
	f(moved(ChainRollback, time.Millisecond))
	f(moved(ChainStep, time.Millisecond), "nobody gave it up") // to 0 and then paused
	f(moved(ChainStep, -time.Hour))                            // another mirror moved it last
	f(func(e *Ending) { moved(ChainRollback, 0)(e); e.Stand.Paused = false }, "nobody gave it up")
	f(func(e *Ending) { e.Stand = Stand{Paused: true}; e.Verdict.Decision = Hold }, "nobody gave it up")        // never moved
	f(func(e *Ending) { e.Stand.Step, e.Stand.Paused, e.Stand.Who = 0, true, "parallax" }, "nobody gave it up") // two mirrors disagreed
	f(func(e *Ending) { e.Stand.Step, e.Stand.Paused, e.Issues = 0, true, []divergence.Issue{bug} })            // what is wrong with it hurts nobody
	f(func(e *Ending) { e.Stand.Step, e.Stand.Paused, e.Back = 0, true, &WayBack{WritesMissing: 1} }, "the primary lacks 1")
}

func TestEndingIsWritten(t *testing.T) {
	t.Parallel()
	e := ended()
	e.Back = &WayBack{WritesMissing: 2, Lag: 1.5, IDsUnknown: 7}
	for i, step := range []int{100, 10_000} {
		e.History = append(e.History, ChainRecord{At: e.Stand.At.Add(time.Duration(i) * time.Hour), Kind: ChainStep, Moved: &Moved{Step: step, Who: "ann", Reason: "*on*"}})
	}
	e.WayOut = []Section{{Title: "Taking Parallax out, 1: nothing"}, {Title: "Taking Parallax out, 2: callers", Lines: []string{"Callers point at :8080 <now>."}}}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"ending.txt": func(b *bytes.Buffer) error { return WriteEndingText(b, e) },
		"ending.md":  func(b *bytes.Buffer) error { return WriteEndingMarkdown(b, e) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

// TestLongEndingsAreCut: of many issues and moves the report names some, and says how many
// there are besides.
func TestLongEndingsAreCut(t *testing.T) {
	t.Parallel()
	e := ended()
	for range maxEnding + 3 {
		e.Issues = append(e.Issues, divergence.Issue{State: divergence.BugIssue, Endpoint: "GET /a\x1b[2J"})
		e.History = append(e.History, ChainRecord{Moved: &Moved{Step: 100}})
	}
	var b bytes.Buffer
	if err := WriteEndingText(&b, e); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"bug: 3 more", "3 changes before"} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("there is no %q in\n%s", part, b.String())
		}
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Error("an endpoint can move the terminal's cursor")
	}
}
