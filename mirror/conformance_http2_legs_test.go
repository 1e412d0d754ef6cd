package mirror_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// scriptedLeg is a leg of raw frames: it does something to its first stream, and
// answers all others.
func scriptedLeg(t testing.TB, first func(*http2.Framer, uint32)) (url string, asked *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked = new(atomic.Int64)
	var serving sync.WaitGroup
	var once sync.Once
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(t.Context(), func() { conn.Close() })
			serving.Go(func() {
				defer stop()
				defer conn.Close()
				serveFrames(conn, asked, &once, first)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return "http://" + l.Addr().String(), asked
}

func serveFrames(conn net.Conn, asked *atomic.Int64, once *sync.Once, first func(*http2.Framer, uint32)) {
	if _, err := io.CopyN(io.Discard, conn, int64(len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if framer.WriteSettings() != nil {
		return
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			asked.Add(1)
			did := false
			once.Do(func() {
				did = true
				first(framer, f.StreamID)
			})
			if !did {
				var block bytes.Buffer
				hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
				_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: f.StreamID, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
			}
		}
	}
}

// A leg that says it has not looked at a request is asked once more, which is
// counted; one that says anything else is not.
func TestOnlyWhatWasNotLookedAtIsAskedAgain(t *testing.T) {
	t.Parallel()
	reset := func(code http2.ErrCode) func(*http2.Framer, uint32) {
		return func(f *http2.Framer, id uint32) { _ = f.WriteRSTStream(id, code) }
	}
	goodbye := func(last uint32, code http2.ErrCode) func(*http2.Framer, uint32) {
		return func(f *http2.Framer, _ uint32) { _ = f.WriteGoAway(last, code, nil) }
	}
	f := func(name string, first func(*http2.Framer, uint32), method string, status int, times int64) {
		t.Run(name+" "+method, func(t *testing.T) {
			t.Parallel()
			url, asked := scriptedLeg(t, first)
			cfg := pair(url, mirrortest.Refused(t), mirror.Shared)
			cfg.Primary.Protocol = mirror.ProtocolHTTP2
			registry := prometheus.NewRegistry()
			r := start(t, cfg, func(d *mirror.Deps) { d.Metrics = mirror.NewMetrics(registry) })
			res, _ := r.do(method, "/orders", "")
			if res.StatusCode != status || asked.Load() != times {
				t.Errorf("the caller got %d, the leg was asked %d times, want %d and %d", res.StatusCode, asked.Load(), status, times)
			}
			r.settled(1)
			if got, _ := testutil.GatherAndCount(registry, "parallax_requests_total"); method == "POST" && got != int(times) {
				t.Errorf("%d series of requests, want one for each of %d tries", got, times)
			}
		})
	}
	for _, method := range []string{"GET", "POST"} {
		f("refused stream", reset(http2.ErrCodeRefusedStream), method, 200, 2)
		f("goodbye before it", goodbye(0, http2.ErrCodeNo), method, 200, 2)
		f("internal error", reset(http2.ErrCodeInternal), method, 502, 1)
		f("cancel", reset(http2.ErrCodeCancel), method, 502, 1)
	}
}

// As many requests as there are go over a bounded number of connections, and
// those that find no room wait.
func TestConnectionsOverHTTP2AreBounded(t *testing.T) {
	t.Parallel()
	const callers, streams = 200, 10
	var conns atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: streams}
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	r := start(t, asksHTTP2(pair(s.URL, s.URL, mirror.Own)))
	client := h2c(t)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			res, err := client.Get(r.URL)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if body, err := io.ReadAll(res.Body); string(body) != "hello" {
				t.Errorf("a caller got %q, %v", body, err)
			}
		})
	}
	all.Wait()
	places := r.settled(callers)
	if places[parallax.InQueue] != callers {
		t.Errorf("places %v", places)
	}
	if n := conns.Load(); n > 2*8 {
		t.Errorf("%d connections to one instance, of two senders with 8 each", n)
	}
}

// A leg that does not want a body is not sent it: by HTTP/2 as by HTTP/1.1.
func TestExpectationsReachALegOverHTTP2(t *testing.T) {
	t.Parallel()
	leg := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(413)
			return
		}
		io.Copy(w, r.Body)
	}
	cfg := pair(speaker(t, leg), mirrortest.Refused(t), mirror.Shared)
	cfg.Primary.Protocol = mirror.ProtocolHTTP2
	r := start(t, cfg)
	f := func(path string, want ...string) {
		t.Helper()
		in, conn := r.raw("POST " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		line, err := in.ReadString('\n')
		if got := strings.TrimSpace(line); err != nil || got != want[0] {
			t.Fatalf("%s: the caller got %q, %v, want %q", path, got, err, want[0])
		}
		if len(want) == 1 {
			return
		}
		in.ReadString('\n')
		io.WriteString(conn, "hello")
		if line, _ := in.ReadString('\n'); strings.TrimSpace(line) != want[1] {
			t.Errorf("%s: the caller got %q, want %q", path, line, want[1])
		}
	}
	f("/no", "HTTP/1.1 413 Request Entity Too Large")
	f("/yes", "HTTP/1.1 100 Continue", "HTTP/1.1 200 OK")
	r.settled(2)
}
