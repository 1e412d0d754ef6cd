package mirror_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

func TestFraming(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: at(primary.URL, "")})
	f := func(request, length, encoding string) {
		t.Helper()
		n := primary.Count()
		in, _ := r.raw(request)
		if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 200 {
			t.Fatalf("%q: %v %v", request, res, err)
		}
		got := primary.Wait(t, n+1)[n].Header
		if got.Get("Content-Length") != length || got.Get("Transfer-Encoding") != encoding {
			t.Errorf("%q arrived with Content-Length %q, Transfer-Encoding %q", request, got.Get("Content-Length"), got.Get("Transfer-Encoding"))
		}
	}
	f("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "", "")
	f("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "", "")
	f("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n", "", "")
	f("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "0", "")
	f("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nIdempotency-Key: k\r\n\r\n", "0", "")
	f("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", "2", "")
	f("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "", "chunked")
	f("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", "", "")
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
	f(505, "PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n")
	f(417, post+"Content-Length: 5\r\nExpect: magic\r\n\r\nhello")
	f(431, post+"X: "+strings.Repeat("x", 70<<10)+"\r\n\r\n")

	if primary.Count() != 0 || candidate.Count() != 0 || r.Ledger.Received() != 0 {
		t.Errorf("the legs were asked %d and %d times, %d requests were received", primary.Count(), candidate.Count(), r.Ledger.Received())
	}
	want := "# HELP parallax_refused_total " + refusedHelp + "\n" +
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

func TestCompressedBodiesPassAsTheyAre(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	io.WriteString(w, "hello")
	w.Close()
	answer := mirrortest.Raw(mirrortest.Message(200, zipped.String(), "Content-Encoding: gzip"))
	primary, candidate := mirrortest.NewBackend(t, answer), mirrortest.NewBackend(t, answer)
	r := start(t, pair(primary.URL, candidate.URL, mirror.Shared))
	res, body := r.do("GET", "/", "", "Accept-Encoding: gzip")
	if body != zipped.String() || res.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("caller got %d bytes, Content-Encoding %q", len(body), res.Header.Get("Content-Encoding"))
	}
	if x := r.next(); !bytes.Equal(x.Legs[parallax.Candidate].Response.Body.Bytes, zipped.Bytes()) {
		t.Error("the candidate's body was kept otherwise than it came")
	}
}

func TestAnswersPassAsTheyAre(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: at(primary.URL, "")})
	f := func(method, answer, want string) {
		t.Helper()
		primary.Become(mirrortest.Raw([]byte(answer)))
		in, _ := r.raw(method + " / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		got, err := io.ReadAll(in)
		if err != nil || string(got) != want {
			t.Errorf("%s %q: the caller got %q, %v", method, answer, got, err)
		}
	}
	f("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n")
	f("GET", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
	f("GET", "HTTP/1.1 200 OK\r\nserver: x\r\nX-B: 1\r\nx-a:  2 \r\ncontent-length: 2\r\nX-b: 3\r\n\r\nhi", "HTTP/1.1 200 OK\r\nserver: x\r\nX-B: 1\r\nx-a: 2\r\ncontent-length: 2\r\nX-b: 3\r\nConnection: close\r\n\r\nhi")
	f("GET", "HTTP/1.1 304 Not Modified\r\nEtag: \"1\"\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nEtag: \"1\"\r\nConnection: close\r\n\r\n")
	f("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: 5\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nhi", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: close\r\n\r\nhi")
	f("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 9\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 9\r\n\r\n")
}

func TestBothLegsGetTheSameBytes(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))

	for i, request := range []string{
		"GET /a%2Fb/./c//d?x;y=%zz HTTP/1.1\r\nHost: shop.example\r\n\r\n",
		"GET //a/../b? HTTP/1.1\r\nHost: shop.example\r\n\r\n",
		"GET /%7Euser/%E4?q=%00+a&q=b HTTP/1.1\r\nHost: shop.example\r\nX-Multi: 1\r\nX-Multi: 2\r\n\r\n",
		"GET http://shop.example/abs?x HTTP/1.1\r\nHost: shop.example\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: shop.example\r\n\r\n",
		"POST /orders HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\nIdempotency-Key: 1\r\n\r\n",
		"POST /orders HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 5\r\n\r\nhello",
		"POST /orders HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 9\r\n\r\n",
		"PUT /orders HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\n\r\n",
		"DELETE /orders HTTP/1.1\r\nHost: shop.example\r\n\r\n",
		"GET /search HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 2\r\n\r\n{}",
	} {
		in, _ := r.raw(request)
		res, err := http.ReadResponse(in, nil)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("%q: %v %v", request, res, err)
		}
		p, c := primary.Wait(t, i+1)[i], candidate.Wait(t, i+1)[i]
		if p.Line != c.Line || p.SHA256 != c.SHA256 || p.Size != c.Size {
			t.Errorf("%q\nprimary got   %q and %d bytes\ncandidate got %q and %d bytes", request, p.Line, p.Size, c.Line, c.Size)
		}
		if diff := cmp.Diff(endToEndLines(p), endToEndLines(c)); diff != "" {
			t.Errorf("%q: heads differ (-primary +candidate):\n%s", request, diff)
		}
		if want, _, _ := strings.Cut(request, "\r\n"); p.Line != strings.Replace(want, "http://shop.example", "", 1) {
			t.Errorf("sent %q, the primary got %q", want, p.Line)
		}
		if p.Header.Get("Host") != "shop.example" {
			t.Errorf("Host arrived as %q", p.Header.Get("Host"))
		}
		for _, line := range []string{"User-Agent", "Accept-Encoding"} {
			if _, ok := p.Header[line]; ok {
				t.Errorf("%s was made up: %q", line, p.Header[line])
			}
		}
	}
}

// endToEndLines are a head's lines without those that name the leg.
func endToEndLines(s *mirrortest.Seen) []string {
	var out []string
	for _, line := range s.Head {
		name, _, _ := strings.Cut(line, ":")
		switch strings.ToLower(name) {
		case "x-parallax-leg", "x-parallax-role", "baggage":
		case "traceparent":
			out = append(out, name) // each leg has its own
		default:
			out = append(out, line)
		}
	}
	return out
}

// What curl sends in each of its ways arrives at both legs as it was sent.
func TestFramingOfCurl(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
	file := filepath.Join(t.TempDir(), "upload")
	upload := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	if err := os.WriteFile(file, upload, 0o600); err != nil {
		t.Fatal(err)
	}
	n := 0
	f := func(line, length, encoding string, body []byte, args ...string) {
		t.Helper()
		if out := curl(t, 0, append(args, "--write-out", "%{http_code}", "--output", os.DevNull)...); out != "200" {
			t.Errorf("curl %q: answered %s", args, out)
		}
		for name, b := range map[string]*mirrortest.Backend{"primary": primary, "candidate": candidate} {
			got := b.Wait(t, n+1)[n]
			if got.Line != line+" HTTP/1.1" || got.SHA256 != sha256.Sum256(body) || got.Size != int64(len(body)) {
				t.Errorf("curl %q: the %s got %q and %d bytes", args, name, got.Line, got.Size)
			}
			if l, e := got.Header.Get("Content-Length"), got.Header.Get("Transfer-Encoding"); l != length || e != encoding {
				t.Errorf("curl %q: the %s got Content-Length %q, Transfer-Encoding %q", args, name, l, e)
			}
		}
		n++
	}
	f("GET /a/../%2e/b?x;y=%zz", "", "", nil, "--path-as-is", r.URL+"/a/../%2e/b?x;y=%zz")
	f("HEAD /orders/1", "", "", nil, "--head", r.URL+"/orders/1")
	f("OPTIONS *", "", "", nil, "--request", "OPTIONS", "--request-target", "*", r.URL)
	f("DELETE /orders/1", "", "", nil, "--request", "DELETE", r.URL+"/orders/1")
	f("POST /orders", "0", "", nil, "--data", "", r.URL+"/orders")
	f("POST /orders", "2", "", []byte("{}"), "--data", "{}", r.URL+"/orders")
	f("PUT /files/1", "65536", "", upload, "--upload-file", file, r.URL+"/files/1")
	f("PUT /files/1", "", "chunked", upload, "--upload-file", file, "--header", "Transfer-Encoding: chunked", r.URL+"/files/1")
	f("POST /files", "65536", "", upload, "--header", "Expect: 100-continue", "--data-binary", "@"+file, r.URL+"/files")
}
