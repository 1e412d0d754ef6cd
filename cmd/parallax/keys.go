package main

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// keys are the secrets of an installation, one for each use. They are derived
// from the one secret in the keys file (HKDF-SHA256, RFC 5869), so that mirrors
// that share the file agree on all of them.
type keys struct {
	redaction []byte // HMAC tokens in place of secrets
	fleet     []byte // signs the role mark in baggage
	user      []byte // HMAC of user names
	shared    []byte // hides identifiers in Redis
	spool     []byte // encrypts the writes that legs have missed
	queue     []byte // encrypts exchanges on their way to workers
}

const keysHeader = "# The secret of this Parallax installation. Mirrors that work together share this file; keep it out of version control.\n"

// loadKeys reads the keys file, or makes one where there is none.
func loadKeys(path string) (keys, error) {
	secret, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		secret, err = makeSecret(path)
	}
	if err != nil {
		return keys{}, err
	}
	return deriveKeys(secret)
}

func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read keys: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("cannot use keys %q: others may read it (mode %04o); run: chmod 600 %s", path, mode, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read keys: %w", err)
	}
	_, line, _ := strings.Cut("\n"+string(text), "\nsecret: ")
	secret, err := hex.DecodeString(strings.TrimSpace(line))
	if err != nil || len(secret) != 32 {
		return nil, fmt.Errorf("cannot use keys %q: want a line `secret: ` with 64 hex digits; move the file away to have a new one made (stored tokens then no longer match)", path)
	}
	return secret, nil
}

// makeSecret writes a new file. It never replaces one: if another process was
// faster, that one's secret is used.
func makeSecret(path string) ([]byte, error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("cannot make keys: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make keys: %w", err)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".parallax-keys-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("cannot make keys: %w", err)
	}
	defer os.Remove(temp.Name())
	_, err = temp.WriteString(keysHeader + "secret: " + hex.EncodeToString(secret) + "\n")
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return nil, fmt.Errorf("cannot make keys %q: %w", path, err)
	}
	err = os.Link(temp.Name(), path)
	if errors.Is(err, fs.ErrExist) {
		return readSecret(path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make keys: %w", err)
	}
	return secret, nil
}

func deriveKeys(secret []byte) (keys, error) {
	var k keys
	for _, use := range []struct {
		name string
		key  *[]byte
	}{{"redaction", &k.redaction}, {"fleet", &k.fleet}, {"user", &k.user}, {"identifiers", &k.shared}, {"spool", &k.spool}, {"queue", &k.queue}} {
		key, err := hkdf.Key(sha256.New, secret, nil, "parallax "+use.name, 32)
		if err != nil {
			return keys{}, fmt.Errorf("cannot derive the %s key: %w", use.name, err)
		}
		*use.key = key
	}
	return k, nil
}
