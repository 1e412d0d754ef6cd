package compare

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"parallax"
	"parallax/compare/rows"
)

// Entity names a row of the service's data across exchanges: a hash over its table and
// its primary key. A row that only the candidate has is named by its own key.
type Entity [16]byte

// Inherited says of rows that differed before with which exchange that began.
type Inherited map[Entity]parallax.ID

// entityOf returns the name of a row, zero for one without a key.
func entityOf(leg parallax.Leg, r *rows.Row) (out Entity) {
	if len(r.Key) == 0 || r.Op == parallax.Emit {
		return out
	}
	h := sha256.New()
	write := func(text string) {
		h.Write([]byte(text))
		h.Write([]byte{0}) // which no text of a database has
	}
	write(leg.String())
	write(r.Table)
	for _, c := range r.Key {
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

// entity returns the name of two rows that belong together.
func (m pairedRows) entity(pair rows.Pair) Entity {
	if pair.Primary >= 0 {
		return entityOf(parallax.Primary, &m.p[pair.Primary])
	}
	return entityOf(parallax.Candidate, &m.c[pair.Candidate])
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
	entity := m.entity(pair)
	if at.since = e.Inherited[entity]; at.since != (parallax.ID{}) && !e.sameRow(m, pair) {
		at.since = parallax.ID{} // The candidate has taken another row for it, which did not differ.
	}
	counting, inherited, found := find.counting, find.inherited, find.found
	e.compareRow(m, pair, at, find)
	switch {
	case entity == (Entity{}):
	case find.counting > counting, find.inherited > inherited:
		find.drifted = append(find.drifted, entity)
	case at.since != (parallax.ID{}) && find.found == found && !find.incomplete && pair.Primary >= 0 && pair.Candidate >= 0:
		find.agreed = append(find.agreed, entity)
	}
}

// inherit says that a difference of a row that differed before is not this exchange's.
func (f *finder) inherit() Suppression {
	if f.row == nil || f.row.since == (parallax.ID{}) {
		return Suppression{}
	}
	f.inherited++
	return Suppression{By: "inherited", Detail: fmt.Sprintf("the row differs since exchange %s", f.row.since)}
}
