package haproxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"parallax/internal/rig"
	"parallax/mirror/split"
	"parallax/mirror/split/haproxy"
	"parallax/mirror/split/push"
	"parallax/mirror/split/splittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// splitter is an HAProxy on the configuration that docs/split.md hands out, between
// two backends that answer with their leg's name.
type splitter struct {
	*rig.Proxy
	url  string
	file string
	cfg  split.HAProxy
}

func start(t testing.TB) *splitter {
	t.Helper()
	text, err := os.ReadFile("../../../deploy/splitters/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	dir, address := t.TempDir(), rig.FreeAddress(t)
	file, socket := filepath.Join(dir, "split.map"), filepath.Join(dir, "admin.sock")
	conf := strings.NewReplacer(
		"/run/haproxy/admin.sock", socket, "/etc/haproxy/split.map", file, "shop-2026", "orders", "bind :8080", "bind "+address,
		"127.0.0.1:8081", backend(t, "primary"), "127.0.0.1:9002", backend(t, "candidate"),
	).Replace(string(text))
	if err := os.WriteFile(file, []byte("# shares\ncandidate 0\nother 7\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	return &splitter{rig.StartHAProxy(t, dir, conf, address), "http://" + address, file, split.HAProxy{Socket: socket, Map: file}}
}

func backend(t testing.TB, name string) (address string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, name) }))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func (s *splitter) reload(t testing.TB, m push.Splitter) {
	t.Helper()
	before, err := m.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Signal(syscall.SIGUSR2)
	rig.Eventually(t, "a reload", func() error {
		now, err := m.Read(t.Context())
		if err == nil && now.Process == before.Process {
			err = errors.New("the worker of before answers")
		}
		return err
	})
}

func named(r *http.Request, user string) { r.AddCookie(&http.Cookie{Name: "px", Value: user}) }

// scenario takes users with sticky cookies through the steps, on connections that are
// kept alive. HAProxy splits the very users that the built-in splitter does.
func scenario(t testing.TB, users int) splittest.Scenario {
	s := start(t)
	p := splittest.Pusher(t, haproxy.New(s.cfg))
	return splittest.Scenario{
		URL: s.url, Users: users, Connections: 16, Want: splittest.Shares("orders", users), Name: named,
		SetStep: func(ctx context.Context, step int) error { return splittest.Set(ctx, p, step) },
	}
}

func TestUsersThroughTheSteps(t *testing.T) { scenario(t, splittest.Few).Run(t) }

func BenchmarkUsersThroughTheSteps(b *testing.B) { scenario(b, splittest.Many).Bench(b) }

func TestDriver(t *testing.T) {
	t.Parallel()
	s := start(t)
	splittest.Driver(t, haproxy.New(s.cfg))
	text, err := os.ReadFile(s.file)
	if want := "# shares\ncandidate 0\nother 7\n"; err != nil || string(text) != want {
		t.Errorf("%q, %v; want %q", text, err, want)
	}
	if info, err := os.Stat(s.file); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v; want the file's permissions to stay", info.Mode(), err)
	}
}

// TestUsersAreGivenACookie: who has none is given one, and stays.
func TestUsersAreGivenACookie(t *testing.T) {
	t.Parallel()
	s := start(t)
	if err := haproxy.New(s.cfg).Push(t.Context(), 5000); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	ask := func(cookie string) (leg, given string) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if cookie != "" {
			named(req, cookie)
		}
		text, set := answer(t, client, req, "px")
		if set != nil {
			given = set.Value
		}
		return text, given
	}
	for range 20 {
		leg, name := ask("")
		if name == "" {
			t.Fatal("no cookie was given")
		}
		again, another := ask(name)
		want := "primary"
		if split.Bucket("orders", name) < 5000 {
			want = "candidate"
		}
		if leg != want || again != want || another != "" {
			t.Errorf("%s: %s, then %s and cookie %q; want %s twice", name, leg, again, another, want)
		}
	}
}

// TestARestartForgetsNothing: the map's file holds the step, and what else stood
// there.
func TestARestartForgetsNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	m := haproxy.New(s.cfg)
	if err := m.Push(t.Context(), 2500); err != nil {
		t.Fatal(err)
	}
	before, err := m.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if got, err := m.Read(t.Context()); err == nil {
		t.Fatalf("read %+v from nobody", got)
	}
	s.Start()
	after, err := m.Read(t.Context())
	if err != nil || after.Step != 2500 || after.Process == before.Process {
		t.Errorf("%+v, %v after %+v; want step 2500 in another process", after, err, before)
	}
}

// TestAnHAProxyThatForgets is pushed the step again; one that somebody else changed
// is left alone, but for a rollback.
func TestAnHAProxyThatForgets(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.cfg.File = split.NoFile
	m := haproxy.New(s.cfg)
	p := splittest.Pusher(t, m)
	if err := splittest.Set(t.Context(), p, 2500); err != nil {
		t.Fatal(err)
	}
	s.reload(t, m)
	rig.Eventually(t, "the step after a reload", func() error { return stands(t, m, 2500) })
	if err := m.Push(t.Context(), 700); err != nil { // somebody else
		t.Fatal(err)
	}
	rig.Eventually(t, "seeing another owner", func() error {
		if got := p.Status(); got.State != push.Taken || got.Step != 700 {
			return fmt.Errorf("%+v", got)
		}
		return stands(t, m, 700)
	})
	if err := splittest.Set(t.Context(), p, 0); err != nil {
		t.Error(err)
	}
	if err := stands(t, m, 0); err != nil {
		t.Error(err)
	}
}

func stands(t testing.TB, m push.Splitter, step int) error {
	got, err := m.Read(t.Context())
	if err == nil && got.Step != step {
		err = fmt.Errorf("step %d stands there, want %d", got.Step, step)
	}
	return err
}

// TestWorkersOfBefore: a connection that is open over a reload is served by a worker
// of before, which the master takes the step to.
func TestWorkersOfBefore(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.cfg.Socket, s.cfg.Master = filepath.Join(s.Dir, "master.sock"), true
	m := haproxy.New(s.cfg)
	if err := m.Push(t.Context(), 10000); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nCookie: px=alice\r\n") // not the whole head yet
	s.reload(t, m)
	if err := m.Push(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if err := stands(t, m, 0); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "Connection: close\r\n\r\n")
	text, err := io.ReadAll(conn)
	if err != nil || !strings.HasSuffix(string(text), "primary") {
		t.Errorf("%q, %v; want an answer of the primary", text, err)
	}
}

// TestFaults are those a person can mend.
func TestFaults(t *testing.T) {
	t.Parallel()
	s := start(t)
	f := func(change func(*split.HAProxy), want string) {
		t.Helper()
		cfg := s.cfg
		change(&cfg)
		if err := haproxy.New(cfg).Push(t.Context(), 100); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	f(func(c *split.HAProxy) { c.Socket += ".not" }, "cannot reach HAProxy's runtime socket")
	f(func(c *split.HAProxy) { c.Map += ".not" }, "map must be spelt as in haproxy.cfg")
	f(func(c *split.HAProxy) { c.File = s.file + ".not" }, "forgets it when it is restarted")
	f(func(c *split.HAProxy) { c.Master = true }, "is master: true right?")
	if err := stands(t, haproxy.New(s.cfg), 100); err != nil {
		t.Errorf("where only the file cannot be written, the step is in force: %v", err)
	}
}
