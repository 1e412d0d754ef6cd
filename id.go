package parallax

import (
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"time"
)

// ID identifies an exchange: a UUID of version 7 (RFC 9562), so that IDs sort by
// the time they were made.
type ID [16]byte

// String returns the usual form, 8-4-4-4-12 hex digits.
func (id ID) String() string {
	var b [36]byte
	return string(id.Append(b[:0]))
}

// Append appends what String returns to b and returns the extended slice.
func (id ID) Append(b []byte) []byte {
	var text [36]byte
	hex.Encode(text[0:8], id[0:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:36], id[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return append(b, text[:]...)
}

// Time is when the ID was made, to the millisecond, in UTC.
func (id ID) Time() time.Time {
	ms := int64(id[0])<<40 | int64(id[1])<<32 | int64(id[2])<<24 | int64(id[3])<<16 | int64(id[4])<<8 | int64(id[5])
	return time.UnixMilli(ms).UTC()
}

// ParseID reads the form that String writes.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, fmt.Errorf("cannot read exchange id %.40q: want 8-4-4-4-12 hex digits", s)
	}
	if _, err := hex.Decode(id[:], []byte(s[0:8]+s[9:13]+s[14:18]+s[19:23]+s[24:36])); err != nil {
		return id, fmt.Errorf("cannot read exchange id %q: %w", s, err)
	}
	return id, nil
}

// NewIDSource returns a function that makes IDs. It may be called from many
// goroutines; the IDs it returns are unique and ascending even when the clock
// stands still or steps back. The function panics if entropy cannot be read.
func NewIDSource(now func() time.Time, entropy io.Reader) func() ID {
	var (
		mu   sync.Mutex
		last uint64 // milliseconds << 12 | counter
		pool [8 * 64]byte
		left int
	)
	return func() ID {
		mu.Lock()
		defer mu.Unlock()
		tick := uint64(now().UnixMilli()) << 12
		if tick <= last {
			tick = last + 1
		}
		last = tick
		if left == 0 {
			if _, err := io.ReadFull(entropy, pool[:]); err != nil {
				panic(fmt.Sprintf("parallax: no randomness for exchange ids: %v", err))
			}
			left = len(pool)
		}
		var id ID
		ms, count := tick>>12, tick&0xfff
		id[0], id[1], id[2] = byte(ms>>40), byte(ms>>32), byte(ms>>24)
		id[3], id[4], id[5] = byte(ms>>16), byte(ms>>8), byte(ms)
		id[6], id[7] = 0x70|byte(count>>8), byte(count)
		left -= 8
		copy(id[8:], pool[left:left+8])
		id[8] = id[8]&0x3f | 0x80
		return id
	}
}
