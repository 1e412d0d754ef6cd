package verify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"parallax"

	"github.com/jackc/pgx/v5"
)

// work is the comparison of one table.
type work struct {
	*verifier
	*plan
	*pace
	out      Table
	watched  bool // young rows are told by the transactions that began meanwhile
	young    [2]string
	suspects map[string]suspect // by what names the row
	order    []string           // in which they were found
}

// suspect is a row that differed at first sight.
type suspect struct {
	key  []string // as a database writes it
	hash int64    // of what names the row
}

// row is one row as it was read.
type row struct {
	ident  string
	hash   int64
	key    []string
	values []*string
	young  bool
}

// ages decides how young rows are told.
func (w *work) ages() error {
	for leg, s := range w.sides {
		w.young[leg] = "false"
		switch {
		case w.MinAge <= 0:
		case w.Age != "":
			c := w.table0().column(leg, w.Age)
			if c == nil || !c.instant() && !c.clock() {
				return fmt.Errorf("age: there is no column %s with times in the %s's table", w.Age, s.leg)
			}
			at := "t." + quoted(c.name)
			if c.clock() {
				at = "(" + at + " at time zone 'UTC')"
			}
			w.young[leg] = fmt.Sprintf("coalesce(%s > now() - make_interval(secs => %f), false)", at, w.MinAge.Seconds())
		case s.commits:
			w.young[leg] = fmt.Sprintf("coalesce(pg_xact_commit_timestamp(t.xmin) > now() - make_interval(secs => %f), false)", w.MinAge.Seconds())
		default:
			w.watched = true
		}
	}
	switch {
	case w.MinAge <= 0:
	case w.Age != "":
		w.out.Age = "by column " + w.Age
	case w.watched:
		w.out.Age = fmt.Sprintf("rows that differ are looked at again after %s and left out if they were changed meanwhile; quicker with track_commit_timestamp = on (restart) or age: COLUMN", w.MinAge)
	default:
		w.out.Age = "by the time of the commit"
	}
	return nil
}

func (w *work) table0() *table { return w.plan.table }

// begin takes a snapshot of both databases.
func (w *work) begin(ctx context.Context) error {
	now := w.Now()
	return w.both(func(_ int, s *side) error { return s.begin(ctx, now) })
}

func (w *work) end() {
	for _, s := range w.sides {
		s.end()
		s.horizon = ""
	}
}

// renew takes new snapshots where those at hand are old.
func (w *work) renew(ctx context.Context) error {
	if w.Now().Sub(w.sides[primary].since) < maxSnapshot {
		return nil
	}
	return w.begin(ctx)
}

// tell reports how far the work is.
func (w *work) tell(rows int64) {
	p := &w.progress
	p.Rows += rows
	p.Suspects = len(w.suspects)
	took := w.Now().Sub(w.began)
	p.Rate, p.Left = float64(p.Rows)/max(took.Seconds(), 1e-3), 0
	if p.Guessed > p.Rows && p.Rate > 0 {
		p.Left = time.Duration(float64(p.Guessed-p.Rows) / p.Rate * float64(time.Second))
	}
	w.Progress(*p)
}

// full reports that no further suspect is of use.
func (w *work) full() bool {
	if len(w.suspects) < w.Most {
		return false
	}
	w.out.More = true
	return true
}

// hashed returns the expression for a hash of a text.
func (w *work) hashed(leg int, text string) string { return fmt.Sprintf(w.sides[leg].hash, text) }

// identity returns the text that names a row: its key, or all of it.
func (w *work) identity(leg int) string { return rowText(leg, w.naming()) }

func (w *work) naming() []field {
	if w.method == byContent {
		return w.fields
	}
	return w.plan.key
}

// read reads rows as they are compared.
func (w *work) read(ctx context.Context, leg int, where string, args ...any) ([]row, error) {
	var keys, values []string
	order := ""
	if w.method == byRange {
		for _, f := range w.plan.key {
			keys, order = append(keys, f.raw[leg]+"::text"), order+", "+f.raw[leg]
		}
		order = " order by " + order[2:]
	}
	for _, f := range w.fields {
		values = append(values, f.sql[leg]+"::text")
	}
	hash := "0::int8"
	if w.method != byRange {
		hash = w.hashed(leg, w.identity(leg))
	}
	sql := fmt.Sprintf("select array[%s]::text[], array[%s]::text[], %s, %s from %s t where %s",
		strings.Join(keys, ", "), strings.Join(values, ", "), hash, w.young[leg], w.legs[leg].name, where+order)
	rows, err := w.sides[leg].tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(from pgx.CollectableRow) (r row, err error) {
		err = from.Scan(&r.key, &r.values, &r.hash, &r.young)
		r.ident = identify(r.values[:min(len(w.naming()), len(r.values))])
		return r, err
	})
}

// identify writes values as one text, different ones differently.
func identify(values []*string) string {
	var b strings.Builder
	for _, v := range values {
		if v == nil {
			b.WriteByte(1)
		} else {
			b.WriteString(*v)
		}
		b.WriteByte(0) // which no text of a database has
	}
	return b.String()
}

// held is the rows of both legs that have one name. Where rows have no key there may be
// several that are all alike.
type held [2][]row

// hold brings rows together by name.
func hold(rows [2][]row) (by map[string]*held, order []string) {
	by = map[string]*held{}
	for leg := range rows {
		for _, r := range rows[leg] {
			h := by[r.ident]
			if h == nil {
				h = &held{}
				by[r.ident] = h
				order = append(order, r.ident)
			}
			h[leg] = append(h[leg], r)
		}
	}
	return by, order
}

// same reports whether the rows are the same at first sight: by their texts.
func (h *held) same() bool {
	if len(h[primary]) != len(h[candidate]) {
		return false
	}
	return identify(h[primary][0].values) == identify(h[candidate][0].values)
}

// any returns one of the rows.
func (h *held) any() *row {
	if len(h[primary]) > 0 {
		return &h[primary][0]
	}
	return &h[candidate][0]
}

func (h *held) young() bool {
	for leg := range h {
		for _, r := range h[leg] {
			if r.young {
				return true
			}
		}
	}
	return false
}

// suspect notes rows that differ at first sight.
func (w *work) suspect(rows [2][]row) {
	by, order := hold(rows)
	for _, ident := range order {
		h := by[ident]
		switch {
		case h.same():
		case h.young():
			w.out.Young++
		case !w.differ(h):
		case w.full():
			return
		default:
			one := h.any()
			if _, known := w.suspects[ident]; !known {
				w.order = append(w.order, ident)
			}
			w.suspects[ident] = suspect{one.key, one.hash}
		}
	}
}

// lookAgain looks at the suspects once more and reports what still differs.
func (w *work) lookAgain(ctx context.Context) error {
	if len(w.suspects) == 0 {
		return nil
	}
	for _, s := range w.sides {
		s.end() // nothing is held while we wait
	}
	wait := w.Again
	if w.watched {
		wait = max(wait, w.MinAge)
	}
	w.progress.Waits = wait
	w.tell(0)
	if err := sleep(ctx, wait); err != nil {
		return err
	}
	w.progress.Waits = 0
	if w.watched {
		for leg, s := range w.sides {
			if w.young[leg] == "false" {
				w.young[leg] = fmt.Sprintf("age(t.xmin) <= age('%s'::xid)", s.horizon)
			}
		}
	}
	if err := w.begin(ctx); err != nil {
		return err
	}
	rows, err := w.readAgain(ctx)
	if err != nil {
		return err
	}
	w.conclude(rows)
	return nil
}

// conclude reports what differs in the rows that were suspects.
func (w *work) conclude(rows [2][]row) {
	by, _ := hold(rows)
	left := 0
	var alone [2][]row
	for _, ident := range w.order {
		h := by[ident] // nil where both are gone
		switch {
		case h == nil, h.same():
		case h.young():
			left++
			w.out.Young++
		case w.method == byContent:
			left++
			w.odd(h, &alone)
		case w.report(h):
			left++
		}
	}
	w.pair(alone)
	w.out.Late = len(w.suspects) - left
}

// odd takes the rows of one content that the other leg has fewer of.
func (w *work) odd(h *held, alone *[2][]row) {
	n := min(len(h[primary]), len(h[candidate]))
	for leg := range h {
		alone[leg] = append(alone[leg], h[leg][n:]...)
	}
}

// readAgain reads the suspects.
func (w *work) readAgain(ctx context.Context) (out [2][]row, err error) {
	if w.method != byRange {
		var hashes []int64
		for _, s := range w.suspects {
			hashes = append(hashes, s.hash)
		}
		err = w.both(func(leg int, _ *side) error {
			return w.pages(ctx, leg, newPace(&w.Options), func(where string) (int64, error) {
				rows, err := w.read(ctx, leg, where+" and "+w.hashed(leg, w.identity(leg))+" = any($1::int8[])", hashes)
				out[leg] = append(out[leg], rows...)
				return 0, err
			})
		})
		return out, err
	}
	var keys [][]string
	for _, ident := range w.order {
		keys = append(keys, w.suspects[ident].key)
	}
	for len(keys) > 0 {
		n := min(len(keys), 200)
		err := w.both(func(leg int, _ *side) error {
			where, args := w.in(leg, keys[:n])
			rows, err := w.read(ctx, leg, where, args...)
			out[leg] = append(out[leg], rows...)
			return err
		})
		if err != nil {
			return out, err
		}
		keys = keys[n:]
	}
	return out, nil
}

// judged is one leg's row as an exchange's effect, so that it is judged as effects are.
func (w *work) judged(r *row) *parallax.Call {
	call := &parallax.Call{Response: parallax.Response{Status: 200}}
	if r == nil {
		return call
	}
	e := parallax.Effect{Table: w.Primary, Op: parallax.Update}
	for i, f := range w.fields {
		c := parallax.Column{Name: f.name, Type: f.kind, Value: r.values[i]}
		if i < len(w.plan.key) {
			e.Key = append(e.Key, c)
		}
		e.After = append(e.After, c)
	}
	call.Effects = []parallax.Effect{e}
	return call
}
