package effects

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"parallax"
)

// Count says what became of a change: how its exchange was found, or why none was.
type Count string

// What becomes of changes, besides being found by tag, trace, column or key.
const (
	late         Count = "late"         // its exchange was handed on before it came
	uncompared   Count = "uncompared"   // it names an exchange that was not compared
	torn         Count = "torn"         // its transaction names two exchanges
	stray        Count = "stray"        // another leg's request caused it in this leg's database
	unattributed Count = "unattributed" // nothing says whose it is
	alone        Count = "alone"        // the candidate committed it as the live leg, and nobody else was asked
)

// Unlisted is counted besides of a change that the candidate committed as the live leg and
// that is not on the list of those, for want of room.
const Unlisted Count = "unlisted"

// Counts lists everything that may become of a change.
var Counts = []Count{
	Count(parallax.ByTag), Count(parallax.ByTrace), Count(parallax.ByColumn), Count(parallax.ByKey),
	late, uncompared, torn, stray, unattributed, alone, Unlisted,
}

// Counted is how many changes of a table a minute had of one kind.
type Counted struct {
	Minute time.Time
	Leg    parallax.Leg
	Table  string
	Count  Count
	N      uint64
}

// Bounds of what is counted until somebody takes it.
const (
	maxCounts   = 20_000
	maxNewGaps  = 1_000
	otherTables = "*" // what is counted of tables that are not configured, as Debezium may send them
)

type countKey struct {
	minute int64
	leg    parallax.Leg
	table  string
	count  Count
}

// counts are what was counted since somebody took it.
type counts struct {
	n    map[countKey]uint64
	gaps []Gap
}

// count counts the changes of a transaction.
func (j *Joiner) count(e *entry, what Count, now time.Time) {
	leg := e.source.leg
	for i := range e.tx.Changes {
		table := j.label(leg, e.tx.Changes[i].Table)
		j.cfg.Metrics.counted(j.cfg.Service, leg, table, what)
		key := countKey{now.Unix() / 60, leg, table, what}
		if j.counts.n == nil {
			j.counts.n = map[countKey]uint64{}
		}
		if _, known := j.counts.n[key]; known || len(j.counts.n) < maxCounts {
			j.counts.n[key]++
		}
	}
}

// unattributed counts what no exchange explains.
func (j *Joiner) unattributed(e *entry, now time.Time) { j.count(e, unattributed, now) }

// label returns a table's name if it is one that is read: labels are a closed set.
func (j *Joiner) label(leg parallax.Leg, table string) string {
	for _, d := range j.cfg.Config.Databases(leg) {
		for _, name := range d.Tables {
			if strings.TrimPrefix(name, "public.") == table {
				return table
			}
		}
	}
	if slices.Contains(j.cfg.Config.Calls, table) {
		return table
	}
	return otherTables
}

// gap notes a gap that begins, ends or goes on.
func (c *counts) gap(g Gap) {
	if i := slices.IndexFunc(c.gaps, func(o Gap) bool {
		return o.Leg == g.Leg && o.Database == g.Database && o.From.Equal(g.From)
	}); i >= 0 {
		c.gaps[i] = g
		return
	}
	if len(c.gaps) < maxNewGaps {
		c.gaps = append(c.gaps, g)
	}
}

// TakeCounts returns what was counted since it was last called, and the gaps that began or
// ended: a gap that is known already has the same leg, database and beginning.
func (j *Joiner) TakeCounts() (list []Counted, gaps []Gap) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for k, n := range j.counts.n {
		list = append(list, Counted{time.Unix(k.minute*60, 0).UTC(), k.leg, k.table, k.count, n})
	}
	slices.SortFunc(list, func(a, b Counted) int {
		return cmp.Or(a.Minute.Compare(b.Minute), cmp.Compare(a.Leg, b.Leg), cmp.Compare(a.Table, b.Table), cmp.Compare(a.Count, b.Count))
	})
	if n := j.living.unmet.Swap(0); n > 0 {
		list = append(list, Counted{j.cfg.Now().Truncate(time.Minute).UTC(), parallax.Candidate, otherTables, Unlisted, n})
	}
	gaps = j.counts.gaps
	j.counts = counts{}
	return list, gaps
}
