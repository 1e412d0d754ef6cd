package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// How long the supervisor waits.
const (
	minBackoff  = 100 * time.Millisecond
	maxBackoff  = 5 * time.Second
	soundAfter  = 30 * time.Second // ready for so long: the next restart is a first one again
	killAfter   = 10 * time.Second // the child has this long to end by itself
	lookAgainIn = 5 * time.Second  // for libchdb
)

// supervise keeps a child running until ctx ends.
func (e *Engine) supervise(ctx context.Context) {
	defer close(e.done)
	defer func() { _ = os.RemoveAll(filepath.Dir(e.socket)) }()
	defer e.setState(func(s *State) { s.Phase, s.PID = Stopped, 0 })
	backoff := minBackoff
	for ctx.Err() == nil {
		library, err := e.library()
		if err != nil {
			e.setState(func(s *State) { s.Phase, s.LastError = Missing, err.Error() })
			pause(ctx, lookAgainIn)
			continue
		}
		ready, err := e.runChild(ctx, library)
		if ctx.Err() != nil {
			return
		}
		e.setState(func(s *State) { s.Phase, s.PID, s.LastError = Restarting, 0, err.Error() })
		if ready >= soundAfter {
			backoff = minBackoff
		}
		pause(ctx, backoff)
		backoff = min(2*backoff, maxBackoff)
	}
}

// library returns the path of libchdb.
func (e *Engine) library() (string, error) {
	if e.cfg.Library == "" {
		return Find(os.Getenv)
	}
	if !isFile(e.cfg.Library) {
		return "", fmt.Errorf("%w: there is no file %q: run make setup, and do not name a library", ErrMissing, e.cfg.Library)
	}
	return e.cfg.Library, nil
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// runChild runs one child to its end, which comes when ctx ends or when
// something went wrong. It returns for how long the child was ready and why it
// ended, never nil.
func (e *Engine) runChild(ctx context.Context, library string) (ready time.Duration, err error) {
	fromParent, toChild, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("cannot make a pipe to the engine: %w", err)
	}
	defer func() { _ = fromParent.Close(); _ = toChild.Close() }()
	fromChild, toParent, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("cannot make a pipe from the engine: %w", err)
	}
	defer func() { _ = fromChild.Close(); _ = toParent.Close() }()

	output := new(head)
	cmd, err := e.command(ctx, library)
	if err != nil {
		return 0, err
	}
	cmd.Stdout, cmd.Stderr = output, output
	cmd.ExtraFiles = []*os.File{toParent, fromParent} // reportsFD, parentFD
	cmd.Cancel = toChild.Close                        // the child ends by itself, or is killed after
	cmd.WaitDelay = killAfter
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("cannot start the engine's process: %w", err)
	}
	_, _ = fromParent.Close(), toParent.Close()
	e.setState(func(s *State) { s.Phase, s.PID, s.Attempt = Starting, cmd.Process.Pid, s.Attempt+1 })

	watching, stop := context.WithCancel(ctx)
	hung := make(chan error, 1)
	go func() { hung <- e.watch(watching, cmd.Process) }()
	since, said := e.follow(fromChild)
	stop()
	if why := <-hung; why != nil {
		said = why.Error()
	}
	ended := cmd.Wait()
	if !since.IsZero() {
		ready = time.Since(since)
	}
	why := whyEnded(said, ended, output.String())
	if ctx.Err() != nil && !cmd.ProcessState.Success() {
		e.closeErr = fmt.Errorf("the engine did not end well: %w", why)
	}
	return ready, why
}

// command returns the child's command, with no more of this process's
// environment than it needs.
func (e *Engine) command(ctx context.Context, library string) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if runtime.GOOS == "linux" {
		exe, err = "/proc/self/exe", nil // also when the file was replaced
	}
	if err != nil {
		return nil, fmt.Errorf("cannot find this program: %w", err)
	}
	config, err := json.Marshal(childConfig{
		Library: library, Dir: e.cfg.Dir, Socket: e.socket,
		Threads: e.cfg.Threads, Nice: e.cfg.Nice, Memory: e.cfg.Memory, Listen: e.cfg.Listen,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot describe the engine: %w", err)
	}
	cmd := exec.CommandContext(ctx, exe)
	cmd.Args = []string{"parallax-engine"}
	cmd.Dir = e.cfg.Dir
	cmd.Env = []string{
		childVariable + "=" + string(config),
		"HOME=" + e.cfg.Dir, // the engine would read a configuration from there
		"TMPDIR=" + os.TempDir(),
		"PATH=" + os.Getenv("PATH"),
		"TZ=UTC",
	}
	// A group of its own: Ctrl-C in a terminal is for the parent, which still
	// has to flush.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, nil
}

// follow turns what the child reports into states until the child's end of the
// pipe is closed. It returns when the child became ready, and its last error.
func (e *Engine) follow(reports io.Reader) (ready time.Time, lastError string) {
	lines := bufio.NewScanner(reports)
	for lines.Scan() {
		var r report
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			continue
		}
		if r.Error != "" {
			lastError = r.Error
			continue
		}
		if r.Phase == Ready {
			ready = time.Now()
		}
		e.setState(func(s *State) {
			s.Phase, s.Query = r.Phase, r.Query
			if r.Phase == Ready {
				s.LastError = ""
			}
		})
	}
	return ready, lastError
}

// whyEnded finds the best words for the end of a child.
func whyEnded(said string, ended error, output string) error {
	why := "it ended by itself"
	if ended != nil {
		why = ended.Error()
	}
	if said != "" {
		why = said
	}
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); line != "" {
			return errors.New(why + " (" + line + ")")
		}
	}
	return errors.New(why)
}

// head keeps the beginning of what is written to it: of a crash, that is the
// line that counts.
type head struct {
	mu   sync.Mutex
	kept []byte
}

const headSize = 4 << 10

func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept = append(h.kept, p[:min(len(p), headSize-len(h.kept))]...)
	return len(p), nil
}

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(h.kept)
}
