package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"parallax"
	"parallax/internal/yamlstrict"
)

// roles are the parts of Parallax that a process plays. The zero value is all of them.
type roles uint8

// Each of them may be played by any number of processes.
const (
	partMirror  roles = 1 << iota // accepts callers and asks the legs
	partCompare                   // compares what mirrors hand over, and stores it
	partUI                        // pages and API for people and CI
	partPolicy                    // moves the step as the verdict says; one at a time does
)

var partNames = []struct {
	name string
	role roles
}{{"mirror", partMirror}, {"compare", partCompare}, {"ui", partUI}, {"policy", partPolicy}}

// parseRoles reads names with commas between them; none is all.
func parseRoles(text string) (roles, error) {
	var out roles
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		i := slices.IndexFunc(partNames, func(r struct {
			name string
			role roles
		}) bool {
			return r.name == name
		})
		if i < 0 && text != "" {
			return 0, fmt.Errorf("--roles: there is no role %q; there are mirror, compare, ui, policy", name)
		}
		if text != "" {
			out |= partNames[i].role
		}
	}
	return out, nil
}

// plays reports whether a process has a role.
func (r roles) plays(role roles) bool { return r.all() || r&role != 0 }

func (r roles) all() bool { return r == 0 || r == partMirror|partCompare|partUI|partPolicy }

// apartFaults says what keeps the parts of a configuration from being played by several
// processes.
func (c Config) apartFaults() []parallax.Fault {
	var faults []parallax.Fault
	add := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	if c.Queue.URL == "" {
		add("queue.redis", "is empty, and processes with --roles meet there", "name a Redis")
	}
	if c.Steps.URL == "" {
		add("steps.redis", "is empty, and processes with --roles agree on the step there", "name a Redis")
	}
	if c.Store.ClickHouse == "" && c.Store.Socket == "" {
		add("store", "the embedded engine is this process's own, and processes with --roles need one store", "name a server in clickhouse, or let one process show its engine to the others by socket")
	}
	for i, s := range c.Services {
		if s.PartitionedBy != "" {
			add(fmt.Sprintf("services[%d].partitioned_by", i), "what each version lacks is known to the process that mirrors alone, so that no other can say when users may go back", "let one process do everything, or leave partitioned_by out")
		}
		if len(s.Identifiers) > 0 && c.Identifiers.URL == "" {
			add("identifiers.redis", fmt.Sprintf("is empty, and with --roles the processes that compare learn the identifiers of %s there", s.Name), "name a Redis")
		}
	}
	return faults
}

// loadConfigOf is loadConfig for a process with roles.
func loadConfigOf(file string, of roles) (Config, []yamlstrict.Fault, error) {
	c, faults, err := loadConfig(file)
	if c.roles = of; err != nil || of.all() {
		return c, faults, err
	}
	for _, f := range c.apartFaults() {
		faults = append(faults, yamlstrict.Fault{File: file, Path: f.Path, Text: f.Text, Hint: f.Hint})
	}
	return c, faults, nil
}

// answeredOf tells what the store says that the candidate answered as the live leg, nil in a
// process that mirrors, and sees for itself.
func (s *server) answeredOf(service string) func(context.Context, time.Time) (uint64, error) {
	if s.cfg.roles.plays(partMirror) {
		return nil
	}
	return func(ctx context.Context, since time.Time) (uint64, error) {
		return s.store.AnsweredLive(ctx, service, since)
	}
}

// listen opens the listener of a service, or stands in for one where this process does not
// mirror.
func (s *server) listen(name, address string) (net.Listener, error) {
	if s.cfg.roles.plays(partMirror) {
		return s.given.listen(name, address)
	}
	return s.reopen(address)
}

// reopen opens another listener for a service.
func (s *server) reopen(address string) (net.Listener, error) {
	if s.cfg.roles.plays(partMirror) {
		return net.Listen("tcp", address)
	}
	return &unserved{address: address, closed: make(chan struct{})}, nil
}

// unserved is the listener of a service in a process that does not mirror: nobody ever comes.
type unserved struct {
	address string
	once    sync.Once
	closed  chan struct{}
}

// Accept waits until the listener is closed.
func (e *unserved) Accept() (net.Conn, error) {
	<-e.closed
	return nil, net.ErrClosed
}

// Close implements net.Listener.
func (e *unserved) Close() error {
	e.once.Do(func() { close(e.closed) })
	return nil
}

// Addr is what the configuration says.
func (e *unserved) Addr() net.Addr { return e }

// Network implements net.Addr.
func (e *unserved) Network() string { return "tcp" }

// String implements net.Addr.
func (e *unserved) String() string { return e.address }
