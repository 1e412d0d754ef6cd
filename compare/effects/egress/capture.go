package egress

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
	"net/http"
	"sync"
	"time"
)

// silence is how long whoever sends or reads a body may do nothing.
const silence = time.Minute

// capture is a request's body on its way, of which it keeps the beginning and a hash.
type capture struct {
	io.Reader
	deadline func(time.Time) error
	moving   func(ended bool) // told of what is read; may be nil

	mu    sync.Mutex // the transport reads in a goroutine of its own
	kept  bytes.Buffer
	limit int64
	size  int64
	want  int64 // -1: not known
	sum   hash.Hash
	begun bool
	over  bool // the connection is for the next request
	ended bool
}

func newCapture(w http.ResponseWriter, r *http.Request, limit int64) *capture {
	return &capture{
		Reader: r.Body, deadline: http.NewResponseController(w).SetReadDeadline,
		limit: limit, want: r.ContentLength, sum: sha256.New(),
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
	if room := c.limit - int64(c.kept.Len()); room > 0 {
		c.kept.Write(b[:min(int64(n), room)])
	}
	c.ended = c.ended || err == io.EOF
	return n, err
}

// Close implements io.Closer. The server closes the body itself; until then what nobody
// wanted can be read by drain.
func (c *capture) Close() error { return nil }

// end says that nothing may be read any more.
func (c *capture) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
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
	whole bool // it was read to its end
}

// seen returns what was read until now.
func (c *capture) seen() body {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := body{size: c.size, cut: c.size > int64(c.kept.Len()), whole: c.ended || c.size == c.want}
	if b.cut {
		b.sum = c.sum.Sum(nil)
	} else {
		b.kept = bytes.Clone(c.kept.Bytes())
	}
	return b
}
