package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestKeysAreMadeOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "deep", "parallax-keys")
	got := make([]keys, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			k, err := loadKeys(path)
			if err != nil {
				t.Error(err)
			}
			got[i] = k
		})
	}
	wg.Wait()
	for _, k := range got {
		if !bytes.Equal(k.fleet, got[0].fleet) || len(k.fleet) != 32 || bytes.Equal(k.fleet, k.redaction) || bytes.Equal(k.user, k.fleet) {
			t.Fatalf("keys differ between loads or do not differ between uses")
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if rest, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(rest) > 0 {
		t.Errorf("left behind: %v", rest)
	}
}

func TestKeysRefused(t *testing.T) {
	t.Parallel()
	f := func(text string, mode os.FileMode, want string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "k")
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		_, err := loadKeys(path)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", text, err, want)
		}
		if after, _ := os.ReadFile(path); string(after) != text {
			t.Errorf("%q: the file was changed", text)
		}
	}
	secret := "secret: " + strings.Repeat("ab", 32) + "\n"
	f(secret, 0o644, "chmod 600")
	f("", 0o600, "64 hex digits")
	f("secret: abcd\n", 0o600, "64 hex digits")
	f("secret: "+strings.Repeat("zz", 32)+"\n", 0o600, "64 hex digits")
}
