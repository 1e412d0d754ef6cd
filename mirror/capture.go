package mirror

import (
	"crypto/sha256"
	"hash"

	"parallax"
)

// capture is a bounded copy of a body that streams by. It holds the body's
// beginning; once the copy is cut, it goes on counting and hashing. It belongs
// to one goroutine at a time.
type capture struct {
	max    int64
	budget *Budget
	hint   int64 // declared length; not trusted for more than firstBytes

	bytes []byte
	size  int64
	cut   parallax.Place // why bytes is shorter than what passed; "" when it is not
	sum   hash.Hash      // of everything, once the copy is cut
	ended bool           // the body came to its end
}

// firstBytes is the most that a declared length alone makes us allocate.
const firstBytes = 64 << 10

// write takes the next bytes of the body. It keeps no reference to p.
func (c *capture) write(p []byte) {
	c.size += int64(len(p))
	if c.cut != "" {
		c.sum.Write(p)
		return
	}
	fits := min(int64(len(p)), c.max-int64(len(c.bytes)))
	switch {
	case !c.grow(int(fits)):
		c.cut, fits = parallax.UnmirroredBudget, 0
	case fits < int64(len(p)):
		c.cut = parallax.UnmirroredBodySize
	}
	if c.cut != "" {
		c.sum = sha256.New()
		c.sum.Write(c.bytes)
		c.sum.Write(p)
	}
	c.bytes = append(c.bytes, p[:fits]...)
}

// grow makes room for n more bytes, reserved before they are allocated.
func (c *capture) grow(n int) bool {
	need := len(c.bytes) + n
	if need <= cap(c.bytes) {
		return true
	}
	room := max(int64(need), min(2*int64(cap(c.bytes)), c.max), min(c.hint, firstBytes, c.max))
	if !c.budget.Reserve(room - int64(cap(c.bytes))) {
		return false
	}
	grown := make([]byte, len(c.bytes), room)
	copy(grown, c.bytes)
	c.bytes = grown
	return true
}

// drop forgets the copy and gives its bytes back.
func (c *capture) drop() {
	c.release()
	c.bytes = nil
}

// release gives the reserved bytes back to the budget; the copy lives on with
// whoever accounts for it from now on. The capture is not written to afterwards.
func (c *capture) release() {
	c.budget.Release(int64(cap(c.bytes)))
}

// body returns what was captured. The hash of an uncut body is made here, so
// that the live path does not pay for it.
func (c *capture) body() parallax.Body {
	b := parallax.Body{Bytes: c.bytes, Size: c.size, Cut: c.cut != "" || !c.ended}
	if c.sum != nil {
		c.sum.Sum(b.SHA256[:0])
	} else {
		b.SHA256 = sha256.Sum256(c.bytes)
	}
	return b
}
