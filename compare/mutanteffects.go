package compare

import (
	"slices"

	"parallax"
)

// The flaws that mutants have in what they wrote to their database.
const (
	RowValueChanged   Flaw = "row_value_changed"   // a column of a row has another value
	RowWrongReference Flaw = "row_wrong_reference" // a column leads to a row that is not there
	RowMissing        Flaw = "row_missing"         // a row was not written
	RowTwice          Flaw = "row_twice"           // a row was made twice
)

// effects makes mutants of what the call wrote.
func (m *mutator) effects() {
	var values, references [][2]int
	var written, made []int
	for i := range m.call.Effects {
		e := &m.call.Effects[i]
		if e.Late {
			continue
		}
		written = append(written, i)
		if e.Op == parallax.Insert {
			made = append(made, i)
		}
		for k := range e.After {
			switch c := &e.After[k]; {
			case c.Value == nil || IsRedacted([]byte(*c.Value)) || m.names(e, c):
			case c.Ref != "":
				references = append(references, [2]int{i, k})
			case !c.Made:
				values = append(values, [2]int{i, k})
			}
		}
	}
	for _, n := range m.pick(len(values)) {
		m.column(RowValueChanged, values[n])
	}
	for _, n := range m.pick(len(references)) {
		m.column(RowWrongReference, references[n])
	}
	for _, n := range m.pick(len(written)) {
		if i := written[n]; m.once(i) {
			m.write(RowMissing, slices.Delete(slices.Clone(m.call.Effects), i, i+1))
		}
	}
	for _, n := range m.pick(len(made)) {
		again := m.call.Effects[made[n]]
		again.Key, again.After = anew(again.Key), anew(again.After)
		m.write(RowTwice, append(slices.Clone(m.call.Effects), again))
	}
}

// write takes a mutant that wrote something else.
func (m *mutator) write(flaw Flaw, effects []parallax.Effect) {
	call := *m.call
	call.Effects = effects
	m.out = append(m.out, Mutant{flaw, &call})
}

// column takes a mutant with another value in a column, also in what becomes of the row
// later.
func (m *mutator) column(flaw Flaw, at [2]int) {
	effects := slices.Clone(m.call.Effects)
	e := &effects[at[0]]
	c := e.After[at[1]]
	other := otherValue(&c)
	for i := at[0]; i < len(effects); i++ {
		if effects[i].Table != e.Table {
			continue
		}
		effects[i].After = slices.Clone(effects[i].After)
		for k := range effects[i].After {
			if now := &effects[i].After[k]; now.Name == c.Name && now.Value != nil && *now.Value == *c.Value {
				now.Value = &other
			}
		}
	}
	m.write(flaw, effects)
}

// otherValue returns a value of a column's type that is not the one it has.
func otherValue(c *parallax.Column) string {
	value := *c.Value
	switch c.Type {
	case parallax.NumberColumn:
		if value == "7919" {
			return "104729"
		}
		return "7919"
	case parallax.BoolColumn:
		if value == "t" || value == "true" {
			return "f"
		}
		return "t"
	case parallax.TimeColumn:
		if value == "1987-06-05T04:03:02Z" {
			return "1988-06-05T04:03:02Z"
		}
		return "1987-06-05T04:03:02Z"
	case parallax.JSONColumn:
		return `["another value",` + value + `]`
	}
	return value + "~"
}

// names reports whether a column is what names its row.
func (m *mutator) names(e *parallax.Effect, c *parallax.Column) bool {
	return slices.ContainsFunc(e.Key, func(k parallax.Column) bool { return k.Name == c.Name })
}

// once reports whether an effect is all that was done to its table: without one of several
// what is left may be the same.
func (m *mutator) once(i int) bool {
	for k := range m.call.Effects {
		if k != i && m.call.Effects[k].Table == m.call.Effects[i].Table {
			return false
		}
	}
	return true
}

// anew returns columns with other values where the database makes them up.
func anew(columns []parallax.Column) []parallax.Column {
	out := slices.Clone(columns)
	for i := range out {
		if c := &out[i]; c.Made && c.Ref == "" && c.Value != nil {
			other := otherValue(c)
			c.Value = &other
		}
	}
	return out
}
