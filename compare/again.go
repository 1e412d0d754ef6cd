package compare

import (
	"parallax"
	"parallax/internal/ids"
)

// Steadiness says what a leg answered when it was asked a second time.
type Steadiness uint8

// The values of Steadiness. Their names are stored.
const (
	NotAskedAgain Steadiness = iota
	Steady                   // nothing that counts is other than before
	Unsteady                 // something that counts is
	Unknown                  // there was no second answer, or one that cannot be compared
)

// String returns the name that is stored and shown.
func (s Steadiness) String() string { return [...]string{"", "same", "changed", "unknown"}[s%4] }

// Again compares a leg's second answer to an exchange with its first, by the rules of
// the exchange. What is noise by all that is known counts for nothing, and neither does
// a value that the leg made up anew at a place where identifiers are born. What was
// expected of the candidate, moved or renamed for it plays no part: both answers
// are one version's.
//
// It looks at the two answers of that leg and at nothing else. So whether the state of
// the primary moved between them does not depend on what the candidate answered.
func Again(x *parallax.Exchange, leg parallax.Leg, second *parallax.Call, in Input) Steadiness {
	first := x.Legs[leg]
	rules := in.Rules.forExchange(x.Endpoint, in.at(x))
	if first == nil || second == nil || first.Err.Kind != parallax.NoError || second.Err.Kind != parallax.NoError {
		return Unknown
	}
	second = in.IDs.bornAnew(x, leg, second)
	noise := &excuses{endpoint: x.Endpoint, model: in.Noise}
	find := &finder{endpoint: x.Endpoint, received: x.Received, rules: rules, noise: noise,
		listen: true, probe: true, limit: 1, answers: in.Rules.answers(x.Endpoint, first.Request.Target)}
	possible := compareCalls(first, second, find)
	switch {
	case find.counting > 0:
		return Unsteady
	case !possible || find.incomplete:
		return Unknown
	}
	return Steady
}

// Transient reports whether the state of the primary moved between its two answers:
// its second one is whole, no failure, and differs in what counts. A candidate that
// failed is not excused by that.
func Transient(x *parallax.Exchange, first Comparison, primary *parallax.Call, how Steadiness, in Input) bool {
	return how == Unsteady && first.Outcome == Diverged && !first.CandidateFailed &&
		!failed(primary, in.Rules.forExchange(x.Endpoint, in.at(x)))
}

// AsTransient returns what becomes of a comparison when the primary's state moved: it
// says nothing about the candidate. The differences stay visible.
func (c Comparison) AsTransient() Comparison {
	c.Outcome, c.Reason, c.Divergences = NotComparable, ReasonTransient, 0
	kept := make([]Difference, len(c.Differences))
	for i, d := range c.Differences {
		if d.Suppressed.By == "" {
			d.Suppressed = Suppression{By: ReasonTransient, Detail: "asked again, the primary itself answered otherwise"}
		}
		kept[i] = d
	}
	c.Differences = kept
	return c
}

// bornAnew returns a leg's second answer with the values that it made up replaced by
// those of the first, where each made up only one.
func (i *Identifiers) bornAnew(x *parallax.Exchange, leg parallax.Leg, second *parallax.Call) *parallax.Call {
	if !i.looksAt(x, leg) {
		return second
	}
	spots := i.sheet(x, leg).InAnswer(&second.Response)
	before, now := bornOnce(i.sheet(x, leg).InAnswer(&x.Legs[leg].Response)), bornOnce(spots)
	var edits []ids.Edit
	for _, s := range spots {
		if !s.Born || before[s.Name] == "" || now[s.Name] == "" || s.Span.Empty() {
			continue
		}
		if value := written(s, s.Value(before[s.Name])); value != s.Value(s.Key) {
			edits = append(edits, ids.Edit{Span: s.Span, Value: value})
		}
	}
	return edited(second, edits)
}
