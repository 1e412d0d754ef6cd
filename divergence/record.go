package divergence

import (
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"parallax"
	"parallax/compare"
)

// record is one compared exchange on its way to the store. What it holds is
// redacted, and nobody changes it.
type record struct {
	id         parallax.ID
	stamp      parallax.Stamp
	live       parallax.Leg
	source     parallax.Source
	concurrent bool
	covered    bool
	legs       [parallax.Legs]legFigures
	comparison compare.Comparison // with the differences that get rows
	repeats    []issue            // what else the exchange shows, to be counted only
	exchange   *parallax.Exchange // nil unless its bodies are kept
	rules      string             // hashes
	policy     string
	timing     timing
	bytes      int64
}

// legFigures is what the row of an exchange says about one leg.
type legFigures struct {
	asked   bool
	err     parallax.ErrKind
	status  uint16
	seconds float64
	version string
}

// timing is what a pair says about latency: whether both legs were timed, and
// which one was slower than the policy allows.
type timing struct {
	both, slowPrimary, slowCandidate bool
}

// newRecord puts together what is stored about an exchange. All of it is
// redacted; c has the differences that get rows, repeats the issues that are
// counted without, and kept is nil when the bodies are not kept.
func newRecord(x *parallax.Exchange, c compare.Comparison, repeats []issue, kept *parallax.Exchange) *record {
	c.Sample = compare.NoiseSample{} // dealt with
	r := &record{
		id: x.ID, stamp: x.Stamp(), live: x.Live, source: x.Source, concurrent: x.Concurrent, covered: x.Covered,
		comparison: c, repeats: repeats, exchange: kept,
	}
	for i, call := range x.Legs {
		r.legs[i] = figures(call)
	}
	r.bytes = 600
	for _, d := range c.Differences {
		r.bytes += int64(200 + len(d.Path) + len(d.Normal) + len(d.Primary) + len(d.Candidate) + len(d.Suppressed.Detail))
	}
	for _, i := range repeats {
		r.bytes += int64(150 + len(i.normal))
	}
	if kept != nil {
		r.bytes += bodyBytes(kept)
	}
	return r
}

func figures(c *parallax.Call) legFigures {
	if c == nil {
		return legFigures{err: parallax.NotAsked}
	}
	seconds := 0.0
	if l, ok := c.Latency(); ok {
		seconds = l.Seconds()
	}
	return legFigures{asked: true, status: uint16(c.Response.Status), err: c.Err.Kind, seconds: seconds, version: c.Version}
}

// appendDifference encodes a row of the table divergences.
func (r *record) appendDifference(b driver.Batch, n int, instance string, written time.Time) error {
	d := &r.comparison.Differences[n]
	return b.Append(uuid.UUID(r.id), uint16(n), r.stamp.Received.UTC(), r.stamp.Service, r.stamp.Endpoint,
		d.Fingerprint, d.Cause, d.Path, d.Normal, string(d.Kind), d.Class, d.Primary, d.Candidate,
		d.Suppressed.By, d.Suppressed.Detail, r.exchange != nil, instance, written)
}

// appendCall encodes a row of the table bodies.
func (r *record) appendCall(b driver.Batch, leg parallax.Leg, written time.Time) error {
	c := r.exchange.Legs[leg]
	q, a := &c.Request, &c.Response
	requestNames, requestValues := split(q.Headers)
	requestTrailerNames, requestTrailerValues := split(q.Trailers)
	names, values := split(a.Headers)
	trailerNames, trailerValues := split(a.Trailers)
	return b.Append(uuid.UUID(r.id), uint8(leg), r.stamp.Received.UTC(), r.stamp.Service, r.stamp.Endpoint, c.Version,
		q.Method, q.Target, q.Host, q.Proto, requestNames, requestValues, requestTrailerNames, requestTrailerValues,
		q.Body.Bytes, q.Body.Size, q.Body.SHA256[:], q.Body.Cut,
		uint16(a.Status), names, values, trailerNames, trailerValues, a.Body.Bytes, a.Body.Size, a.Body.SHA256[:], a.Body.Cut,
		uint8(c.Err.Kind), c.Err.Text, int64(c.Start), int64(c.First), int64(c.Done), written)
}

// tally adds up ticks by what they are filed under.
type tally struct {
	ticks map[tickKey]*Tick
	order []tickKey
}

// tickKey is what the evidence on an endpoint is kept apart by.
type tickKey struct {
	service, endpoint, rules, policy, primary, candidate string
}

func (t *tally) tick(k tickKey) *Tick {
	if t.ticks == nil {
		t.ticks = map[tickKey]*Tick{}
	}
	tick := t.ticks[k]
	if tick == nil {
		tick = &Tick{Service: k.service, Endpoint: k.endpoint, RulesHash: k.rules, PolicyHash: k.policy,
			PrimaryVersion: k.primary, CandidateVersion: k.candidate}
		t.ticks[k] = tick
		t.order = append(t.order, k)
	}
	return tick
}

// key is what the evidence of a record is filed under.
func (r *record) key() tickKey {
	return tickKey{r.stamp.Service, r.stamp.Endpoint, r.rules, r.policy,
		r.legs[parallax.Primary].version, r.legs[parallax.Candidate].version}
}

// unanswered tells whether the primary gave nothing to compare with, and not by
// the candidate's doing: it failed, or its caller left. A caller of the candidate
// may have left because of it.
func (r *record) unanswered() bool {
	return r.comparison.Reason == compare.ReasonPrimaryFailed ||
		r.comparison.Reason == compare.ReasonCallerGone && r.live == parallax.Primary
}

// add counts one compared exchange.
func (t *tally) add(r *record) {
	tick, c := t.tick(r.key()), &r.comparison
	switch c.Outcome {
	case compare.NotComparable:
		tick.NotComparable++
		tick.Unanswered += one(r.unanswered())
	case compare.Diverged:
		tick.K++
		fallthrough
	default:
		tick.N++
	}
	tick.Noise += one(c.Noise > 0)
	tick.Accepted += one(c.Accepted > 0)
	tick.B += one(c.CandidateFailed && !c.PrimaryFailed)
	tick.C += one(c.PrimaryFailed && !c.CandidateFailed)
	tick.Timed += one(r.timing.both)
	tick.SlowB += one(r.timing.slowCandidate)
	tick.SlowC += one(r.timing.slowPrimary)
}

func one(yes bool) uint64 {
	if yes {
		return 1
	}
	return 0
}

// insertToken names one insert of one instance, the same each time it is tried.
func insertToken(instance string, seq uint64, table string) string {
	return instance + "-" + strconv.FormatUint(seq, 10) + "-" + table
}
