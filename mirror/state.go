package mirror

import (
	"fmt"
	"strings"

	"parallax"
)

// State says what a leg's writes touch. It decides which unsafe requests the
// leg may get as a shadow, and what it may be live for. The zero value is
// [Shared]: what nobody declared is taken to be the same database.
type State string

// The states of a leg.
const (
	None     State = "none"     // writes nothing
	Dry      State = "dry"      // obeys X-Parallax-Role: shadow and commits nothing then
	Shared   State = "shared"   // writes to the database of the other leg
	Follower State = "follower" // its database is fed from the primary's
	Own      State = "own"      // writes to its own copy
)

var states = []State{None, Dry, Shared, Follower, Own}

// orShared returns the state, or what an undeclared one is taken for.
func (s State) orShared() State {
	if s == "" {
		return Shared
	}
	return s
}

// TakesUnsafe reports whether a leg in this state may get unsafe requests as a
// shadow.
func (s State) TakesUnsafe() bool {
	return s == None || s == Dry || s == Own
}

// takesAgain reports whether a leg in this state may get unsafe requests that
// somebody has executed before, whatever the leg.
func (s State) takesAgain() bool { return s == None || s == Own }

// MayBeLive reports whether a leg in this state may answer for a share of
// users. safe tells whether the endpoint's method is.
func (s State) MayBeLive(safe bool) bool {
	switch s.orShared() {
	case None, Dry, Shared:
		return true
	case Follower, Own:
		return safe
	}
	return false
}

func (s State) validate() []parallax.Fault {
	for _, known := range states {
		if s.orShared() == known {
			return nil
		}
	}
	names := make([]string, len(states))
	for i, known := range states {
		names[i] = string(known)
	}
	return []parallax.Fault{{
		Path: "state", Text: fmt.Sprintf("unknown state %q", s),
		Hint: "write one of " + strings.Join(names, ", "),
	}}
}

// safe reports whether a method asks for nothing to be changed (RFC 9110
// section 9.2.1).
func safe(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return true
	}
	return false
}
