//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// lab is a folder and the processes of a run. Close leaves nothing behind.
type lab struct {
	dir string

	mu        sync.Mutex
	processes []*process
}

func newLab() (*lab, error) {
	dir, err := os.MkdirTemp("", "parallax-bench-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder for the run: %w", err)
	}
	return &lab{dir: dir}, nil
}

// Close ends every process, the last started first, and removes the folder.
func (l *lab) Close() error {
	l.mu.Lock()
	started := l.processes
	l.processes = nil
	l.mu.Unlock()
	for i := len(started) - 1; i >= 0; i-- {
		started[i].stop()
	}
	return os.RemoveAll(l.dir)
}

// process is one program and its children in the same process group.
type process struct {
	name string
	log  string // file with what it printed on stderr
	out  *bufio.Scanner
	cmd  *exec.Cmd
	done chan struct{} // closed when it ended
}

// start starts a program in a process group of its own. It is killed with this
// process, whatever becomes of it.
func (l *lab) start(name, path string, args ...string) (*process, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &process{name: name, done: make(chan struct{})}
	p.log = filepath.Join(l.dir, fmt.Sprintf("%02d.log", len(l.processes)))
	log, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	defer log.Close() // the child has its own
	out, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	defer in.Close()
	p.out = bufio.NewScanner(out)
	p.cmd = exec.Command(path, args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = l.dir, in, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		out.Close()
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	l.processes = append(l.processes, p)
	go func() {
		defer close(p.done)
		defer out.Close()
		_ = p.cmd.Wait() // its log and its absence say more than the error
	}()
	return p, nil
}

// stopWithin is how long a process has to end by itself.
const stopWithin = 15 * time.Second

// stop asks the process to end, and kills its group when it doesn't. Stopping
// again does nothing.
func (p *process) stop() {
	group := -p.cmd.Process.Pid
	select {
	case <-p.done:
	default:
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		_ = syscall.Kill(group, syscall.SIGCONT) // one that is stopped hears nothing
	}
	select {
	case <-p.done:
	case <-time.After(stopWithin):
	}
	_ = syscall.Kill(group, syscall.SIGKILL) // what is left of the group
	<-p.done
}

// line returns the next line that the process prints on its stdout.
func (p *process) line() (string, error) {
	if p.out.Scan() {
		return p.out.Text(), nil
	}
	return "", p.failure(errors.New("it ended before it was ready"))
}

// failure adds the end of the log to an error.
func (p *process) failure(err error) error {
	text, readErr := os.ReadFile(p.log)
	if readErr != nil || len(text) == 0 {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return fmt.Errorf("%s: %w; the end of its log:\n%s", p.name, err, strings.Join(lines[max(0, len(lines)-10):], "\n"))
}

// patience is how long anything may take that normally takes a moment.
const patience = 30 * time.Second

// eventually calls ok until it returns nil, and returns its last error when that
// takes longer than limit, the context ends or the process does.
func (p *process) eventually(ctx context.Context, limit time.Duration, ok func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return p.failure(errors.Join(err, ctx.Err()))
		case <-p.done:
			return p.failure(errors.Join(err, errors.New("it ended")))
		case <-again.C:
		}
	}
}

// listens waits until something accepts connections at the address.
func (p *process) listens(ctx context.Context, address string) error {
	return p.eventually(ctx, patience, func() error {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// freeAddress returns a loopback address that nothing listens at.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("cannot find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}
