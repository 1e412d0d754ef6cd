package mirror

import (
	"bytes"
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
	before, fits := c.bytes, min(int64(len(p)), c.max-int64(len(c.bytes)))
	switch {
	case !c.add(p[:fits]):
		c.cut = parallax.UnmirroredBudget
	case fits < int64(len(p)):
		c.cut = parallax.UnmirroredBodySize
	}
	if c.cut != "" {
		c.sum = sha256.New()
		c.sum.Write(before)
		c.sum.Write(p)
	}
}

// add keeps p, in room that is reserved before it is allocated.
func (c *capture) add(p []byte) bool {
	need := len(c.bytes) + len(p)
	if need <= cap(c.bytes) {
		c.bytes = append(c.bytes, p...)
		return true
	}
	room := max(int64(need), min(2*int64(cap(c.bytes)), c.max), min(c.hint, firstBytes, c.max))
	if !c.budget.Reserve(room - int64(cap(c.bytes))) {
		return false
	}
	// Fast path: a body that comes in one piece is not cleared before it is copied
	// (BenchmarkMirrored).
	if int64(len(p)) == room {
		c.bytes = bytes.Clone(p)[:need:need]
		return true
	}
	grown := make([]byte, len(c.bytes), room)
	copy(grown, c.bytes)
	c.bytes = append(grown, p...)
	return true
}

// giveUp says that the rest of the body is not read. What is known of its size is
// that it has at least so many bytes.
func (c *capture) giveUp(atLeast int64) {
	c.size = max(c.size, atLeast)
	if c.cut == "" {
		c.cut = parallax.UnmirroredBodySize
	}
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

// emptyBody is what was captured of a message without a body.
var emptyBody = parallax.Body{SHA256: sha256.Sum256(nil)}

// body returns what was captured. There is no hash of a body that did not come to
// its end, and none yet of one whose bytes are all there (see parallax.Body.Sum).
func (c *capture) body() parallax.Body {
	b := parallax.Body{Bytes: c.bytes, Size: c.size, Cut: c.cut != "" || !c.ended}
	switch {
	case !c.ended:
	case c.sum != nil:
		b.SHA256 = sumOf(c.sum)
	case c.size == 0:
		b.SHA256 = emptyBody.SHA256
	}
	return b
}

func sumOf(h hash.Hash) (sum [32]byte) {
	h.Sum(sum[:0])
	return sum
}
