package reports

import (
	"fmt"
	"math"
	"time"

	"parallax/divergence"
)

// Unpaired is the verdict on an endpoint of which nothing is compared, since its requests may
// not reach two legs: what callers got from the live candidate, beside what others got from
// the primary in the same minutes, and how much either wrote. It says nothing about what the
// answers and the rows hold.
type Unpaired struct {
	Endpoint  string           `json:"endpoint"`
	Decision  Decision         `json:"verdict"`
	Candidate divergence.Lived `json:"candidate"`
	Primary   divergence.Lived `json:"primary"`
	Failed    Difference       `json:"failed"`
	Slow      Difference       `json:"slow"`
	Writes    []UnpairedWrites `json:"writes,omitempty"` // by kind of change, those seen first come first
}

// Difference is by how much the candidate's share is above the primary's: its limits, which
// hold at every moment, and what is allowed. Shares are between 0 and 1.
type Difference struct {
	Threshold float64 `json:"threshold"`
	Lower     float64 `json:"lower"`
	Upper     float64 `json:"upper"`
}

// Sentence says it in English, in one sentence.
func (u Unpaired) Sentence() string {
	return fmt.Sprintf("%s (unpaired): %s; the candidate failed %s of %s requests and the primary %s of %s, so it fails %s more often, of which %s is allowed%s.",
		u.Endpoint, u.Decision, count(u.Candidate.Failed), count(u.Candidate.N), count(u.Primary.Failed), count(u.Primary.N), u.Failed.between(), percent(u.Failed.Threshold), u.writesClause())
}

func (d Difference) between() string { return signed(d.Lower) + " to " + signed(d.Upper) }

// signed writes a share that may be negative.
func signed(share float64) string {
	if share < 0 {
		return "-" + percent(-share)
	}
	return percent(share)
}

// The tests of an endpoint without pairs.
const (
	UnpairedErrors  Test = "unpaired_errors"  // N and K: requests that callers got from the candidate, and those that failed
	UnpairedLatency Test = "unpaired_latency" // timed ones, and those that were slow
	UnpairedEffects Test = "unpaired_effects" // those whose changes are known, and those that changed otherwise
)

// alone is the evidence on an endpoint without pairs. It goes by the minute: within one,
// requests of both legs are taken to come at the same time, and a minute counts when the next
// one begins.
type alone struct {
	order              int // its place among endpoints and pools
	minute             time.Time
	candidate, primary divergence.Lived // of minutes that are over
	open               [2]divergence.Lived
	failed, slow       difference
	writes             []*writes // by first sight
}

// anew returns the evidence before its first request, nil where there is none.
func (a *alone) anew() *alone {
	if a == nil {
		return nil
	}
	return &alone{order: a.order}
}

// add takes in what callers got of either leg.
func (a *alone) add(t divergence.Tick) {
	if minute := t.At.Truncate(time.Minute); minute.After(a.minute) {
		a.close()
		a.minute = minute
	}
	a.open[0], a.open[1] = a.open[0].Plus(livedOf(t.LiveCandidate)), a.open[1].Plus(livedOf(t.LivePrimary))
	a.addWrites(t.LiveWrites)
}

// livedOf returns counts of which no part is more than its whole.
func livedOf(l divergence.Lived) divergence.Lived {
	l.Failed, l.Timed = min(l.Failed, l.N), min(l.Timed, l.N)
	l.Slow = min(l.Slow, l.Timed)
	l.Read, l.Unread = min(l.Read, most), min(l.Unread, most)
	return l
}

// close counts the minute that is over, if the candidate was asked in it.
func (a *alone) close() {
	c, p := a.open[0], a.open[1]
	a.open = [2]divergence.Lived{}
	a.closeWrites()
	if c.N == 0 { // What is known some seconds later is known all the same.
		c, p = divergence.Lived{Read: c.Read, Unread: c.Unread}, divergence.Lived{Read: p.Read, Unread: p.Unread}
	}
	a.failed.add(c.Failed, c.N, p.Failed, p.N)
	if p.Timed > 0 { // what is slow is told by the primary: alone it says nothing
		a.slow.add(c.Slow, c.Timed, p.Slow, p.Timed)
	}
	a.candidate, a.primary = a.candidate.Plus(c), a.primary.Plus(p)
}

// lnAgainst is the evidence that the candidate fails more often than is allowed. Time is
// none: it only holds.
func (a *alone) lnAgainst(policy Promotion) float64 {
	if a.candidate.Failed < minDivergences {
		return math.Inf(-1)
	}
	return a.failed.lnAbove(policy.MaxErrorRate)
}

// addAlone takes what callers got into the evidence on an endpoint that was never compared.
func (e *Evidence) addAlone(p *endpoint, t divergence.Tick) {
	if p.paired || p.alone == nil && t.LiveCandidate.N == 0 {
		return
	}
	if p.alone == nil {
		e.units++
		p.alone = &alone{order: e.units}
	}
	p.alone.add(t)
}

// judgeAlone returns the verdict on an endpoint that was never compared, nil where callers got
// nothing of it from the candidate either.
func (e *Evidence) judgeAlone(p *endpoint) (*Unpaired, []Reason) {
	a, policy := p.alone, e.policy.of(p.name)
	if a == nil || a.candidate.N == 0 {
		return nil, nil
	}
	u := &Unpaired{
		Endpoint: p.name, Decision: Promote, Writes: a.judgeWrites(policy.Alpha), Candidate: a.candidate, Primary: a.primary,
		Failed: Difference{policy.MaxErrorRate, a.failed.lower(policy.Alpha), a.failed.upper(policy.Alpha)},
		Slow:   Difference{policy.Slower.MaxShare, a.slow.lower(policy.Alpha), a.slow.upper(policy.Alpha)},
	}
	reasons := u.reasons()
	switch {
	case a.lnAgainst(policy)+lnWeight(a.order) >= -math.Log(policy.Beta):
		u.Decision = Rollback
		reasons = []Reason{u.reason(UnpairedErrors, CandidateErrors)}
	case len(reasons) > 0:
		u.Decision = Hold
	}
	return u, reasons
}

// reasons says what keeps it from passing.
func (u *Unpaired) reasons() []Reason {
	var out []Reason
	for _, t := range []struct {
		name Test
		code Code
		d    Difference
	}{{UnpairedErrors, CandidateErrors, u.Failed}, {UnpairedLatency, TooSlow, u.Slow}} {
		switch {
		case t.d.Lower > t.d.Threshold:
			out = append(out, u.reason(t.name, t.code))
		case t.d.Upper > t.d.Threshold:
			out = append(out, u.reason(t.name, InsufficientSamples))
		}
	}
	return append(out, u.writesReasons()...)
}

func (u *Unpaired) reason(test Test, code Code) Reason {
	r := Reason{Code: code, Endpoint: u.Endpoint, Test: test, K: u.Candidate.Failed, N: u.Candidate.N, PrimaryK: u.Primary.Failed, PrimaryN: u.Primary.N}
	d := u.Failed
	if test == UnpairedLatency {
		r.K, r.N, r.PrimaryK, r.PrimaryN, d = u.Candidate.Slow, u.Candidate.Timed, u.Primary.Slow, u.Primary.Timed, u.Slow
	}
	r.Threshold, r.Lower, r.Upper = d.Threshold, d.Lower, d.Upper
	return r
}

// unpaired reports whether the reason is about a test of what callers got.
func (r Reason) unpaired() bool {
	return r.Test == UnpairedErrors || r.Test == UnpairedLatency || r.Test == UnpairedEffects
}

// unpairedClause says such a reason.
func (r Reason) unpairedClause() string {
	what := map[Test]string{UnpairedErrors: "failed", UnpairedLatency: "was slow in", UnpairedEffects: r.Detail + " in"}[r.Test]
	text := fmt.Sprintf("unpaired: the candidate %s %s of %s requests and the primary %s of %s of the same minutes, a difference of %s; at most %s is allowed",
		what, count(r.K), count(r.N), count(r.PrimaryK), count(r.PrimaryN), Difference{Lower: r.Lower, Upper: r.Upper}.between(), percent(r.Threshold))
	if r.Code == InsufficientSamples {
		text += ", and it is not known yet"
	}
	return text
}
