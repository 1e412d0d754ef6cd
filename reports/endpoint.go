package reports

import (
	"math"
	"time"

	"parallax/divergence"
)

// endpoint is the evidence on one endpoint.
type endpoint struct {
	name        string
	order       int       // 1 for the endpoint that was seen first; pools have their places among them
	pool        *pool     // nil for none
	alone       *alone    // what callers got of it, while nothing was ever compared; nil before the candidate was live
	first, seen time.Time // its first and its latest request
	began       time.Time // the first tick of its evidence
	paired      bool      // something was once sent to the candidate
	rules       string
	sums        sums
	pace        pace
	passed      struct{ divergence, errors, latency bool } // latched
	cusum       cusum
	regressed   bool // withdrew a pass; latched

	lnDivergence, lnErrors float64 // evidence above the thresholds
}

// sums are the counts of all ticks of one piece of evidence.
type sums struct {
	received, lost, n, k      uint64
	notComparable, unanswered uint64
	transient, unmapped       uint64 // of notComparable
	unknown                   uint64 // likewise: their effects are
	inherited                 uint64 // likewise: all that differs did before
	byKey                     uint64 // of n: their effects were found by key alone
	noise                     uint64
	repeated                  uint64 // compared, and in none of the others
	repeatedK, repeatedB      uint64 // of repeated: diverged, and failed by the candidate alone
	b, c                      uint64
	timed, slowB, slowC       uint64
}

func (p *endpoint) restart() {
	*p = endpoint{name: p.name, order: p.order, pool: p.pool, alone: p.alone.anew(), first: p.first, seen: p.seen, paired: p.paired, rules: p.rules}
}

// most is more than anybody counts. Sums stop there, so that no store, however damaged,
// makes them begin at 0 again.
const most = 1 << 60

// add adds counts up.
func (s *sums) add(t sums) {
	defer s.bound()
	s.received += t.received
	s.lost += t.lost
	s.n += t.n
	s.k += t.k
	s.notComparable += t.notComparable
	s.unanswered += t.unanswered
	s.transient += t.transient
	s.unmapped += t.unmapped
	s.unknown += t.unknown
	s.inherited += t.inherited
	s.byKey += t.byKey
	s.noise += t.noise
	s.repeated += t.repeated
	s.repeatedK += t.repeatedK
	s.repeatedB += t.repeatedB
	s.b += t.b
	s.c += t.c
	s.timed += t.timed
	s.slowB += t.slowB
	s.slowC += t.slowC
}

// bound keeps sums at most.
func (s *sums) bound() {
	for _, n := range []*uint64{
		&s.received, &s.lost, &s.n, &s.k, &s.notComparable, &s.unanswered, &s.transient, &s.unmapped, &s.unknown, &s.inherited, &s.byKey, &s.noise,
		&s.repeated, &s.repeatedK, &s.repeatedB, &s.b, &s.c, &s.timed, &s.slowB, &s.slowC,
	} {
		*n = min(*n, most)
	}
}

// sumsOf returns the counts of a tick. A part is never more than its whole,
// whatever the store holds, so that the statistics stay defined.
func sumsOf(t divergence.Tick) sums {
	t.N, t.NotComparable, t.Timed = min(t.N, most), min(t.NotComparable, most), min(t.Timed, most)
	unanswered := min(t.Unanswered, t.NotComparable)
	transient := min(t.Transient, t.NotComparable-unanswered)
	unmapped := min(t.Unmapped, t.NotComparable-unanswered-transient)
	unknown := min(t.Unknown, t.NotComparable-unanswered-transient-unmapped)
	slowB := min(t.SlowB, t.Timed)
	return sums{
		received: min(t.Received, most), lost: min(t.Lost, most), repeated: min(t.Repeated, most), repeatedK: min(t.RepeatedK, t.Repeated, most), repeatedB: min(t.RepeatedB, t.Repeated, most), n: t.N, k: min(t.K, t.N),
		notComparable: t.NotComparable, unanswered: unanswered,
		transient: transient, unmapped: unmapped,
		unknown: unknown, inherited: min(t.Inherited, t.NotComparable-unanswered-transient-unmapped-unknown),
		byKey: min(t.ByKey, t.N),
		noise: min(t.Noise, t.N+t.NotComparable-unanswered),
		b:     min(t.B, t.N), c: min(t.C, t.NotComparable),
		timed: t.Timed, slowB: slowB, slowC: min(t.SlowC, t.Timed-slowB),
	}
}

func (p *endpoint) add(t divergence.Tick) {
	if p.began.IsZero() {
		p.began = t.At
	}
	p.sums.add(sumsOf(t))
	p.paired = p.paired || p.sums.mirrored() > 0
	p.pace.add(t.At, t.N)
}

// test latches what the endpoint passes with this tick and keeps the evidence
// against it up to date.
func (p *endpoint) test(policy Promotion, t divergence.Tick) {
	s := p.sums
	level := -math.Log(policy.Alpha)
	if p.passed.divergence {
		// The detector looks at what came after the pass only.
		p.regressed = p.regressed || p.cusum.add(t.K, t.N, policy)
	} else {
		p.passed.divergence = LnPass(s.k, s.n, policy.MaxDivergenceRate) >= level
	}
	p.passed.errors = p.passed.errors || LnPass(s.b, s.n, policy.MaxErrorRate) >= level
	p.passed.latency = p.passed.latency || fastEnough(s, policy)

	p.lnDivergence, p.lnErrors = math.Inf(-1), math.Inf(-1)
	if s.k >= minDivergences {
		p.lnDivergence = LnFail(s.k, s.n, policy.MaxDivergenceRate)
	}
	if s.b >= minDivergences {
		p.lnErrors = LnFail(s.b, s.b+s.c, 0.5)
	}
}

// fairShare is the share of decided pairs that the candidate may lose on time:
// 1/2 and some, since the leg asked second may find warm caches.
const fairShare = 0.6

// fastEnough passes when few exchanges are slower, or when the candidate is not
// slower much more often than the primary is: two equal versions on a busy
// machine are slower than each other in a fifth of all exchanges. Either of two
// ways to pass may be wrong, so each has half of alpha.
func fastEnough(s sums, policy Promotion) bool {
	level := math.Log(2 / policy.Alpha)
	return LnPass(s.slowB, s.timed, policy.Slower.MaxShare) >= level ||
		LnPass(s.slowB, s.slowB+s.slowC, fairShare) >= level
}

// lnAgainst is the evidence that a threshold is exceeded: the mean of two
// e-processes, in logarithms.
func (p *endpoint) lnAgainst() float64 {
	return lnSum(p.lnDivergence, p.lnErrors) - math.Ln2
}

// fails says that this endpoint alone is enough to roll back.
func (p *endpoint) fails(policy Promotion) bool {
	return p.lnAgainst()+lnWeight(p.order) >= -math.Log(policy.Beta)
}

// accusation says what weighs most against the endpoint.
func (p *endpoint) accusation(policy Promotion) Reason {
	if p.lnErrors > p.lnDivergence {
		return p.reason(policy, ErrorTest, CandidateErrors)
	}
	return p.reason(policy, DivergenceTest, DivergenceRate)
}

// counts returns what a test looks at: how many count against the candidate, of
// how many, the threshold, and the error probability.
func (p *endpoint) counts(policy Promotion, test Test) (k, n uint64, threshold, alpha float64) {
	switch test {
	case ErrorTest:
		return p.sums.b, p.sums.n, policy.MaxErrorRate, policy.Alpha
	case LatencyTest:
		return p.sums.slowB, p.sums.timed, policy.Slower.MaxShare, policy.Alpha / 2
	}
	return p.sums.k, p.sums.n, policy.MaxDivergenceRate, policy.Alpha
}

// reason fills in the figures of a test.
func (p *endpoint) reason(policy Promotion, test Test, code Code) Reason {
	k, n, threshold, alpha := p.counts(policy, test)
	return Reason{
		Code: code, Endpoint: p.name, Test: test, K: k, N: n, Threshold: threshold,
		Lower: LowerLimit(k, n, alpha), Upper: UpperLimit(k, n, alpha),
	}
}

// unpassed is a test that is not passed, and what it holds by.
type unpassed struct {
	name Test
	code Code
}

// unpassed returns the tests that are not passed.
func (p *endpoint) unpassed() []unpassed {
	var out []unpassed
	if !p.passed.divergence {
		out = append(out, unpassed{DivergenceTest, DivergenceRate})
	}
	if !p.passed.errors {
		out = append(out, unpassed{ErrorTest, CandidateErrors})
	}
	if !p.passed.latency {
		out = append(out, unpassed{LatencyTest, TooSlow})
	}
	return out
}

// missing says why a test that is not passed is not: too few samples as yet, or
// a rate that is too high or not surely low enough.
func (p *endpoint) missing(policy Promotion, test Test, code Code, now time.Time) Reason {
	k, n, threshold, alpha := p.counts(policy, test)
	r := p.reason(policy, test, code)
	r.Need = SamplesNeeded(k, threshold, alpha)
	if rate := p.pace.perSecond(now); rate > 0 && r.Need > n {
		r.EtaSeconds = math.Ceil(float64(r.Need-n) / rate)
	}
	if r.Lower <= threshold && n < SamplesNeeded(0, threshold, alpha) {
		r.Code = InsufficientSamples
	}
	return r
}

// mirrored is how many exchanges were sent to the candidate and are finished.
func (s sums) mirrored() uint64 { return s.n + s.notComparable + s.repeated + s.lost }

// memory is how far back a pace looks.
const memory = 5 * time.Minute

// pace is the recent rate of comparable exchanges: a sum in which each one fades
// with the time constant memory.
type pace struct {
	since, last time.Time
	sum         float64
}

func (p *pace) add(at time.Time, n uint64) {
	if p.since.IsZero() {
		p.since, p.last = at, at
	}
	p.sum = p.sum*fade(at.Sub(p.last)) + float64(n)
	p.last = later(p.last, at)
}

// perSecond returns the rate at a time, 0 when nothing was counted. A young sum
// is divided by the time it had; the first tick counts what happened before it,
// so that time is at least a second.
func (p *pace) perSecond(now time.Time) float64 {
	had := max(now.Sub(p.since), time.Second)
	return p.sum * fade(now.Sub(p.last)) / (memory.Seconds() * (1 - fade(had)))
}

func fade(d time.Duration) float64 {
	return math.Exp(-max(d, 0).Seconds() / memory.Seconds())
}
