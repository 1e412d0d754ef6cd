package embedded

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// start starts an engine in dir and waits until it is ready.
func start(t *testing.T, dir string) *Engine {
	t.Helper()
	if _, err := Find(os.Getenv); err != nil {
		t.Fatal(err)
	}
	e, err := Start(t.Context(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	ready(t, e)
	return e
}

func ready(t *testing.T, e *Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := e.Ready(ctx); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, e *Engine) driver.Conn {
	t.Helper()
	db, err := clickhouse.Open(e.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func do(t *testing.T, db driver.Conn, sql string, args ...any) {
	t.Helper()
	if err := db.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestInsertAndSelect(t *testing.T) {
	t.Parallel()
	db := open(t, start(t, t.TempDir()))
	do(t, db, "CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
	do(t, db, "INSERT INTO t VALUES (1, 'one'), (2, 'two; --')")
	batch, err := db.PrepareBatch(t.Context(), "INSERT INTO t")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = batch.Close() }()
	for i := range 10_000 {
		if err := batch.Append(uint64(i+3), "row"); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	var n, sum uint64
	if err := db.QueryRow(t.Context(), "SELECT count(), sum(a) FROM t WHERE a > {min:UInt64}", clickhouse.Named("min", 1)).Scan(&n, &sum); err != nil {
		t.Fatal(err)
	}
	if n != 10_001 || sum != 10_002*10_003/2-1 {
		t.Errorf("got %d rows with sum %d", n, sum)
	}
}
