package mirror

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parallax"
)

// PausedBy says who paused mirroring.
type PausedBy string

// Who can pause mirroring. When several did, the first of them is named.
const (
	ByPerson   PausedBy = "person"   // by the API, for one service, until somebody resumes it
	BySignal   PausedBy = "signal"   // for all services of a process, until the next signal or a person resumes it
	ByWatchdog PausedBy = "watchdog" // for one service, until it has cooled down
)

var pausers = []PausedBy{ByPerson, BySignal, ByWatchdog}

// Pause says that mirroring of a service stands still, and why.
type Pause struct {
	By     PausedBy
	Who    string    // the person's name as far as it is known
	Reason string    // in a sentence
	At     time.Time // since when
	Until  time.Time // when it ends by itself; zero for never
}

// pauses holds at most one pause of each kind. Reading whether there is one is
// a single atomic load.
type pauses struct {
	mu      sync.Mutex
	by      map[PausedBy]Pause
	inForce atomic.Pointer[Pause]
}

func (p *pauses) set(change func(by map[PausedBy]Pause)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by == nil {
		p.by = map[PausedBy]Pause{}
	}
	change(p.by)
	p.inForce.Store(nil)
	for _, by := range pausers {
		if pause, ok := p.by[by]; ok {
			p.inForce.Store(&pause)
			return
		}
	}
}

// Pause stops mirroring from the next request on: requests go to the live leg
// alone and are counted as unmirrored. What the other legs have been sent
// already, or are about to be sent of earlier requests, runs to its end within
// mirror.timeout: giving up a write halfway would leave a leg in a state nobody
// knows. Where a leg keeps a database of its own, each unsafe request that it
// misses is a state gap, counted in parallax_state_gaps_total. A second pause by
// the same replaces the first.
func (m *Mirror) Pause(p Pause) {
	m.pauses.set(func(by map[PausedBy]Pause) { by[p.By] = p })
	m.deps.Log.Warn("mirroring is paused", "by", string(p.By), "who", p.Who, "reason", p.Reason)
}

// Resume ends the pauses that were begun by these, or all of them when none is
// named. It reports whether there was such a pause.
func (m *Mirror) Resume(begunBy ...PausedBy) bool {
	ended := false
	m.pauses.set(func(by map[PausedBy]Pause) {
		for _, p := range pausers {
			if _, there := by[p]; there && (len(begunBy) == 0 || slices.Contains(begunBy, p)) {
				delete(by, p)
				ended = true
			}
		}
	})
	if ended {
		m.deps.Log.Info("a pause of mirroring is over", "still_paused", m.pauses.inForce.Load() != nil)
	}
	return ended
}

// Paused returns the pause in force and whether there is one.
func (m *Mirror) Paused() (Pause, bool) {
	if p := m.pauses.inForce.Load(); p != nil {
		return *p, true
	}
	return Pause{}, false
}

// PausedBy reports whether mirroring is paused by one of these.
func (m *Mirror) PausedBy(by PausedBy) bool {
	m.pauses.mu.Lock()
	defer m.pauses.mu.Unlock()
	_, ok := m.pauses.by[by]
	return ok
}

// withhold returns why a request that other legs would take is kept from them
// all the same, "" if it is not.
func (f *flight) withhold() parallax.Place {
	if p := f.m.pauses.inForce.Load(); p != nil {
		if p.By == ByWatchdog {
			return parallax.UnmirroredWatchdog
		}
		return parallax.UnmirroredPaused
	}
	missed := f.wouldBeMissed()
	if f.heldForMeasure(missed) {
		return parallax.UnmirroredWatchdog
	}
	if !f.service.pace.take(f.endpoint, f.x.ID, missed, f.start) {
		return parallax.UnmirroredRate
	}
	return ""
}

// wouldBeMissed reports whether a leg that gets the request has a database of its
// own that would lack what the request writes.
func (f *flight) wouldBeMissed() bool {
	return !f.endpoint.safe && slices.ContainsFunc(f.shadows, func(l *leg) bool { return l.state == Own && f.mayTakeUnsafe(f.endpoint, l) })
}
