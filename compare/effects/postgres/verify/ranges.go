package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// atOnce is how many rows are read at once where a segment differs.
const atOnce = 250

// span is the rows whose keys are greater than one and not greater than another; nil
// is no limit.
type span struct{ after, to []string }

// sum is what stands for the rows of a segment.
type sum struct {
	rows int64
	hash string // the sum of the rows' hashes
}

// ranges goes through the table by segments of its key.
func (w *work) ranges(ctx context.Context) error {
	var at span
	for {
		if err := w.renew(ctx); err != nil {
			return err
		}
		began := w.Now()
		sums, err := w.segment(ctx, &at)
		if tooSlow(err) && w.slower() {
			if err := w.begin(ctx); err != nil {
				return err
			}
			continue
		}
		if err == nil && sums[primary] != sums[candidate] {
			err = w.bisect(ctx, at, sums)
		}
		if err != nil {
			return err
		}
		for leg := range sums {
			w.out.Rows[leg] += sums[leg].rows
		}
		w.tell(sums[primary].rows)
		if at.to == nil {
			return nil
		}
		at.after = at.to
		if err := w.after(ctx, max(sums[primary].rows, sums[candidate].rows), w.Now().Sub(began)); err != nil {
			return err
		}
	}
}

// segment finds the end of the segment that begins where at does, and sums it up.
func (w *work) segment(ctx context.Context, at *span) (sums [2]sum, err error) {
	at.to = nil
	if at.to, err = w.nth(ctx, primary, *at, w.size-1); err != nil {
		return sums, err
	}
	return w.sums(ctx, *at)
}

// nth returns the key of a segment's nth row from 0, nil if there are fewer.
func (w *work) nth(ctx context.Context, leg int, at span, n int64) (key []string, err error) {
	var texts, raws []string
	for _, f := range w.plan.key {
		texts, raws = append(texts, f.raw[leg]+"::text"), append(raws, f.raw[leg])
	}
	where, args := w.within(leg, at)
	sql := fmt.Sprintf("select array[%s] from %s t where %s order by %s offset %d limit 1",
		strings.Join(texts, ", "), w.legs[leg].name, where, strings.Join(raws, ", "), n)
	err = w.sides[leg].tx.QueryRow(ctx, sql, args...).Scan(&key)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return key, w.of(leg, err)
}

// of names the leg that something failed on.
func (w *work) of(leg int, err error) error {
	if err == nil {
		return nil
	}
	return &legError{w.sides[leg].leg, w.sides[leg].source.Hidden(err)}
}

// sums sums a segment up on both legs.
func (w *work) sums(ctx context.Context, at span) (sums [2]sum, err error) {
	err = w.both(func(leg int, s *side) error {
		where, args := w.within(leg, at)
		sql := fmt.Sprintf("select count(*), coalesce(sum(%s), 0)::text from %s t where %s", w.hashed(leg, rowText(leg, w.fields)), w.legs[leg].name, where)
		return s.tx.QueryRow(ctx, sql, args...).Scan(&sums[leg].rows, &sums[leg].hash)
	})
	return sums, err
}

// bisect goes down to the rows of a segment that differs.
func (w *work) bisect(ctx context.Context, at span, sums [2]sum) error {
	if w.full() {
		return nil
	}
	longer := primary
	if sums[candidate].rows > sums[primary].rows {
		longer = candidate
	}
	if sums[longer].rows <= atOnce {
		return w.segmentRows(ctx, at)
	}
	middle, err := w.nth(ctx, longer, at, sums[longer].rows/2-1)
	if err != nil {
		return err
	}
	for _, half := range []span{{at.after, middle}, {middle, at.to}} {
		sums, err := w.sums(ctx, half)
		if err == nil && sums[primary] != sums[candidate] {
			err = w.bisect(ctx, half, sums)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// segmentRows reads the rows of a segment.
func (w *work) segmentRows(ctx context.Context, at span) error {
	var rows [2][]row
	err := w.both(func(leg int, _ *side) (err error) {
		where, args := w.within(leg, at)
		rows[leg], err = w.read(ctx, leg, where, args...)
		return err
	})
	if err == nil {
		w.suspect(rows)
	}
	return err
}

// within returns the condition that a row is in a segment.
func (w *work) within(leg int, at span) (where string, args []any) {
	where = "true"
	var raws []string
	for _, f := range w.plan.key {
		raws = append(raws, f.raw[leg])
	}
	add := func(operator string, key []string) {
		if key == nil {
			return
		}
		var values []string
		values, args = w.values(leg, key, args)
		where += fmt.Sprintf(" and (%s) %s (%s)", strings.Join(raws, ", "), operator, strings.Join(values, ", "))
	}
	add(">", at.after)
	add("<=", at.to)
	return where, args
}

// in returns the condition that a row has one of the keys.
func (w *work) in(leg int, keys [][]string) (where string, args []any) {
	var raws, list []string
	for _, f := range w.plan.key {
		raws = append(raws, f.raw[leg])
	}
	for _, key := range keys {
		var values []string
		values, args = w.values(leg, key, args)
		list = append(list, "("+strings.Join(values, ", ")+")")
	}
	return fmt.Sprintf("(%s) in (%s)", strings.Join(raws, ", "), strings.Join(list, ", ")), args
}

// values returns parameters for the values of a key.
func (w *work) values(leg int, key []string, args []any) ([]string, []any) {
	var values []string
	for i, f := range w.plan.key {
		args = append(args, key[i])
		values = append(values, fmt.Sprintf("$%d::text::%s", len(args), f.sort[leg]))
	}
	return values, args
}
