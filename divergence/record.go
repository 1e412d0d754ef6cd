package divergence

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"parallax"
	"parallax/compare"
	"parallax/internal/ids"
)

// record is one compared exchange on its way to the store. What it holds is
// redacted, and nobody changes it. So many wait at a time that the collector would
// spend itself on what each of them points to: words stand in a [filing] that
// exchanges share, and what most exchanges have nothing of stands apart
// (BenchmarkWaiting).
type record struct {
	*filing
	found    *finds // nil when the exchange simply matched; see [record.finds]
	id       parallax.ID
	received int64 // Unix milliseconds, as the store keeps it
	seconds  [parallax.Legs]float64

	divergences, noise, ruled, accepted uint32

	statuses [parallax.Legs]uint16
	errs     [parallax.Legs]parallax.ErrKind
	asked    [parallax.Legs]bool
	live     parallax.Leg
	source   parallax.Source
	outcome  compare.Outcome
	timing   timing
	zero     []string // fingerprints at places of which the policy allows none

	concurrent, covered, truncated, primaryFailed, candidateFailed, byKey, repeated bool
}

// filing is what a record is filed under, in words. Records share it, and nobody
// changes it.
type filing struct {
	service, endpoint string
	rules, policy     string // hashes
	ruled             string // hash of the rules without what people accepted: noise is learnt by it
	versions          [parallax.Legs]string
	reason            string // why the exchange is not comparable
}

// finds are what an exchange shows that did not simply match, or is an example.
type finds struct {
	differences []compare.Difference // that get rows
	repeats     []issue              // what else the exchange shows, to be counted only
	uses        []compare.RuleUse    // what rules took away
	exchange    *parallax.Exchange   // nil unless its bodies are kept
	pairs       []ids.Known          // what was known of its identifiers
	second      seconds              // what came of asking it again
}

// timing is what a pair says about latency: whether both legs were timed, and
// which one was slower than the policy allows.
type timing struct {
	both, slowPrimary, slowCandidate bool
}

// maxVersion is how many bytes of a version are kept. It is a text that a leg makes
// up, and many filings may wait for the store.
const maxVersion = 128

// filingOf is what the record of an exchange is filed under, without the hashes.
func filingOf(x *parallax.Exchange, reason string) filing {
	f := filing{service: x.Service, endpoint: x.Endpoint, reason: reason}
	for leg, call := range x.Legs {
		if call != nil {
			f.versions[leg] = call.Version[:min(len(call.Version), maxVersion)]
		}
	}
	return f
}

// clone returns a copy that keeps nothing else in memory: a version may be part of
// an answer's head.
func (f filing) clone() filing {
	f.service, f.endpoint = strings.Clone(f.service), strings.Clone(f.endpoint)
	for leg, version := range f.versions {
		f.versions[leg] = strings.Clone(version)
	}
	return f
}

// record puts together what is stored about an exchange. All of it is
// redacted; c has the differences that get rows, repeats the issues that are
// counted without, and kept is nil when the bodies are not kept.
func (f *filing) record(x *parallax.Exchange, c *compare.Comparison, repeats []issue, kept *parallax.Exchange) record {
	r := record{
		filing: f, id: x.ID, received: x.Received.UnixMilli(), live: x.Live, source: x.Source, concurrent: x.Concurrent, covered: x.Covered,
		outcome: c.Outcome, truncated: c.Truncated, primaryFailed: c.PrimaryFailed, candidateFailed: c.CandidateFailed, byKey: foundByKey(x),
		divergences: uint32(c.Divergences), noise: uint32(c.Noise), ruled: uint32(c.Ruled), accepted: uint32(c.Accepted),
	}
	for leg, call := range x.Legs {
		if r.asked[leg] = call != nil; call == nil {
			r.errs[leg] = parallax.NotAsked
			continue
		}
		r.statuses[leg], r.errs[leg] = uint16(call.Response.Status), call.Err.Kind
		if l, ok := call.Latency(); ok {
			r.seconds[leg] = l.Seconds()
		}
	}
	if len(c.Differences) > 0 || len(repeats) > 0 || len(c.Uses) > 0 || kept != nil {
		r.found = &finds{differences: c.Differences, repeats: repeats, uses: c.Uses, exchange: kept, pairs: c.Pairs}
	}
	return r
}

// note notes what came of asking the exchange again.
func (r *record) note(s seconds) {
	if s == (seconds{}) {
		return
	}
	f := r.finds()
	f.second = s
	r.found = &f
}

// at is when the exchange was received.
func (r *record) at() time.Time { return time.UnixMilli(r.received).UTC() }

// stamp is what the ledger files the exchange under.
func (r *record) stamp() parallax.Stamp {
	return parallax.Stamp{Service: r.service, Endpoint: r.endpoint, Received: r.at()}
}

// bytes is about how much memory a record takes until it is stored, in bytes: its
// own, that of its encoded rows, and what only it refers to.
func (r *record) bytes() int64 {
	n := int64(600)
	f := r.finds()
	for _, d := range f.differences {
		n += int64(200 + len(d.Path) + len(d.Normal) + len(d.Primary) + len(d.Candidate) + len(d.Suppressed.Detail))
	}
	for _, i := range f.repeats {
		n += int64(150 + len(i.normal))
	}
	n += int64(100 * len(f.uses))
	if f.exchange != nil {
		n += bodyBytes(f.exchange)
	}
	for _, k := range f.pairs {
		n += int64(2*100 + 2*len(k.Value) + 2*len(k.Partner))
	}
	return n
}

// finds returns what the record holds besides its figures.
func (r *record) finds() finds {
	if r.found == nil {
		return finds{}
	}
	return *r.found
}

// withoutBodies returns the record of an exchange whose bodies are not kept.
func (r record) withoutBodies() record {
	if f := r.finds(); f.exchange != nil {
		f.exchange, f.pairs = nil, nil
		r.found = &f
	}
	return r
}

// appendDifference encodes a row of the table divergences.
func (r *record) appendDifference(b driver.Batch, n int, instance string, written time.Time) error {
	d := &r.found.differences[n]
	return b.Append(uuid.UUID(r.id), uint16(n), r.at(), r.service, r.endpoint,
		d.Fingerprint, d.Cause, d.Path, d.Normal, string(d.Kind), d.Class, d.Primary, d.Candidate,
		d.Suppressed.By, d.Suppressed.Detail, r.found.exchange != nil, instance, written)
}

// appendCall encodes a row of the table bodies.
func (r *record) appendCall(b driver.Batch, leg parallax.Leg, written time.Time) error {
	c := r.found.exchange.Legs[leg]
	q, a := &c.Request, &c.Response
	var known knownText
	if leg == parallax.Primary {
		known = knownText{r.found.exchange.Unmapped, r.found.pairs}
	}
	requestNames, requestValues := split(q.Headers)
	requestTrailerNames, requestTrailerValues := split(q.Trailers)
	names, values := split(a.Headers)
	trailerNames, trailerValues := split(a.Trailers)
	return b.Append(uuid.UUID(r.id), uint8(leg), r.at(), r.service, r.endpoint, c.Version,
		q.Method, q.Target, q.Host, q.Proto, requestNames, requestValues, requestTrailerNames, requestTrailerValues,
		q.Body.Bytes, q.Body.Size, q.Body.SHA256[:], q.Body.Cut,
		uint16(a.Status), names, values, trailerNames, trailerValues, a.Body.Bytes, a.Body.Size, a.Body.SHA256[:], a.Body.Cut,
		uint8(c.Err.Kind), c.Err.Text, int64(c.Start), int64(c.First), int64(c.Done), written, known.String(), c.Unread)
}

// tally adds up ticks by what they are filed under.
type tally struct {
	ticks map[tickKey]*Tick
	order []tickKey
	filed map[*filing]*Tick // Fast path: by what the key is made of (BenchmarkExchange)
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
func (f *filing) key() tickKey {
	return tickKey{f.service, f.endpoint, f.rules, f.policy, f.versions[parallax.Primary], f.versions[parallax.Candidate]}
}

// unanswered tells whether the primary gave nothing to compare with, and not by
// the candidate's doing: it failed, or its caller left. A caller of the candidate
// may have left because of it.
func (r *record) unanswered() bool {
	return r.reason == compare.ReasonPrimaryFailed ||
		r.reason == compare.ReasonCallerGone && r.live == parallax.Primary
}

// of returns the tick that a filing's records are counted in.
func (t *tally) of(f *filing) *Tick {
	tick := t.filed[f]
	if tick == nil {
		if t.filed == nil {
			t.filed = map[*filing]*Tick{}
		}
		tick = t.tick(f.key())
		t.filed[f] = tick
	}
	return tick
}

// add counts one compared exchange.
func (t *tally) add(r record) {
	tick := t.of(r.filing)
	for _, fingerprint := range r.zero {
		if !slices.Contains(tick.Zero, fingerprint) {
			tick.Zero = append(tick.Zero, fingerprint)
		}
	}
	if r.repeated {
		tick.Repeated++
		tick.RepeatedK += one(r.outcome == compare.Diverged)
		tick.RepeatedB += one(r.candidateFailed && !r.primaryFailed)
		return
	}
	switch r.outcome {
	case compare.NotComparable:
		tick.NotComparable++
		tick.Unanswered += one(r.unanswered())
		tick.Transient += one(r.reason == compare.ReasonTransient)
		tick.Unmapped += one(r.reason == compare.ReasonUnmapped)
		tick.Unknown += one(r.reason == compare.ReasonEffects)
		tick.Inherited += one(r.reason == compare.ReasonInherited)
	case compare.Diverged:
		tick.K++
		fallthrough
	default:
		tick.N++
		tick.ByKey += one(r.byKey)
	}
	tick.Noise += one(r.noise > 0)
	tick.Accepted += one(r.accepted > 0)
	tick.B += one(r.candidateFailed && !r.primaryFailed)
	tick.C += one(r.primaryFailed && !r.candidateFailed)
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
