package ui

import (
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"
)

// maxBearers bounds the tokens that are remembered; there are far fewer in a file of tokens.
const maxBearers = 4096

// bearers lets programs in by their tokens, and bounds how many guesses an address has. A token that was let in before
// is never refused for the guesses of others behind the same address.
type bearers struct {
	failed tries

	mu     sync.Mutex // for all below
	before map[[sha256.Size]byte]bool
}

// holder is who holds a token. Wait is above 0 where the token was not looked at, since too many of the address are in
// nobody's hands: it may be tried again after that time.
func (b *bearers) holder(door Door, token string, from netip.Addr, now time.Time) (h Holder, known bool, wait time.Duration) {
	sum := sha256.Sum256([]byte(token))
	if b.letIn(sum) {
		if h, known = door.Holder(token); known {
			return h, true, 0
		}
	}
	if wait = b.failed.begin(from, now); wait > 0 {
		return Holder{}, false, wait
	}
	if h, known = door.Holder(token); known {
		b.failed.succeeded(from)
		b.remember(sum)
	}
	return h, known, 0
}

func (b *bearers) letIn(sum [sha256.Size]byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.before[sum]
}

func (b *bearers) remember(sum [sha256.Size]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.before == nil || len(b.before) >= maxBearers {
		b.before = map[[sha256.Size]byte]bool{}
	}
	b.before[sum] = true
}
