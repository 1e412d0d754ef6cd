package mirror_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// replay asks recorded requests again and waits for their ends.
func replay(t *testing.T, m *mirror.Mirror, list ...mirror.Recorded) {
	t.Helper()
	var all sync.WaitGroup
	for _, r := range list {
		all.Add(1)
		if err := m.Replay(r, all.Done); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
}

func TestReplayAsksAllLegs(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{"a":1}`)), mirrortest.NewBackend(t, mirrortest.JSON(`{"a":2}`))
	cfg := pair(primary.URL, candidate.URL, mirror.Own)
	cfg.Primary.State = mirror.Own
	r := start(t, cfg)
	replay(t, r.Mirror, mirror.Recorded{
		Method: "POST", Target: "/orders?x=1", Host: "shop.example", Body: []byte(`{"sku":"x"}`), RemoteIP: "192.0.2.7",
		Headers: []parallax.Field{{Name: "Content-Length", Value: "99"}, {Name: "Connection", Value: "X-Hop"}, {Name: "X-Hop", Value: "1"}, {Name: "X-Kept", Value: "yes"}, {Name: "Expect", Value: "100-continue"}},
	})
	x := r.next()
	if x.Source != parallax.FromReplay || x.Endpoint != "POST /orders" || x.Legs[0].Response.Status != 200 || x.Legs[1].Response.Status != 200 {
		t.Errorf("%+v", x)
	}
	for _, b := range []*mirrortest.Backend{primary, candidate} {
		seen := b.Wait(t, 1)[0]
		head := fmt.Sprint(seen.Header)
		if seen.Target != "/orders?x=1" || string(seen.Body) != `{"sku":"x"}` || !strings.Contains(head, "shop.example") ||
			!strings.Contains(head, "X-Kept") || strings.Contains(head, "X-Hop") || strings.Contains(head, "100-continue") || !strings.Contains(head, "shadow") {
			t.Errorf("a leg got %s %s %v %s", seen.Method, seen.Target, seen.Header, seen.Body)
		}
	}
}

// TestReplayOfNobodysRequest tells legs of no address where none was recorded.
func TestReplayOfNobodysRequest(t *testing.T) {
	t.Parallel()
	r, primary, _ := twins(t, mirror.Shared, func(*mirror.Service) {})
	for i, c := range []struct {
		recorded []parallax.Field
		want     string
	}{
		{nil, "[]"},
		{[]parallax.Field{{Name: "X-Forwarded-For", Value: "192.0.2.7"}, {Name: "Forwarded", Value: "for=192.0.2.7"}}, "[Forwarded: for=192.0.2.7 X-Forwarded-For: 192.0.2.7]"},
	} {
		replay(t, r.Mirror, mirror.Recorded{Method: "GET", Target: "/orders/1", Headers: c.recorded})
		var got []string
		for _, line := range primary.Wait(t, i+1)[i].Head {
			if name, _, _ := strings.Cut(line, ":"); strings.HasSuffix(name, "Forwarded-For") || name == "Forwarded" {
				got = append(got, line)
			}
		}
		slices.Sort(got)
		if fmt.Sprint(got) != c.want {
			t.Errorf("a leg got %q, want %s", got, c.want)
		}
	}
}

// TestNothingUnsafeIsReplayedUnlessAllowed goes through the states of both legs.
func TestNothingUnsafeIsReplayedUnlessAllowed(t *testing.T) {
	t.Parallel()
	states := []mirror.State{"", mirror.None, mirror.Dry, mirror.Shared, mirror.Follower, mirror.Own}
	again := map[mirror.State]bool{mirror.None: true, mirror.Own: true}
	for _, ps := range states {
		for _, cs := range states {
			for _, unsafe := range []mirror.Unsafe{mirror.UnsafeNever, mirror.UnsafeAllowed} {
				primary, candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{}`)), mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
				cfg := pair(primary.URL, candidate.URL, cs)
				cfg.Primary.State, cfg.Mirror.Unsafe = ps, unsafe
				if len(cfg.Validate()) > 0 {
					continue // cannot be configured
				}
				r := start(t, cfg)
				replay(t, r.Mirror, mirror.Recorded{Method: "POST", Target: "/orders", Body: []byte("{}")}, mirror.Recorded{Method: "DELETE", Target: "/orders/1"})
				want := 0
				if unsafe == mirror.UnsafeAllowed && again[ps] && again[cs] {
					want = 2
				}
				if p, c := primary.Count(), candidate.Count(); p != want || c != want {
					t.Errorf("primary %q, candidate %q, unsafe %s: the legs got %d and %d unsafe requests, want %d", ps, cs, unsafe, p, c, want)
				}
				replay(t, r.Mirror, mirror.Recorded{Method: "GET", Target: "/orders/1"})
				if p, c := primary.Count()-want, candidate.Count()-want; p != 1 || c != 1 {
					t.Errorf("primary %q, candidate %q: the legs got %d and %d safe requests, want 1", ps, cs, p, c)
				}
				r.Stop()
			}
		}
	}
}

func TestReplayKeepsUsersInOrder(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{}`)), mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
	cfg := pair(primary.URL, candidate.URL, mirror.Shared)
	cfg.Mirror.OrderBy = "header:X-User"
	r := start(t, cfg)
	var list []mirror.Recorded
	for i := range 40 {
		list = append(list, mirror.Recorded{Method: "GET", Target: fmt.Sprintf("/orders/%d", i), User: "ann"})
	}
	replay(t, r.Mirror, list...)
	for _, b := range []*mirrortest.Backend{primary, candidate} {
		var got, want []string
		for i, seen := range b.Wait(t, len(list)) {
			got, want = append(got, seen.Target), append(want, list[i].Target)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("order (-recorded +asked):\n%s", diff)
		}
	}
}

func TestRecordingsThatCannotBeSent(t *testing.T) {
	t.Parallel()
	f := func(want string, r mirror.Recorded) {
		t.Helper()
		if err := r.Fault(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", r, err, want)
		}
	}
	f("slash", mirror.Recorded{Method: "GET", Target: "x"})
	f("method", mirror.Recorded{Method: "G T", Target: "/"})
	f("spaces", mirror.Recorded{Method: "GET", Target: "/a b"})
	f("fragment", mirror.Recorded{Method: "GET", Target: "/a#b"})
	f("host", mirror.Recorded{Method: "GET", Target: "/", Host: "a/b"})
	f("address", mirror.Recorded{Method: "GET", Target: "/", RemoteIP: "192.0.2.7\r\nX: y"})
	f("header", mirror.Recorded{Method: "GET", Target: "/", Headers: []parallax.Field{{Name: ":path", Value: "/"}}})
	f("header", mirror.Recorded{Method: "GET", Target: "/", Headers: []parallax.Field{{Name: "X", Value: "a\r\nb"}}})
}
