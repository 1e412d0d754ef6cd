package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"parallax"
	"parallax/divergence"
	"parallax/mirror"
	"parallax/reports"
	"parallax/ui"
)

// mirroring pauses and resumes the mirroring of one service on a person's word,
// which survives a restart, and so does that a leg has tripped.
type mirroring struct {
	mirror *mirror.Mirror
	file   *reports.StateFile
	now    func() time.Time
	record func(context.Context, divergence.Decision) // into the store's history
	log    *slog.Logger

	shared *sharedPause // with other processes; nil: it is this one's

	mu sync.Mutex // one change at a time, of file and mirror together
}

var _ ui.Mirroring = (*mirroring)(nil)

// newMirroring puts the pause on disk in force, which a person began before a
// restart, and the trips of legs.
func newMirroring(m *mirror.Mirror, file *reports.StateFile, steps *stepper) *mirroring {
	state := file.State()
	if p := state.Mirroring; p != nil {
		m.Pause(mirror.Pause{By: mirror.ByPerson, Who: p.Who, Reason: p.Reason, At: p.At})
	} else {
		m.Resume(mirror.ByPerson)
	}
	var trips []mirror.Trip
	for _, t := range state.Tripped {
		leg, _ := parallax.ParseLeg(t.Leg) // checked when the file was read
		trips = append(trips, mirror.Trip{Leg: leg, Reason: t.Reason, At: t.At})
	}
	m.SetTrips(trips)
	out := &mirroring{mirror: m, file: file, now: steps.now, record: steps.record, log: steps.log.With("service", steps.service)}
	m.OnTrip(out.keepTrip)
	return out
}

// keepTrip writes a trip down, which is in force by then, unless a person has
// released the leg meanwhile.
func (m *mirroring) keepTrip(t mirror.Trip) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.mirror.Tripped(), t) {
		return
	}
	err := m.file.Update(func(s *reports.State) { s.Tripped = legTrips(m.mirror.Tripped()) })
	if err != nil {
		m.log.Error("that mirroring to a leg has stopped would not outlive this process", "leg", t.Leg.String(), "error", err)
	}
	m.record(context.Background(), divergence.Decision{At: t.At, Kind: "mirroring", Key: "tripped", Value: t.Leg.String(), Who: "parallax", Note: t.Reason})
}

func legTrips(trips []mirror.Trip) []reports.LegTrip {
	var out []reports.LegTrip
	for _, t := range trips {
		out = append(out, reports.LegTrip{Leg: t.Leg.String(), Reason: t.Reason, At: t.At})
	}
	return out
}

// tripped says which legs are asked as a shadow no more and why, for the verdict; ""
// while there is none.
func (m *mirroring) tripped() string {
	var out []string
	for _, t := range m.mirror.Tripped() {
		out = append(out, fmt.Sprintf("the %s is not asked as a shadow, %s", t.Leg, strings.TrimSuffix(t.Reason, ".")))
	}
	return strings.Join(out, "; ")
}

// State implements ui.Mirroring.
func (m *mirroring) State() ui.MirroringState {
	var state ui.MirroringState
	if p, paused := m.mirror.Paused(); paused {
		state = ui.MirroringState{Paused: true, By: string(p.By), Who: p.Who, Reason: p.Reason, At: p.At, Until: p.Until}
	}
	for _, t := range m.mirror.Tripped() {
		state.Tripped = append(state.Tripped, ui.LegTrip{Leg: t.Leg.String(), Reason: t.Reason, At: t.At})
	}
	state.Shared = m.sharedState()
	return state
}

// why says why mirroring is paused, for the verdict; "" while it is not.
func (m *mirroring) why() string {
	p, paused := m.mirror.Paused()
	switch {
	case !paused:
		return ""
	case p.Reason == "":
		return "by " + string(p.By)
	}
	return p.Reason
}

// Pause puts the pause in force before it writes it down, and before it tells others: whoever
// asks for it is in a hurry. It returns when all have followed that can be heard.
func (m *mirroring) Pause(ctx context.Context, who, reason string) error {
	at := m.now().UTC()
	err := m.pause(who, reason, at)
	m.record(ctx, divergence.Decision{At: at, Kind: "mirroring", Key: "paused", Value: "true", Who: who, Note: reason})
	if m.shared != nil {
		m.followed(ctx)
	}
	return err
}

func (m *mirroring) pause(who, reason string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mirror.Pause(mirror.Pause{By: mirror.ByPerson, Who: who, Reason: reason, At: at})
	return m.file.Update(func(s *reports.State) {
		s.Mirroring, s.MirroringOwed = &reports.MirroringPause{Who: who, Reason: reason, At: at}, m.shared != nil
	})
}

// Resume writes down that the pause is over, and the legs are released, before it is
// so, so that after a crash nothing is mirrored that a person stopped. Where others share it,
// they are told before: while they cannot be, the pause goes on.
func (m *mirroring) Resume(ctx context.Context, who, reason string) error {
	at := m.now().UTC()
	if m.shared == nil {
		if err := m.resume(); err != nil {
			return err
		}
	} else if err := m.resumeAll(ctx, who, reason, at); err != nil {
		return err
	}
	m.record(ctx, divergence.Decision{At: at, Kind: "mirroring", Key: "paused", Value: "false", Who: who, Note: reason})
	if m.shared != nil {
		m.followed(ctx)
	}
	return nil
}

// resume ends a pause that nobody else shares.
func (m *mirroring) resume() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.end(0)
}

// end ends the pause by a word of a version. The caller holds the lock.
func (m *mirroring) end(version uint64) error {
	err := m.file.Update(func(s *reports.State) {
		s.Mirroring, s.Tripped, s.MirroringVersion, s.MirroringOwed = nil, nil, version, false
	})
	if err != nil {
		return err
	}
	m.mirror.SetTrips(nil)
	m.mirror.Resume()
	return nil
}

// pauseOnSignal pauses mirroring of all services at a SIGUSR1, and at the next one
// ends the pauses that signals began, until ctx ends. Pauses by persons and by
// watchdogs stay.
func (s *server) pauseOnSignal(ctx context.Context, signals <-chan os.Signal) error {
	for {
		select {
		case <-signals:
			s.togglePause()
		case <-ctx.Done():
			return nil
		}
	}
}

// togglePause waits for no reload and for no new process to be built: whoever
// sends the signal is in a hurry.
func (s *server) togglePause() {
	s.pausing.Lock()
	defer s.pausing.Unlock()
	if s.handed.Load() {
		s.log.Warn("a SIGUSR1 came to a process that another has replaced, and does nothing: send it to that one")
		return
	}
	services, ended := s.current.Load().services, false
	for _, svc := range services {
		ended = svc.mirror.Resume(mirror.BySignal) || ended
	}
	if !ended {
		s.pauseAll(services)
	}
}

// pauseAll pauses services as a signal does.
func (s *server) pauseAll(services []*service) {
	for _, svc := range services {
		svc.mirror.Pause(mirror.Pause{By: mirror.BySignal, Reason: "a SIGUSR1 paused all mirroring of the process; a second one ends that", At: s.now().UTC()})
	}
}

// replace puts another lineup in the place of the one at work. What a signal has
// paused stays so, and what is new is paused with it.
func (s *server) replace(next *lineup) {
	s.pausing.Lock()
	defer s.pausing.Unlock()
	paused, before := s.pausedBySignal(), s.current.Load()
	s.current.Store(next)
	if paused {
		s.pauseAll(slices.DeleteFunc(slices.Clone(next.services), func(svc *service) bool { return slices.Contains(before.services, svc) }))
	}
}

// pausedBySignal reports whether a SIGUSR1 has paused mirroring, which no file
// knows of. The caller holds pausing.
func (s *server) pausedBySignal() bool {
	for _, svc := range s.current.Load().services {
		if svc.mirror.PausedBy(mirror.BySignal) {
			return true
		}
	}
	return false
}
