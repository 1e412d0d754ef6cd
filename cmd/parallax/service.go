package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parallax"
	"parallax/compare"
	"parallax/divergence"
	"parallax/internal/body"
	"parallax/mirror"
	"parallax/mirror/split"
	"parallax/reports"
	"parallax/ui"
)

// service is one service of the configuration at work. What a reload replaces is
// in terms.
type service struct {
	name      string
	terms     atomic.Pointer[terms]
	mirror    *mirror.Mirror
	judge     *reports.Judge // what its evidence comes to
	steps     *stepper
	pilot     *pilot // moves the step as the policy says
	pauses    *mirroring
	copies    *copying
	recorder  *divergence.Recorder
	ledger    *divergence.Ledger
	effects   sideEffects
	blind     atomic.Pointer[divergence.BlindSpots] // found last; nil: not looked for yet
	tables    atomic.Pointer[reports.Tables]        // compared last; nil: not yet
	said      func() (divergence.Said, bool)        // about its issues
	restarted func() time.Time                      // when a person last started evidence anew, in whichever process
	drift     *divergence.Drift                     // rows of its databases that differ already
	shapes    shapes                                // what it wrote where nothing is compared
	editor    ruleEditor

	listener net.Listener // guarded by server.mu once it serves
	outward               // the calls of its legs
	stop     context.CancelFunc
	judging  *stage
}

// terms are what a service is configured to be: one immutable value, so that
// nobody sees the rules of one configuration with the policy of another.
type terms struct {
	cfg      ServiceConfig
	compares *divergence.Judge // what its exchanges are compared by

	saved   divergence.SavedRules // that are in force besides those of cfg, or were to be
	leftOut string                // why they are not
}

// newTerms makes the terms of a configuration. What the noise model has learnt
// goes on from the terms before, nil for none.
func newTerms(c ServiceConfig, redaction []byte, board *divergence.Board, before *terms) (*terms, []parallax.Fault) {
	saved := board.Rules(c.Name)
	all, leftOut := withSaved(c.Rules, saved.Text)
	rules, faults := compare.Compile(all)
	zero, _ := compare.ParseZero(c.Promotion.Zero) // faults are named with the policy's
	redactor, more := compare.NewRedactor(redaction, c.Redact)
	did, wrong := newEffects(c.Effects)
	faults = append(append(parallax.Under("rules", faults), parallax.Under("redact", more)...), wrong...)
	if len(faults) > 0 {
		return nil, faults
	}
	noise, known := new(compare.NoiseModel), newIdentifiers(c)
	if before != nil {
		noise, known.Map = before.compares.Noise, before.compares.IDs.Map
	}
	judge := &divergence.Judge{
		Rules: rules.WithMessages(c.messages).WithVersionHeaders(c.VersionHeaders()...).With("identifiers", known.Set.Version()).With("effects", did.Version()),
		IDs:   known, Effects: did, Noise: noise, Redactor: redactor.WithMessages(c.messages), Policy: c.Promotion.Hash(), Zero: zero, MaxRepeat: c.Promotion.RepeatShare,
		Accepted: func() *compare.Acceptances { return board.Accepted(c.Name) },
		Slower:   divergence.Slower{Ratio: c.Promotion.Slower.Ratio, Plus: c.Promotion.Slower.Plus},
	}
	return &terms{c, judge, saved, savedFault(saved, leftOut)}, nil
}

// newService builds a service and opens its listener. The step is read before a
// request can come in.
func (s *server) newService(c ServiceConfig) (_ *service, err error) {
	t, faults := newTerms(c, s.redaction, s.board, nil)
	m, more := mirror.New(c.Service, s.deps)
	if faults = append(faults, more...); len(faults) > 0 {
		return nil, fmt.Errorf("cannot build service %q: %w", c.Name, faults[0])
	}
	svc := &service{name: c.Name, mirror: m, recorder: s.recorder, ledger: s.ledger, drift: divergence.NewDrift(s.now, s.redaction)}
	svc.editor = ruleEditor{s, svc}
	svc.said = func() (divergence.Said, bool) { return s.board.Said(c.Name) }
	svc.restarted = func() time.Time { return s.board.RestartedAt(c.Name) }
	defer func() {
		if err != nil {
			m.Close()
		}
	}()
	t.compares.IDs.Map = m.Identifiers()
	svc.adopt(t)
	svc.terms.Store(t)
	s.readNoise(c.Name, t.compares.Noise)
	svc.steps = &stepper{service: c.Name, split: m.Split(), store: s.store, now: s.now, log: s.log, bounds: svc}
	if s.steps != nil {
		svc.steps.shared = &sharing{step: s.steps.Step(c.Name), lease: s.lease}
	}
	svc.steps.outside.Store(newOutside(c.Split.Push, svc.steps))
	svc.pilot = &pilot{svc: svc, log: s.log, may: s.maySteer, told: s.answeredOf(c.Name)}
	if err := s.readState(svc); err != nil {
		return nil, err
	}
	if svc.listener, err = s.listen(c.Name, c.Listen); err != nil {
		return nil, fmt.Errorf("cannot open the listener of service %q: %w", c.Name, err)
	}
	if svc.outward, err = s.newOutward(c); err != nil {
		svc.listener.Close()
		return nil, err
	}
	g, err := s.newGathering(svc, c)
	if err != nil {
		svc.listener.Close()
		svc.outward.close()
		return nil, err
	}
	svc.effects.now.Store(g)
	return svc, nil
}

// readState puts the step on disk in force and makes the judge that knows the
// latch on disk. Nobody else writes the file from then on.
func (s *server) readState(svc *service) error {
	file, err := reports.OpenState(s.cfg.StateDir, svc.name)
	if err != nil {
		return err
	}
	if err := s.board.Open(svc.name); err != nil {
		return err
	}
	s.putSaved(svc)
	chain := reports.NewChain(s.cfg.StateDir, svc.name, s.now, s.log)
	svc.steps.file, svc.steps.chain = file, chain
	if err := svc.steps.regroup(svc.terms.Load().cfg.Split); err != nil {
		return err
	}
	svc.pauses = newMirroring(svc.mirror, file, svc.steps)
	if s.steps != nil {
		svc.pauses.shared = &sharedPause{sw: s.steps.Switch(svc.name)}
	}
	svc.copies = newCopying(svc, file, s.ledger, svc.copies)
	svc.judge = reports.NewJudge(reports.JudgeConfig{
		Service: svc.name, Policy: svc.terms.Load().cfg.Promotion, Ticks: s.recorder, Context: svc.context,
		Latch: file.State().Latch, Latched: svc.steps.latch, Unlatched: svc.steps.unlatch, Decided: chain.Decide, Now: s.now, Log: s.log,
	})
	return nil
}

// context is what the verdict depends on besides the evidence.
func (svc *service) context(ctx context.Context) (reports.Context, error) {
	// Without the store it is what this process counted; that the store is away
	// is for the evidence to say.
	held, _ := svc.recorder.Totals(ctx, svc.name)
	said, known := svc.said()
	if !known {
		return reports.Context{}, errors.New("what people said about issues is not known yet")
	}
	terms := svc.terms.Load()
	state, at, judge := svc.steps.State(), svc.steps.now(), terms.compares
	return reports.Context{
		Step:         state.Step,
		RulesVersion: judge.Rules.Version(), Accepted: judge.AcceptedAt(at),
		RulesHash:  func(endpoint string) string { return judge.HashAt(endpoint, at) },
		Accounting: held,
		Paused:     state.Paused,
		From:       svc.evidenceFrom(state),
		Said:       said,
		Declared:   slices.Concat(terms.cfg.Endpoints, terms.cfg.Documented),

		MirroringPaused: cmp.Or(svc.copies.why(), svc.pauses.why()),
		Tripped:         svc.pauses.tripped(),
		Caught:          svc.caught(),
		RulesLeftOut:    terms.leftOut,

		Groups:     groups(terms.cfg.Split),
		GroupSteps: groupSteps(state),
	}, nil
}

// evidenceFrom is when a person last started evidence anew, here or in another process.
func (svc *service) evidenceFrom(state reports.State) time.Time {
	if elsewhere := svc.restarted(); elsewhere.After(state.EvidenceFrom) {
		return elsewhere
	}
	return state.EvidenceFrom
}

// RestartEvidence sets aside what was counted so far, on a person's word, and
// returns when the verdict is one on new evidence.
func (svc *service) RestartEvidence(ctx context.Context, who, reason string) error {
	if err := svc.steps.restartEvidence(ctx, who, reason); err != nil {
		return err
	}
	svc.judge.Look(ctx)
	return nil
}

func (svc *service) forUI() ui.Service {
	out := ui.Service{
		Noise: func(endpoint string) []compare.NoisePlace { return svc.terms.Load().compares.Noise.Places(endpoint) },
		Name:  svc.name, Listen: svc.listener.Addr().String(), Judge: svc.judge, Stepper: svc.steps, Shared: svc.sharedStep, Promotion: svc.pilot,
		EffectTables: svc.effectTables,
		Rules:        func() *compare.Rules { return svc.terms.Load().compares.Rules }, Editor: svc.editor, BlindSpots: svc.blind.Load, Tables: svc.tables.Load, Drifted: svc.drift.Rows,
		Events: svc.eventInboxes(), Evidence: svc, Mirroring: svc.pauses, Copying: svc.copies, Splitters: svc.splitters, Audience: svc.audience, WayBack: svc.wayBack, Groups: groups(svc.terms.Load().cfg.Split), MissingWrites: svc.missingWrites, Legs: svc.legs, Vitals: svc.vitals, MaxDivergenceRate: svc.terms.Load().cfg.Promotion.MaxDivergenceRate,
	}
	if _, unserved := svc.listener.(*unserved); unserved {
		out.Copying = nil
		out.Audience, out.WayBack, out.MissingWrites = nil, nil, nil
	}
	return out
}

// effectTables is what the legs call tables and columns, nil where their changes are not compared.
func (svc *service) effectTables() *compare.EffectTables {
	if e := svc.terms.Load().compares.Effects; e != nil {
		return e.Tables
	}
	return nil
}

// audience is known where Parallax splits users itself.
func (svc *service) audience(step int) (ui.Audience, bool) {
	c := svc.terms.Load().cfg
	if c.Tap || len(c.Split.Push) > 0 {
		return ui.Audience{}, false
	}
	a := svc.mirror.Audience(step)
	return ui.Audience{Since: a.Since.UTC(), Seen: a.Seen, WouldMeet: a.WouldMeet, More: a.More, Unknown: a.Unknown, Stay: c.PartitionedBy != ""}, true
}

// troubledFor is how long after a failure a leg is shown as not healthy.
const troubledFor = 10 * time.Second

func (svc *service) legs() []ui.LegStatus {
	var out []ui.LegStatus
	for _, l := range svc.mirror.Legs() {
		status := ui.LegStatus{Leg: l.Leg.String(), URLs: l.URLs, State: string(l.State), Healthy: true, InFlight: l.InFlight, BreakerOpen: l.BreakerOpen}
		if l.Leg == parallax.Primary {
			status.State = ""
		}
		if e := l.LastError; e != nil {
			status.LastError = &ui.LegFailure{At: e.At.UTC(), Text: fmt.Sprintf("%s: %s", e.Kind, e.Text)}
		}
		if e := l.LastError; e != nil && svc.steps.now().Sub(e.At) < troubledFor {
			status.Healthy = false
			status.Detail = fmt.Sprintf("%s: %s", e.Kind, e.Text)
		}
		status.Instances = instances(l)
		if m := l.Missed; m != (mirror.Missed{}) {
			status.Missed = &ui.MissedWrites{Waiting: m.Waiting, Bytes: m.Bytes, Tainted: m.Tainted, All: m.All}
		}
		if why := unwell(l); why != "" {
			status.Healthy, status.Detail = false, why
		}
		out = append(out, status)
	}
	return out
}

func instances(l mirror.LegStatus) []ui.InstanceStatus {
	out := make([]ui.InstanceStatus, len(l.Instances))
	for n, i := range l.Instances {
		out[n] = ui.InstanceStatus{Name: i.Name, Up: i.Up, Reason: i.Reason}
	}
	return out
}

// unwell says what is wrong with a leg besides its latest failure, or "".
func unwell(l mirror.LegStatus) string {
	up := 0
	for _, i := range l.Instances {
		if i.Up {
			up++
		}
	}
	switch {
	case l.BreakerOpen:
		return "not asked as a shadow for now: it gave no answers"
	case len(l.Instances) == 0:
		return "no instance is known"
	case up == 0:
		return "no instance is up"
	}
	return ""
}

// judgeOf returns what the exchanges of a service are compared by.
func (s *server) judgeOf(name string) *divergence.Judge {
	if svc := s.current.Load().byName[name]; svc != nil {
		return svc.terms.Load().compares
	}
	return nil
}

// askAgain asks both legs of a diverging safe exchange again, if that may be.
func (s *server) askAgain(x *parallax.Exchange, then func(second [parallax.Legs]*parallax.Call)) (ask func()) {
	if svc := s.current.Load().byName[x.Service]; svc != nil {
		return svc.mirror.AskAgain(x, then)
	}
	return nil
}

// hashes names the rules and the policy that hold for an endpoint.
func (s *server) hashes(name, endpoint string) (rules, policy string) {
	judge := s.judgeOf(name)
	if judge == nil {
		return "", ""
	}
	return judge.HashAt(endpoint, s.now()), judge.Policy
}

// maxDecoded bounds what a stored body may become when it is shown, in bytes.
const maxDecoded = 8 << 20

func decodeBody(encoding string, b []byte) ([]byte, error) {
	return body.Decode(encoding, b, maxDecoded)
}

// stepper moves the step of one service. What is in force and what is on disk
// are the same when a call returns without error, however many come at once.
type stepper struct {
	service string
	file    *reports.StateFile
	chain   *reports.Chain
	split   *split.Splitter
	store   *divergence.Store
	now     func() time.Time
	log     *slog.Logger
	bounds  stepBounds
	outside atomic.Pointer[outside] // splitters besides split; nil: none
	shared  *sharing                // with other mirrors; nil: it is not

	mu sync.Mutex // one change at a time, of file and split together

	forcing sync.Mutex // guards back, and what is in force
	back    int        // rollbacks that are in force, and wait for mu
}

var _ ui.Stepper = (*stepper)(nil)

// State returns the step in force and how it came about.
func (s *stepper) State() reports.State { return s.file.State() }

// SetStep writes the step to disk, then puts it in force: after a crash nobody is
// on the candidate whom the file does not know of. It ends a pause of the policy,
// against which it stands for as long as the policy says.
func (s *stepper) SetStep(ctx context.Context, step int, who, reason string) error {
	return s.setStep(ctx, move{step: step}, who, reason)
}

// SetGroupStep is SetStep of one group of endpoints.
func (s *stepper) SetGroupStep(ctx context.Context, group string, step int, who, reason string) error {
	return s.setStep(ctx, move{step, []string{group}}, who, reason)
}

func (s *stepper) setStep(ctx context.Context, to move, who, reason string) error {
	until := s.now().UTC().Add(s.bounds.override())
	err := s.set(ctx, to, func(state reports.State) error { return s.mayBe(to, state) }, reports.State{Who: who, Reason: reason, Until: until})
	if err != nil {
		return err
	}
	s.settle(ctx)
	s.moved(ctx, "step", to, who, reason)
	return nil
}

// mayBe says why a step may not be set, if it may not.
func (s *stepper) mayBe(to move, state reports.State) error {
	if g := to.unknown(state); g != "" {
		return reports.Refusal{Turn: reports.Refused, Text: fmt.Sprintf("there is no group %q of endpoints any more", g)}
	}
	if !to.raises(state) {
		return nil
	}
	if why := s.bounds.refusal(state); why != "" {
		return reports.Refusal{Turn: reports.Refused, Text: why}
	}
	return nil
}

// Rollback puts step 0 in force before anything else: a step that is being set comes to its
// end, and not into force. It pauses the policy. It is refused while the primary is down,
// where users would have nobody who answers them.
func (s *stepper) Rollback(ctx context.Context, who, reason string) error {
	if down := s.bounds.primaryDown(); down != "" && s.step() > 0 {
		return reports.Refusal{Turn: reports.NowhereBack, Text: "the primary is down, so nobody is sent back to it: " + down}
	}
	return s.ForceRollback(ctx, who, reason)
}

// ForceRollback is Rollback whether or not the primary is up.
func (s *stepper) ForceRollback(ctx context.Context, who, reason string) error {
	err := s.setBack(ctx, reports.State{Who: who, Reason: reason, Paused: true})
	s.settle(ctx)
	s.moved(ctx, "rollback", move{}, who, reason)
	return err
}

// set writes a step and puts it in force, with what the state says about it, unless
// it may not be any more. Step 0 is in force even if it cannot be written.
func (s *stepper) set(ctx context.Context, to move, may func(reports.State) error, by reports.State) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.change(ctx, to, may, by)
}

// setBack is set of step 0, which is in force before another change has come to its end.
func (s *stepper) setBack(ctx context.Context, by reports.State) error {
	s.goBack(1)
	s.force(reports.State{At: s.now().UTC(), Who: by.Who})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.goBack(-1)
	return s.change(ctx, move{}, nil, by)
}

// goBack keeps all other steps from coming into force, or ends that.
func (s *stepper) goBack(n int) {
	s.forcing.Lock()
	defer s.forcing.Unlock()
	s.back += n
}

// change is set for who holds mu.
func (s *stepper) change(ctx context.Context, to move, may func(reports.State) error, by reports.State) error {
	before := s.file.State()
	if may != nil {
		if err := may(before); err != nil {
			return err
		}
	}
	stand := before.WithStep(to.step, s.now().UTC(), to.groups...)
	by.Step, by.Groups, by.At = stand.Step, stand.Groups, stand.At
	if to.step == 0 {
		s.force(by)
	}
	if to.step > 0 && before.Copy != nil && before.Copy.Ended.IsZero() {
		return errors.New("the database of the candidate is being made anew: end or cancel the copy first")
	}
	next, err := s.share(ctx, before, by)
	if err != nil {
		return err
	}
	if err := s.file.Update(func(state *reports.State) { *state = state.Moved(next) }); err != nil {
		return err
	}
	s.force(next)
	return nil
}

// latch keeps a rollback that the evidence decided.
func (s *stepper) latch(l reports.Latch) error {
	return s.file.Update(func(state *reports.State) { state.Latch = &l })
}

// unlatch forgets a rollback that no longer holds. Another one that came meanwhile stays.
func (s *stepper) unlatch(void reports.Latch) error {
	if kept := s.file.State().Latch; kept == nil || !kept.Same(void) {
		return nil
	}
	return s.file.Update(func(state *reports.State) {
		if state.Latch != nil && state.Latch.Same(void) {
			state.Latch = nil
		}
	})
}

// restartEvidence writes down from when on evidence counts.
func (s *stepper) restartEvidence(ctx context.Context, who, reason string) error {
	at := s.now().UTC()
	if err := s.file.Update(func(state *reports.State) { state.RestartEvidence(at) }); err != nil {
		return err
	}
	s.log.Info("evidence starts anew", "service", s.service, "who", who, "reason", reason)
	s.record(ctx, divergence.Decision{At: at, Kind: divergence.RestartKind, Key: divergence.RestartKey, Who: who, Note: reason})
	return nil
}

// recordWithin bounds how long a change waits for the store's history.
const recordWithin = 2 * time.Second

// record notes a change in the store's history. The file is what counts, so a
// store that is away is only logged.
func (s *stepper) record(ctx context.Context, d divergence.Decision) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	d.Service = s.service
	if err := s.store.AppendDecision(ctx, d); err != nil {
		s.log.Warn("a change is not in the store's history", "service", s.service, "kind", d.Kind, "error", err)
	}
}

// moved logs and records a change of the step.
func (s *stepper) moved(ctx context.Context, kind string, to move, who, reason string) {
	s.log.Info("the step changed", "service", s.service, "step", to.step, "groups", to.groups, "who", who, "reason", reason)
	s.chain.Move(reports.ChainKind(kind), reports.Moved{Step: to.step, Groups: to.groups, Who: who, Reason: reason})
	s.record(ctx, divergence.Decision{At: s.now().UTC(), Kind: kind, Key: to.key(), Value: fmt.Sprint(to.step), Who: who, Note: reason})
}
