package atomicfile

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// entries lists the names in a folder.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestReplace(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(dir, "shop.json")
	for _, text := range []string{"first", "", "the second, which is longer"} {
		if err := Replace(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%q, %v, want %q", got, err, text)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if d := cmp.Diff([]string{"shop.json"}, entries(t, dir)); d != "" {
		t.Errorf("left behind (-want +got)\n%s", d)
	}
}

// TestReplaceThatFails leaves what was there, and nothing else.
func TestReplaceThatFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "shop.json")
	if err := os.MkdirAll(filepath.Join(path, "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("x")); err == nil {
		t.Error("a folder was replaced by a file")
	}
	if d := cmp.Diff([]string{"shop.json"}, entries(t, dir)); d != "" {
		t.Errorf("left behind (-want +got)\n%s", d)
	}
	if err := Replace(filepath.Join(dir, "file", "shop.json"), nil); err != nil {
		t.Fatal(err)
	}
	if err := Replace(filepath.Join(dir, "file", "shop.json", "x"), nil); err == nil {
		t.Error("a file was written below a file")
	}
}

// TestReplaceBySeveral: whoever writes one file at the same time, as two processes
// with one folder do, a reader finds the text of one of them, whole.
func TestReplaceBySeveral(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "shop.json")
	var all sync.WaitGroup
	for writer := range 4 {
		text := bytes.Repeat([]byte{byte('a' + writer)}, 10_000*(writer+1))
		all.Go(func() {
			for range 20 {
				if err := Replace(path, text); err != nil {
					t.Error(err)
				}
				got, err := os.ReadFile(path)
				if err != nil || len(got) == 0 || len(got) != 10_000*int(got[0]-'a'+1) || bytes.Count(got, got[:1]) != len(got) {
					t.Errorf("%d bytes, %v: no text of anybody", len(got), err)
				}
			}
		})
	}
	all.Wait()
	if d := cmp.Diff([]string{"shop.json"}, entries(t, dir)); d != "" {
		t.Errorf("left behind (-want +got)\n%s", d)
	}
}
