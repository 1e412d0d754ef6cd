package effects

import (
	"slices"
	"time"

	"parallax"
)

// Shape is how much the live leg of an exchange committed that nobody else was asked for: what
// such exchanges of two versions can be held against each other by, since they are of other
// callers and no row has a partner.
type Shape struct {
	Stamp   parallax.Stamp
	Live    parallax.Leg
	Changes map[Kind]uint64
	Unread  string // why they are not all known, "" where they are
}

// Kind is a way of changing one table, by the leg's own name.
type Kind struct {
	Table string
	Op    parallax.Op
}

// maxShapes bounds the exchanges whose shape is waited for. Of more it is not known.
const maxShapes = 10_000

// shape is an exchange whose shape is waited for.
type shape struct {
	x            *parallax.Exchange
	settle, give time.Time
	changes      map[Kind]uint64
	unread       string
}

// shapes are those that are waited for, in the order in which they came.
type shapes struct {
	byID    map[parallax.ID]*shape
	byTrace map[string][]*shape // by trace, and by trace and span
	order   []*shape
	came    chan *parallax.Exchange // of the primary
}

func newShapes() shapes {
	return shapes{byID: map[parallax.ID]*shape{}, byTrace: map[string][]*shape{}, came: make(chan *parallax.Exchange, maxLived)}
}

// keys are the names of an exchange's trace in byTrace.
func (s *shape) keys() []string {
	if trace, span, ok := traceOf(s.x.Legs[s.x.Live]); ok {
		return []string{trace, trace + "-" + span}
	}
	return nil
}

func (n *shapes) add(s *shape) {
	n.byID[s.x.ID] = s
	n.order = append(n.order, s)
	for _, key := range s.keys() {
		n.byTrace[key] = append(n.byTrace[key], s)
	}
}

// take takes the first one.
func (n *shapes) take() *shape {
	s := n.order[0]
	n.order[0], n.order = nil, n.order[1:]
	delete(n.byID, s.x.ID)
	for _, key := range s.keys() {
		var left []*shape
		for _, other := range n.byTrace[key] {
			if other != s {
				left = append(left, other)
			}
		}
		if n.byTrace[key] = left; len(left) == 0 {
			delete(n.byTrace, key)
		}
	}
	return s
}

// of returns those that a claim may mean.
func (n *shapes) of(c claim) []*shape {
	switch c.how {
	case parallax.ByTag, parallax.ByColumn:
		if s := n.byID[c.id]; s != nil {
			return []*shape{s}
		}
	case parallax.ByTrace:
		if list := n.byTrace[c.trace+"-"+c.parent]; len(list) > 0 {
			return list
		}
		return n.byTrace[c.trace]
	}
	return nil
}

// Answered notes an exchange that the primary alone has answered, and that is not gathered:
// how much it commits is told to [JoinerConfig.Shape]. It returns at once. Of what the
// candidate answered alone [Joiner.Lived] sees to that.
func (j *Joiner) Answered(x *parallax.Exchange) {
	if j.cfg.Shape == nil {
		return
	}
	select {
	case j.shapes.came <- x:
	default:
		j.cfg.Shape(Shape{Stamp: x.Stamp(), Live: x.Live, Unread: crowded})
	}
}

// crowded is why nobody waits for a shape.
const crowded = "too many exchanges were waiting for their effects"

// awaitShape waits for the shape of an exchange that only its live leg was asked. The caller
// holds mu. It returns the shape of one that there is no room for.
func (j *Joiner) awaitShape(x *parallax.Exchange) []Shape {
	call := x.Legs[x.Live]
	switch {
	case j.cfg.Shape == nil || call == nil || j.shapes.byID[x.ID] != nil:
		return nil
	case len(j.shapes.order) >= maxShapes:
		return []Shape{{Stamp: x.Stamp(), Live: x.Live, Unread: crowded}}
	}
	s := &shape{x: x, settle: x.Received.Add(call.Done).Add(j.cfg.Config.Settle), changes: map[Kind]uint64{}}
	s.give = later(s.settle, j.cfg.Now()).Add(j.cfg.Config.Wait)
	j.shapes.add(s)
	for e := range j.entriesOf(x) {
		if list := j.shapes.of(e.claim); slices.Contains(list, s) {
			j.addShape(s, e)
			doubt(list)
		}
	}
	j.stir()
	return nil
}

// shaped adds a transaction to the shape of its exchange, if that is waited for. The caller
// holds mu.
func (j *Joiner) shaped(e *entry) {
	list := j.shapes.of(e.claim)
	for _, s := range list {
		j.addShape(s, e)
	}
	doubt(list)
}

// doubt gives up those that share a trace: it says nothing of any.
func doubt(list []*shape) {
	for _, s := range list {
		if len(list) > 1 {
			s.unread = twoTraced
		}
	}
}

func (j *Joiner) addShape(s *shape, e *entry) {
	live := s.x.Live
	if e.source.leg != live || e.claim.named && e.claim.leg != live {
		return
	}
	if k := j.exchange.of(e.claim); e.claim.how == parallax.ByTrace && k != nil && k.id != s.x.ID {
		s.unread = twoTraced
	}
	if e.tx.More {
		s.unread = "one of its transactions has more changes than are read"
	}
	for i := range e.tx.Changes {
		s.changes[Kind{e.tx.Changes[i].Table, e.tx.Changes[i].Op}]++
	}
}

// shapesOver returns the shapes of which everything is read, or will not be. The caller holds
// mu.
func (j *Joiner) shapesOver(now time.Time) (out []Shape) {
	for len(j.shapes.order) > 0 {
		s := j.shapes.order[0]
		why, over := j.shapeUnread(s, now)
		if !over {
			break
		}
		j.shapes.take()
		for _, text := range []string{s.unread, j.spoilt.of(s.x, s.x.Live)} {
			if why == "" {
				why = text
			}
		}
		out = append(out, Shape{Stamp: s.x.Stamp(), Live: s.x.Live, Changes: s.changes, Unread: why})
	}
	return out
}

// shapeUnread says why the changes of the live leg are not all known, "" where they are; false
// while that may still come out.
func (j *Joiner) shapeUnread(s *shape, now time.Time) (why string, over bool) {
	over = true
	for _, source := range j.sources {
		if source.leg != s.x.Live {
			continue
		}
		if text, gap := source.gapIn(s.x.Received, s.settle); gap {
			return text, true
		}
		if source.covered.Before(s.settle) {
			over, why = false, "the log of "+source.name+" was not read in time"
		}
	}
	if over {
		return "", true
	}
	return why, j.stopped || !now.Before(s.give)
}

// tellShapes tells of shapes.
func (j *Joiner) tellShapes(list []Shape) {
	for _, s := range list {
		j.cfg.Shape(s)
	}
}
