package ids

import (
	"context"
	"time"

	"parallax"
)

// Ref is one value of an identifier on one leg.
type Ref struct {
	Name  string
	Leg   parallax.Leg
	Value string // its key: see [Sheet.Key]
}

// State says what is known of a value's partner on another leg.
type State uint8

// The states of a partner.
const (
	Unknown State = iota // nobody has made the value up during this run
	Pending              // the value is in an answer, the other leg's is on its way
	Paired               // the partner is known
	Failed               // the value was made up, and the other leg gave none
)

// String returns the state's name.
func (s State) String() string {
	return [...]string{"unknown", "pending", "paired", "failed"}[s]
}

// Partner is what is known of a value on another leg.
type Partner struct {
	State State
	Value string // key of the partner, of one that is Paired
}

// Entry is what is known of a value, for each leg. Its own leg's place is empty.
type Entry [parallax.Legs]Partner

// Fact is something learned of a value.
type Fact struct {
	Ref
	To      parallax.Leg // of whose partner it is
	State   State
	Partner string        // of one that is Paired
	TTL     time.Duration // how long it is remembered; the Map's own bound when 0
}

// Map remembers what was learned of the values of one service. Methods may be
// called from many goroutines. An error says that the store is away; it hurts
// nobody but the comparison.
type Map interface {
	// Learn notes facts. A pair is known from either side, and the latest one of
	// a value holds. Pending does not replace a pair, Failed replaces only Pending.
	Learn(ctx context.Context, facts ...Fact) error
	// Find returns what is known of each value.
	Find(ctx context.Context, refs ...Ref) ([]Entry, error)
	// Await returns what is known of a value's partner as soon as it is not
	// Pending, or when the context ends.
	Await(ctx context.Context, ref Ref, to parallax.Leg) (Partner, error)
}
