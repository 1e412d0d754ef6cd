package main

import (
	"cmp"
	"context"
	"slices"
	"time"

	"parallax"
	"parallax/mirror"
	"parallax/reports"
)

// eyes see what callers of one service get from each version, from one look to the next.
type eyes struct {
	watch    reports.Watch
	about    subject
	began    time.Time // when watch began
	accused  []string  // endpoints there was an alarm about since then; bounded as endpoints are
	before   sightings
	answered map[string]uint64 // requests that the candidate answered as the live leg, since this process began, by group
}

// subject is what a rollback is about. What was seen of another one is no evidence.
type subject struct {
	candidate               string // its version, empty while none is known
	rules, accepted, policy string
	from                    time.Time // when a person started new evidence
}

func (p *pilot) subject(now time.Time) subject {
	t := p.svc.terms.Load()
	return subject{
		candidate: p.svc.judge.Verdict().CandidateVersion, rules: t.compares.Rules.Version(), accepted: t.compares.AcceptedAt(now),
		policy: t.cfg.Promotion.Hash(), from: p.svc.evidenceFrom(p.svc.steps.State()),
	}
}

// versionStands is how long a version of the candidate is watched at least. While instances of
// two builds answer by turns, every second would begin anew, and neither would be found out.
const versionStands = time.Minute

// turnTo watches another subject from nothing.
func (e *eyes) turnTo(s subject, now time.Time) {
	if s.candidate == "" || e.about.candidate != "" && now.Sub(e.began) < versionStands {
		s.candidate = e.about.candidate
	}
	if s != e.about {
		e.about, e.began, e.watch, e.accused = s, now, reports.Watch{}, nil
	}
}

// look takes in what the legs did since the look before, and returns an alarm.
func (p *pilot) look() *reports.Reason {
	terms, now := p.svc.terms.Load(), p.svc.steps.now()
	about := p.subject(now)
	normal := func(endpoint string, status int) bool { return terms.compares.Rules.Normal(endpoint, now, status) }
	seen := p.svc.mirror.Seen()
	p.mu.Lock()
	defer p.mu.Unlock()
	e := &p.eyes
	e.turnTo(about, now)
	return e.watch.See(now, e.sights(seen, normal, groups(terms.cfg.Split)), terms.cfg.Promotion)
}

// sights returns what is new of each endpoint.
func (e *eyes) sights(seen []mirror.Seen, normal func(endpoint string, status int) bool, of reports.Groups) []reports.Sight {
	news := e.before.next(seen, normal)
	if e.answered == nil {
		e.answered = map[string]uint64{}
	}
	sights := make([]reports.Sight, 0, len(news))
	for _, s := range news {
		s.Group = of.Of(s.Endpoint)
		e.answered[s.Group] += s.Candidate.N - min(s.Candidate.Failed, s.Candidate.N)
		sights = append(sights, s)
	}
	return sights
}

// sightings are what was seen so far at a look. The zero value is from before the first one.
type sightings map[seenOf]mirror.Seen

// next returns what is new of each endpoint: of the candidate what callers got, of the primary
// everything. What is no failure is asked of what is new alone: a rule that ends does not make
// failures of what was normal until then.
func (was *sightings) next(seen []mirror.Seen, normal func(endpoint string, status int) bool) map[string]reports.Sight {
	is, sights := make(sightings, len(seen)), map[string]reports.Sight{}
	for _, s := range seen {
		key := seenOf{s.Endpoint, s.Leg, s.Live}
		is[key] = s
		sight := sights[s.Endpoint]
		sight.Endpoint = s.Endpoint
		tally := since((*was)[key], s, normal)
		switch {
		case s.Leg == parallax.Primary:
			sight.Primary.N, sight.Primary.Failed = sight.Primary.N+tally.N, sight.Primary.Failed+tally.Failed
		case s.Leg == parallax.Candidate && s.Live:
			sight.Candidate = tally
		default:
			continue
		}
		sights[s.Endpoint] = sight
	}
	*was = is
	return sights
}

// seenOf is what counts are of.
type seenOf struct {
	endpoint string
	leg      parallax.Leg
	live     bool
}

// since counts what is new, and of that what failed: requests without a complete answer, and
// with a 5xx that no rule declares normal.
func since(before, now mirror.Seen, normal func(endpoint string, status int) bool) reports.Tally {
	t := reports.Tally{N: now.Requests - before.Requests, Failed: now.Errors - before.Errors}
	for status, k := range now.ServerErrors {
		if !normal(now.Endpoint, status) {
			t.Failed += k - before.ServerErrors[status]
		}
	}
	return t
}

func (p *pilot) uneasy() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	endpoint, uneasy := p.eyes.watch.Uneasy(p.svc.steps.now(), p.svc.terms.Load().cfg.Promotion)
	if !uneasy {
		return ""
	}
	return cmp.Or(endpoint, "all endpoints together")
}

// accuse latches a rollback on what callers got. Under a policy that is automatic, nobody
// is on the candidate when it returns, unless a person's step stands or the primary is down;
// then the next alarm tries again, also while the store is away, and with it the verdict. The
// latch is written once for an endpoint: before the judge hears of it, which may find at once
// that it is void. Another endpoint is one more reason: the first may be waived later.
func (p *pilot) accuse(ctx context.Context, r reports.Reason) {
	v, state, now := p.svc.judge.Verdict(), p.svc.steps.State(), p.svc.steps.now().UTC()
	about, known := p.accused(r.Endpoint)
	latch := reports.Latch{
		At: now, RulesVersion: about.rules, Accepted: about.accepted, PolicyVersion: about.policy,
		CandidateVersion: v.CandidateVersion, Reasons: []reports.Reason{r},
	}.After(state.Latch)
	cfg := p.svc.terms.Load().cfg
	of := groups(cfg.Split)
	p.follow(ctx, state, cfg.Promotion.Course(now, reports.Standing{State: state, Verdict: v.Against(r, of), Groups: of, PrimaryDown: p.svc.primaryDown()}))
	if known {
		return
	}
	p.log.Warn("the candidate fails while it is live", "service", p.svc.name, "endpoint", r.Endpoint, "failed", r.K, "of", r.N)
	err := p.svc.steps.latch(latch)
	if err != nil {
		p.log.Error("the rollback would be forgotten at a restart, and is written as soon as that is possible", "service", p.svc.name, "error", err)
	}
	p.svc.judge.Accuse(latch, err == nil)
}

// accused notes that there is an alarm about an endpoint, and reports whether there was one
// before. Its subject is the one that was watched.
func (p *pilot) accused(endpoint string) (about subject, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := &p.eyes
	if known = slices.Contains(e.accused, endpoint); !known {
		e.accused = append(e.accused, endpoint)
	}
	return e.about, known
}
