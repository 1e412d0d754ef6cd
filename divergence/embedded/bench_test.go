package embedded

import (
	"fmt"
	"strconv"
	"testing"
)

// What a request costs beyond its work: HTTP, a session, routing.
func BenchmarkSelectOne(b *testing.B) {
	db := open(b, sharedEngine(b))
	for b.Loop() {
		if n := number(b, db, "SELECT toUInt64(1)"); n != 1 {
			b.Fatal(n)
		}
	}
}

func BenchmarkInsert(b *testing.B) {
	for _, rows := range []int{100, 1_000, 10_000} {
		b.Run(strconv.Itoa(rows), func(b *testing.B) {
			db := open(b, sharedEngine(b))
			table := fmt.Sprintf("bench_%d", rows)
			do(b, db, "DROP TABLE IF EXISTS "+table)
			do(b, db, "CREATE TABLE "+table+" (id UInt64, endpoint LowCardinality(String), text String) ENGINE = MergeTree ORDER BY id")
			for b.Loop() {
				send(b, db, b.Context(), "INSERT INTO "+table, rows, func(i int) []any {
					return []any{uint64(i), "GET /orders/{id}", "some text of a difference " + strconv.Itoa(i)}
				})
			}
			b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
