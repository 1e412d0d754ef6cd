package embedded

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	Child()
	if dir := os.Getenv(parentVariable); dir != "" {
		beParent(dir)
	}
	code := m.Run()
	if err := closeShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// shared is the engine of all tests that do not harm it.
var shared struct {
	once sync.Once
	dir  string
	*Engine
	err error
}

func sharedEngine(t testing.TB) *Engine {
	t.Helper()
	shared.once.Do(func() {
		if _, shared.err = Find(os.Getenv); shared.err != nil {
			return
		}
		if shared.dir, shared.err = os.MkdirTemp("", "embedded-test-"); shared.err != nil {
			return
		}
		shared.Engine, shared.err = Start(context.Background(), Config{Dir: shared.dir})
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	ready(t, shared.Engine)
	return shared.Engine
}

func closeShared() error {
	if shared.Engine == nil {
		return nil
	}
	if err := shared.Close(); err != nil {
		return err
	}
	return os.RemoveAll(shared.dir)
}

// start starts an engine of the test's own.
func start(t *testing.T, dir string) *Engine {
	t.Helper()
	return startWith(t, Config{Dir: dir})
}

func startWith(t *testing.T, cfg Config) *Engine {
	t.Helper()
	if _, err := Find(os.Getenv); err != nil {
		t.Fatal(err)
	}
	e, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func ready(t testing.TB, e *Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := e.Ready(ctx); err != nil {
		t.Fatal(err)
	}
}

// await waits for a state of the engine.
func await(t *testing.T, e *Engine, want func(State) bool) State {
	t.Helper()
	timeout := time.After(time.Minute)
	for {
		e.mu.Lock()
		state, changed := e.state, e.changed
		e.mu.Unlock()
		if want(state) {
			return state
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("still %+v after a minute", state)
		}
	}
}

func open(t testing.TB, e *Engine) driver.Conn {
	t.Helper()
	db, err := clickhouse.Open(e.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func do(t testing.TB, db driver.Conn, sql string, args ...any) {
	t.Helper()
	if err := db.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// number runs a query that answers with one UInt64.
func number(t testing.TB, db driver.Conn, sql string, args ...any) uint64 {
	t.Helper()
	var n uint64
	if err := db.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}
