package rig

import (
	"net"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Redis is a redis-server of a test's own, without anything on disk.
type Redis struct {
	Socket string // where it listens, after each start

	t       testing.TB
	options []string
	cmd     *exec.Cmd
}

// StartRedis runs redis-server with options until the test ends. Where there is
// none, the test is skipped.
func StartRedis(t testing.TB, options ...string) *Redis {
	t.Helper()
	r := &Redis{Socket: filepath.Join(t.TempDir(), "s"), t: t, options: options}
	r.Start()
	t.Cleanup(r.Kill)
	return r
}

// Start runs it again, with nothing of what it held.
func (r *Redis) Start() {
	r.t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		r.t.Skip("there is no redis-server here; scripts/setup-test.sh installs it")
	}
	r.cmd = exec.Command(program, append([]string{"--port", "0", "--unixsocket", r.Socket, "--save", "", "--appendonly", "no", "--dir", filepath.Dir(r.Socket)}, r.options...)...)
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	Eventually(r.t, "redis listening", func() error {
		conn, err := net.Dial("unix", r.Socket)
		if err == nil {
			conn.Close()
		}
		return err
	})
}

// Freeze stops it from doing anything, with its connections open, until Thaw.
func (r *Redis) Freeze() { r.signal(syscall.SIGSTOP) }

// Thaw lets it go on, with what it was sent meanwhile.
func (r *Redis) Thaw() { r.signal(syscall.SIGCONT) }

func (r *Redis) signal(s syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// Kill ends it as a crash would. Killing twice does no harm.
func (r *Redis) Kill() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill() // it may have ended
	_ = r.cmd.Wait()
	r.cmd = nil
}
