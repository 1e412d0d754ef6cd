package divergence

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"parallax"
)

// Totals returns where all exchanges of a service went, ever: those of this
// process as its ledger has them at this instant, and those of every other
// instance, earlier starts of this process above all, as far as their last whole
// batch. Of a process that was killed the batch it was writing is missing on both
// sides of the equation, so the totals add up.
//
// It reads a few rows for each start, however many exchanges there were, at most
// every five seconds (older answers of other instances stand until then), and no
// batch waits for it: this is what a verdict that is read every second asks. When
// the store cannot be read it returns what this process has counted, and an error
// that wraps [ErrAway].
func (r *Recorder) Totals(ctx context.Context, service string) (Accounting, error) {
	a := r.cfg.Ledger.Totals(service)
	read := func() (map[parallax.Place]int64, error) { return r.cfg.Store.totals(ctx, service, r.cfg.Instance) }
	others, err := r.looks.totals(service, r.cfg.Now(), read)
	if err != nil {
		return a, fmt.Errorf("cannot read totals: %w", err)
	}
	for place, n := range others {
		a.add(place, n)
	}
	return a, nil
}

// totals adds up what instances other than one have stored. A running total only
// grows, so the largest is the latest, whether or not older ones were merged away.
func (s *Store) totals(ctx context.Context, service, except string) (map[parallax.Place]int64, error) {
	cond := forService(service).and("instance != {instance:String}", "instance", except)
	out := map[parallax.Place]int64{}
	err := s.each(ctx, `
SELECT place, toInt64(sum(most))
FROM (SELECT instance, place, max(n) AS most FROM totals `+cond.String()+` GROUP BY instance, place)
GROUP BY place`, cond.args, func(rows driver.Rows) error {
		var place string
		var n int64
		if err := rows.Scan(&place, &n); err != nil {
			return err
		}
		out[parallax.Place(place)] = n
		return nil
	})
	return out, err
}

// totalKey is what a running total counts.
type totalKey struct {
	service string
	place   parallax.Place
}

// totalRow is a row of the table totals.
type totalRow struct {
	totalKey
	n int64
}

// runningTotals is what the store has acknowledged of this instance.
type runningTotals map[totalKey]int64

func (t runningTotals) addCounts(counts []Count) {
	for _, c := range counts {
		t[totalKey{c.Service, parallax.Place(c.Reason)}] += c.N
	}
}

func (t runningTotals) addEndings(list []ending) {
	for _, e := range list {
		t[totalKey{e.filing.service, e.outcome.Place()}] += e.n
	}
}

func (t runningTotals) rows() []totalRow {
	out := make([]totalRow, 0, len(t))
	for key, n := range t {
		out = append(out, totalRow{key, n})
	}
	slices.SortFunc(out, func(a, b totalRow) int {
		return cmp.Or(cmp.Compare(a.service, b.service), cmp.Compare(a.place, b.place))
	})
	return out
}
