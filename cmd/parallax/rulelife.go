package main

import (
	"context"
	"errors"
	"time"

	"parallax/compare"
	"parallax/divergence"
	"parallax/reports"
	"parallax/ui"
)

// How often what becomes of rules is looked after.
const (
	noteEvery  = time.Second      // sets of rules that are new in force
	blindEvery = 10 * time.Minute // flaws that would not be noticed
	blindRetry = time.Minute      // while nothing could be found
	blindSpan  = 24 * time.Hour   // of stored pairs that are looked at
)

// maxRuleSetsWaiting is how many sets of a service wait for a store that is away; of more the
// oldest are not in the history.
const maxRuleSetsWaiting = 16

// attendRules puts rules in force that another process saved, notes every set of rules that
// comes into force, and looks for blind spots now and then, until ctx ends. It returns nil.
func (s *server) attendRules(ctx context.Context) error {
	keeper := &ruleKeeper{s: s, at: map[*service]*attended{}}
	beat := time.NewTicker(noteEvery)
	defer beat.Stop()
	for {
		keeper.attend(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
	}
}

// ruleKeeper attends to the rules of all services. One goroutine uses it.
type ruleKeeper struct {
	s  *server
	at map[*service]*attended // as many as there are services
}

// attended is what was done for the rules of a service.
type attended struct {
	judge  *divergence.Judge    // whose rules these are
	saved  string               // version of those of them that people saved
	wait   []divergence.RuleSet // that are not stored yet, the oldest first
	looked time.Time
}

// attend does what is due. What the store cannot take now is tried again.
func (k *ruleKeeper) attend(ctx context.Context) {
	services := k.s.current.Load().services
	known := make(map[*service]*attended, len(services))
	for _, svc := range services {
		k.s.takeSaved(svc)
		terms := svc.terms.Load()
		a := k.at[svc]
		by := "reload"
		if a != nil && a.saved != terms.saved.Version {
			by = terms.saved.Who
		}
		if a == nil {
			a = &attended{looked: k.s.now().Add(blindRetry - blindEvery)}
			if len(k.at) == 0 {
				by = "start"
			}
		}
		known[svc] = a
		a.saved = terms.saved.Version
		if terms.compares != a.judge {
			k.began(a, terms.compares, by)
		}
		k.note(ctx, svc, a)
		k.look(ctx, svc, a)
	}
	k.at = known
}

// began remembers a set of rules that is to be stored.
func (k *ruleKeeper) began(a *attended, judge *divergence.Judge, by string) {
	before := a.judge
	a.judge = judge
	if before != nil && before.Rules.Version() == judge.Rules.Version() {
		return
	}
	text, err := compare.RuleText(judge.Rules.List())
	if err != nil {
		k.s.log.Error("a set of rules cannot be stored", "version", judge.Rules.Version(), "error", err) // a defect
		return
	}
	a.wait = append(a.wait, divergence.RuleSet{Version: judge.Rules.Version(), At: k.s.now(), By: by, Text: text})
	if len(a.wait) > maxRuleSetsWaiting {
		a.wait = a.wait[1:]
	}
}

func (k *ruleKeeper) note(ctx context.Context, svc *service, a *attended) {
	if k.s.recorder.Err() != nil {
		return
	}
	for len(a.wait) > 0 && k.s.store.AppendRuleSet(ctx, svc.name, a.wait[0]) == nil {
		a.wait = a.wait[1:]
	}
}

// look finds blind spots when it is time to.
func (k *ruleKeeper) look(ctx context.Context, svc *service, a *attended) {
	now := k.s.now()
	if now.Sub(a.looked) < blindEvery || k.s.recorder.Err() != nil {
		return
	}
	a.looked = now
	found, err := k.s.rehearsal.BlindSpots(ctx, svc.name, nil, divergence.PairFilter{Window: divergence.Window{From: now.Add(-blindSpan)}})
	if err != nil || len(found.Endpoints) == 0 {
		a.looked = now.Add(blindRetry - blindEvery)
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, divergence.ErrBusy) && !errors.Is(err, divergence.ErrAway) {
		k.s.log.Warn("cannot look for blind spots", "service", svc.name, "error", err)
	}
}

// rehearsal tries rules on stored pairs, and remembers what it finds about those in
// force.
type rehearsal struct {
	*divergence.Rehearsal
	s *server
}

var _ ui.Rehearsal = (*rehearsal)(nil)

// BlindSpots is [divergence.Rehearsal.BlindSpots]. What is found about all
// endpoints and the rules in force is shown with the verdict from then on.
func (r *rehearsal) BlindSpots(ctx context.Context, name string, rules []compare.Rule, f divergence.PairFilter) (divergence.BlindSpots, error) {
	found, err := r.Rehearsal.BlindSpots(ctx, name, rules, f)
	if err == nil && rules == nil && f.Endpoint == "" && f.Limit == 0 {
		if svc := r.s.current.Load().byName[name]; svc != nil {
			svc.blind.Store(&found)
		}
	}
	return found, err
}

// caught is which share of flaws would be found by endpoint, as far as it was
// looked at under the rules in force.
func (svc *service) caught() map[string]reports.Caught {
	found := svc.blind.Load()
	if found == nil || found.RulesVersion != svc.terms.Load().compares.Rules.Version() {
		return nil
	}
	out := make(map[string]reports.Caught, len(found.Endpoints))
	for _, e := range found.Endpoints {
		out[e.Endpoint] = reports.Caught{Share: e.Share, N: e.N, At: found.At}
	}
	return out
}
