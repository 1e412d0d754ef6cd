package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"parallax"
	splitredis "parallax/mirror/split/redis"
	"parallax/reports"
	"parallax/ui"
)

// openSteps lets mirrors share steps, if that is configured. Redis is not waited for.
func (s *server) openSteps(id parallax.ID) (err error) {
	if s.cfg.Steps.URL == "" {
		return nil
	}
	host, err := os.Hostname()
	if err != nil {
		host = "mirror"
	}
	tail := id.String()
	if s.steps, err = splitredis.Open(s.cfg.Steps, host+"-"+tail[len(tail)-6:]); err == nil {
		s.lease = s.steps.Lease()
	}
	return err
}

// holdLease asks for the lease of the policy, where steps are shared and this process has one.
func (s *server) holdLease(ctx context.Context) error {
	if s.lease == nil || !s.cfg.roles.plays(partPolicy) {
		return nil
	}
	return s.lease.Run(ctx)
}

// maySteer reports whether the policy of this process raises steps: of those that share them
// one does.
func (s *server) maySteer() bool {
	return s.cfg.roles.plays(partPolicy) && (s.lease == nil || s.lease.Held())
}

// hearSteps hears what the other mirrors agree on, so that nobody is sent, and nothing mirrored,
// by a word that was taken back while this one was not there. While Redis is away the last word
// holds.
func hearSteps(ctx context.Context, services []*service) {
	var all sync.WaitGroup
	for _, svc := range services {
		if svc.steps.shared != nil {
			all.Go(func() { svc.steps.shared.step.Look(ctx, svc.steps) })
			all.Go(func() { svc.pauses.look(ctx) })
		}
	}
	all.Wait()
}

// sharing is the step of one service as mirrors share it.
type sharing struct {
	step  *splitredis.Step
	lease *splitredis.Lease
	away  atomic.Pointer[outage] // nil while Redis answers
	peers atomic.Pointer[[]splitredis.Peer]

	refused atomic.Uint64 // version of the word that was not put in force here last
}

// once reports whether a word was not refused before: it is heard again every second.
func (s *sharing) once(version uint64) bool { return s.refused.Swap(version) != version }

// outage is why Redis has no word of other mirrors.
type outage struct {
	err   error
	since time.Time
}

// word is a state as other mirrors hear it.
func word(s reports.State) splitredis.Word {
	return splitredis.Word{Version: s.Version, Era: s.Era, Trail: s.Trail, Step: s.Step, Who: s.Who, Reason: s.Reason, At: s.At, Paused: s.Paused, Until: s.Until}
}

// share tells the other mirrors a step before it is in force here, and returns what is to be
// written with it. Raising it takes Redis, and a step that nobody has moved since. Step 0 is
// told if that can be, and owed if not.
func (s *stepper) share(ctx context.Context, before, next reports.State) (reports.State, error) {
	if s.shared == nil {
		return next, nil
	}
	if next.Step == 0 {
		next.Version, next.Era, next.Trail = before.Version, before.Era, before.Trail
		now, err := s.shared.step.Overrule(ctx, word(next))
		if next.Owed = err != nil; !next.Owed {
			next.Version, next.Era, next.Trail = now.Version, now.Era, now.Trail
		} else {
			s.log.Warn("the other mirrors have not heard of step 0: they will when redis answers again", "service", s.service, "error", err)
		}
		return next, nil
	}
	return s.tell(ctx, before, next)
}

// tell tells the other mirrors a state that follows another, unless they have moved on.
func (s *stepper) tell(ctx context.Context, before, next reports.State) (reports.State, error) {
	if before.Owed {
		return next, reports.Refusal{Turn: reports.Refused, Text: "the other mirrors have not heard of the rollback here yet"}
	}
	var lease *splitredis.Lease
	if next.Who == policy {
		lease = s.shared.lease
	}
	now, err := s.shared.step.FollowUnder(ctx, lease, word(before), word(next))
	next.Version, next.Era, next.Trail = now.Version, now.Era, now.Trail
	switch {
	case errors.Is(err, splitredis.ErrNoLease):
		return next, reports.Refusal{Turn: reports.Refused, Text: err.Error()}
	case errors.Is(err, splitredis.ErrMoved):
		return next, reports.Refusal{Turn: reports.Overridden, Text: "another mirror has moved the step meanwhile"}
	case err != nil:
		return next, reports.Refusal{Turn: reports.Refused, Text: "the other mirrors cannot be told: " + err.Error()}
	}
	return next, nil
}

var _ splitredis.Mirror = (*stepper)(nil)

// Word implements splitredis.Mirror.
func (s *stepper) Word() (w splitredis.Word, owed bool) {
	state := s.file.State()
	return word(state), state.Owed
}

// Hear puts another mirror's word in force. What this one owes comes after it.
func (s *stepper) Hear(w splitredis.Word) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.file.State()
	mine, owed := word(state), state.Owed
	w, owed = splitredis.Merge(mine, owed, w)
	if w == mine && owed == state.Owed {
		return
	}
	if w.Step > 0 && state.Copy != nil && state.Copy.Ended.IsZero() {
		if s.shared.once(w.Version) {
			s.log.Error("another mirror raises the step while the database of the candidate is being made anew here", "service", s.service, "step", w.Step, "who", w.Who)
		}
		return
	}
	next := reports.State{Step: w.Step, Who: w.Who, Reason: w.Reason, At: w.At, Paused: w.Paused, Until: w.Until, Version: w.Version, Era: w.Era, Trail: w.Trail, Owed: owed}
	if w.Step < state.Step {
		s.force(next) // before the disk
	}
	if err := s.file.Update(func(state *reports.State) { *state = state.Moved(next) }); err != nil {
		if s.shared.once(w.Version) {
			s.log.Error("another mirror's step cannot be written", "service", s.service, "step", w.Step, "error", err)
		}
		return
	}
	s.force(next)
	if w.Step == state.Step && w.At.Equal(state.At) {
		return // it is the pause that is another, or the rollback that was told
	}
	s.log.Info("another mirror moved the step", "service", s.service, "step", w.Step, "who", w.Who, "reason", w.Reason)
}

// Paid implements splitredis.Mirror.
func (s *stepper) Paid(owed, now splitredis.Word) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.file.Update(func(state *reports.State) {
		if state.Owed && state.Version == owed.Version {
			state.Owed, state.Version, state.Era, state.Trail = false, now.Version, now.Era, now.Trail
		}
	})
	if err != nil {
		s.log.Error("that the other mirrors have heard of step 0 cannot be written", "service", s.service, "error", err)
	}
}

// Reached implements splitredis.Mirror.
func (s *stepper) Reached(peers []splitredis.Peer, err error) {
	was := s.shared.away.Load()
	switch {
	case err != nil && was == nil:
		s.shared.away.Store(&outage{err, s.now().UTC()})
		s.log.Warn("redis does not answer: the step stays as it is, and can only go back", "service", s.service, "error", err)
	case err == nil && was != nil:
		s.shared.away.Store(nil)
		s.log.Info("redis has the step again", "service", s.service, "after", s.now().Sub(was.since).Round(time.Millisecond))
	}
	if err == nil {
		s.shared.peers.Store(&peers)
	}
}

// heardWithin is how long a step that was moved waits for the other mirrors, which take some
// milliseconds.
const heardWithin = time.Second

// settle waits until a step is in force at all mirrors that Redis knows of.
func (s *stepper) settle(ctx context.Context) {
	if s.shared == nil || s.file.State().Owed {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, heardWithin)
	defer cancel()
	again := time.NewTimer(0)
	defer again.Stop()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
		peers, err := s.shared.step.Peers(ctx)
		if err != nil {
			return
		}
		s.shared.peers.Store(&peers)
		if len(splitredis.Behind(peers, s.file.State().Version)) == 0 {
			return
		}
		again.Reset(pause)
	}
}

// listen keeps the step what mirrors agree on until the context ends.
func (s *stepper) listen(ctx context.Context) error {
	if s.shared == nil {
		<-ctx.Done()
		return nil
	}
	return s.shared.step.Run(ctx, s)
}

// sharedStep says how the mirrors share a step; nil: this one does not.
func (svc *service) sharedStep() *ui.SharedStep {
	s := svc.steps
	if s.shared == nil {
		return nil
	}
	state := s.file.State()
	out := &ui.SharedStep{Version: state.Version, Owed: state.Owed, Reached: true}
	if peers := s.shared.peers.Load(); peers != nil {
		newest := state.Version
		if state.Owed { // no other mirror has a word that comes after all others
			newest = math.MaxUint64
		}
		out.Mirrors, out.Behind = len(*peers), splitredis.Behind(*peers, newest)
	}
	if away := s.shared.away.Load(); away != nil {
		out.Reached, out.Since, out.Error = false, away.since, away.err.Error()
	}
	return out
}

// stepsStatus says how the Redis that mirrors share steps in is doing.
func (s *server) stepsStatus() ui.Dependency {
	d := ui.Dependency{Name: "steps", OK: true, Detail: "shared in redis"}
	for _, svc := range s.current.Load().services {
		if shared := svc.sharedStep(); shared != nil && !shared.Reached {
			d.OK, d.Detail = false, fmt.Sprintf("redis does not answer since %s: %s", shared.Since.Format(time.RFC3339), shared.Error)
		}
	}
	return d
}
