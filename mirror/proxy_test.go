package mirror_test

import (
	"testing"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

func TestExchangeHoldsBothAnswers(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Raw(mirrortest.Message(200, `{"id":17}`, "X-Version: 1.4", "Content-Type: application/json")))
	candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{"id":18}`))
	cfg := pair(primary.URL, candidate.URL, mirror.Shared)
	cfg.Primary.Version = "header:X-Version"
	cfg.Split.Key = "header:X-User"
	r := start(t, cfg)

	res, body := r.do("GET", "/orders/17?a=b", "", "X-User: alice")
	if res.StatusCode != 200 || body != `{"id":17}` {
		t.Fatalf("caller got %d %q", res.StatusCode, body)
	}
	x := r.next()
	if x.Endpoint != "GET /orders/{id}" || x.Service != "shop" || x.Live != parallax.Primary || x.User == [16]byte{} {
		t.Errorf("exchange %+v", x)
	}
	p, c := x.Legs[parallax.Primary], x.Legs[parallax.Candidate]
	if p == nil || c == nil || x.Legs[parallax.Secondary] != nil {
		t.Fatalf("legs %v", x.Legs)
	}
	if string(p.Response.Body.Bytes) != `{"id":17}` || string(c.Response.Body.Bytes) != `{"id":18}` {
		t.Errorf("bodies %q and %q", p.Response.Body.Bytes, c.Response.Body.Bytes)
	}
	if p.Version != "1.4" || p.Request.Target != "/orders/17?a=b" || p.Response.Body.Cut || p.Response.Body.Size != 9 {
		t.Errorf("primary's call %+v", p)
	}
	for _, call := range []*parallax.Call{p, c} {
		if !(call.Start < call.First && call.First <= call.Done) {
			t.Errorf("times %s %s %s", call.Start, call.First, call.Done)
		}
	}
}

func TestRedirectsAreTheCallersToFollow(t *testing.T) {
	t.Parallel()
	redirect := mirrortest.Raw(mirrortest.Message(302, "", "Location: /elsewhere"))
	primary, candidate := mirrortest.NewBackend(t, redirect), mirrortest.NewBackend(t, redirect)
	r := start(t, pair(primary.URL, candidate.URL, mirror.Shared))
	if res, _ := r.do("GET", "/", ""); res.StatusCode != 302 || res.Header.Get("Location") != "/elsewhere" {
		t.Errorf("caller got %d, Location %q", res.StatusCode, res.Header.Get("Location"))
	}
	x := r.next()
	if got := x.Legs[parallax.Candidate].Response.Status; got != 302 || primary.Count() != 1 || candidate.Count() != 1 {
		t.Errorf("candidate's status %d; the legs were asked %d and %d times", got, primary.Count(), candidate.Count())
	}
}
