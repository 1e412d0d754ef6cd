package mirror_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// readYourWrites sends what users do who write and look at once at what they
// wrote, to services with a database each whose candidate writes slowly. It
// returns how many exchanges there were and in how many the bodies differ.
func readYourWrites(t *testing.T, orderBy string) (exchanges, differ int, r *rig) {
	const users, writes = 8, 20
	var old mirrortest.Store
	new := mirrortest.Store{Delay: 2 * time.Millisecond}
	cfg := pair(mirrortest.NewBackend(t, old.Answer).URL, mirrortest.NewBackend(t, new.Answer).URL, mirror.Own)
	cfg.Mirror.OrderBy = orderBy
	r = start(t, cfg)
	var wg sync.WaitGroup
	for u := range users {
		wg.Go(func() {
			header, path := fmt.Sprintf("X-User: user-%d", u), fmt.Sprintf("/notes/%d", u)
			for i := range writes {
				r.do("PUT", path, fmt.Sprintf("note %d", i), header)
				r.do("GET", path, "", header)
			}
		})
	}
	wg.Wait()
	places := r.settled(2 * users * writes)
	exchanges = places[parallax.InQueue]
	for range exchanges {
		x := r.next()
		if x.Concurrent {
			t.Errorf("%s: concurrent, though its user does one thing after the other", x.Endpoint)
		}
		for _, c := range []*parallax.Call{x.Legs[parallax.Primary], x.Legs[parallax.Candidate]} {
			if c.Err.Kind != parallax.NoError {
				t.Errorf("%s: %v", x.Endpoint, c.Err)
			}
		}
		if !bytes.Equal(x.Legs[parallax.Primary].Response.Body.Bytes, x.Legs[parallax.Candidate].Response.Body.Bytes) {
			differ++
		}
	}
	return exchanges, differ, r
}

// Two equal services, whose users read what they wrote: without order the one
// that is asked aside seems to diverge, with it nothing does.
func TestReadYourWrites(t *testing.T) {
	t.Parallel()
	t.Run("without order", func(t *testing.T) {
		t.Parallel()
		exchanges, differ, _ := readYourWrites(t, "")
		if exchanges != 320 || differ == 0 {
			t.Errorf("%d of %d exchanges differ; want false divergences among 320", differ, exchanges)
		}
		t.Logf("%d of %d exchanges differ", differ, exchanges)
	})
	t.Run("in order", func(t *testing.T) {
		t.Parallel()
		exchanges, differ, _ := readYourWrites(t, "header:X-User")
		if exchanges != 320 || differ != 0 {
			t.Errorf("%d of %d exchanges differ; want 0 of 320", differ, exchanges)
		}
	})
}

// ordered is a service that keeps the order of users' requests, with a database
// for each leg.
func ordered(primary, candidate string) mirror.Service {
	cfg := pair(primary, candidate, mirror.Own)
	cfg.Mirror.OrderBy = "cookie:sid"
	return cfg
}

const alice, bob = "Cookie: sid=alice", "Cookie: sid=bob"

func TestOrderHoldsOnlyWhatComesAfter(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Held(release, mirrortest.Status(200)))
	registry := prometheus.NewRegistry()
	r := start(t, ordered(primary.URL, candidate.URL), func(d *mirror.Deps) { d.Metrics = mirror.NewMetrics(registry) })

	r.do("PUT", "/a", "1", alice)
	candidate.Wait(t, 1)
	r.do("GET", "/a", "", alice) // comes after, and waits
	r.do("GET", "/b", "", bob)   // somebody else's
	r.do("GET", "/n", "")        // nobody's
	if seen := candidate.Wait(t, 3); seen[1].Target == "/a" || seen[2].Target == "/a" {
		t.Errorf("%s %s overtook what its user did before", seen[1].Line, seen[2].Line)
	}
	if places := r.atShadows(3); places[parallax.InLane] != 1 {
		t.Errorf("places %v, want one in its lane and three at the shadow", places)
	}
	depth := `
# HELP parallax_lane_depth Requests that wait for their turn at a shadow leg, in all lanes of the service; see mirror.order_by.
# TYPE parallax_lane_depth gauge
parallax_lane_depth{leg="candidate",service="shop"} 1
parallax_lane_depth{leg="primary",service="shop"} 0
parallax_lane_depth{leg="secondary",service="shop"} 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(depth), "parallax_lane_depth"); err != nil {
		t.Error(err)
	}
	close(release)
	if places := r.settled(4); places[parallax.InQueue] != 4 {
		t.Errorf("places %v", places)
	}
	for range 4 {
		x := r.next()
		c := x.Legs[parallax.Candidate]
		if (x.User == [16]byte{}) != (c.Request.Target == "/n") || x.Concurrent {
			t.Errorf("%s: user %x, concurrent %t", c.Request.Target, x.User, x.Concurrent)
		}
	}
}

// A request's time is measured from when it was sent, not from when it began to
// wait.
func TestWaitsInLanesAreNobodysLatency(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Held(release, mirrortest.Status(200)))
	r := start(t, ordered(primary.URL, candidate.URL))
	r.do("GET", "/first", "", alice)
	candidate.Wait(t, 1)
	r.do("GET", "/second", "", alice)
	r.atShadows(1)
	close(release)
	r.settled(2)
	x := r.next()
	if other := r.next(); x.Legs[parallax.Candidate].Request.Target != "/second" { // they come in any order
		x = other
	}
	if c := x.Legs[parallax.Candidate]; c.Start < x.Legs[parallax.Primary].Done || c.Request.Target != "/second" {
		t.Errorf("%s: asked at %v, before %v, when its wait began", c.Request.Target, c.Start, x.Legs[parallax.Primary].Done)
	}
}

func TestOverlappingRequestsMayOverlapOnTheShadow(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	primary := mirrortest.NewBackend(t, mirrortest.Held(release, mirrortest.Status(200)))
	candidate := mirrortest.NewBackend(t, mirrortest.Held(release, mirrortest.Status(200)))
	r := start(t, ordered(primary.URL, candidate.URL))
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() { r.do("GET", fmt.Sprintf("/%d", i), "", alice) })
	}
	candidate.Wait(t, 3) // together, though none is answered
	close(release)
	wg.Wait()
	r.do("GET", "/alone", "", alice)
	r.settled(4)
	for range 4 {
		x := r.next()
		if target := x.Legs[parallax.Candidate].Request.Target; x.Concurrent != (target != "/alone") {
			t.Errorf("%s: concurrent %t", target, x.Concurrent)
		}
	}
}

// What a user does on many connections is in order too: the next request may be
// on its way as soon as the caller has the last byte of an answer.
func TestOrderIsKeptAcrossConnections(t *testing.T) {
	t.Parallel()
	for _, answer := range []struct{ name, message string }{
		{"length", string(mirrortest.Message(200, strings.Repeat("x", 40<<10)))},
		{"empty", string(mirrortest.Message(200, ""))},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"not modified", "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n"},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"},
		{"trailers", "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n"},
	} {
		t.Run(answer.name, func(t *testing.T) {
			t.Parallel()
			primary := mirrortest.NewBackend(t, mirrortest.Raw([]byte(answer.message)))
			candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
			r := start(t, ordered(primary.URL, candidate.URL))
			const n = 100
			for i := range n {
				client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
				req, _ := http.NewRequestWithContext(t.Context(), "GET", fmt.Sprintf("%s/%d", r.URL, i), nil)
				req.AddCookie(&http.Cookie{Name: "sid", Value: "alice"})
				res, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
			r.settled(n)
			for i, seen := range candidate.Seen() {
				if want := fmt.Sprintf("/%d", i); seen.Target != want {
					t.Fatalf("request %d at the candidate is %s", i, seen.Target)
				}
			}
			for range n {
				if x := r.next(); x.Concurrent {
					t.Fatalf("%s is said to overlap", x.Legs[parallax.Candidate].Request.Target)
				}
			}
		})
	}
}

// A candidate that hangs costs callers nothing and holds no more than the lanes
// may; once it is well again, so are the lanes.
func TestHangingShadowWithOrder(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.JSON(`{"ok":true}`))
	candidate := mirrortest.NewBackend(t, mirrortest.Hang)
	cfg := ordered(primary.URL, candidate.URL)
	cfg.Mirror.Timeout = time.Hour
	r := start(t, cfg)
	const n = 200
	for i := range n {
		if res, body := r.do("PUT", "/a", "x", alice); res.StatusCode != 200 || body != `{"ok":true}` {
			t.Fatalf("request %d: the caller got %d %q", i, res.StatusCode, body)
		}
	}
	waitFor(t, "one to be at the candidate, 64 in the lane, the others dropped", func() bool {
		places := r.Ledger.Places()
		return places[parallax.InShadow] == 1 && places[parallax.InLane] == 64 && places[parallax.LostLane] == n-65
	})
	r.do("PUT", "/b", "x", bob)
	candidate.Wait(t, 2) // bob's lane is another
	candidate.Stop()
	r.settled(n + 1)
	waitFor(t, "the bytes of all copies to come back", func() bool { return r.Budget.InUse() == 0 })
}

// What waits in a lane may hold four bodies and heads, whatever callers send.
func TestBytesInLanesAreBounded(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Sized(30<<10))
	candidate := mirrortest.NewBackend(t, mirrortest.Hang)
	cfg := ordered(primary.URL, candidate.URL)
	cfg.Mirror.Timeout = time.Hour
	cfg.Mirror.MaxBody = 64 << 10
	r := start(t, cfg)
	const n = 40
	for range n {
		r.do("PUT", "/a", strings.Repeat("x", 60<<10), alice)
	}
	places := r.atShadows(1)
	const room = 4 * (64<<10 + 64<<10)
	if held := r.Budget.InUse(); held > room+2*(64<<10) {
		t.Errorf("%d bytes are held: want at most %d in the lane, and one exchange at the candidate", held, room)
	}
	if places[parallax.InLane] < 2 || places[parallax.LostLane] != n-1-places[parallax.InLane] {
		t.Errorf("places %v: want what does not fit dropped", places)
	}
	candidate.Stop()
	r.settled(n)
}

// A lane's patience ends: whoever waited too long is dropped, and counted.
func TestWaitsInLanesEnd(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Hang)
	secondary := mirrortest.NewBackend(t, mirrortest.Status(200))
	cfg := ordered(primary.URL, candidate.URL)
	cfg.Secondary = at(secondary.URL, mirror.Own)
	cfg.Mirror.Timeout = 500 * time.Millisecond
	r := start(t, cfg)
	const n = 12
	for range n {
		r.do("PUT", "/a", "x", alice)
	}
	// 500 ms each, one after the other; after 1 s the rest is dropped, on a machine that stalls all but the first.
	places := r.settled(n)
	if lost := places[parallax.LostLane]; lost == 0 || lost > n-1 || places[parallax.InQueue] != n-lost {
		t.Errorf("places %v: want those lost for whom it took too long", places)
	}
	if n := secondary.Count(); n != 12 {
		t.Errorf("the secondary was asked %d times: the candidate's lane held it up", n)
	}
}

// A secondary that hangs holds up neither the candidate nor what is compared.
func TestTheSecondaryHasLanesOfItsOwn(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	secondary := mirrortest.NewBackend(t, mirrortest.Hang)
	cfg := ordered(primary.URL, candidate.URL)
	cfg.Secondary = at(secondary.URL, mirror.Own)
	cfg.Mirror.Timeout = time.Hour
	r := start(t, cfg)
	const n = 70
	for range n {
		r.do("PUT", "/a", "x", alice)
	}
	candidate.Wait(t, n)
	err := r.Ledger.Wait(t.Context(), func(places map[parallax.Place]int) bool { return places[parallax.InQueue] == n-65 })
	if err != nil {
		t.Error(err) // the five whose turn at the secondary was dropped are compared without it
	}
	for range n - 65 {
		if c := r.next().Legs[parallax.Secondary]; c == nil || c.Err.Kind != parallax.NotAsked {
			t.Errorf("the secondary's call is %+v", c)
		}
	}
	secondary.Stop()
	if places := r.settled(n); places[parallax.InQueue] != n {
		t.Errorf("places %v", places)
	}
}

// What is never mirrored takes no turn: it neither waits nor is waited for.
func TestUnmirroredRequestsAreInNoLane(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(503))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, ordered(primary.URL, candidate.URL))
	r.do("PUT", "/a", "x", alice) // rejected: it had a turn, and gave it back
	r.do("TRACE", "/a", "", alice)
	primary.Become(mirrortest.Status(200))
	r.do("GET", "/a", "", alice)
	places := r.settled(3)
	if places[parallax.InQueue] != 1 || places[parallax.UnmirroredRejected] != 1 || places[parallax.UnmirroredUnsafe] != 1 || candidate.Count() != 1 {
		t.Errorf("places %v", places)
	}
}

// A shutdown ends every wait, and everything is accounted for.
func TestShutdownEndsWaitsInLanes(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Hang)
	cfg := ordered(primary.URL, candidate.URL)
	cfg.Mirror.Timeout = 5 * time.Second
	r := start(t, cfg)
	for range 10 {
		r.do("PUT", "/a", "x", alice)
	}
	r.atShadows(1)
	r.Stop() // checks the books
	places := r.Ledger.Places()
	if places[parallax.InLane]+places[parallax.InShadow]+places[parallax.InLive] != 0 || places[parallax.LostShutdown] == 0 {
		t.Errorf("places %v: want the rest lost to the shutdown", places)
	}
}

// A turn at a leg whose breaker is open ends at once, so that nothing waits for
// what is not asked.
func TestAnOpenBreakerHoldsUpNoLane(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	release := make(chan struct{})
	candidate := mirrortest.NewBackend(t, mirrortest.Held(release, mirrortest.Reset))
	cfg := ordered(primary.URL, candidate.URL)
	cfg.Mirror.Timeout = time.Hour
	cfg.Candidate.Breaker = mirror.Breaker{Failures: 1, Of: 1, OpenFor: time.Hour, HalfOpen: 1}
	r := start(t, cfg)
	const n = 20
	for range n {
		r.do("PUT", "/a", "x", alice)
	}
	if places := r.atShadows(1); places[parallax.InLane] != n-1 {
		t.Errorf("places %v: want all but the first in the lane", places)
	}
	close(release)
	if places := r.settled(n); places[parallax.InQueue] != 1 || places[parallax.LostBreakerOpen] != n-1 {
		t.Errorf("places %v: want all that waited given up by the breaker", places)
	}
}
