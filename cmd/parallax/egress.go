package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"parallax/compare/effects/egress"
	"parallax/mirror"
)

// outward is the proxy for the calls that the legs of a service make. Without an address
// it is there and takes none, so that a reload can give it one.
type outward struct {
	egress  *egress.Proxy
	calls   net.Listener // guarded by server.mu once it serves; nil: none
	calling *stage
}

// callsSocket is what the listener for the calls of a service is called among sockets.
// No service has such a name.
func callsSocket(service string) string { return service + "/egress" }

// sharedFor is how long after a restart the process before may still take calls.
const sharedFor = 5 * time.Second

// egressDeps are what the proxies of all services share.
func (s *server) egressDeps(secrets keys) egress.Deps {
	read := mirror.Callers(secrets.fleet)
	deps := egress.Deps{
		Now: s.now, Log: s.log, Metrics: egress.NewMetrics(s.registry),
		Mark: func(baggage []string) (egress.Mark, bool) {
			c, ok := read(baggage)
			return egress.Mark(c), ok
		},
	}
	if s.given != nil && s.given.replaces {
		deps.Shared = sharedFor
	}
	return deps
}

// newOutward builds the proxy of a service and opens its listener.
func (s *server) newOutward(c ServiceConfig) (o outward, err error) {
	proxy, faults := egress.New(c.Name, c.Egress, s.calls)
	if len(faults) > 0 {
		return o, fmt.Errorf("cannot build the proxy of service %q: %w", c.Name, faults[0])
	}
	o.egress = proxy
	if !c.Egress.Configured() {
		return o, nil
	}
	if o.calls, err = s.given.listen(callsSocket(c.Name), c.Egress.Listen); err != nil {
		return o, fmt.Errorf("cannot open the listener for the calls of service %q: %w", c.Name, err)
	}
	return o, nil
}

// close closes what newOutward opened.
func (o *outward) close() {
	if o.calls != nil {
		o.calls.Close()
	}
}

// startCalls makes a service's proxy take calls. The caller holds mu.
func (s *server) startCalls(svc *service) {
	listener := svc.calls
	svc.calling = background(func(ctx context.Context) error { return svc.egress.Serve(ctx, listener) })
	s.mirrors.Go(func() error { return svc.calling.failure(s.stopping) })
}

// commitCalls puts the proxy's configuration in force, and moves it where it is to be.
func (st step) commitCalls() (changes []string) {
	svc, cfg := st.svc, st.terms.cfg.Egress
	for _, f := range svc.egress.Set(cfg) {
		changes = append(changes, f.Error()) // a defect: the configuration was validated
	}
	if !st.moves {
		return changes
	}
	if err := svc.egress.Move(st.calls); err != nil {
		changes = append(changes, err.Error())
	}
	if svc.calls = st.calls; svc.calls == nil {
		return append(changes, fmt.Sprintf("service %s: calls of its legs are taken no more", svc.name))
	}
	return append(changes, fmt.Sprintf("service %s: calls of its legs are taken on %s", svc.name, svc.calls.Addr()))
}

// retireCalls leaves further calls to the process that has taken over; without one they
// go on until their services' requests are done.
func (s *server) retireCalls() (err error) {
	if !s.handed.Load() {
		return nil
	}
	for _, svc := range s.current.Load().byName {
		if err1 := svc.egress.Retire(); err1 != nil && !errors.Is(err1, net.ErrClosed) {
			err = errors.Join(err, err1)
		}
	}
	return err
}

// stopCalls ends the proxies, all at once.
func (s *server) stopCalls() (err error) {
	for _, svc := range s.current.Load().byName {
		svc.calling.cancel()
	}
	for _, svc := range s.current.Load().byName {
		err = errors.Join(err, svc.calling.wait())
	}
	return err
}
