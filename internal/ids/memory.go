package ids

import (
	"container/list"
	"context"
	"slices"
	"sync"
	"time"

	"parallax"
)

// Reasons for which a Map forgets a value, or does not take it in.
const (
	DroppedEntries = "entries"  // more values than Limits.Entries
	DroppedBytes   = "bytes"    // more than Limits.Bytes
	DroppedExpired = "expired"  // its time was over
	DroppedTooLong = "too_long" // longer than 8 KiB
	DroppedAway    = "away"     // the store could not be reached
	DroppedReset   = "reset"    // a leg's data were replaced, see [Memory.Forget]
)

// DropReasons are all of them.
var DropReasons = []string{DroppedEntries, DroppedBytes, DroppedExpired, DroppedTooLong, DroppedAway, DroppedReset}

// Limits bound a [Memory].
type Limits struct {
	Entries int   // values, each leg's counted
	Bytes   int64 // of names and values, with an estimate of what keeping them takes
}

// DefaultLimits bound the pairs of one service: half a million values, 128 MiB.
var DefaultLimits = Limits{Entries: 500_000, Bytes: 128 << 20}

// entryBytes is about what one value takes besides its text.
const entryBytes = 320

// Memory is a [Map] in this process. What was not asked for the longest goes first
// when there is no room. It has no goroutines and needs no Close.
type Memory struct {
	limits  Limits
	now     func() time.Time
	dropped func(reason string)

	mu      sync.Mutex
	entries map[Ref]*list.Element // of *kept
	byUse   *list.List            // the latest in front
	bytes   int64
}

// kept is one value.
type kept struct {
	ref     Ref
	entry   Entry
	ttl     time.Duration
	expires time.Time
	learned time.Time // when it became what it is
	bytes   int64
	changed chan struct{} // closed at the next change; nil while nobody waits
}

var _ Map = (*Memory)(nil)

// NewMemory returns an empty Map. dropped hears of each value that is forgotten,
// with its reason, while a lock is held; it may be nil.
func NewMemory(limits Limits, now func() time.Time, dropped func(reason string)) *Memory {
	if dropped == nil {
		dropped = func(string) {}
	}
	return &Memory{limits: limits, now: now, dropped: dropped, entries: map[Ref]*list.Element{}, byUse: list.New()}
}

// Learn implements [Map].
func (m *Memory) Learn(_ context.Context, facts ...Fact) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for _, f := range facts {
		if len(f.Value) > maxKey || len(f.Partner) > maxKey {
			m.dropped(DroppedTooLong)
			continue
		}
		m.note(f.Ref, f.To, Partner{f.State, f.Partner}, f.TTL, now)
		if f.State == Paired {
			m.note(Ref{f.Name, f.To, f.Partner}, f.Leg, Partner{Paired, f.Value}, f.TTL, now)
		}
	}
	m.makeRoom()
	return nil
}

// maxKey bounds a value with what it is known by besides.
const maxKey = 2 * maxValue

// note notes one side of a fact.
func (m *Memory) note(ref Ref, to parallax.Leg, p Partner, ttl time.Duration, now time.Time) {
	if p.State != Paired {
		p.Value = ""
	}
	if ttl <= 0 {
		ttl = DefaultTTL
	}
	k := m.get(ref, now)
	if k == nil {
		k = &kept{ref: ref, bytes: int64(entryBytes + len(ref.Name) + len(ref.Value))}
		m.entries[ref] = m.byUse.PushFront(k)
		m.bytes += k.bytes
	}
	k.ttl, k.expires = ttl, now.Add(ttl)
	before := k.entry[to]
	if !replaces(before.State, p.State) {
		return
	}
	k.entry[to], k.learned = p, now
	grown := int64(len(p.Value) - len(before.Value))
	k.bytes += grown
	m.bytes += grown
	if k.changed != nil {
		close(k.changed)
		k.changed = nil
	}
}

// replaces reports whether what was learned of a partner counts after what is
// known of it.
func replaces(known, learned State) bool {
	switch learned {
	case Paired:
		return true
	case Pending:
		return known == Unknown || known == Failed
	}
	return known == Unknown || known == Pending
}

// get returns a value that is remembered, and remembers it longer.
func (m *Memory) get(ref Ref, now time.Time) *kept {
	e := m.entries[ref]
	if e == nil {
		return nil
	}
	k := e.Value.(*kept)
	if !now.Before(k.expires) {
		m.drop(e, DroppedExpired)
		return nil
	}
	k.expires = now.Add(k.ttl)
	m.byUse.MoveToFront(e)
	return k
}

func (m *Memory) drop(e *list.Element, reason string) {
	k := m.byUse.Remove(e).(*kept)
	delete(m.entries, k.ref)
	m.bytes -= k.bytes
	if k.changed != nil {
		close(k.changed)
		k.changed = nil
	}
	m.dropped(reason)
}

func (m *Memory) makeRoom() {
	for {
		reason := ""
		switch {
		case len(m.entries) > m.limits.Entries:
			reason = DroppedEntries
		case m.bytes > m.limits.Bytes:
			reason = DroppedBytes
		default:
			return
		}
		m.drop(m.byUse.Back(), reason)
	}
}

// Find implements [Map].
func (m *Memory) Find(_ context.Context, refs ...Ref) ([]Entry, error) {
	out := make([]Entry, len(refs))
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for i, ref := range refs {
		if k := m.get(ref, now); k != nil {
			out[i] = k.entry
		}
	}
	return out, nil
}

// Await implements [Map].
func (m *Memory) Await(ctx context.Context, ref Ref, to parallax.Leg) (Partner, error) {
	for {
		p, changed := m.partner(ref, to)
		if p.State != Pending {
			return p, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return p, nil
		}
	}
}

// partner returns what is known of a partner, and what is closed when that changes.
func (m *Memory) partner(ref Ref, to parallax.Leg) (Partner, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.get(ref, m.now())
	if k == nil {
		return Partner{}, nil
	}
	if k.changed == nil {
		k.changed = make(chan struct{})
	}
	return k.entry[to], k.changed
}

// Forget forgets what was learned before a time, and all pairs: they are of data that a leg
// has no more. What was made up since stays known as what has no partner yet.
func (m *Memory) Forget(before time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for e := m.byUse.Back(); e != nil; {
		older := e
		k := older.Value.(*kept)
		paired := slices.ContainsFunc(k.entry[:], func(p Partner) bool { return p.State == Paired })
		if e = e.Prev(); paired || k.learned.Before(before) {
			m.drop(older, DroppedReset)
		}
	}
}

// Len returns how many values are remembered, and about how many bytes they take.
func (m *Memory) Len() (entries int, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entries), m.bytes
}
