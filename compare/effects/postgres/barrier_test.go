package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"parallax/internal/rig"
)

// TestPositionCoversWhatWasCommitted commits, asks for the position, and finds the
// commit handed over when that is passed: on a quiet server and on one that works,
// also when sessions do not wait for the disk.
func TestPositionCoversWhatWasCommitted(t *testing.T) {
	t.Parallel()
	for _, synchronous := range []string{"on", "off"} {
		t.Run("synchronous_commit "+synchronous, func(t *testing.T) {
			t.Parallel()
			// Nobody but the reader is in a hurry to write the log.
			s := rig.Postgres(t, "synchronous_commit="+synchronous, "wal_writer_delay=10s", "fsync=on")
			s.SQL("postgres", "create table t (id int primary key, v text); create table noise (v text)")
			r := read(t, s, s.DSN("postgres"), "t")
			conn := connect(t, s.DSN("postgres"))
			n := 0
			commitAndWait := func() time.Duration {
				n++
				exec(t, conn, "insert into t values ($1, 'x')", n)
				began := time.Now()
				list := r.all()
				took := time.Since(began)
				if len(list) != 1 || *list[0].Changes[0].Key[0].Value != fmt.Sprint(n) {
					t.Fatalf("behind the barrier of row %d: %s", n, show(list))
				}
				return took
			}
			check(t, "quiet", commitAndWait)
			stop := busy(t, s)
			check(t, "at work", commitAndWait)
			stop()
		})
	}
}

func check(t *testing.T, name string, once func() time.Duration) {
	t.Helper()
	var took []time.Duration
	for range 100 {
		took = append(took, once())
	}
	slices.Sort(took)
	t.Logf("%s: p50 %v, p90 %v, p99 %v", name, took[50], took[90], took[98])
	if took[90] > 150*time.Millisecond {
		t.Errorf("%s: one barrier in ten took more than %v", name, took[90])
	}
}

// busy has two sessions write what is not read, until the returned function is
// called.
func busy(t *testing.T, s *rig.PostgresServer) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 2 {
		conn := connect(t, s.DSN("postgres"))
		wg.Go(func() {
			for ctx.Err() == nil {
				conn.Exec(context.Background(), "insert into noise select md5(i::text) from generate_series(1, 20) i") // its loss would show below
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
		if s.SQL("postgres", "select count(*) > 100 from noise") != "t" {
			t.Error("nothing was at work")
		}
	}
}

// TestPassedMovesWithoutChanges: neither a quiet database nor one in which only
// other tables change keeps the barrier waiting.
func TestPassedMovesWithoutChanges(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", "create table t (id int primary key); create table other (id int)")
	r := read(t, s, s.DSN("postgres"), "t")
	for range 20 {
		r.barrier()
		s.SQL("postgres", "insert into other select generate_series(1, 1000)")
		r.barrier()
	}
	if got := r.all(); len(got) != 0 {
		t.Errorf("read %s", show(got))
	}
	before := r.reader.ReadUntil()
	rig.Eventually(t, "time to be known to be read", func() error {
		if !r.reader.ReadUntil().After(before.Add(time.Second)) {
			return errNotYet
		}
		return nil
	})
	// What was confirmed is forgotten by the server: it keeps no log for us.
	rig.Eventually(t, "the slot to move", func() error {
		if s.SQL("postgres", "select confirmed_flush_lsn >= pg_current_wal_lsn() - 100000 from pg_replication_slots") != "t" {
			return errNotYet
		}
		return nil
	})
}
