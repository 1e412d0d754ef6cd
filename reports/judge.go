package reports

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parallax/divergence"
)

// Ticks is where a judge reads evidence: up to limit ticks of a service after a
// place in the list, in the order they are folded in.
type Ticks interface {
	Ticks(ctx context.Context, service string, after divergence.Cursor, limit int) ([]divergence.Tick, error)
}

var (
	_ Ticks = (*divergence.Store)(nil)
	_ Ticks = (*divergence.Recorder)(nil)
)

// JudgeConfig is what a judge needs. All fields but Latch, Latched and Unlatched
// are required.
type JudgeConfig struct {
	Service string
	Policy  Promotion
	Ticks   Ticks

	// Context returns what the verdict depends on besides evidence; the judge
	// fills in Service, StoreAway and Latch, and reads the evidence anew when From
	// is another. An error means that the store is away: the last context stands,
	// and the verdict is on hold.
	Context func(context.Context) (Context, error)

	// Latch is the rollback that was decided before a restart, nil for none.
	// Latched is told of each new one, to keep it outside the store, and Unlatched
	// when it is void, to forget that one and no other; their errors are logged and they are
	// told again.
	Latch     *Latch
	Latched   func(Latch) error
	Unlatched func(Latch) error

	// Decided is told of each verdict and of what it was folded from, and returns the
	// head of the chain of decisions. It must not take long. May be nil.
	Decided func(v Verdict, on Folded) (chain string)

	Now func() time.Time
	Log *slog.Logger
}

// Judge keeps the verdict on one service up to date. Its methods may be called
// from any goroutine.
type Judge struct {
	cfg    JudgeConfig
	latest atomic.Pointer[published]
	told   atomic.Pointer[accusing] // by Accuse, and not looked at yet
	began  time.Time

	mu       sync.Mutex // guards what follows; held while looking
	evidence *Evidence
	reader   reader
	context  Context
	reached  bool // the store could be read once
	away     bool // somebody was warned that it cannot
	unkept   bool // the latch is to be kept, and could not be so far
}

// published is a verdict and the signal that there is a newer one.
type published struct {
	verdict Verdict
	basis   *basis // what it was made from; nil before the first look
	newer   chan struct{}
}

// NewJudge returns a judge that has not looked yet: its verdict is hold, with the
// reason store_away.
func NewJudge(cfg JudgeConfig) *Judge {
	j := &Judge{cfg: cfg, began: cfg.Now(), evidence: NewEvidence(cfg.Policy)}
	j.reader = readFrom(j.evidence.cursor())
	first := j.evidence.Verdict(j.began, Context{Service: cfg.Service, StoreAway: true})
	j.latest.Store(&published{verdict: first, newer: make(chan struct{})})
	return j
}

// lookEvery is how often new ticks are read. Workers write one a second.
const lookEvery = time.Second

// Run looks once a second until the context ends, and then returns nil.
func (j *Judge) Run(ctx context.Context) error {
	beat := time.NewTicker(lookEvery)
	defer beat.Stop()
	for {
		j.Look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
	}
}

// Verdict returns the latest verdict. It does not wait. One that says promote and was made too
// long ago is on hold: the evidence could not be read since.
func (j *Judge) Verdict() Verdict { return j.latest.Load().verdict.fresh(j.cfg.Now()) }

func (v Verdict) fresh(now time.Time) Verdict {
	if v.Decision == Promote && now.Sub(v.AsOf) > freshVerdict {
		v.Decision, v.Final, v.Reasons = Hold, false, []Reason{{Code: StoreAway}}
	}
	return v
}

// Wait returns the latest verdict as soon as its decision is another than seen,
// or when the context ends.
func (j *Judge) Wait(ctx context.Context, seen Decision) Verdict {
	for {
		p := j.latest.Load()
		if v := p.verdict.fresh(j.cfg.Now()); v.Decision != seen {
			return v
		}
		select {
		case <-p.newer:
		case <-ctx.Done():
			return p.verdict.fresh(j.cfg.Now())
		}
	}
}

// SetPolicy makes another policy hold. The evidence is read anew at the next look,
// and what was counted under another policy does not count; nothing happens when
// the policy is the one that holds.
func (j *Judge) SetPolicy(p Promotion) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if reflect.DeepEqual(p, j.cfg.Policy) {
		return
	}
	j.cfg.Policy = p
	j.evidence = NewEvidenceFrom(p, j.evidence.from)
	j.reader = readFrom(j.evidence.cursor())
}

// Look reads what is new, and returns the verdict of now.
func (j *Judge) Look(ctx context.Context) Verdict {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.read(ctx)
	if ctx.Err() != nil {
		return j.Verdict() // stopped half-way: says nothing about the store
	}
	j.noteStore(err)
	j.hear()
	in := j.context
	in.Service, in.StoreAway, in.Latch = j.cfg.Service, err != nil, j.cfg.Latch
	in, known := remembering(in)
	v := j.evidence.Verdict(j.cfg.Now(), in)
	on := j.evidence.Folded()
	if j.cfg.Decided != nil && j.reached {
		v.Chain = j.cfg.Decided(v, on)
	}
	if err == nil {
		j.release(v.AsOf, in)
		j.keep(v)
	}
	j.keepAccused()
	j.publish(v, &basis{j.cfg.Policy, j.evidence.from, known(), v, on, j.evidence.out.late})
	return v
}

// accusing is a latch that others decided, and whether it is kept outside the store.
type accusing struct {
	latch Latch
	kept  bool
}

// Accuse has the judge roll back on what others saw, from its next look on. It does not wait.
// The caller keeps the latch; one that it could not keep is told to Latched at each look until it
// is kept, or void.
func (j *Judge) Accuse(l Latch, kept bool) { j.told.Store(&accusing{l, kept}) }

// hear takes over what others decided. Reasons of one before that nobody could keep go on with it.
func (j *Judge) hear() {
	told := j.told.Swap(nil)
	if told == nil {
		return
	}
	latch := told.latch
	if j.unkept && !j.cfg.Latch.At.Before(j.context.From) {
		latch = latch.After(j.cfg.Latch)
	}
	j.unkept = !told.kept || len(latch.Reasons) > len(told.latch.Reasons)
	j.cfg.Latch = &latch
}

// keepAccused tries again to keep a latch: the store of evidence need not be there for it.
func (j *Judge) keepAccused() {
	if !j.unkept || j.cfg.Latch == nil || j.cfg.Latched == nil || j.cfg.Latched(*j.cfg.Latch) != nil {
		return // whoever decided it has said that it is not kept
	}
	j.unkept = false
	j.cfg.Log.Info("the rollback is kept", "service", j.cfg.Service)
}

// page is how many ticks are read at once.
const page = 10_000

// read refreshes the context and folds in the ticks that are new.
func (j *Judge) read(ctx context.Context) error {
	in, err := j.cfg.Context(ctx)
	if err != nil {
		return fmt.Errorf("cannot read the state of %s: %w", j.cfg.Service, err)
	}
	j.context = in
	if !in.From.Equal(j.evidence.from) {
		j.evidence = NewEvidenceFrom(j.cfg.Policy, in.From)
		j.reader = readFrom(j.evidence.cursor())
	}
	for after := j.reader.start(j.cfg.Now()); ; {
		ticks, err := j.cfg.Ticks.Ticks(ctx, j.cfg.Service, after, page)
		if err != nil {
			return fmt.Errorf("cannot read the evidence on %s: %w", j.cfg.Service, err)
		}
		for _, t := range ticks {
			if after = t.Cursor(); j.reader.first(t) {
				j.evidence.Add(t)
			}
		}
		if len(ticks) < page {
			return nil
		}
	}
}

// startup is how long a store may take to start before anybody is warned: the
// recorder has said that it is not ready yet.
const startup = 30 * time.Second

// noteStore logs when the store goes away and when it is back.
func (j *Judge) noteStore(err error) {
	switch {
	case err != nil && !j.away && (j.reached || j.cfg.Now().Sub(j.began) >= startup):
		j.cfg.Log.Warn("the verdict is on hold", "service", j.cfg.Service, "error", err)
		j.away = true
	case err == nil && j.away:
		j.cfg.Log.Info("the evidence can be read again", "service", j.cfg.Service)
		j.away = false
	}
	j.reached = j.reached || err == nil
}

// release forgets a latch that is void.
func (j *Judge) release(now time.Time, in Context) {
	if j.cfg.Latch == nil || len(j.evidence.standing(now, in)) > 0 {
		return
	}
	if j.cfg.Unlatched != nil {
		if err := j.cfg.Unlatched(*j.cfg.Latch); err != nil {
			j.cfg.Log.Error("a rollback that is void stays on disk", "service", j.cfg.Service, "error", err)
			return
		}
	}
	j.cfg.Latch, j.unkept = nil, false
	j.cfg.Log.Info("the rollback of before is void", "service", j.cfg.Service)
}

// keep tells of a rollback that is not the one kept already. One that only the
// latch speaks for is no news.
func (j *Judge) keep(v Verdict) {
	decided := j.evidence.rollback
	if v.Decision != Rollback || j.cfg.Latched == nil || decided == nil {
		return
	}
	latch := Latch{
		At: decided.at.UTC(), RulesVersion: v.RulesVersion, Accepted: v.Accepted, PolicyVersion: v.PolicyVersion,
		CandidateVersion: v.CandidateVersion, Reasons: v.Reasons,
	}
	if j.cfg.Latch != nil && j.cfg.Latch.about(latch) {
		return
	}
	if err := j.cfg.Latched(latch); err != nil {
		j.cfg.Log.Error("the rollback would be forgotten at a restart", "service", j.cfg.Service, "error", err)
		return
	}
	j.cfg.Latch, j.unkept = &latch, false
}

// Same reports whether both are one and the same latch.
func (l Latch) Same(other Latch) bool {
	at := l.At.Equal(other.At)
	l.At = other.At
	return at && reflect.DeepEqual(l, other)
}

// After returns the latch with the reasons of an earlier one that is about the same: each of
// them stands until its own endpoint is waived.
func (l Latch) After(earlier *Latch) Latch {
	if earlier == nil || !earlier.about(l) || earlier.CandidateVersion != l.CandidateVersion {
		return l
	}
	reasons := slices.Clone(earlier.Reasons)
	for _, r := range l.Reasons {
		if !slices.ContainsFunc(reasons, func(known Reason) bool { return known.Code == r.Code && known.Endpoint == r.Endpoint }) {
			reasons = append(reasons, r)
		}
	}
	l.Reasons = reasons
	return l
}

// about says that both latches are about the same rules, policy and candidate. A
// candidate that does not tell its version is the one that is known.
func (l *Latch) about(other Latch) bool {
	return l.RulesVersion == other.RulesVersion && l.Accepted == other.Accepted && l.PolicyVersion == other.PolicyVersion &&
		(!said(other.CandidateVersion) || l.CandidateVersion == other.CandidateVersion)
}

func (j *Judge) publish(v Verdict, from *basis) {
	last := j.latest.Load()
	if last.verdict.Decision != v.Decision {
		j.cfg.Log.Info("the verdict changed", "service", v.Service, "from", last.verdict.Decision, "to", v.Decision)
	}
	j.latest.Store(&published{verdict: v, basis: from, newer: make(chan struct{})})
	close(last.newer)
}
