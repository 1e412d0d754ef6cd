package compare

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"parallax"
	"parallax/compare/rows"
	"parallax/internal/body"
)

// Once a row differs, what differs there later is not a new fault of the candidate. This
// file decides what is inherited like that. In doubt a difference counts: only a place that
// differed before, in a row that had its past on both legs, can be inherited at.

// Entity names a row of the service's data across exchanges: a keyed hash over its table and
// its primary key. A row that the primary has no name for is named by the candidate's.
type Entity [16]byte

// Mark says with what a place of a row began to differ.
type Mark struct {
	Since parallax.ID  // an exchange; zero where whole tables were compared
	At    time.Time    // when that was received, or when the tables were compared
	Issue string       // fingerprint of what counted first; empty where nothing did
	Only  parallax.Leg // of the mark of the row itself: the leg that has it
}

// Marks are the places of a row that differ: its columns as rules write them, $.total, and
// "" where only one leg has the row.
type Marks map[string]Mark

// Image is what a leg wrote into a row last: hashes of its values by column.
type Image map[string]uint64

// RowState is what earlier exchanges left of a row.
type RowState struct {
	Marks  Marks
	Images [2]Image // nil: not known, or written while this exchange ran
}

// RowChange is what an exchange makes of the state of a row.
type RowChange struct {
	Entity Entity
	Table  string
	Gone   bool            // nothing holds of what was known before
	Equal  []string        // places that do not differ any more
	Differ map[string]Mark // places that do now
	Images [2]Image        // nil: as before
}

// RowEntity returns the name of a row of the primary.
func (e *Effects) RowEntity(table string, key []parallax.Column) Entity {
	return e.entityOf(parallax.Primary, table, key)
}

// entityOf returns the name of a row, zero for one without a key.
func (e *Effects) entityOf(leg parallax.Leg, table string, key []parallax.Column) (out Entity) {
	if len(key) == 0 {
		return out
	}
	h := hmac.New(sha256.New, e.Key)
	write := func(text string) {
		h.Write([]byte(text))
		h.Write([]byte{0}) // which no text of a database has
	}
	write(leg.String())
	write(table)
	for _, c := range key {
		write(c.Name)
		if c.Value == nil {
			h.Write([]byte{1})
		} else {
			write(*c.Value)
		}
	}
	copy(out[:], h.Sum(nil))
	return out
}

// Named lists the names that a row which a leg wrote may have.
func (e *Effects) Named(leg parallax.Leg, effects []parallax.Effect) (out []Entity) {
	effects = slices.Clone(effects)
	for i := range effects {
		effects[i].Late = false
	}
	list := e.Tables.net(leg, effects)
	for i := range list {
		if r := &list[i]; len(r.Key) > 0 {
			out = append(out, e.entityOf(leg, r.Table, r.Key), e.entityOf(parallax.Primary, r.Table, r.Key))
		}
	}
	return out
}

// entity returns the name of two rows that belong together: the primary's, also where
// only the candidate touched a row that the primary has a name for.
func (e *Effects) entity(m pairedRows, pair rows.Pair) Entity {
	if pair.Primary >= 0 {
		r := &m.p[pair.Primary]
		return e.entityOf(parallax.Primary, r.Table, r.Key)
	}
	r := &m.c[pair.Candidate]
	key := slices.Clone(r.Key)
	for i := range key {
		value, standing := m.Primary(r, &key[i])
		if standing != rows.Plain && standing != rows.Paired {
			return e.entityOf(parallax.Candidate, r.Table, r.Key)
		}
		if key[i].Value != nil {
			key[i].Value = &value
		}
	}
	return e.entityOf(parallax.Primary, r.Table, key)
}

// rowDrift is what is known of a row before an exchange, and what is found of it.
type rowDrift struct {
	entity Entity
	RowState
	p, c    *rows.Row       // nil where a leg did not touch it
	differs map[string]Mark // what counts or is inherited
	odd     []string        // where something differs that does not count for another reason
}

func (e *Effects) driftOf(m pairedRows, pair rows.Pair) *rowDrift {
	d := &rowDrift{entity: e.entity(m, pair)}
	if pair.Primary >= 0 {
		d.p = &m.p[pair.Primary]
	}
	if pair.Candidate >= 0 {
		d.c = &m.c[pair.Candidate]
	}
	if d.op(0) == parallax.Emit || d.op(1) == parallax.Emit || d.entity == (Entity{}) || e.Before == nil || !e.sameRow(m, pair) {
		return nil // or the candidate has taken another row for it
	}
	d.RowState = e.Before(d.entity)
	return d
}

// of returns what a leg did, nil for nothing.
func (d *rowDrift) of(leg int) *rows.Row { return [2]*rows.Row{d.p, d.c}[leg] }

// op is what a leg did to the row, "" for nothing.
func (d *rowDrift) op(leg int) parallax.Op {
	if r := d.of(leg); r != nil {
		return r.Op
	}
	return ""
}

// alone returns the leg that touched the row alone, -1 if both did.
func (d *rowDrift) alone() int {
	switch {
	case d.c == nil:
		return 0
	case d.p == nil:
		return 1
	}
	return -1
}

// sameRow reports whether two rows that belong together have one key, as far as both legs
// wrote one: rows are paired by how much of them is alike, too.
func (e *Effects) sameRow(m pairedRows, pair rows.Pair) bool {
	if pair.Primary < 0 || pair.Candidate < 0 {
		return true
	}
	p, c := &m.p[pair.Primary], &m.c[pair.Candidate]
	for i := range c.Key {
		mine := slices.IndexFunc(p.Key, func(k parallax.Column) bool { return k.Name == c.Key[i].Name })
		if mine < 0 || p.Key[mine].Value == nil {
			continue
		}
		value, standing := m.Primary(c, &c.Key[i])
		if value != *p.Key[mine].Value && !(e.Gap && standing == rows.Unknown) || standing == rows.Foreign {
			return false
		}
	}
	return true
}

// compareEntity compares two rows that belong together, and notes whether they differ.
func (e *Effects) compareEntity(m pairedRows, pair rows.Pair, at *rowAt, find *finder) {
	at.drift = e.driftOf(m, pair)
	e.compareRow(m, pair, at, find)
	if at.drift != nil {
		find.rowChanges = append(find.rowChanges, at.drift.change(at.table, find))
	}
}

// take takes a difference in the row: one that would count is inherited where the row
// differed before.
func (d *rowDrift) take(f *finder, at *place, why Suppression) Suppression {
	if d == nil {
		return why
	}
	path := placeInRow(at)
	if why.By != "" {
		d.odd = append(d.odd, path)
		return why
	}
	mark, inherits := d.inherited(at, path)
	if inherits {
		f.inherited++
		why = Suppression{By: "inherited", Detail: mark.String()}
	} else {
		mark = Mark{Since: f.id, At: f.received}
	}
	if d.differs == nil {
		d.differs = map[string]Mark{}
	}
	if _, twice := d.differs[path]; !twice {
		d.differs[path] = mark
	}
	return why
}

// String says with what a place began to differ.
func (m Mark) String() string {
	if m.Since == (parallax.ID{}) {
		return "the row differed here when whole tables were compared, " + m.At.UTC().Format(time.DateTime)
	}
	return fmt.Sprintf("the row differs here since exchange %s", m.Since)
}

// rollUp makes a difference that is inherited one of the issue that it comes from, and
// notes which issue one that counts is of.
func (d *rowDrift) rollUp(at *place, found *Difference) {
	if d == nil {
		return
	}
	path := placeInRow(at)
	mark, ok := d.differs[path]
	switch {
	case !ok:
	case found.Suppressed.By == "inherited" && mark.Issue != "":
		found.Fingerprint = mark.Issue
	case found.Suppressed.By == "" && mark.Issue == "":
		mark.Issue = found.Fingerprint
		d.differs[path] = mark
	}
}

// inherited returns the mark that a difference is explained by.
func (d *rowDrift) inherited(at *place, path string) (Mark, bool) {
	if len(d.Marks) == 0 || d.op(0) == parallax.Insert && d.op(1) == parallax.Insert {
		return Mark{}, false // Fast path; or a row that is new on both legs has no past.
	}
	if path == "" {
		return d.explained()
	}
	column := at.steps[0].Name
	if a, b := known(d.p, column), known(d.c, column); a != nil && b != nil && sameText(a, b) {
		return Mark{}, false // It was equal before, as both databases say.
	}
	return d.Marks.over(path)
}

// known returns what a column was before the exchange, nil if nobody knows.
func known(r *rows.Row, name string) *parallax.Column {
	if r == nil {
		return nil
	}
	return columnNamed(r.Was, name)
}

func columnNamed(list []parallax.Column, name string) *parallax.Column {
	i := slices.IndexFunc(list, func(c parallax.Column) bool { return c.Name == name && c.Type != parallax.Unchanged })
	if i < 0 {
		return nil
	}
	return &list[i]
}

func sameText(a, b *parallax.Column) bool {
	if a.Value == nil || b.Value == nil {
		return a.Value == b.Value
	}
	return *a.Value == *b.Value
}

// explained returns the mark that explains that the legs did other things to the row.
func (d *rowDrift) explained() (Mark, bool) {
	row, ok := d.Marks[""]
	leg := d.alone()
	if leg < 0 { // one inserts what the other has
		return row, ok && d.op(int(row.Only)) == parallax.Update && d.op(1-int(row.Only)) == parallax.Insert
	}
	mine := ok && int(row.Only) == leg
	switch d.op(leg) {
	case parallax.Insert:
		return row, ok && !mine
	case parallax.Delete:
		return row, mine
	}
	if mine {
		return row, true
	}
	changed, sure := d.changed(leg)
	var first Mark
	for i, path := range changed {
		mark, differed := d.Marks.over(path)
		if !differed {
			return Mark{}, false
		}
		if i == 0 {
			first = mark
		}
	}
	return first, sure && len(changed) > 0
}

// changed lists the places that an update changed; false where nobody knows.
func (d *rowDrift) changed(leg int) (paths []string, sure bool) {
	r := d.of(leg)
	for i := range r.Columns {
		c := &r.Columns[i]
		if c.Type == parallax.Unchanged {
			continue
		}
		was := columnNamed(r.Was, c.Name)
		image, ok := d.Images[leg][c.Name]
		switch {
		case was != nil && sameText(was, c), was == nil && ok && image == valueHash(c), was == nil && columnNamed(r.Key, c.Name) != nil:
		case was != nil, ok:
			paths = append(paths, columnPlace(c.Name))
		default:
			return nil, false
		}
	}
	return paths, true
}

// over returns the mark of a place, or of one that it lies in.
func (m Marks) over(path string) (Mark, bool) {
	for marked, mark := range m {
		if marked != "" && covers(marked, path) {
			return mark, true
		}
	}
	return Mark{}, false
}

// covers reports whether a place is another one or lies in it.
func covers(outer, path string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// placeInRow writes a place in a row as marks have it, "" for the row itself. Names stand
// as they are, or a fault under one of them would pass for what is known of another.
func placeInRow(at *place) string {
	if len(at.steps) == 0 {
		return ""
	}
	out := []byte{'$'}
	for i := range at.steps {
		if at.steps[i].Element {
			out = appendNormal(out, &at.steps[i])
		} else {
			out = appendStep(out, &at.steps[i])
		}
	}
	return string(out)
}

// columnPlace writes a column as marks have it.
func columnPlace(name string) string {
	return string(appendStep([]byte{'$'}, &body.Step{Name: name}))
}

// InRow returns the place of a difference in its row as marks have it, "" for the row
// itself.
func (d *Difference) InRow() string {
	_, path, ok := strings.Cut(d.Normal, " $")
	if !ok {
		return ""
	}
	return "$" + path
}
