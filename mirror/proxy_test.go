package mirror_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

func TestExchangeHoldsBothAnswers(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Raw(mirrortest.Message(200, `{"id":17}`, "X-Version: 1.4", "Content-Type: application/json")))
	candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{"id":18}`))
	cfg := pair(primary.URL, candidate.URL, mirror.Shared)
	cfg.Primary.Version = "header:X-Version"
	cfg.Split.Key = "header:X-User"
	r := start(t, cfg)

	res, body := r.do("GET", "/orders/17?a=b", "", "X-User: alice")
	if res.StatusCode != 200 || body != `{"id":17}` {
		t.Fatalf("caller got %d %q", res.StatusCode, body)
	}
	x := r.next()
	if x.Endpoint != "GET /orders/{id}" || x.Service != "shop" || x.Live != parallax.Primary || x.User == [16]byte{} {
		t.Errorf("exchange %+v", x)
	}
	p, c := x.Legs[parallax.Primary], x.Legs[parallax.Candidate]
	if p == nil || c == nil || x.Legs[parallax.Secondary] != nil {
		t.Fatalf("legs %v", x.Legs)
	}
	if string(p.Response.Body.Bytes) != `{"id":17}` || string(c.Response.Body.Bytes) != `{"id":18}` {
		t.Errorf("bodies %q and %q", p.Response.Body.Bytes, c.Response.Body.Bytes)
	}
	if p.Version != "1.4" || p.Request.Target != "/orders/17?a=b" || p.Response.Body.Cut || p.Response.Body.Size != 9 {
		t.Errorf("primary's call %+v", p)
	}
	for _, call := range []*parallax.Call{p, c} {
		if !(call.Start < call.First && call.First <= call.Done) {
			t.Errorf("times %s %s %s", call.Start, call.First, call.Done)
		}
	}
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
		default:
			out = append(out, line)
		}
	}
	return out
}

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

func TestHeadersOfEachLeg(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	cfg := pair(primary.URL, candidate.URL, mirror.Own)
	cfg.Mirror.Request = mirror.RequestChanges{Set: map[string]string{"X-Shadow": "1"}, Remove: []string{"X-Drop"}}
	r := start(t, cfg)
	r.do("GET", "/orders/1", "",
		"X-Parallax-Role: shadow", "x-parallax-exchange: forged", "X-Parallax-Anything: x",
		"Baggage: tenant=7,parallax-role=shadow:shop:0:00", "X-Forwarded-For: 192.0.2.7",
		"Connection: X-Hop, keep-alive", "X-Hop: secret", "Keep-Alive: 5", "Te: trailers", "X-Drop: d",
		"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Upgrade: h2c")
	x := r.next()
	p, c := primary.Wait(t, 1)[0].Header, candidate.Wait(t, 1)[0].Header

	f := func(name, wantPrimary, wantCandidate string) {
		t.Helper()
		if got := p.Get(name); got != wantPrimary {
			t.Errorf("primary got %s: %q, want %q", name, got, wantPrimary)
		}
		if got := c.Get(name); got != wantCandidate {
			t.Errorf("candidate got %s: %q, want %q", name, got, wantCandidate)
		}
	}
	f("X-Parallax-Role", "live", "shadow")
	f("X-Parallax-Leg", "primary", "candidate")
	f("X-Parallax-Exchange", x.ID.String(), x.ID.String())
	f("X-Parallax-Anything", "", "")
	f("X-Forwarded-For", "192.0.2.7, 127.0.0.1", "192.0.2.7, 127.0.0.1")
	f("X-Forwarded-Proto", "http", "http")
	f("X-Hop", "", "")
	f("Keep-Alive", "", "")
	f("Upgrade", "", "")
	f("X-Drop", "d", "")
	f("X-Shadow", "", "1")
	f("Te", "trailers", "trailers")
	f("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if got := p.Get("Baggage"); !strings.HasPrefix(got, "tenant=7,parallax-role=live:shop:"+x.ID.String()+":1:") || strings.Count(got, "parallax-role") != 1 {
		t.Errorf("primary got Baggage %q", got)
	}
	if got := c.Get("Baggage"); !strings.HasPrefix(got, "tenant=7,parallax-role=shadow:shop:"+x.ID.String()+":1:") || strings.Count(got, "parallax-role") != 1 {
		t.Errorf("candidate got Baggage %q", got)
	}
}

func TestRedirectsAreTheCallersToFollow(t *testing.T) {
	t.Parallel()
	redirect := mirrortest.Raw(mirrortest.Message(302, "", "Location: /elsewhere"))
	primary, candidate := mirrortest.NewBackend(t, redirect), mirrortest.NewBackend(t, redirect)
	r := start(t, pair(primary.URL, candidate.URL, mirror.Shared))
	if res, _ := r.do("GET", "/", ""); res.StatusCode != 302 || res.Header.Get("Location") != "/elsewhere" {
		t.Errorf("caller got %d, Location %q", res.StatusCode, res.Header.Get("Location"))
	}
	x := r.next()
	if got := x.Legs[parallax.Candidate].Response.Status; got != 302 || primary.Count() != 1 || candidate.Count() != 1 {
		t.Errorf("candidate's status %d; the legs were asked %d and %d times", got, primary.Count(), candidate.Count())
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

func TestStreamsPassAtOnce(t *testing.T) {
	t.Parallel()
	step := make(chan string)
	stream := func(b *mirrortest.Backend, conn net.Conn, _ *mirrortest.Seen) bool {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		for event := range step {
			fmt.Fprintf(conn, "%x\r\n%s\r\n", len(event), event)
		}
		io.WriteString(conn, "0\r\n\r\n")
		return true
	}
	primary := mirrortest.NewBackend(t, stream)
	candidate := mirrortest.NewBackend(t, mirrortest.Hang)
	r := start(t, pair(primary.URL, candidate.URL, mirror.Shared))
	in, _ := r.raw("GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
	res, err := http.ReadResponse(in, nil) // the head comes before the first event
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(res.Body)
	for _, event := range []string{"data: 1\n", "data: 2\n"} {
		step <- event
		if got, err := lines.ReadString('\n'); got != event || err != nil {
			t.Fatalf("event %q arrived as %q, %v", event, got, err)
		}
	}
	close(step)
	if rest, err := io.ReadAll(lines); len(rest) > 0 || err != nil {
		t.Errorf("after the last event: %q, %v", rest, err)
	}
	candidate.Stop()
}

func TestRequestBodiesStream(t *testing.T) {
	t.Parallel()
	got := make(chan string)
	primary := mirrortest.NewBackend(t, func(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
		in := r.Rest
		for range 2 {
			in.ReadString('\n') // the chunk's length
			line, _ := in.ReadString('\n')
			got <- strings.TrimSpace(line)
		}
		conn.Write(mirrortest.Message(200, "thanks"))
		return false
	}).AnswerEarly()
	r := start(t, mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: at(primary.URL, "")})
	in, conn := r.raw("POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	for _, piece := range []string{"first", "second"} {
		fmt.Fprintf(conn, "%x\r\n%s\r\n", len(piece), piece)
		if arrived := <-got; arrived != piece {
			t.Fatalf("the leg got %q, want %q", arrived, piece)
		}
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("early answer: %v, %v", res, err)
	}
	if !res.Close {
		t.Error("the connection is kept although its request never ended")
	}
}

func TestContinueComesFromTheLiveLeg(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: at(primary.URL, "")})
	const head = "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"

	in, conn := r.raw(head)
	if line, err := in.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" || err != nil {
		t.Fatalf("a leg that agrees: %q, %v", line, err)
	}
	in.ReadString('\n')
	io.WriteString(conn, "body")
	if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 200 {
		t.Fatalf("after the body: %v, %v", res, err)
	}

	primary.AnswerEarly().Become(mirrortest.Closing(mirrortest.Message(417, "no")))
	for range 20 {
		in, _ = r.raw(head)
		if line, err := in.ReadString('\n'); line != "HTTP/1.1 417 Expectation Failed\r\n" || err != nil {
			t.Fatalf("a leg that refuses: %q, %v", line, err)
		}
		res, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader("HTTP/1.1 417 No\r\n"), in)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); string(body) != "no" || err != nil || !res.Close {
			t.Fatalf("a leg that refuses: body %q, %v, closed %t", body, err, res.Close)
		}
	}
}

func TestUpgradePassesThrough(t *testing.T) {
	t.Parallel()
	echo := func(_ *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+r.Header.Get("Upgrade")+"\r\n\r\n")
		io.Copy(conn, conn)
		return false
	}
	primary := mirrortest.NewBackend(t, echo)
	candidate := mirrortest.NewBackend(t, echo)
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
	in, conn := r.raw("GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly ")
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("Upgrade") != "websocket" {
		t.Fatalf("answer %v, %v", res, err)
	}
	io.WriteString(conn, "late")
	got := make([]byte, len("early late"))
	if _, err := io.ReadFull(in, got); err != nil || string(got) != "early late" {
		t.Errorf("echo %q, %v", got, err)
	}
	conn.Close()
	if places := r.settled(1); places[parallax.UnmirroredUpgrade] != 1 || candidate.Count() != 0 {
		t.Errorf("places %v, candidate asked %d times", places, candidate.Count())
	}
}

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

func TestBothDirectionsStreamAtOnce(t *testing.T) {
	t.Parallel()
	// A leg that echoes each piece as it comes, beginning before the request ends.
	primary := mirrortest.NewBackend(t, func(_ *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for {
			length, err := r.Rest.ReadString('\n')
			if err != nil {
				return false
			}
			piece, _ := r.Rest.ReadString('\n')
			fmt.Fprintf(conn, "%s%s", length, piece)
			if length == "0\r\n" {
				return false
			}
		}
	}).AnswerEarly()
	r := start(t, mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: at(primary.URL, "")})
	in, conn := r.raw("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range []string{"first", "second", "third"} {
		fmt.Fprintf(conn, "%x\r\n%s\r\n", len(piece), piece)
		got := make([]byte, len(piece))
		if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != piece {
			t.Fatalf("%q came back as %q, %v", piece, got, err)
		}
	}
	io.WriteString(conn, "0\r\n\r\n")
	if rest, err := io.ReadAll(res.Body); len(rest) > 0 || err != nil {
		t.Errorf("at the end: %q, %v", rest, err)
	}
}
