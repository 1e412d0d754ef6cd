package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"parallax/mirror"
)

// obey reloads at each SIGHUP and restarts at SIGUSR2, until ctx ends.
func (s *server) obey(ctx context.Context, signals <-chan os.Signal, getenv func(string) string) error {
	for {
		select {
		case got := <-signals:
			if got == syscall.SIGUSR2 {
				s.restart(getenv)
				continue
			}
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
	s.log.Info("restart: a new process is started", "program", s.program)
	next, err := s.handOver()
	if err != nil {
		s.log.Error("restart: this process goes on", "error", err)
		return
	}
	notify(getenv, mainIs(next), serving)
	s.log.Info("restart: the new process serves, this one finishes what it has begun", "pid", next.Pid)
	s.handed = true
	s.retire()
}

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
	err = errors.Join(s.administrating.stop(), s.stopJudges(s.stopping))
	if err != nil {
		s.log.Warn("restart: the pages did not close well", "error", err)
	}
	word := sayGo
	if s.pausedBySignal() {
		word = sayPause
	}
	if _, err = fmt.Fprintln(next.tell, word); err == nil {
		err = next.expect(s.stopping, sayReady, readyWithin)
	}
	if err != nil {
		next.kill()
		return nil, errors.Join(err, s.resume())
	}
	return next.cmd.Process, nil
}

// pausedBySignal reports whether a SIGUSR1 has paused mirroring, which no file
// knows of.
func (s *server) pausedBySignal() bool {
	for _, svc := range s.current.Load().services {
		if svc.mirror.PausedBy(mirror.BySignal) {
			return true
		}
	}
	return false
}

// resume takes pages and judges up again after a new process did not.
func (s *server) resume() error {
	for _, svc := range s.current.Load().services {
		svc.judging = background(svc.judge.Run)
	}
	admin, err := s.newAdmin()
	if err != nil {
		return err
	}
	s.admin.Store(admin)
	return s.administrate()
}

// administrate makes the pages answer. The caller holds mu.
func (s *server) administrate() error {
	listener, err := duplicate(s.adminListener) // the pages close theirs; this one may be passed on
	if err != nil {
		return fmt.Errorf("cannot serve the pages: %w", err)
	}
	admin := s.admin.Load()
	running := background(func(ctx context.Context) error { return admin.Run(ctx, listener) })
	s.administrating = running
	s.mirrors.Go(func() error { return running.failure(s.stopping) })
	return nil
}
