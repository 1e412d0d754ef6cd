package divergence

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/compare"
)

// stage is a store with compared pairs, and a rehearsal on it.
type stage struct {
	*Rehearsal
	store *Store
	judge *Judge
	rig   rig
	n     int
}

func newStage(t *testing.T, rules ...compare.Rule) *stage {
	t.Helper()
	compiled, faults := compare.Compile(rules)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	redactor, faults := compare.NewRedactor([]byte("key"), compare.RedactConfig{Paths: []string{"$.secret"}})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	s := &stage{store: openShared(t), judge: &Judge{Rules: compiled, Noise: new(compare.NoiseModel), Redactor: redactor}}
	s.rig = newRig(t, "i1", s.store, s.store, Limits{})
	s.Rehearsal = NewRehearsal(s.store, func(service string) *Judge {
		if service == "shop" {
			return s.judge
		}
		return nil
	}, time.Now)
	return s
}

// play compares a pair of JSON answers as the worker does and records it.
func (s *stage) play(endpoint, primary, candidate string, secondary ...string) parallax.ID {
	s.n++
	x := pair(s.n, endpoint, 200, 200)
	x.Legs[0], x.Legs[1] = answer(200, time.Millisecond, primary), answer(200, time.Millisecond, candidate)
	for _, text := range secondary {
		x.Legs[2] = answer(200, time.Millisecond, text)
	}
	c := compare.Compare(x, compare.Input{Rules: s.judge.Rules, Noise: s.judge.Noise})
	s.judge.Noise.Add(c.Sample)
	kept, redacted := s.judge.Redactor.Both(x, c)
	s.rig.record(kept, redacted, true)
	return x.ID
}

func (s *stage) flush(t *testing.T) {
	t.Helper()
	s.rig.mustFlush(t)
}

// rows returns how many rows each table has.
func (s *stage) rows(t *testing.T) map[string]uint64 {
	t.Helper()
	out := map[string]uint64{}
	for _, table := range []string{"comparisons", "divergences", "bodies", "ticks", "decisions", "counts", "totals", "rule_uses", "rule_sets", "repeats"} {
		var n uint64
		if err := s.store.conn.QueryRow(t.Context(), "SELECT count() FROM "+table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		out[table] = n
	}
	return out
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	kept := compare.Rule{Path: "$.at", Ignore: true, Reason: "clock", Owner: "team"}
	s := newStage(t, kept)
	var prices []string
	for i := range 8 {
		prices = append(prices, s.play("GET /a", `{"price":1,"at":1}`, fmt.Sprintf(`{"price":1.0%d,"at":2}`, i+1)).String())
	}
	for range 2 {
		s.play("GET /b", `{"price":1,"name":"x"}`, `{"price":5,"name":"y"}`)
	}
	s.play("GET /a", `{"price":1}`, `{"price":1}`)
	s.flush(t)
	before := s.rows(t)

	f := func(summary string, vanish, appear int, diverged Change, rules ...compare.Rule) DryRun {
		t.Helper()
		got, err := s.DryRun(t.Context(), "shop", rules, PairFilter{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Summary != summary || got.Vanish != vanish || got.Appear != appear || got.Diverged != diverged || got.Pairs.Looked != 11 || got.Pairs.Stored != 11 {
			t.Errorf("%+v", got)
		}
		return got
	}
	price := compare.Rule{Endpoint: "GET /a", Path: "$.price", Tolerance: &compare.Tolerance{Abs: "0.05"}}
	f("would hide 0 of 12 divergences", 0, 0, Change{10, 10}, kept)
	got := f("would hide 5 of 12 divergences", 0, 0, Change{10, 5}, kept, price)
	if len(got.Issues) != 1 {
		t.Fatalf("%+v", got.Issues)
	}
	issue := got.Issues[0]
	if issue.Path != "$.price" || issue.Endpoint != "GET /a" || issue.Pairs != (Change{8, 3}) || len(issue.Examples) != 5 ||
		diffContains(prices, issue.Examples) != "" || !slices.Equal(issue.By, []string{"rules[1] GET /a $.price"}) {
		t.Errorf("%+v", issue)
	}
	price.Tolerance.Abs = "0.5"
	f("would hide 8 of 12 divergences, 1 issue vanishes", 1, 0, Change{10, 2}, kept, price)
	f("would reveal 8, 1 issue appears", 0, 1, Change{10, 10})
	f("would hide 8 of 12 divergences, would reveal 8, 1 issue vanishes, 1 issue appears", 1, 1, Change{10, 10}, price)
	expired := kept
	expired.Expires = "2020-01-01"
	f("would reveal 8, 1 issue appears", 0, 1, Change{10, 10}, expired)

	bounded, err := s.DryRun(t.Context(), "shop", []compare.Rule{kept}, PairFilter{Limit: 3})
	if err != nil || bounded.Pairs.Looked != 3 || bounded.Pairs.Stored != 11 || bounded.Pairs.String() != "3 of 11 stored pairs were looked at" {
		t.Errorf("%v %+v", err, bounded.Pairs)
	}
	if only, err := s.DryRun(t.Context(), "shop", nil, PairFilter{Endpoint: "GET /b"}); err != nil || only.Pairs.Stored != 2 {
		t.Errorf("%v %+v", err, only.Pairs)
	}
	if _, err := s.DryRun(t.Context(), "other", nil, PairFilter{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("another service: %v", err)
	}
	s.busy <- struct{}{}
	if _, err := s.DryRun(t.Context(), "shop", nil, PairFilter{}); !errors.Is(err, ErrBusy) {
		t.Errorf("while another runs: %v", err)
	}
	<-s.busy
	if diff := cmp.Diff(before, s.rows(t)); diff != "" {
		t.Errorf("the store was written to: %s", diff)
	}
}

// diffContains names what is not in a list.
func diffContains(list, wanted []string) string {
	var missing []string
	for _, w := range wanted {
		if !slices.Contains(list, w) {
			missing = append(missing, w)
		}
	}
	return strings.Join(missing, " ")
}

func TestRehearsalEndsInTime(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for range rehearseChunk + 1 {
		s.play("GET /a", `{"a":1}`, `{"a":2}`)
	}
	s.flush(t)
	calls := 0
	s.now = func() time.Time {
		calls++
		return noon.Add(time.Duration(calls) * rehearseTime / 20)
	}
	got, err := s.DryRun(t.Context(), "shop", nil, PairFilter{})
	if err != nil || got.Pairs.Looked == 0 || got.Pairs.Looked >= rehearseChunk || got.Pairs.Stored != rehearseChunk+1 || got.Pairs.Ended == "" {
		t.Errorf("%v %+v", err, got.Pairs)
	}
}

func TestRejudge(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	moved := s.play("GET /a", `{"price":1,"at":1}`, `{"price":1,"at":2}`)
	s.play("GET /a", `{"price":1}`, `{"price":2}`)
	s.play("GET /a", `{"price":1}`, `{"price":1}`)
	same := s.play("GET /a", `{"secret":"s3cr3t-value-1"}`, `{"secret":"s3cr3t-value-1"}`)
	s.play("GET /a", `{"secret":"s3cr3t-value-1"}`, `{"secret":"s3cr3t-value-2"}`)
	s.flush(t)
	f := func(unjudged int, match, diverged Change, rules ...compare.Rule) Rejudged {
		t.Helper()
		got, err := s.Rejudge(t.Context(), "shop", rules, PairFilter{})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]Change{"match": match, "diverged": diverged, "not_comparable": {}}
		if diff := cmp.Diff(want, got.Outcomes); diff != "" || got.Unjudged != unjudged || got.Changed != len(got.Changes) {
			t.Errorf("%+v\n%s", got, diff)
		}
		return got
	}
	f(0, Change{2, 2}, Change{3, 3})
	got := f(0, Change{2, 3}, Change{3, 2}, compare.Rule{Path: "$.at", Ignore: true, Reason: "clock", Owner: "team"})
	want := []OutcomeChange{{ID: moved.String(), Endpoint: "GET /a", Before: "diverged", After: "match", Why: "$.at does not count: rules[0] $.at: clock (team)"}}
	if diff := cmp.Diff(want, got.Changes); diff != "" {
		t.Error(diff)
	}
	// The same secret is equal by its token; two of them cannot be weighed.
	got = f(1, Change{2, 2}, Change{2, 2}, compare.Rule{Path: "$.secret", Text: compare.Words{"case"}})
	if slices.ContainsFunc(got.Changes, func(c OutcomeChange) bool { return c.ID == same.String() }) {
		t.Errorf("%+v", got.Changes)
	}
}

func TestBlindSpots(t *testing.T) {
	t.Parallel()
	note := compare.Rule{Endpoint: "GET /a", Path: "$.note", Ignore: true, Reason: "free text", Owner: "team"}
	s := newStage(t, note, compare.Rule{Endpoint: "GET /b", Path: "$.tags", Array: compare.Array{Mode: compare.Set}},
		compare.Rule{Endpoint: "GET /d", Path: "$.vat", Expect: "extra"})
	for i := range 10 {
		s.play("GET /a", fmt.Sprintf(`{"id":%d,"note":"abc","price":1}`, i), fmt.Sprintf(`{"id":%d,"note":"abd","price":2}`, i))
		s.play("GET /b", `{"tags":["a","b","c"]}`, `{"tags":["a","b","c"]}`)
		s.play("GET /d", `{"price":1}`, `{"price":1,"vat":7}`)
		s.play("GET /c", fmt.Sprintf(`{"n":%d}`, i*7%10), fmt.Sprintf(`{"n":%d}`, i*3%10), fmt.Sprintf(`{"n":%d}`, (i*7+1)%10))
	}
	s.flush(t)
	got, err := s.BlindSpots(t.Context(), "shop", nil, PairFilter{})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.BlindSpots(t.Context(), "shop", nil, PairFilter{}); err != nil || cmp.Diff(got.Endpoints, again.Endpoints) != "" {
		t.Errorf("%v: another result from the same pairs", err)
	}
	hides := func(endpoint, by, detail string, flaws ...compare.Flaw) {
		t.Helper()
		i := slices.IndexFunc(got.Endpoints, func(e EndpointBlindness) bool { return e.Endpoint == endpoint })
		if i < 0 {
			t.Fatalf("nothing about %s", endpoint)
		}
		e := got.Endpoints[i]
		if e.Answers != 10 || e.N == 0 || e.Caught >= e.N || e.Share != float64(e.Caught)/float64(e.N) || len(e.Hidden) != 1 {
			t.Fatalf("%+v", e)
		}
		h := e.Hidden[0]
		if h.By != by || h.Detail != detail || h.N != e.N-e.Caught || h.ID == "" {
			t.Errorf("%s: %+v", endpoint, h)
		}
		for _, flaw := range flaws {
			if of := e.Flaws[flaw]; h.Flaws[flaw] == 0 || of.Caught+h.Flaws[flaw] != of.N {
				t.Errorf("%s: %s: %+v", endpoint, flaw, h)
			}
		}
	}
	hides("GET /a", "rule", "rules[0] GET /a $.note: free text (team)", compare.ValueChanged, compare.TypeChanged, compare.FieldMissing)
	hides("GET /b", "rule", "rules[1] GET /b $.tags", compare.ItemsSwapped)
	hides("GET /d", "rule", "rules[2] GET /d $.vat", compare.ValueChanged) // that it is there is all that is expected
	hides("GET /c", "noise", "", compare.ValueChanged)

	// Without rules and noise, every flaw is found.
	s.judge.Noise = nil
	got, err = s.BlindSpots(t.Context(), "shop", []compare.Rule{}, PairFilter{Endpoint: "GET /a"})
	if err != nil || len(got.Endpoints) != 1 || got.Endpoints[0].Share != 1 || len(got.Endpoints[0].Flaws) < 6 || len(got.Endpoints[0].Hidden) > 0 {
		t.Errorf("%v %+v", err, got)
	}
}

// TestBlindSpotsOfAcceptances: what people accepted hides flaws that look like it.
func TestBlindSpotsOfAcceptances(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.play("GET /a", `{"name":"alpha"}`, `{"name":"omega"}`)
	s.flush(t)
	got, err := s.DryRun(t.Context(), "shop", []compare.Rule{{Path: "$.name", Ignore: true, Reason: "r", Owner: "o"}}, PairFilter{})
	if err != nil || len(got.Issues) != 1 {
		t.Fatalf("%v %+v", err, got)
	}
	accepted := compare.NewAcceptances([]compare.Acceptance{{Fingerprint: got.Issues[0].Fingerprint, Endpoint: "GET /a", By: compare.ByAcceptance,
		Who: "ann", At: noon, Until: noon.AddDate(10, 0, 0)}})
	s.judge.Accepted = func() *compare.Acceptances { return accepted }
	blind, err := s.BlindSpots(t.Context(), "shop", nil, PairFilter{})
	if err != nil || len(blind.Endpoints) != 1 {
		t.Fatalf("%v %+v", err, blind)
	}
	e := blind.Endpoints[0]
	if of := e.Flaws[compare.ValueChanged]; of.Caught != 0 || len(e.Hidden) == 0 || e.Hidden[0].By != compare.ByAcceptance {
		t.Errorf("%+v", e)
	}
}

// TestRehearsalTime: rules are in force or not as they are now, and times near the
// request are near the one of then.
func TestRehearsalTime(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	stamp := func(d time.Duration) string { return `{"at":"` + noon.Add(d).Format(time.RFC3339Nano) + `"}` }
	s.play("GET /a", stamp(time.Second), stamp(2*time.Second))
	s.flush(t)
	s.now = func() time.Time { return noon.Add(30 * 24 * time.Hour) }
	near := compare.Rule{Path: "$.at", Time: &compare.Time{Within: 5 * time.Second, Near: "request"}}
	f := func(changed int, rule compare.Rule) {
		t.Helper()
		got, err := s.Rejudge(t.Context(), "shop", []compare.Rule{rule}, PairFilter{})
		if err != nil || got.Changed != changed {
			t.Errorf("%v %+v", err, got)
		}
	}
	f(1, near)
	near.Expires = noon.Add(29 * 24 * time.Hour).Format(time.DateOnly)
	f(0, near)
}

// TestRulesAreNilOrEmpty: nil stands for the rules in force, a list without any
// for none.
func TestRulesAreNilOrEmpty(t *testing.T) {
	t.Parallel()
	s := newStage(t, compare.Rule{Path: "$.a", Ignore: true})
	s.play("GET /a", `{"a":1}`, `{"a":2}`)
	s.flush(t)
	f := func(rules []compare.Rule, changed int) {
		t.Helper()
		got, err := s.Rejudge(t.Context(), "shop", rules, PairFilter{})
		if err != nil || got.Changed != changed {
			t.Errorf("%v: %v %+v", rules == nil, err, got)
		}
	}
	f(nil, 0)
	f([]compare.Rule{}, 1)
}

// TestBlameEndsInTime: which of many rules hides a flaw is not looked for longer
// than the rest of the time, and an answer without a flaw tried has no share.
func TestBlameEndsInTime(t *testing.T) {
	t.Parallel()
	rules := []compare.Rule{{Path: "$.tags", Array: compare.Array{Mode: compare.Set}}}
	for i := range 900 {
		rules = append(rules, compare.Rule{Path: fmt.Sprintf("$.other%d", i), Ignore: true})
	}
	compiled, _ := compare.Compile(rules)
	x := pair(1, "GET /a", 200, 200)
	x.Legs[0], x.Legs[1] = answer(200, time.Millisecond, `{"tags":["a","b","c"]}`), answer(200, time.Millisecond, `{"tags":["a","b","c"]}`)
	f := func(asks, want int) {
		t.Helper()
		asked := 0
		b := &blindness{judge: &Judge{}, rules: compiled, at: noon, endpoints: map[string]*EndpointBlindness{}, over: func() bool { asked++; return asked > asks }}
		b.add(&StoredPair{Endpoint: "GET /a"}, x)
		if asked > want {
			t.Errorf("with time for %d steps it took %d", asks, asked)
		}
		if e := b.endpoints["GET /a"].done(); e.N < e.Caught || e.Share != e.Share || e.N > asks {
			t.Errorf("%+v", e)
		}
	}
	f(0, 1)
	f(3, 5)
	f(20, 22)
}
