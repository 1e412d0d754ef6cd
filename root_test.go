package parallax_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"sync"
	"testing"
	"time"

	"parallax"

	"github.com/google/go-cmp/cmp"
)

func TestIDSource(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_795_000_000_123).UTC()
	newID := parallax.NewIDSource(func() time.Time { return at }, rand.Reader)
	const each = 3000 // four at once pass the 4 096 of one millisecond
	var (
		mu   sync.Mutex
		seen = map[parallax.ID]bool{}
		wg   sync.WaitGroup
	)
	for range 4 {
		wg.Go(func() {
			var last parallax.ID
			for range each {
				id := newID()
				if bytes.Compare(last[:], id[:]) >= 0 {
					t.Errorf("%v does not come after %v", id, last)
					return
				}
				last = id
				mu.Lock()
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != 4*each {
		t.Errorf("%d different ids of %d", len(seen), 4*each)
	}
	for id := range seen {
		if late := id.Time().Sub(at); late < 0 || late > 5*time.Millisecond {
			t.Fatalf("%v says it was made at %v, want %v", id, id.Time(), at)
		}
		if s := id.String(); s[14] != '7' || !strings.ContainsRune("89ab", rune(s[19])) {
			t.Fatalf("%v is not a UUID of version 7", id)
		}
		if back, err := parallax.ParseID(id.String()); err != nil || back != id {
			t.Fatalf("ParseID(%v) = %v, %v", id, back, err)
		}
	}
}

func TestParseIDRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "019300aabbcc7ddd8eee0123456789ab", "019300aa-bbcc-7ddd-8eee-0123456789ag", "019300aa-bbcc-7ddd-8eee-0123456789ab0"} {
		if id, err := parallax.ParseID(s); err == nil {
			t.Errorf("ParseID(%q) = %v, want an error", s, id)
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	f := func(in string, want parallax.Size, back string) {
		t.Helper()
		var s parallax.Size
		if err := s.UnmarshalText([]byte(in)); err != nil || s != want || s.String() != back {
			t.Errorf("%q = %d %q, %v; want %d %q", in, s, s, err, want, back)
		}
	}
	f("0", 0, "0B")
	f("512KiB", 512<<10, "512KiB")
	f("1MiB", 1<<20, "1MiB")
	f("1.5 GiB", 3<<29, "1536MiB")
	f("20MB", 20_000_000, "20000000B")
	for _, bad := range []string{"", "MiB", "-1KiB", "1XB", "1e300GiB", "NaN"} {
		var s parallax.Size
		if err := s.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was read as %d", bad, s)
		}
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	seen := map[parallax.Place]bool{}
	for _, p := range parallax.Places {
		if seen[p] || p.Reason() == "" || !strings.Contains("in_flight unmirrored lost compared", p.Group()) {
			t.Errorf("place %q is there twice or has no group and reason", p)
		}
		seen[p] = true
	}
}

func TestUnder(t *testing.T) {
	t.Parallel()
	got := parallax.Under("rules", []parallax.Fault{{Path: "[2].path", Text: "t"}, {Path: "x", Text: "t"}, {Text: "t", Hint: "h"}})
	want := []parallax.Fault{{Path: "rules[2].path", Text: "t"}, {Path: "rules.x", Text: "t"}, {Path: "rules", Text: "t", Hint: "h"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if s := got[2].Error(); s != "rules: t (h)" {
		t.Errorf("Error() = %q", s)
	}
}

func TestBodySum(t *testing.T) {
	t.Parallel()
	known, of := [32]byte{1}, func(s string) [32]byte { return sha256.Sum256([]byte(s)) }
	f := func(b parallax.Body, want [32]byte) {
		t.Helper()
		if got := b.Sum(); got != want {
			t.Errorf("%+v: sum %x, want %x", b, got, want)
		}
	}
	f(parallax.Body{Bytes: []byte("all"), Size: 3}, of("all"))
	f(parallax.Body{Bytes: []byte("all"), Size: 3, SHA256: known}, known)
	f(parallax.Body{Bytes: []byte("be"), Size: 9, Cut: true, SHA256: known}, known)
	f(parallax.Body{Bytes: []byte("be"), Size: 9, Cut: true}, [32]byte{})
	f(parallax.Body{}, [32]byte{}) // of a call without an answer
}
