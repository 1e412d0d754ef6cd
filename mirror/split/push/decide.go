package push

import "time"

// Word is the step that is wanted.
type Word struct {
	Step   int       // basis points of users on the candidate
	At     time.Time // when it was said; zero: nobody has said anything yet
	Person bool      // a person said it, not the policy
}

// rollback reports whether the word takes everybody off the candidate.
func (w Word) rollback() bool { return !w.At.IsZero() && w.Step == 0 }

// Standing is what stands at a splitter.
type Standing struct {
	Step    int    // basis points
	Process string // names the splitter's process, which is another one after a restart; empty: it does not tell
}

// Confirmed is what was read back from a splitter last. Whoever keeps it over a
// restart of Parallax keeps the difference between a word that did not get there
// and one that somebody else has changed.
type Confirmed struct {
	Step    int       `json:"step"`    // basis points
	At      time.Time `json:"at"`      // of the word
	Process string    `json:"process"` // that held it
	Base    int       `json:"base"`    // what that process held when it was first seen
}

// holds reports whether the word was confirmed.
func (c Confirmed) holds(w Word) bool { return !c.At.IsZero() && c.At.Equal(w.At) && c.Step == w.Step }

// State is how far a splitter is with the step.
type State string

// The states of a splitter.
const (
	// Nobody has moved the step yet; what stands there is only read.
	Idle State = "idle"
	// The word is not confirmed yet, and is being pushed.
	Pushing State = "pushing"
	// What stands there is the word.
	InForce State = "confirmed"
	// It cannot be read or written; it is tried again.
	Away State = "away"
	// Something stands there that is not Parallax's: nothing is pushed until a person
	// sets the step again.
	Taken State = "taken"
)

// decide says how far a splitter is: of its answers only Pushing asks for something
// to be done. tried is the step that was pushed last, whether or not it got there.
func decide(w Word, last Confirmed, tried int, s Standing) State {
	switch {
	case w.At.IsZero():
		return Idle
	case s.Step == w.Step:
		return InForce
	case last.holds(w):
		return afterwards(last, s)
	case w.rollback(), w.Person:
		return Pushing
	case last.At.IsZero(), s.Step == last.Step, s.Step == tried:
		return Pushing
	}
	return Taken
}

// afterwards judges a step that has changed since the word was confirmed. A process
// that is new and back at what the one before began with has forgotten the word.
// Anything else is somebody's hand.
func afterwards(last Confirmed, s Standing) State {
	if s.Process != "" && s.Process != last.Process && s.Step == last.Base {
		return Pushing
	}
	return Taken
}

// confirm returns what is to be kept of a word that was read back. base is what the
// splitter held when it was first seen.
func confirm(w Word, last Confirmed, base int, s Standing) Confirmed {
	next := Confirmed{Step: w.Step, At: w.At, Process: s.Process, Base: base}
	if !last.At.IsZero() {
		next.Base = last.Base
	}
	return next
}
