package divergence

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"parallax"
)

// othersEvery is how often the store is asked what other instances have written.
// A verdict is read every second, and each question costs the engine as much as
// storing a thousand exchanges.
const othersEvery = 5 * time.Second

// Ticks answers as [Store.Ticks] does, for who asks again and again from where the
// answer before ended. What this process wrote is in the answer at once. When it
// wrote nothing since an empty answer, the next five seconds' answers are empty
// without asking the store: what other instances write is that late.
func (r *Recorder) Ticks(ctx context.Context, service string, after Cursor, count int) ([]Tick, error) {
	end := tickEnd{after: after, batch: r.looks.batch.Load(), at: r.cfg.Now()}
	if r.Err() == nil && r.looks.ended(service, end) {
		return nil, nil
	}
	ticks, err := r.cfg.Store.Ticks(ctx, service, after, count)
	if err == nil && len(ticks) == 0 {
		r.looks.end(service, end)
	}
	return ticks, err
}

// looks remembers what the store said a moment ago. What it holds is bounded by
// services.
type looks struct {
	batch  atomic.Uint64 // the last whose ticks are written
	mu     sync.Mutex
	ends   map[string]tickEnd
	others map[string]othersTotals
}

// tickEnd says that at a time, when that batch was the last, there were no ticks
// after a cursor.
type tickEnd struct {
	after Cursor
	batch uint64
	at    time.Time
}

// othersTotals is where the exchanges of other instances went, as read at a time.
type othersTotals struct {
	n  map[parallax.Place]int64
	at time.Time
}

// recent says whether something was read less than othersEvery ago.
func recent(read, now time.Time) bool {
	age := now.Sub(read)
	return age >= 0 && age < othersEvery
}

func (l *looks) ended(service string, now tickEnd) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	had, ok := l.ends[service]
	return ok && had.after == now.after && had.batch == now.batch && recent(had.at, now.at)
}

func (l *looks) end(service string, now tickEnd) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ends == nil || len(l.ends) > maxEntries {
		l.ends = map[string]tickEnd{}
	}
	l.ends[service] = now
}

// totals returns what read gives, or gave a moment ago.
func (l *looks) totals(service string, now time.Time, read func() (map[parallax.Place]int64, error)) (map[parallax.Place]int64, error) {
	l.mu.Lock()
	had, ok := l.others[service]
	l.mu.Unlock()
	if ok && recent(had.at, now) {
		return had.n, nil
	}
	n, err := read()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.others == nil || len(l.others) > maxEntries {
		l.others = map[string]othersTotals{}
	}
	l.others[service] = othersTotals{n, now}
	return n, nil
}
