package embedded

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	t.Parallel()
	put := func(path ...string) string {
		t.Helper()
		file := filepath.Join(path...)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		return file
	}
	home, cache := t.TempDir(), t.TempDir()
	given := put(t.TempDir(), "any-name.so")
	inHome := put(home, ".cache", "parallax", Version, "libchdb.so")
	inCache := put(cache, "parallax", Version, "libchdb.so")

	f := func(env map[string]string, want, text string) {
		t.Helper()
		got, err := Find(func(name string) string { return env[name] })
		if want != "" && (err != nil || got != want) {
			t.Errorf("%v: got %q, %v, want %q", env, got, err, want)
		}
		if want == "" && (!errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), "make setup")) {
			t.Errorf("%v: got %q, %v, want an error about %q and what to do", env, got, err, text)
		}
	}
	f(map[string]string{"PARALLAX_LIBCHDB": given, "HOME": home}, given, "")
	f(map[string]string{"HOME": home}, inHome, "")
	f(map[string]string{"HOME": home, "XDG_CACHE_HOME": cache}, inCache, "")
	f(map[string]string{"HOME": t.TempDir()}, "", Version)
	f(map[string]string{}, "", "PARALLAX_LIBCHDB")
	f(map[string]string{"PARALLAX_LIBCHDB": given + "x", "HOME": home}, "", given+"x")
}

// The lock file names one package, pinned by its integrity hash, and no
// registry: whoever installs it chooses where from.
func TestLockFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("npm/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct{ Version, Integrity, Resolved string }
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		t.Fatal(err)
	}
	p, ok := lock.Packages["node_modules/@chdb/lib-linux-x64-gnu"]
	if !ok || len(lock.Packages) != 2 {
		t.Fatalf("got packages %v, want only libchdb and the root", lock.Packages)
	}
	if p.Version != Version || !strings.HasPrefix(p.Integrity, "sha512-") || p.Resolved != "" {
		t.Errorf("got %+v, want version %s with its hash and no address", p, Version)
	}
}
