package demo

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"
)

// How long a backend that died waits before it is started again: the first
// time, and at most. A backend that lived for steady starts at the first again.
const (
	firstRestart = 50 * time.Millisecond
	lastRestart  = 5 * time.Second
	steady       = 10 * time.Second
)

// Backend is one supervised instance of a release on a loopback port. It is
// started again whenever it dies, and it dies with this process.
type Backend struct {
	Name string // primary, candidate or secondary
	Bin  string
	Args []string // further arguments, after -host and -port
	Env  []string // nil: this process's
	Addr string   // host:port it listens on
	Log  string   // file its output is appended to

	pid    atomic.Int64
	starts atomic.Int64
}

// URL returns the backend's base URL.
func (b *Backend) URL() string { return "http://" + b.Addr }

// PID returns the process's id, or 0 while there is none.
func (b *Backend) PID() int { return int(b.pid.Load()) }

// Starts returns how often the backend was started.
func (b *Backend) Starts() int { return int(b.starts.Load()) }

// Run keeps the backend running until ctx ends, then kills it and waits for its
// end. It returns an error only when the backend cannot be started at all.
func (b *Backend) Run(ctx context.Context) error {
	wait := firstRestart
	for ctx.Err() == nil {
		began := time.Now()
		if err := b.once(ctx); err != nil {
			return fmt.Errorf("cannot start the %s backend: %w", b.Name, err)
		}
		if time.Since(began) > steady {
			wait = firstRestart
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, lastRestart)
	}
	return nil
}

// once runs the process to its end. The kernel kills a child whose parent's
// thread is gone, so the thread that starts it must last as long as the child.
func (b *Backend) once(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	output, err := os.OpenFile(b.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = output.Close() }()
	host, port, err := net.SplitHostPort(b.Addr)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, b.Bin, append([]string{"-host", host, "-port", port}, b.Args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = b.Env, output, output
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	b.starts.Add(1)
	b.pid.Store(int64(cmd.Process.Pid))
	_ = cmd.Wait() // how it died is in its log; that it died is what counts
	b.pid.Store(0)
	return nil
}

// Ready waits until the backend answers HTTP.
func (b *Backend) Ready(ctx context.Context) error {
	if err := answers(ctx, b.URL()+"/status/200"); err != nil {
		return fmt.Errorf("the %s backend does not answer on %s (its output is in %s): %w", b.Name, b.Addr, b.Log, err)
	}
	return nil
}

// answers asks url until it answers 200 or ctx ends; then the last failure is
// the error.
func answers(ctx context.Context, url string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		err := ask(ctx, client, url)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func ask(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// Ports are taken from below the range that Linux gives to outgoing connections
// (32768 and up), so that nothing sits on a backend's port while it restarts.
const lowestPort, highestPort = 20000, 32000

// freePorts returns n loopback addresses that nobody listens on. They are held
// until all are found, so that they differ.
func freePorts(n int) ([]string, error) {
	var addrs []string
	for range 1000 {
		if len(addrs) == n {
			return addrs, nil
		}
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		defer func() { _ = listener.Close() }()
		addrs = append(addrs, listener.Addr().String())
	}
	return nil, fmt.Errorf("cannot find %d free ports on 127.0.0.1 between %d and %d", n, lowestPort, highestPort)
}
