package divergence

import (
	"errors"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parallax"
	"parallax/compare"
)

// fill stores five exchanges of two endpoints: a match, two that diverge, one of
// them with noise and something a rule took away, one whose candidate failed and
// one that cannot be compared.
func fill(t *testing.T, s *Store) rig {
	t.Helper()
	r := newRig(t, "i1", s, s, Limits{})
	r.record(pair(1, "GET /a", 200, 200), compare.Comparison{Outcome: compare.Match}, true)
	r.record(pair(2, "GET /a", 200, 200), compare.Comparison{
		Outcome: compare.Diverged, Divergences: 1, Noise: 1, Ruled: 1,
		Differences: []compare.Difference{difference("1-bb", "$.a", "rule"), difference("1-cc", "$.b", "noise"), difference("1-aa", "$.c", "")},
	}, true)
	r.record(pair(3, "GET /a", 200, 404), compare.Comparison{
		Outcome: compare.Diverged, Divergences: 2, Accepted: 1,
		Differences: []compare.Difference{difference("1-aa", "$.c", ""), difference("1-aa", "$.d", ""), difference("1-dd", "$.e", "accepted")},
	}, false)
	failed := pair(4, "GET /b", 200, 0)
	failed.Live, failed.Source, failed.Concurrent, failed.Covered = parallax.Candidate, parallax.FromReplay, true, true
	failed.Legs[1].Err = parallax.CallErr{Kind: parallax.Timeout, Text: "no answer within 5s"}
	failed.Legs[1].First = 0
	r.record(failed, compare.Comparison{
		Outcome: compare.Diverged, Divergences: 1, CandidateFailed: true, Differences: []compare.Difference{difference("1-ee", "answer", "")},
	}, true)
	r.record(pair(5, "GET /b", 500, 200), compare.Comparison{Outcome: compare.NotComparable, Reason: "primary_failed", PrimaryFailed: true}, false)
	unsafe := pair(6, "POST /a", 0, 0).Stamp()
	r.ledger.Enter(unsafe)
	r.ledger.Move(unsafe, parallax.InLive, parallax.UnmirroredUnsafe)
	r.mustFlush(t)
	return r
}

func TestSummary(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	fill(t, s)
	got, err := s.Summary(t.Context(), "shop", Window{})
	if err != nil {
		t.Fatal(err)
	}
	want := Summary{
		Accounting: Accounting{
			Received: 6, Unmirrored: map[string]int64{"unsafe": 1},
			Compared: map[string]int64{"match": 1, "diverged": 3, "not_comparable": 1},
			Lost:     map[string]int64{}, At: map[string]int64{},
		},
		Endpoints: []EndpointStats{
			{
				Endpoint: "GET /a", Received: 3, Compared: 3, Matched: 1, Diverged: 2, Noise: 1, Ruled: 1, Accepted: 1,
				NotComparableReasons: map[string]int64{}, StatusMatrix: map[string]int64{"200/200": 2, "200/404": 1},
				Primary: Latency{0.002, 0.002, 0.002}, Candidate: Latency{0.003, 0.003, 0.003},
				First: noon.Add(time.Millisecond), Last: noon.Add(3 * time.Millisecond),
			},
			{
				Endpoint: "GET /b", Received: 2, Compared: 2, Diverged: 1, NotComparable: 1, PrimaryFailed: 1, CandidateFailed: 1, Covered: 1,
				NotComparableReasons: map[string]int64{"primary_failed": 1}, StatusMatrix: map[string]int64{"200/timeout": 1, "500/200": 1},
				Primary: Latency{0.002, 0.002, 0.002}, Candidate: Latency{0.003, 0.003, 0.003},
				First: noon.Add(4 * time.Millisecond), Last: noon.Add(5 * time.Millisecond),
			},
			{Endpoint: "POST /a", Received: 1, Unmirrored: map[string]int64{"unsafe": 1}},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0.01, 0), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	if n := got.Accounting.Missing(); n != 0 {
		t.Errorf("%d exchanges are missing", n)
	}
	empty, err := s.Summary(t.Context(), "shop", Window{From: noon.Add(time.Minute)})
	if err != nil || len(empty.Endpoints) != 0 || empty.Accounting.Received != 0 {
		t.Errorf("a window after everything has %+v, %v", empty, err)
	}
	other, err := s.EndpointStats(t.Context(), "other", Window{})
	if err != nil || len(other) != 0 {
		t.Errorf("another service has %+v, %v", other, err)
	}
}

func TestIssues(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	fill(t, s)
	if err := s.AppendDecision(t.Context(), Decision{At: noon, Service: "shop", Kind: IssueKind, Key: "1-ee", Value: "bug", Who: "ann"}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Issues(t.Context(), "shop", IssueFilter{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Issue{
		{
			Fingerprint: "1-aa", Cause: "cause-1-aa", Endpoint: "GET /a", Path: "$.c", Kind: "changed", Class: "number", State: "open", Count: 2,
			First: noon.Add(2 * time.Millisecond), Last: noon.Add(3 * time.Millisecond), LastCounted: noon.Add(3 * time.Millisecond), Share: 2. / 3, Primary: "1", Candidate: "2",
			Examples: []string{testID(2).String(), testID(3).String()},
		},
		{
			Fingerprint: "1-ee", Cause: "cause-1-ee", Endpoint: "GET /b", Path: "answer", Kind: "changed", Class: "number", State: "bug", Count: 1,
			First: noon.Add(4 * time.Millisecond), Last: noon.Add(4 * time.Millisecond), LastCounted: noon.Add(4 * time.Millisecond), Share: 1, Primary: "1", Candidate: "2",
			Examples: []string{testID(4).String()},
			Decision: &IssueDecision{At: noon, Fingerprint: "1-ee", State: BugIssue, Who: "ann"},
		},
	}
	// Which path of one issue is shown is free.
	ignore := cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Path" }, cmp.Ignore())
	if diff := cmp.Diff(want, got, ignore, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("issues (-want +got):\n%s", diff)
	}
	all, err := s.Issues(t.Context(), "shop", IssueFilter{Suppressed: true, Endpoint: "GET /a"})
	if err != nil || len(all) != 4 {
		t.Errorf("with suppressed ones: %d issues, %v; want 4", len(all), err)
	}
	one, err := s.Issue(t.Context(), "shop", "1-bb", noon)
	if err != nil || one.Count != 0 || one.Suppressed != 1 || !cmp.Equal(one.By, []string{"rule"}) {
		t.Errorf("suppressed issue: %+v, %v", one, err)
	}
	if _, err := s.Issue(t.Context(), "shop", "1-ff", noon); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown issue gives %v", err)
	}
}

func TestExchanges(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	fill(t, s)
	f := func(filter ExchangeFilter, want ...int) {
		t.Helper()
		got, err := s.Exchanges(t.Context(), "shop", filter)
		if err != nil {
			t.Fatal(err)
		}
		var ids, wanted []string
		for _, x := range got {
			ids = append(ids, x.ID)
		}
		for _, n := range want {
			wanted = append(wanted, testID(n).String())
		}
		if diff := cmp.Diff(wanted, ids); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", filter, diff)
		}
	}
	f(ExchangeFilter{}, 5, 4, 3, 2, 1)
	f(ExchangeFilter{Limit: 2}, 5, 4)
	f(ExchangeFilter{Limit: 2, Before: testID(4).String()}, 3, 2)
	f(ExchangeFilter{Endpoint: "GET /a", Outcome: "diverged"}, 3, 2)
	f(ExchangeFilter{Fingerprint: "1-aa", Kept: true}, 2)
	f(ExchangeFilter{Window: Window{To: noon}})
	f(ExchangeFilter{Before: testID(99).String()})
	if _, err := s.Exchanges(t.Context(), "shop", ExchangeFilter{Before: "x"}); err == nil {
		t.Error("a bad id is accepted")
	}
}

func TestExchange(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	fill(t, s)
	got, err := s.Exchange(t.Context(), "shop", testID(2))
	if err != nil {
		t.Fatal(err)
	}
	// Everything that went in comes out, byte for byte.
	want := pair(2, "GET /a", 200, 200)
	if diff := cmp.Diff(want, got.Exchange, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("exchange (-want +got):\n%s", diff)
	}
	var order []string
	for _, d := range got.Differences {
		order = append(order, d.Path+" "+d.By)
	}
	if diff := cmp.Diff([]string{"$.c ", "$.a rule", "$.b noise"}, order); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
	if len(got.Legs) != 2 || got.Legs[1] != (LegLine{Leg: "candidate", Status: 200, Seconds: 0.003, Version: "1.0"}) {
		t.Errorf("legs: %+v", got.Legs)
	}
	bare, err := s.Exchange(t.Context(), "shop", testID(3))
	if err != nil || bare.Exchange != nil || bare.Kept || len(bare.Differences) != 3 {
		t.Errorf("an exchange without bodies: %+v, %v", bare, err)
	}
	failed, err := s.Exchange(t.Context(), "shop", testID(4))
	if x := failed.Exchange; x == nil || x.Live != parallax.Candidate || x.Source != parallax.FromReplay || !x.Concurrent || !x.Covered {
		t.Errorf("not as it went in: %+v", x)
	}
	if err != nil || failed.Exchange.Legs[1].Err != (parallax.CallErr{Kind: parallax.Timeout, Text: "no answer within 5s"}) {
		t.Errorf("a failed leg: %+v, %v", failed, err)
	}
	if _, err := s.Exchange(t.Context(), "other", testID(2)); !errors.Is(err, ErrNotFound) {
		t.Errorf("another service's exchange gives %v", err)
	}
}

func TestRateOverTime(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	fill(t, s)
	got, err := s.RateOverTime(t.Context(), "shop", "GET /a", Window{From: noon, To: noon.Add(2 * time.Minute)}, 4)
	if err != nil {
		t.Fatal(err)
	}
	want := []RatePoint{
		{At: noon, N: 3, K: 2, Rate: 2.0 / 3},
		{At: noon.Add(30 * time.Second)}, {At: noon.Add(60 * time.Second)}, {At: noon.Add(90 * time.Second)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("points (-want +got):\n%s", diff)
	}
	open, err := s.RateOverTime(t.Context(), "shop", "", Window{}, 1)
	if err != nil || len(open) != 1 || open[0].N != 4 || open[0].K != 3 || open[0].NotComparable != 1 {
		t.Errorf("an open window: %+v, %v", open, err)
	}
	none, err := s.RateOverTime(t.Context(), "other", "", Window{}, 10)
	if err != nil || len(none) != 0 {
		t.Errorf("without rows: %+v, %v", none, err)
	}
}

func TestTicks(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	fill(t, s)
	got, err := s.Ticks(t.Context(), "shop", Cursor{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []Tick{
		{Instance: "i1", Seq: 1, Service: "shop", Endpoint: "GET /a", RulesHash: "r1", PolicyHash: "p1", PrimaryVersion: "1.0", CandidateVersion: "1.0",
			Received: 3, N: 3, K: 2, Noise: 1, Accepted: 1, Timed: 3},
		{Instance: "i1", Seq: 2, Service: "shop", Endpoint: "GET /b", RulesHash: "r1", PolicyHash: "p1", PrimaryVersion: "1.0", CandidateVersion: "1.0",
			Received: 2, N: 1, K: 1, NotComparable: 1, Unanswered: 1, B: 1, C: 1, Timed: 1},
		{Instance: "i1", Seq: 3, Service: "shop", Endpoint: "POST /a", Received: 1},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Tick{}, "At")); diff != "" {
		t.Errorf("ticks (-want +got):\n%s", diff)
	}
	rest, err := s.Ticks(t.Context(), "shop", got[0].Cursor(), 1)
	if err != nil || len(rest) != 1 || !cmp.Equal(rest[0], got[1]) {
		t.Errorf("after the first: %+v, %v", rest, err)
	}
	end, err := s.Ticks(t.Context(), "shop", got[2].Cursor(), 0)
	if err != nil || len(end) != 0 {
		t.Errorf("after the last: %+v, %v", end, err)
	}
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	all := []Decision{
		{At: noon.Add(time.Microsecond), Service: "shop", Kind: "step", Key: "", Value: "500", Who: "ann", Note: "it's\tgood\n"},
		{At: noon.Add(2 * time.Microsecond), Service: "shop", Kind: "issue", Key: "1-aa", Value: "bug", Who: "bob"},
	}
	for _, i := range []int{1, 0, 1} { // a repeated one counts once
		if err := s.AppendDecision(t.Context(), all[i]); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Decisions(t.Context(), "shop", "")
	if diff := cmp.Diff(all, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	steps, err := s.Decisions(t.Context(), "shop", "step")
	if diff := cmp.Diff(all[:1], steps); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	if err := s.Migrate(t.Context()); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
	if err := s.conn.Exec(t.Context(), "INSERT INTO schema_version (version) VALUES (99)"); err != nil {
		t.Fatal(err)
	}
	err := s.Migrate(t.Context())
	if !errors.Is(err, ErrNewerSchema) || errors.Is(err, ErrAway) {
		t.Errorf("a newer schema gives %v", err)
	}
}

func TestMigrationsAreNumbered(t *testing.T) {
	t.Parallel()
	list, err := migrations(schemaFiles)
	if err != nil || len(list) == 0 || len(list[0].statements) < 6 {
		t.Errorf("%d migrations, %v", len(list), err)
	}
	file := &fstest.MapFile{Data: []byte("-- a; b\nSELECT ';';\nSELECT\n  2 ;\n")}
	list, err = migrations(fstest.MapFS{"schema/0001_a.sql": file})
	if diff := cmp.Diff([]string{"SELECT ';'", "SELECT\n  2"}, list[0].statements); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := migrations(fstest.MapFS{"schema/0001_a.sql": file, "schema/0003_b.sql": file}); err == nil {
		t.Error("a gap in the numbers is accepted")
	}
}

func TestAway(t *testing.T) {
	t.Parallel()
	s := openStore(t, &clickhouse.Options{Protocol: clickhouse.HTTP, Addr: []string{"127.0.0.1:1"}})
	if s.database != DefaultDatabase {
		t.Errorf("database %q", s.database)
	}
	if err := s.Migrate(t.Context()); !errors.Is(err, ErrAway) {
		t.Errorf("migrate: %v", err)
	}
	if _, err := s.Summary(t.Context(), "shop", Window{}); !errors.Is(err, ErrAway) {
		t.Errorf("summary: %v", err)
	}
	if err := s.AppendDecision(t.Context(), Decision{}); !errors.Is(err, ErrAway) {
		t.Errorf("append: %v", err)
	}
	unmigrated := openShared(t)
	if err := unmigrated.conn.Exec(t.Context(), "DROP TABLE ticks"); err != nil {
		t.Fatal(err)
	}
	if _, err := unmigrated.Ticks(t.Context(), "shop", Cursor{}, 0); !errors.Is(err, ErrAway) {
		t.Errorf("a missing table: %v", err)
	}
	if err := unmigrated.conn.Exec(t.Context(), "SELEC 1"); errors.Is(away(t.Context(), err), ErrAway) {
		t.Errorf("a wrong statement counts as away: %v", err)
	}
}
