package effects

import (
	"container/list"
	"time"

	"parallax"
	"parallax/internal/ids"
)

// entry is a transaction that waits for its exchange.
type entry struct {
	source *source
	tx     Transaction
	claim  claim
	seen   time.Time
	bytes  int64
	at     *list.Element // in the log
	makes  []ids.Ref     // what its databases made up with it
	of     *waiting      // whose it turned out to be
}

// log is the transactions of all databases of a service that wait for their exchange, in
// the order in which they were read, bounded by bytes and age.
type log struct {
	list  list.List // of *entry
	bytes int64
	limit int64
}

func (l *log) oldest() *entry {
	if front := l.list.Front(); front != nil {
		return front.Value.(*entry)
	}
	return nil
}

func (l *log) push(e *entry) {
	e.at = l.list.PushBack(e)
	l.bytes += e.bytes
	e.source.ids[e.tx.ID] = true
}

func (l *log) remove(e *entry) {
	l.list.Remove(e.at)
	l.bytes -= e.bytes
	delete(e.source.ids, e.tx.ID)
}

// entries finds the transactions of the log by what they claim.
type entries struct {
	byID    index[parallax.ID, *entry]
	byTrace index[string, *entry]
	byWord  index[wordKey, *entry]
}

// wordKey is a word that stands for a key on one leg.
type wordKey struct {
	leg  parallax.Leg
	word string
}

func newEntries() entries {
	return entries{index[parallax.ID, *entry]{}, index[string, *entry]{}, index[wordKey, *entry]{}}
}

func (n *entries) add(e *entry) {
	switch e.claim.how {
	case parallax.ByTag, parallax.ByColumn:
		n.byID.add(e.claim.id, e)
	case parallax.ByTrace:
		n.byTrace.add(e.claim.trace, e)
	default:
		for _, word := range keyWords(&e.tx) {
			n.byWord.add(wordKey{e.source.leg, word}, e)
		}
	}
}

func (n *entries) remove(e *entry) {
	switch e.claim.how {
	case parallax.ByTag, parallax.ByColumn:
		n.byID.drop(e.claim.id, e)
	case parallax.ByTrace:
		n.byTrace.drop(e.claim.trace, e)
	default:
		for _, word := range keyWords(&e.tx) {
			n.byWord.drop(wordKey{e.source.leg, word}, e)
		}
	}
}

// index is a set of values for each key.
type index[K, V comparable] map[K]map[V]bool

func (x index[K, V]) add(key K, v V) {
	if x[key] == nil {
		x[key] = map[V]bool{}
	}
	x[key][v] = true
}

func (x index[K, V]) drop(key K, v V) {
	if delete(x[key], v); len(x[key]) == 0 {
		delete(x, key)
	}
}

// Transaction implements [Sink].
func (s *source) Transaction(tx Transaction) {
	j := s.joiner
	makes := s.makes(&tx)
	j.mu.Lock()
	late, write := s.note(tx, makes)
	j.mu.Unlock()
	if late != nil && j.cfg.Late != nil {
		j.cfg.Late(*late)
	}
	if write != nil {
		j.tell([]ShadowWrite{*write})
	}
}

// makes lists what a transaction made up.
func (s *source) makes(tx *Transaction) (refs []ids.Ref) {
	if s.joiner.cfg.Makes == nil {
		return nil
	}
	for i := range tx.Changes {
		if c := &tx.Changes[i]; c.Op == parallax.Insert {
			refs = append(refs, s.joiner.cfg.Makes(s.leg, c.Table, c.After)...)
		}
	}
	return refs
}

// note files a transaction: it is late, another leg's, or waits for its exchange.
func (s *source) note(tx Transaction, makes []ids.Ref) (*Late, *ShadowWrite) {
	j := s.joiner
	if len(tx.Changes) == 0 && !tx.More || s.ids[tx.ID] {
		return nil, nil // Nothing was changed, or it was read before.
	}
	now := j.cfg.Now()
	e := &entry{source: s, tx: tx, claim: j.on.claimOf(&tx), seen: now, bytes: sizeOf(&tx) + refBytes*int64(len(makes)), makes: makes}
	j.mark.note(s, e.claim, tx.Position)
	if e.claim.torn {
		j.spoil(e, twoNamed)
		j.lose(e)
		j.count(e, torn, now)
		return nil, nil
	}
	j.shaped(e)
	if j.written(e) {
		return nil, nil
	}
	write, other := j.shadow(e)
	if other {
		j.count(e, stray, now)
		return nil, write
	}
	if e.claim.how == "" && !j.on.key {
		j.unattributed(e, now)
		return nil, nil
	}
	if late := j.late(e, now); late != nil {
		return late, write
	}
	j.log.push(e)
	j.entries.add(e)
	j.pairs.make(e)
	j.forget(now)
	j.stir()
	return nil, write
}

// late returns what came after its exchange was handed on, nil if it did not.
func (j *Joiner) late(e *entry, now time.Time) *Late {
	k := j.exchange.of(e.claim)
	if k == nil || k.state != settledState || !k.compared {
		return nil
	}
	if e.claim.how == parallax.ByTrace {
		j.exchange.named(e.claim).used = true
	}
	j.lose(e)
	list := e.effects(e.claim.how)
	for i := range list {
		list[i].Late = true
	}
	j.count(e, late, now)
	return &Late{Exchange: k.id, Stamp: k.stamp, Leg: e.source.leg, Effects: list}
}

// forget takes out of the log what is too old, or too much.
func (j *Joiner) forget(now time.Time) {
	j.exchange.forget(now)
	for e := j.log.oldest(); e != nil; e = j.log.oldest() {
		over := j.log.bytes > j.log.limit
		if !over && now.Sub(e.seen) < j.cfg.Config.Log.Age {
			return
		}
		j.log.remove(e)
		j.entries.remove(e)
		j.told(e, false)
		j.spoil(e, forgotten)
		if e.claim.how != "" { // What nobody's work makes may be without end.
			j.lose(e)
		}
		switch {
		case over:
			e.source.lost(e)
		case e.claim.how == parallax.ByTag || e.claim.how == parallax.ByColumn:
			j.count(e, uncompared, now)
			continue
		}
		j.unattributed(e, now)
	}
}

// effects returns the changes as effects.
func (e *entry) effects(how parallax.Correlation) []parallax.Effect {
	out := make([]parallax.Effect, len(e.tx.Changes))
	for i, c := range e.tx.Changes {
		out[i] = parallax.Effect{Table: c.Table, Op: c.Op, Key: c.Key, Before: c.Before, After: c.After,
			Correlation: how, At: e.tx.At, Position: uint64(e.tx.Position)}
	}
	return out
}

// refBytes is about how much memory it takes to remember who made a value up.
const refBytes = 200

// sizeOf is about how much memory a transaction takes.
func sizeOf(tx *Transaction) int64 {
	n := int64(256)
	for i := range tx.Changes {
		c := &tx.Changes[i]
		n += 128
		for _, list := range [][]parallax.Column{c.Key, c.Before, c.After} {
			for k := range list {
				n += 64
				if list[k].Value != nil {
					n += 16 + int64(len(*list[k].Value))
				}
			}
		}
	}
	return n
}
