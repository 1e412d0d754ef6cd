package reports

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"math"
	"time"

	"parallax/divergence"
)

// Evidence is what is known about a candidate: a fold over the ticks of one
// service, in the order of [divergence.Tick], under one policy. The zero value is
// not usable; see [NewEvidence]. It must not be used from several goroutines.
//
// Evidence is about one primary, one candidate, one policy, and per endpoint one
// set of rules. A tick of another version or policy starts it anew for all
// endpoints, a tick of other rules for its endpoint. An empty version or hash
// says nothing and changes nothing: a candidate that refuses connections names no
// version, and its failures belong to the one that was there before.
type Evidence struct {
	policy Promotion
	hash   string
	from   time.Time // ticks before it do not count

	primary, candidate string
	since              time.Time // first tick since anything started anew
	last               time.Time // last tick with something compared
	hours              hourSet   // in which something was compared since then
	endpoints          map[string]*endpoint
	order              []*endpoint // by first sight
	pools              map[string]*pool
	poolOrder          []*pool // by first sight
	units              int     // endpoints and pools there are
	rollback           *rollback
	zero               map[string]zeroSeen // by fingerprint; outlives new evidence

	folded uint64    // ticks that were added
	lines  hash.Hash // of them, as an export has them
	out    disorder  // those that were folded behind others that come after them
}

// rollback is latched: the evidence once showed, at the level beta, that a
// threshold is exceeded somewhere.
type rollback struct {
	at       time.Time
	endpoint string // the one that weighed most
	reason   Reason
}

// NewEvidence returns the evidence before the first tick.
func NewEvidence(policy Promotion) *Evidence { return NewEvidenceFrom(policy, time.Time{}) }

// NewEvidenceFrom returns evidence that starts at a time, as a person asked. Of
// the ticks before it, those of the time [Lately] tell which endpoints there are,
// so that they stay required, and which versions; nothing in them counts.
func NewEvidenceFrom(policy Promotion, from time.Time) *Evidence {
	return &Evidence{
		policy: policy, hash: policy.Hash(), from: from, endpoints: map[string]*endpoint{}, pools: map[string]*pool{},
		zero: map[string]zeroSeen{}, lines: sha256.New(),
	}
}

// cursor is where to read ticks from.
func (e *Evidence) cursor() divergence.Cursor {
	if e.from.IsZero() || len(e.policy.Zero) > 0 { // an issue holds however old it is
		return divergence.Cursor{}
	}
	return divergence.Cursor{At: e.from.Add(-Lately)}
}

// Add folds in the next tick.
func (e *Evidence) Add(t divergence.Tick) { e.addLine(t, tickLine(t)) }

// addLine is Add of a tick whose line in an export is known.
func (e *Evidence) addLine(t divergence.Tick, line []byte) {
	e.out.note(t, e.folded)
	e.folded++
	e.lines.Write(line)
	e.fold(t)
}

// Folded names the ticks that were added. The digest costs little.
func (e *Evidence) Folded() Folded {
	return Folded{Ticks: e.folded, Digest: hex.EncodeToString(e.lines.Sum(nil))}
}

// fold folds in the next tick.
func (e *Evidence) fold(t divergence.Tick) {
	e.noteZero(t)
	if !e.from.IsZero() && t.At.Before(e.from.Add(-Lately)) {
		return
	}
	e.settleVersions(t)
	p := e.endpoint(t)
	if t.At.Before(e.from) {
		p.paired = p.paired || sumsOf(t).mirrored() > 0
		return
	}
	if said(t.PolicyHash) && t.PolicyHash != e.hash {
		e.restart() // counted for another policy
		return
	}
	if said(t.RulesHash) && t.RulesHash != p.rules {
		if said(p.rules) {
			e.restartEndpoint(p)
		}
		p.rules = t.RulesHash
	}
	if e.since.IsZero() {
		e.since = t.At
	}
	if t.N+t.NotComparable+t.Repeated > 0 {
		e.last = later(e.last, t.At)
	}
	if t.N+t.NotComparable > 0 {
		e.hours[hourAt(t.At)] = true
	}
	p.add(t)
	p.test(e.policy.of(p.name), t)
	if p.pool != nil {
		e.addTo(p.pool, p, t)
	}
	e.addAlone(p, t)
	if e.rollback == nil {
		e.rollback = e.judgeRollback(t.At)
	}
}

// settleVersions starts everything anew when either leg says that it is another
// version.
func (e *Evidence) settleVersions(t divergence.Tick) {
	moved := func(from, to string) bool { return said(from) && said(to) && from != to }
	if moved(e.primary, t.PrimaryVersion) || moved(e.candidate, t.CandidateVersion) {
		e.restart()
	}
	if said(t.PrimaryVersion) {
		e.primary = t.PrimaryVersion
	}
	if said(t.CandidateVersion) {
		e.candidate = t.CandidateVersion
	}
}

// endpoint returns the endpoint of a tick. Its order of first sight, which its
// weight in the rollback test comes from, never changes.
func (e *Evidence) endpoint(t divergence.Tick) *endpoint {
	p, ok := e.endpoints[t.Endpoint]
	if !ok {
		e.units++
		p = &endpoint{name: t.Endpoint, order: e.units, first: t.At}
		p.pool = e.join(p)
		e.endpoints[t.Endpoint] = p
		e.order = append(e.order, p)
	}
	if t.Received+t.N+t.NotComparable+t.Repeated > 0 {
		p.seen = later(p.seen, t.At)
	}
	return p
}

func (e *Evidence) restart() {
	for _, p := range e.order {
		p.restart()
	}
	for _, q := range e.poolOrder {
		q.restart()
	}
	e.since, e.last, e.rollback, e.hours = time.Time{}, time.Time{}, nil, hourSet{}
}

func (e *Evidence) restartEndpoint(p *endpoint) {
	p.restart()
	e.since, e.hours = time.Time{}, hourSet{} // the minimum duration counts from here
	about := p.name
	if p.pool != nil {
		p.pool.restart()
		about = p.pool.name
	}
	if e.rollback != nil && (e.rollback.endpoint == p.name || e.rollback.endpoint == about) {
		e.rollback = nil
	}
}

// minDivergences is how many exchanges must count against a candidate before it
// is rolled back, whatever the statistics say.
const minDivergences = 3

// judgeRollback returns a rollback if the average of all endpoints' and pools' evidence
// above their thresholds, paired or not, has reached 1/beta. The weights, 6/(pi^2 j^2) in the
// order of first sight, sum to 1, and an average of e-processes is one; so the
// chance of ever rolling back a version that keeps all thresholds is at most
// beta, however many endpoints there are.
func (e *Evidence) judgeRollback(at time.Time) *rollback {
	total, most := math.Inf(-1), math.Inf(-1)
	var worst *endpoint
	weigh := func(p *endpoint, ln float64, order int) {
		if math.IsInf(ln, -1) || math.IsNaN(ln) {
			return // fewer than minDivergences, or counts that cannot be, which accuse nobody
		}
		if _, _, waived := e.policy.waiver(p.name, at); waived {
			return
		}
		weighed := ln + lnWeight(order)
		total = lnSum(total, weighed)
		if weighed > most {
			most, worst = weighed, p
		}
	}
	for p := range e.each {
		weigh(p, p.lnAgainst(), p.order)
		if p.alone != nil {
			weigh(p, p.alone.lnAgainst(e.policy.of(p.name)), p.alone.order)
		}
	}
	if worst == nil || total < -math.Log(e.policy.Beta) {
		return nil
	}
	return &rollback{at: at, endpoint: worst.name, reason: e.accusation(worst)}
}

// accusation says what weighs most against an endpoint or a pool.
func (e *Evidence) accusation(p *endpoint) Reason {
	if u, _ := e.judgeAlone(p); u != nil && math.IsInf(p.lnAgainst(), -1) {
		return u.reason(UnpairedErrors, CandidateErrors)
	}
	return p.accusation(e.policy.of(p.name))
}

// each yields the evidence on each endpoint, and then on each pool.
func (e *Evidence) each(yield func(*endpoint) bool) {
	for _, p := range e.order {
		if !yield(p) {
			return
		}
	}
	for _, q := range e.poolOrder {
		if !yield(&q.endpoint) {
			return
		}
	}
}

func lnWeight(order int) float64 {
	return math.Log(6/(math.Pi*math.Pi)) - 2*math.Log(float64(order))
}

// lnSum returns ln(e^a + e^b).
func lnSum(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}

func said(s string) bool { return s != "" }

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
