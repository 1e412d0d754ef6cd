package mirror_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"parallax/mirror"
)

// cutOff reports what comes before the end of a connection.
func cutOff(t *testing.T, in *bufio.Reader, conn net.Conn) string {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	got, err := io.ReadAll(in)
	if err != nil {
		t.Errorf("not cut off: %q, %v", got, err)
	}
	return string(got)
}

// TestTimeoutsOfCallers has every limit cut a caller off, and a reload change them
// for a connection that is open.
func TestTimeoutsOfCallers(t *testing.T) {
	t.Parallel()
	var endless atomic.Int64
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/endless" {
			io.Copy(io.Discard, r.Body)
			return
		}
		for b, err := make([]byte, 64<<10), error(nil); err == nil; {
			_, err = w.Write(b)
		}
		endless.Add(1)
	}))
	t.Cleanup(b.Close)
	cfg := mirror.Service{Name: "shop", Listen: "127.0.0.1:0", Primary: mirror.LegConfig{URLs: mirror.LegURLs(b.URL)}, Mirror: mirror.DefaultOptions()}
	r := start(t, cfg)
	const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	open, conn := r.raw(get)
	if res, err := http.ReadResponse(open, nil); err != nil {
		t.Fatal(err)
	} else {
		io.Copy(io.Discard, res.Body)
	}
	cfg.Timeouts = mirror.Timeouts{Head: time.Second, Idle: time.Second, Body: time.Second, Write: time.Second}
	r.reload(cfg)
	io.WriteString(conn, get) // the idle time of before has begun already
	if got := cutOff(t, open, conn); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("idle: %q", got)
	}
	for _, c := range []struct{ name, request, want string }{
		{"head", "GET / HTTP", "HTTP/1.1 408 "},
		{"nothing", "", ""},
		{"body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n1", ""},
	} {
		in, conn := r.raw(c.request)
		if got := cutOff(t, in, conn); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	r.raw("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n") // which nobody reads
	waitFor(t, "a caller that takes nothing to be cut off", func() bool { return endless.Load() == 1 })
	unread(t, r.Addr, "/endless")
	waitFor(t, "one over HTTP/2 to be cut off", func() bool { return endless.Load() == 2 })
}

// unread asks over HTTP/2 and reads nothing of the answer.
func unread(t *testing.T, addr, path string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	var fields bytes.Buffer
	encoder := hpack.NewEncoder(&fields)
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: path}, {Name: ":authority", Value: "a"}} {
		encoder.WriteField(f)
	}
	io.WriteString(conn, http2.ClientPreface)
	frames := http2.NewFramer(conn, conn)
	frames.WriteSettings()
	frames.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields.Bytes(), EndHeaders: true, EndStream: true})
}

func TestTimeoutsAreValidated(t *testing.T) {
	t.Parallel()
	if faults := mirror.DefaultTimeouts().Validate(); len(faults) > 0 {
		t.Error(faults)
	}
	faults := mirror.Timeouts{Head: -1, Idle: 999 * time.Millisecond, Body: 25 * time.Hour, Write: time.Second}.Validate()
	var paths []string
	for _, f := range faults {
		paths = append(paths, f.Path)
	}
	if got := strings.Join(paths, " "); got != "head idle body" {
		t.Errorf("faults %v", faults)
	}
}
