// Package split decides whose requests the candidate answers: user -> bucket ->
// live leg.
//
// A user keeps a bucket for as long as the salt stays the same, and the step
// only says up to which bucket the candidate is live. So raising the step moves
// users to the candidate and none back, and lowering it does the reverse.
package split

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"parallax"
)

// Buckets is the number of buckets users fall into: one per basis point.
const Buckets = 10000

// Config is the split block of a service.
type Config struct {
	Key       string            `yaml:"key" doc:"where the user's name stands: header:NAME, cookie:NAME, jwt:CLAIM (of the bearer token, or of the one in jwt:CLAIM@header:NAME or @cookie:NAME; signatures are not looked at) or ip; empty: users are unknown, and only step 10000 makes the candidate live"`
	Mint      time.Duration     `yaml:"mint" doc:"with a key of cookie:NAME, callers without that cookie are given one that lasts so long, such as 4320h; name a cookie of your own here, not the service's session; empty: such callers are unknown"`
	Salt      string            `yaml:"salt" doc:"mixed into the bucket, so that two services move different users first; another salt, or key, puts other users on the candidate at once"`
	Endpoints []string          `yaml:"endpoints" doc:"what may go live on the candidate, such as GET * or POST /orders/*; empty: whatever its state allows"`
	Groups    []Group           `yaml:"groups" doc:"in place of endpoints: what may go live in groups, one after the other, each with a verdict and a step of its own (docs/split.md)"`
	Pin       map[string]string `yaml:"pin" doc:"users who always get one leg, whatever the step: primary or candidate"`
	Push      []Outside         `yaml:"push" doc:"splitters in front of Parallax or beside it that get the step; the one built in then leaves everybody who comes here on the primary, as the others have split already (docs/split.md)"`
}

// Validate returns everything that is wrong with the configuration.
func (c Config) Validate() []parallax.Fault {
	var faults []parallax.Fault
	if _, err := ParseKey(c.Key); err != nil {
		faults = append(faults, parallax.Fault{Path: "key", Text: err.Error(), Hint: KeyHint})
	}
	faults = append(faults, c.validateMint()...)
	faults = append(faults, parallax.Under("push", validateOutside(c.Push))...)
	faults = append(faults, validatePatterns("endpoints", c.Endpoints)...)
	faults = append(faults, c.validateGroups()...)
	if _, there := c.Pin[""]; there {
		faults = append(faults, parallax.Fault{Path: "pin", Text: "a user without a name is pinned", Hint: "unknown users stay on the primary until step 10000"})
	}
	for user, leg := range c.Pin {
		if leg != parallax.Primary.String() && leg != parallax.Candidate.String() {
			faults = append(faults, parallax.Fault{Path: "pin." + user, Text: fmt.Sprintf("unknown leg %q", leg), Hint: "write primary or candidate"})
		}
	}
	if len(c.Pin) > 0 && c.Key == "" {
		faults = append(faults, parallax.Fault{Path: "pin", Text: "users are pinned, but split.key does not say who a user is", Hint: "set split.key"})
	}
	return faults
}

// Bucket is the bucket of a user: the first 8 bytes, big endian, of
// SHA-256(salt 0x00 user), modulo [Buckets].
func Bucket(salt, user string) int {
	buf := make([]byte, 0, 128)
	buf = append(buf, salt...)
	buf = append(buf, 0)
	buf = append(buf, user...)
	sum := sha256.Sum256(buf)
	return int(binary.BigEndian.Uint64(sum[:8]) % Buckets)
}

// Splitter picks the live leg. Its steps are the only thing about it that
// changes; all methods may be called from many goroutines.
type Splitter struct {
	key    Key
	mint   time.Duration
	salt   string
	groups []group
	pin    map[string]parallax.Leg
	steps  *atomic.Pointer[Steps] // shared with those made by With; what it points to does not change
}

// New returns a splitter at step 0. The faults are those of [Config.Validate];
// with any fault there is no splitter.
func New(c Config) (*Splitter, []parallax.Fault) {
	steps := new(atomic.Pointer[Steps])
	steps.Store(new(Steps))
	return newSplitter(c, steps)
}

// With returns a splitter of another configuration whose steps are those of s: who
// sets them on one of them sets them on both.
func (s *Splitter) With(c Config) (*Splitter, []parallax.Fault) { return newSplitter(c, s.steps) }

func newSplitter(c Config, steps *atomic.Pointer[Steps]) (*Splitter, []parallax.Fault) {
	if faults := c.Validate(); len(faults) > 0 {
		return nil, faults
	}
	s := &Splitter{salt: c.Salt, mint: c.Mint, groups: c.groups(), pin: make(map[string]parallax.Leg, len(c.Pin)), steps: steps}
	s.key, _ = ParseKey(c.Key) // validated above
	for user, leg := range c.Pin {
		s.pin[user] = parallax.Primary
		if leg == parallax.Candidate.String() {
			s.pin[user] = parallax.Candidate
		}
	}
	return s, nil
}

// Step returns the share of users who meet the candidate, in basis points: where there are
// groups, that of the group with the most.
func (s *Splitter) Step() int { return s.steps.Load().Highest() }

// SetStep changes the share of users whose live leg is the candidate, for all endpoints. It takes
// basis points, brings them into 0..10000, and holds from the next request on.
func (s *Splitter) SetStep(basisPoints int) { s.SetSteps(Steps{All: basisPoints}) }

// SetSteps is SetStep group by group. All of them change at once.
func (s *Splitter) SetSteps(steps Steps) { s.steps.Store(steps.within()) }

// Pick returns the live leg of a user's request, which is to an endpoint of a group. A pin goes
// before the step. An unknown user, written as "", has no bucket and stays on the primary until
// step 10000, which means everybody.
func (s *Splitter) Pick(user, group string) parallax.Leg {
	if leg, ok := s.pin[user]; ok && user != "" {
		return leg
	}
	switch step := s.steps.Load().Of(group); {
	case step == 0:
		return parallax.Primary
	case step == Buckets:
		return parallax.Candidate
	case user != "" && Bucket(s.salt, user) < step:
		return parallax.Candidate
	}
	return parallax.Primary
}

// Bucket returns the bucket of a user. It is false for one whom no step moves, who is
// pinned, and for an unknown one, who moves at the last step.
func (s *Splitter) Bucket(user string) (int, bool) {
	if _, pinned := s.pin[user]; pinned || user == "" {
		return 0, false
	}
	return Bucket(s.salt, user), true
}

// User finds the user's name in a request, "" when it is unknown.
func (s *Splitter) User(headers []parallax.Field, address string) string {
	return s.key.User(headers, address)
}
