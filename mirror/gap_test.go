package mirror_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// gapsIn returns what parallax_state_gaps_total counts, by reason.
func gapsIn(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	gaps := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "parallax_state_gaps_total" {
			continue
		}
		for _, line := range family.GetMetric() {
			for _, label := range line.GetLabel() {
				if label.GetName() == "reason" {
					gaps[label.GetValue()] = line.GetCounter().GetValue()
				}
			}
		}
	}
	return gaps
}

// Whatever keeps a write from a leg with a database of its own is counted, once,
// and nothing else is.
func TestEveryMissedWriteIsCounted(t *testing.T) {
	t.Parallel()
	never := false
	fine, hang := mirrortest.Status(200), mirrortest.Hang
	for _, c := range []struct {
		name                          string
		primary, candidate, secondary mirrortest.Answer // no secondary: nil
		change                        func(*mirror.Service)
		send                          func(*rig)
		want                          map[string]float64
	}{
		{name: "it has them all", primary: fine, candidate: fine, secondary: fine},
		{name: "an error is an answer", primary: fine, candidate: mirrortest.Status(500)},
		{name: "the candidate hangs", primary: fine, candidate: hang, want: map[string]float64{"timeout": 1}},
		{name: "the candidate breaks the connection", primary: fine, candidate: mirrortest.Reset, want: map[string]float64{"reset": 1}},
		{name: "the secondary hangs", primary: fine, candidate: fine, secondary: hang, want: map[string]float64{"timeout": 1}},
		{
			name: "the secondary's breaker is open", primary: fine, candidate: fine, secondary: mirrortest.Reset,
			change: func(s *mirror.Service) {
				s.Secondary.Breaker = mirror.Breaker{Failures: 1, Of: 1, OpenFor: time.Hour, HalfOpen: 1}
			},
			send: func(r *rig) {
				r.do("POST", "/orders", "x")
				r.settled(1)
				r.do("POST", "/orders", "x")
				r.settled(2)
			},
			want: map[string]float64{"reset": 1, "not_asked": 1},
		},
		{
			name: "the candidate's rate is used up", primary: fine, candidate: fine,
			change: func(s *mirror.Service) { s.Candidate.MaxRPS = 0.001 },
			send: func(r *rig) {
				r.do("POST", "/orders", "x")
				r.do("POST", "/orders", "x")
			},
			want: map[string]float64{"rate_limited": 1},
		},
		{name: "the live leg rejects it", primary: mirrortest.Status(503), candidate: fine},
		{
			name: "the live leg takes it and does not answer", primary: hang, candidate: fine,
			change: func(s *mirror.Service) { s.Primary.Timeout = 50 * time.Millisecond },
			want:   map[string]float64{"rejected": 1},
		},
		{
			name: "an operation is declared not to be mirrored", primary: fine, candidate: fine,
			change: func(s *mirror.Service) {
				s.GraphQL = []string{"/graphql"}
				declare(s, "POST /graphql mutation Pay", mirror.EndpointOptions{Mirror: &never})
			},
			send: func(r *rig) { r.do("POST", "/graphql", `{"query":"mutation Pay { pay }"}`, asJSON) },
			want: map[string]float64{"declared": 1},
		},
		{
			name: "a subscription writes nothing", primary: fine, candidate: fine,
			change: func(s *mirror.Service) { s.GraphQL = []string{"/graphql"} },
			send:   func(r *rig) { r.do("POST", "/graphql", `{"query":"subscription { tick }"}`, asJSON) },
		},
		{
			name: "a copy that the primary takes and does not answer", primary: hang, candidate: fine,
			change: func(s *mirror.Service) { s.Tap, s.Primary.State = true, mirror.None },
			want:   map[string]float64{"rejected": 1},
		},
		{
			name: "reads", primary: fine, candidate: hang,
			send: func(r *rig) { r.do("GET", "/orders/1", "") },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := pair(mirrortest.NewBackend(t, c.primary).URL, mirrortest.NewBackend(t, c.candidate).URL, mirror.Own)
			cfg.Mirror.Timeout = 100 * time.Millisecond
			if c.secondary != nil {
				cfg.Secondary = at(mirrortest.NewBackend(t, c.secondary).URL, mirror.Own)
			}
			if c.change != nil {
				c.change(&cfg)
			}
			registry := prometheus.NewRegistry()
			r := start(t, cfg, func(d *mirror.Deps) { d.Metrics = mirror.NewMetrics(registry) })
			if c.send == nil {
				c.send = func(r *rig) { r.do("POST", "/orders", "x") }
			}
			c.send(r)
			r.settled(r.Ledger.Received())
			r.Stop()
			if c.want == nil {
				c.want = map[string]float64{}
			}
			if diff := cmp.Diff(c.want, gapsIn(t, registry)); diff != "" {
				t.Errorf("places %v, gaps (-want +got)\n%s", r.Ledger.Places(), diff)
			}
		})
	}
}
