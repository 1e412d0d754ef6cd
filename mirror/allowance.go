package mirror

import (
	"sync"
	"time"
)

// Reading on past what is kept of an answer serves to compare long bodies by
// their hash. It is worth some CPU, and no more: a candidate that answers 10 MB
// to everything must not take the processor from callers.
const (
	oversizePerSecond = 4 << 20  // bytes
	oversizeBurst     = 64 << 20 // bytes
)

// maxAlone is how long a shadow leg is not asked at most on an endpoint whose last
// answer was too long to be read.
const maxAlone = 10 * time.Second

// tryAlone is how long the others wait for the request that tries whether answers
// are shorter now.
const tryAlone = time.Second

// allowance is a number of bytes that fills up again with time (a token bucket).
// Its methods never block and may be called from many goroutines.
type allowance struct {
	mu   sync.Mutex
	left int64
	at   time.Time // when left was brought up to date; zero: it is full
}

// take takes n bytes and reports whether there were as many.
func (a *allowance) take(n int64, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at.IsZero() {
		a.left = oversizeBurst
	} else if passed := now.Sub(a.at); passed > 0 {
		a.left = min(oversizeBurst, a.left+int64(passed.Seconds()*oversizePerSecond))
	}
	a.at = now
	if n > a.left {
		return false
	}
	a.left -= n
	return true
}
