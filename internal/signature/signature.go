// Package signature signs what Parallax sends to webhooks of others, and reads the secrets that
// this takes.
package signature

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Headers of each signed request.
const (
	TimestampHeader = "X-Parallax-Timestamp" // when it was sent, in seconds since 1970
	Header          = "X-Parallax-Signature" // see Sign
)

// Sign returns the signature of a request: sha256= and the hexadecimal HMAC-SHA256,
// with the secret as its key, of the timestamp, a dot and the body.
func Sign(secret []byte, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	io.WriteString(mac, timestamp+".") // a hash takes everything
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// Set signs a request that is sent at a time.
func Set(r *http.Request, secret, body []byte, at time.Time) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	r.Header.Set(TimestampHeader, timestamp)
	r.Header.Set(Header, Sign(secret, timestamp, body))
}

// Bounds of a secret, in bytes.
const (
	least = 16
	most  = 4 << 10
)

// Secret reads a secret from a file, without the blanks around it.
func Secret(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return nil, err
	}
	if text = bytes.TrimSpace(text); len(text) < least {
		return nil, fmt.Errorf("%s has %d bytes, and a secret has %d or more", name, len(text), least)
	}
	return text, nil
}
