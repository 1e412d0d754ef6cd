package egress

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// maxUnderWay bounds the bytes that are kept of bodies and answers of calls that are open. A
// call whose body finds no room is not comparable, and an answer is not given to shadows.
const maxUnderWay = 128 << 20

// budget is how many bytes more may be kept.
type budget struct{ left atomic.Int64 }

func newBudget(bytes int64) *budget {
	b := &budget{}
	b.left.Store(bytes)
	return b
}

func (b *budget) take(n int) bool {
	if b.left.Add(-int64(n)) >= 0 {
		return true
	}
	b.give(n)
	return false
}

func (b *budget) give(n int) { b.left.Add(int64(n)) }

// silence is how long whoever sends or reads a body may do nothing.
const silence = time.Minute

// capture is a request's body on its way, of which it keeps the beginning and a hash.
type capture struct {
	io.Reader
	deadline func(time.Time) error
	moving   func(ended bool) // told of what is read; may be nil

	mu    sync.Mutex // the transport reads in a goroutine of its own
	room  *budget
	kept  bytes.Buffer
	limit int64
	full  bool // nothing is kept any more: it is too long
	lost  bool // likewise: there was no room
	size  int64
	want  int64 // -1: not known
	sum   hash.Hash
	begun bool
	over  bool // the connection is for the next request
	ended bool
}

func newCapture(w http.ResponseWriter, r *http.Request, limit int64, room *budget) *capture {
	return &capture{
		Reader: r.Body, deadline: http.NewResponseController(w).SetReadDeadline,
		room: room, limit: limit, want: r.ContentLength, sum: sha256.New(),
	}
}

// Read implements io.Reader.
func (c *capture) Read(b []byte) (int, error) {
	c.mu.Lock()
	c.begun = true
	over := c.over
	c.mu.Unlock()
	if over {
		return 0, http.ErrBodyReadAfterClose
	}
	_ = c.deadline(time.Now().Add(silence)) // the read says what is wrong
	n, err := c.Reader.Read(b)
	if err == io.EOF {
		_ = c.deadline(time.Time{}) // for who waits for an answer is silent
	}
	if c.moving != nil {
		c.moving(err != nil)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.size += int64(n)
	c.sum.Write(b[:n])
	c.keep(b[:n])
	c.ended = c.ended || err == io.EOF
	return n, err
}

// keep keeps a piece if all of the body can be kept. The lock is held.
func (c *capture) keep(b []byte) {
	switch {
	case c.full || c.lost:
	case c.size > c.limit:
		c.full = true
		c.forget()
	case !c.room.take(len(b)):
		c.lost = true
		c.forget()
	default:
		c.kept.Write(b)
	}
}

// forget gives back what was kept. The lock is held.
func (c *capture) forget() {
	c.room.give(c.kept.Len())
	c.kept = bytes.Buffer{}
}

// Close implements io.Closer. The server closes the body itself; until then what nobody
// wanted can be read by drain.
func (c *capture) Close() error { return nil }

// end says that nothing may be read any more, and nobody looks at what was.
func (c *capture) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over, c.full = true, true
	c.forget()
}

// drainLimit and drainWithin bound what is read of a body that goes nowhere, so that it can
// be compared.
const (
	drainLimit  = 64 << 20
	drainWithin = 10 * time.Second
)

// drain reads a body that nobody has begun to read, to its end, within bounds.
func (c *capture) drain() {
	c.mu.Lock()
	begun := c.begun
	c.mu.Unlock()
	if begun {
		return
	}
	until, set := time.Now().Add(drainWithin), c.deadline
	c.deadline = func(t time.Time) error {
		if t.After(until) {
			t = until
		}
		return set(t)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(c, drainLimit)) // what is missing of it is seen in whole
}

// body is what is known of a body.
type body struct {
	kept  []byte // all of it, unless cut
	size  int64
	sum   []byte
	cut   bool
	whole bool // it was read to its end, and kept if it is not too long
}

// seen returns what was read until now.
func (c *capture) seen() body {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := body{size: c.size, cut: c.size > int64(c.kept.Len()), whole: (c.ended || c.size == c.want) && !c.lost}
	if b.cut {
		b.sum = c.sum.Sum(nil)
	} else {
		b.kept = bytes.Clone(c.kept.Bytes())
	}
	return b
}
