package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"parallax"
	"parallax/compare"

	"github.com/jackc/pgx/v5"
)

const (
	primary   = int(parallax.Primary)
	candidate = int(parallax.Candidate)
)

// maxAway is how many references away a row may be named by.
const maxAway = 3

// schema is the tables that are compared, so that references between them can be
// followed.
type schema struct {
	tables []*table
	text   bool // json is compared as texts, because some of it is no jsonb
}

// table is one table of both databases.
type table struct {
	compare.EffectTable
	legs [2]*relation
}

// newSchema reads the descriptions of all tables.
func newSchema(ctx context.Context, conns [2]*pgx.Conn, list []compare.EffectTable) (*schema, error) {
	s := &schema{}
	for _, each := range list {
		t := &table{EffectTable: each}
		for leg, name := range []string{each.Primary, t.candidate()} {
			r, err := describe(ctx, conns[leg], name)
			if err != nil {
				return nil, fmt.Errorf("the %s's database: %w", parallax.Leg(leg), err)
			}
			t.legs[leg] = r
		}
		s.tables = append(s.tables, t)
	}
	return s, nil
}

func (t *table) candidate() string {
	if t.Candidate == "" {
		return t.Primary
	}
	return t.Candidate
}

// on returns a leg's name of a column.
func (t *table) on(leg int, name string) string {
	if theirs, ok := t.Columns[name]; ok && leg == candidate {
		return theirs
	}
	return name
}

// column returns a leg's column by the primary's name, nil if there is none.
func (t *table) column(leg int, name string) *column { return t.legs[leg].column(t.on(leg, name)) }

// made reports whether each database makes up the values of a column.
func (t *table) made(name string) bool {
	if slices.Contains(t.Generated, name) {
		return true
	}
	for leg := range t.legs {
		if c := t.column(leg, name); c != nil && c.made {
			return true
		}
	}
	return false
}

// target returns what a column refers to: a table that is compared too, and the
// primary's name of its column.
func (s *schema) target(t *table, name string) (to *table, refers string) {
	if where, ok := t.References[name]; ok {
		if i := strings.LastIndexByte(where, '.'); i > 0 {
			for _, other := range s.tables {
				if other.Primary == where[:i] {
					return other, where[i+1:]
				}
			}
		}
		return nil, ""
	}
	c := t.column(primary, name)
	if c == nil || c.table == "" {
		return nil, ""
	}
	for _, other := range s.tables {
		if other.legs[primary].name == c.table {
			return other, c.refers
		}
	}
	return nil, ""
}

// elsewhere returns the table whose made-up values a column repeats; nil if its values
// mean the same in both databases.
func (s *schema) elsewhere(t *table, name string) (to *table, refers string) {
	to, refers = s.target(t, name)
	if to == nil || !to.made(refers) || slices.Contains(to.Key, refers) {
		return nil, ""
	}
	return to, refers
}

// key returns the columns that name a row alike in both databases: those that were
// asked for, else the first unique key of both that neither makes up. ok is false
// where there is none.
func (s *schema) key(t *table, away int) (key []string, ok bool) {
	if len(t.Key) > 0 {
		return t.Key, true
	}
	for _, columns := range t.legs[primary].keys {
		theirs := make([]string, len(columns))
		for i, name := range columns {
			theirs[i] = t.on(candidate, name)
		}
		if t.legs[candidate].unique(theirs) && !slices.ContainsFunc(columns, func(name string) bool { return !s.names(t, name, away) }) {
			return columns, true
		}
	}
	return nil, false
}

// names reports whether a column's values can name a row: neither database makes them
// up, or what they refer to can be named.
func (s *schema) names(t *table, name string, away int) bool {
	if t.made(name) {
		return false
	}
	to, _ := s.elsewhere(t, name)
	if to == nil {
		return true
	}
	if away >= maxAway {
		return false
	}
	_, ok := s.key(to, away+1)
	return ok
}

// method is how the rows of two tables are brought together.
type method uint8

const (
	byRange   method = iota // by ranges of a key that both databases put in one order
	byBucket                // by a key, in buckets of its hash
	byContent               // by all that is compared: no key is common
)

// plan is what of a table is compared, and how.
type plan struct {
	*table
	method  method
	key     []field
	fields  []field // all that is compared, the key first
	notes   []string
	lacking []Difference // columns that one side does not have
}

// field is one value of a row that is compared.
type field struct {
	name string              // the primary's
	kind parallax.ColumnType // how its text is read
	sql  [2]string           // as each database writes it in one form
	raw  [2]string           // of a key: the column itself
	sort [2]string           // and its type
}

// plan decides how a table is compared.
func (s *schema) plan(t *table) (*plan, error) {
	p := &plan{table: t}
	if err := p.checkKey(); err != nil {
		return nil, err
	}
	key, ok := s.key(t, 0)
	p.method = byRange
	for _, name := range key {
		f := s.field(p, name, "t", 0)
		if to, _ := s.elsewhere(t, name); to != nil || !sameOrder(t.column(primary, name), t.column(candidate, name)) {
			p.method = byBucket
		}
		p.key = append(p.key, f)
	}
	p.fields = slices.Clone(p.key)
	if !ok {
		p.method = byContent
		p.note("%s has no key that both databases share: rows are compared by all else they hold. If its primary key has the same values in both, write key", t.Primary)
	}
	for _, c := range t.legs[primary].columns {
		if slices.Contains(t.Ignore, c.name) || slices.Contains(key, c.name) {
			continue
		}
		switch {
		case t.column(candidate, c.name) == nil:
			p.lacking = append(p.lacking, Difference{Table: t.Primary, Kind: compare.Missing, Column: c.name, Primary: c.sort})
		case t.made(c.name):
			p.note("%s is not compared: each database makes its values up", c.name)
		default:
			p.fields = append(p.fields, s.field(p, c.name, "t", 0))
		}
	}
	p.extraColumns()
	if len(p.fields) == 0 {
		return nil, fmt.Errorf("%s has no column that can be compared", t.Primary)
	}
	return p, nil
}

func (p *plan) note(format string, args ...any) {
	p.notes = append(p.notes, fmt.Sprintf(format, args...))
}

// checkKey says why a key that was asked for does not name rows.
func (p *plan) checkKey() error {
	if len(p.Key) == 0 {
		return nil
	}
	for leg := range p.legs {
		columns := make([]string, len(p.Key))
		for i, name := range p.Key {
			columns[i] = p.on(leg, name)
		}
		if !p.legs[leg].unique(columns) {
			return fmt.Errorf("%s: key [%s] names no rows in the %s's database: there is no unique index on columns (%s) that are NOT NULL",
				p.Primary, strings.Join(p.Key, ", "), parallax.Leg(leg), strings.Join(columns, ", "))
		}
	}
	return nil
}

// extraColumns notes what only the candidate has.
func (p *plan) extraColumns() {
	known := map[string]bool{}
	for _, c := range p.legs[primary].columns {
		known[p.on(candidate, c.name)] = true
	}
	for _, c := range p.legs[candidate].columns {
		if !known[c.name] && !slices.Contains(p.Ignore, c.name) {
			p.lacking = append(p.lacking, Difference{Table: p.Primary, Kind: compare.Extra, Column: c.name, Candidate: c.sort})
		}
	}
}

// sameOrder reports whether two databases put the values of a column in one order.
func sameOrder(a, b *column) bool {
	if a.whole() && b.whole() {
		return true
	}
	return a.sort == b.sort && a.collation == b.collation
}

// field returns what is compared of a column of the row that an alias stands for.
func (s *schema) field(p *plan, name, alias string, away int) field {
	a, b := p.table.column(primary, name), p.table.column(candidate, name)
	f := field{name: name}
	for leg, c := range []*column{a, b} {
		f.raw[leg], f.sort[leg] = alias+"."+quoted(c.name), c.sort
	}
	if to, refers := s.elsewhere(p.table, name); to != nil {
		f.sql = s.named(to, refers, f.raw, away+1)
		p.referenceNote(s, to, name, away)
		return f
	}
	f.kind, f.sql = s.canonical(a, b, f.raw)
	if f.kind == parallax.TextColumn && a.sort != b.sort && away == 0 && !(text(a) && text(b)) {
		p.note("%s is %s here and %s there: compared as texts", name, a.sort, b.sort)
	}
	return f
}

func (p *plan) referenceNote(s *schema, to *table, name string, away int) {
	if away > 0 {
		return
	}
	if key, ok := s.key(to, 1); ok {
		p.note("%s is compared by the %s of the row in %s that it refers to", name, strings.Join(key, ", "), to.Primary)
		return
	}
	p.note("%s is compared by what the row in %s holds that it refers to", name, to.Primary)
}

// named returns what a reference's row is known by in both databases.
func (s *schema) named(to *table, refers string, from [2]string, away int) (sql [2]string) {
	alias := fmt.Sprintf("r%d", away)
	p := &plan{table: to}
	key, ok := s.key(to, away)
	if !ok {
		for _, c := range to.legs[primary].columns {
			far, _ := s.elsewhere(to, c.name)
			if to.column(candidate, c.name) != nil && !to.made(c.name) && !slices.Contains(to.Ignore, c.name) && (far == nil || away < maxAway) {
				key = append(key, c.name)
			}
		}
	}
	var fields []field
	for _, name := range key {
		fields = append(fields, s.field(p, name, alias, away))
	}
	for leg := range sql {
		sql[leg] = fmt.Sprintf("(select %s from %s %s where %s.%s = %s)", rowText(leg, fields), to.legs[leg].name, alias, alias, quoted(to.on(leg, refers)), from[leg])
	}
	return sql
}

// rowText returns an expression that writes fields as one text, different ones
// differently.
func rowText(leg int, fields []field) string {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = f.sql[leg]
	}
	return "ROW(" + strings.Join(list, ", ") + ")::text"
}

func text(c *column) bool { return c.collation != "" }

// canonical returns expressions that write equal values of two columns in one form, and
// how that is to be read.
func (s *schema) canonical(a, b *column, raw [2]string) (parallax.ColumnType, [2]string) {
	each := func(kind parallax.ColumnType, write func(c *column, raw string) string) (parallax.ColumnType, [2]string) {
		return kind, [2]string{write(a, raw[0]), write(b, raw[1])}
	}
	same := func(_ *column, raw string) string { return raw }
	switch {
	case a.whole() && b.whole():
		return each(parallax.NumberColumn, same)
	case a.number() && b.number():
		return each(parallax.NumberColumn, decimal)
	case a.json() && b.json() && !s.text:
		return each(parallax.JSONColumn, func(_ *column, raw string) string { return raw + "::jsonb" })
	case a.json() && b.json():
		return each(parallax.JSONColumn, func(_ *column, raw string) string { return raw + "::text" })
	case a.instant() && b.clock() || a.clock() && b.instant():
		return each(parallax.TimeColumn, func(c *column, raw string) string {
			if c.clock() {
				return "(" + raw + " at time zone 'UTC')"
			}
			return raw
		})
	case a.sort == b.sort:
		return each(kindOf(a), same)
	}
	return each(parallax.TextColumn, func(_ *column, raw string) string { return raw + "::text" })
}

func kindOf(c *column) parallax.ColumnType {
	switch {
	case c.sort == "boolean":
		return parallax.BoolColumn
	case c.sort == "bytea":
		return parallax.BytesColumn
	case c.array():
		return parallax.ArrayColumn
	case c.instant(), c.clock(), c.sort == "date":
		return parallax.TimeColumn
	}
	return parallax.TextColumn
}

// decimal writes a number by its value: 1.0 is 1, and so is 1e0.
func decimal(c *column, raw string) string {
	switch {
	case c.whole():
		return raw
	case c.floating():
		return "trim_scale(" + raw + "::text::numeric)"
	}
	return "trim_scale(" + raw + ")"
}
