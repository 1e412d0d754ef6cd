package upstream

import (
	"net/url"
	"sync/atomic"
	"time"
)

// Outcome is how a request to an instance ended, as far as the instance is
// concerned.
type Outcome uint8

// The outcomes of a request.
const (
	Answered Outcome = iota // completely, with whatever status
	Failed                  // no connection, no answer, or a broken one
	Neutral                 // ended for a reason that was not the instance's
)

// Instance is one address of a leg. Requests to it begin with [Set.Pick] and end
// with Done.
type Instance struct {
	url      *url.URL
	addr     string
	name     string
	hash     uint64
	weight   uint64
	priority int
	set      *Set

	inFlight atomic.Int64
	failures atomic.Int32 // in a row

	// What follows is the set's, under its lock.
	unhealthy string // what the latest check said, once it counts; "" while healthy
	streak    int    // checks in a row that say otherwise
	ejection  ejection
	stop      func() // ends its health checks; nil when there are none
	removed   bool
}

// ejection is what an instance has come to by its failures.
type ejection struct {
	until time.Time // zero: not ejected
	times int       // in a row, without having been good for as long as the last one lasted
	back  time.Time // when it came back the last time
	timer *time.Timer
}

// URL is the scheme and the name of the instance, which TLS asks for.
func (i *Instance) URL() *url.URL { return i.url }

// Addr is where to connect, host and port; empty: where URL says.
func (i *Instance) Addr() string { return i.addr }

// String names the instance in logs, metrics and pages: its URL and, if that was
// looked up, the address.
func (i *Instance) String() string { return i.name }

// Done ends a request. It is called once for every Pick.
func (i *Instance) Done(o Outcome) {
	i.inFlight.Add(-1)
	switch o {
	case Answered:
		if i.failures.Load() != 0 { // Fast path: nothing is written
			i.failures.Store(0)
		}
	case Failed:
		if n, most := i.failures.Add(1), i.set.eject.Failures; most > 0 && int(n) >= most {
			i.set.tryEject(i)
		}
	}
}

// up reports whether the instance is to be used.
func (i *Instance) up() bool { return i.unhealthy == "" && i.ejection.until.IsZero() }

// Status is how an instance is doing.
type Status struct {
	Name     string // its URL and, if that was looked up, the address
	Up       bool
	Reason   string // why it is not up
	InFlight int
}
