package mirror

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"parallax"
	"parallax/internal/ids"
)

// Copy is that the database of a leg with one of its own is made anew, from a copy of the
// primary's. From Began to Ended the leg is asked nothing as a shadow, and the writes
// that it misses are kept. Then those that the copy does not hold are caught up.
type Copy struct {
	Leg   parallax.Leg
	Began time.Time
	Ended time.Time // zero: it is being made

	// From and Until stand around the moment whose data are copied; zero before it is known.
	From, Until time.Time
	Settle      time.Duration // how long after its answer the live leg may still commit

	// Holds says what the copy has of an exchange that was under way at that moment; nil:
	// nobody knows.
	Holds func(x *parallax.Exchange) InCopy
}

// InCopy is what a copy has of what an exchange has written.
type InCopy uint8

// What a copy may have of an exchange.
const (
	InCopyUnknown InCopy = iota // nobody can tell any more
	InCopyLater                 // it is not known yet
	InCopyWhole
	InCopyNothing
)

// of returns what the copy has of an exchange that was written by a leg.
func (c *Copy) of(x *parallax.Exchange, by *parallax.Call) InCopy {
	over := x.Received.Add(by.Done).Add(c.Settle)
	switch {
	case over.Before(c.From):
		return InCopyWhole
	case x.Received.After(c.Until):
		return InCopyNothing
	case c.Holds == nil:
		return InCopyUnknown
	}
	return c.Holds(x)
}

// copies hold at most one copy a leg: the last one.
type copies struct {
	legs [parallax.Legs]atomic.Pointer[Copy]
}

// SetCopy puts a copy in force in the place of the leg's last one.
func (m *Mirror) SetCopy(c Copy) {
	m.copies.legs[c.Leg].Store(&c)
	m.taintAnew(c.Leg)
}

// taintAnew has what a leg is tainted with while its database is made anew on record, also
// where it was tainted before: the copy ends that, and not this.
func (m *Mirror) taintAnew(leg parallax.Leg) {
	c, s := m.copies.legs[leg].Load(), m.spools[leg].Load()
	if c != nil && s != nil && c.Ended.IsZero() {
		s.TaintAnew()
	}
}

// DropCopy ends that a leg's database is being made anew, as if that had not begun: all
// that the leg misses is caught up. The leg's earlier copy is before, nil for none.
func (m *Mirror) DropCopy(leg parallax.Leg, before *Copy) { m.copies.legs[leg].Store(before) }

// Copied returns the last copy of a leg's database, nil if there was none.
func (m *Mirror) Copied(leg parallax.Leg) *Copy { return m.copies.legs[leg].Load() }

// quietEvery is how often a leg is looked at that is to be quiet.
const quietEvery = 10 * time.Millisecond

// Quiet returns when nothing is under way at a leg as a shadow. It is of use while the leg
// is asked nothing more.
func (m *Mirror) Quiet(ctx context.Context, leg parallax.Leg) error {
	tick := time.NewTicker(quietEvery)
	defer tick.Stop()
	for {
		s := m.enter()
		l := s.legs[leg]
		quiet := l == nil || l.slots.Load() == 0
		s.leaveAtOnce()
		if quiet {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the %s still works on requests that it was sent before: %w", leg, ctx.Err())
		}
	}
}

// SharesIdentifiers reports whether other mirrors may know the pairs of this one's identifiers.
func (m *Mirror) SharesIdentifiers() bool {
	_, own := m.ids.(*ids.Memory)
	return !own
}

// ForgetIdentifiers forgets which values of the legs stand for each other, and what was made
// up before a time: a leg has a copy of the data of then. What was made up since stays known
// as what has no partner yet. It is false where other mirrors know them too.
func (m *Mirror) ForgetIdentifiers(before time.Time) bool {
	memory, ok := m.ids.(*ids.Memory)
	if ok {
		memory.Forget(before)
	}
	return ok
}

// Untaint forgives what a leg was tainted with before a time: it has a copy of the data
// of then.
func (m *Mirror) Untaint(leg parallax.Leg, before time.Time) error {
	m.parted.forgive(before)
	if s := m.spools[leg].Load(); s != nil {
		return s.Untaint(before)
	}
	return nil
}

// inCopy says of a write that a leg has missed whether the copy that the leg's database was
// made from has it, that this is not known yet, or never will be. What the live leg made up
// with a write that the copy has stands for itself in it.
func (f *flight) inCopy(l *leg) (has, later, unknown bool) {
	c := f.m.copies.legs[l.name].Load()
	if c == nil || c.From.IsZero() {
		return false, false, false
	}
	switch c.of(f.x, f.x.Legs[f.reference()]) {
	case InCopyWhole:
		var same []ids.Fact
		for _, v := range f.bornOn(f.reference()) {
			if v.id.Same && !v.id.Guessed {
				same = append(same, ids.Fact{Ref: v.ref, To: l.name, State: ids.Paired, Partner: v.ref.Value, TTL: v.id.TTL})
			}
		}
		f.note(same)
		return true, false, false
	case InCopyLater:
		return false, true, false
	case InCopyUnknown:
		return false, false, true
	}
	return false, false, false
}
