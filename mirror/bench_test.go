package mirror_test

import (
	"context"
	"io"
	"net/http"
	"testing"

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

func (free) Enter(parallax.Stamp)                                {}
func (free) Move(parallax.Stamp, parallax.Place, parallax.Place) {}
func (free) Offer(*parallax.Exchange) bool                       { return true }

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
