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
// a value that the leg made up anew at a place where identifiers are born, nor a time
// that went on with the clock where a rule gives times a window. What was
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
	if saysNothing(first, second) {
		return Unknown
	}
	second = in.IDs.bornAnew(x, leg, second)
	answers := in.Rules.answers(x.Endpoint, first.Request.Target)
	find := &finder{endpoint: x.Endpoint, received: x.Received, later: max(0, second.Done-first.Start), rules: rules,
		noise: in.ownNoise(x, rules, answers), listen: true, probe: true, limit: 1, answers: answers}
	possible := compareCalls(first, second, find)
	switch {
	case find.counting > 0:
		return Unsteady
	case !possible || find.incomplete:
		return Unknown
	}
	return Steady
}

// saysNothing reports whether a second answer is no word on the state: the leg only
// turned the request away, as it does when it is asked too often, or is another version.
func saysNothing(first, second *parallax.Call) bool {
	if first.Version != "" && second.Version != "" && first.Version != second.Version {
		return true
	}
	switch status := second.Response.Status; status {
	case 408, 425, 429, 503:
		return status != first.Response.Status
	}
	return false
}

// ownNoise is what primary and secondary are known to differ in, from the past and by
// this exchange. Between two answers of one version it is noise whatever the candidate
// does there.
func (in *Input) ownNoise(x *parallax.Exchange, rules []*rule, known answers) *excuses {
	x, _ = in.IDs.translated(x)
	noise := listen(x, in.Noise, rules, known)
	noise.heard, noise.judged, noise.blameless = false, false, true
	return noise
}

// Transient reports whether the state of the primary moved between its two answers:
// its second one is whole, no failure, and differs in what counts. A candidate that
// failed is not excused by that, nor one that wrote something else.
func Transient(x *parallax.Exchange, first Comparison, primary *parallax.Call, how Steadiness, in Input) bool {
	return how == Unsteady && first.Outcome == Diverged && !first.CandidateFailed && first.Written == 0 &&
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
// those of the first, where each made up only one, at every place of that identifier.
// What is called there by the first answer's value is something else now.
func (i *Identifiers) bornAnew(x *parallax.Exchange, leg parallax.Leg, second *parallax.Call) *parallax.Call {
	if !i.looksAt(x, leg) {
		return second
	}
	spots := i.sheet(x, leg).InAnswer(&second.Response)
	before, now := bornOnce(i.sheet(x, leg).InAnswer(&x.Legs[leg].Response)), bornOnce(spots)
	var edits []ids.Edit
	for _, s := range spots {
		was, is := before[s.Name], now[s.Name]
		if was == "" || is == "" || was == is || s.Span.Empty() {
			continue
		}
		switch s.Key {
		case is:
			edits = append(edits, ids.Edit{Span: s.Span, Value: written(s, s.Value(was))})
		case was:
			edits = append(edits, ids.Edit{Span: s.Span, Value: written(s, s.Value(was+ownMark))})
		}
	}
	return edited(second, edits)
}
