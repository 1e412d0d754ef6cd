package rig

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Proxy is a proxy of a test's own that somebody else wrote. It serves the
// configuration in Dir/conf.
type Proxy struct {
	Dir string

	t       testing.TB
	end     os.Signal // that takes its workers with it
	command []string
	open    func() error // nil once it serves
	cmd     *exec.Cmd
	logs    lockedBuffer
}

// StartHAProxy runs haproxy, as a master with workers, on a configuration until the
// test ends. Its master's socket is Dir/master.sock, and address is one that it
// listens on. Where there is no haproxy, the test is skipped.
func StartHAProxy(t testing.TB, dir, conf, address string) *Proxy {
	t.Helper()
	p := &Proxy{Dir: dir, t: t, end: os.Kill, command: []string{"haproxy", "-W", "-S", filepath.Join(dir, "master.sock"), "-f", filepath.Join(dir, "conf")}}
	return p.begin(conf, func() error {
		return errors.Join(dial("tcp", address, ""), dial("unix", filepath.Join(dir, "master.sock"), "show proc;quit\n"))
	})
}

// StartNginx runs nginx on a configuration until the test ends. The configuration must
// name Dir/nginx.pid as its pid file; address is one that it listens on. Where there is no
// nginx, the test is skipped.
func StartNginx(t testing.TB, dir, conf, address string) *Proxy {
	t.Helper()
	p := &Proxy{Dir: dir, t: t, end: syscall.SIGTERM, command: []string{"nginx", "-p", dir, "-e", "stderr", "-g", "daemon off;", "-c", filepath.Join(dir, "conf")}}
	return p.begin(conf, func() error {
		_, err := os.Stat(filepath.Join(dir, "nginx.pid"))
		return errors.Join(err, dial("tcp", address, ""))
	})
}

func (p *Proxy) begin(conf string, open func() error) *Proxy {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.Dir, "conf"), []byte(conf), 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.open = open
	p.t.Cleanup(func() {
		p.Kill()
		if p.t.Failed() {
			p.t.Logf("log of %s:\n%s", p.command[0], p.logs.String())
		}
	})
	p.Start()
	return p
}

// dial connects, and waits for an answer if there is something to say: a master that
// has only begun takes connections, and loses signals.
func dial(network, address, say string) error {
	conn, err := net.Dial(network, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if say == "" {
		return nil
	}
	if _, err = io.WriteString(conn, say); err == nil {
		_, err = io.ReadFull(conn, make([]byte, 1))
	}
	return err
}

// Start runs it again.
func (p *Proxy) Start() {
	p.t.Helper()
	program, err := exec.LookPath(p.command[0])
	if err != nil {
		p.t.Skipf("there is no %s here; scripts/setup-test.sh installs it", p.command[0])
	}
	p.cmd = exec.Command(program, p.command[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = &p.logs, &p.logs
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	Eventually(p.t, p.command[0]+" listening", p.open)
}

// Signal sends a signal to the process that was started, the master.
func (p *Proxy) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// Kill ends it, and its workers. Killing twice does no harm.
func (p *Proxy) Kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(p.end) // it may have ended
	_ = p.cmd.Wait()
	p.cmd = nil
}

// FreeAddress is an address of this machine that nobody listened on a moment ago.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
