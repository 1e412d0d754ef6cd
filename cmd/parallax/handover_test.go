package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"parallax/internal/rig"
)

// TestOrdersOfDifferentKindsAreAllKept sends one signal of each kind, and one twice,
// to a process that is busy.
func TestOrdersOfDifferentKindsAreAllKept(t *testing.T) {
	o, stop := takeOrders()
	defer stop()
	kinds := map[syscall.Signal]chan os.Signal{syscall.SIGHUP: o.reload, syscall.SIGUSR2: o.restart, syscall.SIGUSR1: o.pause}
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGHUP, syscall.SIGUSR2, syscall.SIGUSR1} {
		if err := syscall.Kill(os.Getpid(), s); err != nil {
			t.Fatal(err)
		}
		rig.Eventually(t, s.String(), func() error {
			if len(kinds[s]) == 0 {
				return errors.New("it is lost")
			}
			return nil
		})
	}
}

// TestSocketsThatArePassedOnDoNotBlock passes one on to a program that knows nothing
// of it: an Accept that blocks in the kernel would keep the listener from closing.
func TestSocketsThatArePassedOnDoNotBlock(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	other, err := exec.LookPath("false")
	if err != nil {
		t.Fatal(err)
	}
	next, err := startSuccessor(other, []socket{{"shop", "", listener}})
	if err != nil {
		t.Fatal(err)
	}
	if err := next.expect(t.Context(), sayBuilt, buildWithin); err == nil {
		t.Error("it was built")
	}
	next.kill()
	file, err := fileOf(listener)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	raw, err := file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		if flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("flags %#x, %v: the socket blocks", flags, err)
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// put sends a step and returns the status.
func put(t *testing.T, p *rig.Parallax, step int) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), "PUT", p.Admin+"/api/v1/services/shop/step", strings.NewReader(fmt.Sprintf(`{"step":%d,"reason":"r"}`, step)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// wantLog waits for a line of the log.
func wantLog(t *testing.T, p *rig.Parallax, text string) {
	t.Helper()
	rig.Eventually(t, text, func() error {
		if !strings.Contains(p.Log(), text) {
			return errors.New("not logged")
		}
		return nil
	})
}

// TestRestartUndoesNoRollback rolls back while the state cannot be written, and
// wants no restart until it can.
func TestRestartUndoesNoRollback(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := rig.StartIn(t, dir, shopConfig(backend(t, "1.00"), backend(t, "2.00"), ""))
	if status := put(t, p, 10000); status != 200 {
		t.Fatalf("PUT step: %d", status)
	}
	state := filepath.Join(dir, "parallax-state", "shop.json")
	if err := errors.Join(os.Rename(state, state+".kept"), os.Mkdir(state, 0o700)); err != nil { // a folder in the file's place
		t.Fatal(err)
	}
	if status := put(t, p, 0); status == 200 {
		t.Fatal("the step was written")
	}
	if err := errors.Join(os.Remove(state), os.Rename(state+".kept", state)); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(p.PID(), syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	wantLog(t, p, "service shop is at step 0, and 10000 is on disk")
	if got := call(t, p, "GET", "/orders/1", "", 200); !strings.Contains(got, "1.00") {
		t.Errorf("after the restart that was refused %s answers", got)
	}
	rig.Eventually(t, "the pages", func() error { return p.JSON("/livez", &struct{}{}) })
	if status := put(t, p, 0); status != 200 {
		t.Fatalf("PUT step: %d", status)
	}
	p.Restart()
	if got := call(t, p, "GET", "/orders/1", "", 200); !strings.Contains(got, "1.00") {
		t.Errorf("after the restart %s answers", got)
	}
}

// TestNoWordIsLostWithASuccessor has a new process take over, write down a person's
// rollback, and end before it serves.
func TestNoWordIsLostWithASuccessor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "parallax")
	if err := os.Link(rig.Binary(t), program); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "parallax.yaml")
	if err := os.WriteFile(file, []byte(shopConfig(backend(t, "1.00"), backend(t, "2.00"), "")), 0o600); err != nil {
		t.Fatal(err)
	}
	p := rig.StartCommand(t, nil, program, "serve", "-c", file)
	if status := put(t, p, 10000); status != 200 {
		t.Fatalf("PUT step: %d", status)
	}
	other := fmt.Sprintf(`#!/bin/sh
echo built >&5
read word <&6
echo '{"step":0,"who":"ada","reason":"it pages people","at":"2026-11-22T12:00:00Z","paused":true}' > %s/parallax-state/shop.json
`, dir)
	if err := errors.Join(os.Remove(program), os.WriteFile(program, []byte(other), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(p.PID(), syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	wantLog(t, p, "restart: this process goes on")
	rig.Eventually(t, "the rollback", func() error {
		var state struct {
			Step int
			Who  string
		}
		if err := p.JSON("/api/v1/services/shop/step", &state); err != nil || state.Step != 0 || state.Who != "ada" {
			return fmt.Errorf("%+v, %v", state, err)
		}
		return nil
	})
	if got := call(t, p, "GET", "/orders/1", "", 200); !strings.Contains(got, "1.00") {
		t.Errorf("after the rollback %s answers", got)
	}
}
