package haproxy

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"parallax/mirror/split"
	"parallax/mirror/split/push"
)

// Servers are two servers of one backend, by whose weights HAProxy splits. Users with
// a cookie of theirs stay where they are, whatever the weights: neither weight 0 nor
// the state drain frees them. So step 0 takes the candidate's server out of service,
// and step 10000 the primary's.
type Servers struct {
	runtime
	names split.Weights
}

var _ push.Splitter = (*Servers)(nil)

// maxWeight is the highest weight of a server.
const maxWeight = 256

// weights returns the weights that stand for a step. There are none for some: of the
// multiples of 1 % all have some.
func weights(step int) (primary, candidate int, ok bool) {
	if step <= 0 || step >= split.Buckets {
		return 1, 1, true // only one of them serves
	}
	for candidate = 1; candidate <= maxWeight; candidate++ {
		primary = (candidate*(split.Buckets-step) + step/2) / step
		if primary >= 1 && primary <= maxWeight && share(primary, candidate) == step {
			return primary, candidate, true
		}
	}
	return 0, 0, false
}

// share is the step that weights stand for, in basis points.
func share(primary, candidate int) int {
	sum := primary + candidate
	return (candidate*split.Buckets + sum/2) / sum
}

// Push implements [push.Splitter]. A server that is to serve does so before the other
// is taken out.
func (s *Servers) Push(ctx context.Context, step int) error {
	primary, candidate, ok := weights(step)
	if !ok {
		return fmt.Errorf("weights of two servers cannot split at step %d: write whole percents, or use the map", step)
	}
	workers, err := s.workers(ctx)
	if err != nil {
		return err
	}
	for _, prefix := range workers {
		err = errors.Join(err, s.serve(ctx, prefix, step, primary, candidate))
	}
	return err
}

// serve puts weights and states in force at one worker.
func (s *Servers) serve(ctx context.Context, prefix string, step, primary, candidate int) error {
	set := func(server, what string) error {
		text, err := s.ask(ctx, fmt.Sprintf("%sset server %s/%s %s", prefix, s.names.Backend, server, what))
		if text = strings.TrimSpace(text); err == nil && text != "" {
			err = fmt.Errorf("HAProxy at %s refuses %q for the server %s/%s: %.200q; the names must be those of haproxy.cfg, and the socket needs level admin", s.cfg.Socket, what, s.names.Backend, server, text)
		}
		return err
	}
	switch step {
	case 0: // whatever becomes of the primary's server
		return errors.Join(set(s.names.Primary, "weight 1"), set(s.names.Primary, "state ready"), set(s.names.Candidate, "state maint"))
	case split.Buckets:
		if err := errors.Join(set(s.names.Candidate, "weight 1"), set(s.names.Candidate, "state ready")); err != nil {
			return err // the primary's stays, or nobody would serve
		}
		return set(s.names.Primary, "state maint")
	}
	return errors.Join(
		set(s.names.Primary, fmt.Sprintf("weight %d", primary)), set(s.names.Candidate, fmt.Sprintf("weight %d", candidate)),
		set(s.names.Primary, "state ready"), set(s.names.Candidate, "state ready"),
	)
}

// Read implements [push.Splitter].
func (s *Servers) Read(ctx context.Context) (push.Standing, error) {
	workers, err := s.workers(ctx)
	if err != nil {
		return push.Standing{}, err
	}
	process, err := s.process(ctx, workers[0])
	if err != nil {
		return push.Standing{}, err
	}
	step, err := s.stands(ctx, workers[0])
	if err == nil && step == 0 {
		for _, old := range workers[1:] {
			if still, err := s.stands(ctx, old); err == nil && still != 0 { // an error: it has ended
				return push.Standing{Step: still, Process: process}, nil
			}
		}
	}
	return push.Standing{Step: step, Process: process}, err
}

// stands reads the step from the servers of one worker.
func (s *Servers) stands(ctx context.Context, prefix string) (int, error) {
	text, err := s.ask(ctx, fmt.Sprintf("%sshow servers state %s", prefix, s.names.Backend))
	if err != nil {
		return 0, err
	}
	primary, err := serverIn(text, s.names.Primary)
	if err != nil {
		return 0, err
	}
	candidate, err := serverIn(text, s.names.Candidate)
	switch {
	case err != nil:
		return 0, err
	case candidate.out():
		return 0, nil
	case candidate.drained() || candidate.weight == 0:
		return 0, fmt.Errorf("the server %s/%s of HAProxy is drained, or has weight 0, which still serves users with its cookie: only maint does not", s.names.Backend, s.names.Candidate)
	case primary.out():
		return split.Buckets, nil
	}
	return share(primary.weight, candidate.weight), nil
}

// server is one as HAProxy shows it.
type server struct {
	weight int
	admin  int // state, as bits
}

// out reports whether nobody is served, also not with a cookie: any of the bits for
// maintenance (forced, inherited, by resolution, by a changed name). Bit 4 only says that
// the configuration began with it.
func (s server) out() bool { return s.admin&(0x01|0x02|0x20|0x40) != 0 }

// drained reports whether only users with a cookie are served.
func (s server) drained() bool { return s.admin&(0x08|0x10) != 0 }

// serverIn finds a server in what "show servers state" answers: columns be_id be_name
// srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight ...
func serverIn(text, name string) (server, error) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 || f[3] != name {
			continue
		}
		admin, err := strconv.Atoi(f[6])
		weight, wrong := strconv.Atoi(f[7])
		if err = errors.Join(err, wrong); err == nil {
			return server{weight, admin}, nil
		}
	}
	return server{}, fmt.Errorf("HAProxy does not show the server %s: %.200q", name, strings.TrimSpace(text))
}
