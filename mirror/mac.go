package mirror

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
)

// macs computes HMAC-SHA256 with one key, in many goroutines. To prepare the key
// costs as much as to sign a short text, so that is done rarely
// (BenchmarkRoleMark).
type macs struct{ pool sync.Pool }

// keyedHash is one HMAC with room for what goes in and comes out.
type keyedHash struct {
	mac  hash.Hash
	text []byte
	sum  []byte
}

func newMACs(key []byte) *macs {
	return &macs{sync.Pool{New: func() any { return &keyedHash{mac: hmac.New(sha256.New, key)} }}}
}

// sum returns the first 16 bytes of the HMAC of a text.
func (m *macs) sum(text string) (out [16]byte) {
	whole := of(m, "", text)
	copy(out[:], whole[:])
	return out
}

// both returns the signature of what role marks share, of which each role has
// its half.
func (m *macs) both(text []byte) [32]byte { return of(m, "parallax role mark 2\n", text) }

// of returns the HMAC of a prefix and a text.
func of[T string | []byte](m *macs, prefix string, text T) (out [32]byte) {
	k := m.pool.Get().(*keyedHash)
	defer m.pool.Put(k)
	k.text = append(append(k.text[:0], prefix...), text...)
	k.mac.Reset()
	k.mac.Write(k.text)
	k.sum = k.mac.Sum(k.sum[:0])
	copy(out[:], k.sum)
	return out
}
