package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"parallax/mirror"
	"parallax/ui"
)

// lineup is the services at work, one immutable value. Services that were taken
// out of the configuration stay in byName until the last of their exchanges is
// stored.
type lineup struct {
	services []*service // in the order of the configuration
	byName   map[string]*service
}

// with returns a lineup with one more service.
func (l *lineup) with(svc *service) *lineup {
	next := &lineup{append(slices.Clip(l.services), svc), maps.Clone(l.byName)}
	if next.byName == nil {
		next.byName = map[string]*service{}
	}
	next.byName[svc.name] = svc
	return next
}

// without returns a lineup that has forgotten a service that left.
func (l *lineup) without(svc *service) *lineup {
	next := &lineup{l.services, maps.Clone(l.byName)}
	delete(next.byName, svc.name)
	return next
}

func (l *lineup) mirrors() []*mirror.Mirror {
	out := make([]*mirror.Mirror, len(l.services))
	for i, svc := range l.services {
		out[i] = svc.mirror
	}
	return out
}

// names lists the services at work, and those whose last exchanges are being stored.
func (l *lineup) names() []string { return slices.Sorted(maps.Keys(l.byName)) }

func (l *lineup) forUI() []ui.Service {
	services := make([]ui.Service, len(l.services))
	for i, svc := range l.services {
		services[i] = svc.forUI()
	}
	return services
}

// startServices makes every service and the pages serve. The group ends when all
// services have stopped, which they do when ctx ends or one fails.
func (s *server) startServices(ctx context.Context) (*errgroup.Group, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, s.retire = context.WithCancel(ctx)
	s.mirrors, s.stopping = errgroup.WithContext(ctx)
	for _, svc := range s.current.Load().services {
		s.start(svc)
	}
	s.mirrors.Go(func() error { // the group does not end before nobody starts a service any more
		<-s.stopping.Done()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stopped = true
		return nil
	})
	if err := s.administrate(); err != nil {
		s.retire()
		return s.mirrors, err
	}
	close(s.started)
	return s.mirrors, nil
}

// start makes a service accept callers and its judge look. The caller holds mu.
func (s *server) start(svc *service) {
	serving, stop := context.WithCancel(s.stopping)
	svc.stop, svc.judging = stop, background(svc.look)
	svc.effects.now.Load().start(svc, s.store)
	listener := svc.listener
	s.startCalls(svc)
	svc.steps.outside.Load().start()
	s.mirrors.Go(func() error {
		defer stop()
		defer func() { svc.steps.outside.Load().stop() }() // one that a reload put there
		if err := svc.mirror.Serve(serving, listener); err != nil {
			return err
		}
		if s.stopping.Err() == nil { // it was taken out of the configuration
			s.leave(svc)
		}
		return nil
	})
}

// leaveWithin bounds how long the exchanges of a service that was taken out of the
// configuration are waited for.
const leaveWithin = time.Minute

// leave forgets a service once the last of its exchanges is stored.
func (s *server) leave(svc *service) {
	patience := time.NewTimer(leaveWithin)
	defer patience.Stop()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for s.ledger.Totals(svc.name).InFlight > 0 {
		select {
		case <-again.C:
			continue
		case <-patience.C:
			s.log.Warn("a service that was taken out of the configuration is forgotten before all its exchanges are stored", "service", svc.name)
		case <-s.stopping.Done():
			return // the shutdown needs it
		}
		break
	}
	_ = svc.judging.stop() // a judge has no errors
	if err := svc.calling.stop(); err != nil {
		s.log.Warn("the proxy of a service that left did not end well", "service", svc.name, "error", err)
	}
	if err := svc.effects.now.Load().end(); err != nil {
		s.log.Warn("the databases of a service that has left could not be left", "service", svc.name, "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current.Store(s.current.Load().without(svc))
	s.log.Info("a service has left", "service", svc.name)
}

// stopJudges ends what looks at the evidence.
func (s *server) stopJudges(context.Context) (err error) {
	for _, svc := range s.current.Load().byName {
		err = errors.Join(err, svc.judging.stop())
	}
	return err
}
