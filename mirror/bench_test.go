package mirror_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// BenchmarkProxy measures one request through the mirror against the backend
// alone: the ratios count, since client and backends run on the same machine.
func BenchmarkProxy(b *testing.B) {
	b.Run("backend alone", func(b *testing.B) {
		drive(b, mirrortest.NewBackend(b, mirrortest.Sized(1<<10)).Forget().URL, http.DefaultTransport.(*http.Transport).Clone())
	})
	b.Run("no mirror", func(b *testing.B) { benchmark(b, false) })
	b.Run("mirror", func(b *testing.B) { benchmark(b, true) })
}

func benchmark(b *testing.B, mirrored bool) {
	primary := mirrortest.NewBackend(b, mirrortest.Sized(1<<10)).Forget()
	cfg := mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: at(primary.URL, "")}
	if mirrored {
		cfg.Candidate = at(mirrortest.NewBackend(b, mirrortest.Sized(1<<10)).Forget().URL, mirror.Shared)
	}
	r := start(b, cfg, func(d *mirror.Deps) { d.Ledger, d.Queue = free{}, free{} })
	drive(b, r.URL, r.Client.Transport.(*http.Transport))
}

// free takes everything and keeps nothing.
type free struct{}

func (free) Enter(parallax.Stamp)                                  {}
func (free) Move(parallax.Stamp, parallax.Place, parallax.Place)   {}
func (free) Refine(parallax.Stamp, parallax.Stamp, parallax.Place) {}
func (free) Offer(*parallax.Exchange) bool                         { return true }

func drive(b *testing.B, url string, transport *http.Transport) {
	defer transport.CloseIdleConnections()
	transport.MaxIdleConnsPerHost = 64
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			req, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, url+"/orders/17", nil)
			res, err := transport.RoundTrip(req)
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	})
}

// BenchmarkMirrored is one mirrored request up to its offer to the queue, over
// connections that stay open. Callers and legs allocate nothing and do next to
// nothing, so that what is reported is the mirror's.
func BenchmarkMirrored(b *testing.B) {
	body := strings.Repeat("x", 4<<10)
	b.Run("GET 1 KB", func(b *testing.B) {
		mirrored(b, "GET /items/17 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench/1.0\r\nAccept: application/json\r\n\r\n")
	})
	b.Run("POST 4 KB", func(b *testing.B) {
		mirrored(b, "POST /items HTTP/1.1\r\nHost: shop.example\r\nContent-Type: application/json\r\nContent-Length: 4096\r\n\r\n"+body)
	})
}

func mirrored(b *testing.B, request string) { mirroredAs(b, request, 0, func(*mirror.Service) {}) }

func mirroredAs(b *testing.B, request string, step int, change func(*mirror.Service)) {
	options := mirror.DefaultOptions()
	options.Unsafe = mirror.UnsafeAllowed
	offers := new(counted)
	cfg := mirror.Service{
		Name: "shop", Mirror: options, Endpoints: []string{"GET /items/{id}", "POST /items"},
		Primary: at("http://"+plainLeg(b), ""), Candidate: at("http://"+plainLeg(b), mirror.None),
	}
	change(&cfg)
	r := start(b, cfg, func(d *mirror.Deps) { d.Ledger, d.Queue = free{}, offers })
	r.Mirror.Split().SetStep(step)
	address := strings.TrimPrefix(r.URL, "http://")
	b.ReportAllocs()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		in, out := make([]byte, 8<<10), []byte(request)
		for pb.Next() {
			if _, err := conn.Write(out); err != nil {
				b.Error(err)
				return
			}
			if err := readWhole(conn, in); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(offers.n.Load())/float64(b.N), "offers/op")
}

// counted counts what it is offered and keeps nothing.
type counted struct{ n atomic.Int64 }

func (q *counted) Offer(*parallax.Exchange) bool {
	q.n.Add(1)
	return true
}

// plainLeg answers everything with 1 KB and returns its address.
func plainLeg(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n\r\n%1024d", 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := make([]byte, 8<<10)
				for readWhole(conn, in) == nil {
					if _, err := conn.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// readWhole reads one message of at most len(in) bytes.
func readWhole(conn net.Conn, in []byte) error {
	for n, want := 0, -1; ; {
		k, err := conn.Read(in[n:])
		if err != nil {
			return err
		}
		n += k
		if end := bytes.Index(in[:n], []byte("\r\n\r\n")); want < 0 && end >= 0 {
			want = end + 4 + lengthOf(in[:end+2])
		}
		if want >= 0 && n >= want {
			return nil
		}
	}
}

var lengthName = []byte("\r\nContent-Length: ")

func lengthOf(head []byte) int {
	_, rest, ok := bytes.Cut(head, lengthName)
	if !ok {
		return 0
	}
	digits, _, _ := bytes.Cut(rest, lengthName[:2])
	n, _ := strconv.Atoi(string(digits)) // the benchmark wrote it
	return n
}

// BenchmarkNet is BenchmarkMirrored with the candidate live, without and with a net below it:
// what it costs where nothing fails, and a caller whose candidate is down or answers 500.
func BenchmarkNet(b *testing.B) {
	const request = "GET /items/17 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench/1.0\r\nAccept: application/json\r\n\r\n"
	spread := mirror.Net{Wait: 2 * time.Second, Statuses: []int{500, 502, 503, 504}}
	for _, c := range []struct {
		name      string
		net       mirror.Net
		candidate func() string
	}{
		{"none", mirror.Net{}, nil},
		{"spread", spread, nil},
		{"catches a refused connection", spread, func() string { return mirrortest.Refused(b) }},
		{"catches 500", spread, func() string { return mirrortest.NewBackend(b, mirrortest.Status(500)).Forget().URL }},
	} {
		b.Run(c.name, func(b *testing.B) {
			mirroredAs(b, request, 10_000, func(s *mirror.Service) {
				if s.Net = c.net; c.candidate != nil {
					s.Candidate.URLs = mirror.LegURLs(c.candidate())
				}
			})
		})
	}
}
