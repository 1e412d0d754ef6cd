package mirror_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// counting answers each request otherwise.
func counting(name string) mirrortest.Answer {
	var n atomic.Int64
	return func(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
		return mirrortest.JSON(fmt.Sprintf(`{"%s":%d}`, name, n.Add(1)))(b, conn, r)
	}
}

// inWorker sends a request and returns its exchange as a worker has it.
func (r *rig) inWorker(method, target, body string, headers ...string) *parallax.Exchange {
	r.t.Helper()
	r.do(method, target, body, headers...)
	x := r.next()
	r.Ledger.Move(x.Stamp(), parallax.InQueue, parallax.InWorker)
	return x
}

// again asks once more and returns what came; false: nobody was asked.
func (r *rig) again(x *parallax.Exchange) (second [parallax.Legs]*parallax.Call, asked bool) {
	r.t.Helper()
	came := make(chan [parallax.Legs]*parallax.Call, 1)
	ask := r.Mirror.AskAgain(x, func(second [parallax.Legs]*parallax.Call) { came <- second })
	if ask != nil {
		ask()
		second = <-came
	}
	if n := r.Ledger.Places()[parallax.InWorker]; n != 1 {
		r.t.Errorf("%d exchanges are with the worker again", n)
	}
	r.Ledger.Move(x.Stamp(), parallax.InWorker, parallax.ComparedDiverged)
	return second, ask != nil
}

// askable is a service that asks again as often as it is asked to.
func askable(primary, candidate *mirrortest.Backend) mirror.Service {
	cfg := pair(primary.URL, candidate.URL, mirror.Own)
	cfg.Mirror.AskAgain = mirror.AskAgain{Share: 1, MaxRPS: 1000}
	return cfg
}

// TestAskAgain: both legs get the request that they got before, as a shadow whoever
// was live, and the exchange is in one place at every moment.
func TestAskAgain(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, counting("old")), mirrortest.NewBackend(t, counting("new"))
	cfg := askable(primary, candidate)
	cfg.Mirror.Request.Set = map[string]string{"X-Shadow": "1"}
	r := start(t, cfg)
	x := r.inWorker("GET", "/orders/7?a=1", "", "X-A: b", "Baggage: mine=1")
	if !x.Safe {
		t.Fatal("a GET is not safe")
	}
	release := make(chan struct{})
	primary.Become(mirrortest.Held(release, mirrortest.JSON(`{"old":2}`)))
	came := make(chan [parallax.Legs]*parallax.Call, 1)
	ask := r.Mirror.AskAgain(x, func(second [parallax.Legs]*parallax.Call) { came <- second })
	if ask == nil {
		t.Fatal("nobody is asked")
	}
	ask()
	primary.Wait(t, 2)
	if n := r.Ledger.Places()[parallax.InAgain]; n != 1 {
		t.Errorf("%d exchanges are being asked again", n)
	}
	close(release)
	second := <-came
	r.Ledger.Move(x.Stamp(), parallax.InWorker, parallax.ComparedDiverged)
	for l, want := range []string{`{"old":2}`, `{"new":2}`} {
		c := second[l]
		if c == nil || string(c.Response.Body.Bytes) != want || c.Response.Body.Cut || c.Response.Status != 200 || c.Err.Kind != parallax.NoError || c.Done < c.Start {
			t.Errorf("%s answered %+v, want %s", parallax.Leg(l), c, want)
		}
	}
	for _, b := range []*mirrortest.Backend{primary, candidate} {
		first, then := b.Seen()[0], b.Seen()[1]
		if then.Line != first.Line || then.Header.Get("X-Parallax-Role") != "shadow" || then.Header.Get("X-Shadow") != "1" ||
			then.Header.Get("X-Parallax-Exchange") != x.ID.String() || then.Header.Get("X-A") != "b" || strings.Contains(then.Header.Get("Baggage"), "live") {
			t.Errorf("asked again:\n%s\n%v\nbefore:\n%s\n%v", then.Line, then.Header, first.Line, first.Header)
		}
		if got, want := then.Header.Get("X-Parallax-Leg"), first.Header.Get("X-Parallax-Leg"); got != want {
			t.Errorf("leg %s, before %s", got, want)
		}
	}
	if d := cmp.Diff(candidate.Seen()[0].Header.Get("Baggage"), primary.Seen()[1].Header.Get("Baggage")); d != "" {
		t.Errorf("the primary's mark is not that of a shadow: %s", d)
	}
}

// TestAskAgainOnlyWhereItMay: nobody is asked again about what is unsafe or recorded,
// over the budget, while mirroring is paused or a breaker is open, or when it is off.
func TestAskAgainOnlyWhereItMay(t *testing.T) {
	t.Parallel()
	f := func(name, method string, want bool, change func(*mirror.Service), before func(*rig, *parallax.Exchange)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary, candidate := mirrortest.NewBackend(t, counting("old")), mirrortest.NewBackend(t, counting("new"))
			cfg := askable(primary, candidate)
			if change != nil {
				change(&cfg)
			}
			r := start(t, cfg)
			target := map[string]string{"GET": "/orders/7", "POST": "/orders"}[method]
			x := r.inWorker(method, target, "")
			if before != nil {
				before(r, x)
			}
			n := primary.Count() + candidate.Count()
			if _, asked := r.again(x); asked != want {
				t.Errorf("asked again: %v, want %v", asked, want)
			}
			if now := primary.Count() + candidate.Count(); !want && now != n {
				t.Errorf("%d requests were sent", now-n)
			}
		})
	}
	f("safe", "GET", true, nil, nil)
	f("unsafe", "POST", false, nil, nil)
	f("declared unsafe", "GET", false, func(s *mirror.Service) {
		no := false
		s.Mirror.Endpoints = map[string]mirror.EndpointOptions{"GET /orders/{id}": {Safe: &no}}
	}, nil)
	f("off by share", "GET", false, func(s *mirror.Service) { s.Mirror.AskAgain.Share = 0 }, nil)
	f("off by rate", "GET", false, func(s *mirror.Service) { s.Mirror.AskAgain.MaxRPS = 0 }, nil)
	f("replayed", "GET", false, nil, func(_ *rig, x *parallax.Exchange) { x.Source = parallax.FromReplay })
	f("cut", "GET", false, nil, func(_ *rig, x *parallax.Exchange) { x.Legs[0].Request.Body.Cut = true })
	f("paused", "GET", false, nil, func(r *rig, _ *parallax.Exchange) { r.Mirror.Pause(mirror.Pause{By: mirror.ByPerson}) })
	f("resumed", "GET", true, nil, func(r *rig, _ *parallax.Exchange) {
		r.Mirror.Pause(mirror.Pause{By: mirror.ByPerson})
		r.Mirror.Resume()
	})
	f("over the rate", "GET", false, func(s *mirror.Service) { s.Mirror.AskAgain.MaxRPS = 0.001 }, func(r *rig, x *parallax.Exchange) {
		for range 3 { // what may go ahead of the rate
			done := make(chan struct{})
			if ask := r.Mirror.AskAgain(x, func([parallax.Legs]*parallax.Call) { close(done) }); ask != nil {
				ask()
				<-done
			}
		}
	})
	f("shutting down", "GET", false, nil, func(r *rig, x *parallax.Exchange) {
		r.Stop()
	})
}

// TestAskAgainBesideAnOpenBreaker: a leg that gives no answers is not asked.
func TestAskAgainBesideAnOpenBreaker(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, counting("old")), mirrortest.NewBackend(t, counting("new"))
	cfg := askable(primary, candidate)
	cfg.Candidate.Breaker = mirror.Breaker{Failures: 1, Of: 1, OpenFor: time.Hour, HalfOpen: 1}
	r := start(t, cfg)
	x := r.inWorker("GET", "/orders/7", "")
	candidate.Stop()
	r.do("GET", "/orders/8", "")
	r.next()
	if _, asked := r.again(x); asked {
		t.Error("asked again")
	}
}

// TestAskAgainIsGivenUpByAShutdown: what hangs is given up with the mirror, and handed
// on all the same.
func TestAskAgainIsGivenUpByAShutdown(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, counting("old")), mirrortest.NewBackend(t, counting("new"))
	cfg := askable(primary, candidate)
	cfg.Mirror.Timeout = 200 * time.Millisecond
	r := start(t, cfg)
	x := r.inWorker("GET", "/orders/7", "")
	candidate.Become(mirrortest.Held(context.Background().Done(), mirrortest.JSON(`{}`)))
	came := make(chan [parallax.Legs]*parallax.Call, 1)
	ask := r.Mirror.AskAgain(x, func(second [parallax.Legs]*parallax.Call) {
		r.Ledger.Move(x.Stamp(), parallax.InWorker, parallax.ComparedDiverged)
		came <- second
	})
	if ask == nil {
		t.Fatal("nobody is asked")
	}
	ask()
	candidate.Wait(t, 2)
	r.Stop()
	second := <-came
	if second[parallax.Candidate].Err.Kind == parallax.NoError || second[parallax.Primary].Err.Kind != parallax.NoError {
		t.Errorf("primary %+v, candidate %+v", second[0].Err, second[1].Err)
	}
}
