package postgres_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"parallax/internal/rig"
)

// BenchmarkReader is how fast a log that is already written is read: tagged
// transactions of 10 rows each, of five columns.
func BenchmarkReader(b *testing.B) {
	s := rig.Postgres(b, "synchronous_commit=off", "max_wal_size=8GB")
	loadSchema(b, s)
	r := read(b, s, s.DSN("postgres"), "load")
	r.mu.Lock()
	r.forget = true
	r.mu.Unlock()
	conn := connect(b, s.DSN("postgres"))
	// The stream stands still while this holds the lock that its sink needs.
	r.mu.Lock()
	exec(b, conn, fmt.Sprintf("call load(%d, 0)", (b.N+9)/10))
	b.ResetTimer()
	r.mu.Unlock()
	r.untilRows((b.N + 9) / 10 * 10)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// TestKeepsUp feeds 50 000 row changes a second for some seconds: what is read lies
// not further behind than the writing took, and memory does not grow.
func TestKeepsUp(t *testing.T) {
	const perSecond, seconds = 50_000, 5
	s := rig.Postgres(t, "synchronous_commit=off", "max_wal_size=8GB")
	loadSchema(t, s)
	r := read(t, s, s.DSN("postgres"), "load")
	r.mu.Lock()
	r.forget = true
	r.mu.Unlock()
	var heap, most runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&heap)

	began := time.Now()
	var writing sync.WaitGroup
	for range 2 {
		conn := connect(t, s.DSN("postgres"))
		writing.Go(func() { exec(t, conn, fmt.Sprintf("call load(%d, %d)", perSecond*seconds/2/10, perSecond/2)) })
	}
	lag := watchLag(r)
	writing.Wait()
	wrote := time.Since(began)
	r.untilRows(perSecond * seconds)
	read := time.Since(began)
	worst := lag()
	runtime.ReadMemStats(&most)
	grown := int64(most.HeapInuse) - int64(heap.HeapInuse)
	t.Logf("%d rows written in %v (%.0f/s), read in %v; worst lag %v; heap grew by %d KiB", perSecond*seconds, wrote, perSecond*seconds/wrote.Seconds(), read, worst, grown>>10)
	if grown > 64<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

// watchLag returns the greatest time that reading lay behind, when it is called.
func watchLag(r *reading) (worst func() time.Duration) {
	done, out := make(chan struct{}), make(chan time.Duration, 1)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		var worst time.Duration
		for {
			select {
			case <-done:
				out <- worst
				return
			case <-tick.C:
				r.reader.Position(r.t.Context()) // as a joiner does while exchanges wait
				worst = max(worst, time.Since(r.reader.ReadUntil()))
			}
		}
	}()
	return func() time.Duration { close(done); return <-out }
}

// loadSchema makes a table and a procedure that commits tagged transactions of ten
// rows, as fast as it can or so many rows a second.
func loadSchema(t testing.TB, s *rig.PostgresServer) {
	s.SQL("postgres", `
		create sequence ids;
		create table load (id bigint primary key default nextval('ids'), customer int, total numeric(10,2), note text, at timestamptz default now());
		create procedure load(transactions int, per_second int) language plpgsql as $$
		declare began timestamptz := clock_timestamp(); ahead float;
		begin
			for i in 1..transactions loop
				insert into load (customer, total, note) select i, n * 1.1, 'a note of some length' from generate_series(1, 10) n;
				perform pg_logical_emit_message(true, 'parallax', '019a0000-0000-7000-8000-' || lpad(i::text, 12, '0'));
				commit;
				if per_second > 0 and i % 100 = 0 then
					ahead := i * 10.0 / per_second - extract(epoch from clock_timestamp() - began);
					if ahead > 0 then perform pg_sleep(ahead); end if;
				end if;
			end loop;
		end $$`)
}

func (r *reading) untilRows(n int) {
	r.t.Helper()
	rig.Eventually(r.t, "reading everything", func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.rows < n {
			return fmt.Errorf("%d of %d rows", r.rows, n)
		}
		return nil
	})
}
