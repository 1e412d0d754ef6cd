package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"parallax/internal/rig"
	"parallax/ui"
)

// caller asks over one connection that it keeps, and never asks twice: whatever
// goes wrong, a caller of Parallax would have seen.
type caller struct {
	address string
	conn    net.Conn
	in      *bufio.Reader
}

func (c *caller) ask(request string, want int) error {
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.address)
		if err != nil {
			return err
		}
		c.conn, c.in = conn, bufio.NewReader(conn)
	}
	if _, err := io.WriteString(c.conn, request); err != nil {
		return err
	}
	answer, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != want {
		return fmt.Errorf("answered %s", answer.Status)
	}
	if answer.Close {
		c.hangUp()
	}
	return nil
}

func (c *caller) hangUp() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// opaque is a body that Go's client cannot send a second time.
type opaque struct{ io.Reader }

// postOnce asks with Go's client, which asks again by itself only what it can send
// again.
func postOnce(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, "POST", url, opaque{strings.NewReader(`{"sku":1}`)})
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err = io.Copy(io.Discard, answer.Body); err == nil && answer.StatusCode != http.StatusCreated {
		err = fmt.Errorf("answered %s", answer.Status)
	}
	return err
}

// crowd is callers who ask at a steady rate.
type crowd struct {
	sent, failed atomic.Int64
	first        atomic.Pointer[error]
	every        time.Duration // between two requests of one caller
	requests     int           // of each caller
	at           func(sent int64)
}

// run lets n callers ask, each with its own connection, a third of them through
// Go's client.
func (c *crowd) run(t *testing.T, n int, url string) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			own := &caller{address: strings.TrimPrefix(url, "http://")}
			defer own.hangUp()
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			beat := time.NewTicker(c.every)
			defer beat.Stop()
			for k := range c.requests {
				<-beat.C
				var err error
				switch {
				case i%3 == 0:
					err = postOnce(t.Context(), client, url+"/orders")
				case k%2 == 0:
					err = own.ask(fmt.Sprintf("GET /orders/%d HTTP/1.1\r\nHost: shop\r\n\r\n", k), 200)
				default:
					err = own.ask("POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\n{}", 201)
				}
				if err != nil {
					own.hangUp()
					c.failed.Add(1)
					err = fmt.Errorf("caller %d, request %d: %w", i, k, err)
					c.first.CompareAndSwap(nil, &err)
				}
				c.at(c.sent.Add(1))
			}
		})
	}
	all.Wait()
}

// TestDeploysLoseNoRequest reloads and restarts under load: no request fails,
// and every exchange is accounted for over both processes.
func TestDeploysLoseNoRequest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	primary, candidate := backend(t, "1.00"), backend(t, "2.00")
	config := shopConfig(primary, candidate, "  mirror: { unsafe: allowed }\n")
	other := shopConfig(primary, candidate, "  mirror: { unsafe: allowed, in_flight: 300 }\n  rules: [{ path: \"$.price\", ignore: true, reason: r, owner: o }]\n")
	p := rig.StartIn(t, dir, config)
	first := p.PID()
	const callers, requests = 30, 80
	var deploys sync.WaitGroup
	do := func(what func()) { deploys.Go(what) }
	c := &crowd{every: 100 * time.Millisecond, requests: requests, at: func(sent int64) {
		switch sent {
		case callers * requests / 5:
			do(func() { rewrite(t, dir, other); reload(t, p, 200) })
		case callers * requests * 2 / 5:
			do(p.Restart)
		case callers * requests * 4 / 5:
			do(func() { rewrite(t, dir, config); reload(t, p, 200) })
		}
	}}
	c.run(t, callers, p.Services["shop"])
	deploys.Wait()
	if n := c.failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed, the first: %v", n, c.sent.Load(), *c.first.Load())
	}
	if p.PID() == first {
		t.Error("there was no restart")
	}
	r := settled(t, p, callers*requests)
	for reason, n := range r.Accounting.Lost {
		if n > 0 {
			t.Errorf("lost %d by %s", n, reason)
		}
	}
	if got := r.Accounting.Compared["match"] + r.Accounting.Compared["diverged"]; got != callers*requests {
		t.Errorf("accounting %+v, want all compared, those of the last moments too", r.Accounting)
	}
	if code := p.Stop(); code != 0 {
		t.Errorf("the first process exits with %d", code)
	}
}

// TestRestartKeepsTheStep sets a step before and after a restart, and a signal's
// pause.
func TestRestartKeepsTheStep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := rig.StartIn(t, dir, shopConfig(backend(t, "1.00"), backend(t, "2.00"), ""))
	setStep := func(step int) {
		t.Helper()
		if status := put(t, p, step); status != 200 {
			t.Fatalf("PUT step: %d", status)
		}
	}
	setStep(10000)
	p.Restart()
	if got := call(t, p, "GET", "/orders/1", "", 200); !strings.Contains(got, "2.00") {
		t.Errorf("after the restart %s answers", got)
	}
	setStep(0)
	if err := syscall.Kill(p.PID(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	paused := func() error {
		var state ui.MirroringState
		if err := p.JSON("/api/v1/services/shop/mirroring", &state); err != nil || !state.Paused || state.By != "signal" {
			return fmt.Errorf("mirroring is not paused: %+v, %w", state, err)
		}
		return nil
	}
	rig.Eventually(t, "a pause", paused)
	p.Restart()
	if err := paused(); err != nil {
		t.Error(err)
	}
	if got := call(t, p, "GET", "/orders/1", "", 200); !strings.Contains(got, "1.00") {
		t.Errorf("after the second restart %s answers", got)
	}
}

// TestRestartThatFailsChangesNothing starts a successor that refuses its
// configuration.
func TestRestartThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := shopConfig(backend(t, "1.00"), backend(t, "1.00"), "")
	p := rig.StartIn(t, dir, good)
	rewrite(t, dir, strings.Replace(good, "state: own", "state: odd, colour: red", 1))
	if err := syscall.Kill(p.PID(), syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, "a refusal", func() error {
		if log := p.Log(); !strings.Contains(log, "restart: this process goes on") || !strings.Contains(log, "colour") {
			return errors.New("not logged")
		}
		return nil
	})
	call(t, p, "GET", "/orders/1", "", 200)
	var live struct{ PID int }
	if err := p.JSON("/livez", &live); err != nil || live.PID != p.PID() {
		t.Errorf("process %d answers, %v", live.PID, err)
	}
	rewrite(t, dir, good)
	p.Restart()
	call(t, p, "GET", "/orders/1", "", 200)
}

// TestSocketActivation serves on a socket as systemd passes it on.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	listener.Close()
	dir := t.TempDir()
	back := backend(t, "1.00")
	if err := os.WriteFile(filepath.Join(dir, "parallax.yaml"), []byte(shopConfig(back, back, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	p := rig.StartCommand(t, []*os.File{file}, "sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=shop exec "$0" serve -c "$1"`, rig.Binary(t), filepath.Join(dir, "parallax.yaml"))
	if got, want := p.Services["shop"], "http://"+listener.Addr().String(); got != want {
		t.Fatalf("the service is on %s, want %s", got, want)
	}
	call(t, p, "GET", "/orders/1", "", 200)
	p.Restart()
	call(t, p, "GET", "/orders/2", "", 200)
	settled(t, p, 2)
}
