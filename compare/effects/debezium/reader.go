package debezium

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"parallax/compare/effects"
)

// Source is one database whose changes Debezium sends.
type Source struct {
	Name   string              // the connector's topic.prefix
	Tables []string            // those that are read, each with its schema where that is not public, or of MySQL its database; empty: all
	Keys   map[string][]string // the columns that name a row, by table as in Tables: Debezium's HTTP sink does not send keys

	// Quiet is how long nothing of a transaction has come when it is complete, where
	// END events are not sent; 500 ms if 0.
	Quiet time.Duration
	// Delay is how long after a commit its events have come; 2 s if 0. It is what a
	// barrier waits.
	Delay time.Duration
	// Silence is how long a source may be silent before what it does is unknown; 30 s
	// if 0, negative for as long as it likes.
	Silence time.Duration
}

// Defaults of a source, and the delay of what is sent without a database.
const (
	quiet       = 500 * time.Millisecond
	delay       = 2 * time.Second
	silence     = 30 * time.Second
	outboxDelay = 500 * time.Millisecond
)

func (s Source) withDefaults() Source {
	keys := make(map[string][]string, len(s.Keys))
	for table, columns := range s.Keys {
		keys[strings.TrimPrefix(table, "public.")] = columns
	}
	s.Keys = keys
	if s.Quiet <= 0 {
		s.Quiet = quiet
	}
	if s.Delay <= 0 {
		s.Delay = delay
	}
	if s.Silence == 0 {
		s.Silence = silence
	}
	return s
}

// name returns what a table is called in changes; false if it is not read.
func (s *Source) name(t table) (string, bool) {
	if len(s.Tables) == 0 {
		if t.bare != "" {
			return t.bare, true
		}
		return t.whole, true
	}
	for _, candidate := range []string{t.whole, t.bare} {
		for _, listed := range s.Tables {
			if candidate != "" && strings.TrimPrefix(listed, "public.") == candidate {
				return candidate, true
			}
		}
	}
	return "", false
}

// Stats counts what a reader has read.
type Stats struct {
	Events     int64 // all that came
	Duplicates int64 // of them, what had come before
	Unlisted   int64 // of tables that are not read
	Late       int64 // of transactions that were handed over before
	Incomplete int64 // transactions handed over although more of them was announced, or there was no room
	Waiting    int64 // events that are queued, or held until their transaction is complete: how many there are now
}

// Reader puts the events of one database together to transactions. Get it from an
// [Inbox].
type Reader struct {
	source Source
	now    func() time.Time
	queue  *queue

	mu    sync.Mutex
	stats Stats
}

var _ effects.Reader = (*Reader)(nil)

func newReader(s Source, now func() time.Time) *Reader {
	return &Reader{source: s, now: now, queue: newQueue()}
}

// Stats returns what was read so far.
func (r *Reader) Stats() Stats {
	queued := r.queue.waiting()
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.stats
	out.Waiting += int64(queued)
	return out
}

// Position returns the time by which what is committed until now has come, if Debezium
// keeps to [Source].Delay, in microseconds since 1970. See the package's documentation
// for what that is worth.
func (r *Reader) Position(context.Context) (effects.Position, error) {
	return position(r.now().Add(r.source.Delay)), nil
}

func position(t time.Time) effects.Position { return effects.Position(max(t.UnixMicro(), 0)) }

// tick is how often transactions that wait are looked at.
const tick = 50 * time.Millisecond

// Run hands transactions to a sink until the context ends. What is queued then stays
// so. It returns nil, and may be called again.
func (r *Reader) Run(ctx context.Context, to effects.Sink) error {
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	a := newAssembler(&r.source, to)
	w := watch{source: &r.source, to: to}
	w.start(r.now())
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		case <-r.queue.ready:
		}
		now := r.now() // What is queued now came before.
		for _, e := range r.queue.take() {
			w.heard(&e, a.add(e, now), now)
		}
		a.expire(now)
		w.look(now)
		to.Passed(a.passed(now))
		r.mu.Lock()
		r.stats = a.stats
		r.stats.Waiting = int64(a.held)
		r.mu.Unlock()
	}
}

// watch notices that a source is silent or late.
type watch struct {
	source *Source
	to     effects.Sink

	last     time.Time // when it was heard last
	behind   bool      // what came last was committed long ago
	lateBeat bool      // since the last heartbeat, something came that was
	gap      bool
	from     time.Time
	why      string
}

func (w *watch) start(now time.Time) {
	w.last = now
	if w.source.Silence < 0 {
		w.to.Gap(now, now, "reading has not begun")
		return
	}
	w.open(now, fmt.Sprintf("%s has not been heard yet", w.source.Name))
}

// slack is what the clocks of databases are exact to: MySQL tells commits by the
// second.
const slack = time.Second

// heard notes that an event came, and how long after its commit if it is news.
func (w *watch) heard(e *event, news bool, now time.Time) {
	w.last = now
	switch {
	case w.source.Silence < 0:
	case !news:
	case e.kind == row && now.Sub(e.at) > w.source.Delay+slack:
		w.behind, w.lateBeat = true, true
		w.open(e.at, fmt.Sprintf("%s is %s behind its database, or their clocks differ", w.source.Name, now.Sub(e.at).Round(time.Second)))
	case e.kind == row:
		w.behind = false
	case e.kind == alive:
		w.behind = w.behind && w.lateBeat
		w.lateBeat = false
	}
}

// look opens a gap or closes it.
func (w *watch) look(now time.Time) {
	silent := w.source.Silence > 0 && now.Sub(w.last) > w.source.Silence
	switch {
	case silent:
		w.open(w.last, fmt.Sprintf("%s has not been heard for %s", w.source.Name, w.source.Silence))
	case w.gap && !w.behind && w.last.After(w.from):
		w.gap = false
		w.to.Gap(w.from, now, w.why)
	}
}

func (w *watch) open(from time.Time, why string) {
	if w.gap {
		return
	}
	w.gap, w.from, w.why = true, from, why
	w.to.Gap(from, time.Time{}, why)
}
