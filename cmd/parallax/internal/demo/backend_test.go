//go:build linux

package demo

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestBackendComesBackOnItsPort(t *testing.T) {
	t.Parallel()
	addrs, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	b := testBackend(addrs[0], filepath.Join(t.TempDir(), "log"))
	run(t, b)
	for kills := range 2 {
		killed := b.PID()
		if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		wait(t, "another process", func() bool { return b.PID() != 0 && b.PID() != killed })
		ready, cancel := context.WithTimeout(context.Background(), backendPatience)
		if err := b.Ready(ready); err != nil {
			t.Fatal(err)
		}
		cancel()
		if got, want := b.Starts(), kills+2; got != want {
			t.Errorf("%d starts after %d kills, want %d", got, kills+1, want)
		}
	}
}

func TestBackendEndsWithItsContext(t *testing.T) {
	t.Parallel()
	addrs, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	b := testBackend(addrs[0], filepath.Join(t.TempDir(), "log"))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	if err := b.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := dial(b.Addr); err == nil {
		t.Error("the backend outlived its context")
	}
}

func TestBackendDiesWithAKilledParent(t *testing.T) {
	t.Parallel()
	addrs, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	parent, err := os.StartProcess(os.Args[0], []string{os.Args[0], addrs[0], filepath.Join(t.TempDir(), "log")},
		&os.ProcAttr{Env: append(os.Environ(), roleVariable+"=parent"), Files: []*os.File{nil, nil, os.Stderr}})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "the backend to listen", func() bool { return dial(addrs[0]) == nil })
	if err := parent.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := parent.Wait(); err != nil {
		t.Fatal(err)
	}
	wait(t, "the backend to be gone", func() bool { return dial(addrs[0]) != nil })
}

func TestBackendThatCannotStartSaysSo(t *testing.T) {
	t.Parallel()
	b := &Backend{Name: "candidate", Bin: filepath.Join(t.TempDir(), "nothing"), Addr: "127.0.0.1:1", Log: filepath.Join(t.TempDir(), "log")}
	err := b.Run(t.Context())
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "cannot start the candidate backend") {
		t.Errorf("got %v", err)
	}
}

func TestFreePortsDiffer(t *testing.T) {
	t.Parallel()
	addrs, err := freePorts(20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, addr := range addrs {
		if seen[addr] {
			t.Errorf("%s twice", addr)
		}
		seen[addr] = true
	}
}

func dial(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// wait waits for a state, looking every few milliseconds.
func wait(t *testing.T, what string, reached func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !reached() {
		select {
		case <-deadline:
			t.Fatalf("waited too long for %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
