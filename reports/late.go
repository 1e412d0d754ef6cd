package reports

import (
	"cmp"
	"maps"
	"time"

	"parallax/divergence"
)

// Ticks are read in the order of their times, each once. Some show up behind others
// that were read: those of an instance that had to try again, or whose clock is
// behind, and those from after a clock was set back. So the last minute is looked at
// again every five seconds. What is later than that is folded in when Parallax
// starts again.
const (
	lookBack      = time.Minute
	lookBackEvery = 5 * time.Second
)

// reader is where a judge is in the list of ticks.
type reader struct {
	cursor divergence.Cursor // behind the last tick that was read

	floor  time.Time            // ticks from then on are looked at again; never set back
	looked time.Time            // when that was done last
	read   map[tickID]time.Time // those from then on that were read, and their times
}

// tickID tells a tick from all others of its service.
type tickID struct {
	instance string
	seq      uint64
}

// readFrom returns a reader of what is after a place.
func readFrom(c divergence.Cursor) reader {
	return reader{cursor: c, read: map[tickID]time.Time{}}
}

// start returns where to read from now.
func (r *reader) start(now time.Time) divergence.Cursor {
	since := now.Sub(r.looked)
	if since >= 0 && since < lookBackEvery {
		return r.cursor
	}
	r.looked = now
	if floor := now.Add(-lookBack).UTC().Truncate(time.Millisecond); floor.After(r.floor) {
		r.floor = floor
		maps.DeleteFunc(r.read, func(_ tickID, at time.Time) bool { return at.Before(floor) })
	}
	if r.cursor.At.After(r.floor) {
		return divergence.Cursor{At: r.floor}
	}
	return r.cursor
}

// first notes that a tick was read, and reports whether it had not been before.
func (r *reader) first(t divergence.Tick) bool {
	id := tickID{t.Instance, t.Seq}
	if _, again := r.read[id]; again {
		return false
	}
	if !t.At.Before(r.floor) {
		r.read[id] = t.At
	}
	if c := t.Cursor(); behind(c, r.cursor) {
		r.cursor = c
	}
	return true
}

// behind reports whether a comes after b in the list of ticks. A late one of the same time
// may come before: a cursor that went back to it would pass the others twice.
func behind(a, b divergence.Cursor) bool {
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Seq, b.Seq)) > 0
}
