package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"parallax"
	"parallax/compare/effects"
	"parallax/compare/effects/postgres"
	"parallax/internal/rig"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	code := m.Run()
	rig.Clean()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// reading is a reader at work, and the sink it reads into.
type reading struct {
	t      testing.TB
	server *rig.PostgresServer
	reader *postgres.Reader
	cancel context.CancelFunc
	done   chan error

	mu     sync.Mutex
	seen   []effects.Transaction
	passed effects.Position
	gaps   []gap
	forget bool // transactions are counted only
	rows   int
}

type gap struct {
	from, until time.Time
	why         string
}

// read starts a reader and returns when it reads. When the test ends it is stopped,
// and nothing of it may be left.
func read(t testing.TB, server *rig.PostgresServer, dsn string, tables ...string) *reading {
	t.Helper()
	r := start(t, server, postgres.Source{DSN: dsn, Tables: tables})
	r.untilReading(1)
	return r
}

func start(t testing.TB, server *rig.PostgresServer, source postgres.Source) *reading {
	t.Helper()
	reader, err := postgres.New(source, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &reading{t: t, server: server, reader: reader, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- reader.Run(ctx, r) }()
	t.Cleanup(func() { r.stop() })
	return r
}

// stop stops the reader and returns what Run returned. Stopping again does nothing.
func (r *reading) stop() error {
	r.cancel()
	err, ok := <-r.done
	if ok {
		close(r.done)
	}
	return err
}

// untilReading waits until the nth gap has ended.
func (r *reading) untilReading(n int) {
	r.t.Helper()
	rig.Eventually(r.t, "reading", func() error {
		ended, why := 0, ""
		for _, g := range r.allGaps() {
			if !g.until.IsZero() {
				ended++
			}
			why = g.why
		}
		if ended < n {
			return fmt.Errorf("%d of %d gaps have ended: %s", ended, n, why)
		}
		return nil
	})
}

// Transaction is a sink's.
func (r *reading) Transaction(tx effects.Transaction) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows += len(tx.Changes)
	if !r.forget {
		r.seen = append(r.seen, tx)
	}
}

// Passed is a sink's.
func (r *reading) Passed(p effects.Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passed = p
}

// Gap is a sink's.
func (r *reading) Gap(from, until time.Time, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gaps = append(r.gaps, gap{from, until, why})
}

func (r *reading) allGaps() []gap {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]gap(nil), r.gaps...)
}

// all waits for the barrier, and takes what was read until then.
func (r *reading) all() []effects.Transaction {
	r.t.Helper()
	r.barrier()
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.seen
	r.seen = nil
	return out
}

// barrier asks for a position and waits until it was passed.
func (r *reading) barrier() {
	r.t.Helper()
	p, err := r.reader.Position(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	rig.Eventually(r.t, fmt.Sprintf("position %X", p), func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.passed < p {
			return fmt.Errorf("%X was passed", r.passed)
		}
		return nil
	})
}

// show writes transactions so that a person can read them: a line for the tags, one
// for each change.
func show(list []effects.Transaction) string {
	var b strings.Builder
	for _, tx := range list {
		fmt.Fprintf(&b, "%q\n", tx.Tags)
		for _, c := range tx.Changes {
			fmt.Fprintf(&b, "  %s %s (%s) [%s] -> [%s]\n", c.Op, c.Table, columns(c.Key), columns(c.Before), columns(c.After))
		}
		if tx.More {
			b.WriteString("  more\n")
		}
	}
	return b.String()
}

var letters = map[parallax.ColumnType]string{parallax.TextColumn: "text", parallax.NumberColumn: "number", parallax.BoolColumn: "bool",
	parallax.TimeColumn: "time", parallax.JSONColumn: "json", parallax.BytesColumn: "bytes", parallax.ArrayColumn: "array", parallax.Unchanged: "unchanged"}

func columns(list []parallax.Column) string {
	var out []string
	for _, c := range list {
		v := "NULL"
		if c.Value != nil {
			if v = *c.Value; len(v) > 60 {
				v = fmt.Sprintf("%s..(%d)", v[:8], len(v))
			}
		}
		kind := letters[c.Type]
		if c.Made {
			kind += "!"
		}
		if c.Ref != "" {
			kind += ">" + c.Ref
		}
		out = append(out, fmt.Sprintf("%s:%s=%s", c.Name, kind, v))
	}
	return strings.Join(out, " ")
}

func connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// noSlotIsLeft shows the query by which an administrator sees it, too.
func noSlotIsLeft(t testing.TB, server *rig.PostgresServer) {
	t.Helper()
	if left := server.SQL("postgres", "select slot_name, temporary, active_pid from pg_replication_slots"); left != "" {
		t.Errorf("slots are left: %s", left)
	}
	if left := server.SQL("postgres", "select pid, state from pg_stat_replication"); left != "" {
		t.Errorf("processes are left: %s", left)
	}
}

var errNotYet = errors.New("not yet")
