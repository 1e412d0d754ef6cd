package divergence

import "time"

// Tick is one step of the evidence on one endpoint: what was counted between
// two flushes of one instance. Ticks are append-only; a verdict is a fold over
// them, in the order of At, Instance and Seq; one that shows up behind others comes
// after them.
type Tick struct {
	At               time.Time // when it was written, UTC, milliseconds
	Instance         string
	Seq              uint64 // ascending within the instance
	Service          string
	Endpoint         string
	RulesHash        string // of the endpoint's rules, acceptances, catalogue and comparer version
	PolicyHash       string
	PrimaryVersion   string // what the leg says its version is, at most 128 bytes of it; may be empty
	CandidateVersion string

	Received uint64 // requests that came in
	Lost     uint64 // mirrored exchanges that will never be compared

	// Repeated exchanges are compared, and in none of the counts below but Zero: their
	// requests had been sent too often to be evidence. They may hold a verdict all the same:
	// RepeatedK of them diverged, and in RepeatedB the candidate failed and the primary did not.
	Repeated             uint64
	RepeatedK, RepeatedB uint64

	N, K          uint64 // match + diverged, diverged
	NotComparable uint64
	Unanswered    uint64 // of NotComparable: those whose primary gave nothing to compare with, whatever the candidate did
	Transient     uint64 // of NotComparable: those whose primary answered otherwise when it was asked again
	Unmapped      uint64 // of NotComparable: those with an identifier that has no known partner
	Unknown       uint64 // of NotComparable: those of which nobody knows all effects
	Inherited     uint64 // of NotComparable: those whose effects differ in rows only that differed before
	ByKey         uint64 // of N: those of which an effect was found by its key alone, which is no proof
	Noise         uint64 // exchanges with at least one difference that was noise
	Accepted      uint64 // exchanges with at least one accepted difference

	B, C uint64 // candidate failed and primary did not; the reverse

	// Zero are the fingerprints of divergences at places of which the policy allows
	// none.
	Zero []string

	Timed        uint64 // pairs with both latencies
	SlowB, SlowC uint64 // candidate > ratio * primary + plus; primary > ratio * candidate + plus

	// LivePrimary and LiveCandidate are what callers got from either leg, on endpoints that
	// had some of the candidate.
	LivePrimary, LiveCandidate Lived

	// LiveWrites is what requests did to the databases that a leg answered as the live one and
	// nobody else was asked, by kind of change.
	LiveWrites []LiveWrite
}

// Lived counts the requests that a leg answered as the live one.
type Lived struct {
	N      uint64 `json:"n"`
	Failed uint64 `json:"failed"` // no complete answer, or a 5xx that no rule declares normal
	Timed  uint64 `json:"timed"`  // of N: those with a time and one of the primary's to hold it against
	Slow   uint64 `json:"slow"`   // of Timed: those that took more than ratio * the primary's median of before + plus

	// Read are requests of which all is known that they did to the databases, Unread those of
	// which it is not. Both are counted some seconds after N.
	Read   uint64 `json:"read,omitempty"`
	Unread uint64 `json:"unread,omitempty"`
}

// Plus returns both together.
func (l Lived) Plus(m Lived) Lived {
	return Lived{l.N + m.N, l.Failed + m.Failed, l.Timed + m.Timed, l.Slow + m.Slow, l.Read + m.Read, l.Unread + m.Unread}
}
