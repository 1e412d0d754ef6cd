package divergence

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"parallax/compare"
)

// benchmarkRecords records a run of exchanges over 50 endpoints of which one in ten
// diverges in two places.
func benchmarkRecords(b *testing.B, r rig, from, n int) {
	b.Helper()
	diverged := compare.Comparison{Outcome: compare.Diverged, Divergences: 2}
	for i := from; i < from+n; i++ {
		x := pair(i, "GET /endpoint/{id}/"+strconv.Itoa(i%50), 200, 200)
		x.Received = noon.Add(time.Duration(i) * time.Millisecond)
		c := matched
		if i%10 == 0 {
			fingerprint := "1-" + strconv.Itoa(i%500)
			c = diverged
			c.Differences = []compare.Difference{difference(fingerprint, "$.items[*].price", ""), difference(fingerprint+"b", "$.total", "")}
		}
		r.record(x, c, i%100 == 0)
	}
}

// BenchmarkWrite is how fast batches reach the store, everything included:
// encoding, five tables, and the moves in the ledger. The figure is exchanges a
// second.
func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{500, 5000, 25_000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			s := openShared(b)
			r := newRig(b, "bench", s, s, Limits{BatchRows: size, BufferRows: 2 * size})
			n := 0
			for b.Loop() {
				b.StopTimer()
				benchmarkRecords(b, r, n, size)
				n += size
				b.StartTimer()
				if _, err := r.flush(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "exchanges/s")
		})
	}
}

// BenchmarkSummary is one report over so many stored exchanges.
func BenchmarkSummary(b *testing.B) {
	for _, size := range []int{10_000, 200_000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			s := openShared(b)
			r := newRig(b, "bench", s, s, Limits{BufferRows: size})
			for n := 0; n < size; n += 5000 {
				benchmarkRecords(b, r, n, 5000)
				if _, err := r.flush(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				sum, err := r.Summary(b.Context(), "shop", Window{})
				if err != nil || sum.Accounting.Received != int64(size) || sum.Accounting.Missing() != 0 {
					b.Fatalf("%+v, %v", sum.Accounting, err)
				}
			}
		})
	}
}

// BenchmarkDisk is what a compared exchange takes on disk: its row, with an id and
// times as they are in earnest, after parts have merged; and a row of a difference.
func BenchmarkDisk(b *testing.B) {
	s := openShared(b)
	r := newRig(b, "bench", s, s, Limits{BufferRows: 100_000})
	random := rand.New(rand.NewPCG(1, 2))
	n := 0
	for b.Loop() {
		for range 50_000 {
			x := pair(n, "GET /endpoint/{id}/"+strconv.Itoa(random.IntN(50)), 200, 200)
			binary.BigEndian.PutUint64(x.ID[8:], 1<<63|random.Uint64()>>2)
			for _, call := range x.Legs[:2] {
				call.First += time.Duration(random.ExpFloat64() * float64(5*time.Millisecond))
			}
			c := matched
			if n%10 == 0 {
				c = compare.Comparison{Outcome: compare.Diverged, Divergences: 1, Differences: []compare.Difference{difference("1-"+strconv.Itoa(n%500), "$.items[*].price", "")}}
			}
			r.record(x, c, false)
			n++
		}
		r.mustFlush(b)
	}
	for _, table := range []string{"comparisons", "divergences"} {
		if err := s.conn.Exec(b.Context(), "OPTIMIZE TABLE "+table+" FINAL"); err != nil {
			b.Fatal(err)
		}
		var perRow float64
		query := "SELECT sum(bytes_on_disk) / sum(rows) FROM system.parts WHERE active AND database = currentDatabase() AND table = '" + table + "'"
		if err := s.conn.QueryRow(b.Context(), query).Scan(&perRow); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(perRow, "bytes/"+table+"-row")
	}
}
