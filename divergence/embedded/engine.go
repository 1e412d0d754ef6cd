package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Database is the database that Parallax keeps its tables in. It exists
// whenever the engine is ready. It is not ClickHouse's default one: there a
// file in the working directory would stand for a table of its name.
const Database = "parallax"

// Phase is what the engine is doing.
type Phase string

// The phases of an engine.
const (
	Starting    Phase = "starting"
	WaitingLock Phase = "waiting_lock" // another process uses the directory; its end is waited for
	Ready       Phase = "ready"
	Hung        Phase = "hung"       // the child gives no answer any more; it is being killed
	Restarting  Phase = "restarting" // the child ended; a new one is started shortly
	Missing     Phase = "missing"    // there is no libchdb; it is looked for again every few seconds
	Stopped     Phase = "stopped"
)

// State is what the engine is doing, for people.
type State struct {
	Phase     Phase
	Attempt   int    // which start of the child this is, from 1
	LastError string // why the child before this one ended or this one hangs, or what is missing; empty when all went well
	PID       int    // of the child, 0 when there is none
	Query     string // how the listener for queries is doing, as a sentence; empty when there is none
}

// String returns the state as a sentence.
func (s State) String() string {
	text := map[Phase]string{
		Starting:    "the engine is starting",
		WaitingLock: "the engine waits for another process to release its directory",
		Ready:       "the engine is ready",
		Hung:        "the engine hangs and is being killed",
		Restarting:  "the engine is being restarted",
		Missing:     "the engine is missing",
		Stopped:     "the engine is stopped",
	}[s.Phase]
	if s.Phase != Ready && s.LastError != "" {
		text += ": " + s.LastError
	}
	if s.Phase == Ready && s.Query != "" {
		text += ", " + s.Query
	}
	return text
}

// Config says where and how the engine runs.
type Config struct {
	Dir       string        // holds its data; made if need be
	Library   string        // path of libchdb; empty: what Find finds
	Threads   int           // for one statement; 0: 1
	Nice      int           // 1..19, how much the child gives way to other processes; 0: 10
	Listen    string        // loopback address where anybody on this machine may read the tables over HTTP; empty: nowhere
	Socket    string        // where other processes of this user find the engine, see [At]; empty: nowhere
	Memory    int64         // bytes the engine may use, half of them for one statement; 0: 2 GiB
	HungAfter time.Duration // a ready engine without an answer for so long is killed, at least 1 s; 0: 30 s
	Log       *slog.Logger  // changes of state; nil: none
}

// Engine is the embedded ClickHouse: a child process of this binary that is
// kept running. All methods may be called at any time from any goroutine.
type Engine struct {
	cfg    Config
	socket string // its directory is private to this process
	cancel context.CancelFunc
	done   chan struct{} // closed when the supervisor has ended

	closeErr error // how the last child ended; read after done

	mu      sync.Mutex
	state   State
	changed chan struct{} // closed and replaced with every change of state
}

// Start starts the engine and returns at once, while it is still starting:
// traffic does not wait for it. The end of ctx does not stop it, only Close
// does, so that a last flush finds it running. An engine that cannot start, for
// now or for want of libchdb, is a state and not an error; errors are about cfg.
func Start(ctx context.Context, cfg Config) (*Engine, error) {
	if os.Getenv(childVariable) != "" {
		return nil, errors.New("cannot start the engine: this process is to be the child of one, and embedded.Child is not the first line of its main or TestMain")
	}
	if cfg.Dir == "" {
		return nil, errors.New("cannot start the engine: no directory given")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make the engine's directory: %w", err)
	}
	cfg.Dir = dir
	cfg.Threads = orDefault(cfg.Threads, 1)
	cfg.Nice = orDefault(cfg.Nice, 10)
	cfg.Memory = orDefault(cfg.Memory, 2<<30)
	cfg.HungAfter = orDefault(cfg.HungAfter, 30*time.Second)
	if cfg.Threads < 1 || cfg.Nice < 1 || cfg.Nice > 19 || cfg.Memory < 512<<20 || cfg.HungAfter < time.Second {
		return nil, fmt.Errorf("cannot start the engine: want at least 1 thread (%d), nice of 1 to 19 (%d), 512 MiB of memory (%d bytes) and 1 s to be hung after (%v)",
			cfg.Threads, cfg.Nice, cfg.Memory, cfg.HungAfter)
	}
	if host, _, err := net.SplitHostPort(cfg.Listen); cfg.Listen != "" {
		if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, fmt.Errorf("cannot start the engine: %q is not a loopback address, and other machines must not read the store", cfg.Listen)
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	private, err := socketDir()
	if err != nil {
		return nil, fmt.Errorf("cannot make a directory for the engine's socket: %w", err)
	}
	if err := show(filepath.Join(private, "engine"), cfg.Socket); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot show other processes the engine: %w", err), os.RemoveAll(private))
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	e := &Engine{
		cfg:     cfg,
		socket:  filepath.Join(private, "engine"),
		cancel:  cancel,
		done:    make(chan struct{}),
		state:   State{Phase: Starting},
		changed: make(chan struct{}),
	}
	go e.supervise(ctx)
	return e, nil
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// socketDir makes a directory that only this user can enter, with a name short
// enough for a socket (macOS allows 104 bytes).
func socketDir() (string, error) {
	dir, err := os.MkdirTemp("", "parallax-")
	if err == nil && len(dir) > 90 {
		_ = os.Remove(dir)
		dir, err = os.MkdirTemp("/tmp", "parallax-")
	}
	return dir, err
}

// State returns what the engine is doing now.
func (e *Engine) State() State {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state
}

// setState changes the state and wakes those who wait for it.
func (e *Engine) setState(change func(*State)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.state
	change(&e.state)
	if e.state == before {
		return
	}
	close(e.changed)
	e.changed = make(chan struct{})
	if e.state.Phase != before.Phase {
		level := slog.LevelInfo
		if e.state.Phase == Hung || e.state.Phase == Restarting || e.state.Phase == Missing {
			level = slog.LevelWarn
		}
		e.cfg.Log.Log(context.Background(), level, e.state.String(), "attempt", e.state.Attempt, "pid", e.state.PID)
	}
}

// Ready waits until the engine answers queries. It fails when libchdb is
// missing, when the engine was closed, and when ctx ends; the error then says
// what the engine is doing.
func (e *Engine) Ready(ctx context.Context) error {
	for {
		e.mu.Lock()
		state, changed := e.state, e.changed
		e.mu.Unlock()
		switch state.Phase {
		case Ready:
			return nil
		case Missing, Stopped:
			return errors.New(state.String())
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", state, ctx.Err())
		}
	}
}

// Options returns options for clickhouse.Open that reach this engine, across
// restarts of the child too. While it is not ready, connecting fails at once
// and the error says what the engine is doing. The caller may change them.
func (e *Engine) Options() *clickhouse.Options { return optionsTo(e.dial) }

// At returns options for clickhouse.Open that reach the engine of another process of
// this user, which shows it there by [Config.Socket], across restarts of both. Whoever
// can open that path may do everything.
func At(socket string) *clickhouse.Options {
	return optionsTo(func(ctx context.Context, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	})
}

func optionsTo(dial func(context.Context, string) (net.Conn, error)) *clickhouse.Options {
	return &clickhouse.Options{
		Protocol:     clickhouse.HTTP,
		Addr:         []string{"localhost:80"}, // a name for the socket
		Auth:         clickhouse.Auth{Database: Database},
		DialContext:  dial,
		DialTimeout:  30 * time.Second, // also the wait for a free connection
		MaxOpenConns: 16,
		MaxIdleConns: 16,
		TransportFunc: func(t *http.Transport) (http.RoundTripper, error) {
			t.Proxy = nil // whatever the environment says
			return t, nil
		},
	}
}

// show puts a link to a socket at a path, in place of a link that was left there. The
// socket's directory keeps other users out.
func show(socket, at string) error {
	if at == "" {
		return nil
	}
	if info, err := os.Lstat(at); err == nil && info.Mode()&os.ModeSymlink == 0 {
		return fmt.Errorf("there is something else at %s", at)
	}
	next := at + ".next"
	_ = os.Remove(next)
	if err := os.Symlink(socket, next); err != nil {
		return err
	}
	return os.Rename(next, at)
}

// dial connects to the child.
func (e *Engine) dial(ctx context.Context, _ string) (net.Conn, error) {
	if state := e.State(); state.Phase != Ready {
		return nil, errors.New(state.String())
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", e.socket)
}

// Close stops the engine and waits for its end, ten seconds at most: statements
// that run are given time to finish, then they are killed, then the child is.
// What was acknowledged is kept either way; the error says that it was not
// orderly. Closing again changes nothing.
func (e *Engine) Close() error {
	e.cancel()
	<-e.done
	return e.closeErr
}
