package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"parallax/internal/signature"
	"parallax/mirror/split"
	"parallax/mirror/split/splittest"
	"parallax/mirror/split/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "an example, of 32 bytes or more."

// TestSign is the example of docs/split.md.
func TestSign(t *testing.T) {
	t.Parallel()
	got := signature.Sign([]byte(secret), "1795449600", []byte(`{"service":"shop","step":2500,"sequence":1795449600000}`))
	text, err := os.ReadFile("../../../docs/split.md")
	if err != nil || !strings.Contains(string(text), got) {
		t.Errorf("%s is not in docs/split.md, %v", got, err)
	}
}

// edge is a splitter that takes its step by webhook, as docs/split.md asks for.
type edge struct {
	step atomic.Int64
	fail func() (status int) // of the next request; nil: none does

	mu       sync.Mutex
	last     int64 // sequence
	received []webhook.Message
}

// take is the receiver.
func (e *edge) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "cut", http.StatusBadRequest)
		return
	}
	timestamp := r.Header.Get(signature.TimestampHeader)
	sent, err := strconv.ParseInt(timestamp, 10, 64)
	if age := time.Since(time.Unix(sent, 0)); err != nil || age.Abs() > 5*time.Minute || !hmac.Equal([]byte(r.Header.Get(signature.Header)), []byte(signature.Sign([]byte(secret), timestamp, body))) {
		http.Error(w, "not signed", http.StatusUnauthorized)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.Method == http.MethodPost {
		var m webhook.Message
		if err := json.Unmarshal(body, &m); err != nil || m.Service != "shop" {
			http.Error(w, "not for me", http.StatusBadRequest)
			return
		}
		e.received = append(e.received, m)
		if e.fail != nil {
			if status := e.fail(); status != 0 {
				http.Error(w, "not now", status)
				return
			}
		}
		if m.Sequence < e.last {
			http.Error(w, "out of order", http.StatusConflict)
			return
		}
		e.last = m.Sequence
		e.step.Store(int64(m.Step))
	}
	fmt.Fprintf(w, `{"step":%d}`, e.step.Load())
}

// split sends a user to one of two backends, as docs/split.md says users are split.
func (e *edge) split(primary, candidate *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		Transport: &http.Transport{MaxIdleConnsPerHost: 32, IdleConnTimeout: time.Second},
		Rewrite: func(r *httputil.ProxyRequest) {
			to := primary
			if user, err := r.In.Cookie("px"); err == nil && bucket("orders", user.Value) < e.step.Load() {
				to = candidate
			}
			r.SetURL(to)
		},
	}
}

// bucket is written from docs/split.md alone, as whoever has a splitter would.
func bucket(salt, user string) int64 {
	sum := sha256.Sum256([]byte(salt + "\x00" + user))
	return int64(binary.BigEndian.Uint64(sum[:8]) % 10000)
}

// start serves the receiver, and what splits by its step in front of two backends that
// answer with their leg's name.
func start(t testing.TB) (e *edge, front string, cfg split.Webhook) {
	t.Helper()
	e = &edge{}
	hook := serve(t, http.HandlerFunc(e.take))
	front = serve(t, e.split(backend(t, "primary"), backend(t, "candidate"))).String()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return e, front, split.Webhook{URL: hook.String() + "/step", SecretFile: file}
}

func backend(t testing.TB, name string) *url.URL {
	t.Helper()
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, name) }))
}

func serve(t testing.TB, h http.Handler) *url.URL {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// scenario takes users with sticky cookies through the steps, on connections that are
// kept alive. The receiver splits the very users that the built-in splitter does.
func scenario(t testing.TB, users int) splittest.Scenario {
	_, front, cfg := start(t)
	p := splittest.Pusher(t, webhook.New(cfg, "shop", time.Now))
	return splittest.Scenario{
		URL: front, Users: users, Connections: 16, Want: splittest.Shares("orders", users),
		Name:    func(r *http.Request, user string) { r.AddCookie(&http.Cookie{Name: "px", Value: user}) },
		SetStep: func(ctx context.Context, step int) error { return splittest.Set(ctx, p, step) },
	}
}

func TestUsersThroughTheSteps(t *testing.T) {
	t.Parallel()
	scenario(t, splittest.Few).Run(t)
}

func BenchmarkUsersThroughTheSteps(b *testing.B) { scenario(b, splittest.Many).Bench(b) }

// TestDriver also wants each message to come after the one before.
func TestDriver(t *testing.T) {
	t.Parallel()
	e, _, cfg := start(t)
	splittest.Driver(t, webhook.New(cfg, "shop", func() time.Time { return time.Now().Truncate(time.Minute) }))
	for i, m := range e.received[1:] {
		if m.Sequence <= e.received[i].Sequence {
			t.Errorf("message %d has sequence %d after %d", i+1, m.Sequence, e.received[i].Sequence)
		}
	}
}

// TestRetriesAreTheSameMessage: where nobody could take it, or nobody knows.
func TestRetriesAreTheSameMessage(t *testing.T) {
	t.Parallel()
	e, _, cfg := start(t)
	h := webhook.New(cfg, "shop", time.Now)
	f := func(want int, fault string, statuses ...int) {
		t.Helper()
		e.received = nil
		e.fail = func() int {
			if len(statuses) == 0 {
				return 0
			}
			status := statuses[0]
			statuses = statuses[1:]
			return status
		}
		err := h.Push(t.Context(), 700)
		if text := fmt.Sprint(err); (fault == "") != (err == nil) || !strings.Contains(text, fault) && fault != "" {
			t.Errorf("%v, want %q", err, fault)
		}
		if len(e.received) != want {
			t.Fatalf("sent %d times, want %d", len(e.received), want)
		}
		for _, m := range e.received {
			if d := cmp.Diff(e.received[0], m); d != "" {
				t.Error(d)
			}
		}
	}
	f(1, "")
	f(3, "", 503, 429)
	f(3, "status 500", 500, 500, 500)
	f(1, `status 403: "not now\n"`, 403)
	ctx, cancel := context.WithCancelCause(t.Context())
	e.received = nil
	e.fail = func() int { cancel(errors.New("over")); return 503 }
	if err := h.Push(ctx, 700); err == nil || len(e.received) != 1 {
		t.Errorf("%v after %d messages", err, len(e.received))
	}
}

// TestFaults are those a person can mend.
func TestFaults(t *testing.T) {
	t.Parallel()
	_, _, cfg := start(t)
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	answering := func(text string, status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			io.WriteString(w, text)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	f := func(change func(*split.Webhook), want string) {
		t.Helper()
		c := cfg
		change(&c)
		if got, err := webhook.New(c, "shop", time.Now).Read(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v, %v; want %q in it", got, err, want)
		}
	}
	f(func(c *split.Webhook) { c.SecretFile += ".not" }, "no such file")
	f(func(c *split.Webhook) { c.SecretFile = file("short") }, "has 5 bytes")
	f(func(c *split.Webhook) { c.SecretFile = file("of somebody else entirely") }, `status 401: "not signed\n"`)
	f(func(c *split.Webhook) { c.URL = answering("{}", 200) }, "does not tell its step")
	f(func(c *split.Webhook) { c.URL = answering(`{"step":10001}`, 200) }, "does not tell its step")
	f(func(c *split.Webhook) { c.URL = answering(`{"step":1}`, 302) }, "status 302")
	f(func(c *split.Webhook) { c.URL = answering(strings.Repeat(" ", 1<<20)+`{"step":1}`, 200) }, "does not tell its step")
	f(func(c *split.Webhook) { c.URL = "http://127.0.0.1:1/" }, "the webhook does not answer")
}
