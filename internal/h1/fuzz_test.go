package h1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parallax"
)

// memory is a connection whose peer has said everything already.
type memory struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *memory) Read(p []byte) (int, error)     { return c.in.Read(p) }
func (c *memory) Write(p []byte) (int, error)    { return c.out.Write(p) }
func (*memory) Close() error                     { return nil }
func (*memory) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*memory) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*memory) SetDeadline(time.Time) error      { return nil }
func (*memory) SetReadDeadline(time.Time) error  { return nil }
func (*memory) SetWriteDeadline(time.Time) error { return nil }

// seen is a message as one reader took it.
type seen struct {
	Method, Target, Host string
	Status               int
	Headers              http.Header
	Body                 string
	Trailers             http.Header
}

// idle is a guard without a goroutine: in memory nothing takes long.
func idle() *guard {
	g := newGuard(time.Hour, nil)
	g.stop = make(chan struct{})
	return g
}

// readAll has our server read every request in data, up to the first that it
// refuses or that ends the connection. The data arrives in pieces of step bytes.
func readAll(data []byte, step int) (all []seen) {
	s := &Server{Log: slog.New(slog.DiscardHandler)}
	s.prepare()
	s.guard = idle()
	s.Handler = func(r *Request, w *Writer) {
		one := seen{Method: r.Method, Target: r.URI, Host: r.Host, Headers: header(r.Headers)}
		if r.Body != nil {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				w.Abort()
				return
			}
			one.Body, one.Trailers = string(b), header(r.Body.Trailers())
		}
		all = append(all, one)
		w.Head(200, nil, 0, nil, false)
	}
	newServerConn(s, newSlowly(data, step)).serve()
	return all
}

// header turns fields into what net/http makes of them, without those about
// framing, which it takes out.
func header(fields []parallax.Field) http.Header {
	h := make(http.Header)
	for _, f := range fields {
		h.Add(f.Name, f.Value)
	}
	if h.Get("Pragma") == "no-cache" && h["Cache-Control"] == nil {
		h.Set("Cache-Control", "no-cache") // as net/http does
	}
	return unframed(h)
}

func unframed(h http.Header) http.Header {
	for _, name := range []string{"Transfer-Encoding", "Trailer", "Content-Length"} {
		h.Del(name)
	}
	return h
}

// allowed takes out of net/http's trailers what we leave out, and those that
// were announced but did not come.
func allowed(h http.Header) http.Header {
	out := make(http.Header)
	for name, values := range h {
		if len(values) > 0 && !forbiddenTrailer(name) {
			out[name] = values
		}
	}
	return out
}

var sameMessage = cmp.Options{cmpopts.EquateEmpty()}

func FuzzRequest(f *testing.F) {
	for _, c := range requestCases {
		f.Add([]byte(c.text), uint8(0))
	}
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		in := bufio.NewReader(bytes.NewReader(data))
		for i, ours := range readAll(data, int(step)) {
			req, err := http.ReadRequest(in)
			if err != nil {
				t.Fatalf("request %d: net/http refuses it: %v\nours: %+v", i, err, ours)
			}
			b, err := io.ReadAll(req.Body)
			if err != nil {
				t.Fatalf("request %d: net/http refuses its body: %v\nours: %+v", i, err, ours)
			}
			theirs := seen{Method: req.Method, Target: req.RequestURI, Host: req.Host, Headers: unframed(req.Header), Body: string(b), Trailers: allowed(req.Trailer)}
			if diff := cmp.Diff(theirs, ours, sameMessage); diff != "" {
				t.Fatalf("request %d (-net/http +ours):\n%s", i, diff)
			}
		}
	})
}

type peer struct{}

// memoryPool dials the connection that the context carries.
var memoryPool = sync.OnceValue(func() *Pool {
	p := &Pool{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return ctx.Value(peer{}).(net.Conn), nil
	}}
	p.prepare()
	p.guard = idle()
	return p
})

// readAnswer has our client read the answer in data, which arrives in pieces of
// step bytes.
func readAnswer(method string, data []byte, step int) (*seen, int64, error) {
	p := memoryPool()
	defer p.CloseIdle()
	ctx := context.WithValue(context.Background(), peer{}, newSlowly(data, step))
	res, err := p.Do(ctx, &url.URL{Scheme: "http", Host: "leg"}, &Message{Method: method, Target: "/", Host: "leg"})
	if err != nil {
		return nil, 0, err
	}
	defer res.Close()
	b, err := io.ReadAll(res)
	if err != nil {
		return nil, 0, err
	}
	return &seen{Status: res.Status, Headers: header(res.Headers), Body: string(b), Trailers: header(res.Trailers())}, res.Length, nil
}

func FuzzResponse(f *testing.F) {
	for _, c := range responseCases {
		f.Add(c.text, false, uint8(0))
		f.Add(c.text, true, uint8(0))
	}
	f.Fuzz(func(t *testing.T, text string, head bool, step uint8) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		ours, length, err := readAnswer(method, []byte(text), int(step))
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Kind == parallax.NoError {
				t.Fatalf("error without a kind: %v", err)
			}
			return
		}
		in := bufio.NewReader(strings.NewReader(text))
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		for err == nil && res.StatusCode < 200 {
			res, err = http.ReadResponse(in, &http.Request{Method: method})
		}
		if err != nil {
			t.Fatalf("net/http refuses it: %v\nours: %+v", err, ours)
		}
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatalf("net/http refuses its body: %v\nours: %+v", err, ours)
		}
		theirs := &seen{Status: res.StatusCode, Headers: unframed(res.Header), Body: string(b), Trailers: allowed(res.Trailer)}
		if diff := cmp.Diff(theirs, ours, sameMessage); diff != "" {
			t.Fatalf("(-net/http +ours):\n%s", diff)
		}
		if !bodyless(method, res.StatusCode) && length != res.ContentLength {
			t.Fatalf("length: net/http %d, ours %d", res.ContentLength, length)
		}
	})
}

// FuzzChunked reads a chunked body in pieces of any size, and wants the same as
// net/http's reader, or an error.
func FuzzChunked(f *testing.F) {
	for _, s := range []string{"0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n", "05 \r\nhello\r\n00\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "fffffffffffffffff\r\n"} {
		f.Add([]byte(s), uint8(3), uint8(7))
	}
	f.Fuzz(func(t *testing.T, data []byte, arriving, asking uint8) {
		l := &link{guard: idle()}
		l.conn = newSlowly(data, int(arriving%32)+1)
		b := &body{link: l, how: byChunks, left: -1, fields: 100}
		var got []byte
		var err error
		for p := make([]byte, int(asking)+1); err == nil; {
			var n int
			n, err = b.Read(p)
			got = append(got, p[:n]...)
		}
		l.drop()
		want, theirs := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(data)))
		switch {
		case err == io.EOF && theirs != nil:
			t.Fatalf("net/http refuses it: %v", theirs)
		case err == io.EOF && !bytes.Equal(got, want):
			t.Fatalf("net/http reads %q, ours %q", want, got)
		case err != io.EOF && theirs == nil && !bytes.HasPrefix(want, got):
			t.Fatalf("net/http reads %q, ours began with %q", want, got)
		}
	})
}

// slowly gives a few bytes at a time.
type slowly struct {
	memory
	step int
}

// newSlowly returns a connection on which data arrives in pieces of step bytes;
// 0 means all at once.
func newSlowly(data []byte, step int) net.Conn {
	if step == 0 {
		step = len(data) + 1
	}
	return &slowly{memory: memory{in: bytes.NewReader(data)}, step: step}
}

func (c *slowly) Read(p []byte) (int, error) { return c.memory.Read(p[:min(len(p), c.step)]) }

// TestArrivalDoesNotMatter wants the same from bytes that come one by one, or a
// few at a time, as from those that come at once.
func TestArrivalDoesNotMatter(t *testing.T) {
	t.Parallel()
	for step := 1; step < 8; step++ {
		for _, c := range requestCases {
			if len(c.text) > 10_000 {
				continue
			}
			equal(t, c.name, readAll([]byte(c.text), step), readAll([]byte(c.text), 0))
		}
	}
	for step := 1; step < 8; step++ {
		for _, c := range responseCases {
			want, _, whole := readAnswer("GET", []byte(c.text), 0)
			got, _, err := readAnswer("GET", []byte(c.text), step)
			equal(t, c.name, got, want)
			equal(t, c.name, fmt.Sprint(err), fmt.Sprint(whole))
		}
	}
}
