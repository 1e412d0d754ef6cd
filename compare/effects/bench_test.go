package effects_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parallax"
	"parallax/compare/effects"
	"parallax/compare/effects/effectstest"
	"parallax/internal/ids"
)

// bench is a joiner at work on two logs, in a bubble of time of its own.
type bench struct {
	t                  *testing.T
	joiner             *effects.Joiner
	primary, candidate *effectstest.Log

	registry *prometheus.Registry

	mu      sync.Mutex
	handed  map[parallax.ID]*parallax.Exchange
	order   []parallax.ID
	learned []parallax.ID
	needs   map[parallax.ID][]ids.Ref // of exchanges, from others
	lost    []string
	late    []effects.Late
	shadows []effects.ShadowWrite
	wrote   []effects.Written
	shapes  []effects.Shape
	hold    chan struct{} // who is told of them waits until it is closed; nil: does not
	n       byte
}

// joined runs f with a joiner that reads, and stops it.
func joined(t *testing.T, change func(*effects.Config), f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		config := effects.DefaultConfig()
		config.Primary = []effects.Database{{Postgres: "postgres://old/shop", Tables: []string{"orders"}}}
		config.Candidate = []effects.Database{{Postgres: "postgres://new/shop", Tables: []string{"orders"}}}
		if change != nil {
			change(&config)
		}
		b := &bench{t: t, primary: effectstest.NewLog(time.Now), candidate: effectstest.NewLog(time.Now), handed: map[parallax.ID]*parallax.Exchange{}, needs: map[parallax.ID][]ids.Ref{}, registry: prometheus.NewRegistry()}
		b.joiner = effects.NewJoiner(effects.JoinerConfig{
			Service: "shop", Config: config, Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: effects.NewMetrics(b.registry),
			Learn: func(x *parallax.Exchange) ([]ids.Ref, func() bool) {
				return b.needs[x.ID], func() bool {
					b.note(func() { b.learned = append(b.learned, x.ID) })
					return true
				}
			},
			Shape: func(s effects.Shape) { b.note(func() { b.shapes = append(b.shapes, s) }) },
			Lost: func(refs []ids.Ref) {
				b.note(func() {
					for _, ref := range refs {
						b.lost = append(b.lost, ref.Value)
					}
				})
			},
			Makes: func(leg parallax.Leg, table string, row []parallax.Column) []ids.Ref {
				return []ids.Ref{{Name: "effects:" + table + ".id", Leg: leg, Value: *row[0].Value}}
			},
			Late:   func(l effects.Late) { b.note(func() { b.late = append(b.late, l) }) },
			Shadow: func(w effects.ShadowWrite) { b.note(func() { b.shadows = append(b.shadows, w) }) },
			Written: func(w effects.Written) {
				if b.hold != nil {
					<-b.hold
				}
				b.note(func() { b.wrote = append(b.wrote, w) })
			},
		})
		b.joiner.Add(parallax.Primary, "old/shop", b.primary)
		b.joiner.Add(parallax.Candidate, "new/shop", b.candidate)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.joiner.Run(ctx) }()
		b.pass(time.Second)
		f(b)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}

func (b *bench) note(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// pass lets time pass.
func (b *bench) pass(d time.Duration) {
	time.Sleep(d) // of the bubble
	synctest.Wait()
}

// exchange returns one that was received 10 ms ago and is answered now.
func (b *bench) exchange() *parallax.Exchange {
	b.n++
	x := &parallax.Exchange{ID: parallax.ID{0: 1, 6: 0x70, 15: b.n}, Service: "shop", Endpoint: "POST /orders", Received: time.Now().Add(-10 * time.Millisecond)}
	for _, leg := range []parallax.Leg{parallax.Primary, parallax.Candidate} {
		x.Legs[leg] = &parallax.Call{Request: parallax.Request{Target: "/orders"}, Done: 10 * time.Millisecond}
	}
	return x
}

func (b *bench) traced(trace string, x *parallax.Exchange) *parallax.Exchange {
	for _, leg := range []parallax.Leg{parallax.Primary, parallax.Candidate} {
		x.Legs[leg].Request.Headers = []parallax.Field{{Name: "Traceparent", Value: trace}}
	}
	return x
}

func (b *bench) gather(list ...*parallax.Exchange) {
	for _, x := range list {
		b.joiner.Gather(x, func(out *parallax.Exchange) {
			b.note(func() { b.handed[x.ID], b.order = out, append(b.order, x.ID) })
		})
	}
}

// want says what was handed on of each leg of an exchange: rows with their correlation, and
// why it is not known. "-" is one that still waits, "*" any.
func (b *bench) want(name string, x *parallax.Exchange, primary, candidate string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.handed[x.ID]
	for leg, want := range []string{primary, candidate} {
		got := "-"
		if out != nil {
			got = shown(out.Legs[leg].Effects)
			if why := out.Legs[leg].Unread; why != "" {
				got = strings.TrimSpace(got + " ? " + why)
			}
		}
		if got != want && want != "*" {
			b.t.Errorf("%s: the %s's effects are %q, want %q", name, parallax.Leg(leg), got, want)
		}
	}
}

func shown(list []parallax.Effect) string {
	var out []string
	for _, e := range list {
		late := ""
		if e.Late {
			late = " late"
		}
		out = append(out, fmt.Sprintf("%s:%s%s", *e.Key[0].Value, e.Correlation, late))
	}
	return strings.Join(out, " ")
}

// row is a transaction that inserts a row, with tags.
func row(id string, tags ...string) effects.Transaction {
	key := parallax.Column{Name: "id", Value: &id}
	return effects.Transaction{Tags: tags, Changes: []effects.Change{{Table: "orders", Op: parallax.Insert, Key: []parallax.Column{key}, After: []parallax.Column{key}}}}
}

// rowOf is a row with the exchange in a column.
func rowOf(id, exchange string) effects.Transaction {
	tx := row(id)
	tx.Changes[0].After = append(tx.Changes[0].After, parallax.Column{Name: "request_id", Value: &exchange})
	return tx
}

// counted writes down what was counted.
func (b *bench) counted() (out []string) {
	list, _ := b.joiner.TakeCounts()
	for _, c := range list {
		out = append(out, fmt.Sprintf("%s %s %s %d", c.Leg, c.Table, c.Count, c.N))
	}
	return out
}
