package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// childVariable tells a process of this binary that it is the engine's child,
// and how to be it.
const childVariable = "PARALLAX_ENGINE_CHILD"

// Files that the child is started with. The parent's pipe is not its standard
// input, because the engine reads that for an INSERT without rows.
const (
	reportsFD = 3 // the child writes reports to it
	parentFD  = 4 // ends when the parent does
)

// childShutdown is how long the child waits for statements that run when it is
// to end.
const childShutdown = 5 * time.Second

// killedShutdown is how long statements that were killed then have to end: the
// engine looks at it between blocks of rows. With childShutdown it stays below
// killAfter.
const killedShutdown = 3 * time.Second

// childConfig goes from the parent to the child.
type childConfig struct {
	Library string
	Dir     string // absolute
	Socket  string // where the child listens
	Threads int
	Nice    int
	Memory  int64
	Listen  string // loopback address for queries; empty: none
}

// report goes from the child to the parent, one JSON object a line.
type report struct {
	Phase Phase  `json:"phase"`
	Error string `json:"error,omitempty"`
	Query string `json:"query,omitempty"` // how the listener for queries is doing
}

// Child turns this process into the engine's child if it was started as that,
// and then does not return. Otherwise it returns at once. It is to be the first
// line of main, and of the TestMain of every package whose tests start an
// Engine, since the child is a process of the same binary.
func Child() {
	text := os.Getenv(childVariable)
	if text == "" {
		return
	}
	reports := json.NewEncoder(os.NewFile(reportsFD, "reports"))
	var cfg childConfig
	err := json.Unmarshal([]byte(text), &cfg)
	if err == nil {
		err = runChild(cfg, os.NewFile(parentFD, "parent"), func(r report) { _ = reports.Encode(r) })
	}
	if err != nil {
		_ = reports.Encode(report{Error: err.Error()})
		os.Exit(1)
	}
	os.Exit(0)
}

// runChild serves the engine until the parent closes its end of the pipe.
func runChild(cfg childConfig, parent io.Reader, tell func(report)) error {
	gone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, parent)
		close(gone)
		// Nobody is left to kill this process if it hangs.
		time.AfterFunc(killAfter, func() { os.Exit(1) })
	}()
	defer removeSocket(cfg.Socket, gone)
	// Service managers signal every process of a service. The parent flushes
	// then, and for that this process is still needed.
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	beModest(cfg.Nice)
	if err := os.Chdir(cfg.Dir); err != nil {
		return fmt.Errorf("cannot use the engine's directory: %w", err)
	}
	lock, err := lockDir(gone, func() { tell(report{Phase: WaitingLock}) })
	if lock == nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	tell(report{Phase: Starting})
	b, err := startEngine(cfg)
	if err != nil {
		return err
	}
	if err := serve(cfg, b, gone, tell); err != nil {
		return err // with statements still running, perhaps: the data survive that
	}
	b.close()
	return nil
}

// removeSocket removes the socket's private directory if the parent is gone,
// which may have died and cannot.
func removeSocket(socket string, gone <-chan struct{}) {
	select {
	case <-gone:
		_ = os.RemoveAll(filepath.Dir(socket))
	default:
	}
}

// beModest makes the kernel prefer everybody else to this process: for the
// processor, and as the one to end when memory is short. It is best effort.
func beModest(nice int) {
	// The group, since on Linux a process means one thread; the child is alone
	// in its group.
	_ = syscall.Setpriority(syscall.PRIO_PGRP, 0, nice)
	if runtime.GOOS == "linux" {
		_ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0)
	}
}

// lockDir takes the lock of the working directory and keeps it in the returned
// file. While another process has it, it waits; nil means that gone came first.
func lockDir(gone <-chan struct{}, waiting func()) (*os.File, error) {
	lock, err := lockFile("lock", gone, waiting)
	if lock == nil {
		return nil, err
	}
	// The engine's own lock, which another tool on its data may have.
	if _, err := os.Stat(engineLock); err == nil {
		f, err := lockFile(engineLock, gone, waiting)
		if f == nil {
			return nil, errors.Join(err, lock.Close())
		}
		_ = f.Close() // the engine takes it next
	}
	return lock, nil
}

// engineLock is the file that the engine locks while it runs, seen from the
// working directory.
const engineLock = "clickhouse/status"

// lockFile opens and locks a file. Like lockDir it waits, and gives up with nil.
func lockFile(path string, gone <-chan struct{}, waiting func()) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the engine's directory: %w", err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for told := false; ; told = true {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("cannot lock the engine's directory: %w", err), f.Close())
		}
		if !told {
			waiting()
		}
		select {
		case <-tick.C:
		case <-gone:
			return nil, f.Close()
		}
	}
}

// startEngine loads libchdb, opens the data below the working directory and
// makes sure of the database.
func startEngine(cfg childConfig) (*backend, error) {
	if err := errors.Join(os.RemoveAll(incoming), os.Mkdir(incoming, 0o700)); err != nil {
		return nil, fmt.Errorf("cannot prepare the engine's directory: %w", err)
	}
	lib, err := openLibrary(cfg.Library)
	if err != nil {
		return nil, err
	}
	b, err := newBackend(lib, engineArgs(cfg))
	if err != nil {
		return nil, err
	}
	got, err := b.anchor.query("CREATE DATABASE IF NOT EXISTS "+Database, "Null", nil)
	if err != nil {
		b.close()
		return nil, err
	}
	got.Close()
	return b, nil
}

// engineArgs are the engine's command line. What is a setting may be overridden
// by a request.
func engineArgs(cfg childConfig) []string {
	set := func(name string, value int64) string { return "--" + name + "=" + strconv.FormatInt(value, 10) }
	return []string{
		"clickhouse",
		"--path=" + filepath.Join(cfg.Dir, "clickhouse"),
		"--timezone=UTC",
		set("max_server_memory_usage", cfg.Memory),
		set("max_memory_usage", cfg.Memory/2),
		set("max_threads", int64(cfg.Threads)),
		set("max_query_size", maxStatement),
		set("max_result_bytes", maxAnswer),
		set("async_insert", 0),
		set("mark_cache_size", 64<<20),
		set("primary_index_cache_size", 64<<20),
		set("background_pool_size", 2),
	}
}

// serve answers requests until gone, then lets those that run finish for a
// while and kills the rest.
func serve(cfg childConfig, b *backend, gone <-chan struct{}, tell func(report)) error {
	version, err := b.version()
	if err != nil {
		return err
	}
	_ = os.Remove(cfg.Socket) // left by a child that was killed
	listener, err := net.Listen("unix", cfg.Socket)
	if err != nil {
		return fmt.Errorf("cannot listen for the parent: %w", err)
	}
	alive, kill := context.WithCancel(context.Background())
	defer kill()
	answers := &handler{version: version, run: b.run, alive: b.alive}
	requests := &gate{next: answers}
	server := &http.Server{
		Handler:           requests,
		BaseContext:       func(net.Listener) context.Context { return alive },
		ReadHeaderTimeout: 10 * time.Second,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	tell(report{Phase: Ready})
	if cfg.Listen != "" {
		public := &gate{next: answers.public(cfg.Memory)}
		queries, stop := context.WithCancel(alive)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			listenPublic(queries, cfg.Listen, public, func(how string) { tell(report{Phase: Ready, Query: how}) })
		}()
		defer func() { stop(); <-ended; <-public.shut() }() // before the engine ends
	}
	select {
	case err := <-failed:
		return fmt.Errorf("cannot serve the parent: %w", err)
	case <-gone:
	}
	drained := requests.shut()
	defer func() { _ = server.Close() }()
	if ended(drained, childShutdown) {
		// Their answers may still be on the way out. Nothing more is waited
		// for: connections that were never used count as busy here.
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = server.Shutdown(ctx)
		return nil
	}
	kill()
	if !ended(drained, killedShutdown) {
		return errors.New("a statement cannot be ended")
	}
	return nil
}

// ended waits for c to be closed, but not longer than d.
func ended(c <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-c:
		return true
	case <-timer.C:
		return false
	}
}

// gate counts the requests that run, so that their end can be waited for.
type gate struct {
	next    http.Handler
	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.enter() {
		http.Error(w, "the engine is stopping", http.StatusServiceUnavailable)
		return
	}
	defer g.running.Done()
	g.next.ServeHTTP(w, r)
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.running.Add(1)
	}
	return !g.closed
}

// shut lets no more requests in. The channel is closed when the last one left.
func (g *gate) shut() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	empty := make(chan struct{})
	go func() {
		g.running.Wait()
		close(empty)
	}()
	return empty
}
