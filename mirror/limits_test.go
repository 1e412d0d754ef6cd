package mirror_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// An early answer is with the caller while the rest of the request is waited
// for, so that mirroring does not hold it back.
func TestEarlyAnswerDoesNotWaitForTheRequest(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Closing(mirrortest.Message(413, "too much", "Connection: close"))).AnswerEarly()
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
	waiting := false
	for i := 0; i < 20 && !waiting; i++ { // the wait is short, and this machine may be slow
		in, conn := r.raw("POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nno more than this")
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		waiting = r.Ledger.Places()[parallax.InLive] > 0
		if err != nil || res.StatusCode != 413 || string(body) != "too much" {
			t.Fatalf("the caller got %d %q, %v", res.StatusCode, body, err)
		}
		conn.Close()
		r.settled(i + 1)
	}
	if !waiting {
		t.Error("the answer came only after the wait for the rest of the request")
	}
}

func TestAHangingSecondaryStopsNoComparison(t *testing.T) {
	t.Parallel()
	const requests, limit = 40, 8
	primary := mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
	candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
	secondary := mirrortest.NewBackend(t, mirrortest.Hang)
	cfg := pair(primary.URL, candidate.URL, mirror.Own)
	cfg.Secondary = at(secondary.URL, mirror.Shared)
	cfg.Mirror.Timeout, cfg.Mirror.InFlight = time.Hour, limit
	r := start(t, cfg)
	for i := range requests {
		r.do("GET", "/orders/1", "")
		candidate.Wait(t, i+1) // or it would be the one without room
	}
	for range requests - limit {
		x := r.next()
		s := x.Legs[parallax.Secondary]
		if x.Legs[parallax.Candidate].Response.Status != 200 || s == nil || s.Err.Kind != parallax.NotAsked || !strings.Contains(s.Err.Text, "in_flight") {
			t.Fatalf("candidate %+v, secondary %+v", x.Legs[parallax.Candidate], s)
		}
	}
	if places := r.atShadows(limit); places[parallax.UnmirroredConcurrency] != 0 {
		t.Errorf("places %v, want %d that wait for the secondary and none given up", places, limit)
	}
	secondary.Stop()
	r.settled(requests)
}

// Without room for the leg that is compared, or for the only one, there is
// nothing to ask the others for. What they would have taken stays free.
func TestAFullLegGivesUpTheExchange(t *testing.T) {
	t.Parallel()
	f := func(withCandidate bool) {
		t.Helper()
		release := make(chan struct{})
		full := mirrortest.NewBackend(t, mirrortest.Held(release, mirrortest.JSON(`{}`)))
		other := mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
		cfg := mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: at(mirrortest.NewBackend(t, mirrortest.JSON(`{}`)).URL, "")}
		cfg.Mirror.Timeout, cfg.Mirror.InFlight = time.Hour, 1
		cfg.Secondary = at(full.URL, "")
		if withCandidate {
			cfg.Candidate, cfg.Secondary = at(full.URL, ""), at(other.URL, "")
		}
		r := start(t, cfg)
		r.do("GET", "/", "")
		full.Wait(t, 1)
		if withCandidate {
			other.Wait(t, 1)
		}
		r.do("GET", "/", "")
		if places := r.atShadows(1); places[parallax.UnmirroredConcurrency] != 1 {
			t.Errorf("places %v", places)
		}
		close(release)
		r.settled(2)
		r.do("GET", "/", "")
		r.settled(3)
		for range 2 {
			for leg, c := range r.next().Legs {
				if c != nil && c.Err.Kind != parallax.NoError {
					t.Errorf("the %s was not asked: %v", parallax.Leg(leg), c.Err)
				}
			}
		}
		if full.Count() != 2 || withCandidate && other.Count() != 2 {
			t.Errorf("the full leg was asked %d times, the other %d", full.Count(), other.Count())
		}
	}
	f(true)
	f(false)
}

// Callers who send their bodies slowly, or never, hold no slot.
func TestIdleCallersDoNotStopMirroring(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
	candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
	cfg := pair(primary.URL, candidate.URL, mirror.Own)
	cfg.Mirror.InFlight = 1
	r := start(t, cfg)
	const idle = 4
	var finish []func()
	for range idle {
		_, conn := r.raw("GET /search HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nhal")
		finish = append(finish, func() { io.WriteString(conn, "f") })
	}
	err := r.Ledger.Wait(t.Context(), func(p map[parallax.Place]int) bool { return p[parallax.InLive] == idle })
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		r.do("GET", "/orders/1", "")
		if x := r.next(); x.Endpoint != "GET /orders/{id}" {
			t.Errorf("%s was mirrored", x.Endpoint)
		}
	}
	for _, f := range finish { // one after another: there is one slot
		f()
		if x := r.next(); string(x.Legs[parallax.Candidate].Request.Body.Bytes) != "half" {
			t.Errorf("the candidate got %q", x.Legs[parallax.Candidate].Request.Body.Bytes)
		}
	}
}

// A slot that is missed once the body is complete is counted like any other.
func TestALateBodyMayFindNoSlot(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
	candidate := mirrortest.NewBackend(t, mirrortest.Hang)
	cfg := pair(primary.URL, candidate.URL, mirror.Own)
	cfg.Mirror.Timeout, cfg.Mirror.InFlight = time.Hour, 1
	r := start(t, cfg)
	_, conn := r.raw("GET /search HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nhal")
	r.do("GET", "/orders/1", "")
	candidate.Wait(t, 1)
	io.WriteString(conn, "f")
	err := r.Ledger.Wait(t.Context(), func(p map[parallax.Place]int) bool { return p[parallax.UnmirroredConcurrency] == 1 })
	if err != nil {
		t.Error(err)
	}
	candidate.Stop()
	r.settled(2)
}

// A leg that breaks a connection on its first request is asked once: it may have
// acted on the request. One that was never reached is another matter.
func TestAFreshConnectionIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	for _, dies := range []mirrortest.Answer{mirrortest.Reset, mirrortest.Closing(nil)} {
		primary := mirrortest.NewBackend(t, dies)
		r := start(t, mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: at(primary.URL, "")})
		if res, _ := r.do("GET", "/", ""); res.StatusCode != 502 || primary.Count() != 1 {
			t.Errorf("the caller got %d, the primary was asked %d times", res.StatusCode, primary.Count())
		}
	}
	up := mirrortest.NewBackend(t, mirrortest.Status(200))
	cfg := mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: mirror.LegConfig{URLs: mirror.LegURLs(mirrortest.Refused(t), up.URL)}}
	if res, _ := start(t, cfg).do("GET", "/", ""); res.StatusCode != 200 || up.Count() != 1 {
		t.Errorf("with one of two instances down the caller got %d", res.StatusCode)
	}
}
