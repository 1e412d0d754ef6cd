package effects

import (
	"container/list"
	"slices"
	"time"

	"parallax"
	"parallax/internal/ids"
)

// Bounds of waiting for what earlier exchanges made up.
const (
	maxNeeds     = 1_000  // values of one exchange that are waited for at once; with more it is not comparable
	maxUnpaired  = 10_000 // values that [JoinerConfig.Lost] is to be told of; with more any value may have a partner
	waitingShare = 4      // of the exchanges that may wait, one in so many may wait for others: the rest is for what is on its way
)

// pairs is who waits for whom: an exchange whose rows name a value that another one made
// up is compared once that one's rows were matched, since nobody knows before what the other
// leg calls it.
type pairs struct {
	makers map[ids.Ref]*entry       // of values whose exchange is not learnt yet
	wanted index[ids.Ref, *waiting] // who waits for a value
	parked *list.List               // of *waiting, in the order in which they give up
}

func newPairs() pairs {
	return pairs{makers: map[ids.Ref]*entry{}, wanted: index[ids.Ref, *waiting]{}, parked: list.New()}
}

// make notes what a transaction made up.
func (p *pairs) make(e *entry) {
	for _, ref := range e.makes {
		p.makers[ref] = e
	}
}

// ready reports whether an exchange that was learnt from nothing yet can be: all values that
// it needs are known, or never will be, which is noted on it. Otherwise it is called again
// when that has changed.
func (j *Joiner) ready(w *waiting, needs []ids.Ref) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if w.parked != nil || len(w.lost) > 0 {
		return true // It was called again.
	}
	open := map[ids.Ref]bool{}
	for _, ref := range needs {
		e := j.pairs.makers[ref]
		if e == nil || e.of == w {
			continue
		}
		if j.never(e) || j.stopped || len(open) == maxNeeds {
			w.lost = append(w.lost, ref.Name)
			return true
		}
		open[ref] = true
	}
	switch {
	case len(open) == 0:
		return true
	case j.pairs.parked.Len() >= max(1, j.cfg.Config.Waiting.Exchanges/waitingShare):
		w.lost = namesOf(open)
		return true
	}
	for ref := range open {
		j.pairs.wanted.add(ref, w)
	}
	w.needs, w.give = open, j.cfg.Now().Add(j.cfg.Config.Wait)
	w.parked = j.pairs.parked.PushBack(w)
	j.stir()
	return false
}

// never reports whether a transaction is of an exchange that is not compared, so that
// nobody will ever know what belongs to its rows.
func (j *Joiner) never(e *entry) bool {
	k := j.exchange.of(e.claim)
	return k != nil && !k.compared
}

// resume makes an exchange that waits for others go on. The caller holds mu.
func (j *Joiner) resume(w *waiting) {
	j.pairs.parked.Remove(w.parked)
	for ref := range w.needs {
		j.pairs.wanted.drop(ref, w)
	}
	w.needs = nil
	j.hand(w)
}

// told tells who waits for what a transaction made up that it is known now, or that it
// never will be. The caller holds mu.
func (j *Joiner) told(e *entry, known bool) {
	for _, ref := range e.makes {
		if j.pairs.makers[ref] != e {
			continue // The value was made up again.
		}
		delete(j.pairs.makers, ref)
		for w := range j.pairs.wanted[ref] {
			if known && len(w.needs) > 1 {
				delete(w.needs, ref)
				j.pairs.wanted.drop(ref, w)
				continue
			}
			if !known {
				w.lost = namesOf(w.needs)
			}
			j.resume(w)
		}
	}
}

// hopeless makes exchanges go on that wait for one that is not compared. The caller holds mu.
func (j *Joiner) hopeless(e *entry) {
	for _, ref := range e.makes {
		for w := range j.pairs.wanted[ref] {
			w.lost = namesOf(w.needs)
			j.resume(w)
		}
	}
}

// tired makes exchanges go on that have waited for others for too long. The caller holds mu.
func (j *Joiner) tired(now time.Time) {
	for at := j.pairs.parked.Front(); at != nil; at = j.pairs.parked.Front() {
		w := at.Value.(*waiting)
		if now.Before(w.give) && !j.stopped {
			return
		}
		w.lost = namesOf(w.needs)
		j.resume(w)
	}
}

// namesOf lists what values are called, each once, in order.
func namesOf(refs map[ids.Ref]bool) (names []string) {
	for ref := range refs {
		names = append(names, ref.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// unmapped returns a copy of an exchange that names values whose partners were not known in
// time: it is not comparable, whatever was answered.
func unmapped(x *parallax.Exchange, names []string) *parallax.Exchange {
	out := *x
	out.Unmapped = slices.Compact(slices.Sorted(slices.Values(slices.Concat(x.Unmapped, names))))
	return &out
}

// lose notes that nobody will learn what belongs to the rows of a transaction. The caller
// holds mu.
func (j *Joiner) lose(e *entry) {
	switch {
	case len(e.makes) == 0:
	case j.cfg.Lost == nil || len(j.unpaired)+len(e.makes) > maxUnpaired:
		j.missed = true
	default:
		j.unpaired = append(j.unpaired, e.makes...)
	}
}

// tellLost tells of what was lost.
func (j *Joiner) tellLost() {
	j.mu.Lock()
	refs := j.unpaired
	j.unpaired = nil
	j.mu.Unlock()
	if len(refs) > 0 {
		j.cfg.Lost(refs)
	}
}
