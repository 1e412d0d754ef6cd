package divergence

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"parallax"
)

// Rebuilt is what a rebuild of one service changed.
type Rebuilt struct {
	Lost      int64 // exchanges that are nowhere any more, and now count as parallax.LostRedis
	Received  int64 // compared exchanges that a mirror was killed before it had counted
	Returned  int64 // exchanges that workers had counted twice, or not, as fetched from the stream
	Twice     int64 // rows of comparisons that were there more than once, and are there once now
	Instances int   // processes that are gone, whose running totals were made anew
}

// rebuildBack is how far back a rebuild goes; older minutes stay as they are.
const rebuildBack = 7 * 24 * time.Hour

// Rebuild makes the accounting of a service whole where processes, or the Redis between them,
// were killed: of each endpoint and minute,
//
//	received = unmirrored + compared + lost + in the stream
//
// where inStream is what Redis has of them. What is missing on the right is lost, what is missing
// on the left was received. Then it makes anew the running totals of processes that are gone, and
// removes rows that are there twice. Minutes that are younger than settle are left alone: by then all
// processes must have written what they counted, so it is for when the store has been there for as
// long. The instance is a new name.
func (s *Store) Rebuild(ctx context.Context, service, instance string, now time.Time, settle time.Duration, inStream map[parallax.Stamp]int64) (r Rebuilt, err error) {
	cells, err := s.unbalanced(ctx, service, now, settle)
	if err != nil {
		return r, fmt.Errorf("cannot read the accounting of %s: %w", service, err)
	}
	for at, n := range inStream {
		if c := cells[at]; c != nil && at.Service == service {
			c.waiting = n
		}
	}
	counts := corrections(cells, &r)
	if len(counts) > 0 {
		if err := s.correct(ctx, instance, now, counts); err != nil {
			return r, fmt.Errorf("cannot correct the accounting of %s: %w", service, err)
		}
	}
	if r.Twice, err = s.removeTwins(ctx, service, now); err != nil {
		return r, fmt.Errorf("cannot remove rows that are there twice: %w", err)
	}
	if r.Instances, err = s.rebuildTotals(ctx, service, instance, now, settle); err != nil {
		return r, fmt.Errorf("cannot make the running totals of %s anew: %w", service, err)
	}
	return r, nil
}

// balance is the accounting of one endpoint and minute.
type balance struct {
	received, ended int64 // ended: unmirrored, lost and compared
	in, out         int64 // of the stream, as counted
	waiting         int64 // in the stream, as Redis has it
}

// corrections returns what is to be counted besides, and adds it up.
func corrections(cells map[parallax.Stamp]*balance, r *Rebuilt) []Count {
	var list []Count
	for at, c := range cells {
		add := func(reason parallax.Place, n int64) {
			if n != 0 {
				list = append(list, Count{Minute: at.Received, Service: at.Service, Endpoint: at.Endpoint, Reason: string(reason), N: n})
			}
		}
		missing := c.received - c.ended - c.waiting
		lost, received := max(missing, 0), max(-missing, 0)
		left := c.in - c.out - c.waiting
		add(parallax.LostRedis, lost)
		add(Received, received)
		add(streamOut, left)
		r.Lost, r.Received, r.Returned = r.Lost+lost, r.Received+received, r.Returned+max(left-lost, lost-left)
	}
	slices.SortFunc(list, func(a, b Count) int {
		return cmp.Or(a.Minute.Compare(b.Minute), strings.Compare(a.Endpoint, b.Endpoint), strings.Compare(a.Reason, b.Reason))
	})
	return list
}

// correct stores counts of an instance that is no process.
func (s *Store) correct(ctx context.Context, instance string, now time.Time, counts []Count) error {
	b := &batch{instance: instance, seq: 1, written: now, counts: counts}
	if err := s.write(ctx, b, writeCounts); err != nil {
		return err
	}
	totals := runningTotals{}
	totals.addCounts(counts)
	b.totals = slices.DeleteFunc(totals.rows(), func(t totalRow) bool { return t.n < 0 }) // a total only grows
	return s.write(ctx, b, writeTicks)
}

// unbalanced reads the accounting by endpoint and minute, of those minutes that can be rebuilt.
func (s *Store) unbalanced(ctx context.Context, service string, now time.Time, settle time.Duration) (map[parallax.Stamp]*balance, error) {
	gone, err := s.horizonOf(ctx, service)
	if err != nil {
		return nil, err
	}
	w := Window{From: now.Add(-rebuildBack), To: now.Add(-settle)}
	if gone.before.After(w.From) {
		w.From = gone.before.Add(time.Minute)
	}
	if settle > 0 {
		w.To = w.To.Truncate(time.Minute)
	}
	w = w.minutes()
	out := map[parallax.Stamp]*balance{}
	at := func(endpoint string, minute time.Time) *balance {
		key := parallax.Stamp{Service: service, Endpoint: endpoint, Received: minute.UTC()}
		if out[key] == nil {
			out[key] = &balance{}
		}
		return out[key]
	}
	torn, err := s.torn(ctx, service, w, "")
	if err != nil {
		return nil, err
	}
	cond := forService(service).within("minute", w)
	withoutTorn(cond, torn)
	err = s.each(ctx, `SELECT endpoint, minute, reason, sum(n) FROM counts FINAL `+cond.String()+` GROUP BY endpoint, minute, reason`, cond.args, func(rows driver.Rows) error {
		var endpoint, reason string
		var minute time.Time
		var n int64
		if err := rows.Scan(&endpoint, &minute, &reason, &n); err != nil {
			return err
		}
		at(endpoint, minute).add(parallax.Place(reason), n)
		return nil
	})
	if err != nil {
		return nil, err
	}
	cond = forService(service).within("received", w)
	err = s.each(ctx, `SELECT endpoint, toStartOfMinute(toDateTime(received, 'UTC')) AS minute, toInt64(count()) FROM comparisons FINAL `+cond.String()+` GROUP BY endpoint, minute`, cond.args, func(rows driver.Rows) error {
		var endpoint string
		var minute time.Time
		var n int64
		if err := rows.Scan(&endpoint, &minute, &n); err != nil {
			return err
		}
		at(endpoint, minute).ended += n
		return nil
	})
	return out, err
}

func (b *balance) add(p parallax.Place, n int64) {
	switch {
	case p == Received:
		b.received += n
	case p == streamIn:
		b.in += n
	case p == streamOut:
		b.out += n
	default:
		b.ended += n
	}
}

// removeTwins merges the days in which exchanges have more than one row of comparisons.
func (s *Store) removeTwins(ctx context.Context, service string, now time.Time) (twice int64, err error) {
	cond := forService(service).within("received", Window{From: now.Add(-rebuildBack)})
	days := map[string]int64{}
	err = s.each(ctx, `SELECT toString(toDate(received)) AS day, toInt64(count() - uniqExact(id)) AS twins FROM comparisons `+cond.String()+` GROUP BY day HAVING twins > 0`, cond.args, func(rows driver.Rows) error {
		var day string
		var n int64
		err := rows.Scan(&day, &n)
		days[day] = n
		return err
	})
	for _, day := range slices.Sorted(maps.Keys(days)) {
		if err != nil {
			break
		}
		err = s.conn.Exec(ctx, fmt.Sprintf("OPTIMIZE TABLE comparisons PARTITION '%s' FINAL", day)) // a day as the store wrote it
		twice += days[day]
	}
	return twice, away(ctx, err)
}

// rebuildTotals makes anew the running totals of instances that are gone, whose whole life is
// among what is kept: a process that was killed wrote its last batch without them.
func (s *Store) rebuildTotals(ctx context.Context, service, except string, now time.Time, settle time.Duration) (int, error) {
	gone, err := s.goneInstances(ctx, service, except, now, settle)
	if err != nil || len(gone) == 0 {
		return 0, err
	}
	torn, err := s.torn(ctx, service, Window{From: now.Add(-rebuildBack)}, "")
	if err != nil {
		return 0, err
	}
	totals := map[string]runningTotals{}
	add := func(rows driver.Rows) error {
		var instance, place string
		var n int64
		err := rows.Scan(&instance, &place, &n)
		if totals[instance] == nil {
			totals[instance] = runningTotals{}
		}
		totals[instance][totalKey{service, parallax.Place(place)}] += n
		return err
	}
	cond := forService(service).and("has({gone:Array(String)}, instance)", "gone", gone)
	withoutTorn(cond, torn)
	if err := s.each(ctx, `SELECT instance, reason, sum(n) FROM counts FINAL `+cond.String()+` GROUP BY instance, reason`, cond.args, add); err != nil {
		return 0, err
	}
	cond = forService(service).and("has({gone:Array(String)}, instance)", "gone", gone)
	if err := s.each(ctx, `SELECT instance, concat('compared/', outcome) AS place, toInt64(count()) FROM comparisons FINAL `+cond.String()+` GROUP BY instance, place`, cond.args, add); err != nil {
		return 0, err
	}
	if err := s.conn.Exec(ctx, `ALTER TABLE totals DELETE WHERE service = {service:String} AND has({gone:Array(String)}, instance) SETTINGS mutations_sync = 2`,
		clickhouse.Named("service", service), clickhouse.Named("gone", gone)); err != nil {
		return 0, away(ctx, err)
	}
	for _, instance := range slices.Sorted(maps.Keys(totals)) {
		b := &batch{instance: instance, seq: uint64(now.UnixNano()), written: now, totals: totals[instance].rows()}
		if err := s.write(ctx, b, writeTicks); err != nil {
			return 0, err
		}
	}
	return len(totals), nil
}

// goneInstances lists the instances of a service that began among what can be rebuilt, and have
// written nothing for a while.
func (s *Store) goneInstances(ctx context.Context, service, except string, now time.Time, settle time.Duration) (out []string, err error) {
	cond := forService(service).and("instance != {except:String}", "except", except)
	cond.args = append(cond.args, clickhouse.Named("begun", now.Add(-rebuildBack).Unix()), clickhouse.Named("silent", now.Add(-settle).UnixMilli()))
	err = s.each(ctx, `SELECT toString(instance) FROM ticks FINAL `+cond.String()+`
GROUP BY instance HAVING min(at) > fromUnixTimestamp({begun:Int64}) AND max(at) < fromUnixTimestamp64Milli({silent:Int64}, 'UTC') ORDER BY 1`, cond.args, func(rows driver.Rows) error {
		var name string
		err := rows.Scan(&name)
		out = append(out, name)
		return err
	})
	return out, err
}
