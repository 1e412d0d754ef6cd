package h1

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"

	"parallax"
)

var kilobyte = []byte(strings.Repeat("0123456789abcdef", 64))

// relay is what a proxy does with one request, without any policy.
func relay(p *Pool, addr string) func(*Request, *Writer) {
	to := at(addr)
	scratch := sync.Pool{New: func() any { return new([32 << 10]byte) }}
	return func(r *Request, w *Writer) {
		m := Message{Method: r.Method, Target: r.Target, Host: r.Host, Headers: r.Headers, Length: r.Length}
		if r.Body != nil {
			m.Ready, m.Body = r.Body.Ready(), io.NopCloser(r.Body)
			m.TrailerNames, m.Trailers = r.TrailerNames, r.Body.Trailers
		}
		res, err := p.Do(context.Background(), to, &m)
		if err != nil {
			w.Head(502, nil, 0, nil, false)
			return
		}
		defer res.Close()
		w.Head(res.Status, res.Headers, res.Length, res.TrailerNames, false)
		b := scratch.Get().(*[32 << 10]byte)
		defer scratch.Put(b)
		for {
			n, err := res.Read(b[:])
			if _, werr := w.Write(b[:n]); werr != nil {
				return
			}
			if err == io.EOF {
				w.Trailers(res.Trailers())
				return
			}
			if err != nil {
				w.Abort()
				return
			}
			w.Flush()
		}
	}
}

func backend(b testing.TB) (addr string) {
	headers := []parallax.Field{{Name: "Content-Type", Value: "application/json"}, {Name: "Server", Value: "bench"}}
	_, addr = start(b, func(r *Request, w *Writer) {
		if r.Body != nil {
			io.Copy(io.Discard, r.Body)
		}
		w.Head(200, headers, int64(len(kilobyte)), nil, false)
		w.Write(kilobyte)
	})
	return addr
}

// load asks addr over 64 keep-alive connections, one request at a time each.
func load(b *testing.B, addr, request string) {
	const connections = 64
	const answer = 1024
	var group sync.WaitGroup
	var left sync.Mutex
	n := b.N
	take := func() bool {
		left.Lock()
		defer left.Unlock()
		n--
		return n >= 0
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range connections {
		group.Go(func() {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			in := make([]byte, 4096)
			for take() {
				if _, err := io.WriteString(conn, request); err != nil {
					b.Error(err)
					return
				}
				for got := ""; ; {
					k, err := conn.Read(in)
					if err != nil {
						b.Error(err)
						return
					}
					got += string(in[:k])
					if _, after, ok := strings.Cut(got, "\r\n\r\n"); ok && len(after) >= answer {
						break
					}
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

const getRequest = "GET /items/17?full=1 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench/1.0\r\nAccept: application/json\r\nX-User: user-42\r\n\r\n"

// BenchmarkRelay is the whole path over loopback: load, proxy and backend in one
// process.
func BenchmarkRelay(b *testing.B) {
	b.Run("h1", func(b *testing.B) {
		_, addr := start(b, relay(pool(b), backend(b)))
		load(b, addr, getRequest)
	})
	b.Run("net/http", func(b *testing.B) {
		to := at(backend(b))
		transport := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
		proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		server := &http.Server{Handler: proxy}
		go server.Serve(l)
		defer func() {
			server.Shutdown(context.Background())
			transport.CloseIdleConnections()
		}()
		load(b, l.Addr().String(), getRequest)
	})
}

// BenchmarkParseRequest is the cost of one head.
func BenchmarkParseRequest(b *testing.B) {
	text := getRequest[:len(getRequest)-2]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseRequest(text, 200); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCompose is the cost of checking and writing one head.
func BenchmarkCompose(b *testing.B) {
	h, err := parseRequest(getRequest[:len(getRequest)-2], 200)
	if err != nil {
		b.Fatal(err)
	}
	m := Message{Method: h.method, Target: h.target, Host: h.host, Headers: h.fields}
	out := make([]byte, 0, bufferSize)
	b.ReportAllocs()
	for b.Loop() {
		if err := m.check(); err != nil {
			b.Fatal(err)
		}
		out = m.appendHead(out[:0])
	}
}
