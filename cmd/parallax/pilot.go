package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"parallax"
	"parallax/divergence"
	"parallax/mirror"
	"parallax/reports"
	"parallax/ui"
)

// stepBounds is what a step is bounded by, whoever moves it.
type stepBounds interface {
	override() time.Duration            // how long a person's step stands against the policy
	refusal(state reports.State) string // why no step may be raised, "" if it may
	primaryDown() string                // why the primary can answer nobody, "" while it can
}

var _ stepBounds = (*service)(nil)

func (svc *service) override() time.Duration { return svc.terms.Load().cfg.Promotion.Override }

// refusal says what keeps users from the candidate whatever the verdict is.
func (svc *service) refusal(state reports.State) string {
	if state.Copy != nil && state.Copy.Ended.IsZero() {
		return "the database of the candidate is being made anew"
	}
	return strangers(svc.terms.Load().cfg)
}

// strangers says that callers hold values of the primary's which the candidate does not
// know: it has a database of its own, in which it made up others.
func strangers(c ServiceConfig) string {
	if c.Candidate.State != mirror.Own {
		return ""
	}
	var names []string
	for _, id := range c.Identifiers {
		if !id.Compatible && !id.From.IsZero() {
			names = append(names, id.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("callers hold values of %s that the primary made up, and the candidate has made up others in a database of its own; where each takes the other's, say compatible: true of the identifier", strings.Join(names, ", "))
}

// primaryDown says that no instance of the primary is up, as its health checks and
// failures tell.
func (svc *service) primaryDown() string {
	legs := svc.mirror.Legs()
	i := slices.IndexFunc(legs, func(l mirror.LegStatus) bool { return l.Leg == parallax.Primary })
	if i < 0 || slices.ContainsFunc(legs[i].Instances, func(in mirror.InstanceStatus) bool { return in.Up }) {
		return ""
	}
	if len(legs[i].Instances) == 0 {
		return "no instance of it is known"
	}
	return "no instance of it is up"
}

// pilot moves the step of one service as the policy says.
type pilot struct {
	svc *service
	log *slog.Logger
	may func() bool // whether the policy of this process raises the step

	// told returns what the candidate answered as the live leg since then, as the store has it, in
	// a process that does not mirror; nil: this one sees for itself.
	told func(ctx context.Context, since time.Time) (uint64, error)

	steering sync.Mutex // held while the policy decides, and while a reload changes what it decides by

	mu     sync.Mutex // guards what follows
	heard  heard
	counts map[string]counted // by group; of all endpoints under no name
	said   reports.Turn
	stuck  bool // the step could not be moved, and the log has it
	eyes   eyes
}

// steerEvery is how often the policy looks, at what callers get before all.
const steerEvery = 250 * time.Millisecond

// Run steers until the context ends, and then returns nil.
func (p *pilot) Run(ctx context.Context) error {
	beat := time.NewTicker(steerEvery)
	defer beat.Stop()
	for {
		p.steer(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
	}
}

// steer moves the step if the policy is automatic and says that it moves now.
func (p *pilot) steer(ctx context.Context) {
	p.steering.Lock()
	defer p.steering.Unlock()
	if alarm := p.look(); alarm != nil {
		p.accuse(ctx, *alarm)
	}
	state := p.svc.steps.State()
	p.hear(ctx, state)
	c := p.course(state)
	p.note(c)
	p.follow(ctx, state, c)
}

// follow moves the step as an automatic policy says.
func (p *pilot) follow(ctx context.Context, state reports.State, c reports.Course) {
	if !c.Auto || !c.Moves(state) || c.Code != reports.TakeBack && !p.may() {
		return
	}
	err := p.svc.steps.follow(ctx, state, c, strings.TrimSuffix(c.Sentence(), "."))
	if refused := (reports.Refusal{}); errors.As(err, &refused) { // a person was faster
		err = nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && !p.stuck {
		p.log.Error("the policy cannot move the step", "service", p.svc.name, "to", c.To, "error", err)
	}
	p.stuck = err != nil
}

// Course returns what the policy does with the step now.
func (p *pilot) Course() reports.Course { return p.course(p.svc.steps.State()) }

func (p *pilot) course(state reports.State) reports.Course {
	cfg := p.svc.terms.Load().cfg
	s := reports.Standing{
		State: state, Verdict: p.svc.judge.Verdict(), Groups: groups(cfg.Split),
		Uneasy: p.uneasy(), PrimaryDown: p.svc.primaryDown(), Refusal: p.svc.refusal(state),
	}
	s.Answered, s.AnsweredBy = p.answered(state, s.Groups)
	return cfg.Promotion.Course(p.svc.steps.now(), s)
}

// heard is what the store says that the candidate answered since a step came into force.
type heard struct {
	since, at time.Time
	answered  uint64
}

// hearEvery is how often the store is asked.
const hearEvery = 5 * time.Second

// hear asks the store what the candidate answered, where this process does not see it. While the
// store is away what was heard last stands: it only grows.
func (p *pilot) hear(ctx context.Context, state reports.State) {
	if p.told == nil {
		return
	}
	now := p.svc.steps.now()
	p.mu.Lock()
	h := p.heard
	p.mu.Unlock()
	if !h.since.Equal(state.At) {
		h = heard{since: state.At}
	}
	if state.Step > 0 && now.Sub(h.at) >= hearEvery {
		h.at = now
		if n, err := p.told(ctx, state.At); err == nil {
			h.answered = n
		}
	}
	p.mu.Lock()
	p.heard = h
	p.mu.Unlock()
}

// counted is what the candidate had answered when a step came into force.
type counted struct {
	since  time.Time // when it did
	before uint64
}

// answered returns how many requests the candidate answered as the live leg since the step
// came into force, or since this process began; also for each group.
func (p *pilot) answered(state reports.State, of reports.Groups) (all uint64, by map[string]uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.counts == nil {
		p.counts = map[string]counted{}
	}
	if p.told != nil {
		return p.heard.answered, nil // steps that are shared have no groups
	}
	if len(of) == 0 {
		return p.answeredSince("", state.At), nil
	}
	by = make(map[string]uint64, len(of))
	for _, g := range of {
		by[g.Name] = p.answeredSince(g.Name, state.Groups[g.Name].At)
	}
	return 0, by
}

// answeredSince counts from a step of a group on. The caller holds mu.
func (p *pilot) answeredSince(group string, at time.Time) uint64 {
	n := p.eyes.answered[group]
	c, looked := p.counts[group]
	if !looked {
		c = counted{since: at}
	}
	if !c.since.Equal(at) {
		c = counted{at, n}
	}
	p.counts[group] = c
	return n - c.before
}

// note logs once that going back is not possible.
func (p *pilot) note(c reports.Course) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.Code == reports.NowhereBack && p.said != c.Code {
		p.log.Error("the candidate is worse, and the primary is down: the step stays", "service", p.svc.name, "detail", c.Detail)
	}
	p.said = c.Code
}

var _ ui.Promotion = (*pilot)(nil)

// Pause keeps the policy from moving the step, until Resume or a person's step.
func (p *pilot) Pause(ctx context.Context, who, reason string) error {
	return p.svc.steps.pause(ctx, true, who, reason)
}

// Resume lets the policy move the step again, from where it stands.
func (p *pilot) Resume(ctx context.Context, who, reason string) error {
	return p.svc.steps.pause(ctx, false, who, reason)
}

// policy is who moved a step that no person moved.
const policy = "policy"

// follow moves the step as the policy says, unless somebody has moved it since.
func (s *stepper) follow(ctx context.Context, from reports.State, c reports.Course, reason string) error {
	unmoved := func(state reports.State) error {
		if state.Step != from.Step || !maps.Equal(state.Groups, from.Groups) || !state.At.Equal(from.At) || state.Paused != from.Paused || !state.Until.Equal(from.Until) {
			return reports.Refusal{Turn: reports.Overridden, Text: "the step was moved meanwhile"}
		}
		return nil
	}
	// Going back leaves a pause as it is, or pauses the policies of all mirrors: the others may
	// know nothing of why. A step is raised only where there is no pause.
	paused := from.Paused || s.shared != nil && c.Code == reports.TakeBack
	to := move{c.To, c.Groups}
	err := s.set(ctx, to, unmoved, reports.State{Who: policy, Reason: reason, Paused: paused})
	if err != nil {
		return err
	}
	kind := "step"
	if c.Code == reports.TakeBack {
		kind = "rollback"
	}
	s.moved(ctx, kind, to, policy, reason)
	return nil
}

// pause begins or ends a pause of the policy. Ending it also ends how long a person's
// step stands.
func (s *stepper) pause(ctx context.Context, paused bool, who, reason string) error {
	err := s.switchTo(ctx, paused)
	for range 2 {
		if refused := (reports.Refusal{}); s.shared == nil || !errors.As(err, &refused) || refused.Turn != reports.Overridden {
			break
		}
		s.shared.step.Look(ctx, s) // another mirror was faster, and this is about any step
		err = s.switchTo(ctx, paused)
	}
	if err != nil {
		return err
	}
	key := "resume"
	if paused {
		key = "pause"
	}
	s.log.Info("the promotion was switched", "service", s.service, "to", key, "who", who, "reason", reason)
	s.record(ctx, divergence.Decision{At: s.now().UTC(), Kind: "promotion", Key: key, Who: who, Note: reason})
	return nil
}

// switchTo writes that the policy is paused, or is not, once the other mirrors know it.
func (s *stepper) switchTo(ctx context.Context, paused bool) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.file.State()
	next := before
	if next.Paused, next.Until = paused, (time.Time{}); s.shared != nil {
		if next, err = s.tell(ctx, before, next); err != nil {
			return err
		}
	}
	return s.file.Update(func(state *reports.State) { *state = state.Moved(next) })
}

// look judges a service and moves its step until the context ends.
func (svc *service) look(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return svc.judge.Run(ctx) })
	g.Go(func() error { return svc.pilot.Run(ctx) })
	g.Go(func() error { return svc.steps.listen(ctx) })
	g.Go(func() error { return svc.pauses.listen(ctx) })
	return g.Wait()
}
