package effects

import (
	"cmp"
	"slices"
	"time"

	"parallax"
)

// Bounds of what is remembered of exchanges.
const (
	maxExchanges = 100_000
	exchangeAge  = 10 * time.Minute
	maxEffects   = 10_000 // of one leg of an exchange; what is more is not compared
)

// state is how far an exchange is.
type state uint8

const (
	waitingState state = iota
	settledState       // handed on
)

// known is what is remembered of an exchange that came.
type known struct {
	id       parallax.ID
	stamp    parallax.Stamp
	state    state
	live     parallax.Leg
	compared bool
	alone    bool // nobody but the live leg was asked
	at       time.Time
	keys     []string // its traces, in byTrace
	said     *said    // its words; nil once nobody needs them
}

// trace is who has named a trace, or a span of one.
type trace struct {
	of   *known
	legs [parallax.Legs]bool
	many bool // two exchanges did: it proves nothing
	used bool // changes that name it were taken for the first one's
}

// exchanges remembers the exchanges that came, so that what is committed late finds
// them, and a trace that two of them name is seen.
type exchanges struct {
	byID    map[parallax.ID]*known
	byTrace map[string]*trace
	byWord  index[wordKey, *said]
	order   []*known
	spoken  []*known // that were handed on, with words
}

func newExchanges() exchanges {
	return exchanges{byID: map[parallax.ID]*known{}, byTrace: map[string]*trace{}, byWord: index[wordKey, *said]{}}
}

// add remembers an exchange.
func (n *exchanges) add(w *waiting, s state, now time.Time) {
	k := &known{id: w.x.ID, stamp: w.x.Stamp(), live: w.x.Live, state: s, compared: s == waitingState, at: now}
	if s == waitingState {
		k.said = w.said
	}
	n.byID[k.id] = k
	n.order = append(n.order, k)
	for leg, call := range w.x.Legs {
		if call == nil {
			continue
		}
		if id, span, ok := traceOf(call); ok {
			n.addTrace(k, parallax.Leg(leg), id)
			n.addTrace(k, parallax.Leg(leg), id+"-"+span)
		}
	}
}

func (n *exchanges) addTrace(k *known, leg parallax.Leg, key string) {
	t := n.byTrace[key]
	if t == nil {
		t = &trace{of: k}
		n.byTrace[key] = t
		k.keys = append(k.keys, key)
	}
	t.legs[leg] = true
	t.many = t.many || t.of.id != k.id
}

// settle notes that an exchange was handed on.
func (n *exchanges) settle(w *waiting) {
	k := n.byID[w.x.ID]
	if k == nil {
		return // There were too many.
	}
	k.state = settledState
	if k.said != nil {
		n.spoken = append(n.spoken, k)
	}
}

// of returns the exchange that a claim means, nil if none that is known.
func (n *exchanges) of(c claim) *known {
	switch c.how {
	case parallax.ByTag, parallax.ByColumn:
		return n.byID[c.id]
	case parallax.ByTrace:
		if t := n.named(c); t != nil && !t.many {
			return t.of
		}
	}
	return nil
}

// named returns who named the span of a claim, or else its trace.
func (n *exchanges) named(c claim) *trace {
	if t := n.byTrace[c.trace+"-"+c.parent]; t != nil {
		return t
	}
	return n.byTrace[c.trace]
}

// forget forgets exchanges that are old, and the words of those that are over for so
// long that no other was there at the same time.
func (n *exchanges) forget(now time.Time) {
	for len(n.spoken) > 0 && now.Sub(n.spoken[0].said.until) > saidAge {
		n.unsay(n.spoken[0])
		n.spoken[0], n.spoken = nil, n.spoken[1:]
	}
	for len(n.order) > 0 && (len(n.order) > maxExchanges || now.Sub(n.order[0].at) > exchangeAge) {
		k := n.order[0]
		n.order[0], n.order = nil, n.order[1:]
		if n.byID[k.id] == k {
			delete(n.byID, k.id)
		}
		for _, key := range k.keys {
			delete(n.byTrace, key)
		}
	}
}

// take takes what a leg of an exchange did, in the order of the commits. Trouble says why
// that may not be all.
func (j *Joiner) take(w *waiting, leg parallax.Leg) (list []parallax.Effect, trouble string) {
	var mine []*entry
	for e := range j.entries.byID[w.x.ID] {
		if e.source.leg == leg {
			mine = append(mine, e)
		}
	}
	traced, trouble := j.traced(w, leg)
	mine = append(append(mine, traced...), j.keyed(w, leg)...)
	slices.SortStableFunc(mine, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.source.name, b.source.name), cmp.Compare(a.tx.Position, b.tx.Position))
	})
	now := j.cfg.Now()
	for _, e := range mine {
		how := cmp.Or(e.claim.how, parallax.ByKey)
		list = append(list, e.effects(how)...)
		if e.tx.More {
			trouble = "one of its transactions has more changes than are read"
		}
		j.log.remove(e)
		j.entries.remove(e)
		e.of, w.made = w, append(w.made, e)
		j.count(e, Count(how), now)
	}
	if len(list) > maxEffects {
		list, trouble = list[:maxEffects], "it has more effects than are compared"
	}
	return list, cmp.Or(trouble, j.spoilt.of(w.x, leg))
}

// twoTraced is why effects are not known that a trace says nothing of.
const twoTraced = "the trace of its effects is that of two exchanges"

// traced returns the transactions with an exchange's trace. If somebody else has it too,
// nobody knows whose they are, nor whose those were that the first one of them took.
func (j *Joiner) traced(w *waiting, leg parallax.Leg) (mine []*entry, trouble string) {
	id, _, ok := traceOf(w.x.Legs[leg])
	if !ok {
		return nil, ""
	}
	if t := j.exchange.byTrace[id]; t != nil && t.many && t.used {
		trouble = twoTraced
	}
	for e := range j.entries.byTrace[id] {
		if e.source.leg != leg {
			continue
		}
		switch t := j.exchange.named(e.claim); {
		case t == nil || t.many:
			trouble = twoTraced
		case t.of.id == w.x.ID:
			t.used = true
			mine = append(mine, e)
		}
	}
	return mine, trouble
}
