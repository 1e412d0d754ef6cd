package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"parallax/divergence"
	"parallax/reports"
)

// standIn is a Parallax made of a plain reverse proxy and a few canned answers.
type standIn struct {
	config   map[string]any
	received atomic.Int64
	stopped  atomic.Bool
	spoil    func(w http.ResponseWriter, n int64) bool // answers the n-th request itself
}

// start is a Start. It reads the configuration as YAML, like Parallax does.
func (s *standIn) start(_ context.Context, config string, logs io.Writer) (func(context.Context) error, error) {
	text, err := os.ReadFile(config)
	if err != nil {
		return nil, err
	}
	var parsed struct {
		Admin    struct{ Listen string }
		Services []struct {
			Listen  string
			Primary struct{ URLs []string }
		}
	}
	if err := errors.Join(yaml.Unmarshal(text, &parsed), yaml.Unmarshal(text, &s.config)); err != nil {
		return nil, err
	}
	primary, err := url.Parse(parsed.Services[0].Primary.URLs[0])
	if err != nil {
		return nil, err
	}
	transport := NewTransport(callers)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(primary) }, Transport: transport}
	var servers []*http.Server
	for addr, handler := range map[string]http.Handler{parsed.Services[0].Listen: s.front(proxy), parsed.Admin.Listen: s.admin()} {
		listener, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, err
		}
		server := &http.Server{Handler: handler}
		servers = append(servers, server)
		go func() { _ = server.Serve(listener) }()
	}
	_, _ = io.WriteString(logs, "started\n")
	return func(ctx context.Context) error {
		s.stopped.Store(true)
		defer transport.CloseIdleConnections()
		return errors.Join(servers[0].Shutdown(ctx), servers[1].Shutdown(ctx))
	}, nil
}

func (s *standIn) front(proxy http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := s.received.Add(1)
		if s.spoil == nil || !s.spoil(w, n) {
			proxy.ServeHTTP(w, r)
		}
	})
}

func (s *standIn) admin() http.Handler {
	mux := http.NewServeMux()
	answer := func(pattern string, value func() any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(value()) })
	}
	answer("GET /readyz", func() any { return "ready" })
	answer("GET /api/v1/services/httpbin/report", func() any {
		return reports.Report{Service: Service, Accounting: divergence.Accounting{Received: s.received.Load(), Compared: map[string]int64{"match": s.received.Load()}}}
	})
	answer("GET /api/v1/services/httpbin/issues", func() any { return map[string]any{"issues": []divergence.Issue{}} })
	answer("GET /api/v1/services/httpbin/verdict", func() any { return reports.Verdict{Decision: reports.Hold, AsOf: time.Now().Add(time.Hour)} })
	return mux
}

// world is the outside of a run in a test. The releases are those of the cache
// that the demo uses, since building them takes its time.
func world(t *testing.T, s *standIn) (World, *bytes.Buffer) {
	t.Helper()
	if testing.Short() {
		t.Skip("installs two releases of go-httpbin")
	}
	if _, err := installed(); err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	return World{Getenv: os.Getenv, Stdout: &stdout, Stderr: io.Discard, Start: s.start}, &stdout
}

func freeAddress(t *testing.T) string {
	t.Helper()
	addrs, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	return addrs[0]
}

func TestDemoFromBeginningToEnd(t *testing.T) {
	t.Parallel()
	var s standIn
	w, stdout := world(t, &s)
	dir := t.TempDir()
	good, err := Run(t.Context(), Options{For: time.Second, Exit: true, JSON: true, Rate: 200, Dir: dir, Listen: freeAddress(t)}, w)
	if err != nil || !good {
		t.Fatalf("good is %v, error is %v\n%s", good, err, stdout)
	}
	var result Result
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	if n := result.Callers.Sent; n != 200 || n != s.received.Load() {
		t.Errorf("callers sent %d requests, Parallax got %d, want 200", n, s.received.Load())
	}
	if diff := cmp.Diff(map[string]int{"primary": 1, "candidate": 1, "secondary": 1}, result.Starts); diff != "" {
		t.Errorf("starts (-want +got):\n%s", diff)
	}
	if !s.stopped.Load() {
		t.Error("Parallax was not stopped")
	}
	for _, kept := range []string{"demo.yaml", "parallax.log", "primary.log"} {
		if _, err := os.Stat(filepath.Join(dir, kept)); err != nil {
			t.Error(err)
		}
	}
}

func TestDemoSaysWhenACallerSawAnError(t *testing.T) {
	t.Parallel()
	s := standIn{spoil: func(w http.ResponseWriter, n int64) bool {
		if n == 7 {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusBadGateway)
		}
		return n == 7
	}}
	w, stdout := world(t, &s)
	good, err := Run(t.Context(), Options{For: 200 * time.Millisecond, Exit: true, Rate: 100, Listen: freeAddress(t)}, w)
	if err != nil || good {
		t.Errorf("good is %v, error is %v, want neither", good, err)
	}
	for _, want := range []string{"1 caller errors, such as: ", "Parallax answered instead of the service", "Parallax did not keep its promises"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no %q in:\n%s", want, stdout)
		}
	}
}

// Ctrl-C while requests are sent ends the sending, not the telling.
func TestDemoTellsWhatItFoundWhenInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	s := standIn{spoil: func(_ http.ResponseWriter, n int64) bool {
		if n == 20 {
			interrupt()
		}
		return false
	}}
	w, stdout := world(t, &s)
	good, err := Run(ctx, Options{For: time.Hour, Rate: 100, Listen: freeAddress(t)}, w)
	if err != nil || !good || !strings.Contains(stdout.String(), "kept its promises") {
		t.Errorf("good is %v, error is %v\n%s", good, err, stdout)
	}
}

func TestDemoKeepsThePageOpenUntilInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var s standIn
	w, _ := world(t, &s)
	told := make(chan struct{})
	w.Stdout = writer(func(text []byte) (int, error) {
		if bytes.Contains(text, []byte("The page stays open on http://")) {
			if s.stopped.Load() {
				t.Error("Parallax was stopped before the page was closed")
			}
			close(told)
		}
		return len(text), nil
	})
	admin, ended := freeAddress(t), make(chan error, 1)
	go func() {
		_, err := Run(ctx, Options{For: 50 * time.Millisecond, Rate: 100, Listen: admin}, w)
		ended <- err
	}()
	select {
	case <-told:
	case err := <-ended:
		t.Fatalf("ended by itself: %v", err)
	}
	interrupt()
	if err := <-ended; err != nil || !s.stopped.Load() {
		t.Errorf("error is %v, stopped is %v", err, s.stopped.Load())
	}
}

type writer func([]byte) (int, error)

func (f writer) Write(p []byte) (int, error) { return f(p) }

func TestDemoWantsAFolderOfItsOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), Options{For: time.Second, Rate: 1, Dir: dir}, World{Getenv: os.Getenv, Stdout: io.Discard, Stderr: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("got %v", err)
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	f := func(o Options, want string) {
		t.Helper()
		_, err := Run(t.Context(), o, World{Stdout: io.Discard, Stderr: io.Discard})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(Options{Rate: 1}, "cannot send requests for 0s")
	f(Options{For: time.Second}, "cannot send 0 requests a second")
	f(Options{For: time.Second, Rate: -1}, "cannot send -1 requests a second")
	f(Options{For: time.Second, Rate: math.NaN()}, "cannot send NaN requests a second")
	f(Options{For: time.Second, Rate: math.Inf(1)}, "cannot send +Inf requests a second")
}

func TestDemoWithoutACacheFolder(t *testing.T) {
	t.Parallel()
	_, err := Cache(func(string) string { return "" })
	if err == nil || !strings.Contains(err.Error(), "neither XDG_CACHE_HOME nor HOME is set") {
		t.Errorf("got %v", err)
	}
	f := func(xdg, home, want string) {
		t.Helper()
		got, err := Cache(func(name string) string { return map[string]string{"XDG_CACHE_HOME": xdg, "HOME": home}[name] })
		if err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	f("/x", "/h", "/x/parallax/demo")
	f("relative", "/h", "/h/.cache/parallax/demo")
	f("", "/h", "/h/.cache/parallax/demo")
}

func TestReleaseIsNotInstalledByAnyFile(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	if err := os.MkdirAll(filepath.Dir(Old.binary(cache)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(Old.binary(cache), []byte("half a binary"), 0o755); err != nil {
		t.Fatal(err)
	}
	if Old.Installed(cache) {
		t.Error("a file that is no binary counts as installed")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(Old.binary(cache)), os.Symlink(self, Old.binary(cache))); err != nil {
		t.Fatal(err)
	}
	if Old.Installed(cache) {
		t.Error("another program counts as installed")
	}
}
