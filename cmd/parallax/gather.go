package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parallax"
	"parallax/compare"
	"parallax/compare/effects"
	"parallax/compare/effects/debezium"
	"parallax/compare/effects/postgres"
	"parallax/divergence"
	"parallax/internal/ids"
	"parallax/mirror"
	"parallax/ui"
)

// gathering reads the databases of a service and joins what they commit to its
// exchanges. It is replaced whole when another reading is configured.
type gathering struct {
	config  effects.Config
	joiner  *effects.Joiner
	inboxes map[parallax.Leg]*debezium.Inbox // of legs whose changes Debezium sends
	at      *stage                           // nil before it runs
}

// sideEffects is what a service has of effects.
type sideEffects struct {
	now    atomic.Pointer[gathering] // nil: no databases are configured
	missed atomic.Bool               // something was not learned, or read by a joiner that is gone
	warned sync.Once                 // that identifiers cannot be learned
}

// gather makes an exchange wait for its effects, if its service's databases are read.
func (s *server) gather(x *parallax.Exchange, then func(*parallax.Exchange)) func() {
	svc := s.current.Load().byName[x.Service]
	if svc == nil {
		return nil
	}
	g := svc.effects.now.Load()
	if g == nil {
		return nil
	}
	return func() { g.joiner.Gather(x, then) }
}

// newGathering builds what reads the databases of a service, nil if there are none. It
// does not ask them yet.
func (s *server) newGathering(svc *service, cfg ServiceConfig) (*gathering, error) {
	c := cfg.Effects
	if !c.Configured() {
		return nil, nil
	}
	g := &gathering{config: c, inboxes: map[parallax.Leg]*debezium.Inbox{}}
	g.joiner = effects.NewJoiner(effects.JoinerConfig{
		Service: svc.name, Config: c, Now: s.now, Log: s.log, Metrics: s.effectMetrics,
		Learn: svc.learnEffects(s.log), Makes: svc.effectMakes, Lost: svc.effectsLost, Late: svc.keepLate, Shadow: svc.shadowWrote, Written: svc.keepWritten, Shape: svc.keepShape,
	})
	for _, leg := range []parallax.Leg{parallax.Primary, parallax.Candidate} {
		if err := g.read(leg, s.log, s.now); err != nil {
			return nil, fmt.Errorf("cannot read the databases of the %s of service %q: %w", leg, svc.name, err)
		}
		if cfg.Egress.Configured() {
			g.joiner.Add(leg, "the calls of the "+leg.String(), svc.egress.Reader(leg))
		}
	}
	return g, nil
}

// read adds the readers of a leg's databases, and of what it says that it sent.
func (g *gathering) read(leg parallax.Leg, log *slog.Logger, now func() time.Time) error {
	var (
		sent  []debezium.Source
		sinks []string
	)
	for _, d := range g.config.Databases(leg) {
		switch {
		case d.Outbox:
			sinks = append(sinks, d.Tables...)
		case d.Debezium != "":
			sent = append(sent, debezium.Source{Name: d.Debezium, Tables: d.Tables, Keys: d.Keys, Delay: d.Delay})
		default:
			reader, err := postgres.New(sourceOf(d), log, now)
			if err != nil {
				return err
			}
			g.joiner.Add(leg, d.Name(), reader)
		}
	}
	if len(sent)+len(sinks) == 0 {
		return nil
	}
	inbox, err := debezium.NewInbox(sent, sinks, now)
	if err != nil {
		return err
	}
	g.inboxes[leg] = inbox
	for _, d := range sent {
		g.joiner.Add(leg, "debezium "+d.Name, inbox.Reader(d.Name))
	}
	if len(sinks) > 0 {
		g.joiner.Add(leg, "outbox", inbox.Outbox())
	}
	return nil
}

// eventInboxes is where a service's change events go, by leg.
func (svc *service) eventInboxes() map[string]ui.EventInbox {
	out := map[string]ui.EventInbox{}
	if g := svc.effects.now.Load(); g != nil {
		for leg, inbox := range g.inboxes {
			out[leg.String()] = eventInbox{inbox}
		}
	}
	return out
}

// eventInbox is an inbox as pages and API know it.
type eventInbox struct{ *debezium.Inbox }

// Take implements [ui.EventInbox].
func (in eventInbox) Take(body []byte, database string) (taken ui.TakenEvents) {
	var err error
	taken.Events, err = in.Inbox.Take(body, database)
	var faults debezium.Faults
	switch {
	case errors.Is(err, debezium.ErrFull):
		taken.Full = true
	case errors.As(err, &faults):
		for _, f := range faults {
			taken.Faults = append(taken.Faults, f.String())
		}
	case err != nil:
		taken.Faults = []string{err.Error()}
	}
	return taken
}

// Stats implements [ui.EventInbox].
func (in eventInbox) Stats() ui.EventStats {
	stats := in.Inbox.Stats()
	out := ui.EventStats{Wrong: stats.Wrong, Full: stats.Full}
	for _, name := range slices.Sorted(maps.Keys(stats.Read)) {
		s := stats.Read[name]
		out.Databases = append(out.Databases, ui.EventDatabase{
			Database: name, Read: s.Events - s.Duplicates - s.Unlisted, Duplicate: s.Duplicates, Unlisted: s.Unlisted, Late: s.Late, Incomplete: s.Incomplete, Waiting: s.Waiting,
		})
	}
	return out
}

func sourceOf(d effects.Database) postgres.Source {
	return postgres.Source{DSN: string(d.Postgres), Tables: d.Tables, Publication: d.Publication, MaxLag: int64(d.MaxLag)}
}

// keepCountsEvery is how often what was counted of effects is handed to the store.
const keepCountsEvery = time.Second

// start begins to read.
func (g *gathering) start(svc *service, store *divergence.Store) {
	if g == nil {
		return
	}
	g.at = background(func(ctx context.Context) error {
		keeping := background(func(ctx context.Context) error {
			for ctx.Err() == nil {
				keepCounts(svc.name, g.joiner, svc.recorder)
				svc.keepDrift(ctx, store)
				select {
				case <-time.After(keepCountsEvery):
				case <-ctx.Done():
				}
			}
			return nil
		})
		err := g.joiner.Run(ctx)
		_ = keeping.stop() // it has no errors
		keepCounts(svc.name, g.joiner, svc.recorder)
		svc.recorder.KeepDrift(svc.name, svc.drift)
		return err
	})
}

// keepDrift takes up which rows differed before this process began, as soon as the store is
// there, and hands to it what changed since.
func (svc *service) keepDrift(ctx context.Context, store *divergence.Store) {
	if svc.recorder.Err() == nil && svc.drift.Load(ctx, store, svc.name) == nil {
		svc.recorder.KeepDrift(svc.name, svc.drift)
	}
}

// end ends reading. What still waits is handed on as not known.
func (g *gathering) end() error {
	if g == nil || g.at == nil {
		return nil
	}
	return g.at.stop()
}

// keepCounts hands what was counted to the store.
func keepCounts(service string, j *effects.Joiner, recorder *divergence.Recorder) {
	list, gaps := j.TakeCounts()
	counts := make([]divergence.EffectCount, len(list))
	for i, c := range list {
		counts[i] = divergence.EffectCount{Minute: c.Minute, Service: service, Leg: c.Leg.String(), Table: c.Table, Count: string(c.Count), N: c.N}
	}
	rows := make([]divergence.EffectGap, len(gaps))
	for i, g := range gaps {
		rows[i] = divergence.EffectGap{Service: service, Leg: g.Leg.String(), Database: g.Database, From: g.From, Until: g.Until, Why: g.Why}
	}
	recorder.NoteEffects(counts, rows)
}

// newEffects is what a service's effects are compared by, nil if none are read.
func newEffects(c effects.Config) (*divergence.Effects, []parallax.Fault) {
	tables, faults := compare.CompileEffectTables(c.Tables)
	if len(faults) > 0 || !c.Configured() {
		return nil, parallax.Under("effects.tables", faults)
	}
	return &divergence.Effects{Tables: tables}, nil
}

// adopt makes terms look values up where the service keeps them.
func (svc *service) adopt(t *terms) {
	if e := t.compares.Effects; e != nil {
		e.Map, e.Missed, e.Drift = t.compares.IDs.Map, svc.effectsMissed, svc.drift
	}
}

// effectsMissed reports whether values may have been made up that nobody read.
func (svc *service) effectsMissed() bool {
	g := svc.effects.now.Load()
	return svc.effects.missed.Load() || g != nil && g.joiner.Missed()
}

// learnEffects returns what learns which values of the two legs belong together.
func (svc *service) learnEffects(log *slog.Logger) func(*parallax.Exchange) ([]ids.Ref, func() bool) {
	return func(x *parallax.Exchange) ([]ids.Ref, func() bool) {
		svc.notePart(x)
		e := svc.terms.Load().compares.Effects
		if e == nil {
			return nil, nil
		}
		needs, learn := e.Learning(x)
		if learn == nil {
			return needs, nil
		}
		return needs, func() bool {
			err := learn()
			if err != nil {
				svc.effects.missed.Store(true)
				svc.effects.warned.Do(func() {
					log.Warn("values that databases made up cannot be noted; what refers to them later is not comparable", "service", svc.name, "error", err)
				})
			}
			return err == nil
		}
	}
}

// effectsLost notes values whose partners nobody will learn.
func (svc *service) effectsLost(refs []ids.Ref) {
	if e := svc.terms.Load().compares.Effects; e == nil || e.Lose(refs) != nil {
		svc.effects.missed.Store(true)
	}
}

// effectMakes lists the values that a leg's database made up with a row.
func (svc *service) effectMakes(leg parallax.Leg, table string, row []parallax.Column) []ids.Ref {
	if e := svc.terms.Load().compares.Effects; e != nil {
		return e.Tables.Makes(leg, table, row)
	}
	return nil
}

// keepLate stores what was committed too late to be compared.
func (svc *service) keepLate(l effects.Late) {
	compares := svc.terms.Load().compares
	compares.Effects.Late(l.Leg, l.Effects)
	list := compares.Redactor.Effects(l.Effects)
	svc.recorder.NoteLate(divergence.LateEffects{ID: l.Exchange, Stamp: l.Stamp, Leg: l.Leg, Effects: list})
}

// shadowWrote stops mirroring to a leg that commits as a shadow what its state does not
// let it: to another leg's database, or to its own unless that is its own copy.
func (svc *service) shadowWrote(w effects.ShadowWrite) {
	cfg := svc.terms.Load().cfg
	leg := map[parallax.Leg]mirror.LegConfig{parallax.Candidate: cfg.Candidate, parallax.Secondary: cfg.Secondary}
	state, shadow := leg[w.By].State, w.By != parallax.Primary
	if !shadow || w.By == w.In && state == mirror.Own {
		return
	}
	svc.mirror.Trip(w.By, fmt.Sprintf("its state is %s, and its request of exchange %s has changed %s in the database of the %s", state, w.Exchange, w.Table, w.In))
}

// rereads reports whether databases are read otherwise than before. What is compared of
// them, and how long exchanges wait for it, may change while they are read.
func rereads(before, after ServiceConfig) bool {
	a, b := before.Effects.Reading(), after.Effects.Reading()
	return !reflect.DeepEqual(a, b) || before.Egress.Configured() != after.Egress.Configured()
}

// reread makes a service's databases be read otherwise. What waits is handed on as not
// known. The caller holds mu.
func (s *server) reread(svc *service, next *gathering) {
	svc.effects.missed.Store(true) // Whatever is made up meanwhile.
	next.start(svc, s.store)
	before := svc.effects.now.Swap(next)
	s.mirrors.Go(before.end)
}

// stopGathering ends the reading of all services' databases.
func (s *server) stopGathering() (err error) {
	for _, svc := range s.current.Load().byName {
		if wrong := svc.effects.now.Load().end(); err == nil {
			err = wrong
		}
	}
	return err
}
