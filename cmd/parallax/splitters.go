package main

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"

	"parallax/mirror/split"
	"parallax/mirror/split/haproxy"
	"parallax/mirror/split/nginx"
	"parallax/mirror/split/push"
	"parallax/mirror/split/webhook"
	"parallax/reports"
	"parallax/ui"
)

// outside is the splitters besides the built-in one that get the step of a service.
// A nil one is none.
type outside struct {
	pushers []*push.Pusher
	step    atomic.Int64 // wanted last

	mu     sync.Mutex
	stages []*stage // while they run
}

var _ ui.Splitters = (*outside)(nil)

// newOutside makes the splitters of a configuration. They know what was confirmed
// before from a file that is open when they start.
func newOutside(list []split.Outside, s *stepper) *outside {
	if len(list) == 0 {
		return nil
	}
	o := &outside{}
	for _, each := range list {
		name := each.Called()
		o.pushers = append(o.pushers, push.New(push.Config{
			Name: name, Splitter: driver(each, s), Now: s.now, Log: s.log.With(slog.String("service", s.service)),
			Confirmed: func() push.Confirmed { return push.Confirmed(s.file.State().Pushed[name]) },
			Keep:      func(c push.Confirmed) { s.keepPushed(name, reports.Pushed(c)) },
		}))
	}
	return o
}

// driver makes what talks to a splitter, which one block of o describes.
func driver(o split.Outside, s *stepper) push.Splitter {
	switch {
	case o.HAProxy != nil:
		return haproxy.New(*o.HAProxy)
	case o.Nginx != nil:
		return nginx.New(*o.Nginx)
	}
	return webhook.New(*o.Webhook, s.service, s.now)
}

// start begins to push. What was set before holds.
func (o *outside) start() {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.pushers {
		o.stages = append(o.stages, background(p.Run))
	}
}

// stop ends pushing; what stands outside stays.
func (o *outside) stop() {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.stages {
		_ = s.stop() // a pusher has no errors
	}
	o.stages = nil
}

// set says which step is wanted outside. It does not wait.
func (o *outside) set(w push.Word) {
	if o == nil {
		return
	}
	o.step.Store(int64(w.Step))
	for _, p := range o.pushers {
		p.Set(w)
	}
}

// Status implements [ui.Splitters].
func (o *outside) Status() []ui.SplitterStatus { return o.each((*push.Pusher).Status) }

// Settle implements [ui.Splitters].
func (o *outside) Settle(ctx context.Context) []ui.SplitterStatus {
	return o.each(func(p *push.Pusher) push.Status { return p.Settle(ctx) })
}

// each asks all splitters at the same time.
func (o *outside) each(ask func(*push.Pusher) push.Status) []ui.SplitterStatus {
	if o == nil {
		return nil
	}
	out := make([]ui.SplitterStatus, len(o.pushers))
	var all sync.WaitGroup
	for i, p := range o.pushers {
		all.Go(func() { out[i] = splitterStatus(ask(p)) })
	}
	all.Wait()
	return out
}

func splitterStatus(s push.Status) ui.SplitterStatus {
	out := ui.SplitterStatus{Name: s.Name, State: string(s.State), Since: s.Since.UTC(), Error: s.Error}
	if s.Step >= 0 {
		out.Step = &s.Step
	}
	return out
}

// force puts the step of a state in force: in the built-in splitter or, where others are
// named, in those. Then whoever comes here has been split already, and stays on the primary.
// While a rollback waits, nothing else comes into force.
func (s *stepper) force(state reports.State) {
	s.forcing.Lock()
	defer s.forcing.Unlock()
	if state.Step > 0 && s.back > 0 {
		return
	}
	o := s.outside.Load()
	if o == nil {
		s.split.SetSteps(split.Steps{All: state.Step, Groups: groupSteps(state)})
		return
	}
	s.split.SetStep(0)
	o.set(push.Word{Step: state.Step, At: state.At, Person: state.Who != policy})
}

// step is the one that was put in force last.
func (s *stepper) step() int {
	if o := s.outside.Load(); o != nil {
		return int(o.step.Load())
	}
	return s.split.Step()
}

// keepPushed notes what was read back from a splitter outside.
func (s *stepper) keepPushed(name string, c reports.Pushed) {
	err := s.file.Update(func(state *reports.State) {
		state.Pushed = maps.Clone(state.Pushed)
		if state.Pushed == nil {
			state.Pushed = map[string]reports.Pushed{}
		}
		state.Pushed[name] = c
	})
	if err != nil {
		s.log.Warn("cannot note what a splitter outside has confirmed: after a restart it may be pushed again", "service", s.service, "splitter", name, "error", err)
	}
}

// splitters returns the splitters outside, nil if there are none.
func (svc *service) splitters() ui.Splitters {
	if o := svc.steps.outside.Load(); o != nil {
		return o
	}
	return nil
}

// repush replaces the splitters outside by those of another configuration.
func (svc *service) repush(list []split.Outside) {
	before, now := svc.steps.outside.Load(), newOutside(list, svc.steps)
	before.stop()
	svc.steps.mu.Lock()
	defer svc.steps.mu.Unlock()
	svc.steps.outside.Store(now)
	svc.steps.force(svc.steps.State())
	now.start()
}
