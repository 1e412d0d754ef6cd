package nginx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// worker is a process, which another one with its id is not.
type worker struct {
	pid     int
	started string // in ticks since the machine was
}

// leave is how far a worker of before a reload is.
type leave int

const (
	closing leave = iota // it takes no new connection, and ends those that are idle
	gone
)

// master is nginx's first process; 0 where no pid file is configured.
type master int

// master reads the pid file. A process that is no nginx is not touched: SIGHUP would
// end most others.
func (f *File) master() (master, error) {
	if f.cfg.PID == "" {
		return 0, nil
	}
	text, err := os.ReadFile(f.cfg.PID)
	if err != nil {
		return 0, fmt.Errorf("cannot find nginx: %w; pid names its file, or reload a command", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("cannot find nginx: %s holds %.40q, no process id", f.cfg.PID, text)
	}
	if title, err := title(pid); err != nil || !strings.HasPrefix(title, "nginx: master process") {
		return 0, fmt.Errorf("cannot find nginx: process %d of %s is %.60q; where its processes cannot be seen, leave pid out and name a reload command", pid, f.cfg.PID, title)
	}
	return master(pid), nil
}

// hangUp has nginx read its configuration.
func (m master) hangUp() error {
	if err := syscall.Kill(int(m), syscall.SIGHUP); err != nil {
		return fmt.Errorf("cannot reload nginx: process %d: %w", m, err)
	}
	return nil
}

// workers lists the master's children that have not gone yet.
func (m master) workers() ([]worker, error) {
	if m == 0 {
		return nil, nil
	}
	list, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("cannot list the workers of nginx: %w; leave pid out and name a reload command", err)
	}
	var out []worker
	for _, each := range list {
		pid, err := strconv.Atoi(each.Name())
		if err != nil {
			continue
		}
		if parent, started, err := stat(pid); err == nil && parent == int(m) {
			out = append(out, worker{pid, started})
		}
	}
	return out, nil
}

// remaining lists the workers of before that are not as far as that: those that were
// there when a reload was asked for and, where these may not be all, those that nginx has
// told to go.
func (f *File) remaining(far leave) []worker {
	before := f.leaving
	if f.reloads > 1 {
		before = union(before, f.told())
	}
	return slices.DeleteFunc(slices.Clone(before), func(w worker) bool { return w.is(far) })
}

// told lists the workers that nginx has told to go. Where its processes cannot be seen
// there are none, which a push says.
func (f *File) told() []worker {
	m, err := f.master()
	if err != nil {
		return nil
	}
	present, err := m.workers()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(present, func(w worker) bool { return !w.is(closing) })
}

// union returns the workers of both lists, each once.
func union(a, b []worker) []worker {
	out := slices.Clone(a)
	for _, w := range b {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

func (f *File) left(far leave) int { return len(f.remaining(far)) }

// is reports whether a worker has come as far as that.
func (w worker) is(far leave) bool {
	_, started, err := stat(w.pid)
	if errors.Is(err, fs.ErrNotExist) || err == nil && started != w.started {
		return true
	}
	text, err := title(w.pid)
	if err == nil && text == "" { // it has ended, and the master has not noticed yet
		return true
	}
	return far == closing && err == nil && strings.Contains(text, "shutting down")
}

// title is what a process calls itself.
func title(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.TrimRight(strings.ReplaceAll(string(text), "\x00", " "), " "), err
}

// stat reads a process's parent and when it was started.
func stat(pid int) (parent int, started string, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, "", err
	}
	// pid (name) state parent ... the start is the 22nd; names may hold anything.
	_, rest, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
	f := strings.Fields(rest)
	if len(f) < 20 {
		return 0, "", fmt.Errorf("cannot read process %d: %.80q", pid, text)
	}
	parent, err = strconv.Atoi(f[1])
	return parent, f[19], err
}
