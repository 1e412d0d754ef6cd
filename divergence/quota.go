package divergence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"parallax"
)

// QuotaConfig is what a [Quota] needs.
type QuotaConfig struct {
	Store      *Store
	Recorder   *Recorder // the only one that writes to the store
	Dir        string    // on the disk that the engine writes to
	Max        int64     // bytes of the store's tables; 0: no bound
	MinFree    uint64    // bytes of the disk that are left to others; 0: a twentieth of it, 1 GiB at most
	Every      time.Duration
	Now        func() time.Time
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Quota keeps the engine's tables within a size, and the disk from filling up.
//
// Past the size it drops what is oldest: first bodies, then rows of exchanges and
// of their differences. It never drops counts, ticks, decisions and totals, which
// the verdict is made of. What it drops is counted by minute, endpoint and
// outcome first, in the table dropped, so that accounting and rates stay exact
// and a report says how much of it cannot be looked at any more.
//
// When the disk itself is nearly full, [Quota.Full] says so, and the recorder
// writes nothing: exchanges wait in memory and are then lost{store}.
type Quota struct {
	cfg   QuotaConfig
	full  atomic.Pointer[string] // why nothing may be written; nil: it may
	used  atomic.Int64
	bytes prometheus.Gauge
	gone  *prometheus.CounterVec
}

// NewQuota returns a quota and registers its metrics:
//
//	parallax_store_disk_bytes               what the tables take, parts that are being removed included
//	parallax_store_dropped_rows_total{table}  rows dropped to keep the size
func NewQuota(cfg QuotaConfig) *Quota {
	cfg.Every = orElse(cfg.Every, 10*time.Second)
	q := &Quota{
		cfg:   cfg,
		bytes: prometheus.NewGauge(prometheus.GaugeOpts{Name: "parallax_store_disk_bytes", Help: "What the store's tables take on disk."}),
		gone: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parallax_store_dropped_rows_total", Help: "Rows dropped to keep the store within store.max_disk, by table.",
		}, []string{"table"}),
	}
	cfg.Registerer.MustRegister(q.bytes, q.gone)
	return q
}

// Run looks after the disk until ctx ends, and returns nil.
func (q *Quota) Run(ctx context.Context) error {
	beat := time.NewTicker(q.cfg.Every)
	defer beat.Stop()
	failing := false
	for {
		q.lookAtDisk()
		err := q.keep(ctx)
		if failed := err != nil && ctx.Err() == nil && !errors.Is(err, ErrAway); failed != failing {
			if failing = failed; failed {
				q.cfg.Log.Warn("cannot keep the store within its size", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
	}
}

// Full returns why nothing may be written to the store, nil when it may. The
// error wraps [ErrAway].
func (q *Quota) Full() error {
	if why := q.full.Load(); why != nil {
		return fmt.Errorf("%w: %s", ErrAway, *why)
	}
	return nil
}

// String says how much of the size is taken.
func (q *Quota) String() string {
	used := rounded(parallax.Size(q.used.Load()))
	if q.cfg.Max == 0 {
		return fmt.Sprintf("%s on disk", used)
	}
	return fmt.Sprintf("%s of %s on disk", used, parallax.Size(q.cfg.Max))
}

// rounded is a size in whole MiB, or KiB where it is below one.
func rounded(s parallax.Size) parallax.Size {
	unit := parallax.Size(1 << 20)
	if s < unit {
		unit = 1 << 10
	}
	return s / unit * unit
}

// lookAtDisk finds out whether the disk has room for anybody else.
func (q *Quota) lookAtDisk() {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(q.cfg.Dir, &disk); err != nil {
		return // the engine says what is wrong with its folder
	}
	size, free := disk.Blocks*uint64(disk.Bsize), disk.Bavail*uint64(disk.Bsize)
	least := cmp.Or(q.cfg.MinFree, min(size/20, 1<<30))
	if free >= least {
		if q.full.Swap(nil) != nil {
			q.cfg.Log.Info("the disk has room again", "free", parallax.Size(free).String())
		}
		return
	}
	why := fmt.Sprintf("the disk of %s has %s free, and %s are left to others: make room", q.cfg.Dir, parallax.Size(free), parallax.Size(least))
	if q.full.Swap(&why) == nil {
		q.cfg.Log.Error("nothing is written to the store", "error", why)
	}
}

// dayOf is what one day of a table takes.
type dayOf struct {
	table, day string // a day as its partition is called: 20261122
	bytes      int64
	rows       int64
}

// keep drops what is oldest when the tables are past their size. What it does at
// a time is bounded: it drops until a tenth is free, and does nothing while the
// engine is still at what it was told last.
func (q *Quota) keep(ctx context.Context) error {
	parts, all, err := q.measure(ctx)
	if err != nil {
		return err
	}
	q.used.Store(all)
	q.bytes.Set(float64(all))
	var active int64
	for _, p := range parts {
		active += p.bytes
	}
	if q.cfg.Max == 0 || active <= q.cfg.Max {
		return nil
	}
	if busy, err := q.busy(ctx); busy || err != nil {
		return err
	}
	excess := active - q.cfg.Max*9/10
	excess, err = q.dropBodies(ctx, parts, excess)
	if err == nil && excess > 0 {
		err = q.dropRows(ctx, parts, excess)
	}
	return err
}

// measure returns what each day of each table takes, in the order of days, and
// what all tables take with parts that are about to be removed.
func (q *Quota) measure(ctx context.Context) (parts []dayOf, all int64, err error) {
	err = q.cfg.Store.each(ctx, `
SELECT table, partition_id, toInt64(sumIf(bytes_on_disk, active)), toInt64(sumIf(rows, active)), toInt64(sum(bytes_on_disk))
FROM system.parts WHERE database = currentDatabase() GROUP BY table, partition_id ORDER BY partition_id, table`, nil, func(rows driver.Rows) error {
		var p dayOf
		var with int64
		if err := rows.Scan(&p.table, &p.day, &p.bytes, &p.rows, &with); err != nil {
			return err
		}
		all += with
		if p.bytes > 0 {
			parts = append(parts, p)
		}
		return nil
	})
	return parts, all, err
}

// busy reports whether the engine still removes what it was told to.
func (q *Quota) busy(ctx context.Context) (busy bool, err error) {
	err = q.cfg.Store.each(ctx, `SELECT count() FROM system.mutations WHERE database = currentDatabase() AND NOT is_done`, nil, func(rows driver.Rows) error {
		var n uint64
		err := rows.Scan(&n)
		busy = n > 0
		return err
	})
	return busy, err
}

// dropBodies drops the oldest bodies, and returns by how much the tables are
// still too large.
func (q *Quota) dropBodies(ctx context.Context, parts []dayOf, excess int64) (int64, error) {
	cut, left, err := q.cut(ctx, []string{"bodies", "effects"}, "bodies", parts, excess)
	if err != nil || cut.IsZero() {
		return excess, err
	}
	err = q.drop(ctx, cut, oldBodies, parts)
	return left, err
}

// dropRows drops the oldest rows of exchanges and differences.
func (q *Quota) dropRows(ctx context.Context, parts []dayOf, excess int64) error {
	tables := []string{"comparisons", "divergences", "repeats"}
	cut, _, err := q.cut(ctx, tables, "comparisons", parts, excess)
	if err != nil || cut.IsZero() {
		return err
	}
	return q.drop(ctx, cut, oldRows, parts)
}

// class is what is dropped together.
type class struct {
	outcome string  // what its rows are counted as, an expression
	from    string  // the table whose rows are counted
	earlier string  // which acts of dropping were of this class, a condition
	tables  []table // what goes; the first is the one that is counted
}

var (
	oldBodies = class{"'bodies'", "bodies AS c", "what = 'bodies'", []table{{"bodies", "received"}, {"effects", "received"}}}
	oldRows   = class{"outcome", "comparisons AS c FINAL", "what != 'bodies'", []table{{"comparisons", "received"}, {"divergences", "received"}, {"repeats", "minute"}}}
)

// count writes down what goes, but for what an earlier act has counted.
func (c class) count() string {
	return fmt.Sprintf(`INSERT INTO dropped
SELECT {at:DateTime64(3, 'UTC')}, {before:DateTime64(3, 'UTC')}, toStartOfMinute(received) AS minute, service, endpoint, %s AS kind, count()
FROM %s LEFT JOIN (SELECT service AS known, max(before) AS b, max(at) AS a FROM dropped WHERE %s GROUP BY known) AS d ON c.service = d.known
WHERE received < {before:DateTime64(3, 'UTC')} AND NOT (received < d.b AND written < d.a)
GROUP BY minute, service, endpoint, kind`, c.outcome, c.from, c.earlier)
}

// table is a table with its column of time.
type table struct{ name, time string }

// cut returns before when rows of tables go, so that excess bytes do: at the end
// of a day, or within the newest, where the rows of one table tell. It is zero
// when there is nothing to drop. left is what remains of excess.
func (q *Quota) cut(ctx context.Context, tables []string, tell string, parts []dayOf, excess int64) (before time.Time, left int64, err error) {
	bytes := map[string]int64{}
	var days []string
	for _, p := range parts {
		if slices.Contains(tables, p.table) {
			if bytes[p.day] == 0 {
				days = append(days, p.day)
			}
			bytes[p.day] += p.bytes
		}
	}
	for i, day := range days {
		start, err := time.Parse("20060102", day)
		if err != nil {
			return before, excess, fmt.Errorf("cannot tell the day of partition %q: %w", day, err)
		}
		if i == len(days)-1 && bytes[day] > excess {
			before, err = q.within(ctx, tell, start, float64(excess)/float64(bytes[day]))
			return before, 0, err
		}
		before = start.AddDate(0, 0, 1)
		if excess -= bytes[day]; excess <= 0 {
			break
		}
	}
	return before, max(excess, 0), nil
}

// within returns the minute of a day before which a share of a table's rows was
// received.
func (q *Quota) within(ctx context.Context, name string, day time.Time, share float64) (before time.Time, err error) {
	cond := new(where).and("toDate(received) = toDate({day:String})", "day", day.Format(time.DateOnly))
	err = q.cfg.Store.each(ctx, fmt.Sprintf("SELECT toDateTime64(quantile(%g)(received), 3, 'UTC') FROM %s %s", min(share, 1), name, cond), cond.args, func(rows driver.Rows) error {
		return rows.Scan(&before)
	})
	return before.UTC().Truncate(time.Minute).Add(time.Minute), err
}

// dropWithin bounds one act of dropping.
const dropWithin = time.Minute

// drop counts what of a class was received before a time, and then has it go.
// Nothing is written and nobody reads meanwhile. An act that ends half-way hides no
// row twice: what was counted once is left out of the next count. No act reaches
// less far than one before it: what came late and lies between the two would be
// hidden by both together (see horizon), and counted by neither.
func (q *Quota) drop(ctx context.Context, before time.Time, c class, parts []dayOf) error {
	ctx, cancel := context.WithTimeout(ctx, dropWithin)
	defer cancel()
	return q.cfg.Recorder.quietly(ctx, func() error {
		at := q.cfg.Now().UTC().Truncate(time.Millisecond).Add(time.Millisecond) // after all that was written
		conn := q.cfg.Store.conn
		err := q.cfg.Store.each(ctx, "SELECT max(before) FROM dropped WHERE "+c.earlier, nil, func(rows driver.Rows) error {
			var last time.Time
			err := rows.Scan(&last)
			if last = last.UTC(); last.After(before) {
				before = last
			}
			return err
		})
		if err != nil {
			return err
		}
		if err := conn.Exec(ctx, c.count(), clickhouse.DateNamed("at", at, clickhouse.MilliSeconds), clickhouse.DateNamed("before", before, clickhouse.MilliSeconds)); err != nil {
			return fmt.Errorf("cannot count what is dropped: %w", away(ctx, err))
		}
		for _, t := range c.tables {
			if err := q.remove(ctx, t, before, parts); err != nil {
				return fmt.Errorf("cannot drop from %s: %w", t.name, away(ctx, err))
			}
		}
		q.cfg.Log.Info("dropped the oldest to keep the store within its size", "table", c.tables[0].name, "before", before.Format(time.RFC3339), "max", parallax.Size(q.cfg.Max).String())
		return nil
	})
}

// remove drops whole days, and has the engine rewrite the one that goes in part.
func (q *Quota) remove(ctx context.Context, t table, before time.Time, parts []dayOf) error {
	partial := false
	for _, p := range parts {
		day, err := time.Parse("20060102", p.day)
		switch {
		case p.table != t.name || err != nil || !day.Before(before):
		case day.AddDate(0, 0, 1).After(before):
			partial = true
		default:
			if err := q.cfg.Store.conn.Exec(ctx, fmt.Sprintf("ALTER TABLE %s DROP PARTITION ID '%s'", t.name, p.day)); err != nil {
				return err
			}
			q.gone.WithLabelValues(t.name).Add(float64(p.rows))
		}
	}
	if !partial {
		return nil
	}
	cond := new(where).and(t.time + fmt.Sprintf(" < fromUnixTimestamp64Milli(%d, 'UTC')", before.UnixMilli()))
	err := q.cfg.Store.each(ctx, "SELECT count() FROM "+t.name+" "+cond.String(), nil, func(rows driver.Rows) error {
		var n uint64
		err := rows.Scan(&n)
		q.gone.WithLabelValues(t.name).Add(float64(n))
		return err
	})
	if err != nil {
		return err
	}
	return q.cfg.Store.conn.Exec(ctx, fmt.Sprintf("ALTER TABLE %s DELETE %s", t.name, cond))
}

// horizon is what of a service's comparisons was dropped: rows received before one
// time and written before the other.
type horizon struct{ before, at time.Time }

// horizonOf returns what was dropped of a service.
func (s *Store) horizonOf(ctx context.Context, service string) (h horizon, err error) {
	cond := forService(service).and("what != 'bodies'")
	err = s.each(ctx, "SELECT max(before), max(at) FROM dropped "+cond.String(), cond.args, func(rows driver.Rows) error {
		return rows.Scan(&h.before, &h.at)
	})
	return h, err
}

// visible adds the condition that a row was not dropped.
func (h horizon) visible(cond *where) {
	if h.before.Unix() > 0 {
		cond.and("NOT (received < fromUnixTimestamp64Milli({dropped_before:Int64}, 'UTC') AND written < fromUnixTimestamp64Milli({dropped_at:Int64}, 'UTC'))",
			"dropped_before", h.before.UnixMilli(), "dropped_at", h.at.UnixMilli())
	}
}

// addDropped adds the exchanges to the endpoints whose rows are gone.
func (s *Store) addDropped(ctx context.Context, service string, w Window, into map[string]*EndpointStats) error {
	cond := forService(service).within("minute", w)
	return s.each(ctx, "SELECT endpoint, what, toInt64(sum(n)) FROM dropped "+cond.String()+" GROUP BY endpoint, what", cond.args, func(rows driver.Rows) error {
		var endpoint, what string
		var n int64
		if err := rows.Scan(&endpoint, &what, &n); err != nil {
			return err
		}
		e := into[endpoint]
		if e == nil {
			e = &EndpointStats{Endpoint: endpoint}
			into[endpoint] = e
		}
		e.drop(what, n)
		return nil
	})
}

func (e *EndpointStats) drop(what string, n int64) {
	switch what {
	case "bodies":
		e.DroppedBodies += n
		return
	case "match":
		e.Matched += n
	case "diverged":
		e.Diverged += n
	default:
		e.NotComparable += n
	}
	e.Compared += n
	e.Dropped += n
}
