// Package effectstest has a database's log in memory for tests, and the suite that every
// reader of one passes.
package effectstest

import (
	"context"
	"errors"
	"sync"
	"time"

	"parallax/compare/effects"
)

// Log is the log of a database that is written by a test, and a reader of it. Whoever
// commits while it is read hands the transaction over himself, before Commit returns.
type Log struct {
	Now func() time.Time

	mu      sync.Mutex
	at      effects.Position
	sink    effects.Sink // while it is read
	down    bool         // nobody may connect
	lost    effects.Gap  // that the reader was not told of yet
	stalled bool
	kept    []effects.Transaction // committed while stalled
	asked   int
	changed chan struct{}
}

var _ effects.Reader = (*Log)(nil)

// errCut is what Position returns while the log is not read.
var errCut = errors.New("not read at the moment")

// NewLog returns an empty log.
func NewLog(now func() time.Time) *Log { return &Log{Now: now, changed: make(chan struct{})} }

// Run implements [effects.Reader].
func (l *Log) Run(ctx context.Context, to effects.Sink) error {
	gap := effects.Gap{From: l.Now(), Why: "reading has not begun"}
	to.Gap(gap.From, time.Time{}, gap.Why)
	for {
		l.mu.Lock()
		if l.lost.Why != "" {
			gap, l.lost = l.lost, effects.Gap{}
			to.Gap(gap.From, time.Time{}, gap.Why)
		}
		changed := l.changed
		if !l.down && l.sink == nil {
			to.Gap(gap.From, l.Now(), gap.Why)
			to.Passed(l.at)
			l.sink = to
		}
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			l.mu.Lock()
			defer l.mu.Unlock()
			l.sink = nil
			return nil
		}
	}
}

// Position implements [effects.Reader].
func (l *Log) Position(context.Context) (effects.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sink == nil {
		return 0, errCut
	}
	l.asked++
	l.at++ // Something is written, so that there is something to pass.
	if !l.stalled {
		l.sink.Passed(l.at)
	}
	return l.at, nil
}

// Asked is how often the position was asked for.
func (l *Log) Asked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked
}

// Commit commits a transaction. Its time and position are set, and its ID if it has none.
func (l *Log) Commit(tx effects.Transaction) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at++
	tx.Position, tx.At = l.at, l.Now()
	if tx.ID == "" {
		tx.ID = string(rune(l.at))
	}
	switch {
	case l.sink == nil: // Nobody reads it.
	case l.stalled:
		l.kept = append(l.kept, tx)
	default:
		l.sink.Transaction(tx)
		l.sink.Passed(l.at)
	}
}

// Stall makes the reader hand nothing over, or go on.
func (l *Log) Stall(stalled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stalled = stalled; stalled || l.sink == nil {
		return
	}
	for _, tx := range l.kept {
		l.sink.Transaction(tx)
	}
	l.kept = nil
	l.sink.Passed(l.at)
}

// Cut ends the reader's connection. Nobody can connect again before [Log.Mend].
func (l *Log) Cut(why string) {
	l.set(func() {
		l.down, l.sink, l.kept, l.lost = true, nil, nil, effects.Gap{From: l.Now(), Why: why}
	})
}

// Mend lets a reader that was cut off connect again.
func (l *Log) Mend() { l.set(func() { l.down = false }) }

// set changes a state that Run waits for.
func (l *Log) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	close(l.changed)
	l.changed = make(chan struct{})
}
