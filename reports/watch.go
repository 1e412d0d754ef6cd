package reports

import (
	"maps"
	"math"
	"slices"
	"time"
)

// Sight is what was newly seen of one endpoint: how many requests each leg finished, and how
// many of them failed. The candidate's are those that it answered as the live leg; the
// primary's are all.
type Sight struct {
	Endpoint           string
	Group              string // that it is in, see [Groups]; empty for none
	Candidate, Primary Tally
}

// Tally counts requests, and those of them that failed.
type Tally struct{ N, Failed uint64 }

func (t Tally) plus(u Tally) Tally { return Tally{t.N + u.N, t.Failed + u.Failed} }

// whole returns the tally with no more failures than requests, whatever was counted.
func (t Tally) whole() Tally { return Tally{t.N, min(t.Failed, t.N)} }

// Watch looks at what callers get from a live candidate, and raises an alarm when it fails
// more often than the policy allows, and than the primary does at the same time. It goes by
// what one process sees from one moment to the next, so that it takes seconds where the
// verdict, which asks for more proof, may take long. The zero value is ready.
//
// Each endpoint has two detectors, each the mean of e^W over alternatives, see [cusum]. Their
// steps are logarithms of likelihood ratios, whose mean is at most 1 while the candidate keeps
// to what the detector is about:
//
//   - one against max_error_rate, as in [cusum], over the candidate's failures;
//   - one against the primary, that the candidate fails at most twice as often: with n and m
//     requests of the candidate and of the primary, K and L of them failed, and
//     u = (2n+m)/(2*times*n+m), the step is K ln(times) + (K+L) ln(u). With rates 2p and p, as
//     1+x <= e^x, the mean of its exponential is at most
//     exp(2pn(times*u - 1) + pm(u - 1)) = exp(p(u(2*times*n + m) - 2n - m)) = 1; less if the
//     candidate fails less often, or if both are likelier to fail together. p may be another
//     one at each step.
//
// An alarm needs both: the smaller of two e-detectors is one for either of their
// hypotheses. So a database that both legs have lost is nobody's fault. For that the primary's
// requests are waited for, see [detector.pair]; where it is asked nothing, the step
// against the limit counts for both.
//
// All endpoints of a group together, all there are where there are no groups, have two detectors as well, whose steps are the sums of the
// endpoints' steps, each by its own limit and beside its own primary. Sums of requests would
// accuse a candidate of which callers ask more of what fails in both versions.
//
// Detector j, in the order of first sight, has the share 6/(pi^2 j^2) of beta for a million
// requests.
//
// Where fewer than a tenth of requests go to the primary, as writes to a shared database at the
// last steps, that is too much to ask of it: 45 good answers while the candidate only fails. So
// there the second proof of an endpoint is a smaller one, see [lone]. What the primary did before says nothing
// of whether both have lost their database now, and is no proof.
type Watch struct {
	detectors map[string]*detector
}

// detector is the state for one endpoint.
type detector struct {
	order         int
	limit, beside bets
	lone          lone
	seen          Tally     // of the candidate, since the limit's detector was last at its floor
	failed        time.Time // when the candidate last failed

	waiting                    Sight // what is not paired yet
	candidateIdle, primaryIdle int   // looks in a row without a request
}

// bets are W of the alternatives in cusumRates, as in [cusum], and a gain is a step of
// theirs. An alternative that is a rate of 1 or more never moves.
type (
	bets [len(cusumRates)]float64
	gain [len(cusumRates)]float64
)

// lone is the evidence beside a primary that is asked little: the mean of e^W over alternatives,
// of the steps of the detector against the primary since the one against the limit was at the
// level of an alarm, without a floor. That makes it an e-process, which reaches 1/alpha with a
// probability of at most alpha however long both fail (Ville's inequality). It ends when the one
// against the limit is at its floor.
type lone struct {
	open  bool
	bets  bets
	asked Sight // since it is open
}

// loneShare is how many requests of the candidate there are to one of the primary's at least.
const loneShare = 9

// foldLone adds a pair. What waited for the primary when it opened is left out: those may be
// the very failures that opened it.
func (d *detector) foldLone(pair Sight, policy Promotion) {
	if d.limit.value() <= 0 {
		d.lone = lone{}
	}
	switch {
	case d.lone.open && pair.Primary.N > 0:
		d.lone.add(pair)
	case !d.lone.open && d.limit.value() >= d.level(policy):
		d.lone.open, d.waiting = true, Sight{}
	}
}

// add takes a step if the primary was asked little, which depends on no failure.
func (l *lone) add(pair Sight) {
	l.asked.Candidate, l.asked.Primary = l.asked.Candidate.plus(pair.Candidate), l.asked.Primary.plus(pair.Primary)
	if l.asked.Candidate.N/loneShare < l.asked.Primary.N {
		return
	}
	for i, g := range againstPrimary(pair.Candidate, pair.Primary) {
		l.bets[i] += g
	}
}

// everything is the name of what is watched over all endpoints together, those of one group.
func everything(group string) string {
	if group == "" {
		return ""
	}
	return groupPrefix + group
}

// How long a look waits for the other leg, in looks, of which there are four a second.
const (
	// aloneAfter is after how many looks without a request to the primary the limit speaks
	// alone. Until then it may be that the primary fails as well, and nobody has seen it yet.
	aloneAfter = 40
	// keepPrimary is for how many looks what the primary answered waits for the candidate:
	// what was good long ago is no measure of now.
	keepPrimary = 4
)

// See takes in what is new at a time, a quarter of a second after the time before, and
// returns the alarm of the endpoint that fails most, nil for none. The endpoint of an alarm
// is empty where all of them together raised it, or names the group whose endpoints did. Endpoints that are waived are in neither.
func (w *Watch) See(now time.Time, sights []Sight, policy Promotion) *Reason {
	var worst *Reason
	most, all := 0.0, map[string]findings{}
	for _, s := range sights {
		total := everything(s.Group)
		if s.Candidate.N > 0 {
			w.of(total) // before its endpoints, in the order of first sight
		}
		d := w.watched(now, s, policy)
		if d == nil {
			continue
		}
		own := policy.of(s.Endpoint)
		f := d.look(s.Candidate.whole(), s.Primary.whole(), own.MaxErrorRate)
		d.fold(now, f)
		d.foldLone(f.pair, policy)
		all[total] = all[total].plus(f)
		if over := d.over(policy); f.news && over > most {
			most, worst = over, d.alarm(s.Endpoint, own)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		total := w.of(name)
		if total.fold(now, all[name]); worst == nil && all[name].news && total.over(policy) > 0 {
			worst = total.alarm(name, policy)
		}
	}
	return worst
}

// watched returns the detector of a sight's endpoint, nil for one that the candidate was not
// live for so far or that is waived.
func (w *Watch) watched(now time.Time, s Sight, policy Promotion) *detector {
	if _, _, waived := policy.waiver(s.Endpoint, now); waived {
		return nil
	}
	if s.Candidate.N == 0 {
		return w.detectors[s.Endpoint]
	}
	return w.of(s.Endpoint)
}

// of returns the detector of an endpoint. There are as many as endpoints, which are bounded.
func (w *Watch) of(endpoint string) *detector {
	if w.detectors == nil {
		w.detectors = map[string]*detector{}
	}
	d, ok := w.detectors[endpoint]
	if !ok {
		d = &detector{order: len(w.detectors) + 1}
		w.detectors[endpoint] = d
	}
	return d
}

// lately is for how long a failure counts as one of lately. Without an end, who failed twice
// on what nobody asks any more, or was taken off by hand, would never be raised again.
const lately = time.Hour

// Uneasy returns an endpoint on which the candidate failed in the last hour, and of which the
// evidence against it is too much to go on as if nothing were, though not enough for an alarm:
// 1/alpha. The name is empty for all of them together.
func (w *Watch) Uneasy(now time.Time, policy Promotion) (endpoint string, uneasy bool) {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(w.detectors)) {
		d := w.detectors[name]
		if _, _, waived := policy.waiver(name, now); waived {
			continue
		}
		if d.seen.Failed > 0 && now.Sub(d.failed) < lately && d.value() >= -math.Log(policy.Alpha) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "", false
	}
	if i := slices.IndexFunc(names, IsEndpoint); i >= 0 { // it says more than what is over several
		return names[i], true
	}
	return names[0], true
}

// findings are what one look says about the candidate.
type findings struct {
	asked         Tally // of the candidate
	limit, beside gain
	news          bool  // anything was found
	pair          Sight // that beside is of, if it is complete; not added up
}

func (f findings) plus(g findings) findings {
	return findings{asked: f.asked.plus(g.asked), limit: f.limit.plus(g.limit), beside: f.beside.plus(g.beside), news: f.news || g.news}
}

// look takes in what is new of both legs.
func (d *detector) look(c, p Tally, limit float64) findings {
	f := findings{asked: c, limit: againstLimit(c, limit), news: c.N > 0}
	switch pair, complete := d.pair(c, p); {
	case !complete:
	case pair.Primary.N == 0:
		f.beside, f.news = againstLimit(pair.Candidate, limit), true
	default:
		f.beside, f.pair, f.news = againstPrimary(pair.Candidate, pair.Primary), pair, true
	}
	return f
}

// pair returns requests of both legs that are from about the same time, complete if there are
// some of each, or none of the primary's came for [aloneAfter] looks. When that is does not
// depend on which of them failed.
//
// A look of a quarter of a second often has requests of one leg only: where there are few, and
// while the primary, asked after the candidate, is still waiting for a database that both
// have lost.
func (d *detector) pair(c, p Tally) (pair Sight, complete bool) {
	d.candidateIdle, d.primaryIdle = idle(d.candidateIdle, c), idle(d.primaryIdle, p)
	w := &d.waiting
	if w.Candidate.N+c.N == 0 && d.candidateIdle > keepPrimary {
		w.Primary = Tally{}
	}
	w.Candidate, w.Primary = w.Candidate.plus(c).whole(), w.Primary.plus(p).whole()
	if w.Candidate.N == 0 || w.Primary.N == 0 && d.primaryIdle < aloneAfter {
		return Sight{}, false
	}
	pair, *w = *w, Sight{}
	return pair, true
}

func idle(before int, t Tally) int {
	if t.N > 0 {
		return 0
	}
	return min(before+1, aloneAfter)
}

// fold adds what was found.
func (d *detector) fold(now time.Time, f findings) {
	d.limit.add(f.limit)
	d.beside.add(f.beside)
	if f.asked.Failed > 0 {
		d.failed = now
	}
	if d.seen = d.seen.plus(f.asked); d.limit.value() <= 0 {
		d.seen = Tally{}
	}
}

// level is where an alarm is, in logarithms.
func (d *detector) level(policy Promotion) float64 {
	return math.Log(bakeSamples/policy.Beta) - lnWeight(d.order)
}

// over returns by how much the level of an alarm is passed, in logarithms.
func (d *detector) over(policy Promotion) float64 {
	lone := d.lone.value() + math.Log(policy.Alpha) + lnWeight(d.order)
	return max(d.value()-d.level(policy), min(d.limit.value()-d.level(policy), lone))
}

func (d *detector) alarm(endpoint string, policy Promotion) *Reason {
	return &Reason{Code: LiveErrors, Endpoint: endpoint, K: d.seen.Failed, N: d.seen.N, Threshold: policy.MaxErrorRate}
}

// value is the smaller of both detectors, in logarithms.
func (d *detector) value() float64 { return min(d.limit.value(), d.beside.value()) }

// againstLimit is the logarithm of the likelihood ratio of one look, see [cusum].
func againstLimit(c Tally, limit float64) (g gain) {
	for i, times := range cusumRates {
		if q := times * limit; q < 1 {
			g[i] = float64(c.Failed)*math.Log(times) + float64(c.N-c.Failed)*(math.Log1p(-q)-math.Log1p(-limit))
		}
	}
	return g
}

// againstPrimary is that of one pair, see [Watch].
func againstPrimary(c, p Tally) (g gain) {
	n, m := 2*float64(c.N), float64(p.N)
	for i, times := range cusumRates {
		u := math.Log((n + m) / (times*n + m))
		g[i] = float64(c.Failed)*(math.Log(times)+u) + float64(p.Failed)*u
	}
	return g
}

func (g gain) plus(h gain) gain {
	for i := range g {
		g[i] += h[i]
	}
	return g
}

// add is a step: each W starts from 0 when it was below.
func (b *bets) add(g gain) {
	for i := range b {
		b[i] = max(b[i], 0) + g[i]
	}
}

// value is the logarithm of the mean of e^W.
func (b *bets) value() float64 { return mean(b[:]) }

// value is that of its bets, nothing before it is open.
func (l *lone) value() float64 {
	if !l.open {
		return math.Inf(-1)
	}
	return l.bets.value()
}

// mean returns ln of the mean of e^w.
func mean(w []float64) float64 {
	sum := math.Inf(-1)
	for _, each := range w {
		sum = lnSum(sum, each)
	}
	return sum - math.Log(float64(len(w)))
}
