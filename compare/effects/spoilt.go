package effects

import (
	"time"

	"parallax"
)

// maxSpoilt bounds what is remembered of changes that were dropped though they name an
// exchange.
const maxSpoilt = 20_000

// spoilt is which exchanges lack changes that name them: whoever comes later, or waits, is not
// compared without them.
type spoilt struct {
	why  map[wordKey]string // by the id or the trace of the exchange, and the leg
	list []spoil            // in the order in which they were dropped
	from [2]time.Time       // up to when changes of each leg were dropped that nobody remembers
}

type spoil struct {
	key wordKey
	at  time.Time
}

// add notes that a change that was read at a time is dropped.
func (s *spoilt) add(leg parallax.Leg, name string, at time.Time, why string) {
	key := wordKey{leg, name}
	if _, known := s.why[key]; known {
		return
	}
	if s.why == nil {
		s.why = map[wordKey]string{}
	}
	if len(s.list) >= maxSpoilt {
		oldest := s.list[0]
		s.list[0], s.list = spoil{}, s.list[1:]
		delete(s.why, oldest.key)
		s.from[oldest.key.leg] = later(s.from[oldest.key.leg], oldest.at)
	}
	s.why[key] = why
	s.list = append(s.list, spoil{key, at})
}

// of says why changes of a leg of an exchange are not there, "" if none is known to lack.
func (s *spoilt) of(x *parallax.Exchange, leg parallax.Leg) string {
	if why := s.why[wordKey{leg, x.ID.String()}]; why != "" {
		return why
	}
	if trace, _, ok := traceOf(x.Legs[leg]); ok {
		if why := s.why[wordKey{leg, trace}]; why != "" {
			return why
		}
	}
	if !s.from[leg].Before(x.Received) {
		return forgotten
	}
	return ""
}

// Why changes are dropped that name an exchange.
const (
	forgotten = "it came so late that what it committed may be forgotten: effects.log.age is how long that is kept"
	twoNamed  = "one of its transactions names another exchange, too"
)

// spoil notes that a transaction is dropped though it names exchanges.
func (j *Joiner) spoil(e *entry, why string) {
	drop := func(c claim) {
		switch c.how {
		case parallax.ByTag, parallax.ByColumn:
			j.spoilt.add(e.source.leg, c.id.String(), e.seen, why)
		case parallax.ByTrace:
			j.spoilt.add(e.source.leg, c.trace, e.seen, why)
		}
	}
	if !e.claim.torn {
		drop(e.claim)
		return
	}
	for _, c := range j.on.claims(&e.tx) {
		drop(c)
	}
}
