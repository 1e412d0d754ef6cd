package reports

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"parallax"
	"parallax/divergence"
)

// poolPrefix stands before a pool's name where an endpoint's would stand. No endpoint is
// called like this: behind its method is a slash.
const poolPrefix = "pool "

// IsPool reports whether a reason that names it as its endpoint is about a pool.
func IsPool(endpoint string) bool { return strings.HasPrefix(endpoint, poolPrefix) }

// pool is the evidence on endpoints that are judged together. Its counts are the sums of
// those of its members, without the ones that are waived or not seen any more.
type pool struct {
	endpoint
	members []*endpoint // by first sight
	out     string      // members that did not count when that was looked at
	looked  time.Time   // when it was
}

// lookAgain is how often a pool is asked which of its members count: there may be as many
// as endpoints. A verdict asks always.
const lookAgain = time.Minute

// pooled reports whether an endpoint is judged with others: it is in a pool, and not waived.
func (e *Evidence) pooled(p *endpoint, now time.Time) bool {
	_, _, waived := e.policy.waiver(p.name, now)
	return p.pool != nil && !waived
}

// inForceTogether says that the evidence of all members that count was gathered under the
// rules that hold now.
func (e *Evidence) inForceTogether(q *pool, now time.Time, in Context) bool {
	return !slices.ContainsFunc(q.members, func(m *endpoint) bool { return e.counts(m, now) && !e.inForce(m, in) })
}

// PoolVerdict is the verdict on a pool, on the evidence of its members under the present
// rules, policy and versions.
type PoolVerdict struct {
	Pool     string   `json:"pool"`
	Members  []string `json:"members"` // those that count, by name
	N        uint64   `json:"n"`
	K        uint64   `json:"k"` // of N that diverged
	Lower    float64  `json:"lower"`
	Upper    float64  `json:"upper"`
	Decision Decision `json:"verdict"`
	Reasons  []Reason `json:"reasons"` // those of the pool itself; its members have theirs

	// Signed is the sign-off that it passes some tests by, nil for none. Offer is what
	// somebody may sign by now, but for who, why and until when; nil for nothing.
	Signed *Signed             `json:"signed,omitempty"`
	Offer  *divergence.SignOff `json:"-"`
}

// Name is what reasons and sign-offs call the pool where they name an endpoint otherwise.
func (v PoolVerdict) Name() string { return poolPrefix + v.Pool }

// Sentence says the verdict on the pool in English, in one sentence.
func (v PoolVerdict) Sentence() string {
	return fmt.Sprintf("%s (%s): %s; %s of %s exchanges diverge, so the rate is between %s and %s.",
		v.Pool, strings.Join(v.Members, ", "), v.Decision, count(v.K), count(v.N), percent(v.Lower), percent(v.Upper))
}

// join returns the pool of an endpoint that is seen for the first time, nil where it has
// none. A pool has its place in the order of first sight behind its first member.
func (e *Evidence) join(p *endpoint) *pool {
	name, ok := e.policy.poolOf(p.name)
	if !ok {
		return nil
	}
	q := e.pools[name]
	if q == nil {
		e.units++
		q = &pool{endpoint: endpoint{name: poolPrefix + name, order: e.units, first: p.first}}
		e.pools[name] = q
		e.poolOrder = append(e.poolOrder, q)
	}
	q.members = append(q.members, p)
	return q
}

// addTo takes a member's tick, which it has added up already, into its pool.
func (e *Evidence) addTo(q *pool, p *endpoint, t divergence.Tick) {
	if _, _, waived := e.policy.waiver(p.name, t.At); waived {
		return
	}
	q.look(t.At, func(m *endpoint) bool { return e.counts(m, t.At) })
	if q.began.IsZero() {
		q.began = t.At
		q.sums = q.sum(func(m *endpoint) bool { return e.counts(m, t.At) })
	} else {
		q.sums.add(sumsOf(t))
	}
	q.pace.add(t.At, t.N)
	q.test(e.policy.of(q.name), t)
}

// look asks which members count. Where it is others than before, what the pool had passed
// is tested anew.
func (q *pool) look(at time.Time, counted func(*endpoint) bool) {
	if at.Sub(q.looked) < lookAgain {
		return
	}
	q.looked = at
	if out := q.without(counted); out != q.out {
		q.restart()
		q.out = out
	}
}

// counts reports whether a member counts at a time: it is not waived, and seen lately.
func (e *Evidence) counts(p *endpoint, at time.Time) bool {
	_, _, waived := e.policy.waiver(p.name, at)
	return !waived && !p.seen.IsZero() && at.Sub(p.seen) <= Lately
}

// without names the members that do not count.
func (q *pool) without(counted func(*endpoint) bool) string {
	var out []string
	for _, m := range q.members {
		if !counted(m) {
			out = append(out, m.name)
		}
	}
	return strings.Join(out, "\n")
}

// sum adds up those that do.
func (q *pool) sum(counted func(*endpoint) bool) (s sums) {
	for _, m := range q.members {
		if counted(m) {
			s.add(m.sums)
		}
	}
	return s
}

// poolAt returns the pool as it is at a time. Where other members count than at its last tick,
// what it had passed is tested anew on what is left.
func (e *Evidence) poolAt(q *pool, now time.Time, in Context) *pool {
	counted := func(m *endpoint) bool { return e.counts(m, now) && e.inForce(m, in) }
	out := q.without(counted)
	if out == q.out {
		return q
	}
	fresh := *q
	fresh.out = out
	fresh.restart()
	fresh.sums, fresh.pace = fresh.sum(counted), q.pace
	fresh.test(e.policy.of(q.name), divergence.Tick{})
	return &fresh
}

// currentPools returns the pools that have members to judge, in the order of names.
func (e *Evidence) currentPools(now time.Time, in Context) []*pool {
	var out []*pool
	for _, q := range e.poolOrder {
		if q = e.poolAt(q, now, in); len(e.judged(q, now)) > 0 {
			out = append(out, q)
		}
	}
	slices.SortFunc(out, func(a, b *pool) int { return cmp.Compare(a.name, b.name) })
	return out
}

// judged names the members that count and that something was ever sent to the candidate of.
func (e *Evidence) judged(q *pool, now time.Time) []string {
	var out []string
	for _, m := range q.members {
		if e.counts(m, now) && !m.neverPaired(now) {
			out = append(out, m.name)
		}
	}
	slices.Sort(out)
	return out
}

// judgePool returns the verdict on a pool.
func (e *Evidence) judgePool(q *pool, now time.Time) PoolVerdict {
	s, policy := q.sums, e.policy.of(q.name)
	v := PoolVerdict{
		Pool: strings.TrimPrefix(q.name, poolPrefix), Members: e.judged(q, now), N: s.n, K: s.k, Decision: Promote,
		Lower: LowerLimit(s.k, s.n, policy.Alpha), Upper: UpperLimit(s.k, s.n, policy.Alpha), Reasons: e.untested(&q.endpoint, now),
	}
	if q.regressed {
		v.Reasons = append(v.Reasons, q.reason(policy, DivergenceTest, LateRegression))
	}
	switch {
	case q.fails(policy):
		v.Decision, v.Reasons = Rollback, []Reason{q.accusation(policy)}
	case len(v.Reasons) > 0:
		v.Decision = Hold
	}
	return v
}

// passedBy is the verdict with what a person signed: tests that have not seen enough do not hold
// it. All else does, and so does each member by its own figures.
func (v PoolVerdict) passedBy(s *Signed) PoolVerdict {
	passed := EndpointVerdict{Decision: v.Decision, Reasons: v.Reasons}.passedBy(s)
	v.Decision, v.Reasons, v.Signed = passed.Decision, passed.Reasons, passed.Signed
	return v
}

// suspected returns what holds a member of a pool by its own figures: a rate that has been
// above its threshold, however few exchanges it is of. Otherwise a member with a thousandth
// of the pool's traffic could be broken entirely, and hardly move the pool's rate. A rate
// that is above its threshold beyond doubt holds too, as it does anywhere.
func (e *Evidence) suspected(p *endpoint, now time.Time) []Reason {
	out := []Reason{}
	for _, t := range p.unpassed() {
		r := p.missing(e.policy.of(p.name), t.name, t.code, now)
		above := t.name != LatencyTest && r.K > 0 && float64(r.K) > r.Threshold*float64(r.N)
		if above || r.exceeded() {
			r.Code = t.code
			out = append(out, r)
		}
	}
	return out
}

// poolOf returns the pool that an endpoint belongs to.
func (p Promotion) poolOf(endpoint string) (name string, ok bool) {
	for _, name := range slices.Sorted(maps.Keys(p.Pools)) {
		if slices.ContainsFunc(p.Pools[name], func(pattern string) bool { return takesIn(pattern, endpoint) }) {
			return name, true
		}
	}
	return "", false
}

// takesIn reports whether a pattern names an endpoint: it is its name, or a beginning with *
// at its end.
func takesIn(pattern, endpoint string) bool {
	beginning, prefix := strings.CutSuffix(pattern, "*")
	return endpoint == pattern || prefix && strings.HasPrefix(endpoint, beginning)
}

// overlap reports whether there may be an endpoint that both patterns name.
func overlap(a, b string) bool {
	return takesIn(a, strings.TrimSuffix(b, "*")) || takesIn(b, strings.TrimSuffix(a, "*"))
}

var (
	poolName    = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	poolPattern = regexp.MustCompile(`^[A-Z][A-Z0-9!#$%&'+.^_|~-]* (/[^*]*\*?|\*)$`)
)

// validatePools returns what is wrong with the pools.
func (p Promotion) validatePools() []parallax.Fault {
	var faults []parallax.Fault
	fault := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	names := slices.Sorted(maps.Keys(p.Pools))
	for n, name := range names {
		path := fmt.Sprintf("pools[%q]", name)
		if !poolName.MatchString(name) {
			fault(path, fmt.Sprintf("cannot be a pool's name: %.70q", name), "write lower-case letters, digits and dashes, such as rare-reads")
		}
		if len(p.Pools[name]) == 0 {
			fault(path, "has no endpoints", `list them as in reports: ["GET /orders/{id}", "GET /archive/*"]`)
		}
		for i, pattern := range p.Pools[name] {
			at := fmt.Sprintf("%s[%d]", path, i)
			if !poolPattern.MatchString(pattern) {
				fault(at, fmt.Sprintf("cannot read endpoint %q", pattern), "write an endpoint as in reports, or a beginning with * at its end: GET /archive/*")
				continue
			}
			if other, ok := p.alsoIn(names[:n], pattern); ok {
				fault(at, fmt.Sprintf("%q has endpoints that are in the pool %q too", pattern, other), "an endpoint belongs to one pool; write beginnings that exclude each other")
			}
		}
	}
	for _, endpoint := range slices.Sorted(maps.Keys(p.Endpoints)) {
		if name, ok := p.poolOf(endpoint); ok && p.Endpoints[endpoint].limited() {
			fault(fmt.Sprintf("endpoints[%q]", endpoint), fmt.Sprintf("has limits of its own and is in the pool %q, which is judged by those of the service", name), "leave out one of both")
		}
	}
	return faults
}

// alsoIn returns a pool of those that may have endpoints of a pattern too.
func (p Promotion) alsoIn(pools []string, pattern string) (name string, ok bool) {
	for _, name := range pools {
		if slices.ContainsFunc(p.Pools[name], func(other string) bool { return overlap(pattern, other) }) {
			return name, true
		}
	}
	return "", false
}
