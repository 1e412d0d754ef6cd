package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"parallax/divergence"
)

// Decision is the word of a verdict.
type Decision string

// The decisions.
const (
	Promote  Decision = "promote"
	Hold     Decision = "hold"
	Rollback Decision = "rollback"
)

// Verdict says whether the candidate may take over, and why not. Its JSON is the
// answer of GET /api/v1/services/{s}/verdict.
type Verdict struct {
	Service  string   `json:"service"`
	Decision Decision `json:"verdict"`

	// Final says that the decision is latched: promote or rollback. It then
	// stands until new evidence starts; a promotion is also withdrawn by a late
	// regression, an endpoint seen for the first time, or missing traffic.
	Final bool `json:"final"`

	Step             int       `json:"step"`               // basis points of users on the candidate
	Accepted         string    `json:"accepted,omitempty"` // names all that people accepted
	RulesVersion     string    `json:"rules_version"`
	PolicyVersion    string    `json:"policy_version"`
	Chain            string    `json:"chain"` // hash of the latest record in the chain of decisions; empty without one
	PrimaryVersion   string    `json:"primary_version"`
	CandidateVersion string    `json:"candidate_version"`
	AsOf             time.Time `json:"as_of"`

	// VersionKnown says that the candidate told its version. While it does not, a
	// new build of it inherits the evidence and the decision on the one before,
	// until somebody starts new evidence: [State.RestartEvidence].
	VersionKnown bool `json:"version_known"`

	NotCovered []string `json:"not_covered"`      // traffic that no test judges, and why: endpoints, also declared ones without a request, and requests by the reason they were not mirrored for
	Signed     []Signed `json:"signed,omitempty"` // endpoints that pass on a person's word, by name, then pools

	// Pools are the verdicts on endpoints that are judged together, by name.
	Pools []PoolVerdict `json:"pools,omitempty"`

	// Unpaired are the verdicts on endpoints of which callers got something from the live
	// candidate and nothing can be compared, by name.
	Unpaired []Unpaired `json:"unpaired,omitempty"`

	// Groups are the verdicts on groups of endpoints that go live one after the other, in their order.
	Groups []GroupVerdict `json:"groups,omitempty"`

	Alpha   float64   `json:"alpha"`
	Beta    float64   `json:"beta"`
	Since   time.Time `json:"since"` // when this evidence started; zero before any
	Reasons []Reason  `json:"reasons"`
	Worst   *Worst    `json:"worst"` // null before anything was compared

	Accounting divergence.Accounting `json:"accounting"`

	// Caught is which share of flaws would be found, by endpoint; those without
	// stored answers are left out.
	Caught map[string]Caught `json:"caught,omitempty"`

	// Endpoints is the verdict on each endpoint, by name. The report has it.
	Endpoints []EndpointVerdict `json:"-"`
}

// Worst is the test that is furthest from passing: the largest upper limit in
// units of its threshold.
type Worst struct {
	Endpoint  string  `json:"endpoint"`
	Test      Test    `json:"test"`
	Threshold float64 `json:"threshold"`
	Upper     float64 `json:"upper"`
	Lower     float64 `json:"lower"`
}

// EndpointVerdict is the verdict on one endpoint. NotCovered says why the
// service's verdict does not require it, and is empty where it does.
type EndpointVerdict struct {
	Endpoint   string
	Decision   Decision
	NotCovered string
	Waived     bool // on somebody's word
	Reasons    []Reason
	Limit      float64   // share of its exchanges that may diverge: its own, or the service's
	Pool       string    // the pool that it is judged in, else ""
	Unpaired   *Unpaired // what it is judged by where nothing is compared, nil for nothing

	// Signed is the sign-off that it passes some tests by, nil for none. Offer is what
	// somebody may sign by now, but for who, why and until when; nil for nothing.
	Signed *Signed
	Offer  *divergence.SignOff
}

// Context is what a verdict depends on besides evidence and time.
type Context struct {
	Service      string
	Step         int    // basis points
	RulesVersion string // of all rules of the service
	Accepted     string // of all that people accepted; a latch holds for one
	Accounting   divergence.Accounting
	Paused       bool // a person paused the promotion, or rolled back
	StoreAway    bool // the store cannot be read

	// MirroringPaused says why mirroring is paused; empty while it is not. A paused
	// mirror holds: what was compared before says nothing about now.
	MirroringPaused string

	// Tripped says which leg is asked as a shadow no more, and what it did; empty
	// while there is none. It holds until a person resumes mirroring.
	Tripped string

	// RulesLeftOut says why rules that a person saved are not in force; empty while they are,
	// or there are none.
	RulesLeftOut string

	// Declared are the endpoints that the configuration or an OpenAPI document lists.
	// Those without a request lately are not covered.
	Declared []string

	// RulesHash returns the hash of the rules now in force for an endpoint.
	// Evidence under other rules does not count. Nil: the latest tick's rules are
	// in force.
	RulesHash func(endpoint string) string

	// Said is what people said about issues: a bug holds the verdict at any rate, and
	// so does what was found at a place of [Promotion.Zero] until a person closes it.
	// Endpoints that somebody signed pass without all their exchanges.
	Said divergence.Said

	// Caught is which share of flaws would be found, by endpoint. It is shown with
	// the verdict and decides nothing.
	Caught map[string]Caught

	// From is when a person started new evidence; zero for never. It voids a latch
	// of before. That ticks of before do not count is up to [NewEvidenceFrom].
	From time.Time

	// Groups are endpoints that go live one after the other, and GroupSteps where they stand, in basis
	// points by name; none where all endpoints have one step.
	Groups     Groups
	GroupSteps map[string]int

	// Latch is a rollback that was decided before a restart; nil for none.
	Latch *Latch
}

// Latch is a rollback as it is kept outside the store, so that it outlives the
// loss of the evidence it was decided on. It holds for the rules, policy and
// candidate it names, until new evidence is started by hand, and as long as one
// of its endpoints is not waived.
type Latch struct {
	At               time.Time `json:"at"` // of the tick it was decided on
	RulesVersion     string    `json:"rules_version"`
	Accepted         string    `json:"accepted,omitempty"` // of what people accepted
	PolicyVersion    string    `json:"policy_version"`
	CandidateVersion string    `json:"candidate_version"`
	Reasons          []Reason  `json:"reasons"`
}

// How long traffic counts.
const (
	// StaleAfter is how long a verdict stands without anything compared.
	StaleAfter = 15 * time.Minute
	// Lately is how long an endpoint is required after its last request: a week,
	// so that what runs once a week is not forgotten.
	Lately = 7 * 24 * time.Hour
	// unpaired is how long a new endpoint may take to show its first mirrored
	// exchange, before it is listed as not covered and no longer holds.
	unpaired = time.Minute
)

// Verdict returns the verdict at a time. It does not change the evidence, and
// the same evidence, time and context give the same verdict.
//
// The candidate is promoted when every endpoint seen lately passes every test:
// an intersection-union test, which needs no correction for their number.
func (e *Evidence) Verdict(now time.Time, in Context) Verdict {
	v := Verdict{
		Service: in.Service, Decision: Hold, Step: in.Step,
		RulesVersion: in.RulesVersion, Accepted: in.Accepted, PolicyVersion: e.hash,
		PrimaryVersion: e.primary, CandidateVersion: e.candidate, VersionKnown: said(e.candidate),
		AsOf: now.UTC(), Alpha: e.policy.Alpha, Beta: e.policy.Beta, Since: e.since,
		NotCovered: []string{}, Reasons: []Reason{}, Accounting: whole(in.Accounting),
		Endpoints: []EndpointVerdict{}, Caught: caughtAt(in.Caught, now),
	}
	judged, total := 0, sums{}
	held := e.heldByIssues(now, in.Said)
	for _, p := range e.current(now, in) {
		total.add(p.sums)
		each := e.judgeEndpoint(p, now)
		each.Limit = e.policy.of(p.name).MaxDivergenceRate
		each.Offer = e.offer(p, each)
		each = each.passedBy(e.signed(p, now, in.Said.Signed)).heldBy(held[p.name])
		v.Endpoints = append(v.Endpoints, each)
		if each.Unpaired != nil {
			v.Unpaired = append(v.Unpaired, *each.Unpaired)
			v.Reasons = append(v.Reasons, each.worseAlone()...)
		}
		if each.NotCovered != "" {
			v.NotCovered = append(v.NotCovered, p.name+": "+each.NotCovered)
			continue
		}
		if each.Signed != nil {
			v.Signed = append(v.Signed, *each.Signed)
		}
		judged++
		delete(held, p.name)
		v.Reasons = append(v.Reasons, each.Reasons...)
		if each.Pool == "" {
			v.Worst = worse(v.Worst, e.worst(p))
		}
	}
	for _, q := range e.currentPools(now, in) {
		each := e.judgePool(q, now)
		each.Offer = e.offer(&q.endpoint, EndpointVerdict{Decision: each.Decision, Reasons: each.Reasons})
		each = each.passedBy(e.signed(&q.endpoint, now, in.Said.Signed))
		if each.Signed != nil {
			v.Signed = append(v.Signed, *each.Signed)
		}
		v.Pools = append(v.Pools, each)
		v.Reasons = append(v.Reasons, each.Reasons...)
		v.Worst = worse(v.Worst, e.worst(&q.endpoint))
	}
	v.NotCovered = append(v.NotCovered, e.neverSeen(in.Declared, now)...)
	v.NotCovered = append(v.NotCovered, notMirrored(in.Accounting)...)
	v.Reasons = append(v.Reasons, others(held)...)
	if w := v.Worst; w != nil {
		k, n, _, alpha := e.named(w.Endpoint).counts(e.policy.of(w.Endpoint), w.Test)
		w.Lower = LowerLimit(k, n, alpha)
	}
	v.Reasons = append(e.serviceReasons(now, judged, total, in), v.Reasons...)
	e.decide(&v, in)
	return v
}

// decide says the word, with what speaks for it first.
func (e *Evidence) decide(v *Verdict, in Context) {
	against := e.rolledBack(v.AsOf, in)
	if against != nil {
		against = accusations(against, v)
	}
	v.Groups = judgeGroups(in, v, v.Reasons, against)
	switch {
	case in.StoreAway:
		v.Reasons = []Reason{{Code: StoreAway}}
	case against != nil:
		v.Decision, v.Final = Rollback, true
		v.Reasons = against
	case len(v.Reasons) == 0:
		v.Decision, v.Final = Promote, true
	}
}

// rolledBack returns the reasons of a rollback, nil when there is none.
func (e *Evidence) rolledBack(now time.Time, in Context) []Reason {
	if r := e.rollback; r != nil && e.founded(r, now, in) {
		return []Reason{r.reason}
	}
	return e.standing(now, in)
}

// founded says that a rollback was decided under the rules that hold now.
func (e *Evidence) founded(r *rollback, now time.Time, in Context) bool {
	if IsPool(r.endpoint) {
		return e.inForceTogether(e.pools[strings.TrimPrefix(r.endpoint, poolPrefix)], now, in)
	}
	return e.inForce(e.endpoints[r.endpoint], in)
}

// named returns the evidence on an endpoint or a pool.
func (e *Evidence) named(name string) *endpoint {
	if IsPool(name) {
		return &e.pools[strings.TrimPrefix(name, poolPrefix)].endpoint
	}
	return e.endpoints[name]
}

// standing returns what still speaks for the latch of the context; none when it
// is void.
func (e *Evidence) standing(now time.Time, in Context) []Reason {
	l := in.Latch
	if l == nil || l.RulesVersion != in.RulesVersion || l.Accepted != in.Accepted || l.PolicyVersion != e.hash || l.At.Before(in.From) ||
		said(e.candidate) && l.CandidateVersion != e.candidate {
		return nil
	}
	var out []Reason
	for _, r := range l.Reasons {
		if _, _, waived := e.policy.waiver(r.Endpoint, now); !waived {
			out = append(out, r)
		}
	}
	return out
}

// accusations are the latched reasons, then those of the other endpoints and pools that
// are reason enough by themselves.
func accusations(latched []Reason, v *Verdict) []Reason {
	out := slices.Clone(latched)
	add := func(name string, d Decision, reasons []Reason) {
		known := slices.ContainsFunc(latched, func(r Reason) bool { return r.Endpoint == name })
		if d == Rollback && !known {
			out = append(out, reasons...)
		}
	}
	for _, p := range v.Endpoints {
		if p.NotCovered == "" || len(p.worseAlone()) > 0 {
			add(p.Endpoint, p.Decision, p.Reasons)
		}
	}
	for _, q := range v.Pools {
		add(q.Name(), q.Decision, q.Reasons)
	}
	return out
}

// current returns the endpoints seen lately, by name; one whose evidence was
// gathered under other rules than those in force is returned without any.
func (e *Evidence) current(now time.Time, in Context) []*endpoint {
	var out []*endpoint
	for _, p := range e.order {
		if p.seen.IsZero() || now.Sub(p.seen) > Lately {
			continue
		}
		if !e.inForce(p, in) {
			fresh := *p
			fresh.restart()
			p = &fresh
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *endpoint) int { return cmp.Compare(a.name, b.name) })
	return out
}

// inForce says that an endpoint's evidence was gathered under the rules that hold
// now.
func (e *Evidence) inForce(p *endpoint, in Context) bool {
	return in.RulesHash == nil || !said(p.rules) || in.RulesHash(p.name) == p.rules
}

// neverPaired says that an endpoint has traffic of which nothing was ever sent to
// the candidate. What is still under way gets some time to arrive.
func (p *endpoint) neverPaired(now time.Time) bool {
	return !p.paired && now.Sub(p.first) >= unpaired
}

// serviceReasons are what holds the verdict whatever the endpoints show.
func (e *Evidence) serviceReasons(now time.Time, judged int, total sums, in Context) []Reason {
	var out []Reason
	if in.Paused {
		out = append(out, Reason{Code: Paused})
	}
	if in.MirroringPaused != "" {
		out = append(out, Reason{Code: MirroringPaused, Detail: in.MirroringPaused})
	}
	if in.Tripped != "" {
		out = append(out, Reason{Code: Tripped, Detail: in.Tripped})
	}
	if in.RulesLeftOut != "" {
		out = append(out, Reason{Code: RulesLeftOut, Detail: in.RulesLeftOut})
	}
	if e.last.IsZero() || judged == 0 {
		return append(out, Reason{Code: NoTraffic})
	}
	if idle := now.Sub(e.last); idle > StaleAfter {
		out = append(out, Reason{Code: Stale, Seconds: idle.Seconds()})
	}
	if compared := e.last.Sub(e.since); compared < e.policy.MinDuration {
		out = append(out, Reason{Code: TooShort, Seconds: max(compared, 0).Seconds(), NeedSeconds: e.policy.MinDuration.Seconds()})
	}
	if r, missing := e.hoursMissing(); missing {
		out = append(out, r)
	}
	if r, over := e.lostTooMany("", total); over {
		out = append(out, r)
	}
	return out
}

func (e *Evidence) lostTooMany(endpoint string, s sums) (Reason, bool) {
	share := e.policy.MaxLostShare
	return Reason{Code: LostShare, Endpoint: endpoint, K: s.lost, N: s.mirrored(), Threshold: share},
		float64(s.lost) > share*float64(s.mirrored())
}

// incomparableTooMany says that nothing is known about too large a part of what
// was compared. Left out is where the primary gave nothing to compare with: that
// says nothing about the candidate, and would hold an endpoint whose primary
// fails at times forever. What has a share of its own is left out too.
func (e *Evidence) incomparableTooMany(endpoint string, s sums) (Reason, bool) {
	share, k := e.policy.MaxLostShare, s.notComparable-s.unanswered-s.transient-s.unmapped-s.unknown-s.inherited
	return Reason{Code: NotComparable, Endpoint: endpoint, K: k, N: s.n + k, Threshold: share},
		float64(k) > share*float64(s.n+k)
}

// transientTooMany says that the state of the primary moved under too many exchanges:
// so much moves here that what does not match is hardly judged any more.
func (e *Evidence) transientTooMany(endpoint string, s sums) (Reason, bool) {
	return tooMany(TransientShare, endpoint, s.transient, s, e.policy.MaxTransientShare)
}

// unmappedTooMany says that too many exchanges name identifiers without a partner.
func (e *Evidence) unmappedTooMany(endpoint string, s sums) (Reason, bool) {
	return tooMany(UnmappedShare, endpoint, s.unmapped, s, e.policy.MaxUnmappedShare)
}

// unknownTooMany says that nobody knows the effects of too many exchanges.
func (e *Evidence) unknownTooMany(endpoint string, s sums) (Reason, bool) {
	return tooMany(EffectsUnknown, endpoint, s.unknown, s, e.policy.MaxUnknownShare)
}

// inheritedTooMany says that too many exchanges differ only in rows that differed before:
// nobody can tell what the candidate does to those.
func (e *Evidence) inheritedTooMany(endpoint string, s sums) (Reason, bool) {
	return tooMany(InheritedShare, endpoint, s.inherited, s, e.policy.MaxInheritedShare)
}

// byKeyTooMany says that the effects of too many exchanges were found by their keys
// alone: they may be somebody else's.
func (e *Evidence) byKeyTooMany(endpoint string, s sums) (Reason, bool) {
	return tooMany(EffectsByKey, endpoint, s.byKey, s, e.policy.MaxUnknownShare)
}

// tooMany says that a part of the exchanges whose primary answered is larger than a
// share of them.
func tooMany(code Code, endpoint string, k uint64, s sums, share float64) (Reason, bool) {
	n := s.n + s.notComparable - s.unanswered
	return Reason{Code: code, Endpoint: endpoint, K: k, N: n, Threshold: share}, float64(k) > share*float64(n)
}

// noisyTooMany says that too many exchanges of an endpoint have noise: where
// primary and secondary differ, a wrong value of the same shape is not seen.
func (e *Evidence) noisyTooMany(endpoint string, s sums) (Reason, bool) {
	return tooMany(NoiseShare, endpoint, s.noise, s, e.policy.MaxNoiseShare)
}

// judgeEndpoint returns the verdict on one endpoint.
func (e *Evidence) judgeEndpoint(p *endpoint, now time.Time) EndpointVerdict {
	if p.neverPaired(now) {
		return e.judgeUncompared(p, now)
	}
	v := EndpointVerdict{Endpoint: p.name, Decision: Promote, Reasons: e.holding(p, now)}
	if e.pooled(p, now) {
		v.Pool = strings.TrimPrefix(p.pool.name, poolPrefix)
	}
	if owner, until, ok := e.policy.waiver(p.name, now); ok {
		v.NotCovered, v.Waived = waivedUntil(until, owner), true
	}
	switch {
	case p.fails(e.policy.of(p.name)):
		v.Decision = Rollback
		v.Reasons = []Reason{p.accusation(e.policy.of(p.name))}
	case len(v.Reasons) > 0:
		v.Decision = Hold
	}
	return v
}

// judgeUncompared returns the verdict on an endpoint of which nothing was ever sent to the
// candidate as a shadow. The service's verdict does not wait for it, and is held by what
// callers got that is worse beyond doubt.
func (e *Evidence) judgeUncompared(p *endpoint, now time.Time) EndpointVerdict {
	v := EndpointVerdict{
		Endpoint: p.name, Decision: Hold, NotCovered: "never sent to the candidate",
		Reasons: []Reason{{Code: NotCovered, Endpoint: p.name, N: p.sums.received}},
	}
	u, reasons := e.judgeAlone(p)
	if u == nil {
		return v
	}
	v.NotCovered, v.Unpaired, v.Decision, v.Reasons = u.notCovered(), u, u.Decision, reasons
	if owner, until, ok := e.policy.waiver(p.name, now); ok {
		v.NotCovered, v.Waived = waivedUntil(until, owner), true
	}
	return v
}

// worseAlone are the reasons of an endpoint without pairs that hold the service's verdict.
func (v EndpointVerdict) worseAlone() []Reason {
	if v.Unpaired == nil || v.Waived {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(v.Reasons), func(r Reason) bool { return r.Lower <= r.Threshold })
}

func waivedUntil(until time.Time, owner string) string {
	return fmt.Sprintf("waived until %s by %s", until.Format(time.DateOnly), owner)
}

// holding returns what keeps an endpoint from passing.
func (e *Evidence) holding(p *endpoint, now time.Time) []Reason {
	out := []Reason{}
	s := p.sums
	if s.n == 0 && s.notComparable > 0 {
		return append(out, Reason{Code: NotComparable, Endpoint: p.name, N: s.notComparable})
	}
	if e.pooled(p, now) {
		out = e.suspected(p, now)
	} else {
		out = e.untested(p, now)
	}
	if s.repeated > s.n && len(out) > 0 {
		out = append(out, Reason{Code: Repeated, Endpoint: p.name, K: s.repeated, N: s.n + s.notComparable + s.repeated})
	}
	out = append(out, p.repeatedWorse(e.policy.of(p.name))...)
	if p.regressed {
		out = append(out, p.reason(e.policy.of(p.name), DivergenceTest, LateRegression))
	}
	if r, over := e.lostTooMany(p.name, s); over {
		out = append(out, r)
	}
	if r, over := e.incomparableTooMany(p.name, s); over {
		out = append(out, r)
	}
	for _, check := range []func(string, sums) (Reason, bool){e.transientTooMany, e.unmappedTooMany, e.unknownTooMany, e.inheritedTooMany, e.byKeyTooMany, e.noisyTooMany} {
		if r, over := check(p.name, s); over {
			out = append(out, r)
		}
	}
	return out
}

// repeatedWorse returns what holds an endpoint by all its exchanges, also those that are no
// evidence: a share above its threshold. Otherwise a request that is half of the traffic and
// a hundredth of the evidence could diverge often, and hardly move the rate that is tested.
func (p *endpoint) repeatedWorse(policy Promotion) []Reason {
	var out []Reason
	s := p.sums
	for _, t := range []struct {
		name        Test
		k, repeated uint64
		most        float64
	}{{DivergenceTest, s.k, s.repeatedK, policy.MaxDivergenceRate}, {ErrorTest, s.b, s.repeatedB, policy.MaxErrorRate}} {
		if t.repeated > 0 && float64(t.k+t.repeated) > t.most*float64(s.n+s.repeated) {
			out = append(out, Reason{Code: Repeated, Endpoint: p.name, Test: t.name, K: t.k + t.repeated, N: s.n + s.repeated, Threshold: t.most})
		}
	}
	return out
}

// untested returns what keeps the tests of rates from passing. Several tests that are only
// short of samples are one reason: the one that takes longest.
func (e *Evidence) untested(p *endpoint, now time.Time) []Reason {
	out, short := []Reason{}, Reason{}
	for _, t := range p.unpassed() {
		r := p.missing(e.policy.of(p.name), t.name, t.code, now)
		switch {
		case r.Code != InsufficientSamples:
			out = append(out, r)
		case short.Code == "" || r.Need > short.Need:
			short = r
		}
	}
	if short.Code != "" {
		out = append(out, short)
	}
	return out
}

// worst returns the test of an endpoint that is furthest from passing, nil when
// nothing was compared. Its lower limit is left for later.
func (e *Evidence) worst(p *endpoint) *Worst {
	var out *Worst
	for _, test := range []Test{DivergenceTest, ErrorTest, LatencyTest} {
		k, n, threshold, alpha := p.counts(e.policy.of(p.name), test)
		if n == 0 || test == LatencyTest && p.passed.latency {
			continue
		}
		out = worse(out, &Worst{Endpoint: p.name, Test: test, Threshold: threshold, Upper: UpperLimit(k, n, alpha)})
	}
	return out
}

// worse returns the one whose upper limit is further above its threshold, the
// first when both are alike.
func worse(a, b *Worst) *Worst {
	if a == nil || b != nil && b.Upper/b.Threshold > a.Upper/a.Threshold {
		return b
	}
	return a
}

// whole returns the accounting with no nil map, so that JSON has {} and not null.
func whole(a divergence.Accounting) divergence.Accounting {
	for _, m := range []*map[string]int64{&a.Unmirrored, &a.Compared, &a.Lost} {
		if *m == nil {
			*m = map[string]int64{}
		}
	}
	return a
}

// Line says a verdict in one line: the decision, the first reason, and how many more there are.
func (v Verdict) Line() string {
	line := string(v.Decision)
	if len(v.Reasons) > 0 {
		line += ": " + strings.Join(strings.Fields(v.Reasons[0].Sentence()), " ")
	}
	if more := len(v.Reasons) - 1; more > 0 {
		line += fmt.Sprintf(" (and %d more)", more)
	}
	return line
}
