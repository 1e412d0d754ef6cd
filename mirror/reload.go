package mirror

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"

	"parallax"
)

// Change is another configuration of a mirror: built, and not in force yet. One
// of its methods is to be called, once.
type Change struct {
	m    *Mirror
	next *service
}

// Prepare builds another configuration of the same service. Nothing changes
// before [Change.Commit]; with any fault nothing will. It looks for the instances
// of new legs, for up to three seconds. A leg whose configuration stays the same,
// down to the contents of its TLS files, is taken over with its connections and
// what is known of its health. The listener is not part of it: see [Mirror.Move].
func (m *Mirror) Prepare(cfg Service) (*Change, []parallax.Fault) {
	faults := cfg.Validate()
	if cfg.Name != m.name {
		faults = append(faults, parallax.Fault{Path: "name", Text: fmt.Sprintf("%q is another service than %q", cfg.Name, m.name)})
	}
	if len(faults) > 0 {
		return nil, faults
	}
	s, err := m.another(cfg)
	if err != nil {
		return nil, []parallax.Fault{{Text: err.Error()}}
	}
	s.start(m.stopping)
	return &Change{m, s}, nil
}

// another builds a configuration that takes over what it can of the one in force,
// which is let go of by nobody meanwhile.
func (m *Mirror) another(cfg Service) (*service, error) {
	m.swapping.Lock()
	defer m.swapping.Unlock()
	if m.over.Load() {
		return nil, fmt.Errorf("cannot change the service %s: it has stopped", m.name)
	}
	return newService(cfg, m.deps, m.current.Load())
}

// Commit puts the configuration in force for every request that begins from now
// on. Those under way finish by the one they began with; what only it used is
// closed with the last of them. The step stays.
func (c *Change) Commit() {
	m := c.m
	m.swapping.Lock()
	defer m.swapping.Unlock()
	if m.over.Load() {
		c.next.leave()
		return
	}
	before := m.current.Load()
	c.next.router.learned.remember(before.router.learned.born()) // those that were born since Prepare
	c.next.since = m.deps.Now()
	m.current.Store(c.next)
	for l := range m.spools {
		if s := m.spools[l].Load(); s != nil {
			s.SetMax(int64(c.next.options.MaxSpool))
		}
	}
	before.leave()
}

// end lets go of the configuration in force, for good.
func (m *Mirror) end() {
	m.swapping.Lock()
	defer m.swapping.Unlock()
	if !m.over.Swap(true) {
		m.crew.end()
		m.current.Load().leave() // the last flight closes the legs, if one is still under way
	}
}

// Discard gives the configuration up.
func (c *Change) Discard() { c.next.leave() }

// Close lets go of a mirror that never served.
func (m *Mirror) Close() {
	m.stop()
	m.LeaveSpools()
	m.end()
}

// enter returns the configuration in force. It stays usable until leave. After the
// end of the mirror, when no caller is left but one that was cut off, its legs
// answer nothing any more.
func (m *Mirror) enter() *service {
	for {
		if s := m.current.Load(); s.enter() || m.over.Load() {
			return s
		}
	}
}

// enter counts a user. It is false once the legs are closed.
func (s *service) enter() bool {
	for {
		n := s.users.Load()
		if n == 0 {
			return false
		}
		if s.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leave ends what enter began. The last user lets go of the legs, and waits for
// those to close that nobody uses any more.
func (s *service) leave() {
	if s.users.Add(-1) == 0 {
		s.letGo()
	}
}

// leaveAtOnce is leave for a flight, whose caller may be waiting: it waits for
// nothing.
func (s *service) leaveAtOnce() {
	if s.users.Add(-1) == 0 {
		go s.letGo()
	}
}

func (s *service) letGo() {
	for _, l := range s.legs {
		if l != nil && l.holders.Add(-1) == 0 {
			l.close()
		}
	}
}

// legFor returns a leg for a configuration: that of the configuration before it,
// unless something about the leg is another. Connections that were opened with a
// certificate that was replaced since are not taken over.
func (s *service) legFor(name parallax.Leg, c LegConfig, before *service, deps Deps) (*leg, error) {
	if before != nil && before.legs[name] != nil && reflect.DeepEqual(c, before.cfg.leg(name)) &&
		s.options.InFlight == before.options.InFlight && c.TLS.digest() == before.legs[name].files {
		l := before.legs[name]
		l.holders.Add(1) // above zero before: it is in force
		return l, nil
	}
	l, err := newLeg(name, c, s.options, deps)
	if err == nil {
		l.holders.Store(1)
		if before != nil && before.legs[name] != nil {
			l.slots = before.legs[name].slots
		}
	}
	return l, err
}

func (s *Service) leg(name parallax.Leg) LegConfig {
	return [parallax.Legs]LegConfig{parallax.Primary: s.Primary, parallax.Candidate: s.Candidate, parallax.Secondary: s.Secondary}[name]
}

// front is a listener with what speaks HTTP on it.
type front struct {
	listener net.Listener
	server   acceptor
	ended    chan error // gets why accepting ended
}

// acceptor is what speaks HTTP on listeners.
type acceptor interface {
	// Serve accepts callers until the listener fails, or nil after Shutdown.
	Serve(ctx context.Context, listener net.Listener) error
	// Shutdown closes listeners, lets requests finish and returns when no
	// connection is left or ctx ends.
	Shutdown(ctx context.Context) error
	// Close closes listeners and connections.
	Close() error
}

func (m *Mirror) openFront(listener net.Listener) *front {
	f := &front{listener: listener, server: m.newServer(), ended: make(chan error, 1)}
	go func() { f.ended <- f.server.Serve(context.Background(), secured{listener, m}) }()
	return f
}

// Move makes a mirror that serves accept callers on another listener. The one
// before is closed when the new one accepts; requests on its connections finish,
// for up to 20 s, and are told to come back elsewhere by Connection: close. It
// fails, and closes the listener, when the mirror has stopped.
func (m *Mirror) Move(listener net.Listener) error {
	select {
	case m.moves <- listener:
		return nil
	case <-m.stopping.Done():
		return errors.Join(fmt.Errorf("cannot move %s to %s: it has stopped", m.name, listener.Addr()), listener.Close())
	}
}

// closeFront lets the requests of a front that was replaced finish.
func (m *Mirror) closeFront(f *front) {
	defer m.leaving.Done()
	m.step("leave "+f.listener.Addr().String(), finishLiveWithin, f.server.Shutdown)
	if err := f.server.Close(); err != nil {
		m.deps.Log.Warn("cannot close the callers' connections", "error", err)
	}
	<-f.ended
}
