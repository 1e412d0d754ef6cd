package effects

import (
	"maps"

	"parallax"
)

// maxStrays bounds the exchanges that have not come whose writes to another leg's
// database are remembered.
const maxStrays = 1_000

// writer returns which leg wrote a transaction: that whose database it is, unless it says
// otherwise.
func (j *Joiner) writer(e *entry) parallax.Leg {
	own := e.source.leg
	switch c := e.claim; {
	case c.named:
		return c.leg
	case c.how == parallax.ByTrace:
		t := j.exchange.byTrace[c.trace+"-"+c.parent]
		if t == nil || t.many || t.legs[own] {
			return own
		}
		for leg, sent := range t.legs {
			if sent {
				return parallax.Leg(leg)
			}
		}
	}
	return own
}

// shadow returns a transaction as a shadow's write, nil if it is not known to be one; other
// says that it is of another leg than that whose database it was written to.
func (j *Joiner) shadow(e *entry) (write *ShadowWrite, other bool) {
	by := j.writer(e)
	other = by != e.source.leg
	w := ShadowWrite{Exchange: e.claim.id, By: by, In: e.source.leg, At: e.tx.At}
	if len(e.tx.Changes) > 0 {
		w.Table = e.tx.Changes[0].Table
	}
	k := j.exchange.of(e.claim)
	switch {
	case k == nil && other && len(j.strays) < maxStrays:
		j.strays[w.Exchange] = append(j.strays[w.Exchange], w)
	case k == nil, by == k.live:
	default:
		w.Exchange = k.id
		return &w, other
	}
	return nil, other
}

// shadowsOf returns what legs have committed as shadows for an exchange that has just come.
func (j *Joiner) shadowsOf(x *parallax.Exchange) (out []ShadowWrite) {
	for _, w := range j.strays[x.ID] {
		if w.By != x.Live {
			out = append(out, w)
		}
	}
	delete(j.strays, x.ID)
	for e := range j.entriesOf(x) {
		w, other := j.shadow(e)
		if w == nil || w.Exchange != x.ID {
			continue
		}
		if out = append(out, *w); other { // It was filed before anybody knew whose span it has.
			j.log.remove(e)
			j.entries.remove(e)
			j.told(e, false)
			j.count(e, stray, j.cfg.Now())
		}
	}
	return out
}

// entriesOf returns the transactions of the log that name an exchange, or a trace of it.
func (j *Joiner) entriesOf(x *parallax.Exchange) map[*entry]bool {
	of := maps.Clone(j.entries.byID[x.ID])
	for _, call := range x.Legs {
		if call == nil {
			continue
		}
		if trace, _, ok := traceOf(call); ok {
			for e := range j.entries.byTrace[trace] {
				if of == nil {
					of = map[*entry]bool{}
				}
				of[e] = true
			}
		}
	}
	return of
}

// tell tells of what shadows wrote.
func (j *Joiner) tell(writes []ShadowWrite) {
	if j.cfg.Shadow == nil {
		return
	}
	for _, w := range writes {
		j.cfg.Shadow(w)
	}
}
