package mirror_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

func TestHeadersKeepOrderAndCase(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
	in, _ := r.raw("POST /orders HTTP/1.1\r\nx-zebra: 1\r\nHost: shop.example\r\nACCEPT: */*\r\nKeep-Alive: 5\r\nX-Multi: b\r\n" +
		"Connection: keep-alive, x-hop\r\ncontent-LENGTH: 2\r\nX-Hop: 1\r\nx-multi: a\r\nX-Multi: b\r\nTE: gzip\r\ncookie: q=1; p=2\r\nX-Empty:\r\n\r\n{}")
	if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 200 {
		t.Fatalf("%v, %v", res, err)
	}
	want := []string{
		"Host: shop.example", "x-zebra: 1", "ACCEPT: */*", "X-Multi: b", "content-LENGTH: 2",
		"x-multi: a", "X-Multi: b", "cookie: q=1; p=2", "X-Empty: ",
		"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: shop.example",
	}
	for leg, b := range map[string]*mirrortest.Backend{"primary": primary, "candidate": candidate} {
		head := b.Wait(t, 1)[0].Head
		head = head[:min(len(head), len(want))]
		if diff := cmp.Diff(want, head); diff != "" {
			t.Errorf("the %s got another head (-want +got):\n%s", leg, diff)
		}
	}
	r.next()
}

// Informational answers pass while the answer is still being made.
func TestInformationalAnswersPassAtOnce(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	hints := func(_ *mirrortest.Backend, conn net.Conn, _ *mirrortest.Seen) bool {
		io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n")
		<-release
		conn.Write(mirrortest.Message(200, "done"))
		return true
	}
	primary := mirrortest.NewBackend(t, hints)
	candidate := mirrortest.NewBackend(t, hints)
	r := start(t, pair(primary.URL, candidate.URL, mirror.Shared))
	in, _ := r.raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if got, want := head(t, in), "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n"; got != want {
		t.Errorf("the caller got %q, want %q", got, want)
	}
	close(release)
	if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 200 {
		t.Errorf("after the hints: %v, %v", res, err)
	}
	for leg, c := range r.next().Legs {
		if c != nil && c.Response.Status != 200 {
			t.Errorf("leg %d is said to have answered %d", leg, c.Response.Status)
		}
	}
}

// The head of an answer passes before its body has begun, whether its length is
// known or not.
func TestHeadsPassAtOnce(t *testing.T) {
	t.Parallel()
	for _, framing := range []string{"Content-Length: 2", "Transfer-Encoding: chunked"} {
		release := make(chan struct{})
		primary := mirrortest.NewBackend(t, func(_ *mirrortest.Backend, conn net.Conn, _ *mirrortest.Seen) bool {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+framing+"\r\n\r\n")
			<-release
			if framing == "Content-Length: 2" {
				io.WriteString(conn, "hi")
			} else {
				io.WriteString(conn, "2\r\nhi\r\n0\r\n\r\n")
			}
			return true
		})
		r := start(t, mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: at(primary.URL, "")})
		in, _ := r.raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if got := head(t, in); got != "HTTP/1.1 200 OK\r\n"+framing+"\r\n\r\n" {
			t.Errorf("%s: the caller got %q", framing, got)
		}
		close(release)
		r.settled(1)
	}
}

// head reads up to the next empty line.
func head(t *testing.T, in *bufio.Reader) string {
	t.Helper()
	var text strings.Builder
	for {
		line, err := in.ReadString('\n')
		text.WriteString(line)
		if err != nil {
			t.Fatalf("after %q: %v", text.String(), err)
		}
		if line == "\r\n" {
			return text.String()
		}
	}
}

// What two readers could take for two different requests reaches no leg, and
// neither does what follows it on the connection.
func TestAmbiguousRequestsReachNoLeg(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	registry := prometheus.NewRegistry()
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own), func(d *mirror.Deps) { d.Metrics = mirror.NewMetrics(registry) })
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	refused := map[string]int{}
	f := func(status int, request string) {
		t.Helper()
		in, conn := r.raw(request + smuggled)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Errorf("%q: %v", request, err)
			return
		}
		if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != status || !res.Close {
			t.Errorf("%q: answered %d %q, %v, closed %t; want %d", request, res.StatusCode, body, err, res.Close, status)
		}
		if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
			t.Errorf("%q: after the answer comes %q, %v", request, rest, err)
		}
		conn.Close()
		refused[fmt.Sprint(status)]++
	}
	post := "POST /orders HTTP/1.1\r\nHost: a\r\n"
	f(400, post+"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f(400, post+"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n")
	f(400, post+"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello")
	f(400, post+"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello")
	f(400, post+"Content-Length: 5, 5\r\n\r\nhello")
	f(400, post+"Content-Length: +5\r\n\r\nhello")
	f(400, post+"Content-Length: 0x5\r\n\r\nhello")
	f(400, post+"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n")
	f(400, post+"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n")
	f(400, post+"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n")
	f(400, post+"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n")
	f(400, "POST /orders HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f(400, post+"X: a\rTransfer-Encoding: chunked\r\n\r\n")
	f(400, post+"X: a\nTransfer-Encoding: chunked\r\n\r\n")
	f(400, post+"X: a\r\n b\r\n\r\n")
	f(400, post+"Content-Length: 5\r\n 5\r\n\r\nhello")
	f(400, post+"Content-Length : 5\r\n\r\nhello")
	f(400, post+" Content-Length: 5\r\n\r\nhello")
	f(400, post+"Host: b\r\n\r\n")
	f(400, post+"X\x00: a\r\n\r\n")
	f(400, "GET / HTTP/1.1\r\n\r\n")
	f(400, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n")
	f(505, "GET / HTTP/1.9\r\nHost: a\r\n\r\n")
	f(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	f(417, post+"Content-Length: 5\r\nExpect: magic\r\n\r\nhello")
	f(431, post+"X: "+strings.Repeat("x", 70<<10)+"\r\n\r\n")

	if primary.Count() != 0 || candidate.Count() != 0 || r.Ledger.Received() != 0 {
		t.Errorf("the legs were asked %d and %d times, %d requests were received", primary.Count(), candidate.Count(), r.Ledger.Received())
	}
	want := "# HELP parallax_refused_total Requests that could not be understood as HTTP/1.1 and were answered with status; none of them counts as received.\n" +
		"# TYPE parallax_refused_total counter\n"
	for _, status := range slices.Sorted(maps.Keys(refused)) {
		want += fmt.Sprintf("parallax_refused_total{service=\"shop\",status=%q} %d\n", status, refused[status])
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "parallax_refused_total"); err != nil {
		t.Error(err)
	}
}

// Health checks often speak HTTP/1.0 and name no host; a leg gets its own.
func TestACallerNeedNotNameAHost(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
	in, _ := r.raw("GET / HTTP/1.0\r\n\r\n")
	if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 200 {
		t.Fatalf("%v, %v", res, err)
	}
	r.next()
	for _, b := range []*mirrortest.Backend{primary, candidate} {
		got := b.Wait(t, 1)[0].Header
		if "http://"+got.Get("Host") != b.URL || len(got["X-Forwarded-Host"]) != 0 {
			t.Errorf("the leg at %s got Host %q, X-Forwarded-Host %q", b.URL, got.Get("Host"), got["X-Forwarded-Host"])
		}
	}
}
