package mirror_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

// The end of an answer of unknown length is the end of the exchange, so there is
// no wait before it.
func TestEarlyStreamIsNotHeldBack(t *testing.T) {
	t.Parallel()
	stream := "HTTP/1.1 413 Too Large\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"
	primary := mirrortest.NewBackend(t, mirrortest.Closing([]byte(stream))).AnswerEarly()
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
	least := time.Hour
	for i := 0; i < 20 && least >= 50*time.Millisecond; i++ {
		began := time.Now()
		in, conn := r.raw("POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nno more than this")
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); string(body) != "no" || err != nil {
			t.Fatalf("the caller got %q, %v", body, err)
		}
		least = min(least, time.Since(began))
		conn.Close()
	}
	if least >= 50*time.Millisecond {
		t.Errorf("the fastest of many answers took %s", least)
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
	for range requests {
		r.do("GET", "/orders/1", "")
	}
	candidate.Wait(t, requests)
	for range requests - limit {
		x := r.next()
		s := x.Legs[parallax.Secondary]
		if x.Legs[parallax.Candidate].Response.Status != 200 || s == nil || s.Err.Kind != parallax.NotAsked || !strings.Contains(s.Err.Text, "in_flight") {
			t.Fatalf("candidate %+v, secondary %+v", x.Legs[parallax.Candidate], s)
		}
	}
	if places := r.Ledger.Places(); places[parallax.InShadow] != limit || places[parallax.UnmirroredConcurrency] != 0 {
		t.Errorf("places %v, want %d that wait for the secondary and none given up", places, limit)
	}
	secondary.Stop()
	r.settled(requests)
}

// Without room for the leg that is compared, or for the only one, there is
// nothing to ask the others for.
func TestAFullLegGivesUpTheExchange(t *testing.T) {
	t.Parallel()
	f := func(candidate, secondary mirrortest.Answer) {
		t.Helper()
		primary := mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
		s := mirrortest.NewBackend(t, secondary)
		hanging := s
		cfg := mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: at(primary.URL, ""), Secondary: at(s.URL, "")}
		cfg.Mirror.Timeout, cfg.Mirror.InFlight = time.Hour, 1
		if candidate != nil {
			hanging = mirrortest.NewBackend(t, candidate)
			cfg.Candidate = at(hanging.URL, "")
		}
		r := start(t, cfg)
		r.do("GET", "/", "")
		hanging.Wait(t, 1)
		s.Wait(t, 1)
		r.do("GET", "/", "")
		if places := r.Ledger.Places(); places[parallax.UnmirroredConcurrency] != 1 || places[parallax.InShadow] != 1 {
			t.Errorf("places %v", places)
		}
		hanging.Stop()
		r.settled(2)
		if s.Count() != 1 || hanging.Count() != 1 {
			t.Errorf("the secondary was asked %d times, the full leg %d", s.Count(), hanging.Count())
		}
	}
	f(mirrortest.Hang, mirrortest.JSON(`{}`))
	f(nil, mirrortest.Hang)
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
	cfg := mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: mirror.LegConfig{URLs: []string{mirrortest.Refused(t), up.URL}}}
	if res, _ := start(t, cfg).do("GET", "/", ""); res.StatusCode != 200 || up.Count() != 1 {
		t.Errorf("with one of two instances down the caller got %d", res.StatusCode)
	}
}

func TestReservedNamesDoNotPassAsTrailers(t *testing.T) {
	t.Parallel()
	answer := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\n" +
		"X-Sum: 9\r\nConnection: close\r\nKeep-Alive: 5\r\nUpgrade: x\r\n\r\n"
	primary := mirrortest.NewBackend(t, mirrortest.Raw([]byte(answer)))
	candidate := mirrortest.NewBackend(t, mirrortest.Raw([]byte(answer)))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
	in, _ := r.raw("POST /orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" +
		"Trailer: X-Sum, X-Parallax-Role, Baggage, traceparent, Connection\r\n\r\n5\r\nhello\r\n0\r\n" +
		"X-Sum: 9\r\nX-Parallax-Role: shadow\r\nx-parallax-leg: candidate\r\nBaggage: parallax-role=x\r\n" +
		"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nHost: evil\r\nConnection: x\r\nTe: y\r\n\r\n")
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	want := http.Header{"X-Sum": {"9"}}
	if diff := cmp.Diff(want, res.Trailer); diff != "" {
		t.Errorf("the caller got other trailers (-want +got):\n%s", diff)
	}
	x := r.next()
	for leg, b := range []*mirrortest.Backend{parallax.Primary: primary, parallax.Candidate: candidate} {
		var trailers []string
		announced := ""
		for _, line := range b.Seen()[0].Head {
			if text, ok := strings.CutPrefix(line, "trailer "); ok {
				trailers = append(trailers, text)
			}
			if text, ok := strings.CutPrefix(line, "Trailer: "); ok {
				announced = text
			}
		}
		if diff := cmp.Diff([]string{"X-Sum: 9"}, trailers); diff != "" || announced != "X-Sum" {
			t.Errorf("the %s got trailers announced as %q (-want +got):\n%s", parallax.Leg(leg), announced, diff)
		}
		if diff := cmp.Diff([]parallax.Field{{Name: "X-Sum", Value: "9"}}, x.Legs[leg].Response.Trailers); diff != "" {
			t.Errorf("the exchange has other trailers of the %s (-want +got):\n%s", parallax.Leg(leg), diff)
		}
	}
}
