package embedded

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// startWatched starts an engine of the test's own that is soon taken for hung.
func startWatched(t *testing.T, hungAfter time.Duration, log *slog.Logger) *Engine {
	t.Helper()
	return startWith(t, Config{Dir: t.TempDir(), HungAfter: hungAfter, Log: log})
}

func TestHungChildIsReplaced(t *testing.T) {
	t.Parallel()
	var log logBuffer
	e := startWatched(t, 2*time.Second, slog.New(slog.NewTextHandler(&log, nil)))
	ready(t, e)
	db := open(t, e)
	do(t, db, "CREATE TABLE kept (a UInt8) ENGINE = MergeTree ORDER BY a")

	first := e.State().PID
	if err := syscall.Kill(first, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	again := await(t, e, func(s State) bool { return s.Phase == Ready && s.PID != first })
	if again.LastError != "" {
		t.Errorf("got %+v, want another child without a fault", again)
	}
	for _, want := range []string{
		`level=WARN msg="the engine hangs and is being killed: it gave no answer for 2s"`,
		`level=WARN msg="the engine is being restarted: it gave no answer for 2s and was killed`,
	} {
		if text := log.String(); !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if n := number(t, db, "SELECT count() FROM kept"); n != 0 { // the same client
		t.Errorf("got %d rows in an empty table", n)
	}
}

// TestBusyChildIsLeftAlone fills both lanes for longer than a hung child is
// given.
func TestBusyChildIsLeftAlone(t *testing.T) {
	t.Parallel()
	e := startWatched(t, 2*time.Second, nil)
	ready(t, e)
	before := e.State()
	db := open(t, e)
	do(t, db, "CREATE TABLE slow (a UInt64) ENGINE = MergeTree ORDER BY a")
	const seconds = " FROM numbers(4) SETTINGS max_block_size = 1"
	var all errgroup.Group
	began := time.Now()
	for range readersMax {
		all.Go(func() error { return db.Exec(t.Context(), "SELECT sleepEachRow(1)"+seconds) })
	}
	for range writers {
		all.Go(func() error { return db.Exec(t.Context(), "INSERT INTO slow SELECT number + sleepEachRow(1)"+seconds) })
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < 2*e.cfg.HungAfter {
		t.Errorf("the lanes were busy for %v only", took)
	}
	if now := e.State(); now != before {
		t.Errorf("got %+v, want %+v", now, before)
	}
}

func TestAlive(t *testing.T) {
	t.Parallel()
	var open atomic.Int64
	query, text := make(chan uintptr), ""
	lib := fakeLibrary(&open, func() uintptr { return <-query })
	lib.resultError = func(uintptr) string { return text }
	b, err := newBackend(lib, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := &handler{alive: b.alive}
	ask := func(ctx context.Context) int {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, http.MethodGet, alivePath, nil))
		return answer.Code
	}
	first := make(chan int)
	go func() { first <- ask(t.Context()) }()
	until(t, func() bool { return open.Load() == 2 }) // the anchor, and the question under way
	left, leave := context.WithCancel(t.Context())
	leave()
	if code := ask(left); code != http.StatusInternalServerError || open.Load() != 2 {
		t.Errorf("a second question while the engine hangs: %d with %d sessions, want it to wait outside until its caller leaves", code, open.Load())
	}
	query <- 1
	if code := <-first; code != http.StatusOK {
		t.Errorf("got %d when the engine has answered after all", code)
	}

	close(query) // from now on there is no answer, and at once
	if code := ask(t.Context()); code != http.StatusInternalServerError {
		t.Errorf("got %d for an engine that gives no answer", code)
	}
	b.lib.query = fakeLibrary(&open, func() uintptr { return 1 }).query
	text = "Code: 241. DB::Exception: (total) memory limit exceeded"
	if code := ask(t.Context()); code != http.StatusOK {
		t.Errorf("got %d for an engine that refuses, want that to be an answer", code)
	}
	b.close()
	if n := open.Load(); n != 0 {
		t.Errorf("%d sessions are still open", n)
	}
}

// logBuffer is a log that tests read.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
