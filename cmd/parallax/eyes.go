package main

import (
	"cmp"
	"context"

	"parallax"
	"parallax/mirror"
	"parallax/reports"
)

// eyes see what callers of one service get from each version, from one look to the next.
type eyes struct {
	watch    reports.Watch
	version  string // of the candidate that is watched
	before   map[string]reports.Sight
	answered uint64 // requests that the candidate answered as the live leg
}

// look takes in what the legs did since the look before, and returns an alarm.
func (p *pilot) look() *reports.Reason {
	terms, version := p.svc.terms.Load(), p.svc.judge.Verdict().CandidateVersion
	normal := func(endpoint string, status int) bool {
		return terms.compares.Rules.Normal(endpoint, p.svc.steps.now(), status)
	}
	seen := sightsOf(p.svc.mirror.Seen(), normal)
	p.mu.Lock()
	defer p.mu.Unlock()
	e := &p.eyes
	if version != "" && version != e.version {
		e.version, e.watch = version, reports.Watch{} // another build: what is known is about the one before
	}
	var sights []reports.Sight
	e.answered = 0
	for name, now := range seen {
		e.answered += now.Candidate.N - now.Candidate.Failed
		sights = append(sights, since(e.before[name], now))
	}
	e.before = seen
	return e.watch.See(sights, terms.cfg.Promotion)
}

func (p *pilot) uneasy() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	endpoint, uneasy := p.eyes.watch.Uneasy(p.svc.terms.Load().cfg.Promotion)
	if !uneasy {
		return ""
	}
	return cmp.Or(endpoint, "all endpoints together")
}

// sightsOf adds up what was seen of each endpoint: of the candidate what callers got, of the
// primary everything.
func sightsOf(seen []mirror.Seen, normal func(endpoint string, status int) bool) map[string]reports.Sight {
	out := map[string]reports.Sight{}
	for _, s := range seen {
		sight := out[s.Endpoint]
		sight.Endpoint = s.Endpoint
		tally := reports.Tally{N: s.Requests, Failed: failuresOf(s, normal)}
		switch {
		case s.Leg == parallax.Primary:
			sight.Primary.N, sight.Primary.Failed = sight.Primary.N+tally.N, sight.Primary.Failed+tally.Failed
		case s.Leg == parallax.Candidate && s.Live:
			sight.Candidate = tally
		default:
			continue
		}
		out[s.Endpoint] = sight
	}
	return out
}

// failuresOf counts requests without a complete answer, and with a 5xx that no rule
// declares normal.
func failuresOf(s mirror.Seen, normal func(endpoint string, status int) bool) uint64 {
	n := s.Errors
	for status, k := range s.ServerErrors {
		if !normal(s.Endpoint, status) {
			n += k
		}
	}
	return n
}

// since returns what is new. A failure may show up a look after its request, and a rule may
// declare a status normal that was none: counts never go back.
func since(before, now reports.Sight) reports.Sight {
	less := func(a, b reports.Tally) reports.Tally {
		return reports.Tally{N: a.N - min(a.N, b.N), Failed: a.Failed - min(a.Failed, b.Failed)}
	}
	return reports.Sight{Endpoint: now.Endpoint, Candidate: less(now.Candidate, before.Candidate), Primary: less(now.Primary, before.Primary)}
}

// accuse latches a rollback on what callers got. Under a policy that is automatic, nobody
// is on the candidate when it returns, unless a person's step stands or the primary is down.
func (p *pilot) accuse(ctx context.Context, r reports.Reason) {
	v, state := p.svc.judge.Verdict(), p.svc.steps.State()
	latch := reports.Latch{
		At: p.svc.steps.now().UTC(), RulesVersion: v.RulesVersion, Accepted: v.Accepted, PolicyVersion: v.PolicyVersion,
		CandidateVersion: v.CandidateVersion, Reasons: []reports.Reason{r},
	}
	p.svc.judge.Accuse(latch)
	v.Decision, v.Reasons = reports.Rollback, latch.Reasons
	p.follow(ctx, state, p.svc.terms.Load().cfg.Promotion.Course(latch.At, reports.Standing{State: state, Verdict: v, PrimaryDown: p.svc.primaryDown()}))
	p.log.Warn("the candidate fails while it is live", "service", p.svc.name, "endpoint", r.Endpoint, "failed", r.K, "of", r.N)
	if err := p.svc.steps.latch(latch); err != nil {
		p.log.Error("the rollback would be forgotten at a restart", "service", p.svc.name, "error", err)
	}
}
