package mirror_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// What HTTP/2 carries and HTTP/1.1 would read in another way reaches no leg.
func TestNothingIsSmuggledFromHTTP2(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, mirrortest.Status(200)), mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
	f := func(want, body string, fields ...string) {
		t.Helper()
		before := primary.Count()
		framer, write := r.rawH2()
		write(1, body == "", append([]string{":method", "POST", ":scheme", "http"}, fields...)...)
		if body != "" {
			if err := framer.WriteData(1, true, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		if got := statusOf(t, framer, 1); !strings.Contains(want, got) {
			t.Errorf("%.90q: %s, want %s", fields, got, want)
		}
		if n := primary.Count() - before; n != 0 {
			t.Errorf("%.90q: the leg was asked %d times: %q", fields, n, primary.Seen()[before].Line)
		}
	}
	const refused = "400 or PROTOCOL_ERROR or INTERNAL_ERROR" // by us, or by net/http when the body comes
	const smuggled = "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n"
	to := []string{":authority", "shop.example", ":path", "/orders"}
	with := func(more ...string) []string { return append(to[:len(to):len(to)], more...) }
	f(refused, smuggled, with("content-length", "abc")...)
	f(refused, smuggled, with("content-length", "+33")...)
	f(refused, smuggled, with("content-length", "33, 33")...)
	f(refused, smuggled, with("content-length", "33", "content-length", "3")...)
	f("400", "", with("content-length", "33")...)
	f("400", smuggled, with("transfer-encoding", "chunked")...)
	f("400", "", with("host", "other.example")...)
	f("400", "", ":path", "/orders", "host", "a.example", "host", "b.example")
	f("400", "", ":authority", "shop.example", ":path", "http://other.example/orders")
	f("PROTOCOL_ERROR", "", ":authority", "shop.example", ":path", "/x HTTP/1.1\r\nA: b")
	f("400", "", ":authority", "shop.example", ":path", "/x HTTP/1.1")
	f("400", "", ":authority", "a b", ":path", "/")
	f("400", "", ":authority", "shop.example", ":path", "*")
	f("400", "", with("te", "gzip")...)
}

// oddLeg answers every stream with a head of the given fields, and body if it is
// not empty.
func oddLeg(t testing.TB, body string, fields ...string) string {
	answer := func(f *http2.Framer, id uint32) {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headers(fields...), EndHeaders: true, EndStream: body == ""})
		if body != "" {
			_ = f.WriteData(id, true, []byte(body))
		}
	}
	url, _ := scriptedLeg(t, answer)
	return url
}

// A leg whose answer is no answer of HTTP costs an error, over whatever the
// caller speaks.
func TestOddAnswersOverHTTP2(t *testing.T) {
	t.Parallel()
	f := func(want int, fields ...string) {
		for name, client := range map[string]*http.Client{"HTTP/1.1": nil, "HTTP/2": h2c(t)} {
			t.Run(fmt.Sprintf("%q to %s", fields, name), func(t *testing.T) {
				t.Parallel()
				r := start(t, asksHTTP2(pair(oddLeg(t, "hello", fields...), mirrortest.Refused(t), mirror.Own)))
				if client != nil {
					r.Client = client
				}
				res, body := r.do("GET", "/", "")
				if res.StatusCode != want || want == 200 && body != "hello" {
					t.Errorf("the caller got %d %q, want %d", res.StatusCode, body, want)
				}
				r.Client.CloseIdleConnections()
				if places := r.settled(1); places[parallax.LostPanic] != 0 {
					t.Errorf("%v", places)
				}
			})
		}
	}
	f(502, ":status", "42")
	f(502, ":status", "1000")
	f(502, ":status", "-1")
	f(502, ":status", "0")
	f(502, ":status", "200", "content-length", "1", "content-length", "5")
	f(502, ":status", "200", "content-length", "abc")
	f(200, ":status", "200", "transfer-encoding", "chunked", "connection", "x-a", "x-a", "1")
}

// A 304 tells no length of its own.
func TestNotModifiedOverHTTP2(t *testing.T) {
	t.Parallel()
	r := start(t, asksHTTP2(pair(oddLeg(t, "", ":status", "304", "etag", `"a"`), mirrortest.Refused(t), mirror.Own)))
	in, _ := r.raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if got := head(t, in); strings.Contains(strings.ToLower(got), "content-length") {
		t.Errorf("the caller got %q", got)
	}
}

// greetingLeg is a leg that does something to each connection, and closes it.
func greetingLeg(t testing.TB, greet func(*http2.Framer)) (url string, accepted *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted = new(atomic.Int64)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			stop := context.AfterFunc(t.Context(), func() { conn.Close() })
			serving.Go(func() {
				defer stop()
				defer conn.Close()
				_, _ = io.CopyN(io.Discard, conn, int64(len(http2.ClientPreface)))
				greet(http2.NewFramer(conn, conn))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return "http://" + l.Addr().String(), accepted
}

// A leg that accepts connections and closes them at once is down.
func TestALegThatClosesItsConnectionsIsDown(t *testing.T) {
	t.Parallel()
	f := func(name string, greet func(*http2.Framer)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, accepted := greetingLeg(t, greet)
			r := start(t, asksHTTP2(pair(url, mirrortest.Refused(t), mirror.Own)))
			if res, _ := r.do("POST", "/orders", "x"); res.StatusCode != 502 {
				t.Errorf("the caller got %d", res.StatusCode)
			}
			if n := accepted.Load(); n > 64 {
				t.Errorf("%d connections were opened", n)
			}
		})
	}
	f("at once", func(*http2.Framer) {})
	f("after its settings", func(f *http2.Framer) {
		_ = f.WriteSettings()
		_, _ = f.ReadFrame()
	})
	f("after its goodbye", func(f *http2.Framer) {
		_ = f.WriteSettings()
		_ = f.WriteGoAway(0, http2.ErrCodeNo, nil)
		_, _ = f.ReadFrame()
	})
}

// What a leg says in its own words is not repeated: it may quote the request.
func TestErrorTextRepeatsNothingOfALegOverHTTP2(t *testing.T) {
	t.Parallel()
	f := func(last func(f *http2.Framer, id uint32)) {
		t.Helper()
		bad := framesLeg(t, nil, func(f *http2.Framer, id uint32) bool {
			last(f, id)
			return false
		})
		cfg := pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, bad, mirror.Own)
		cfg.Candidate.Protocol = mirror.ProtocolHTTP2
		r := start(t, cfg)
		r.do("GET", "/", "")
		err := r.next().Legs[parallax.Candidate].Err
		if err.Kind == parallax.NoError || err.Text == "" || strings.Contains(err.Text, "canary") {
			t.Errorf("the error is %+v", err)
		}
	}
	f(func(f *http2.Framer, id uint32) { _ = f.WriteGoAway(id, http2.ErrCodeInternal, []byte(`a "canary"`)) })
	f(func(f *http2.Framer, id uint32) {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headers(":status", "200", "a canary", "1"), EndHeaders: true})
	})
}

// framesLeg is a leg that does something to each stream, and closes the connection
// when that returns false.
func framesLeg(t testing.TB, settings []http2.Setting, answer func(*http2.Framer, uint32) bool) string {
	t.Helper()
	url, _ := greetingLeg(t, func(f *http2.Framer) {
		_ = f.WriteSettings(settings...)
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					_ = f.WriteSettingsAck()
				}
			case *http2.HeadersFrame:
				if !answer(f, frame.StreamID) {
					return
				}
			}
		}
	})
	return url
}

// headers is a head as it is sent.
func headers(fields ...string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return block.Bytes()
}

// A leg that never comes to an end costs an error, as the live leg and as a
// shadow.
func TestEndlessAnswersOverHTTP2(t *testing.T) {
	t.Parallel()
	f := func(name string, status int, settings []http2.Setting, answer func(*http2.Framer, uint32) bool) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := pair(framesLeg(t, settings, answer), mirrortest.Refused(t), mirror.Own)
			cfg.Primary.Protocol = mirror.ProtocolHTTP2
			if status == 504 {
				cfg.Primary.Timeout = 300 * time.Millisecond
			}
			r := start(t, cfg)
			if res, _ := r.do("GET", "/", ""); res.StatusCode != status {
				t.Errorf("the caller got %d", res.StatusCode)
			}
			cfg = pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, framesLeg(t, settings, answer), mirror.Own)
			cfg.Candidate.Protocol, cfg.Mirror.Timeout = mirror.ProtocolHTTP2, 300*time.Millisecond
			r = start(t, cfg)
			r.do("GET", "/", "")
			x := r.next()
			if c := x.Legs[parallax.Candidate]; c.Err.Kind == parallax.NoError {
				t.Errorf("the candidate's call: %v", c.Err)
			}
		})
	}
	f("no streams", 504, []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 0}}, func(*http2.Framer, uint32) bool { return true })
	f("informational answers", 502, nil, func(f *http2.Framer, id uint32) bool {
		for {
			if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headers(":status", "103", "link", "x"), EndHeaders: true}) != nil {
				return false
			}
		}
	})
	long := headers("x", strings.Repeat("x", 8<<10))
	f("a head", 502, nil, func(f *http2.Framer, id uint32) bool {
		if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headers(":status", "200")}) != nil {
			return false
		}
		for f.WriteContinuation(id, false, long) == nil {
		}
		return false
	})
	f("settings", 504, nil, func(f *http2.Framer, id uint32) bool {
		for f.WriteSettings() == nil {
		}
		return false
	})
	f("nothing", 504, nil, func(*http2.Framer, uint32) bool { return true })
}
