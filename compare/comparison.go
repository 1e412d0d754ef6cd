package compare

import (
	"parallax"
	"parallax/internal/ids"
)

// Outcome is what comparing one exchange came to.
type Outcome uint8

// The outcomes. Their values are stored.
const (
	Match Outcome = iota
	Diverged
	NotComparable
)

// String returns the outcome's name as it stands in metrics and reports.
func (o Outcome) String() string {
	switch o {
	case Match:
		return "match"
	case Diverged:
		return "diverged"
	}
	return "not_comparable"
}

// Place is where an exchange with this outcome ends in the accounting.
func (o Outcome) Place() parallax.Place {
	switch o {
	case Match:
		return parallax.ComparedMatch
	case Diverged:
		return parallax.ComparedDiverged
	}
	return parallax.ComparedNotComparable
}

// Kind says how the two sides differ at one place.
type Kind string

// The kinds of difference.
const (
	Changed   Kind = "changed"   // other value, same type
	Type      Kind = "type"      // other type: 1 against "1", null against []
	Missing   Kind = "missing"   // the candidate lacks it
	Extra     Kind = "extra"     // only the candidate has it
	Moved     Kind = "moved"     // same element, other position
	Undecoded Kind = "undecoded" // one side cannot be decoded as what it says it is
	Failed    Kind = "error"     // the candidate gave no answer where the primary did
	Unmet     Kind = "unmet"     // both have the same value where a rule expects a difference
	Unfit     Kind = "unfit"     // both have the same value, and it is not what a rule says it is
	TimedOut  Kind = "timeout"   // the candidate gave no answer in time where the primary did
)

// Suppression says why a difference does not count. If By is empty it counts: it
// is a divergence.
type Suppression struct {
	By     string // "", "rule", "noise", "accepted", "declared_noise", "identifier", "inherited" or "transient"; of stored pairs also "redacted"
	Detail string // the rule as written with its position, or the noise figures; of the kinds unmet and unfit the rule that asks
}

// Difference is one place where the two answers of an exchange differ.
type Difference struct {
	Path        string // where: $.items[3].price, status, header:content-type, text line 12
	Normal      string // Path with positions and keys of maps taken out: $.items[*].price
	Kind        Kind
	Primary     string // the value as written there, cut to a bound; empty when missing
	Candidate   string
	Class       string // value class of the change, such as rounded to two places or null became []; see [ValueClasses]
	Fingerprint string // "1-" and 16 hex digits; the issue it belongs to
	Cause       string // the same without the endpoint
	Suppressed  Suppression
}

// Comparison is what comparing one exchange found. It is a plain value, not
// touched after Compare returned it.
type Comparison struct {
	Outcome     Outcome
	Reason      string       // why it is not comparable; empty otherwise
	Differences []Difference // sorted by path, then kind; suppressed ones included
	Truncated   bool         // more differences were found than are kept
	Divergences int          // how many count
	Written     int          // of Divergences: how many are in what was written to databases
	Noise       int          // how many were noise
	Ruled       int          // how many a rule took away
	Accepted    int          // how many belong to an issue that a person accepted or declared noise
	Uses        []RuleUse    // Ruled by rule, in the order of first use
	Pairs       []ids.Known  // what was known of identifiers, where the exchange is kept; the worker fills it in
	Unjudged    int          // how many redaction left nobody able to judge; see [Input.Stored]

	Inherited int         // how many stand where a row differed before
	Rows      []RowChange // what is to be remembered of rows

	// Error evidence: who failed, over exchanges that both legs were asked.
	PrimaryFailed, CandidateFailed bool

	// Places where primary and secondary differ in this exchange, and where
	// primary and candidate do; the worker folds them into the noise model.
	Sample NoiseSample
}
