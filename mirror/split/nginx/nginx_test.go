package nginx_test

import (
	"bufio"
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
	"time"

	"go.uber.org/goleak"

	"parallax/internal/rig"
	"parallax/mirror/split"
	"parallax/mirror/split/nginx"
	"parallax/mirror/split/push"
	"parallax/mirror/split/splittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const nobody = "split_clients $parallax_user $parallax_leg { * primary; }\nmap \"\" $parallax_step { default 0; }\n"

// splitter is an nginx on the configuration that docs/split.md hands out, between two
// backends that answer with their leg's name.
type splitter struct {
	*rig.Proxy
	address string
	cfg     split.Nginx
}

func start(t testing.TB) *splitter {
	t.Helper()
	text, err := os.ReadFile("../../../deploy/splitters/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	dir, address, status := t.TempDir(), rig.FreeAddress(t), rig.FreeAddress(t)
	file, pid := filepath.Join(dir, "parallax.conf"), filepath.Join(dir, "nginx.pid")
	conf := strings.NewReplacer(
		"/run/nginx.pid", pid, "/etc/nginx/parallax.conf", file, "shop-2026", "orders", "listen 8080", "listen "+address, "127.0.0.1:8089", status,
		"127.0.0.1:8081", backend(t, "primary"), "127.0.0.1:9002", backend(t, "candidate"), "http {", "http {\n    access_log off;",
	).Replace(string(text))
	if err := os.WriteFile(file, []byte(nobody), 0o640); err != nil {
		t.Fatal(err)
	}
	p := rig.StartNginx(t, dir, conf, address)
	test := []string{"nginx", "-t", "-q", "-p", dir, "-e", "stderr", "-c", filepath.Join(dir, "conf")}
	return &splitter{p, address, split.Nginx{File: file, Status: "http://" + status + "/parallax/step", PID: pid, Test: test}}
}

func backend(t testing.TB, name string) (address string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, name) }))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func named(r *http.Request, user string) { r.AddCookie(&http.Cookie{Name: "px", Value: user}) }

// scenario takes users with sticky cookies through the steps, on connections that are
// kept alive. A connection may be reset once a reload, and its request is answered on
// one retry.
func scenario(t testing.TB, users int, want []int) splittest.Scenario {
	s := start(t)
	p := splittest.Pusher(t, nginx.New(s.cfg))
	return splittest.Scenario{
		URL: "http://" + s.address, Users: users, Connections: 16, Want: want, Resets: 1, Name: named,
		SetStep: func(ctx context.Context, step int) error { return splittest.Set(ctx, p, step) },
	}
}

func TestUsersThroughTheSteps(t *testing.T) { scenario(t, splittest.Few, nil).Run(t) }

// BenchmarkUsersThroughTheSteps wants the shares of docs/split.md: nginx has a hash of
// its own, which is the same everywhere.
func BenchmarkUsersThroughTheSteps(b *testing.B) {
	scenario(b, splittest.Many, []int{0, 78, 465, 2522, 5041, 10000, 2522, 0}).Bench(b)
}

func TestDriver(t *testing.T) {
	t.Parallel()
	s := start(t)
	splittest.Driver(t, nginx.New(s.cfg))
	if info, err := os.Stat(s.cfg.File); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v; want the file's permissions to stay", info.Mode(), err)
	}
	s.Kill()
	s.Start()
	if got, err := nginx.New(s.cfg).Read(t.Context()); err != nil || got.Step != 0 {
		t.Errorf("%+v, %v after a restart", got, err)
	}
}

// TestACommandReloads where Parallax does not see nginx's processes.
func TestACommandReloads(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.cfg.Reload = []string{"sh", "-c", "kill -HUP $(cat " + s.cfg.PID + ")"}
	s.cfg.PID = ""
	f := nginx.New(s.cfg)
	for _, step := range []int{5000, 0} {
		if err := f.Push(t.Context(), step); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Read(t.Context()); err != nil || got.Step != step {
			t.Errorf("%+v, %v; want %d", got, err, step)
		}
	}
	s.cfg.Reload = []string{"sh", "-c", "echo no right; exit 3"}
	if err := nginx.New(s.cfg).Push(t.Context(), 100); err == nil || !strings.Contains(err.Error(), "exit status 3: no right") {
		t.Errorf("%v", err)
	}
}

// TestRollbackWaitsForOpenConnections: a worker of before that holds a connection
// without a request would answer it as before. The rollback is confirmed when it
// cannot any more.
func TestRollbackWaitsForOpenConnections(t *testing.T) {
	t.Parallel()
	s := start(t)
	f := nginx.New(s.cfg)
	if err := f.Push(t.Context(), 10000); err != nil {
		t.Fatal(err)
	}
	conn, _ := hold(t, s.address)
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := f.Push(short, 0); err == nil || !strings.Contains(err.Error(), "worker_shutdown_timeout") {
		t.Errorf("a rollback that a worker of before does not know of: %v", err)
	}
	if got, err := f.Read(t.Context()); err == nil {
		t.Errorf("read %+v while a worker of before serves", got)
	}
	if err := f.Push(t.Context(), 0); err != nil {
		t.Error(err)
	}
	notByTheCandidate(t, conn)
	if got, err := f.Read(t.Context()); err != nil || got.Step != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// hold connects, asks once, and begins to ask again: the worker has taken the connection
// when it has answered, and waits for more.
func hold(t *testing.T, address string) (conn net.Conn, leg string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n")
	first, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, 1<<20)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Body.Close()
	text, err := io.ReadAll(first.Body)
	if err != nil {
		t.Fatal(err)
	}
	return conn, string(text)
}

// notByTheCandidate sends the rest of the request that hold has begun.
func notByTheCandidate(t *testing.T, conn net.Conn) {
	t.Helper()
	fmt.Fprint(conn, "Host: x\r\n\r\n") // it may be closed
	if text, err := io.ReadAll(conn); err == nil && strings.Contains(string(text), "candidate") {
		t.Errorf("answered after the rollback was confirmed: %q", text)
	}
}

// slowly has nginx take more than a second to read its configuration. The channel gives
// a value when it has read the step and is at the rest.
func (s *splitter) slowly(t *testing.T) (reading <-chan struct{}) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Dir, "conf"))
	if err != nil {
		t.Fatal(err)
	}
	include := "include " + s.cfg.File + ";"
	fifo, long := filepath.Join(s.Dir, "fifo"), filepath.Join(s.Dir, "long.conf")
	var entries strings.Builder
	for i := range 400_000 {
		fmt.Fprintf(&entries, "/%d %d;\n", i, i)
	}
	conf := strings.NewReplacer("http {", "http { map_hash_max_size 1000000;", include, include+"include "+fifo+"; include "+long+";").Replace(string(text))
	err = errors.Join(
		syscall.Mkfifo(fifo, 0o600),
		os.WriteFile(long, []byte("map $uri $long {\n"+entries.String()+"}\n"), 0o600),
		os.WriteFile(filepath.Join(s.Dir, "conf"), []byte(conf), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		file, err := os.OpenFile(fifo, os.O_WRONLY, 0) // waits until somebody reads
		opened <- struct{}{}
		<-t.Context().Done()
		if err == nil {
			file.Close()
		}
	}()
	t.Cleanup(func() {
		if file, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0); err == nil { // if nobody did
			defer file.Close()
		}
		<-ended
	})
	return opened
}

// TestRollbackIntoAReload: a rollback that comes while nginx still reads its configuration
// for a raise. Workers with the raise are started after the rollback was asked for, serve
// while it is read, and are waited for too.
func TestRollbackIntoAReload(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.cfg.Test = []string{"true"} // which would take long too
	reading := s.slowly(t)
	f := nginx.New(s.cfg)
	raise, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	raised := make(chan error, 1)
	go func() { raised <- f.Push(raise, 10000) }()
	select {
	case <-reading:
		interrupt()
	case err := <-raised:
		t.Fatalf("nginx has not read its configuration: %v", err)
	}
	if err := <-raised; err == nil {
		t.Fatal("the raise was in force before it could be")
	}
	back := make(chan error, 1)
	go func() { back <- f.Push(t.Context(), 0) }()
	var conn net.Conn
	rig.Eventually(t, "a worker with the raise", func() error {
		held, leg := hold(t, s.address)
		if leg != "candidate" {
			return errors.Join(fmt.Errorf("the %s answers", leg), held.Close())
		}
		conn = held
		return nil
	})
	if err := <-back; err != nil {
		t.Fatal(err)
	}
	notByTheCandidate(t, conn)
}

// TestAnotherOwner is left alone.
func TestAnotherOwner(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := splittest.Pusher(t, nginx.New(s.cfg))
	if err := splittest.Set(t.Context(), p, 2500); err != nil {
		t.Fatal(err)
	}
	if err := nginx.New(s.cfg).Push(t.Context(), 700); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, "seeing another owner", func() error {
		if got := p.Status(); got.State != push.Taken || got.Step != 700 {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
}

// TestBrokenAfterItsTest: an nginx that is reloaded and does not take the step is not asked again
// at once. A rollback is pushed at once, and what somebody else has reloaded is seen.
func TestBrokenAfterItsTest(t *testing.T) {
	t.Parallel()
	s := start(t)
	log := filepath.Join(t.TempDir(), "log")
	did := func(what string) []string { return []string{"sh", "-c", "echo " + what + " >> " + log} }
	s.cfg.Test, s.cfg.Reload = did("test"), did("reload")
	f := nginx.New(s.cfg)
	want := func(step int, words string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := f.Push(ctx, step)
		text, wrong := os.ReadFile(log)
		if got := strings.Join(strings.Fields(string(text)), " "); err == nil || wrong != nil || got != words {
			t.Errorf("step %d: %v; %s, want %s", step, err, got, words)
		}
	}
	want(500, "test reload")
	want(500, "test reload")
	s.Signal(syscall.SIGHUP)
	rig.Eventually(t, "the step that somebody else has nginx read", func() error { return f.Push(t.Context(), 500) })
	want(0, "test reload test reload")
	want(0, "test reload test reload")
}

// TestFaults are those a person can mend.
func TestFaults(t *testing.T) {
	t.Parallel()
	s := start(t)
	stranger := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(stranger, fmt.Append(nil, os.Getpid()), 0o600); err != nil {
		t.Fatal(err)
	}
	step := 0
	f := func(change func(*split.Nginx), want string) {
		t.Helper()
		step++
		cfg := s.cfg
		change(&cfg)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := nginx.New(cfg).Push(ctx, step); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	f(func(c *split.Nginx) { c.PID = stranger }, "cannot find nginx: process") // SIGHUP would end this test
	f(func(c *split.Nginx) { c.PID += ".not" }, "cannot find nginx")
	f(func(c *split.Nginx) { c.File += ".other" }, "is "+s.cfg.File+".other what its http block includes?")
	f(func(c *split.Nginx) { c.Status += "/not" }, "nginx does not tell its step")
	f(func(c *split.Nginx) { c.File = "/proc/none/parallax.conf" }, "cannot write what nginx includes")
	before, err := os.ReadFile(s.cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	f(func(c *split.Nginx) { c.Test = []string{"sh", "-c", "echo broken elsewhere; exit 1"}; c.Prefix = "px" }, "was not reloaded: sh -c echo broken elsewhere; exit 1: exit status 1: broken elsewhere")
	if after, err := os.ReadFile(s.cfg.File); err != nil || string(after) != string(before) {
		t.Error(errors.Join(err, fmt.Errorf("a file that nginx does not take was left: %q", after)))
	}
}
