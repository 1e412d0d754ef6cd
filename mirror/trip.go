package mirror

import (
	"sync/atomic"
	"time"

	"parallax"
)

// Trip says that a leg is asked as a shadow no more, because what it did as one
// was found where it must never be: in a database that it shares, or as the commit of
// a leg that promised to commit nothing.
type Trip struct {
	Leg    parallax.Leg
	Reason string // in a sentence: what was found, and where
	At     time.Time
}

// tripwires hold at most one trip a leg. Reading one is a single atomic load.
type tripwires struct {
	legs [parallax.Legs]atomic.Pointer[Trip]
	hear atomic.Pointer[func(Trip)]
}

// Trip stops mirroring to a leg from the next request on, those that wait for their
// turn included, until somebody releases it; what was sent already runs to its end.
// The first trip of a leg stays: it is false for a further one. It returns when
// whoever was named by [Mirror.OnTrip] has heard of it, which is when mirroring has
// stopped already. As the live leg the leg goes on: what it writes then is meant.
func (m *Mirror) Trip(leg parallax.Leg, reason string) (first bool) {
	t := &Trip{leg, reason, m.deps.Now().UTC()}
	if !m.trips.legs[leg].CompareAndSwap(nil, t) {
		return false
	}
	m.deps.Log.Error("mirroring to a leg has stopped: it did as a shadow what it must not", "leg", leg.String(), "reason", reason)
	if hear := m.trips.hear.Load(); hear != nil {
		(*hear)(*t)
	}
	return true
}

// OnTrip names who hears of each trip, to write it down. It is called from the
// goroutine that found the reason.
func (m *Mirror) OnTrip(hear func(Trip)) { m.trips.hear.Store(&hear) }

// SetTrips puts these trips in force and no others: those of before a restart, or none
// once a person has released the legs. Nobody hears of them.
func (m *Mirror) SetTrips(trips []Trip) {
	var next [parallax.Legs]*Trip
	for _, t := range trips {
		next[t.Leg] = &t
	}
	for l, t := range next {
		m.trips.legs[l].Store(t)
	}
}

// Tripped returns the trips in force, in the order of the legs.
func (m *Mirror) Tripped() []Trip {
	var out []Trip
	for l := range m.trips.legs {
		if t := m.trips.legs[l].Load(); t != nil {
			out = append(out, *t)
		}
	}
	return out
}

// withheld returns why a leg is asked nothing as a shadow, whatever the request; "" if it
// is asked.
func (m *Mirror) withheld(l *leg) parallax.Place {
	if m.trips.legs[l.name].Load() != nil {
		return parallax.UnmirroredTripped
	}
	if c := m.copies.legs[l.name].Load(); c != nil && c.Ended.IsZero() {
		return parallax.UnmirroredCopying
	}
	return ""
}
