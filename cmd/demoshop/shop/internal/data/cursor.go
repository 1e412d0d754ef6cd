package data

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
)

// WriteCursor returns the cursor of a page of rows with ids below id. It is made
// unreadable with a version's own word, so that nobody builds on it; with given ids
// there is none, and both versions write the same.
func (d *DB) WriteCursor(word string, id int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(d.word(word) + strconv.FormatInt(id, 10)))
}

// ReadCursor reads what WriteCursor wrote. An empty cursor is that of the first
// page.
func (d *DB) ReadCursor(word, cursor string) (id int64, ok bool) {
	if cursor == "" {
		return math.MaxInt64, true
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return 0, false
	}
	number, ok := strings.CutPrefix(string(text), d.word(word))
	id, err = strconv.ParseInt(number, 10, 64)
	return id, ok && err == nil
}

func (d *DB) word(word string) string {
	if d.IDs == GivenIDs {
		return ""
	}
	return word
}
