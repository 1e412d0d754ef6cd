package redisqueue

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"parallax"
)

var (
	errTooLarge = fmt.Errorf("an exchange takes more than %d bytes, compressed", maxEntry)
	errForeign  = errors.New("an exchange was not written with this installation's keys, or is damaged")
)

// box turns exchanges into what is stored in Redis and on disk, and back: encoded,
// compressed, and encrypted with AES-256-GCM behind a random nonce. Random nonces do for
// 2^32 messages of one key (NIST SP 800-38D, section 8.3), so each box has keys of its own,
// derived from the installation's by a salt that stands before what is sealed, and takes a new
// salt after [maxSealed] of them. Its methods may be called from many goroutines.
type box struct {
	key  []byte
	zip  *zstd.Encoder
	open *zstd.Decoder

	mu     sync.Mutex
	own    salt
	sealed int
	known  map[salt]cipher.AEAD
}

type salt [16]byte

const (
	maxSealed = 1 << 30
	maxSalts  = 256 // whose keys are remembered: processes whose exchanges come at a time
)

func newBox(key []byte) (*box, error) {
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(maxEntry))
	if err != nil {
		return nil, err
	}
	open, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxDecoded), zstd.WithDecoderMaxWindow(maxEntry))
	return &box{key: key, zip: zip, open: open, sealed: maxSealed, known: map[salt]cipher.AEAD{}}, err
}

func (b *box) close() {
	b.zip.Close()
	b.open.Close()
}

func (b *box) seal(x *parallax.Exchange) ([]byte, error) {
	by, aead, err := b.sealer()
	if err != nil {
		return nil, err
	}
	packed := b.zip.EncodeAll(parallax.AppendExchange(nil, x), nil)
	if len(by)+len(packed)+aead.Overhead() > maxEntry {
		return nil, errTooLarge
	}
	return aead.Seal(append(make([]byte, 0, len(by)+len(packed)+aead.Overhead()), by[:]...), nil, packed, nil), nil
}

// unseal fails for what was not sealed with this key, for more than maxDecoded bytes and
// for an encoding that this version does not know.
func (b *box) unseal(text []byte) (*parallax.Exchange, error) {
	if len(text) > maxEntry {
		return nil, errTooLarge
	}
	if len(text) < len(salt{}) {
		return nil, errForeign
	}
	aead, err := b.aead(salt(text))
	if err != nil {
		return nil, err
	}
	packed, err := aead.Open(nil, nil, text[len(salt{}):], nil)
	if err != nil {
		return nil, errForeign
	}
	plain, err := b.open.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot unpack an exchange: %w", err)
	}
	return parallax.DecodeExchange(plain)
}

// sealer returns what the next exchange is sealed by.
func (b *box) sealer() (salt, cipher.AEAD, error) {
	b.mu.Lock()
	if b.sealed++; b.sealed > maxSealed {
		b.sealed = 1
		rand.Read(b.own[:])
	}
	own := b.own
	b.mu.Unlock()
	aead, err := b.aead(own)
	return own, aead, err
}

// aead returns the cipher of a salt, and remembers it.
func (b *box) aead(by salt) (cipher.AEAD, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known := b.known[by]; known != nil {
		return known, nil
	}
	key, err := hkdf.Key(sha256.New, b.key, by[:], "parallax queue", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	if len(b.known) >= maxSalts {
		clear(b.known)
	}
	b.known[by] = aead
	return aead, nil
}
