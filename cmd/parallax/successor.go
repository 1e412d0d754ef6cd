package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What the two processes of a restart say to each other, a line each. Anything
// else that the new one says is why it cannot go on.
const (
	sayBuilt = "built" // new: everything is built, nothing runs
	sayGo    = "go"    // old: the state on disk is yours
	sayPause = "pause" // old: the same, and a signal has paused mirroring
	sayReady = "ready" // new: callers are accepted
)

// How long the old process waits for the new one.
const (
	buildWithin = time.Minute
	readyWithin = 20 * time.Second
)

// successor is the process that is to replace this one.
type successor struct {
	cmd   *exec.Cmd
	said  chan string // lines; closed at the end of the process
	tell  io.WriteCloser
	files []*os.File
}

// program returns the path of this program as it was started, so that what an
// upgrade put in its place, or behind the link of its name, is what is started
// next.
func program() (string, error) {
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		return "", fmt.Errorf("cannot find the program %q again: %w", os.Args[0], err)
	}
	return filepath.Abs(path)
}

// startSuccessor starts path with the arguments of this process and its listening
// sockets.
func startSuccessor(path string, passed []socket) (_ *successor, err error) {
	n := &successor{said: make(chan string, 1)}
	defer func() {
		for _, f := range n.files {
			err = errors.Join(err, f.Close())
		}
	}()
	var names, addresses []string
	for _, s := range passed {
		file, err := fileOf(s.listener)
		if err != nil {
			return nil, err
		}
		n.files = append(n.files, file)
		names, addresses = append(names, s.name), append(addresses, s.address)
	}
	hear, fromChild, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot make a pipe: %w", err)
	}
	toChild, tell, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot make a pipe: %w", err), hear.Close(), fromChild.Close())
	}
	n.files = append(n.files, fromChild, toChild)
	n.tell = tell
	n.cmd = exec.Command(path, os.Args[1:]...)
	n.cmd.Stdin, n.cmd.Stdout, n.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	n.cmd.ExtraFiles = n.files
	n.cmd.Env = append(environment(),
		listenFDs+"="+strconv.Itoa(len(passed)),
		listenNames+"="+strings.Join(names, ":"),
		listenFor+"="+strings.Join(addresses, ","),
		replaces+"="+strconv.Itoa(os.Getpid()))
	if err := n.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start %s: %w", path, err), hear.Close(), tell.Close())
	}
	go n.listen(hear)
	return n, nil
}

// environment is that of this process, without what was meant for it alone.
func environment() (out []string) {
	for _, pair := range os.Environ() {
		switch name, _, _ := strings.Cut(pair, "="); name {
		case listenPID, listenFDs, listenNames, listenFor, replaces:
		default:
			out = append(out, pair)
		}
	}
	return out
}

// listen passes on what the process says, and waits for its end.
func (n *successor) listen(hear *os.File) {
	defer close(n.said)
	defer func() { _ = n.cmd.Wait() }() // what it said is why it ended
	defer hear.Close()
	for lines := bufio.NewScanner(hear); lines.Scan(); {
		n.said <- lines.Text()
		if lines.Text() == sayReady {
			return
		}
	}
}

// expect waits until the process says word.
func (n *successor) expect(ctx context.Context, word string, within time.Duration) error {
	patience := time.NewTimer(within)
	defer patience.Stop()
	select {
	case said, ok := <-n.said:
		switch {
		case !ok:
			return errors.New("the new process ended, and its own messages say why")
		case said != word:
			return fmt.Errorf("the new process says: %s", said)
		}
		return nil
	case <-patience.C:
		return fmt.Errorf("the new process was not %s within %v", word, within)
	case <-ctx.Done():
		return errors.New("this process was told to end")
	}
}

// kill ends a process that did not come to serve, and waits for its end.
func (n *successor) kill() {
	_ = n.cmd.Process.Kill() // fails only if it has ended
	n.tell.Close()
	for range n.said {
	}
}

// predecessor is the process that this one is to replace; nil for none.
type predecessor struct {
	tell *os.File
	hear *os.File
}

// replacedProcess returns the process that passed its sockets on.
func (s *sockets) replacedProcess() *predecessor {
	if s == nil || !s.replaces {
		return nil
	}
	n := len(s.list)
	p := &predecessor{tell: os.NewFile(uintptr(firstFD+n), "to the old process"), hear: os.NewFile(uintptr(firstFD+n+1), "from the old process")}
	syscall.CloseOnExec(firstFD + n)
	syscall.CloseOnExec(firstFD + n + 1)
	return p
}

// fail says why this process will not serve.
func (p *predecessor) fail(reason string) {
	if p != nil {
		_, _ = fmt.Fprintln(p.tell, strings.ReplaceAll(strings.TrimSpace(reason), "\n", "; "))
	}
}

// takeOver waits until the old process has let go of the state on disk. One that
// died has, too. It tells whether a signal had paused mirroring.
func (p *predecessor) takeOver() (paused bool, err error) {
	defer p.hear.Close()
	if _, err := fmt.Fprintln(p.tell, sayBuilt); err != nil {
		return false, nil // it died, and nobody but this process is left to serve
	}
	switch said, err := bufio.NewReader(p.hear).ReadString('\n'); {
	case err == io.EOF, said == sayGo+"\n":
		return false, nil
	case said == sayPause+"\n":
		return true, nil
	default:
		return false, fmt.Errorf("cannot take over from the old process: it says %q, %w", said, err)
	}
}

// ready says that callers are served.
func (p *predecessor) ready() {
	if p != nil {
		_, _ = fmt.Fprintln(p.tell, sayReady)
		p.tell.Close()
	}
}

// passedOn lists the sockets of a server.
func (s *server) passedOn() []socket {
	list := []socket{{adminSocket, s.cfg.Admin.Listen, s.adminListener}}
	for _, svc := range s.current.Load().services {
		if s.cfg.roles.plays(partMirror) {
			list = append(list, socket{svc.name, svc.terms.Load().cfg.Listen, svc.listener})
		}
		if svc.calls != nil {
			list = append(list, socket{callsSocket(svc.name), svc.terms.Load().cfg.Egress.Listen, svc.calls})
		}
	}
	return list
}
