package redis

import (
	"crypto/rand"
	"time"
)

// Word is the step of a service and how it came about.
type Word struct {
	Version uint64    `json:"version"`         // number of the era, times 2^32, and the moves in it
	Era     string    `json:"era,omitempty"`   // tells eras of one number apart; empty for the first
	Trail   string    `json:"trail,omitempty"` // marks of this word and of those before it in its era, the newest first
	Step    int       `json:"step"`            // basis points
	Who     string    `json:"who"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
	Paused  bool      `json:"paused"`
	Until   time.Time `json:"until,omitzero"` // as in reports.State
}

// Of a trail.
const (
	mark     = 8         // characters of one word's, of 5 bits each
	maxTrail = 32 * mark // words further back count as known
)

// trail returns the trail of a new word after another one; the zero Word: of the first one.
func trail(after Word) string {
	text := rand.Text()[:mark] + after.Trail
	return text[:min(len(text), maxTrail)]
}

// era is the number of a version's era.
func era(version uint64) uint64 { return version >> 32 }

// leap is how many eras a word may be ahead of a mirror's. One that is further ahead was not
// said by a mirror; taken in, it could use up the numbers that rollbacks need.
const leap = 1 << 16

// outOfReach reports whether no mirror can have come from one word to the other.
func outOfReach(mine, heard Word) bool { return era(heard.Version) > era(mine.Version)+leap }

// Merge returns what a mirror's word becomes when it hears another, and whether it is then
// owed: the newer of both, unless none comes after the other, which is a rollback of them
// both. What is owed comes after everything.
func Merge(mine Word, owed bool, heard Word) (Word, bool) {
	switch {
	case outOfReach(mine, heard):
		return mine, owed
	case owed:
		mine.Version = max(mine.Version, heard.Version)
		return mine, true
	case torn(mine, heard):
		return Word{
			Version: max(mine.Version, heard.Version), Era: mine.Era, At: heard.At, Paused: true,
			Who: "parallax", Reason: "two mirrors moved the step without hearing of each other",
		}, true
	case heard.Version > mine.Version:
		return heard, false
	}
	return mine, false
}

// torn reports whether two words cannot come one after the other: they are of two eras of one
// number, or of one era, and the newer one was said without knowing of the other.
func torn(a, b Word) bool {
	if era(a.Version) != era(b.Version) {
		return false
	}
	if a.Version > b.Version {
		a, b = b, a
	}
	return a.Era != b.Era || !knows(b, a) || a.Version == b.Version && (a.Step != b.Step || !a.At.Equal(b.At) || a.Paused != b.Paused)
}

// knows reports whether a word was said after another one of its era, whose version is not
// higher, as far as trails go.
func knows(w, before Word) bool {
	behind := w.Version - before.Version
	if behind >= maxTrail/mark || len(before.Trail) < mark {
		return true
	}
	at := int(behind) * mark
	return len(w.Trail) < at+mark || w.Trail[at:at+mark] == before.Trail[:mark]
}
