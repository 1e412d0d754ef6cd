package mirror_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// tapped is a service beside another proxy, with a database for each leg.
func tapped(primary, candidate string) mirror.Service {
	cfg := pair(primary, candidate, mirror.Own)
	cfg.Tap = true
	cfg.Primary.State = mirror.Own
	return cfg
}

func TestCopiesReachBothLegsAsTheyCame(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.JSON(`{"v":1}`))
	candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{"v":2}`))
	r := start(t, tapped(primary.URL, candidate.URL))
	for _, method := range []string{"GET", "POST"} {
		body := map[string]string{"POST": `{"sku":"a"}`}[method]
		res, got := r.do(method, "/orders/7?a=b;c", body, "X-Original-URI: /orders/7", "X-Parallax-Role: live")
		if res.StatusCode != 202 || got != "" || res.ContentLength != 0 {
			t.Errorf("%s: a copy is answered %d %q", method, res.StatusCode, got)
		}
		r.settled(r.Ledger.Received())
		x := r.next()
		if x.Source != parallax.FromTap || x.Live != parallax.Primary || x.Concurrent || x.Legs[parallax.Secondary] != nil {
			t.Errorf("%s: exchange %+v", method, x)
		}
		for l, want := range map[parallax.Leg]string{parallax.Primary: `{"v":1}`, parallax.Candidate: `{"v":2}`} {
			c := x.Legs[l]
			if c == nil || c.Err.Kind != parallax.NoError || string(c.Response.Body.Bytes) != want || string(c.Request.Body.Bytes) != body {
				t.Fatalf("%s: the %s's call is %+v", method, l, c)
			}
		}
	}
	for name, b := range map[string]*mirrortest.Backend{"primary": primary, "candidate": candidate} {
		for _, seen := range b.Wait(t, 2) {
			if seen.Target != "/orders/7?a=b;c" || seen.Header.Get("X-Original-Uri") != "/orders/7" {
				t.Errorf("the %s got %q with %v", name, seen.Line, seen.Head)
			}
			if got := seen.Header.Values("X-Parallax-Role"); !cmp.Equal(got, []string{"shadow"}) {
				t.Errorf("the %s is told the role %q", name, got)
			}
		}
	}
}

// What another proxy's caller waits for does not depend on any leg, or bound.
func TestCopiesAreAnsweredWhateverTheLegsDo(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Hang)
	candidate := mirrortest.NewBackend(t, mirrortest.Hang)
	cfg := tapped(primary.URL, candidate.URL)
	cfg.Mirror.Timeout = time.Hour
	cfg.Mirror.InFlight = 8
	r := start(t, cfg)
	for i := range 24 {
		if res, _ := r.do([]string{"GET", "POST"}[i%2], "/orders", ""); res.StatusCode != 202 {
			t.Fatalf("copy %d is answered %d", i, res.StatusCode)
		}
	}
	if places := r.atShadows(8); places[parallax.UnmirroredConcurrency] != 16 {
		t.Errorf("places %v", places)
	}
	primary.Stop()
	candidate.Stop()
	r.settled(24)
}

func TestCopiesThatAreNotMirrored(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	one := func(t *testing.T, change func(*mirror.Service), send func(*rig), want parallax.Place) {
		t.Helper()
		cfg := tapped(primary.URL, candidate.URL)
		cfg.Mirror.MaxBody = 1 << 10
		if change != nil {
			change(&cfg)
		}
		r := start(t, cfg)
		send(r)
		if places := r.settled(1); places[want] != 1 {
			t.Errorf("places %v, want one at %s", places, want)
		}
	}
	accepted := func(method, body string, headers ...string) func(*rig) {
		return func(r *rig) {
			t.Helper()
			if res, got := r.do(method, "/orders", body, headers...); res.StatusCode != 202 || got != "" {
				t.Errorf("%s of %d bytes is answered %d %q", method, len(body), res.StatusCode, got)
			}
		}
	}
	one(t, nil, accepted("POST", strings.Repeat("x", 1<<10)), parallax.InQueue)
	one(t, nil, accepted("POST", strings.Repeat("x", 1<<10+1)), parallax.UnmirroredBodySize)
	one(t, nil, accepted("GET", "", "Connection: Upgrade", "Upgrade: websocket"), parallax.UnmirroredUpgrade)
	one(t, nil, accepted("TRACE", ""), parallax.UnmirroredUnsafe)
	one(t, func(s *mirror.Service) { s.Mirror.Unsafe = mirror.UnsafeNever }, accepted("POST", "x"), parallax.UnmirroredUnsafe)
	one(t, func(s *mirror.Service) { s.Mirror.Sample = 0 }, accepted("GET", ""), parallax.UnmirroredSample)
	one(t, func(s *mirror.Service) { s.Mirror.Sample, s.Candidate.State = 0, mirror.None }, accepted("POST", "x"), parallax.InQueue)
	one(t, nil, func(r *rig) {
		_, conn := r.raw("POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 10\r\n\r\nhalf")
		conn.Close()
	}, parallax.UnmirroredUnfinished)
	one(t, nil, func(r *rig) {
		answers, _ := r.raw("POST /orders HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n1\r\nx\r\n0\r\n\r\n")
		if line, _ := answers.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
			t.Errorf("a copy that waits to be asked for its body is answered %q", line)
		}
	}, parallax.InQueue)
}

// A copy that the primary rejects is not repeated, and its candidate comes second.
func TestUnsafeCopiesFollowThePrimary(t *testing.T) {
	t.Parallel()
	for status, goesOn := range map[int]bool{200: true, 400: true, 429: false, 500: true, 503: false} {
		primary := mirrortest.NewBackend(t, mirrortest.Status(status))
		candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
		r := start(t, tapped(primary.URL, candidate.URL))
		r.do("POST", "/orders", "{}")
		places := r.settled(1)
		if goesOn != (places[parallax.InQueue] == 1) || candidate.Count() != places[parallax.InQueue] || primary.Count() != 1 {
			t.Errorf("primary's status %d: places %v, candidate asked %d times", status, places, candidate.Count())
		}
		if !goesOn && places[parallax.UnmirroredRejected] != 1 {
			t.Errorf("primary's status %d: places %v", status, places)
		}
		if goesOn {
			if x := r.next(); x.Legs[parallax.Candidate].Start < x.Legs[parallax.Primary].Done {
				t.Errorf("the candidate was asked at %v, before the primary's end at %v", x.Legs[parallax.Candidate].Start, x.Legs[parallax.Primary].Done)
			}
		}
	}
}

// Copies of one user reach each leg in the order in which they came.
func TestOrderOfCopies(t *testing.T) {
	t.Parallel()
	old := mirrortest.Store{Delay: time.Millisecond}
	new := mirrortest.Store{Delay: 2 * time.Millisecond}
	cfg := tapped(mirrortest.NewBackend(t, old.Answer).URL, mirrortest.NewBackend(t, new.Answer).URL)
	cfg.Mirror.OrderBy = "header:X-User"
	r := start(t, cfg)
	const users, writes = 4, 10
	var wg sync.WaitGroup
	for u := range users {
		wg.Go(func() {
			for i := range writes {
				r.do("PUT", fmt.Sprintf("/notes/%d", u), fmt.Sprint(i), fmt.Sprintf("X-User: %d", u))
				r.do("GET", fmt.Sprintf("/notes/%d", u), "", fmt.Sprintf("X-User: %d", u))
			}
		})
	}
	wg.Wait()
	places := r.settled(2 * users * writes)
	if places[parallax.InQueue] != 2*users*writes {
		t.Fatalf("places %v", places)
	}
	for range 2 * users * writes {
		x := r.next()
		p, c := x.Legs[parallax.Primary], x.Legs[parallax.Candidate]
		if diff := cmp.Diff(string(p.Response.Body.Bytes), string(c.Response.Body.Bytes)); diff != "" || x.Concurrent {
			t.Errorf("%s %s, concurrent %t: %s", p.Request.Method, p.Request.Target, x.Concurrent, diff)
		}
	}
}

func TestTapContradictions(t *testing.T) {
	t.Parallel()
	cfg := tapped("http://127.0.0.1:1", "http://127.0.0.1:2")
	if faults := cfg.Validate(); len(faults) > 0 {
		t.Errorf("a tapped service is faulty: %v", faults)
	}
	cfg.Candidate.URLs = nil
	cfg.Split.Key = "ip"
	var paths []string
	for _, f := range cfg.Validate() {
		paths = append(paths, f.Path)
	}
	if diff := cmp.Diff([]string{"candidate.urls", "split"}, paths); diff != "" {
		t.Error(diff)
	}
}

// nginxBeside is what docs/tap.md tells users of nginx to write.
const nginxBeside = `
daemon off;
%[4]s
worker_processes 1;
pid %[1]s/nginx.pid;
error_log stderr notice;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  upstream shop { server %[2]s; keepalive 32; }
  upstream parallax { server %[3]s; keepalive 32; }
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $http_host;
  server {
    listen unix:%[1]s/nginx.sock;
    location / {
      mirror /parallax;
      proxy_pass http://shop;
    }
    location = /parallax {
      internal;
      proxy_pass http://parallax$request_uri;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Original-URI $request_uri;
      proxy_connect_timeout 100ms;
      proxy_send_timeout 1s;
      proxy_read_timeout 1s;
    }
  }
}
`

// behindNginx starts nginx in front of a primary, with Parallax beside it, and
// returns a client that reaches it whatever the host. It stops when the test ends.
func behindNginx(t *testing.T, primary, parallax string) *http.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "tap") // short, for the socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	text := fmt.Sprintf(nginxBeside, dir, strings.TrimPrefix(primary, "http://"), strings.TrimPrefix(parallax, "http://"), user)
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("nginx")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			t.Fatal("nginx is missing; scripts/setup-test.sh installs it")
		}
	}
	runNginx(t, exec.Command(path, "-p", dir, "-e", "stderr", "-c", conf))
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "nginx.sock"))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// runNginx returns once it serves.
func runNginx(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("cannot start nginx: %v", err)
	}
	serves, ended := make(chan struct{}), make(chan struct{})
	served := sync.OnceFunc(func() { close(serves) })
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if strings.Contains(lines.Text(), "start worker process ") {
				served()
			}
			if !strings.Contains(lines.Text(), "[notice]") {
				t.Logf("nginx: %s", lines.Text())
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-ended
		_ = cmd.Wait() // it was told to stop
	})
	select {
	case <-serves:
	case <-ended:
		t.Fatal("nginx does not serve")
	}
}

// nginx serves its callers from the primary and mirrors to Parallax, whose
// candidate differs at first and hangs later.
func TestTapBehindNginx(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.JSON(`{"v":1}`))
	candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{"v":2}`))
	cfg := tapped(primary.URL, candidate.URL)
	cfg.Mirror.Timeout = time.Hour
	cfg.Mirror.InFlight = 4
	r := start(t, cfg)
	client := behindNginx(t, primary.URL, r.URL)
	send := func(method, body string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://shop.example/orders/7?q=%2F", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatalf("nginx's caller: %v", err)
		}
		defer res.Body.Close()
		if got, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || string(got) != `{"v":1}` {
			t.Fatalf("nginx's caller got %d %q, %v", res.StatusCode, got, err)
		}
	}
	const healthy = 10
	for i := range healthy {
		send([]string{"GET", "POST"}[i%2], strings.Repeat("x", i%2*(20<<10))) // nginx buffers it in a file
	}
	if places := r.settled(healthy); places[parallax.InQueue] != healthy {
		t.Errorf("places %v", places)
	}
	for range healthy {
		x := r.next()
		p, c := x.Legs[parallax.Primary], x.Legs[parallax.Candidate]
		if string(p.Response.Body.Bytes) != `{"v":1}` || string(c.Response.Body.Bytes) != `{"v":2}` {
			t.Errorf("the legs answered %q and %q", p.Response.Body.Bytes, c.Response.Body.Bytes)
		}
		if c.Request.Host != "shop.example" || c.Request.Target != "/orders/7?q=%2F" || x.Source != parallax.FromTap {
			t.Errorf("%s: host %s, target %s", x.Source, c.Request.Host, c.Request.Target)
		}
		if want := (parallax.Field{Name: "X-Original-URI", Value: c.Request.Target}); !slices.Contains(c.Request.Headers, want) {
			t.Errorf("%v: want %v among them", c.Request.Headers, want)
		}
	}
	if n := primary.Count(); n != 2*healthy {
		t.Errorf("the primary was asked %d times, want each request from nginx and from Parallax", n)
	}

	candidate.Become(mirrortest.Hang)
	const hanging = 40
	for i := range hanging {
		send([]string{"GET", "POST"}[i%2], "") // on one connection, which nginx holds until the copy is answered
	}
	if err := r.Ledger.Wait(t.Context(), func(places map[parallax.Place]int) bool {
		return places[parallax.InShadow] == 4 && places[parallax.UnmirroredConcurrency] == hanging-4
	}); err != nil {
		t.Error(err)
	}
	if got := r.Ledger.Received(); got != healthy+hanging {
		t.Errorf("received %d, want each of %d", got, healthy+hanging)
	}
	candidate.Stop()
	r.settled(healthy + hanging)
}
