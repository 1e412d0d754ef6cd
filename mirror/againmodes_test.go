package mirror_test

import (
	"slices"
	"strings"
	"testing"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// TestAskAgainBesideAnotherProxy: of a copied request both legs are asked again with the
// copy that they got, and still nobody about what is unsafe.
func TestAskAgainBesideAnotherProxy(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, counting("old")), mirrortest.NewBackend(t, counting("new"))
	cfg := tapped(primary.URL, candidate.URL)
	cfg.Mirror.AskAgain = mirror.AskAgain{Share: 1, MaxRPS: 1000}
	r := start(t, cfg)
	x := r.inWorker("GET", "/orders/7?a=1", "", "X-A: b")
	second, asked := r.again(x)
	if !asked || x.Source != parallax.FromTap {
		t.Fatalf("source %s, asked again: %v", x.Source, asked)
	}
	for leg, b := range []*mirrortest.Backend{primary, candidate} {
		first, then := b.Seen()[0], b.Seen()[1]
		if c := second[leg]; c.Err.Kind != parallax.NoError || !strings.HasSuffix(string(c.Response.Body.Bytes), ":2}") {
			t.Errorf("%s answered %s, %+v", parallax.Leg(leg), c.Response.Body.Bytes, c.Err)
		}
		if then.Line != first.Line || then.Header.Get("X-A") != "b" || then.Header.Get("X-Parallax-Role") != "shadow" {
			t.Errorf("%s got %s %v, before %s %v", parallax.Leg(leg), then.Line, then.Header, first.Line, first.Header)
		}
	}
	if _, asked := r.again(r.inWorker("POST", "/orders", "{}")); asked {
		t.Error("an unsafe request was sent again")
	}
}

// TestAskAgainWhenTheCandidateIsLive: each leg gets its own identifiers once more, and
// the live candidate is asked as a shadow, so that nothing takes it for a user's request.
func TestAskAgainWhenTheCandidateIsLive(t *testing.T) {
	t.Parallel()
	primary, candidate := newStateful(t, "old", 16), newStateful(t, "new", 9000)
	cfg := withIdentifiers(primary.URL, candidate.URL)
	cfg.Split.Key, cfg.Split.Salt, cfg.Split.Endpoints = "ip", "s", []string{"* /*"}
	cfg.Mirror.AskAgain = mirror.AskAgain{Share: 1, MaxRPS: 1000}
	r := start(t, cfg)
	r.Mirror.Split().SetStep(10_000)
	r.do("GET", "/orders", "")
	r.Ledger.Move(r.next().Stamp(), parallax.InQueue, parallax.ComparedMatch)
	x := r.inWorker("GET", "/orders?cursor=new-page-2", "")
	second, asked := r.again(x)
	if !asked || x.Live != parallax.Candidate {
		t.Fatalf("live %s, asked again: %v", x.Live, asked)
	}
	for leg, target := range []string{"/orders?cursor=old-page-2", "/orders?cursor=new-page-2"} {
		c := second[leg]
		if c.Request.Target != target || c.Response.Status != 200 || c.Err.Kind != parallax.NoError {
			t.Errorf("the %s answered %d to %s, %+v", parallax.Leg(leg), c.Response.Status, c.Request.Target, c.Err)
		}
		if !slices.Contains(c.Request.Headers, parallax.Field{Name: "X-Parallax-Role", Value: "shadow"}) {
			t.Errorf("the %s was not asked as a shadow: %v", parallax.Leg(leg), c.Request.Headers)
		}
	}
}

// TestNoneIsAskedAgainAfterAReload: what an exchange was sent by may hold no more: a
// request may be declared unsafe, a field masked, a leg moved.
func TestNoneIsAskedAgainAfterAReload(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, counting("old")), mirrortest.NewBackend(t, counting("new"))
	cfg := askable(primary, candidate)
	r := start(t, cfg)
	x := r.inWorker("GET", "/orders/7", "")
	no := false
	cfg.Mirror.Endpoints = map[string]mirror.EndpointOptions{"GET /orders/{id}": {Safe: &no}}
	r.reload(cfg)
	if _, asked := r.again(x); asked {
		t.Error("an exchange from before the reload was asked again")
	}
	cfg.Mirror.Endpoints = nil
	r.reload(cfg)
	if _, asked := r.again(r.inWorker("GET", "/orders/8", "")); !asked {
		t.Error("after a reload nobody is asked again")
	}
}
