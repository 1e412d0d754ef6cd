package haproxy_test

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"parallax/internal/rig"
	"parallax/mirror/split"
	"parallax/mirror/split/haproxy"
	"parallax/mirror/split/splittest"
)

// startServers is an HAProxy that splits by weights, with cookies that hold users. Both
// servers have a weight, and the candidate's is disabled.
func startServers(t testing.TB, weight int) (url string, cfg split.HAProxy) {
	t.Helper()
	dir, address := t.TempDir(), rig.FreeAddress(t)
	socket := filepath.Join(dir, "admin.sock")
	rig.StartHAProxy(t, dir, fmt.Sprintf(`global
    stats socket %s level admin
defaults
    mode http
    option redispatch
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen shop
    bind %s
    cookie px insert indirect nocache
    server p1 %s cookie p1 weight %d
    server c1 %s cookie c1 weight %d disabled
`, socket, address, backend(t, "primary"), weight, backend(t, "candidate"), weight), address)
	return "http://" + address, split.HAProxy{Socket: socket, Weights: &split.Weights{Backend: "shop", Primary: "p1", Candidate: "c1"}}
}

func TestServersDriver(t *testing.T) {
	t.Parallel()
	_, cfg := startServers(t, 1)
	s := haproxy.New(cfg)
	var steps []int
	for step := range 101 { // every whole percent has weights
		steps = append(steps, 100*step)
	}
	for _, step := range append(steps, 2500, 0, 9900) {
		if err := s.Push(t.Context(), step); err != nil {
			t.Fatalf("pushing %d: %v", step, err)
		}
		if got, err := s.Read(t.Context()); err != nil || got.Step != step {
			t.Errorf("%+v, %v; want step %d", got, err, step)
		}
	}
	if err := s.Push(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "whole percents") {
		t.Errorf("a step that no weights stand for: %v", err)
	}
	cfg.Weights = &split.Weights{Backend: "shop", Primary: "p1", Candidate: "c2"}
	if err := haproxy.New(cfg).Push(t.Context(), 100); err == nil || !strings.Contains(err.Error(), "must be those of haproxy.cfg") {
		t.Errorf("%v", err)
	}
	if got, err := haproxy.New(cfg).Read(t.Context()); err == nil {
		t.Errorf("%+v", got)
	}
	before, _ := s.Read(t.Context())
	if err := haproxy.New(cfg).Push(t.Context(), 10000); err == nil {
		t.Error("nobody is to serve")
	}
	if got, err := s.Read(t.Context()); err != nil || got != before {
		t.Errorf("%+v, %v; want %+v: the primary's server serves where the other is unknown", got, err, before)
	}
}

// TestAServerWithoutWeightIsGivenOne: it would be ready and serve nobody, while the
// other one is out.
func TestAServerWithoutWeightIsGivenOne(t *testing.T) {
	t.Parallel()
	url, cfg := startServers(t, 0)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for step, want := range map[int]string{10000: "candidate", 0: "primary"} {
		if err := haproxy.New(cfg).Push(t.Context(), step); err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if leg, _ := answer(t, client, req, "px"); leg != want {
			t.Errorf("step %d: %q answers, want %s", step, leg, want)
		}
	}
}

// TestNoCookieHoldsAUserOnTheCandidate: users with cookies of the candidate's server,
// on connections that are open, are the primary's after a rollback is confirmed, and
// no request fails.
func TestNoCookieHoldsAUserOnTheCandidate(t *testing.T) {
	t.Parallel()
	url, cfg := startServers(t, 1)
	p := splittest.Pusher(t, haproxy.New(cfg))
	if err := splittest.Set(t.Context(), p, 5000); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	ask := func(cookie *http.Cookie) (leg string, given *http.Cookie) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if cookie != nil {
			req.AddCookie(cookie)
		}
		return answer(t, client, req, "px")
	}
	var held []*http.Cookie
	for range 40 {
		if leg, cookie := ask(nil); leg == "candidate" {
			held = append(held, cookie)
		}
	}
	if len(held) < 10 {
		t.Fatalf("%d of 40 users on the candidate at step 5000", len(held))
	}
	if err := splittest.Set(t.Context(), p, 100); err != nil {
		t.Fatal(err)
	}
	if leg, _ := ask(held[0]); leg != "candidate" {
		t.Error("the trap is none any more: then it can go from docs/split.md")
	}
	if err := splittest.Set(t.Context(), p, 0); err != nil {
		t.Fatal(err)
	}
	for _, cookie := range held {
		if leg, _ := ask(cookie); leg != "primary" {
			t.Fatalf("a user with the cookie %s is answered by the %s after a rollback", cookie, leg)
		}
	}
}

// answer asks, and returns what the answer says and a cookie that it sets.
func answer(t testing.TB, client *http.Client, req *http.Request, name string) (text string, given *http.Cookie) {
	t.Helper()
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range res.Cookies() {
		if c.Name == name {
			given = c
		}
	}
	return string(body), given
}
