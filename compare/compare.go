package compare

import (
	"bytes"

	"parallax"
)

// Input is what a comparison goes by besides the exchange. Nothing in it is
// changed.
type Input struct {
	Rules *Rules      // nil: no rules
	Noise *NoiseModel // what is known from earlier exchanges; nil: nothing
}

// Reasons why an exchange is not comparable.
const (
	ReasonPrimaryFailed = "primary_failed" // no complete answer, or a 5xx that is not declared normal
	ReasonCallerGone    = "caller_gone"    // the caller left before the live leg's answer was complete
	ReasonTruncated     = "truncated"      // a body is longer than what was kept of it
	ReasonNotAsked      = "not_asked"      // a leg was not asked
)

// Reasons lists every reason there is.
var Reasons = []string{ReasonPrimaryFailed, ReasonCallerGone, ReasonTruncated, ReasonNotAsked}

// Compare compares what primary and candidate answered. It is a function of its
// arguments alone and does not change them.
func Compare(x *parallax.Exchange, in Input) Comparison {
	p, c := x.Legs[parallax.Primary], x.Legs[parallax.Candidate]
	if p == nil || c == nil {
		return Comparison{Outcome: NotComparable, Reason: ReasonNotAsked}
	}
	if p.Response.Status == c.Response.Status && bytes.Equal(p.Response.Body.Bytes, c.Response.Body.Bytes) {
		return Comparison{Outcome: Match}
	}
	return Comparison{Outcome: Diverged, Divergences: 1}
}
