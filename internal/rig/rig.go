// Package rig starts real things for tests, on ports of their own: a whole Parallax,
// which is the real binary with the real engine, and PostgreSQL servers. It waits
// on state, never on time, and cleans up after itself.
package rig

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience is how long anything in a test may take before the test gives up.
// Nothing takes this long when all is well.
const Patience = 60 * time.Second

// Eventually waits until ok returns nil, and fails the test with its last error
// when Patience is over.
func Eventually(t testing.TB, what string, ok func() error) {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("%s did not happen within %v: %v", what, Patience, err)
		case <-again.C:
		}
	}
}

var built struct {
	once sync.Once
	path string
	err  error
}

// Binary builds cmd/parallax, once for all tests of a package, and returns its
// path.
func Binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "parallax-rig-")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "parallax")
		out, err := exec.Command("go", "build", "-o", built.path, "parallax/cmd/parallax").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatalf("cannot build parallax: %v", built.err)
	}
	return built.path
}

// Clean removes what Binary built and the cluster that Postgres copies; a package's
// TestMain calls it last.
func Clean() {
	if built.path != "" {
		os.RemoveAll(filepath.Dir(built.path))
	}
	if clusters.dir != "" {
		os.RemoveAll(clusters.dir)
	}
}

// Parallax is a running process.
type Parallax struct {
	Admin    string            // base URL of the admin listener
	Services map[string]string // base URL of each service's listener
	Egress   map[string]string // host:port of each service's proxy for calls

	t       testing.TB
	cmd     *exec.Cmd
	pid     int // of the process that serves
	logs    *lockedBuffer
	done    chan struct{}
	stopped sync.Once
}

var served = regexp.MustCompile(`^(\S+) is served on (http://\S+)$|^pages, API and metrics are on (http://\S+)$|^calls that (\S+) makes go through http://LEG@(\S+)$`)

// Start runs `parallax serve` on a configuration and returns when its listeners
// are open. The process is stopped when the test ends; its log is shown when the
// test failed.
func Start(t testing.TB, config string) *Parallax {
	t.Helper()
	return StartIn(t, t.TempDir(), config)
}

// StartIn is Start in a folder that outlives the process, for tests that restart.
func StartIn(t testing.TB, dir, config string) *Parallax {
	t.Helper()
	file := filepath.Join(dir, "parallax.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return StartCommand(t, nil, Binary(t), "serve", "-c", file)
}

// StartRoles is StartIn of a process that plays some roles.
func StartRoles(t testing.TB, dir, config, roles string) *Parallax {
	t.Helper()
	file := filepath.Join(dir, "parallax.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return StartCommand(t, nil, Binary(t), "serve", "-c", file, "--roles", roles)
}

// StartCommand runs a command that becomes parallax serve, with files as its
// descriptors from 3 on.
func StartCommand(t testing.TB, files []*os.File, name string, args ...string) *Parallax {
	t.Helper()
	p := &Parallax{Services: map[string]string{}, Egress: map[string]string{}, t: t, logs: &lockedBuffer{}, done: make(chan struct{})}
	p.cmd = exec.Command(name, args...)
	p.cmd.ExtraFiles = files
	p.cmd.Stderr = p.logs
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("log of parallax:\n%s", p.Log())
		}
	})
	p.pid = p.cmd.Process.Pid
	p.readAddresses(stdout)
	return p
}

// Restart makes the process start its successor and returns once that one serves;
// the one before may still finish what it has begun.
func (p *Parallax) Restart() {
	p.t.Helper()
	before := p.pid
	if err := syscall.Kill(before, syscall.SIGUSR2); err != nil {
		p.t.Fatalf("cannot restart: %v", err)
	}
	Eventually(p.t, "a restart", func() error {
		var live struct{ PID int }
		if err := p.JSON("/livez", &live); err != nil {
			return err
		}
		if p.pid = live.PID; p.pid == before {
			return errors.New("the old process answers")
		}
		return nil
	})
}

// readAddresses reads what serve prints until the admin address is known.
func (p *Parallax) readAddresses(stdout io.Reader) {
	p.t.Helper()
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		m := served.FindStringSubmatch(lines.Text())
		switch {
		case m == nil:
		case m[1] != "":
			p.Services[m[1]] = m[2]
		case m[4] != "":
			p.Egress[m[4]] = m[5]
		default:
			p.Admin = m[3]
			go func() {
				io.Copy(io.Discard, stdout) // ends with the process
				p.cmd.Wait()                // its exit code is in ProcessState
				close(p.done)
			}()
			return
		}
	}
	p.cmd.Wait() // the log says more
	close(p.done)
	p.t.Fatalf("parallax ended before its listeners were open:\n%s", p.Log())
}

// Log returns what the process has logged.
func (p *Parallax) Log() string { return p.logs.String() }

// Stop asks the process to end, waits for it and for those that it replaced, and
// returns the exit code of the first of them.
func (p *Parallax) Stop() int {
	p.stopped.Do(func() { syscall.Kill(p.pid, syscall.SIGTERM) }) // it may have ended
	return p.wait()
}

// Kill ends the process as a crash would.
func (p *Parallax) Kill() {
	p.stopped.Do(func() { syscall.Kill(p.pid, syscall.SIGKILL) }) // it may have ended
	p.wait()
}

func (p *Parallax) wait() int {
	select {
	case <-p.done:
	case <-time.After(Patience):
		syscall.Kill(p.pid, syscall.SIGKILL) // it may have ended
		<-p.done
		p.t.Errorf("parallax did not stop within %v", Patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

// PID is the id of the process that serves.
func (p *Parallax) PID() int { return p.pid }

// JSON gets a path of the admin API into value. The error has the status and the
// body of any answer but 200.
func (p *Parallax) JSON(path string, value any) error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Admin+path, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", path, answer.Status, bytes.TrimSpace(text))
	}
	if err := json.Unmarshal(text, value); err != nil {
		return errors.Join(fmt.Errorf("GET %s: cannot read %.200q", path, text), err)
	}
	return nil
}

// lockedBuffer collects output of a process while tests read it.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
