package effects

import (
	"container/heap"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"parallax"
	"parallax/internal/ids"
)

// pollEvery is how often a database is asked for its position while exchanges wait.
const pollEvery = 20 * time.Millisecond

// handers is how many goroutines hand exchanges on.
const handers = 4

// JoinerConfig is what a [Joiner] needs. Config was validated; functions may be nil.
// They are called without a lock held.
type JoinerConfig struct {
	Service string
	Config  Config
	Now     func() time.Time
	Log     *slog.Logger
	Metrics *Metrics

	// Learn is told of each exchange with its effects, in the order in which their settle
	// times end. It returns the values that the exchange may have from earlier ones, and what
	// learns from it, nil for nothing. That is called once those are learnt from, before the
	// exchange is handed on: what it learns, later ones find. It reports whether it could.
	// Of an exchange that nothing waits for it is told at once, beside the others. It may
	// change x, but nothing that x refers to.
	Learn func(x *parallax.Exchange) (needs []ids.Ref, learn func() bool)
	// Makes lists the values that a leg's database made up with a row that was inserted.
	Makes func(leg parallax.Leg, table string, row []parallax.Column) []ids.Ref
	// Lost is told of values that databases made up for exchanges and whose partners nobody will
	// learn, before anything is learnt from an exchange that comes after.
	Lost func(refs []ids.Ref)
	// Late is told what was committed too late to be compared.
	Late func(Late)
	// Shadow is told what a leg committed that was not the live one of its exchange, as soon
	// as that is known: a leg that may not write as a shadow is found by it.
	Shadow func(ShadowWrite)
	// Written is told what the candidate commits as the live leg.
	Written func(Written)
	// Shape is told how much the live leg of each exchange committed that came by
	// [Joiner.Lived] or [Joiner.Answered]; nil: nobody asks.
	Shape func(Shape)
}

// Late is what an exchange's leg committed after its effects were handed on.
type Late struct {
	Exchange parallax.ID
	Stamp    parallax.Stamp
	Leg      parallax.Leg
	Effects  []parallax.Effect
}

// ShadowWrite is a transaction that a leg committed as a shadow.
type ShadowWrite struct {
	Exchange parallax.ID
	By       parallax.Leg // who wrote
	In       parallax.Leg // whose database it was
	Table    string       // of its first change
	At       time.Time
}

// Joiner finds the exchange of each change that the databases of one service commit. It
// holds exchanges until everything their legs did is read, and hands them on.
type Joiner struct {
	cfg JoinerConfig
	on  correlations

	learnt chan *waiting
	wake   chan struct{} // something waits now

	mu       sync.Mutex
	more     *sync.Cond // handing has one more, or stopped is set
	handing  []*waiting // in order, to learn
	pairs    pairs
	unpaired []ids.Ref // that Lost is to be told of
	sources  []*source
	log      log
	entries  entries
	exchange exchanges
	due      dueHeap    // by the end of their settle time
	overdue  []*waiting // settled, and not covered yet; in the order of due
	fresh    []*waiting // answered, and neither covered nor given up yet: for the barrier's metric
	held     int        // exchanges that wait
	bytes    int64      // of them
	stopped  bool
	missed   bool // an exchange was handed on without all of its effects
	counts   counts
	strays   map[parallax.ID][]ShadowWrite // of exchanges that have not come
	mark     *CopyMark                     // of the last copy of the primary's database; nil: none
	spoilt   spoilt
	living   *living
	shapes   shapes
}

// legs are those whose databases are read.
var legs = [2]parallax.Leg{parallax.Primary, parallax.Candidate}

// NewJoiner returns a joiner without databases: [Joiner.Add] them all before
// [Joiner.Run].
func NewJoiner(cfg JoinerConfig) *Joiner {
	j := &Joiner{
		cfg: cfg, on: cfg.Config.correlations(),
		learnt: make(chan *waiting, handers), wake: make(chan struct{}, 1), pairs: newPairs(),
		entries: newEntries(), exchange: newExchanges(), strays: map[parallax.ID][]ShadowWrite{}, living: newLiving(), shapes: newShapes(), log: log{limit: int64(cfg.Config.Log.Memory)},
	}
	j.more = sync.NewCond(&j.mu)
	return j
}

// Run reads the databases and hands exchanges on until ctx ends. Then it hands on what
// waits, as not known, and returns when nothing of it runs.
func (j *Joiner) Run(ctx context.Context) error {
	var reading, handing sync.WaitGroup
	for _, s := range j.sources {
		reading.Go(func() {
			if err := s.reader.Run(ctx, s); err != nil && ctx.Err() == nil {
				j.cfg.Log.Error("a database is not read any more", "service", j.cfg.Service, "leg", s.leg, "database", s.name, "err", err)
				s.Gap(j.cfg.Now(), time.Time{}, err.Error())
			}
		})
		reading.Go(func() { s.poll(ctx) })
	}
	reading.Go(func() { j.live(ctx) })
	handing.Go(j.learn)
	for range handers {
		handing.Go(func() {
			for w := range j.learnt {
				w.then(w.out)
			}
		})
	}
	j.tick(ctx)
	j.mu.Lock()
	j.stopped = true
	j.giveUp("Parallax was stopped")
	j.tired(j.cfg.Now())
	left := j.shapesOver(j.cfg.Now())
	j.more.Signal()
	j.mu.Unlock()
	j.tellShapes(left)
	handing.Wait()
	reading.Wait()
	j.finishLiving()
	return nil
}

// learn learns from exchanges, one after the other, and hands them on.
func (j *Joiner) learn() {
	defer close(j.learnt)
	for w := j.next(); w != nil; w = j.next() {
		if !j.learnFrom(w) {
			continue
		}
		j.learnt <- w
		j.mu.Lock()
		j.held--
		j.bytes -= w.bytes
		j.cfg.Metrics.waiting(j.cfg.Service, j.held)
		j.mu.Unlock()
	}
}

// next waits for the next exchange to be learnt from; nil: there will be no more.
func (j *Joiner) next() *waiting {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.handing) == 0 && !j.stopped {
		j.more.Wait()
	}
	if len(j.handing) == 0 {
		return nil
	}
	w := j.handing[0]
	j.handing[0], j.handing = nil, j.handing[1:]
	return w
}

// hand makes an exchange the next one but those before it. The caller holds mu.
func (j *Joiner) hand(w *waiting) {
	j.handing = append(j.handing, w)
	j.more.Signal()
}

// learnFrom learns from an exchange; false: it has to wait for others, and comes again.
func (j *Joiner) learnFrom(w *waiting) bool {
	j.tellLost()
	var needs []ids.Ref
	if w.parked == nil && j.cfg.Learn != nil {
		needs, w.learn = j.cfg.Learn(w.out)
	}
	if !j.ready(w, needs) {
		return false
	}
	known := false
	switch {
	case len(w.lost) > 0:
		w.out = unmapped(w.out, w.lost)
	case w.learn != nil:
		known = w.learn()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range w.made {
		j.told(e, known)
		if !known {
			j.lose(e)
		}
	}
	return true
}

// tick hands on what is due, until ctx ends. It sleeps while nothing waits.
func (j *Joiner) tick(ctx context.Context) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		j.mu.Lock()
		now := j.cfg.Now()
		j.settled(now)
		j.forget(now)
		j.tired(now)
		over := j.shapesOver(now)
		idle := len(j.due)+len(j.overdue)+j.pairs.parked.Len()+len(j.shapes.order) == 0 && j.log.oldest() == nil
		j.mu.Unlock()
		j.tellShapes(over)
		if !idle {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-j.wake:
		}
	}
}

// stir ends the sleep of tick. The caller holds mu.
func (j *Joiner) stir() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// Gather hands an exchange with all effects of its legs to then, once: a copy, from a
// goroutine of the joiner's own, when everything that they committed until the settle
// time was over is read. Of a leg of which that is not known, Unread says why. It returns at
// once; then is called before it does where nothing is to be waited for.
func (j *Joiner) Gather(x *parallax.Exchange, then func(*parallax.Exchange)) {
	j.mu.Lock()
	why := j.add(x, then)
	writes := j.shadowsOf(x)
	j.listRead(x)
	j.mu.Unlock()
	j.tell(writes)
	if why == "" {
		return
	}
	if why == pointless {
		then(x)
		return
	}
	out := unread(x, why)
	if j.cfg.Learn != nil {
		j.cfg.Learn(out) // There is nothing to be learnt but that nobody knows.
	}
	then(out)
}

// pointless is why an exchange is handed on that has no effects to compare.
const pointless = "it is not compared"

// add makes an exchange wait, or says why it does not.
func (j *Joiner) add(x *parallax.Exchange, then func(*parallax.Exchange)) string {
	w := j.waitingOf(x, then)
	if !answered(x) {
		j.refuse(w)
		return pointless
	}
	why := ""
	switch {
	case j.exchange.byID[x.ID] != nil:
		return "it came twice" // What it did is the first one's.
	case j.stopped:
		why = "Parallax was stopping"
	case j.held >= j.cfg.Config.Waiting.Exchanges || j.bytes+w.bytes > int64(j.cfg.Config.Waiting.Memory):
		why = "too many exchanges were waiting for their effects"
	}
	if why != "" {
		j.refuse(w)
		j.missed = true
		return why
	}
	if j.on.key {
		w.said = &said{x.Received, w.settle, [2][]string{words(x.Legs[parallax.Primary]), words(x.Legs[parallax.Candidate])}}
		j.exchange.say(w.said)
	}
	j.exchange.add(w, waitingState, j.cfg.Now())
	j.held++
	j.bytes += w.bytes
	j.cfg.Metrics.waiting(j.cfg.Service, j.held)
	heap.Push(&j.due, w)
	j.fresh = append(j.fresh, w)
	j.stir()
	return ""
}

// refuse remembers an exchange that does not wait.
func (j *Joiner) refuse(w *waiting) {
	j.exchange.add(w, settledState, j.cfg.Now())
	for e := range j.entriesOf(w.x) {
		j.hopeless(e)
	}
}

// settled hands on the exchanges whose settle time is over, in their order, as soon as
// everything up to its end is read. The caller holds mu.
func (j *Joiner) settled(now time.Time) {
	j.fresh = slices.DeleteFunc(j.fresh, func(w *waiting) bool {
		over := j.covered(w.done) || !now.Before(w.give)
		if over && w.out == nil { // Of a gap there is no barrier.
			j.cfg.Metrics.barrier(now.Sub(later(w.asked, w.done)))
		}
		return over || w.out != nil
	})
	for len(j.due) > 0 && !j.due[0].settle.After(now) {
		j.overdue = append(j.overdue, heap.Pop(&j.due).(*waiting))
	}
	j.overdue = slices.DeleteFunc(j.overdue, func(w *waiting) bool {
		unread, known := j.unreadOf(w, now)
		if known {
			j.release(w, unread)
		}
		return known
	})
}

// covered reports whether every database was read up to a time.
func (j *Joiner) covered(at time.Time) bool {
	for _, s := range j.sources {
		if s.covered.Before(at) {
			return false
		}
	}
	return true
}

// unreadOf says for each leg why its effects are not all known, "" where they are. It is
// false while that may still come out.
func (j *Joiner) unreadOf(w *waiting, now time.Time) (why [2]string, known bool) {
	known = true
	for _, s := range j.sources {
		if text, gap := s.gapIn(w.x.Received, w.settle); gap {
			why[s.leg] = text
		} else if s.covered.Before(w.settle) {
			known = false
		}
	}
	reason := "was not waited for, as the other leg's effects are not known"
	if why == [2]string{} {
		if known || now.Before(w.give) {
			return why, known
		}
		reason = "was not read in time"
	}
	for _, s := range j.sources {
		if why[s.leg] == "" && s.covered.Before(w.settle) {
			why[s.leg] = "the log of " + s.name + " " + reason
		}
	}
	return why, true
}

// release takes what an exchange's legs did and hands it on. The caller holds mu.
func (j *Joiner) release(w *waiting, why [2]string) {
	out := *w.x
	for _, leg := range legs {
		call := *out.Legs[leg]
		list, trouble := j.take(w, leg)
		call.Effects, call.Unread = list, why[leg]
		if call.Unread == "" {
			call.Unread = trouble
		}
		out.Legs[leg] = &call
		j.missed = j.missed || call.Unread != ""
	}
	w.out = &out
	j.exchange.settle(w)
	for _, e := range w.made {
		w.bytes += e.bytes
		j.bytes += e.bytes
	}
	j.hand(w)
}

// giveUp hands on everything that waits, as not known. The caller holds mu.
func (j *Joiner) giveUp(why string) {
	for _, w := range append(j.overdue, j.due...) {
		j.release(w, [2]string{why, why})
	}
	j.overdue, j.due, j.fresh = nil, nil, nil
}

// Adjust changes everything of the configuration but [Config.Reading], for exchanges that
// come from now on. Databases are read on without a gap.
func (j *Joiner) Adjust(c Config) {
	j.mu.Lock()
	defer j.mu.Unlock()
	was := j.cfg.Config
	c.Primary, c.Candidate, c.Correlate = was.Primary, was.Candidate, was.Correlate
	j.cfg.Config, j.log.limit = c, int64(c.Log.Memory)
}

// Missed reports whether an exchange was handed on of which not everything is known. From
// then on a value without a partner may have one all the same.
func (j *Joiner) Missed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.missed
}

// unread returns a copy of an exchange whose effects nobody knows.
func unread(x *parallax.Exchange, why string) *parallax.Exchange {
	out := *x
	for _, leg := range legs {
		call := *out.Legs[leg]
		call.Unread = why
		out.Legs[leg] = &call
	}
	return &out
}
