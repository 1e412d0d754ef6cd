package divergence

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"parallax"
)

// doubt names what an instance may have sent without hearing that it was
// stored. Its own memory still counts those exchanges, so a consistent reading
// leaves their rows out. The zero value leaves out nothing.
type doubt struct {
	instance string
	batch    uint64 // rows of comparisons with this batch; 0 for none
	seq      uint64 // rows of counts with this seq; 0 for none
}

// Summary returns the accounting and the endpoints of a service as far as they
// are stored. In a process that also receives or compares, [Recorder.Summary]
// adds what is still in memory.
func (s *Store) Summary(ctx context.Context, service string, w Window) (Summary, error) {
	return s.summary(ctx, service, w, doubt{}, func() Balance { return nil })
}

// EndpointStats returns what is stored about each endpoint of a service, sorted
// by name.
func (s *Store) EndpointStats(ctx context.Context, service string, w Window) ([]EndpointStats, error) {
	sum, err := s.Summary(ctx, service, w)
	return sum.Endpoints, err
}

// Accounting returns where the exchanges of a service went, as far as that is
// stored.
func (s *Store) Accounting(ctx context.Context, service string, w Window) (Accounting, error) {
	sum, err := s.Summary(ctx, service, w)
	return sum.Accounting, err
}

// summary joins what is stored with what memory holds. The caller keeps rows
// from being written while it runs; memory is read once, after the queries, so
// that nothing is copied when the store is away.
func (s *Store) summary(ctx context.Context, service string, w Window, d doubt, memory func() Balance) (Summary, error) {
	byName := map[string]*EndpointStats{}
	if err := s.compared(ctx, service, w, d, byName); err != nil {
		return Summary{}, fmt.Errorf("cannot read comparisons: %w", err)
	}
	if err := s.addDropped(ctx, service, w, byName); err != nil {
		return Summary{}, fmt.Errorf("cannot read what was dropped: %w", err)
	}
	counts, err := s.counted(ctx, service, w, d)
	if err != nil {
		return Summary{}, fmt.Errorf("cannot read counts: %w", err)
	}
	for endpoint, places := range memory() {
		for p, n := range places {
			counts.add(endpoint, p, n)
		}
	}
	return join(byName, counts), nil
}

// join files the counts under their endpoints and adds everything up.
func join(byName map[string]*EndpointStats, counts Balance) Summary {
	out := Summary{Accounting: newAccounting()}
	for endpoint, places := range counts {
		e := byName[endpoint]
		if e == nil {
			e = &EndpointStats{Endpoint: endpoint}
			byName[endpoint] = e
		}
		for p, n := range places {
			out.Accounting.add(p, n)
			e.add(p, n)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		e := byName[name]
		out.Accounting.add(parallax.ComparedMatch, e.Matched)
		out.Accounting.add(parallax.ComparedDiverged, e.Diverged)
		out.Accounting.add(parallax.ComparedNotComparable, e.NotComparable)
		out.Accounting.Dropped += e.Dropped
		out.Accounting.DroppedBodies += e.DroppedBodies
		out.Endpoints = append(out.Endpoints, *e)
	}
	return out
}

func (e *EndpointStats) add(p parallax.Place, n int64) {
	switch p.Group() {
	case "received":
		e.Received += n
	case "unmirrored":
		if e.Unmirrored == nil {
			e.Unmirrored = map[string]int64{}
		}
		e.Unmirrored[p.Reason()] += n
	case "lost":
		e.Lost += n
	case "in_flight":
		e.InFlight += n
	case "stream":
		if p == streamOut {
			n = -n
		}
		e.InFlight += n
	}
}

// counted reads the table counts.
func (s *Store) counted(ctx context.Context, service string, w Window, d doubt) (Balance, error) {
	cond := forService(service).within("minute", w)
	if d.seq != 0 {
		cond.and("NOT (instance = {instance:String} AND seq = {seq:UInt64})", "instance", d.instance, "seq", d.seq)
	}
	torn, err := s.torn(ctx, service, w, d.instance)
	if err != nil {
		return nil, err
	}
	withoutTorn(cond, torn)
	out := Balance{}
	err = s.each(ctx, `SELECT endpoint, reason, sum(n) FROM counts FINAL `+cond.String()+` GROUP BY endpoint, reason`, cond.args,
		func(rows driver.Rows) error {
			var endpoint, reason string
			var n int64
			if err := rows.Scan(&endpoint, &reason, &n); err != nil {
				return err
			}
			out.add(endpoint, parallax.Place(reason), n)
			return nil
		})
	return out, err
}

// statsQuery first groups by everything an exchange may be filed under, which
// are few groups, and then by endpoint: the maps are made of groups, not of rows.
// Quantiles come from quantilesDD, whose error is three times what its argument
// says (measured over six decades with engine 26.7): 0.003 keeps it under 1 %.
const statsQuery = `
SELECT endpoint,
    sumIf(n, outcome = 'match'), sumIf(n, outcome = 'diverged'), sumIf(n, outcome = 'not_comparable'),
    sumMapIf(map(reason, n), outcome = 'not_comparable'),
    sum(noisy), sum(ruled_), sum(accepted_), sum(failed_p), sum(failed_c), sum(covered_),
    quantilesDDMerge(0.003, 0.5, 0.95, 0.99)(p), quantilesDDMerge(0.003, 0.5, 0.95, 0.99)(c),
    sumMap(map(concat(answer_p, '/', answer_c), n)),
    min(first), max(last)
FROM
(
    SELECT endpoint, outcome, reason,
        if(primary_error = '', toString(primary_status), toString(primary_error)) AS answer_p,
        if(candidate_error = '', toString(candidate_status), toString(candidate_error)) AS answer_c,
        count() AS n, countIf(noise > 0) AS noisy, countIf(ruled > 0) AS ruled_, countIf(accepted > 0) AS accepted_,
        countIf(primary_failed) AS failed_p, countIf(candidate_failed) AS failed_c, countIf(covered) AS covered_,
        quantilesDDStateIf(0.003, 0.5, 0.95, 0.99)(primary_seconds, primary_seconds > 0) AS p,
        quantilesDDStateIf(0.003, 0.5, 0.95, 0.99)(candidate_seconds, candidate_seconds > 0) AS c,
        min(received) AS first, max(received) AS last
    FROM comparisons FINAL
    %s
    GROUP BY endpoint, outcome, reason, answer_p, answer_c
)
GROUP BY endpoint`

// compared reads the table comparisons.
func (s *Store) compared(ctx context.Context, service string, w Window, d doubt, into map[string]*EndpointStats) error {
	gone, err := s.horizonOf(ctx, service)
	if err != nil {
		return err
	}
	cond := forService(service).within("received", w)
	gone.visible(cond)
	if d.batch != 0 {
		cond.and("NOT (instance = {instance:String} AND batch = {batch:UInt64})", "instance", d.instance, "batch", d.batch)
	}
	return s.each(ctx, fmt.Sprintf(statsQuery, cond), cond.args, func(rows driver.Rows) error {
		e, err := scanStats(rows)
		if err != nil {
			return err
		}
		into[e.Endpoint] = e
		return nil
	})
}

func scanStats(rows driver.Rows) (*EndpointStats, error) {
	var (
		e                                 EndpointStats
		matched, diverged, incomparable   uint64
		noise, ruled, accepted, failP, fC uint64
		covered                           uint64
		reasons, matrix                   map[string]uint64
		primary, candidate                []float64
	)
	err := rows.Scan(&e.Endpoint, &matched, &diverged, &incomparable, &reasons,
		&noise, &ruled, &accepted, &failP, &fC, &covered, &primary, &candidate, &matrix, &e.First, &e.Last)
	if err != nil {
		return nil, err
	}
	e.Matched, e.Diverged, e.NotComparable = int64(matched), int64(diverged), int64(incomparable)
	e.Compared = e.Matched + e.Diverged + e.NotComparable
	e.Noise, e.Ruled, e.Accepted = int64(noise), int64(ruled), int64(accepted)
	e.PrimaryFailed, e.CandidateFailed, e.Covered = int64(failP), int64(fC), int64(covered)
	e.NotComparableReasons, e.StatusMatrix = signed(reasons), signed(matrix)
	e.Primary, e.Candidate = latency(primary), latency(candidate)
	return &e, nil
}

func signed(m map[string]uint64) map[string]int64 {
	out := make(map[string]int64, len(m))
	for k, v := range m {
		out[k] = int64(v)
	}
	return out
}

// latency reads three quantiles; those of no values are not numbers.
func latency(q []float64) Latency {
	if len(q) != 3 || math.IsNaN(q[0]) {
		return Latency{}
	}
	return Latency{P50: q[0], P95: q[1], P99: q[2]}
}

// RateOverTime returns the divergence rate of a service, or of one endpoint if
// it is not empty, in the given number of buckets of equal, whole seconds, empty
// ones included. An open window reaches from the first compared exchange to the
// last.
func (s *Store) RateOverTime(ctx context.Context, service, endpoint string, w Window, buckets int) ([]RatePoint, error) {
	w = w.minutes()
	if err := s.bound(ctx, service, endpoint, &w); err != nil {
		return nil, fmt.Errorf("cannot read comparisons: %w", err)
	}
	if w.From.IsZero() || !w.From.Before(w.To) || buckets < 1 {
		return nil, nil
	}
	step := int64(math.Ceil(w.To.Sub(w.From).Seconds() / float64(buckets)))
	points := make([]RatePoint, 0, buckets)
	for at := w.From; at.Before(w.To); at = at.Add(time.Duration(step) * time.Second) {
		points = append(points, RatePoint{At: at})
	}
	cond := forService(service).equal("endpoint", endpoint).within("received", w)
	cond.args = append(cond.args, clickhouse.Named("step", step), clickhouse.Named("origin", w.From.Unix()))
	err := s.each(ctx, `
SELECT intDiv(toInt64(toUnixTimestamp(received)) - {origin:Int64}, {step:Int64}) AS i,
    countIf(outcome != 'not_comparable'), countIf(outcome = 'diverged'), countIf(outcome = 'not_comparable')
FROM comparisons FINAL `+cond.String()+` GROUP BY i`, cond.args, func(rows driver.Rows) error {
		var i int64
		var n, k, incomparable uint64
		if err := rows.Scan(&i, &n, &k, &incomparable); err != nil {
			return err
		}
		if i >= 0 && i < int64(len(points)) {
			p := &points[i]
			p.N, p.K, p.NotComparable = int64(n), int64(k), int64(incomparable)
			if n > 0 {
				p.Rate = float64(k) / float64(n)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read comparisons: %w", err)
	}
	return points, nil
}

// bound closes an open window around the rows that are there.
func (s *Store) bound(ctx context.Context, service, endpoint string, w *Window) error {
	if !w.From.IsZero() && !w.To.IsZero() {
		return nil
	}
	cond := forService(service).equal("endpoint", endpoint).within("received", *w)
	return s.each(ctx, `SELECT count(), min(received), max(received) FROM comparisons `+cond.String(), cond.args, func(rows driver.Rows) error {
		var n uint64
		var first, last time.Time
		if err := rows.Scan(&n, &first, &last); err != nil || n == 0 {
			return err
		}
		if w.From.IsZero() {
			w.From = first.UTC().Truncate(time.Minute)
		}
		if w.To.IsZero() {
			w.To = last.UTC().Truncate(time.Minute).Add(time.Minute)
		}
		return nil
	})
}
