package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"parallax"
	"parallax/compare"
	"parallax/compare/effects/postgres"
)

// Group is tables that stand in one database of each leg.
type Group struct {
	Primary, Candidate postgres.Source // of which only the connection strings count
	Tables             []compare.EffectTable
}

// Options say how much, how fast and by what is compared. The zero value is made of
// defaults.
type Options struct {
	MinAge    time.Duration // rows that were changed later than this ago are left out; 0: none are
	Rate      float64       // rows a second and leg, at most; 0: as fast as Target lets
	Target    time.Duration // how long one statement should take, 300 ms by default: slower ones read less, and are followed by a pause as long as they took
	Statement time.Duration // how long one may take, 30 s by default
	Again     time.Duration // when rows that differ are looked at once more, 3 s later by default
	Most      int           // differences of a table that are reported, 1000 by default

	Rules    *compare.Rules    // which differences are meant; those of effects:TABLE apply
	Redactor *compare.Redactor // nil: values are reported as they are

	Now      func() time.Time // time.Now by default
	Progress func(Progress)   // called by one goroutine, at most once a statement; may be nil
}

func (o *Options) fill() {
	o.Target, o.Statement, o.Again = cmp.Or(o.Target, 300*time.Millisecond), cmp.Or(o.Statement, 30*time.Second), cmp.Or(o.Again, 3*time.Second)
	o.Most = cmp.Or(o.Most, 1000)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
}

// Progress is how far a comparison is.
type Progress struct {
	Table         string // that is read now
	Number, Of    int    // which one it is, from 1
	Rows, Guessed int64  // rows of the primary that were compared, of how many there are by its statistics
	Rate          float64
	Left          time.Duration // 0: nobody knows
	Suspects      int           // rows that differ at first sight
	Waits         time.Duration // how long rows that differ are waited for now, before a second look
}

// Result is what comparing databases found.
type Result struct {
	Began, Ended time.Time
	Tables       []Table
}

// Differ reports whether any table differs.
func (r Result) Differ() bool {
	return slices.ContainsFunc(r.Tables, func(t Table) bool { return len(t.Differences) > 0 })
}

// Rows is how many rows of the primary were compared.
func (r Result) Rows() (n int64) {
	for _, t := range r.Tables {
		n += t.Rows[parallax.Primary]
	}
	return n
}

// Table is what comparing one table found.
type Table struct {
	Table       string        `json:"table"`               // the primary's name
	Candidate   string        `json:"candidate,omitempty"` // the candidate's, if another
	By          string        `json:"by"`                  // how rows were brought together
	Age         string        `json:"age,omitempty"`       // how young rows are told
	Rows        [2]int64      `json:"rows"`                // of primary and candidate
	Took        time.Duration `json:"took"`
	Differences []Difference  `json:"differences"`
	More        bool          `json:"more,omitempty"`  // there are more than are reported
	Young       int           `json:"young,omitempty"` // rows that differ and are too young to judge
	Late        int           `json:"late,omitempty"`  // rows that differed at first, and not at the second look
	Ruled       int           `json:"ruled,omitempty"` // differences that rules took away
	Notes       []string      `json:"notes,omitempty"` // what was not compared, or otherwise than one may think

	// Places are where rows differ whose names are those that the log has for them, not
	// redacted. All says that no other row of the table differs.
	Places []Place `json:"-"`
	All    bool    `json:"-"`
}

// Place is one place in which a row differs.
type Place struct {
	Key  []parallax.Column // what names the row, with the primary's names, in their order
	At   string            // as [compare.Difference.InRow] writes it
	Only parallax.Leg      // of a row that one leg lacks: the other one
}

// Difference is one place where the databases differ: a column of a row, a row, or a
// column that one table does not have.
type Difference struct {
	Table     string       `json:"table"`
	Kind      compare.Kind `json:"kind"`             // changed, type, missing (the candidate does not have it) or extra
	Key       []Value      `json:"key,omitempty"`    // of the row; none where rows have no common key
	Column    string       `json:"column,omitempty"` // the primary's name, of documents with the path; empty: the whole row
	Primary   string       `json:"primary,omitempty"`
	Candidate string       `json:"candidate,omitempty"`
}

// Value is one column of a key.
type Value struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Run compares tables of both databases and reports what differs. It changes nothing,
// and holds one connection to each database.
func Run(ctx context.Context, groups []Group, o Options) (Result, error) {
	o.fill()
	out := Result{Began: o.Now()}
	number, of := 0, 0
	for _, g := range groups {
		of += len(g.Tables)
	}
	for _, g := range groups {
		v, err := open(ctx, g, o)
		if err != nil {
			return out, err
		}
		v.progress = Progress{Of: of}
		for _, t := range v.schema.tables {
			number++
			v.progress.Number = number
			found, err := v.table(ctx, t)
			if err != nil {
				v.close()
				return out, fmt.Errorf("%s: %w", t.Primary, err)
			}
			out.Tables = append(out.Tables, found)
		}
		v.close()
	}
	out.Ended = o.Now()
	return out, nil
}

// verifier compares the tables of two databases.
type verifier struct {
	Options
	sides    [2]*side
	schema   *schema
	progress Progress
}

func open(ctx context.Context, g Group, o Options) (*verifier, error) {
	v := &verifier{Options: o}
	for leg, source := range []postgres.Source{g.Primary, g.Candidate} {
		s, err := newSide(ctx, parallax.Leg(leg), source, &v.Options)
		if err != nil {
			v.close()
			return nil, fmt.Errorf("the %s's database: %w", parallax.Leg(leg), err)
		}
		v.sides[leg] = s
	}
	agreeOnHash(v.sides)
	schema, err := newSchema(ctx, [2]*pgxConn{v.sides[primary].conn, v.sides[candidate].conn}, g.Tables)
	if err != nil {
		v.close()
		return nil, v.hidden(err)
	}
	v.schema = schema
	return v, nil
}

func (v *verifier) hidden(err error) error {
	for _, s := range v.sides {
		err = s.source.Hidden(err)
	}
	return err
}

func (v *verifier) close() {
	for _, s := range v.sides {
		if s != nil {
			s.close()
		}
	}
}

// both does something on both legs at once.
func (v *verifier) both(do func(leg int, s *side) error) error {
	var errs [2]error
	var group sync.WaitGroup
	for leg, s := range v.sides {
		group.Go(func() {
			if err := s.source.Hidden(do(leg, s)); err != nil {
				errs[leg] = &legError{s.leg, err}
			}
		})
	}
	group.Wait()
	return errors.Join(errs[:]...)
}

// legError is what failed on one leg.
type legError struct {
	leg parallax.Leg
	err error
}

// Error names the leg.
func (e *legError) Error() string { return fmt.Sprintf("the %s's database: %v", e.leg, e.err) }

// Unwrap returns what failed.
func (e *legError) Unwrap() error { return e.err }

// table compares one table.
func (v *verifier) table(ctx context.Context, t *table) (Table, error) {
	out, err := v.compare(ctx, t)
	if refusesJSON(err) && !v.schema.text {
		// A json that holds \u0000 is no jsonb: then json is compared as it is spelled,
		// and by content where that differs.
		v.schema.text = true
		return v.compare(ctx, t)
	}
	return out, err
}

func (v *verifier) compare(ctx context.Context, t *table) (Table, error) {
	p, err := v.schema.plan(t)
	if err != nil {
		return Table{}, err
	}
	began := v.Now()
	w := &work{verifier: v, plan: p, pace: newPace(&v.Options), suspects: map[string]suspect{}}
	w.out = Table{Table: t.Primary, By: p.by(), Notes: p.notes, Differences: p.lacking}
	if t.candidate() != t.Primary {
		w.out.Candidate = t.candidate()
	}
	if err := w.ages(); err != nil {
		return Table{}, err
	}
	defer w.end()
	if err := w.begin(ctx); err != nil {
		return Table{}, err
	}
	look := w.buckets
	if p.method == byRange {
		look = w.ranges
	}
	v.progress.Table, v.progress.Rows, v.progress.Guessed = t.Primary, 0, t.legs[primary].estimated
	v.progress.Suspects, v.progress.Waits = 0, 0
	if err := look(ctx); err != nil {
		return Table{}, err
	}
	if err := w.lookAgain(ctx); err != nil {
		return Table{}, err
	}
	w.out.Took = v.Now().Sub(began)
	w.out.All = !w.out.More && (w.named() || len(w.out.Differences) == 0 && w.out.Young == 0)
	return w.out, nil
}

// by says how rows are brought together.
func (p *plan) by() string {
	names := ""
	for i, f := range p.key {
		if i > 0 {
			names += ", "
		}
		names += f.name
	}
	switch p.method {
	case byRange:
		return "key " + names
	case byBucket:
		return "key " + names + ", in buckets"
	}
	return "content"
}
