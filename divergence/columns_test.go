package divergence

import (
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/compare"
)

// Every column of comparisons is written where a row of a batch says something
// there, and reads as the default of its type in the batch's other rows and in
// batches that leave it out.
func TestColumnsOfComparisons(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	r := newRig(t, "i1", s, s, Limits{})
	plain := pair(1, "GET /a", 200, 200)
	full := pair(2, "GET /b", 200, 503)
	full.Live, full.Source, full.Concurrent, full.Covered = parallax.Candidate, parallax.FromReplay, true, true
	full.Legs[parallax.Secondary] = answer(201, 4*time.Millisecond, "x")
	everything := compare.Comparison{
		Outcome: compare.NotComparable, Reason: "truncated", Divergences: 1, Noise: 2, Ruled: 3, Accepted: 4,
		Truncated: true, PrimaryFailed: true, CandidateFailed: true,
	}
	r.record(plain, matched, false)
	r.mustFlush(t)
	r.record(pair(3, "GET /a", 200, 200), matched, false)
	r.record(full, everything, true)
	r.mustFlush(t)

	type row struct {
		N                                          uint32
		Live, Source, Outcome, Reason              string
		Counts                                     []uint32
		Flags                                      []bool
		Statuses                                   []uint16
		Errors, Versions                           []string
		Seconds                                    []float64
		Rules, Policy, Instance, Service, Endpoint string
		Batch                                      uint64
	}
	var got []row
	err := s.each(t.Context(), `
SELECT live, source, outcome, reason, [divergences, noise, ruled, accepted],
    [truncated, concurrent, covered, kept, primary_failed, candidate_failed, secondary_asked],
    [primary_status, candidate_status, secondary_status], [primary_error, candidate_error, secondary_error],
    [primary_version, candidate_version, secondary_version], [primary_seconds, candidate_seconds, secondary_seconds],
    rules_hash, policy_hash, instance, service, endpoint, batch
FROM comparisons ORDER BY received`, nil, func(rows driver.Rows) error {
		var g row
		err := rows.Scan(&g.Live, &g.Source, &g.Outcome, &g.Reason, &g.Counts, &g.Flags, &g.Statuses, &g.Errors, &g.Versions, &g.Seconds,
			&g.Rules, &g.Policy, &g.Instance, &g.Service, &g.Endpoint, &g.Batch)
		got = append(got, g)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	match := row{
		Live: "primary", Source: plain.Source.String(), Outcome: "match", Counts: []uint32{0, 0, 0, 0},
		Flags: make([]bool, 7), Statuses: []uint16{200, 200, 0}, Errors: []string{"", "", "not_asked"},
		Versions: []string{"1.0", "1.0", ""}, Seconds: []float64{0.002, 0.003, 0},
		Rules: "r1", Policy: "p1", Instance: "i1", Service: "shop", Endpoint: "GET /a", Batch: 1,
	}
	again, other := match, match
	again.Batch = 2
	other.Live, other.Source, other.Outcome, other.Reason = "candidate", full.Source.String(), "not_comparable", "truncated"
	other.Counts, other.Flags = []uint32{1, 2, 3, 4}, []bool{true, true, true, true, true, true, true}
	other.Statuses, other.Errors = []uint16{200, 503, 201}, []string{"", "", ""}
	other.Versions, other.Seconds = []string{"1.0", "1.0", "1.0"}, []float64{0.002, 0.003, 0.004}
	other.Endpoint, other.Batch = "GET /b", 2
	if diff := cmp.Diff([]row{match, other, again}, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// A column that the table does not have is an error once it says something, and
// the table is looked at again.
func TestMissingColumn(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	insert := func(token string, gone bool) error {
		return s.insertColumns(t.Context(), "totals", token, []column{
			values("n", 1, func(int) uint64 { return 7 }),
			values("place", 1, func(int) string { return "x" }),
			values("gone", 1, func(int) bool { return gone }),
		})
	}
	if err := insert("a", false); err != nil {
		t.Fatal(err)
	}
	if err := insert("b", true); err == nil {
		t.Fatal("a column that is not there was written")
	}
	if err := s.conn.Exec(t.Context(), "ALTER TABLE totals ADD COLUMN gone Bool"); err != nil {
		t.Fatal(err)
	}
	if err := insert("b", true); err != nil {
		t.Errorf("after the column came: %v", err)
	}
}

// Columns that were read while the table was changed fail one insert, and are read
// again for the next.
func TestColumnsOfAnOlderTable(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	insert := func() error {
		return s.insert(t.Context(), "totals", "a", 1, func(b driver.Batch, _ int) error { return b.Append("i1", "shop", "x", uint64(7)) })
	}
	all, err := s.shapes.all(t.Context(), s, "totals")
	if err != nil {
		t.Fatal(err)
	}
	s.shapes.columns["totals"] = all[:len(all)-1]
	if err := insert(); err == nil {
		t.Fatal("a row was written that has more values than there were columns")
	}
	if err := insert(); err != nil {
		t.Error(err)
	}
}
