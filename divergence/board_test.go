package divergence

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/compare"
)

func newBoard(s *Store, dir string, now func() time.Time) *Board {
	return NewBoard(BoardConfig{Store: s, Dir: dir, Services: func() []string { return []string{"shop"} }, Now: now, Log: slog.New(slog.DiscardHandler)})
}

// awaySt returns a store that nobody answers for.
func awayStore(t *testing.T) *Store {
	opts, err := ParseDSN("http://127.0.0.1:1/parallax")
	if err != nil {
		t.Fatal(err)
	}
	return openStore(t, opts)
}

func TestDecisionHoldsInTheRunningWorkerAndAfterARestart(t *testing.T) {
	t.Parallel()
	s, dir := openShared(t), t.TempDir()
	b := newBoard(s, dir, func() time.Time { return noon })
	judge := newJudge(t)
	judge.Accepted = func() *compare.Acceptances { return b.Accepted("shop") }
	x := pair(1, "GET /a", 1, 2)
	x.Received = noon
	found := compare.Compare(x, compare.Input{Rules: judge.Rules})
	if found.Outcome != compare.Diverged {
		t.Fatalf("it came to %v", found.Outcome)
	}
	outcome := func() compare.Outcome {
		return compare.Compare(x, compare.Input{Rules: judge.Rules, Accepted: judge.accepted()}).Outcome
	}
	before := judge.HashAt(x.Endpoint, noon)
	var said []IssueDecision
	for _, d := range found.Differences {
		said = append(said, IssueDecision{At: noon, Fingerprint: d.Fingerprint, Endpoint: x.Endpoint, State: AcceptedIssue, Until: noon.Format(time.DateOnly), Who: "ann", Note: "known"})
	}
	if err := b.Decide(t.Context(), "shop", said...); err != nil {
		t.Fatal(err)
	}
	hash := judge.HashAt(x.Endpoint, noon)
	if outcome() != compare.Match || hash == before {
		t.Errorf("accepted, it comes to %v; the hash was %s and is %s", outcome(), before, hash)
	}
	if other := judge.HashAt("GET /other", noon); strings.Contains(other, "+") {
		t.Errorf("another endpoint has the hash %s", other)
	}

	// The store away, and a process that starts: the last that was known.
	later := newBoard(awayStore(t), dir, func() time.Time { return noon })
	if err := later.Open("shop"); err != nil {
		t.Fatal(err)
	}
	b = later
	if outcome() != compare.Match || judge.HashAt(x.Endpoint, noon) != hash {
		t.Errorf("after a restart without the store it comes to %v, hash %s instead of %s", outcome(), judge.HashAt(x.Endpoint, noon), hash)
	}
	later.note(t.Context(), later.refreshAll(t.Context()))
	if err := later.Err(); !errors.Is(err, ErrAway) {
		t.Errorf("a board whose store is away says %v", err)
	}
	if err := later.Decide(t.Context(), "shop", said...); !errors.Is(err, ErrAway) {
		t.Errorf("deciding without the store: %v", err)
	}

	// The next day it is over: the difference counts, and the hash is that of before.
	x.Received = noon.Add(24 * time.Hour)
	if outcome() != compare.Diverged || judge.HashAt(x.Endpoint, x.Received) != before {
		t.Errorf("expired, it comes to %v, hash %s", outcome(), judge.HashAt(x.Endpoint, x.Received))
	}
}

func TestBoardSeesWhatAnotherProcessDecided(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	now := func() time.Time { return noon }
	one, two := newBoard(s, t.TempDir(), now), newBoard(s, t.TempDir(), now)
	d := IssueDecision{At: noon, Fingerprint: "1-0123456789abcdef", Endpoint: "GET /a", State: NoiseIssue, Who: "ann", Note: "a clock"}
	if err := one.Decide(t.Context(), "shop", d); err != nil {
		t.Fatal(err)
	}
	if err := two.refreshAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := two.Accepted("shop").HashAt("b3c1", "GET /a", noon); got == "b3c1" {
		t.Error("the other process does not go by it")
	}
	seen := two.Accepted("shop")
	d.State, d.At = BugIssue, noon.Add(time.Second)
	d.Fingerprint = "1-00000000000000aa" // takes nothing away
	if err := one.Decide(t.Context(), "shop", d); err != nil {
		t.Fatal(err)
	}
	if err := two.refreshAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if two.Accepted("shop") != seen {
		t.Error("a decision that takes nothing away starts new filings")
	}
	history, err := s.History(t.Context(), "shop", "1-0123456789abcdef")
	if err != nil || len(history) != 1 || history[0].Until != noon.AddDate(0, 0, DefaultAcceptance).Format(time.DateOnly) {
		t.Errorf("history: %+v, %v", history, err)
	}
}

func TestBoardRefusesABrokenFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "issues", "shop.json")
	if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := newBoard(nil, dir, time.Now).Open("shop"); err == nil || !strings.Contains(err.Error(), "mend the file") {
		t.Errorf("it says %v", err)
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	f := func(d IssueDecision, now, counted time.Time, want string) {
		t.Helper()
		if got := d.state(now, counted); got != want {
			t.Errorf("%s until %q is %s, not %s", d.State, d.Until, got, want)
		}
	}
	day := noon.Format(time.DateOnly)
	f(IssueDecision{}, noon, noon, OpenIssue)
	f(IssueDecision{State: AcceptedIssue, Until: day}, noon, noon, AcceptedIssue)
	f(IssueDecision{State: AcceptedIssue, Until: day}, noon.Add(24*time.Hour), noon, OpenIssue)
	f(IssueDecision{State: NoiseIssue, Until: day}, noon.Add(24*time.Hour), noon, OpenIssue)
	f(IssueDecision{State: BugIssue}, noon, noon, BugIssue)
	f(IssueDecision{State: ResolvedIssue, At: noon}, noon, noon, ResolvedIssue)
	f(IssueDecision{State: ResolvedIssue, At: noon}, noon, noon.Add(time.Second), RegressedIssue)
	f(IssueDecision{State: AcceptedIssue}, noon, noon, OpenIssue) // a row without its day takes nothing away
	for _, tr := range Transitions {
		for _, from := range tr.From {
			if !mayTurn(from, tr.To, tr.By) {
				t.Errorf("%s to %s by %s is no transition", from, tr.To, tr.By)
			}
		}
	}
	if mayTurn(AcceptedIssue, ResolvedIssue, "parallax") || mayTurn(OpenIssue, RegressedIssue, "person") {
		t.Error("there are transitions that are not in the table")
	}
}

// TestTransitionsAreDocumented asks for each transition in the document.
func TestTransitionsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/issues.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range Transitions {
		from := strings.Join(tr.From, ", ")
		if len(tr.From) == len(anyState) {
			from = "any"
		}
		if row := "| " + from + " | " + tr.To + " | " + tr.By + " | " + tr.When + " |"; !strings.Contains(string(text), row) {
			t.Errorf("docs/issues.md has no row\n%s", row)
		}
	}
}

func TestNewerVersionResolvesAndReappearanceRegresses(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	at := noon
	r := newRig(t, "one", s, s, Limits{})
	n := 0
	send := func(version string, many int, differs bool) {
		t.Helper()
		for range many {
			n++
			candidate := 1
			c := compare.Comparison{}
			if differs {
				candidate = 2
				c = compare.Comparison{Outcome: compare.Diverged, Divergences: 1, Differences: []compare.Difference{difference("1-aa", "$.a", "")}}
			}
			x := pair(n, "GET /a", 1, candidate)
			at = at.Add(time.Second)
			x.Received, x.Legs[parallax.Candidate].Version = at, version
			r.record(x, c, false)
		}
		r.mustFlush(t)
	}
	b := newBoard(s, t.TempDir(), func() time.Time { return at })
	state := func() string {
		t.Helper()
		if err := b.refresh(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		if err := b.settle(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		i, err := s.Issue(t.Context(), "shop", "1-aa", at)
		if err != nil {
			t.Fatal(err)
		}
		return i.State
	}
	send("1", ResolvedAfter+5, false)
	send("1", 3, true)
	send("1", ResolvedAfter, false)
	got := []string{state()} // open: the version had it
	send("2", ResolvedAfter-1, false)
	got = append(got, state()) // open: not enough
	send("2", 1, false)
	got = append(got, state(), state())
	send("2", 1, true)
	got = append(got, state(), state())
	send("3", ResolvedAfter, false)
	got = append(got, state())
	if diff := cmp.Diff([]string{"open", "open", "resolved", "resolved", "regressed", "regressed", "resolved"}, got); diff != "" {
		t.Error(diff)
	}
	history, err := s.History(t.Context(), "shop", "1-aa")
	if err != nil || len(history) != 3 || history[0].Who != "parallax" {
		t.Errorf("history: %+v, %v", history, err)
	}
}

func TestExamplesAreNotAlike(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	r := newRig(t, "one", s, s, Limits{})
	for n := range 30 {
		d := difference("1-aa", "$.a", "")
		if n >= 20 {
			d.Primary = string(rune('a' + n%3))
		}
		r.record(pair(n+1, "GET /a", 1, 2), compare.Comparison{Outcome: compare.Diverged, Divergences: 1, Differences: []compare.Difference{d}}, n == 5)
	}
	r.mustFlush(t)
	got, err := s.Values(t.Context(), "shop", "1-aa")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 4 || got[0].Exchanges != 20 || !got[0].Kept || got[0].Exchange != testID(6).String() {
		t.Errorf("%+v", got)
	}
}

// TestPeoplesDecisionsOutlastThoseOfParallax: however many issues are resolved by
// themselves, what somebody accepted stays so.
func TestPeoplesDecisionsOutlastThoseOfParallax(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	b := newBoard(s, t.TempDir(), func() time.Time { return noon })
	d := IssueDecision{At: noon, Fingerprint: "1-0123456789abcdef", Endpoint: "GET /a", State: AcceptedIssue, Who: "ann", Note: "known"}
	if err := b.Decide(t.Context(), "shop", d); err != nil {
		t.Fatal(err)
	}
	if err := s.conn.Exec(t.Context(), `INSERT INTO decisions SELECT toDateTime64('2026-11-22 00:00:00', 6, 'UTC'), 'shop', 'issue', concat('1-', leftPad(hex(number), 16, '0')),
'{"state":"resolved"}', 'parallax', '' FROM numbers(20001)`); err != nil {
		t.Fatal(err)
	}
	if err := b.refreshAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(b.services["shop"].last); n != maxDecided {
		t.Errorf("%d decisions are held, not %d", n, maxDecided)
	}
	if hash := b.Accepted("shop").HashAt("b3c1", "GET /a", noon); hash == "b3c1" {
		t.Error("what somebody accepted counts again")
	}
}

// TestSlowRefreshUndoesNoDecision: what was read before a decision and comes after
// it is not put in force.
func TestSlowRefreshUndoesNoDecision(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	b := newBoard(s, t.TempDir(), func() time.Time { return noon })
	begun := b.begun.Add(1)
	read, err := s.lastDecisions(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	d := IssueDecision{At: noon, Fingerprint: "1-0123456789abcdef", Endpoint: "GET /a", State: AcceptedIssue, Who: "ann", Note: "known"}
	if err := b.Decide(t.Context(), "shop", d); err != nil {
		t.Fatal(err)
	}
	accepted := b.Accepted("shop")
	if err := b.put("shop", begun, read); err != nil {
		t.Fatal(err)
	}
	if b.Accepted("shop") != accepted {
		t.Error("a decision is undone by what was read before it")
	}
}

// TestSettlingGoesByTheStore: what another process was told is not written over
// because this one has not seen it.
func TestSettlingGoesByTheStore(t *testing.T) {
	t.Parallel()
	i := Issue{LastCounted: noon, Decision: &IssueDecision{At: noon, State: AcceptedIssue, Until: noon.Format(time.DateOnly)}}
	newest := candidateVersion{name: "2", first: noon.Add(time.Minute), n: ResolvedAfter}
	if to, _ := i.turns(noon.Add(time.Hour), newest); to != "" {
		t.Errorf("what was accepted turns %s", to)
	}
	i.Decision = nil
	if to, _ := i.turns(noon.Add(time.Hour), newest); to != ResolvedIssue {
		t.Errorf("an open issue turns %q", to)
	}
}

func TestFilesOfDecisionsAreBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := readBounded(path, 5); err != nil || string(text) != "12345" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := readBounded(path, 4); err == nil || !strings.Contains(err.Error(), "longer than 4 bytes") {
		t.Errorf("it says %v", err)
	}
}
