package egress

import (
	"context"
	"fmt"
	"sync"
	"time"

	"parallax"
	"parallax/compare/effects"
)

// Bounds of the calls of one leg that the joiner has not taken yet.
const (
	maxLogged = 4096
	maxBytes  = 32 << 20
)

// log is the calls of one leg in the order in which they were answered or refused.
type log struct {
	leg  parallax.Leg
	name string // unique, so that its transactions are
	now  func() time.Time

	complete time.Time     // from when on all calls are in it
	turn     chan struct{} // held by the one who reads; has room for one

	mu      sync.Mutex
	open    bool // somebody reads it
	list    []effects.Transaction
	bytes   int64
	last    effects.Position
	wake    chan struct{} // has room for one
	dropped time.Time     // since when calls find no room; zero while they do
	retired time.Time     // since when another process takes calls, too; zero while none does
}

var _ effects.Reader = (*log)(nil)

// add appends a call; false says that there is no room. While nobody reads there is
// none, and nothing is missing.
func (l *log) add(tag string, e parallax.Effect, more bool) bool {
	at := l.now()
	size := int64(256 + len(e.Table))
	for _, c := range e.After {
		size += int64(len(c.Name) + len(*c.Value) + 64)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	if !l.open {
		return true
	}
	defer l.rouse()
	if !l.dropped.IsZero() || len(l.list) >= maxLogged || l.bytes+size > maxBytes {
		if l.dropped.IsZero() {
			l.dropped = at
		}
		return false
	}
	tx := effects.Transaction{
		ID: fmt.Sprintf("%s-%d", l.name, l.last), Position: l.last, At: at, More: more,
		Changes: []effects.Change{{Table: e.Table, Op: e.Op, After: e.After}},
	}
	if tag != "" {
		tx.Tags = []string{tag}
	}
	l.list = append(l.list, tx)
	l.bytes += size
	return true
}

func newLog(leg parallax.Leg, name string, now func() time.Time, complete time.Time) *log {
	return &log{leg: leg, name: name, now: now, complete: complete, turn: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
}

// Run implements [effects.Reader]. It waits for whoever reads already to end.
func (l *log) Run(ctx context.Context, to effects.Sink) error {
	select {
	case <-ctx.Done():
		return nil
	case l.turn <- struct{}{}:
	}
	defer func() { <-l.turn }()
	l.mu.Lock()
	l.open = true
	begin, last := l.now(), l.last
	l.mu.Unlock()
	defer l.close()
	const why = "another process may have taken calls"
	if wait := l.complete.Sub(begin); wait > 0 {
		to.Gap(begin, time.Time{}, why)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
	to.Gap(begin, l.now(), "reading has not begun")
	to.Passed(last)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
			if since := l.hand(to); !since.IsZero() {
				to.Gap(since, time.Time{}, why)
				l.close()
				<-ctx.Done()
				return nil
			}
		}
	}
}

// retire says that from now on other calls are made than the log has.
func (l *log) retire() {
	l.mu.Lock()
	l.retired = l.now()
	l.mu.Unlock()
	l.rouse()
}

// rouse makes who reads look.
func (l *log) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// hand hands on what there is, and returns since when the log is not complete.
func (l *log) hand(to effects.Sink) (retired time.Time) {
	l.mu.Lock()
	list, last, dropped, retired := l.list, l.last, l.dropped, l.retired
	l.list, l.bytes, l.dropped = nil, 0, time.Time{}
	l.mu.Unlock()
	for _, tx := range list {
		to.Transaction(tx)
	}
	if !dropped.IsZero() {
		to.Gap(dropped, l.now(), "more calls were made than were read")
	}
	to.Passed(last)
	return retired
}

func (l *log) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open, l.list, l.bytes, l.dropped = false, nil, 0, time.Time{}
}

// Position implements [effects.Reader].
func (l *log) Position(context.Context) (effects.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last, nil
}
