package mirror_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

func TestHeadersOfEachLeg(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	cfg := pair(primary.URL, candidate.URL, mirror.Own)
	cfg.Mirror.Request.RequestChanges = mirror.RequestChanges{Set: map[string]string{"X-Shadow": "1"}, Remove: []string{"X-Drop"}}
	r := start(t, cfg)
	r.do("GET", "/orders/1", "",
		"X-Parallax-Role: shadow", "x-parallax-exchange: forged", "X-Parallax-Anything: x",
		"Baggage: tenant=7,parallax-role=shadow:shop:0:00", "X-Forwarded-For: 192.0.2.7",
		"Connection: X-Hop, keep-alive", "X-Hop: secret", "Keep-Alive: 5", "Te: trailers", "X-Drop: d",
		"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Upgrade: h2c")
	x := r.next()
	p, c := primary.Wait(t, 1)[0].Header, candidate.Wait(t, 1)[0].Header

	f := func(name, wantPrimary, wantCandidate string) {
		t.Helper()
		if got := p.Get(name); got != wantPrimary {
			t.Errorf("primary got %s: %q, want %q", name, got, wantPrimary)
		}
		if got := c.Get(name); got != wantCandidate {
			t.Errorf("candidate got %s: %q, want %q", name, got, wantCandidate)
		}
	}
	f("X-Parallax-Role", "live", "shadow")
	f("X-Parallax-Leg", "primary", "candidate")
	f("X-Parallax-Exchange", x.ID.String(), x.ID.String())
	f("X-Parallax-Anything", "", "")
	f("X-Forwarded-For", "192.0.2.7, 127.0.0.1", "192.0.2.7, 127.0.0.1")
	f("X-Forwarded-Proto", "http", "http")
	f("X-Hop", "", "")
	f("Keep-Alive", "", "")
	f("Upgrade", "", "")
	f("X-Drop", "d", "")
	f("X-Shadow", "", "1")
	f("Te", "trailers", "trailers")
	const callers = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	trace, _ := parallax.ParseTraceparent(callers)
	f("Traceparent", callers, trace.ForShadow(x.ID, parallax.Candidate).String())
	if got := p.Get("Baggage"); !strings.HasPrefix(got, "tenant=7,parallax-role=live:shop:"+x.ID.String()+":1:") || strings.Count(got, "parallax-role") != 1 {
		t.Errorf("primary got Baggage %q", got)
	}
	if got := c.Get("Baggage"); !strings.HasPrefix(got, "tenant=7,parallax-role=shadow:shop:"+x.ID.String()+":1:") || strings.Count(got, "parallax-role") != 1 {
		t.Errorf("candidate got Baggage %q", got)
	}
}

func TestHeadersKeepOrderAndCase(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
	in, _ := r.raw("POST /orders HTTP/1.1\r\nx-zebra: 1\r\nHost: shop.example\r\nACCEPT: */*\r\nKeep-Alive: 5\r\nX-Multi: b\r\n" +
		"Connection: keep-alive, x-hop\r\ncontent-LENGTH: 2\r\nX-Hop: 1\r\nx-multi: a\r\nX-Multi: b\r\nTE: gzip\r\ncookie: q=1; p=2\r\nX-Empty:\r\n\r\n{}")
	if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 200 {
		t.Fatalf("%v, %v", res, err)
	}
	want := []string{
		"Host: shop.example", "x-zebra: 1", "ACCEPT: */*", "X-Multi: b", "content-LENGTH: 2",
		"x-multi: a", "X-Multi: b", "cookie: q=1; p=2", "X-Empty: ",
		"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: shop.example",
	}
	for leg, b := range map[string]*mirrortest.Backend{"primary": primary, "candidate": candidate} {
		head := b.Wait(t, 1)[0].Head
		head = head[:min(len(head), len(want))]
		if diff := cmp.Diff(want, head); diff != "" {
			t.Errorf("the %s got another head (-want +got):\n%s", leg, diff)
		}
	}
	r.next()
}

// Fields about one connection stay on it, whichever way they are named, and the
// rest of what curl sent arrives in its order.
func TestHopByHopFieldsOfCurl(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Raw(mirrortest.Message(200, "hi", "Connection: x-answer-hop", "X-Answer-Hop: 1", "Keep-Alive: timeout=5",
		"Proxy-Authenticate: Basic", "X-Stays: 1")))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
	out := curl(t, 0, "--include", "--user-agent", "", "--header", "Connection: X-Hop, keep-alive", "--header", "X-Hop: 1", "--header", "Proxy-Connection: keep-alive",
		"--header", "Keep-Alive: 5", "--header", "TE: trailers, deflate", "--header", "Proxy-Authorization: Basic c2VjcmV0", "--header", "X-Stays: 1", r.URL+"/orders/1")
	if want := "HTTP/1.1 200 OK\r\nX-Stays: 1\r\nContent-Length: 2\r\n\r\nhi"; out != want {
		t.Errorf("curl got %q, want %q", out, want)
	}
	want := []string{"Host: " + r.Addr, "Accept: */*", "X-Stays: 1", "Te: trailers", "X-Forwarded-For: 127.0.0.1"}
	for name, b := range map[string]*mirrortest.Backend{"primary": primary, "candidate": candidate} {
		got := b.Wait(t, 1)[0].Head
		if diff := cmp.Diff(want, got[:min(len(got), len(want))]); diff != "" {
			t.Errorf("the %s got another head (-want +got):\n%s", name, diff)
		}
	}
}
