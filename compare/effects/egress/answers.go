package egress

import (
	"container/list"
	"context"
	"net/http"
	"sync"
	"time"

	"parallax"
)

// Bounds of what is remembered of the live leg's answers.
const (
	maxSeries   = 8192
	maxRepeats  = 64 // of one call of one exchange
	maxAnswered = 64 << 20
	answersLast = time.Minute
)

// answer is what the live leg was answered.
type answer struct {
	status int
	header http.Header
	body   []byte
	lost   string // why it cannot be given to a shadow; empty if it can
}

// size is what keeping it takes, in bytes, about.
func (a *answer) size() int64 {
	n := int64(128 + len(a.body) + len(a.lost))
	for name, values := range a.header {
		for _, v := range values {
			n += int64(len(name) + len(v) + 32)
		}
	}
	return n
}

// series is what one exchange's legs did with one method and address.
type series struct {
	key     string
	born    time.Time
	live    int                // calls of the live leg that began
	shadow  [parallax.Legs]int // those of each shadow
	got     map[int]*answer
	bytes   int64
	changed chan struct{} // closed with the next answer
	at      *list.Element // nil once it is forgotten
}

// answers remembers the live legs' answers for shadows that make the same calls.
type answers struct {
	now func() time.Time

	mu    sync.Mutex
	known map[string]*series
	order list.List // of *series, the oldest first
	bytes int64
}

func newAnswers(now func() time.Time) *answers {
	return &answers{now: now, known: map[string]*series{}}
}

// of returns the series of a key, and forgets what is too old or too much.
func (a *answers) of(key string) *series {
	now := a.now()
	for e := a.order.Front(); e != nil; e = a.order.Front() {
		if s := e.Value.(*series); now.Sub(s.born) < answersLast && a.order.Len() <= maxSeries && a.bytes <= maxAnswered {
			break
		} else {
			a.forget(s)
		}
	}
	s := a.known[key]
	if s == nil {
		s = &series{key: key, born: now, got: map[int]*answer{}, changed: make(chan struct{}), bytes: int64(256 + 2*len(key))}
		s.at = a.order.PushBack(s)
		a.bytes += s.bytes
		a.known[key] = s
	}
	return s
}

func (a *answers) forget(s *series) {
	a.order.Remove(s.at)
	delete(a.known, s.key)
	a.bytes -= s.bytes
	s.at = nil
}

// begin notes a call of the live leg, and returns what to do with its answer. That is
// called once or never.
func (a *answers) begin(key string) func(*answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.of(key)
	n := s.live
	s.live++
	return func(got *answer) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if s.at == nil || n >= maxRepeats {
			return
		}
		s.got[n] = got
		s.bytes += got.size()
		a.bytes += got.size()
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// wait returns the live leg's answer to a call of a shadow: to the leg's first the first,
// to its second the second. It is nil if there is none in time.
func (a *answers) wait(ctx context.Context, leg parallax.Leg, key string) *answer {
	a.mu.Lock()
	s := a.of(key)
	n := s.shadow[leg]
	s.shadow[leg]++
	for {
		got, changed := s.got[n], s.changed
		a.mu.Unlock()
		if got != nil {
			return got
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		a.mu.Lock()
	}
}
