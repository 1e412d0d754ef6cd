package reports

import (
	"math"
	"slices"
)

// Sight is what was newly seen of one endpoint: how many requests each leg finished, and how
// many of them failed. The candidate's are those that it answered as the live leg; the
// primary's are all.
type Sight struct {
	Endpoint           string
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
// Each endpoint has two detectors, and so have all endpoints together:
//
//   - one against max_error_rate: [cusum], over the candidate's failures;
//   - one against the primary: of the failures of both legs in one look, the candidate's
//     share is at most s = 2n/(2n+m) as long as it fails at most twice as often as the primary,
//     with n and m requests of the candidate and of the primary. For an alternative of 2*times,
//     a failure of the candidate multiplies the odds by s'/s and one of the primary by
//     (1-s')/(1-s), where s' = 2*times*n/(2*times*n+m). Given their sum, failures are
//     hypergeometric, for which this is no more than for the binomial it is exact for
//     (Hoeffding 1963). Where the primary was asked nothing, the first detector speaks alone.
//
// An alarm needs both: the smaller of two e-detectors is one for either of their
// hypotheses. So a database that both legs have lost is nobody's fault. Detector j, in the
// order of first sight, has the share 6/(pi^2 j^2) of beta for a million requests.
type Watch struct {
	detectors map[string]*detector
	order     int
}

// detector is the state for one endpoint.
type detector struct {
	order  int
	limit  cusum
	beside [4]float64 // W of the alternatives in cusumRates, as in cusum
	seen   Tally      // of the candidate, since the limit's detector was last at its floor
}

// everything is the name of what is watched over all endpoints together.
const everything = ""

// See takes in what is new, and returns the alarm of the endpoint that fails most, nil for
// none. The endpoint of an alarm is empty where all of them together raised it.
func (w *Watch) See(sights []Sight, policy Promotion) *Reason {
	var total Sight
	var worst *Reason
	most := 0.0
	for _, s := range sights {
		total.Candidate, total.Primary = total.Candidate.plus(s.Candidate.whole()), total.Primary.plus(s.Primary.whole())
		if over, r := w.see(s, policy.of(s.Endpoint)); over > most {
			most, worst = over, &r
		}
	}
	if over, r := w.see(total, policy); over > 0 && worst == nil {
		worst = &r
	}
	return worst
}

// see takes one sight in, and returns by how much the alarm level is passed, in logarithms.
func (w *Watch) see(s Sight, policy Promotion) (over float64, r Reason) {
	c, p := s.Candidate.whole(), s.Primary.whole()
	if c.N == 0 {
		return 0, r
	}
	d := w.of(s.Endpoint)
	d.add(c, p, policy.MaxErrorRate)
	level := math.Log(bakeSamples/policy.Beta) - lnWeight(d.order)
	return d.value() - level, Reason{Code: LiveErrors, Endpoint: s.Endpoint, K: d.seen.Failed, N: d.seen.N, Threshold: policy.MaxErrorRate}
}

// of returns the detector of an endpoint. There are as many as endpoints, which are bounded.
func (w *Watch) of(endpoint string) *detector {
	if w.detectors == nil {
		w.detectors = map[string]*detector{}
	}
	d, ok := w.detectors[endpoint]
	if !ok {
		w.order++
		d = &detector{order: w.order}
		w.detectors[endpoint] = d
	}
	return d
}

// Uneasy returns an endpoint of which the evidence against the candidate is too much to go on
// as if nothing were, though not enough for an alarm: 1/alpha. The name is empty for all of them
// together.
func (w *Watch) Uneasy(policy Promotion) (endpoint string, uneasy bool) {
	var names []string
	for name, d := range w.detectors {
		if d.seen.Failed > 0 && d.value() >= -math.Log(policy.Alpha) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "", false
	}
	return slices.Max(names), true // the one over everything only if it is the only one
}

// add takes in a look at the candidate and, beside it, at the primary.
func (d *detector) add(c, p Tally, limit float64) {
	before := d.limit
	at := d.limit.over(c.Failed, c.N, limit)
	for i, times := range cusumRates {
		step := d.limit.w[i] - max(before.w[i], 0)
		if p.N > 0 {
			step = againstPrimary(c, p, times)
		}
		d.beside[i] = max(d.beside[i], 0) + step
	}
	if d.seen = d.seen.plus(c); at <= 0 {
		d.seen = Tally{}
	}
}

// againstPrimary is the logarithm of the likelihood ratio of one look, see [Watch].
func againstPrimary(c, p Tally, times float64) float64 {
	n, m := 2*float64(c.N), float64(p.N)
	s, alternative := n/(n+m), times*n/(times*n+m)
	return float64(c.Failed)*math.Log(alternative/s) + float64(p.Failed)*math.Log((1-alternative)/(1-s))
}

// value is the smaller of both detectors, in logarithms.
func (d *detector) value() float64 { return min(d.limit.value(), mean(d.beside[:])) }

// mean returns ln of the mean of e^w.
func mean(w []float64) float64 {
	sum := math.Inf(-1)
	for _, each := range w {
		sum = lnSum(sum, each)
	}
	return sum - math.Log(float64(len(w)))
}
