package mirror_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parallax/mirror"
)

// The promise of the same name, where both sides speak HTTP/2.
func TestLiveAnswerNeverWaitsForShadowOverHTTP2(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	for name, candidate := range map[string]http.HandlerFunc{
		"hangs": func(_ http.ResponseWriter, r *http.Request) { wait(r, release) },
		"stops mid-body": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			wait(r, release)
		},
		"breaks":        func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"answers 10 MB": func(w http.ResponseWriter, _ *http.Request) { io.CopyN(w, endless{}, 10<<20) },
	} {
		cfg := asksHTTP2(pair(speaker(t, say("hello")), speaker(t, candidate), mirror.Own))
		cfg.Mirror.Timeout, cfg.Mirror.InFlight = time.Hour, 8
		r := start(t, cfg)
		r.Client = h2c(t)
		for i := range 24 {
			method, body := "GET", ""
			if i%2 == 1 {
				method, body = "POST", strings.Repeat("x", 4096)
			}
			if res, got := r.do(method, "/orders", body); res.StatusCode != 200 || got != "hello HTTP/2.0" {
				t.Fatalf("%s: request %d: the caller got %d %q", name, i, res.StatusCode, got)
			}
		}
		if name == "hangs" || name == "stops mid-body" {
			r.atShadows(8) // those of mirror.in_flight
		}
		defer r.settled(24)
	}
	defer close(release)
}

func wait(r *http.Request, release <-chan struct{}) {
	select {
	case <-release:
	case <-r.Context().Done():
	}
}

// The promise of the same name, where both sides speak HTTP/2.
func TestNothingUnsafeIsMirroredUnlessAllowedOverHTTP2(t *testing.T) {
	t.Parallel()
	f := func(state mirror.State, allow mirror.Unsafe, method string, want int64) {
		t.Helper()
		var asked atomic.Int64
		candidate := func(w http.ResponseWriter, r *http.Request) { asked.Add(1) }
		cfg := asksHTTP2(pair(speaker(t, say("hello")), speaker(t, candidate), state))
		cfg.Mirror.Unsafe = allow
		r := start(t, cfg)
		r.Client = h2c(t)
		r.do(method, "/orders", "{}")
		if r.settled(1); asked.Load() != want {
			t.Errorf("%s, unsafe: %s, %s: the candidate was asked %d times, want %d", state, allow, method, asked.Load(), want)
		}
	}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "PURGE"} {
		f(mirror.Own, mirror.UnsafeNever, method, 0)
		f(mirror.Shared, mirror.UnsafeAllowed, method, 0)
		f(mirror.Follower, mirror.UnsafeAllowed, method, 0)
		f(mirror.Own, mirror.UnsafeAllowed, method, 1)
	}
	f(mirror.Shared, mirror.UnsafeNever, "GET", 1)
}
