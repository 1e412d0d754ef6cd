package mirror_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

func TestLiveLegDown(t *testing.T) {
	t.Parallel()
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(mirrortest.Refused(t), candidate.URL, mirror.Own))
	res, body := r.do("GET", "/", "")
	if res.StatusCode != 502 || res.Header.Get("Content-Type") != "application/problem+json" || strings.Contains(body, "127.0.0.1") {
		t.Errorf("caller got %d %s %s", res.StatusCode, res.Header.Get("Content-Type"), body)
	}
	if x := r.next(); x.Legs[parallax.Primary].Err.Kind != parallax.Refused || x.Legs[parallax.Candidate].Response.Status != 200 {
		t.Errorf("exchange says %v", x.Legs[parallax.Primary].Err)
	}
	r.do("POST", "/orders", "{}")
	if places := r.settled(2); places[parallax.UnmirroredRejected] != 1 || candidate.Count() != 1 {
		t.Errorf("places %v, candidate asked %d times", places, candidate.Count())
	}
	if status := r.Mirror.Legs()[0]; status.LastError == nil || status.LastError.Kind != parallax.Refused {
		t.Errorf("status %+v", status)
	}
}

func TestLiveLegBreaksMidAnswer(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Lie)
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Shared))
	in, _ := r.raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); err == nil || string(body) != "only this" {
		t.Errorf("caller got %q, %v: want a visible break", body, err)
	}
	x := r.next()
	if p := x.Legs[parallax.Primary]; p.Err.Kind != parallax.Reset || !p.Response.Body.Cut || string(p.Response.Body.Bytes) != "only this" {
		t.Errorf("primary's call %+v", p)
	}
}

func TestLiveLegLate(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Hang)
	cfg := mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: at(primary.URL, "")}
	cfg.Primary.Timeout = 20e6
	r := start(t, cfg)
	if res, _ := r.do("GET", "/", ""); res.StatusCode != 504 {
		t.Errorf("caller got %d, want 504", res.StatusCode)
	}
}

// A safe request without a body may go to the live leg once more, which is
// counted; nothing else is ever repeated.
func TestNoLegIsAskedTwiceSilently(t *testing.T) {
	t.Parallel()
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
		"OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nIdempotency-Key: k\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nIdempotency-Key: k\r\n\r\nab",
	} {
		for _, dies := range []mirrortest.Answer{mirrortest.Reset, mirrortest.Closing(nil)} {
			primary := mirrortest.NewBackend(t, mirrortest.Status(200))
			candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
			r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
			r.do("GET", "/", "") // leaves a connection to use again
			r.next()
			primary.Become(dies)
			candidate.Become(dies)
			in, conn := r.raw(request)
			if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 502 {
				t.Errorf("%q: %v, %v", request, res, err)
			}
			conn.Close() // a shutdown leaves idle connections a while
			r.Stop()
			again := 0
			if !strings.HasPrefix(request, "POST") {
				again = 1
			}
			if p, c := primary.Count(), candidate.Count(); p != 2+again || c > 2 {
				t.Errorf("%q: the legs were asked %d and %d times, want %d and at most once after the first", request, p-1, c-1, 1+again)
			}
			if accepted, _ := primary.Connections(); accepted != 1+again {
				t.Errorf("%q: the primary saw %d connections, so the test did not use one again", request, accepted)
			}
		}
	}
}

// TestClosedIdleConnectionCostsNoCaller has a primary that closes a connection
// just as a request comes on it.
func TestClosedIdleConnectionCostsNoCaller(t *testing.T) {
	t.Parallel()
	once := func(b *mirrortest.Backend, conn net.Conn, seen *mirrortest.Seen) bool {
		b.Become(mirrortest.Status(200))
		return mirrortest.Closing(nil)(b, conn, seen)
	}
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	registry := prometheus.NewRegistry()
	r := start(t, mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: at(primary.URL, "")}, func(d *mirror.Deps) {
		d.Metrics = mirror.NewMetrics(registry)
	})
	r.do("GET", "/", "")
	primary.Become(once)
	if res, _ := r.do("GET", "/", ""); res.StatusCode != 200 {
		t.Errorf("caller got %d, want 200", res.StatusCode)
	}
	r.settled(2) // the caller does not wait for the count
	const want = `
# HELP parallax_requests_total Requests sent to a leg; code is the answer's status, or why there was no complete answer.
# TYPE parallax_requests_total counter
parallax_requests_total{code="200",endpoint="GET /",leg="primary",role="live",service="shop"} 2
parallax_requests_total{code="reset",endpoint="GET /",leg="primary",role="live",service="shop"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "parallax_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestCallerLeaves(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	primary := mirrortest.NewBackend(t, mirrortest.Held(release, mirrortest.Status(201)))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(201))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))

	leave := func(method, body string, n int) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, method, r.URL+"/orders", strings.NewReader(body))
		left := make(chan error)
		go func() {
			_, err := r.Client.Do(req)
			left <- err
		}()
		primary.Wait(t, n)
		cancel()
		if err := <-left; err == nil {
			t.Fatal("the caller did not leave")
		}
	}
	leave("GET", "", 1)
	x := r.next()
	if got := x.Legs[parallax.Primary].Err.Kind; got != parallax.CallerGone {
		t.Errorf("safe request: the live call ended with %q, want caller_gone", got)
	}
	if got := x.Legs[parallax.Candidate].Response.Status; got != 201 {
		t.Errorf("safe request: the shadow answered %d", got)
	}

	leave("POST", "{}", 2)
	close(release)
	x = r.next()
	if p := x.Legs[parallax.Primary]; p.Err.Kind != parallax.NoError || p.Response.Status != 201 || p.Response.Body.Cut {
		t.Errorf("unsafe request: the live call ended with %v, status %d", p.Err, p.Response.Status)
	}
	if got := x.Legs[parallax.Candidate].Response.Status; got != 201 {
		t.Errorf("unsafe request: the shadow answered %d", got)
	}
}

func TestUnfinishedRequestIsNotMirrored(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
	for _, request := range []string{
		"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nnot a hundred",
		"POST /orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"GET /search HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nnot a hundred",
	} {
		_, conn := r.raw(request)
		conn.Close()
	}
	places := r.settled(3)
	if places[parallax.UnmirroredUnfinished] != 3 || candidate.Count() != 0 {
		t.Errorf("places %v, candidate asked %d times", places, candidate.Count())
	}
}

// curl says in its own words that an answer is not complete, and that it left.
func TestAbortsOfCurl(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Lie)
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
	const partialFile, timedOut = 18, 28
	if got := curl(t, partialFile, r.URL+"/orders/1"); got != "only this" {
		t.Errorf("curl got %q", got)
	}
	r.next()
	primary.Become(mirrortest.Hang)
	curl(t, timedOut, "--max-time", "0.2", r.URL+"/orders/1")
	if kind := r.next().Legs[parallax.Primary].Err.Kind; kind != parallax.CallerGone {
		t.Errorf("the live call ended with %q, want caller_gone", kind)
	}
	primary.Stop()
	if got := curl(t, 0, "--output", os.DevNull, "--write-out", "%{http_code}", r.URL+"/orders/1"); got != "502" {
		t.Errorf("with the primary down curl got %s", got)
	}
}
