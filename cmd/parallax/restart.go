package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"parallax/mirror"

	"golang.org/x/sync/errgroup"
)

// orders are the signals that a running process obeys. Of each kind one is kept
// while the process is busy with another.
type orders struct{ reload, restart, pause chan os.Signal }

// takeOrders has signals kept that would end the process otherwise.
func takeOrders() (o orders, stop func()) {
	o = orders{make(chan os.Signal, 1), make(chan os.Signal, 1), make(chan os.Signal, 1)}
	signal.Notify(o.reload, syscall.SIGHUP)
	signal.Notify(o.restart, syscall.SIGUSR2)
	signal.Notify(o.pause, syscall.SIGUSR1)
	return o, func() {
		for _, c := range []chan os.Signal{o.reload, o.restart, o.pause} {
			signal.Stop(c)
		}
	}
}

// obey reloads at each SIGHUP and restarts at SIGUSR2, until ctx ends. A signal that comes
// early waits until everything serves.
func (s *server) obey(ctx context.Context, given orders, getenv func(string) string) error {
	select {
	case <-s.started:
	case <-ctx.Done():
		return nil
	}
	for {
		select {
		case <-given.restart:
			s.restart(getenv)
		case <-given.reload:
			notify(getenv, reloading()...)
			s.Reload(ctx)
			notify(getenv, serving)
		case <-ctx.Done():
			return nil
		}
	}
}

// restart replaces this process by a new one of its program, to which it passes
// its listening sockets, so that no caller is ever refused. When the new one
// cannot serve, this one goes on as if nothing had happened.
func (s *server) restart(getenv func(string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handed.Load() {
		s.log.Warn("restart: not once more", "error", errReplaced)
		return
	}
	s.log.Info("restart: a new process is started", "program", s.program)
	next, err := s.handOver()
	if err != nil {
		s.log.Error("restart: this process goes on", "error", err)
		return
	}
	notify(getenv, mainIs(next), serving)
	s.log.Info("restart: the new process serves, this one finishes what it has begun", "pid", next.Pid)
	s.retire()
}

// errReplaced is why a process that finishes what it has begun takes no orders.
var errReplaced = errors.New("another process has taken over already")

// handOver starts the new process and returns when it serves. The caller holds
// mu.
func (s *server) handOver() (*os.Process, error) {
	switch {
	case s.retire == nil || s.stopped || s.stopping.Err() != nil:
		return nil, errors.New("it is starting or shutting down")
	case os.Getpid() == 1:
		return nil, errors.New("it is the first process of a container, which would end with it: replace the container instead")
	}
	next, err := startSuccessor(s.program, s.passedOn())
	if err != nil {
		return nil, err
	}
	if err := next.expect(s.stopping, sayBuilt, buildWithin); err != nil {
		next.kill()
		return nil, err
	}
	// From here on nobody in this process changes a step or a latch.
	if err = errors.Join(s.administrating.stop(), s.stopJudges(s.stopping)); err != nil {
		s.log.Warn("restart: the pages did not close well", "error", err)
	}
	s.pausing.Lock()
	defer s.pausing.Unlock()
	if err := s.writeNoise(); err != nil {
		s.log.Warn("restart: the new process learns about noise from what was written before", "error", err)
	}
	if err = s.unwritten(); err != nil {
		next.kill()
		return nil, errors.Join(err, s.resume())
	}
	for _, svc := range s.current.Load().services {
		svc.mirror.LeaveSpools()
	}
	if err = s.letGo(next); err != nil {
		next.kill()
		s.readStates()
		s.openSpools()
		return nil, errors.Join(err, s.resume())
	}
	s.handed.Store(true)
	return next.cmd.Process, nil
}

// letGo leaves the state on disk to the new process and returns when that serves.
// The caller holds pausing.
func (s *server) letGo(next *successor) error {
	word := sayGo
	if s.pausedBySignal() {
		word = sayPause
	}
	if _, err := fmt.Fprintln(next.tell, word); err != nil {
		return err
	}
	return next.expect(s.stopping, sayReady, readyWithin)
}

// unwritten says what holds in this process and is not on disk, where a new
// process would find what was before it: a rollback, or a pause of mirroring, that
// could not be written.
func (s *server) unwritten() error {
	for _, svc := range s.current.Load().services {
		state := svc.steps.State()
		if step := svc.steps.step(); step != state.Step {
			return fmt.Errorf("service %s is at step %d, and %d is on disk: set the step again", svc.name, step, state.Step)
		}
		if svc.mirror.PausedBy(mirror.ByPerson) != (state.Mirroring != nil) {
			return fmt.Errorf("a pause of mirroring of service %s is not on disk: pause or resume it again", svc.name)
		}
		if len(svc.mirror.Tripped()) != len(state.Tripped) {
			return fmt.Errorf("that mirroring of service %s to a leg has stopped is not on disk: resume it, or mend state_dir", svc.name)
		}
	}
	return nil
}

// readStates reads what a new process may have written down on a person's word
// before it was given up.
func (s *server) readStates() {
	for _, svc := range s.current.Load().services {
		if err := s.readState(svc); err != nil {
			s.log.Error("restart: what holds is what held before", "service", svc.name, "error", err)
		}
	}
}

// openSpools takes up again what legs have missed after a new process did not.
func (s *server) openSpools() {
	for _, svc := range s.current.Load().services {
		if err := svc.mirror.OpenSpools(); err != nil {
			s.log.Error("restart: what legs have missed waits for the next process", "service", svc.name, "error", err)
		}
	}
}

// resume takes pages and judges up again after a new process did not.
func (s *server) resume() error {
	for _, svc := range s.current.Load().services {
		svc.judging = background(svc.look)
	}
	admin, err := s.newAdmin()
	if err != nil {
		return err
	}
	s.admin.Store(admin)
	return s.administrate()
}

// administrate makes the pages answer, and has deployments answered that wait. The caller holds mu.
func (s *server) administrate() error {
	listener, err := duplicate(s.adminListener) // the pages close theirs; this one may be passed on
	if err != nil {
		return fmt.Errorf("cannot serve the pages: %w", err)
	}
	if listener, err = s.cfg.Admin.TLS.Over(listener, s.log); err != nil {
		return fmt.Errorf("cannot serve the pages over TLS: %w", err)
	}
	admin := s.admin.Load()
	running := background(func(ctx context.Context) error {
		auditing := background(s.accesses.Run)
		defer auditing.stop() // it never fails; once nobody asks any more it writes what waits
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return admin.Run(ctx, listener) })
		g.Go(func() error { return s.gate.Run(ctx) })
		g.Go(func() error { return s.tells(ctx) })
		return g.Wait()
	})
	s.administrating = running
	s.mirrors.Go(func() error { return running.failure(s.stopping) })
	return nil
}
