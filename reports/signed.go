package reports

import (
	"fmt"
	"slices"
	"time"

	"parallax/divergence"
)

// Signed is an endpoint, or a pool, that passes on a person's word, with what its divergence test
// had seen when it was signed: K of N, so that the rate was at most Upper. It stands
// until the end of its last day, for the evidence it was said of, and while no test's
// upper limit is above the one that was signed.
type Signed struct {
	Endpoint string    `json:"endpoint"`
	K        uint64    `json:"k"`
	N        uint64    `json:"n"`
	Upper    float64   `json:"upper"`
	Who      string    `json:"who"`
	Reason   string    `json:"reason"`
	At       time.Time `json:"at"`
	Until    string    `json:"until"` // last day, UTC
}

// Sentence says it in English, in one sentence.
func (s Signed) Sentence() string {
	return fmt.Sprintf("%s: passed until %s by %s at %s of %s exchanges, so at a rate of at most %s: %s.",
		s.Endpoint, s.Until, s.Who, count(s.K), count(s.N), percent(s.Upper), s.Reason)
}

// signed returns the sign-off that stands for an endpoint, nil where there is none.
func (e *Evidence) signed(p *endpoint, now time.Time, said []divergence.SignOff) *Signed {
	i := slices.IndexFunc(said, func(s divergence.SignOff) bool { return s.Endpoint == p.name })
	if i < 0 || !e.stands(said[i], p, now) {
		return nil
	}
	s := said[i]
	limit, _ := signedLimit(s, DivergenceTest)
	return &Signed{s.Endpoint, limit.K, limit.N, limit.Upper, s.Who, s.Reason, s.At, s.Until}
}

// stands says that a sign-off is of this very evidence, and that nothing is worse than
// what was signed. Evidence that began later is another: of other rules, another policy
// or other versions, or by hand.
func (e *Evidence) stands(s divergence.SignOff, p *endpoint, now time.Time) bool {
	if s.Over(now) || p.began.IsZero() || p.began.After(s.At) ||
		s.RulesHash != p.rules || s.PolicyHash != e.hash || !sameVersion(s.PrimaryVersion, e.primary) || !sameVersion(s.CandidateVersion, e.candidate) {
		return false
	}
	for _, test := range p.signable() {
		limit, ok := signedLimit(s, test)
		k, n, _, alpha := p.counts(e.policy.of(p.name), test)
		if !ok || UpperLimit(k, n, alpha) > limit.Upper {
			return false
		}
	}
	return true
}

// sameVersion is as evidence tells versions apart: one that is not told changes nothing.
func sameVersion(a, b string) bool { return a == b || !said(a) || !said(b) }

func signedLimit(s divergence.SignOff, test Test) (divergence.SignedLimit, bool) {
	i := slices.IndexFunc(s.Limits, func(l divergence.SignedLimit) bool { return l.Test == string(test) })
	if i < 0 {
		return divergence.SignedLimit{}, false
	}
	return s.Limits[i], true
}

// signable returns the tests whose limits somebody signs. Time may be passed although
// many exchanges are slower, so it is one only until then.
func (p *endpoint) signable() []Test {
	if p.passed.latency {
		return []Test{DivergenceTest, ErrorTest}
	}
	return []Test{DivergenceTest, ErrorTest, LatencyTest}
}

// offer returns what somebody may sign of an endpoint by now, but for who, why and until
// when. It is nil where nothing was compared, nothing is missing, or a rate is above its
// limit: that is no lack of exchanges.
func (e *Evidence) offer(p *endpoint, v EndpointVerdict) *divergence.SignOff {
	missing := slices.ContainsFunc(v.Reasons, Reason.undecided)
	if v.Decision != Hold || v.NotCovered != "" || p.sums.n == 0 || !missing || slices.ContainsFunc(v.Reasons, Reason.exceeded) {
		return nil
	}
	s := &divergence.SignOff{
		Endpoint: p.name, RulesHash: p.rules, PolicyHash: e.hash, PrimaryVersion: e.primary, CandidateVersion: e.candidate,
	}
	for _, test := range p.signable() {
		k, n, _, alpha := p.counts(e.policy.of(p.name), test)
		s.Limits = append(s.Limits, divergence.SignedLimit{Test: string(test), K: k, N: n, Upper: UpperLimit(k, n, alpha)})
	}
	return s
}

// rated says that the reason is about a test of a rate.
func (r Reason) rated() bool {
	return slices.Contains([]Code{InsufficientSamples, DivergenceRate, CandidateErrors, TooSlow}, r.Code)
}

// undecided says that a test has not seen enough to tell on which side of its threshold
// the rate is, and exceeded that it is above it.
func (r Reason) undecided() bool { return r.rated() && r.Lower <= r.Threshold }
func (r Reason) exceeded() bool  { return r.rated() && r.Lower > r.Threshold }

// passedBy is the verdict with what a person signed: tests that have not seen enough do
// not hold it. All else does.
func (v EndpointVerdict) passedBy(s *Signed) EndpointVerdict {
	if s == nil || v.Decision != Hold || v.NotCovered != "" {
		return v
	}
	v.Signed = s
	v.Reasons = slices.DeleteFunc(slices.Clone(v.Reasons), Reason.undecided)
	if len(v.Reasons) == 0 {
		v.Decision = Promote
	}
	return v
}
