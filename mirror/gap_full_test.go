package mirror_test

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// TestEveryWriteIsThereOrMissed sends writes while everything is full that can be:
// each is answered by the candidate, or counted as missed, once.
func TestEveryWriteIsThereOrMissed(t *testing.T) {
	t.Parallel()
	moody := func(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
		switch n := len(r.Body); {
		case n%7 == 0:
			return mirrortest.Hang(b, conn, r)
		case n%5 == 0:
			return mirrortest.Reset(b, conn, r)
		}
		return mirrortest.Status(200)(b, conn, r)
	}
	f := func(name string, change func(*mirror.Service)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary, candidate := mirrortest.NewBackend(t, mirrortest.Status(200)), mirrortest.NewBackend(t, moody)
			cfg := pair(primary.URL, candidate.URL, mirror.Own)
			cfg.Mirror.Timeout = 50 * time.Millisecond
			cfg.Candidate.Breaker = mirror.DefaultBreaker()
			cfg.Candidate.Breaker.Failures = 0
			change(&cfg)
			registry := prometheus.NewRegistry()
			r := start(t, cfg, func(d *mirror.Deps) {
				d.Metrics, d.Queue = mirror.NewMetrics(registry), mirror.NewMemQueue(10, 1<<20)
			})
			const writers, writes = 4, 50
			var all sync.WaitGroup
			for range writers {
				all.Go(func() {
					for n := range writes {
						r.do("POST", "/orders", strings.Repeat("x", n+1), "X-User: ada")
					}
				})
			}
			all.Wait()
			places := r.settled(writers * writes)
			r.Stop()
			missed, there := 0.0, answers(t, registry, "candidate", "200")
			for _, n := range gapsIn(t, registry) {
				missed += n
			}
			if there == 0 || missed == 0 || there+missed != writers*writes {
				t.Errorf("%v writes are there and %v are counted as missed, of %d: %v, %v", there, missed, writers*writes, gapsIn(t, registry), places)
			}
		})
	}
	f("the queue", func(*mirror.Service) {})
	f("the leg", func(s *mirror.Service) { s.Mirror.InFlight = 1 })
	f("the lane", func(s *mirror.Service) { s.Mirror.OrderBy = "header:X-User" })
	f("the lane and the leg", func(s *mirror.Service) { s.Mirror.OrderBy, s.Mirror.InFlight = "header:X-User", 1 })
	f("the rate", func(s *mirror.Service) { s.Candidate.MaxRPS = 20 })
	f("the breaker", func(s *mirror.Service) {
		s.Candidate.Breaker = mirror.Breaker{Failures: 2, Of: 3, OpenFor: 20 * time.Millisecond, HalfOpen: 1}
	})
	f("the breaker, in order", func(s *mirror.Service) {
		s.Mirror.OrderBy = "header:X-User"
		s.Candidate.Breaker = mirror.Breaker{Failures: 2, Of: 3, OpenFor: 20 * time.Millisecond, HalfOpen: 1}
	})
	f("the copy", func(s *mirror.Service) { s.Mirror.MaxBody = 20 })
	f("mirror.max_rps", func(s *mirror.Service) { s.Mirror.MaxRPS = 10 })
}

// answers returns how often a leg gave an answer.
func answers(t *testing.T, registry *prometheus.Registry, leg, code string) (n float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "parallax_requests_total" {
			continue
		}
		for _, line := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range line.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["leg"] == leg && labels["code"] == code {
				n += line.GetCounter().GetValue()
			}
		}
	}
	return n
}

// TestGRPCCallsThatTheLiveLegLeavesOpen: it may have acted on them, unless it says
// that it did not.
func TestGRPCCallsThatTheLiveLegLeavesOpen(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	primary, candidate := &echo{}, &echo{}
	cfg := asksHTTP2(pair(primary.serve(t), candidate.serve(t), mirror.Own))
	cfg.Primary.Timeout = 50 * time.Millisecond
	r := start(t, cfg, func(d *mirror.Deps) { d.Metrics = mirror.NewMetrics(registry) })
	conn, err := grpc.NewClient(r.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	g := &grpcRig{rig: r, primary: primary, candidate: candidate, conn: conn}
	for _, word := range []string{"unavailable", "hang", "hello"} {
		_, _, _ = g.say(t.Context(), word)
	}
	r.settled(3)
	if diff := cmp.Diff(map[string]float64{"rejected": 1}, gapsIn(t, registry)); diff != "" {
		t.Errorf("gaps (-want +got)\n%s", diff)
	}
}
