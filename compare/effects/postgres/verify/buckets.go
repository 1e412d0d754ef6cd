package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

const (
	bucketRows   = 128     // rows of a bucket, about
	mostBuckets  = 1 << 16 // that are kept in memory
	leastBuckets = 1 << 6
	bucketsRead  = 200_000 // rows that are read of buckets that differ
	pageRows     = 50      // of a page, about, where a table's statistics say nothing
)

// buckets goes through the table page by page and sums rows up by a hash of what names
// them, so that no order is needed; then it reads the buckets that differ. The whole of
// it sees one snapshot.
func (w *work) buckets(ctx context.Context) error {
	n := int64(leastBuckets)
	for n < mostBuckets && n*bucketRows < max(w.legs[primary].estimated, w.legs[candidate].estimated) {
		n *= 2
	}
	var sums [2]map[int64]tally
	err := w.both(func(leg int, _ *side) (err error) {
		sums[leg], err = w.bucketSums(ctx, leg, n)
		return err
	})
	if err != nil {
		return err
	}
	for leg := range sums {
		for _, s := range sums[leg] {
			w.out.Rows[leg] += s.rows
		}
	}
	differ := w.differing(sums)
	if len(differ) == 0 {
		return nil
	}
	var rows [2][]row
	err = w.both(func(leg int, _ *side) error {
		return w.pages(ctx, leg, newPace(&w.Options), func(where string) (int64, error) {
			found, err := w.read(ctx, leg, fmt.Sprintf("%s and (%s & %d) = any($1::int8[])", where, w.hashed(leg, w.identity(leg)), n-1), differ)
			rows[leg] = append(rows[leg], found...)
			return int64(len(found)), err
		})
	})
	if err == nil {
		w.suspect(rows)
	}
	return err
}

// tally stands for the rows of a bucket. Its hash wraps around.
type tally struct {
	rows int64
	hash int64
}

// bucketSums sums up one leg's buckets.
func (w *work) bucketSums(ctx context.Context, leg int, n int64) (map[int64]tally, error) {
	out := map[int64]tally{}
	identity, all := w.hashed(leg, w.identity(leg)), w.hashed(leg, rowText(leg, w.fields))
	pace := w.pace
	if leg == candidate {
		pace = newPace(&w.Options)
	}
	err := w.pages(ctx, leg, pace, func(where string) (seen int64, err error) {
		// The sum is cut to what wraps around, so that it does not matter how the table
		// was cut.
		sql := fmt.Sprintf(`select b, count(*), (sum(h) %% 9223372036854775808)::int8 from (
			select %s & %d as b, %s as h from %s t where %s offset 0) r group by b`, identity, n-1, all, w.legs[leg].name, where)
		rows, err := w.sides[leg].tx.Query(ctx, sql)
		if err != nil {
			return 0, err
		}
		var b int64
		var s tally
		_, err = pgx.ForEachRow(rows, []any{&b, &s.rows, &s.hash}, func() error {
			sum := out[b]
			out[b] = tally{sum.rows + s.rows, (sum.hash + s.hash) & (1<<63 - 1)}
			seen += s.rows
			return nil
		})
		if leg == primary && err == nil {
			w.tell(seen)
		}
		return seen, err
	})
	return out, err
}

// differing lists the buckets that differ, as many as are read.
func (w *work) differing(sums [2]map[int64]tally) (out []int64) {
	all := maps.Clone(sums[primary])
	maps.Copy(all, sums[candidate])
	room := int64(bucketsRead)
	for _, b := range slices.Sorted(maps.Keys(all)) {
		if sums[primary][b] == sums[candidate][b] {
			continue
		}
		if room -= max(sums[primary][b].rows, sums[candidate][b].rows); room < 0 && len(out) > 0 {
			w.out.More = true
			break
		}
		out = append(out, b)
	}
	return out
}

// pages goes through all pages of a leg's table, as many at once as the pace wants.
// do reads those that a condition names and returns how many rows there were.
func (w *work) pages(ctx context.Context, leg int, pace *pace, do func(where string) (int64, error)) error {
	r := w.legs[leg]
	perPage := int64(pageRows)
	if r.pages > 0 && r.estimated > 0 {
		perPage = max(r.estimated/r.pages, 1)
	}
	for at := int64(0); ; {
		next := at + max(pace.size/perPage, 1)
		where := fmt.Sprintf("t.ctid >= '(%d,0)'", at)
		if next <= r.pages {
			where += fmt.Sprintf(" and t.ctid < '(%d,0)'", next)
		}
		began := w.Now()
		rows, err := do(where)
		if err != nil || next > r.pages {
			return err
		}
		if err := pace.after(ctx, max(rows, (next-at)*perPage), w.Now().Sub(began)); err != nil {
			return err
		}
		at = next
	}
}
