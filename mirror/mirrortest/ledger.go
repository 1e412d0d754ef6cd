package mirrortest

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"parallax"
)

// Ledger is a mirror's ledger in memory. Each count is kept by itself; none is
// derived from the others, so that they can be added up as a check.
type Ledger struct {
	mu       sync.Mutex
	received map[parallax.Stamp]int
	places   map[parallax.Stamp]map[parallax.Place]int
	faults   []string
	changed  chan struct{} // closed and renewed at every change
}

// NewLedger returns an empty ledger.
func NewLedger() *Ledger {
	return &Ledger{
		received: map[parallax.Stamp]int{},
		places:   map[parallax.Stamp]map[parallax.Place]int{},
		changed:  make(chan struct{}),
	}
}

// Enter counts an exchange as received and puts it into parallax.InLive.
func (l *Ledger) Enter(s parallax.Stamp) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.received[s]++
	if l.places[s] == nil {
		l.places[s] = map[parallax.Place]int{}
	}
	l.places[s][parallax.InLive]++
	l.notify()
}

// Move takes an exchange from one place to another. A move from a place where
// there is none, or out of an end, is a fault.
func (l *Ledger) Move(s parallax.Stamp, from, to parallax.Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.places[s][from] < 1 {
		l.faults = append(l.faults, fmt.Sprintf("%s moves %s -> %s, but is not there", s.Endpoint, from, to))
		return
	}
	if from.Group() != "in_flight" {
		l.faults = append(l.faults, fmt.Sprintf("%s moves %s -> %s, out of an end", s.Endpoint, from, to))
	}
	l.places[s][from]--
	l.places[s][to]++
	l.notify()
}

// Refine takes an exchange from one endpoint to another. It is a fault when there
// is none at the place.
func (l *Ledger) Refine(from, to parallax.Stamp, at parallax.Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.places[from][at] < 1 || at.Group() != "in_flight" || from.Service != to.Service || !from.Received.Equal(to.Received) {
		l.faults = append(l.faults, fmt.Sprintf("%v at %s becomes %v, but cannot", from, at, to))
		return
	}
	l.received[from]--
	l.places[from][at]--
	l.received[to]++
	if l.places[to] == nil {
		l.places[to] = map[parallax.Place]int{}
	}
	l.places[to][at]++
	l.notify()
}

// Endpoints returns what was received by each endpoint and where it is, as in
// "received" and parallax.Place, without zeros.
func (l *Ledger) Endpoints() map[string]map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]map[string]int{}
	add := func(endpoint, what string, n int) {
		if n != 0 {
			if out[endpoint] == nil {
				out[endpoint] = map[string]int{}
			}
			out[endpoint][what] += n
		}
	}
	for s, n := range l.received {
		add(s.Endpoint, "received", n)
	}
	for s, places := range l.places {
		for p, n := range places {
			add(s.Endpoint, string(p), n)
		}
	}
	return out
}

func (l *Ledger) notify() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Received returns how many exchanges were received.
func (l *Ledger) Received() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, c := range l.received {
		n += c
	}
	return n
}

// Places returns how many exchanges are at each place, without empty ones.
func (l *Ledger) Places() map[parallax.Place]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sum()
}

func (l *Ledger) sum() map[parallax.Place]int {
	out := map[parallax.Place]int{}
	for _, places := range l.places {
		for p, n := range places {
			if n > 0 {
				out[p] += n
			}
		}
	}
	return out
}

// Check returns an error for every stamp whose places do not add up to what was
// received, and for every move that could not be.
func (l *Ledger) Check() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, f := range l.faults {
		errs = append(errs, fmt.Errorf("%s", f))
	}
	for s, received := range l.received {
		sum := 0
		for _, n := range l.places[s] {
			sum += n
		}
		if sum != received {
			errs = append(errs, fmt.Errorf("%s: received %d, at some place %d: %v", s.Endpoint, received, sum, maps.Clone(l.places[s])))
		}
	}
	return errs
}

// Wait returns once the places satisfy a condition, or with an error that holds
// them when the context ends before.
func (l *Ledger) Wait(ctx context.Context, until func(places map[parallax.Place]int) bool) error {
	for {
		l.mu.Lock()
		places, changed := l.sum(), l.changed
		l.mu.Unlock()
		if until(places) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("exchanges did not get where they belong: %v: %w", places, ctx.Err())
		}
	}
}

// Settled reports whether no exchange is with a leg any more.
func Settled(places map[parallax.Place]int) bool {
	return places[parallax.InLive] == 0 && places[parallax.InLane] == 0 && places[parallax.InShadow] == 0
}
