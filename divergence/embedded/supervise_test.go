package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

func TestKilledChildComesBackWithItsRows(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir())
	ready(t, e)
	db := open(t, e)
	do(t, db, "CREATE TABLE kept (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 1000")
	token := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": "batch-1", "async_insert": 0}))
	row := func(i int) []any { return []any{uint64(i)} }
	send(t, db, token, "INSERT INTO kept", 10_000, row)

	first := e.State().PID
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	again := await(t, e, func(s State) bool { return s.Phase == Ready && s.PID != first })
	if again.Attempt != 2 || again.LastError != "" {
		t.Errorf("got %+v, want a second attempt without a fault", again)
	}
	send(t, db, token, "INSERT INTO kept", 10_000, row) // the same client, the same batch
	if n := number(t, db, "SELECT count() FROM kept"); n != 10_000 {
		t.Errorf("got %d rows, want 10000: acknowledged ones kept, the retried batch counted once", n)
	}

	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{first, again.PID} {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d is still there after Close, perhaps as a zombie: %v", pid, err)
		}
	}
	if _, err := os.Stat(filepath.Dir(e.socket)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket's directory is still there: %v", err)
	}
	if err := e.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("got %v, want that the engine is stopped", err)
	}
	if err := db.Ping(t.Context()); err == nil {
		t.Error("a closed engine answers")
	}
}

func TestSecondProcessWaitsForTheDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, dir)
	ready(t, first)
	do(t, open(t, first), "CREATE TABLE handed_on (a UInt8) ENGINE = MergeTree ORDER BY a")

	second := start(t, dir)
	await(t, second, func(s State) bool { return s.Phase == WaitingLock })
	err := open(t, second).Ping(t.Context())
	if err == nil || !strings.Contains(err.Error(), "waits for another process") {
		t.Errorf("got %v, want to be told what is waited for", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	state := await(t, second, func(s State) bool { return s.Phase == Ready })
	if state.Attempt != 1 {
		t.Errorf("got %+v, want the same child all along", state)
	}
	if n := number(t, open(t, second), "SELECT count() FROM handed_on"); n != 0 {
		t.Errorf("got %d rows in an empty table", n)
	}
}

func TestClosedWhileWaitingForTheDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	e := start(t, dir)
	await(t, e, func(s State) bool { return s.Phase == WaitingLock })
	began := time.Now()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took >= killAfter {
		t.Errorf("Close took %v: the child did not end by itself", took)
	}
}

func TestCloseLetsStatementsFinish(t *testing.T) {
	t.Parallel()
	// A statement that ends soon is waited for, an endless one is killed.
	f := func(sql string, want bool) {
		t.Helper()
		e := start(t, t.TempDir())
		ready(t, e)
		db := open(t, e)
		ended := make(chan error)
		go func() { ended <- db.Exec(t.Context(), sql) }()
		until(t, func() bool {
			return number(t, db, "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleep%'") == 1
		})
		began := time.Now()
		if err := e.Close(); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
		if took := time.Since(began); took >= killAfter {
			t.Errorf("%s: Close took %v, want less than %v", sql, took, killAfter)
		}
		if err := <-ended; (err == nil) != want {
			t.Errorf("%s: got %v, want it to finish: %v", sql, err, want)
		}
	}
	f("SELECT sleepEachRow(0.5) FROM numbers(3) SETTINGS max_block_size = 1", true)
	f("SELECT sleepEachRow(1) FROM numbers(600) SETTINGS max_block_size = 1", false)
}

// parentVariable makes the test binary a process that starts an engine in the
// directory it names, and waits to be killed.
const parentVariable = "PARALLAX_TEST_PARENT"

func beParent(dir string) {
	e, err := Start(context.Background(), Config{Dir: dir})
	if err == nil {
		err = e.Ready(context.Background())
	}
	fmt.Println(filepath.Dir(e.socket), err)
	select {}
}

func TestParentsDeathEndsTheChild(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(os.Environ(), parentVariable+"="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var socketDir, fault string
	if _, err := fmt.Fscanln(out, &socketDir, &fault); err != nil || fault != "<nil>" {
		t.Fatalf("the other process says %q, %v", fault, err)
	}
	e := start(t, dir)
	await(t, e, func(s State) bool { return s.Phase == WaitingLock })
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := parent.Wait(); err == nil {
		t.Error("the other process ended well, want it killed")
	}
	ready(t, e) // so its child has let go of the directory
	until(t, func() bool {
		_, err := os.Stat(socketDir)
		return errors.Is(err, fs.ErrNotExist)
	})
}

func TestMissingLibrary(t *testing.T) {
	t.Parallel()
	e, err := Start(t.Context(), Config{Dir: t.TempDir(), Library: filepath.Join(t.TempDir(), "libchdb.so")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	err = e.Ready(t.Context())
	if err == nil || !strings.Contains(err.Error(), "make setup") {
		t.Errorf("got %v, want to be told what to do", err)
	}
	if s := e.State(); s.Phase != Missing || s.PID != 0 {
		t.Errorf("got %+v, want it missing", s)
	}
}

func TestBrokenLibrary(t *testing.T) {
	t.Parallel()
	library := filepath.Join(t.TempDir(), "libchdb.so")
	if err := os.WriteFile(library, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := Start(t.Context(), Config{Dir: t.TempDir(), Library: library})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	s := await(t, e, func(s State) bool { return s.Phase == Restarting && s.Attempt >= 3 })
	if !strings.Contains(s.LastError, library) {
		t.Errorf("got %q, want it to name the library", s.LastError)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := e.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the caller's deadline", err)
	}
}

// Without Child in a TestMain, each child would run all tests again.
func TestStartInAChildIsRefused(t *testing.T) {
	t.Setenv(childVariable, "{}")
	if e, err := Start(t.Context(), Config{Dir: t.TempDir()}); err == nil {
		_ = e.Close()
		t.Error("a child started a child")
	} else if !strings.Contains(err.Error(), "first line") {
		t.Error(err)
	}
}

func TestStartRefusesNonsense(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []Config{
		{}, {Dir: file}, {Dir: t.TempDir(), Threads: -1}, {Dir: t.TempDir(), Nice: -5}, {Dir: t.TempDir(), Nice: 20}, {Dir: t.TempDir(), Memory: 1},
		{Dir: t.TempDir(), HungAfter: time.Millisecond},
	} {
		if e, err := Start(t.Context(), cfg); err == nil {
			_ = e.Close()
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

func TestChildLeavesSignalsToTheParent(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir())
	ready(t, e)
	before := e.State()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if err := syscall.Kill(before.PID, s); err != nil {
			t.Fatal(err)
		}
	}
	do(t, open(t, e), "SELECT 1")
	if now := e.State(); now != before {
		t.Errorf("got %+v after the signals, want %+v", now, before)
	}
}

func TestChildIsModest(t *testing.T) {
	t.Parallel()
	pid := sharedEngine(t).State().PID
	prio, err := syscall.Getpriority(syscall.PRIO_PROCESS, pid)
	if err != nil {
		t.Fatal(err)
	}
	if nice := 20 - prio; nice != 10 { // Linux answers 20 - nice
		t.Errorf("the child's nice is %d, want 10", nice)
	}
	if group, err := syscall.Getpgid(pid); err != nil || group != pid {
		t.Errorf("the child's process group is %d, %v, want its own (%d)", group, err, pid)
	}
}
