package mirror_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

func TestShadowCallsStayShadows(t *testing.T) {
	t.Parallel()
	// The candidate of service "front" calls service "shop" with the mark it got.
	marked := mirrortest.NewBackend(t, mirrortest.Status(200))
	front := pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, marked.URL, mirror.Own)
	front.Name = "front"
	start(t, front).do("GET", "/", "")
	baggage := "Baggage: " + marked.Wait(t, 1)[0].Header.Get("Baggage")

	allow := mirror.UnsafeAllowed
	f := func(state mirror.State, method string, header string, status int, wantPrimary, wantCandidate string) {
		t.Helper()
		primary := mirrortest.NewBackend(t, mirrortest.Status(200))
		candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
		cfg := pair(primary.URL, candidate.URL, state)
		cfg.Mirror.Unsafe = allow
		r := start(t, cfg)
		if res, _ := r.do(method, "/orders", "", header); res.StatusCode != status {
			t.Errorf("%s to state %q: the caller got %d, want %d", method, state, res.StatusCode, status)
		}
		places := r.settled(1)
		if got := roleSeen(primary); got != wantPrimary {
			t.Errorf("%s to state %q: the primary was asked as %q, want %q", method, state, got, wantPrimary)
		}
		if got := roleSeen(candidate); got != wantCandidate {
			t.Errorf("%s to state %q: the candidate was asked as %q, want %q", method, state, got, wantCandidate)
		}
		if header == baggage && places[parallax.UnmirroredShadowCall] != 1 {
			t.Errorf("%s to state %q: places %v", method, state, places)
		}
	}
	f(mirror.Own, "GET", baggage, 200, "shadow", "")
	f(mirror.Own, "POST", baggage, 200, "", "shadow")
	f(mirror.Dry, "POST", baggage, 200, "", "shadow")
	f(mirror.None, "POST", baggage, 200, "", "shadow")
	f(mirror.Shared, "POST", baggage, 403, "", "")
	f(mirror.Follower, "POST", baggage, 403, "", "")
	f(mirror.Shared, "POST", strings.Replace(baggage, "front", "other", 1), 200, "live", "")
	for _, allow = range []mirror.Unsafe{"", mirror.UnsafeNever} {
		for _, state := range []mirror.State{mirror.Own, mirror.Dry, mirror.None, mirror.Shared} {
			f(state, "POST", baggage, 403, "", "")
			f(state, "GET", baggage, 200, "shadow", "")
		}
	}
}

// A live request's mark makes nobody a shadow: what a live leg calls in turn is
// mirrored as if it came from a caller.
func TestLiveCallsStayLive(t *testing.T) {
	t.Parallel()
	called := mirrortest.NewBackend(t, mirrortest.Status(200))
	front := pair(called.URL, mirrortest.NewBackend(t, mirrortest.Status(200)).URL, mirror.Own)
	front.Name = "front"
	start(t, front).do("GET", "/", "")
	baggage := "Baggage: " + called.Wait(t, 1)[0].Header.Get("Baggage")

	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
	for i := range 20 { // services may pass the baggage on from call to call for as long as they like
		if res, _ := r.do("POST", "/orders", "", baggage, "X-Parallax-Exchange: a service may copy that"); res.StatusCode != 200 {
			t.Fatalf("the call was answered %d", res.StatusCode)
		}
		x := r.next()
		if x.Legs[parallax.Primary].Response.Status != 200 || x.Legs[parallax.Candidate].Response.Status != 200 {
			t.Fatalf("legs %+v", x.Legs)
		}
		baggage = "Baggage: " + primary.Seen()[i].Header.Get("Baggage")
	}
	if p, c := roleSeen(primary), roleSeen(candidate); p != "live" || c != "shadow" {
		t.Errorf("the primary was asked as %q, the candidate as %q", p, c)
	}
	if mark := primary.Seen()[0].Header.Get("Baggage"); !strings.HasPrefix(mark, "parallax-role=live:shop:") || strings.Contains(mark, "front") {
		t.Errorf("the primary got the mark %q, want one of its own service", mark)
	}
}

func roleSeen(b *mirrortest.Backend) string {
	if seen := b.Seen(); len(seen) > 0 {
		return seen[0].Header.Get("X-Parallax-Role")
	}
	return ""
}

func TestLoopEnds(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	cfg := pair(primary.URL, "http://127.0.0.1:1", mirror.Own)
	outer := start(t, cfg)
	// The candidate's address leads to a mirror of the same service.
	cfg.Candidate = at(outer.URL, mirror.Own)
	inner := start(t, cfg)
	inner.do("GET", "/", "")
	if x := inner.next(); x.Legs[parallax.Candidate].Response.Status != 508 {
		t.Errorf("the loop was answered %d, want 508", x.Legs[parallax.Candidate].Response.Status)
	}
	if primary.Count() != 1 {
		t.Errorf("the primary was asked %d times, want 1", primary.Count())
	}
}

// The primary's address leads back to the service, by way of a plain proxy or of
// another service.
func TestLiveLoopEnds(t *testing.T) {
	t.Parallel()
	back := make(chan string, 1) // where the proxy leads, once that is known
	proxy := mirrortest.NewBackend(t, forwards(back)).Forget()
	shop := start(t, mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: at(proxy.URL, "")})
	other := start(t, mirror.Service{Name: "other", Mirror: mirror.DefaultOptions(), Primary: at(shop.URL, "")})
	for _, to := range []*rig{shop, other} {
		back <- to.Addr
		before := proxy.Count()
		res, body := shop.do("POST", "/orders", "", "Baggage: tenant=7")
		if res.StatusCode != 508 || !strings.Contains(body, "urn:parallax:problem:loop") {
			t.Errorf("by way of %s: the caller got %d %s, want 508", to.Addr, res.StatusCode, body)
		}
		if n := proxy.Count() - before; n > 8 {
			t.Errorf("by way of %s: the request went round %d times", to.Addr, n)
		}
		<-back
	}
	if places := shop.settled(1); places[parallax.UnmirroredLoop] == 0 {
		t.Errorf("places %v", places)
	}
}

// forwards answers with what the address in the channel answers, as a proxy does
// that knows nothing of Parallax.
func forwards(to chan string) mirrortest.Answer {
	return func(_ *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
		address := <-to
		to <- address
		out, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		defer out.Close()
		fmt.Fprintf(out, "%s\r\n%s\r\nConnection: close\r\n\r\n", r.Line, strings.Join(r.Head, "\r\n"))
		_, _ = io.Copy(conn, out)
		return false
	}
}
