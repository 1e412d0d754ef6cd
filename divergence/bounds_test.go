package divergence

import (
	"errors"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/compare"
)

// refuse enters an exchange that is lost before it is compared.
func (r rig) refuse(n int) {
	s := pair(n, "GET /a", 200, 200).Stamp()
	r.ledger.Enter(s)
	r.ledger.Move(s, parallax.InLive, parallax.LostQueueFull)
}

func TestTotals(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	earlier := newRig(t, "earlier", s, s, Limits{BatchRows: 3})
	for i := range 7 {
		earlier.record(pair(i, "GET /a", 200, 200), matched, false)
	}
	earlier.refuse(7)
	earlier.mustFlush(t)
	earlier.record(pair(8, "GET /a", 200, 200), matched, false) // is lost with the process

	r := newRig(t, "now", s, s, Limits{})
	f := func(what string, want Accounting) {
		t.Helper()
		got, err := r.Totals(t.Context(), "shop")
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
		}
		if n := got.Missing(); n != 0 {
			t.Errorf("%s: %d exchanges are missing", what, n)
		}
	}
	want := Accounting{
		Received: 8, Unmirrored: map[string]int64{}, Compared: map[string]int64{"match": 7, "diverged": 0, "not_comparable": 0},
		Lost: map[string]int64{"queue_full": 1}, At: map[string]int64{},
	}
	f("after a restart", want)
	r.record(pair(9, "GET /a", 200, 200), compare.Comparison{Outcome: compare.Diverged}, false)
	want.Received, want.InFlight, want.At = 9, 1, map[string]int64{"batch": 1}
	f("in memory", want)

	// A batch that hangs in the store is no obstacle.
	if err := r.turn.Acquire(t.Context(), wholeTurn); err != nil {
		t.Fatal(err)
	}
	f("while a batch is being written", want)
	r.turn.Release(wholeTurn)
	r.mustFlush(t)
	want.Compared["diverged"], want.InFlight, want.At = 1, 0, map[string]int64{}
	f("stored", want)

	if other, err := r.Totals(t.Context(), "other"); err != nil || other.Received != 0 {
		t.Errorf("another service: %+v, %v", other, err)
	}
	away := newRig(t, "away", openStore(t, &clickhouse.Options{Protocol: clickhouse.HTTP, Addr: []string{"127.0.0.1:1"}}), nil, Limits{})
	away.refuse(1)
	if got, err := away.Totals(t.Context(), "shop"); !errors.Is(err, ErrAway) || got.Received != 1 {
		t.Errorf("while the store is away: %+v, %v", got, err)
	}
}

// A verdict must not wait longer the more was compared: Totals never reads
// comparisons, counts or ticks.
func TestTotalsReadNoHistory(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	r := newRig(t, "earlier", s, s, Limits{})
	r.record(pair(1, "GET /a", 200, 200), matched, false)
	r.mustFlush(t)
	for _, table := range []string{"comparisons", "divergences", "counts", "ticks"} {
		if err := s.conn.Exec(t.Context(), "DROP TABLE "+table); err != nil {
			t.Fatal(err)
		}
	}
	got, err := newRig(t, "now", s, s, Limits{}).Totals(t.Context(), "shop")
	if err != nil || got.Received != 1 || got.Compared["match"] != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Exchanges whose primary gave nothing to compare with are told apart from those
// that the candidate may have had a part in.
func TestUnanswered(t *testing.T) {
	t.Parallel()
	f := func(reason string, live parallax.Leg, want uint64) {
		t.Helper()
		x := pair(1, "GET /a", 200, 200)
		x.Live = live
		var all tally
		all.add(newRecord(x, compare.Comparison{Outcome: compare.NotComparable, Reason: reason}, nil, nil))
		if got := all.ticks[all.order[0]]; got.NotComparable != 1 || got.Unanswered != want {
			t.Errorf("%s, %s live: %d of %d unanswered, want %d", reason, live, got.Unanswered, got.NotComparable, want)
		}
	}
	f(compare.ReasonPrimaryFailed, parallax.Primary, 1)
	f(compare.ReasonPrimaryFailed, parallax.Candidate, 1)
	f(compare.ReasonCallerGone, parallax.Primary, 1)
	f(compare.ReasonCallerGone, parallax.Candidate, 0)
	f(compare.ReasonTruncated, parallax.Primary, 0)
	f(compare.ReasonNotAsked, parallax.Primary, 0)
}

// However often an issue occurs, few rows of it are stored an hour, and it still
// names every exchange it is in.
func TestDifferencesAreBounded(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	r := newRig(t, "i1", s, s, Limits{})
	w := NewWorker(WorkerConfig{Recorder: r.Recorder, Ledger: r.ledger, Log: quiet})
	judge := newJudge(t)
	const exchanges = 3 * maxIssueRows
	for i := range exchanges {
		x := pair(i, "GET /a", 200, 200)
		x.Received = noon.Add(time.Duration(i) * time.Second)
		r.ledger.Enter(x.Stamp())
		r.ledger.Move(x.Stamp(), parallax.InLive, parallax.InWorker)
		r.add(w.redacted(judge, x, compare.Comparison{Outcome: compare.Diverged, Divergences: 2, Ruled: 1, Differences: []compare.Difference{
			difference("1-aa", "$.a", ""), difference("1-aa", "$.b", ""), difference("1-cc", "$.c", "rule"),
		}}, compare.Input{}))
	}
	r.mustFlush(t)
	for table, want := range map[string]uint64{"divergences": 2 * maxIssueRows, "repeats": 20} {
		var n uint64
		if err := s.conn.QueryRow(t.Context(), "SELECT count() FROM "+table).Scan(&n); err != nil || n > want {
			t.Errorf("%s has %d rows, want at most %d: %v", table, n, want, err)
		}
	}
	all, err := s.Issues(t.Context(), "shop", IssueFilter{Suppressed: true})
	if err != nil || len(all) != 2 {
		t.Fatalf("%d issues, %v; want 2", len(all), err)
	}
	last := noon.Add((exchanges - 1) * time.Second)
	if i := all[0]; i.Fingerprint != "1-aa" || i.Count != exchanges || !i.First.Equal(noon) || !i.Last.Equal(last) || len(i.Examples) != issueExamples || i.Primary != "1" {
		t.Errorf("the issue that counts: %+v", i)
	}
	if i := all[1]; i.Fingerprint != "1-cc" || i.Count != 0 || i.Suppressed != exchanges || !cmp.Equal(i.By, []string{"rule"}) {
		t.Errorf("the issue that is suppressed: %+v", i)
	}
	// The last minutes hold no row, only counts.
	late, err := s.Issues(t.Context(), "shop", IssueFilter{Window: Window{From: last.Truncate(time.Minute)}})
	if err != nil || len(late) != 1 || late[0].Count != 60 || late[0].Path != "$.a" || len(late[0].Examples) != 0 {
		t.Errorf("the last minute: %+v, %v", late, err)
	}
	x, err := s.Exchange(t.Context(), "shop", testID(exchanges-1))
	if err != nil || !x.Truncated || len(x.Differences) != 0 || x.Divergences != 2 {
		t.Errorf("an exchange that was only counted: %+v, %v", x, err)
	}
}

func TestKeeperPartsDifferences(t *testing.T) {
	t.Parallel()
	many := func(n int, by string) []compare.Difference {
		var out []compare.Difference
		for i := range n {
			out = append(out, difference("1-"+by+strconv.Itoa(i), "$.a", by))
		}
		return out
	}
	f := func(name string, k *keeper, x *parallax.Exchange, all []compare.Difference, kept bool, rows, counted int) {
		t.Helper()
		got := k.part(x, all, kept)
		if len(got.rows) != rows || len(got.counted)+len(got.rest) != counted {
			t.Errorf("%s: %d rows and %d counted, want %d and %d", name, len(got.rows), len(got.counted)+len(got.rest), rows, counted)
		}
	}
	x, later := pair(1, "GET /a", 200, 200), pair(2, "GET /a", 200, 200)
	later.Received = x.Received.Add(time.Hour)
	f("counting", &keeper{}, x, many(maxCounting+9, ""), false, maxCounting, 9)
	f("suppressed", &keeper{}, x, many(maxSuppressed+9, "noise"), true, maxSuppressed, 9)
	f("both", &keeper{}, x, append(many(9, "rule"), many(9, "")...), false, 18, 0)

	k := &keeper{}
	one := func() []compare.Difference { return []compare.Difference{difference("1-aa", "$.a", "")} }
	for range maxIssueRows {
		f("examples", k, x, one(), false, 1, 0)
	}
	f("enough examples", k, x, one(), false, 0, 1)
	f("with bodies", k, x, one(), true, 1, 0)
	f("suppressed is another matter", k, x, []compare.Difference{difference("1-aa", "$.a", "rule")}, false, 1, 0)
	f("another hour", k, later, one(), false, 1, 0)
}

// Differences that get no row leave nothing of them in memory but the names of
// their issues.
func TestDifferencesWithoutRowsAreLetGo(t *testing.T) {
	t.Parallel()
	x := pair(1, "GET /a", 200, 200)
	var k keeper
	parted := func(n int) (rows []compare.Difference, counted []issue, all weak.Pointer[compare.Difference]) {
		list := make([]compare.Difference, n)
		for i := range list {
			list[i] = difference("1-a", "$.items[*].price", "")
		}
		all = weak.Make(&list[0])
		got := k.part(x, list, false)
		k.say(x.Service, got.rows)
		return got.rows, got.counted, all
	}
	parted(maxIssueRows - 1)
	for _, want := range []struct{ rows, issues int }{{maxCounting, 0}, {0, 1}} {
		rows, counted, all := parted(compareKept)
		if len(rows) != want.rows || len(counted) != want.issues {
			t.Fatalf("%d rows and %d issues, want %+v", len(rows), len(counted), want)
		}
		runtime.GC()
		if all.Value() != nil {
			t.Errorf("with %d rows and %d issues, all %d differences stay in memory", len(rows), len(counted), compareKept)
		}
		runtime.KeepAlive(rows)
		runtime.KeepAlive(counted)
	}
}

// compareKept is how many differences that count a comparison keeps.
const compareKept = 256

// What went wrong is said once, without the client's address and query.
func TestAwaySaysWhy(t *testing.T) {
	t.Parallel()
	s := openStore(t, &clickhouse.Options{Protocol: clickhouse.HTTP, Addr: []string{"127.0.0.1:1"}})
	err := s.Ping(t.Context())
	if text := err.Error(); !strings.Contains(text, "the store is away: dial tcp 127.0.0.1:1: ") || strings.Contains(text, "http://") || strings.Contains(text, "hello") {
		t.Errorf("error %q", text)
	}
}

// TestRepeatsAreRedacted has a difference whose place is named after a secret, more often
// than rows are stored: neither the rows nor what is only counted has it.
func TestRepeatsAreRedacted(t *testing.T) {
	t.Parallel()
	const secret = "hunter2-hunter2"
	ledger := NewLedger()
	w := NewWorker(WorkerConfig{Recorder: &Recorder{}, Ledger: ledger, Log: quiet})
	judge := newJudge(t)
	counted := 0
	for i := range maxIssueRows + 20 {
		x := pair(i, "GET /a", 200, 200)
		x.Legs[parallax.Primary].Request.Headers = []parallax.Field{{Name: "Authorization", Value: "Bearer " + secret}}
		c := compare.Comparison{Outcome: compare.Diverged, Divergences: 1, Differences: []compare.Difference{difference("1-aa", "$['"+secret+"']", "")}}
		r := w.redacted(judge, x, c, compare.Input{})
		f := r.finds()
		for _, d := range f.differences {
			if strings.Contains(d.Normal, secret) {
				t.Fatalf("exchange %d: a row has %s", i, d.Normal)
			}
		}
		for _, r := range f.repeats {
			if counted++; strings.Contains(r.normal, secret) || !strings.Contains(r.normal, "redacted:") {
				t.Fatalf("exchange %d: %s is counted", i, r.normal)
			}
		}
	}
	if counted != 20 {
		t.Errorf("%d were only counted, want 20", counted)
	}
}
