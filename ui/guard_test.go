package ui

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

func storeIsAway(context.Context) []Dependency {
	return []Dependency{{Name: "store", Detail: "away"}}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	targets := []string{"/nothing", "/api/v1/services/nosuch/report"}
	for name, c := range routeCases {
		if strings.HasPrefix(name, "GET ") {
			targets = append(targets, c.target)
		}
	}
	for _, target := range targets {
		h := r.call("GET", target, "").Header()
		policy := h.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none';") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "; script-src 'self'; ") {
			t.Errorf("%s: policy %q", target, policy)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "same-origin" {
			t.Errorf("%s: %v", target, h)
		}
		if got := h.Get("Cache-Control"); got != "no-store" && !strings.HasPrefix(target, "/static/") && target != "/openapi.json" {
			t.Errorf("%s may be kept: %q", target, got)
		}
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Hosts = []string{"Parallax.internal"} })
	f := func(host string, want int) {
		t.Helper()
		request := httptest.NewRequest("GET", "/livez", nil)
		request.Host = host
		answer := httptest.NewRecorder()
		r.Handler().ServeHTTP(answer, request)
		if answer.Code != want {
			t.Errorf("host %q: %d, want %d", host, answer.Code, want)
		}
	}
	for _, host := range []string{"localhost", "LOCALHOST:7070", "shop.localhost:7070", "localhost.", "127.0.0.1:7070", "[::1]:7070", "::1", "10.1.2.3", "parallax.internal:7070"} {
		f(host, http.StatusOK)
	}
	for _, host := range []string{"evil.example", "evil.example:7070", "localhost.evil.example", "127.0.0.1.evil.example", "notlocalhost", ""} {
		f(host, http.StatusMisdirectedRequest)
	}
}

func TestAnotherSiteCannotChangeAnything(t *testing.T) {
	t.Parallel()
	const step = "/api/v1/services/shop/step"
	f := func(want int, headers ...string) {
		t.Helper()
		r := newRig(t)
		answer := r.call("PUT", step, `{"step":500,"reason":"x"}`, headers...)
		moved := r.stepper.State().Step == 500
		if answer.Code != want || moved != (want == 200) {
			t.Errorf("%v: %d, moved %v; want %d", headers, answer.Code, moved, want)
		}
	}
	f(200)
	f(200, "Sec-Fetch-Site", "same-origin")
	f(200, "Origin", "http://127.0.0.1:7070")
	f(403, "Sec-Fetch-Site", "cross-site")
	f(403, "Sec-Fetch-Site", "same-site")
	f(403, "Origin", "https://evil.example")
	f(403, "Origin", "null")
	f(415, "Content-Type", "text/plain")
	f(415, "Content-Type", "application/x-www-form-urlencoded")
	f(200, "Content-Type", "application/json; charset=utf-8")

	r := newRig(t)
	if answer := r.call("POST", "/api/v1/services/shop/rollback", "", "Origin", "https://evil.example"); answer.Code != 403 || r.stepper.State().Paused {
		t.Errorf("a rollback from another site: %d", answer.Code)
	}
	if answer := r.call("POST", "/api/v1/services/shop/rollback", "reason=x", "Content-Type", "application/x-www-form-urlencoded"); answer.Code != 415 || r.stepper.State().Paused {
		t.Errorf("a rollback by a form: %d", answer.Code)
	}
}

// TestPagesCannotPileUp fills every slot with a request whose store does not
// answer: the next one is told so, and health is answered all the same.
func TestPagesCannotPileUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store.block, r.store.blocked = make(chan struct{}), make(chan struct{})
	done := make(chan int)
	for range maxAtOnce {
		go func() { done <- r.call("GET", "/api/v1/services/shop/report", "").Code }()
	}
	for range maxAtOnce {
		<-r.store.blocked
	}
	answer := r.call("GET", "/services/shop/issues", "", "Accept", "text/html")
	if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") != "1" || !strings.Contains(answer.Body.String(), "<h1>Service Unavailable</h1>") {
		t.Errorf("%d, Retry-After %q\n%s", answer.Code, answer.Header().Get("Retry-After"), answer.Body)
	}
	if code := r.call("GET", "/livez", "").Code; code != 200 {
		t.Errorf("/livez: %d", code)
	}
	close(r.store.block)
	for range maxAtOnce {
		if code := <-done; code != 200 {
			t.Errorf("a request that had a slot: %d", code)
		}
	}
	if code := r.call("GET", "/services/shop/issues", "").Code; code != 200 {
		t.Errorf("after all were done: %d", code)
	}
}

func TestPanicIsAnsweredAndLoggedOnce(t *testing.T) {
	t.Parallel()
	f := func(accept, contentType string) {
		t.Helper()
		r := newRig(t)
		r.echo.GET("/panic", func(echo.Context) error { panic("boom") })
		answer := r.call("GET", "/panic", "", "Accept", accept)
		if answer.Code != 500 || !strings.HasPrefix(answer.Header().Get("Content-Type"), contentType) || strings.Contains(answer.Body.String(), "boom") {
			t.Errorf("%d %s\n%s", answer.Code, answer.Header().Get("Content-Type"), answer.Body)
		}
		if n := strings.Count(r.log.String(), "boom"); n != 1 {
			t.Errorf("logged %d times: %s", n, r.log)
		}
	}
	f("text/html", "text/html")
	f("application/json", "application/problem+json")
}

// A page reads the store on goroutines of its own; a panic there must not end the process.
func TestPanicBesideAHandler(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store.block, r.store.blocked = make(chan struct{}), make(chan struct{})
	close(r.store.blocked) // The store's Summary panics when it sends.
	answer := r.call("GET", "/services/shop", "", "Accept", "text/html")
	if answer.Code != 500 || strings.Contains(answer.Body.String(), "closed channel") || !strings.Contains(r.log.String(), "closed channel") {
		t.Errorf("%d %s\n%s", answer.Code, answer.Body, r.log)
	}
}
