package h1

import (
	"sync"
	"sync/atomic"
	"time"
)

// guard looks after the time limits of many connections with one goroutine. A
// limit costs the connection one atomic store; a timer of its own would cost
// more than the request. Limits are late by up to two ticks and never early.
// The goroutine runs while there are connections.
type guard struct {
	tick   time.Duration
	ticked func(time.Time) // told of every tick; may be nil
	base   time.Time
	now    atomic.Int64 // nanoseconds since base, by the monotonic clock; behind by up to a tick

	mu      sync.Mutex
	watched map[watched]struct{}
	stop    chan struct{} // ends the goroutine; nil when there is none
}

// watched is a connection under guard.
type watched interface {
	// check is called every tick. It must not block.
	check(now int64)
}

// expired stands in place of a limit that was passed. Who sees it knows that
// the connection was cut.
const expired = -1

func newGuard(tick time.Duration, ticked func(time.Time)) *guard {
	return &guard{tick: tick, ticked: ticked, base: time.Now(), watched: make(map[watched]struct{})}
}

func (g *guard) add(w watched) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.watched[w] = struct{}{}
	if g.stop == nil {
		g.stop = make(chan struct{})
		g.look()
		go g.run(g.stop)
	}
}

func (g *guard) remove(w watched) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.watched, w)
	if len(g.watched) == 0 && g.stop != nil {
		close(g.stop)
		g.stop = nil
	}
}

// each calls f for every connection.
func (g *guard) each(f func(watched)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for w := range g.watched {
		f(w)
	}
}

func (g *guard) run(stop chan struct{}) {
	ticker := time.NewTicker(g.tick)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			now := g.look()
			g.each(func(w watched) { w.check(now) })
		}
	}
}

// look looks at the clock.
func (g *guard) look() int64 {
	at := time.Now()
	now := g.at(at)
	g.now.Store(now)
	if g.ticked != nil {
		g.ticked(at)
	}
	return now
}

// at returns a point in time as a limit; one that has passed is still one.
func (g *guard) at(t time.Time) int64 { return max(int64(t.Sub(g.base)), 1) }

// in returns the limit that lies d ahead, 0 for none.
func (g *guard) in(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return g.now.Load() + int64(d+g.tick)
}

// limit is a time by which something must have happened; 0 means none.
type limit struct{ due atomic.Int64 }

// set replaces the limit. It is false if the one before had expired.
func (l *limit) set(due int64) bool { return l.due.Swap(due) != expired }

// over reports, once, that the limit has passed.
func (l *limit) over(now int64) bool {
	due := l.due.Load()
	return due > 0 && due <= now && l.due.CompareAndSwap(due, expired)
}
