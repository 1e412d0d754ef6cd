package redis

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"parallax/mirror/split"
)

// Word is the step of one service as mirrors tell it each other. The zero Word is
// that nobody has set one yet.
type Word struct {
	ID     string    `json:"id"`      // of this word alone
	Step   int       `json:"step"`    // in basis points
	Epoch  uint64    `json:"epoch"`   // goes up with each rollback: its time in milliseconds, or one more than before
	Number uint64    `json:"version"` // goes up with each word
	Back   string    `json:"back"`    // ID of the last rollback
	Who    string    `json:"who"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"` // when it was set, by the clock of the mirror that set it
	Paused bool      `json:"paused"`

	// Owed says that this is a rollback which Redis has not been told. It never
	// stands in Redis.
	Owed bool `json:"owed,omitempty"`
}

// NewerThan reports whether w stands against v. Rollbacks count first: a step that
// was set by somebody who did not know of one is never newer, however many such there
// were. Words of one number there are only where Redis has lost its memory; then the
// lower step stands.
func (w Word) NewerThan(v Word) bool {
	switch {
	case w.Epoch != v.Epoch:
		return w.Epoch > v.Epoch
	case w.Number != v.Number:
		return w.Number > v.Number
	case w.Step != v.Step:
		return w.Step < v.Step
	}
	return w.ID > v.ID
}

// follows returns by as the word after w.
func (w Word) follows(by Word, id string) Word {
	by.ID, by.Back, by.Epoch, by.Number, by.Owed = id, w.Back, w.Epoch, w.Number+1, false
	return by
}

// back returns by as a rollback after w.
func (w Word) back(by Word, id string) Word {
	by.Step, by.Paused, by.Owed = 0, true, true
	by.ID, by.Back, by.Epoch, by.Number = id, id, max(w.Epoch+1, uint64(by.At.UnixMilli())), w.Number+1
	return by
}

// maxWord bounds what is read from Redis, in bytes.
const maxWord = 64 << 10

// readWord reads what stands in Redis, or what was published.
func readWord(text string) (w Word, err error) {
	if len(text) > maxWord {
		return Word{}, fmt.Errorf("cannot read the step in redis: it has %d bytes", len(text))
	}
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return Word{}, fmt.Errorf("cannot read the step in redis: %w", err)
	}
	if w.Step < 0 || w.Step > split.Buckets || w.Number == 0 {
		return Word{}, errors.New("cannot read the step in redis: something else stands there; delete the key, and the mirrors write theirs")
	}
	w.Owed = false
	return w, nil
}
