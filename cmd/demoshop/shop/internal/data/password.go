package data

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
)

// rounds is far from what a shop of this world needs. Here hundreds of customers
// log in each second on a machine that has better to do.
const rounds = 1000

// HashPassword returns what is kept of a password: SALT$HASH.
func (t *Tx) HashPassword(password string) (string, error) {
	salt := random(16)
	if t.db.IDs == GivenIDs {
		sum := t.given("salt")
		salt = sum[:16]
	}
	sum, err := derive(password, salt)
	if err != nil {
		return "", err
	}
	return encode(salt) + "$" + encode(sum), nil
}

// PasswordFits tells whether a password is the one that was kept.
func PasswordFits(kept, password string) (bool, error) {
	head, tail, _ := strings.Cut(kept, "$")
	salt, err := base64.RawStdEncoding.DecodeString(head)
	if err != nil {
		return false, fmt.Errorf("cannot read a kept password: %w", err)
	}
	sum, err := derive(password, salt)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare([]byte(encode(sum)), []byte(tail)) == 1, nil
}

func derive(password string, salt []byte) ([]byte, error) {
	sum, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("cannot hash a password: %w", err)
	}
	return sum, nil
}

func encode(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }
