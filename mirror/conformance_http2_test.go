package mirror_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// h2c returns a client that speaks HTTP/2 in the clear, by prior knowledge.
func h2c(t testing.TB) *http.Client {
	t.Helper()
	var speaks http.Protocols
	speaks.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &speaks, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// speaker starts a server of net/http that speaks HTTP/1.1 and HTTP/2, in the
// clear. It stops when the test ends.
func speaker(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.ErrorLog = quiet
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

// asksHTTP2 has both legs of a service spoken to by HTTP/2.
func asksHTTP2(cfg mirror.Service) mirror.Service {
	cfg.Primary.Protocol, cfg.Candidate.Protocol = mirror.ProtocolHTTP2, mirror.ProtocolHTTP2
	return cfg
}

// versions are the ways between caller and legs.
var versions = []struct {
	name        string
	caller, leg bool // by HTTP/2
}{{"1.1 to 1.1", false, false}, {"2 to 1.1", true, false}, {"1.1 to 2", false, true}, {"2 to 2", true, true}}

// Whatever is spoken on the two sides, a request and its answer arrive whole:
// target, fields, body, informational answers and trailers.
func TestEveryPairOfVersions(t *testing.T) {
	t.Parallel()
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			type seen struct{ Proto, Method, Target, Host, Body, Header, Trailer string }
			saw := make(chan seen, 2)
			leg := func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Errorf("a leg cannot read the body: %v", err)
				}
				saw <- seen{r.Proto, r.Method, r.RequestURI, r.Host, string(body), strings.Join(r.Header["X-Two"], "|"), r.Trailer.Get("X-Sum")}
				w.Header().Set("Link", "</a.css>; rel=preload")
				w.WriteHeader(103)
				w.Header().Set("Trailer", "X-Count")
				w.Header()["Date"] = nil
				io.WriteString(w, "answer")
				w.Header().Set("X-Count", "6")
			}
			cfg := pair(speaker(t, leg), speaker(t, leg), mirror.Own)
			if v.leg {
				cfg = asksHTTP2(cfg)
			}
			r := start(t, cfg)
			if v.caller {
				r.Client = h2c(t)
			}
			var hints []string
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
				hints = append(hints, fmt.Sprint(status, h.Get("Link")))
				return nil
			}})
			const target = "//orders/%7e7/../x?a=1;b=%zz&c"
			req, _ := http.NewRequestWithContext(ctx, "POST", r.URL, io.MultiReader(strings.NewReader("hello"), strings.NewReader(" you")))
			req.URL.Opaque = "//shop.example" + target
			req.Host = "shop.example"
			req.Header["X-Two"] = []string{"b", "a"}
			req.Trailer = http.Header{"X-Sum": {"9"}}
			res, err := r.Client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || string(body) != "answer" {
				t.Errorf("the caller got %q, %v", body, err)
			}
			if diff := cmp.Diff([]string{"103</a.css>; rel=preload"}, hints); diff != "" {
				t.Errorf("informational answers (-want +got):\n%s", diff)
			}
			if got := res.Trailer.Get("X-Count"); got != "6" {
				t.Errorf("the caller got trailer %q", got)
			}
			if res.Header["Date"] != nil {
				t.Errorf("a Date was made up: %q", res.Header["Date"])
			}
			want := seen{"HTTP/1.1", "POST", target, "shop.example", "hello you", "b|a", "9"}
			if v.leg {
				want.Proto = "HTTP/2.0"
			}
			x := r.next()
			for range 2 {
				if diff := cmp.Diff(want, <-saw); diff != "" {
					t.Errorf("a leg saw another request (-want +got):\n%s", diff)
				}
			}
			for _, c := range []*parallax.Call{x.Legs[0], x.Legs[1]} {
				if diff := cmp.Diff([]parallax.Field{{Name: "X-Count", Value: "6"}}, c.Response.Trailers); diff != "" || c.Request.Proto != want.Proto {
					t.Errorf("the exchange says %s, trailers (-want +got):\n%s", c.Request.Proto, diff)
				}
			}
		})
	}
}

// A leg that breaks off in the middle of its answer has the caller's stream
// reset, so that it sees that the answer is not complete; other streams of its
// connection go on.
func TestBrokenAnswersResetTheStream(t *testing.T) {
	t.Parallel()
	leg := func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "the beginning")
		if r.URL.Path == "/breaks" {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}
	for _, v := range versions[1:] {
		cfg := pair(speaker(t, leg), speaker(t, leg), mirror.Own)
		if v.leg {
			cfg = asksHTTP2(cfg)
		}
		r := start(t, cfg)
		if v.caller {
			r.Client = h2c(t)
		}
		for range 3 {
			res, err := r.Client.Get(r.URL + "/breaks")
			if err != nil {
				t.Fatalf("%s: %v", v.name, err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err == nil || string(body) != "the beginning" {
				t.Errorf("%s: the caller got %q, %v; want an answer that breaks off", v.name, body, err)
			}
			if _, body := r.do("GET", "/", ""); body != "the beginning" {
				t.Errorf("%s: the caller got %q", v.name, body)
			}
		}
		r.settled(6)
	}
}

// A caller that leaves ends a safe request on the live leg, and no unsafe one
// that is complete.
func TestCallersOverHTTP2ThatLeave(t *testing.T) {
	t.Parallel()
	arrived, ended, release := make(chan string), make(chan error, 1), make(chan struct{})
	leg := func(w http.ResponseWriter, r *http.Request) {
		arrived <- r.Method
		select {
		case <-r.Context().Done():
			ended <- r.Context().Err()
		case <-release:
			ended <- nil
		}
	}
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	cfg := pair(speaker(t, leg), candidate.URL, mirror.Own)
	cfg.Primary.Protocol = mirror.ProtocolHTTP2
	r := start(t, cfg)
	client := h2c(t)
	f := func(method string, want error) {
		t.Helper()
		ctx, leave := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, method, r.URL, strings.NewReader("{}"))
		gone := make(chan error)
		go func() {
			res, err := client.Do(req)
			if err == nil {
				res.Body.Close()
			}
			gone <- err
		}()
		<-arrived
		leave()
		<-gone
		if method == "POST" {
			close(release)
		}
		if err := <-ended; err != want {
			t.Errorf("%s: the leg saw %v, want %v", method, err, want)
		}
	}
	f("GET", context.Canceled)
	f("POST", nil)
	r.settled(2)
}

// Long bodies pass both ways whatever the windows, and arrive as they were.
func TestLongBodiesOverHTTP2(t *testing.T) {
	t.Parallel()
	const size = 20 << 20
	leg := func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(io.MultiWriter(sum, w), r.Body) // as it comes
		if n != size || err != nil {
			t.Errorf("a leg got %d bytes, %v", n, err)
		}
		w.Header().Set(http.TrailerPrefix+"X-Sum", hex.EncodeToString(sum.Sum(nil)))
	}
	cfg := asksHTTP2(pair(speaker(t, leg), mirrortest.Refused(t), mirror.Own))
	r := start(t, cfg)
	sent, got := sha256.New(), sha256.New()
	res, err := h2c(t).Post(r.URL, "text/plain", io.TeeReader(io.LimitReader(&digits{}, size), sent))
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(got, res.Body)
	res.Body.Close()
	want := hex.EncodeToString(sent.Sum(nil))
	if n != size || err != nil || hex.EncodeToString(got.Sum(nil)) != want || res.Trailer.Get("X-Sum") != want {
		t.Errorf("%d bytes came back, %v; sums %x, %s, want %s", n, err, got.Sum(nil), res.Trailer.Get("X-Sum"), want)
	}
	if places := r.settled(1); places[parallax.UnmirroredBodySize] != 1 {
		t.Errorf("places %v", places)
	}
}

// digits is a text that says where one is in it.
type digits struct{ n byte }

func (c *digits) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = c.n
		c.n++
	}
	return len(p), nil
}

// A shutdown lets streams finish and tells their connections to go elsewhere.
func TestStreamsFinishAtAShutdown(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	leg := func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		io.WriteString(w, "late")
	}
	r := start(t, pair(speaker(t, leg), mirrortest.Refused(t), mirror.Shared))
	client := h2c(t)
	got := make(chan string)
	go func() {
		res, err := client.Post(r.URL, "text/plain", strings.NewReader("x"))
		if err != nil {
			got <- err.Error()
			return
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		got <- string(body)
	}()
	<-arrived
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.Stop()
	}()
	for { // until nobody is let in
		conn, err := net.Dial("tcp", r.Addr)
		if err != nil {
			break
		}
		conn.Close()
	}
	close(release)
	if text := <-got; text != "late" {
		t.Errorf("the caller got %q", text)
	}
	<-stopped
}

// rawH2 opens a connection on which a test writes frames itself.
func (r *rig) rawH2() (*http2.Framer, func(id uint32, end bool, fields ...string)) {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.Addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		r.t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		r.t.Fatal(err)
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	return framer, func(id uint32, end bool, fields ...string) {
		block.Reset()
		for i := 0; i < len(fields); i += 2 {
			encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end})
	}
}

// statusOf reads frames until a stream is answered, or reset: then it is the
// error's name.
func statusOf(t testing.TB, framer *http2.Framer, id uint32) string {
	t.Helper()
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("stream %d: %v", id, err)
		}
		if frame.Header().StreamID != id {
			continue
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status")
		case *http2.RSTStreamFrame:
			return f.ErrCode.String()
		}
	}
}

func TestWhatIsRefusedOverHTTP2(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, mirrortest.Status(200)), mirrortest.NewBackend(t, mirrortest.Status(200))
	registry := prometheus.NewRegistry()
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own), func(d *mirror.Deps) { d.Metrics = mirror.NewMetrics(registry) })
	f := func(want string, fields ...string) {
		t.Helper()
		framer, write := r.rawH2()
		write(1, true, fields...)
		if got := statusOf(t, framer, 1); got != want {
			t.Errorf("%.60q: %s, want %s", fields, got, want)
		}
	}
	head := func(path string, more ...string) []string {
		return append([]string{":method", "GET", ":scheme", "http", ":authority", "shop.example", ":path", path}, more...)
	}
	long := strings.Repeat("x", 9<<10)
	f("431", head("/", "x-1", long, "x-2", long, "x-3", long, "x-4", long, "x-5", long, "x-6", long, "x-7", long, "x-8", long)...)
	f("400", head("/a#b")...)
	f("400", ":method", "GET", ":scheme", "http", ":authority", "a:b:c", ":path", "/")
	f("PROTOCOL_ERROR", head("/", "Upper", "case")...)
	f("400", head("/", "connection", "close")...) // by net/http itself, which does not tell
	f("PROTOCOL_ERROR", head("/", "x", "a\r\nb: c")...)
	f("PROTOCOL_ERROR", ":method", "GET", ":scheme", "http", ":path", "no-slash")
	f("PROTOCOL_ERROR", ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "a", ":path", "/")
	if primary.Count() != 0 || candidate.Count() != 0 || r.Ledger.Received() != 0 {
		t.Errorf("the legs were asked %d and %d times, %d received", primary.Count(), candidate.Count(), r.Ledger.Received())
	}
	want := "# HELP parallax_refused_total " + refusedHelp + "\n# TYPE parallax_refused_total counter\n" +
		`parallax_refused_total{service="shop",status="400"} 2` + "\n" + `parallax_refused_total{service="shop",status="431"} 1` + "\n"
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "parallax_refused_total"); err != nil {
		t.Error(err)
	}
	f("501", ":method", "CONNECT", ":authority", "elsewhere.example:443")
	f("200", head("/")...)
}

const refusedHelp = "Requests that could not be understood as HTTP, or were too large, and were answered with status; none of them counts as received."

// Streams that are begun and reset as fast as a caller can (CVE-2023-44487) cost
// their connection, not the others.
func TestRapidResetIsBounded(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var most, now atomic.Int64
	leg := func(w http.ResponseWriter, r *http.Request) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		if r.URL.Path == "/slow" {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		io.WriteString(w, "hello")
	}
	r := start(t, pair(speaker(t, leg), mirrortest.Refused(t), mirror.Own))
	framer, write := r.rawH2()
	over := make(chan error, 1)
	go func() {
		for {
			frame, err := framer.ReadFrame()
			if goodbye, ok := frame.(*http2.GoAwayFrame); ok && goodbye.ErrCode == http2.ErrCodeEnhanceYourCalm {
				err = io.EOF
			}
			if err != nil {
				over <- err
				return
			}
		}
	}()
	reset := 0
	for id := uint32(1); id < 40000; id += 2 {
		write(id, true, ":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/slow")
		if framer.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			break
		}
		reset++
	}
	if res, body := r.do("GET", "/", ""); res.StatusCode != 200 || body != "hello" {
		t.Errorf("another caller got %d %q", res.StatusCode, body)
	}
	if most.Load() > 300 {
		t.Errorf("%d requests at a time reached the leg, of %d that were reset", most.Load(), reset)
	}
	close(release)
	r.Stop()
	<-over
}

func TestCurlOverHTTP2(t *testing.T) {
	t.Parallel()
	var expects atomic.Int64
	leg := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Expect") != "" {
			expects.Add(1)
		}
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %s %d", r.Method, r.RequestURI, n)
	}
	r := start(t, pair(speaker(t, leg), speaker(t, leg), mirror.Own))
	f := func(want string, args ...string) {
		t.Helper()
		args = append([]string{"--http2-prior-knowledge", "--write-out", " %{http_version} %{response_code}"}, args...)
		if got := curl(t, 0, args...); got != want+" 2 200" {
			t.Errorf("curl %q: %q, want %q", args, got, want)
		}
	}
	f("GET /orders/7?a=b 0", r.URL+"/orders/7?a=b")
	f("POST /orders 5", "--data", "hello", r.URL+"/orders")
	f("POST /orders 5", "--data", "hello", "--header", "Expect: 100-continue", r.URL+"/orders")
	f("", "--head", "--output", "/dev/null", r.URL+"/orders")
	r.settled(4)
}

// h2load asks as fast as it can, on a few connections with many streams.
func TestH2load(t *testing.T) {
	path, err := exec.LookPath("h2load")
	if err != nil {
		t.Fatal("h2load is missing; scripts/setup-test.sh installs it")
	}
	const requests = 4000
	primary, candidate := mirrortest.NewBackend(t, mirrortest.Sized(1024)).Forget(), mirrortest.NewBackend(t, mirrortest.Sized(1024)).Forget()
	cfg := pair(primary.URL, candidate.URL, mirror.Own)
	cfg.Mirror.InFlight = requests
	r := start(t, cfg)
	out, err := exec.CommandContext(t.Context(), path, "-n", fmt.Sprint(requests), "-c", "8", "-m", "16", r.URL+"/orders/7").CombinedOutput()
	if err != nil || !strings.Contains(string(out), fmt.Sprintf("%d succeeded, 0 failed, 0 errored, 0 timeout", requests)) {
		t.Fatalf("h2load: %v\n%s", err, out)
	}
	if places := r.settled(requests); places[parallax.InQueue] != requests || candidate.Count() != requests {
		t.Errorf("places %v, the candidate was asked %d times", places, candidate.Count())
	}
}
