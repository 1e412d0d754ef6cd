package postgres

import (
	"encoding/binary"

	"parallax"
	"parallax/compare/effects"
)

// table is a relation that is read: how its rows become changes.
type table struct {
	name    string // as in Change.Table
	columns []column
	types   []parallax.ColumnType
	made    []bool   // the database makes up the column's values
	refs    []string // the column that it repeats
	known   []int    // the columns of an old tuple that holds keys only
	key     []int    // the columns that name a row
	raw     bool     // texts may be no UTF-8
}

// change turns a row's message into a change. The values are copies of one string a
// tuple.
func (t *table) change(r row) effects.Change {
	c := effects.Change{Table: t.name}
	var before, after image
	switch {
	case r.oldKind == 'O':
		before = t.read(r.old)
	case r.oldKind == 'K':
		before = t.read(r.old).only(t.known)
	}
	switch r.kind {
	case 'I':
		after = t.read(r.new)
		c.Op, c.Key = parallax.Insert, t.pick(after, t.key)
	case 'D':
		c.Op, c.Key = parallax.Delete, t.pick(before, t.key)
	case 'U':
		after = t.read(r.new)
		if r.oldKind == 0 { // the identity is as it was
			before = after.only(t.known)
		}
		after.fill(before)
		c.Op, c.Key = parallax.Update, t.pick(before, t.key)
	}
	c.Before, c.After = t.all(before), t.all(after)
	for i := range after {
		if after[i].state == unchanged {
			c.After = append(c.After, parallax.Column{Name: t.columns[i].name, Type: parallax.Unchanged})
		}
	}
	return c
}

// image is one tuple: a value a column.
type image []value

type value struct {
	state valueState
	text  *string // nil: NULL
}

type valueState byte

const (
	unknown   valueState = iota // not in the tuple
	unchanged                   // as it was; not in the tuple because it is long (TOAST)
	given
)

// read reads a tuple that the cursor has checked. A tuple may have fewer columns
// than the table, never more.
func (t *table) read(tuple []byte) image {
	out := make(image, len(t.columns))
	if len(tuple) < 2 {
		return out
	}
	c := cursor{rest: tuple}
	n := min(int(c.uint16()), len(out))
	all := string(c.rest) // one copy holds all values
	texts := make([]string, n)
	for i := range n {
		switch c.byte() {
		case 'n':
			out[i].state = given
		case 'u':
			out[i].state = unchanged
		case 't':
			size := int(c.uint32())
			start := len(all) - len(c.rest)
			c.skip(size)
			if c.err != nil {
				return out
			}
			if texts[i] = readable(t.types[i], all[start:start+size]); t.raw {
				texts[i] = escaped(texts[i])
			}
			out[i] = value{given, &texts[i]}
		}
	}
	return out
}

// only forgets what the columns do not name.
func (v image) only(columns []int) image {
	out := make(image, len(v))
	for _, i := range columns {
		if v[i].state == given {
			out[i] = v[i]
		}
	}
	return out
}

// fill puts what is known of before where v did not change it.
func (v image) fill(before image) {
	for i := range v {
		if v[i].state == unchanged && i < len(before) && before[i].state == given {
			v[i] = before[i]
		}
	}
}

func (t *table) pick(v image, columns []int) []parallax.Column {
	if len(v) == 0 || len(columns) == 0 {
		return nil
	}
	out := make([]parallax.Column, 0, len(columns))
	for _, i := range columns {
		out = t.add(out, v, i)
	}
	return out
}

func (t *table) all(v image) []parallax.Column {
	if len(v) == 0 {
		return nil
	}
	out := make([]parallax.Column, 0, len(v))
	for i := range v {
		out = t.add(out, v, i)
	}
	return out
}

func (t *table) add(to []parallax.Column, v image, i int) []parallax.Column {
	if v[i].state != given {
		return to
	}
	return append(to, parallax.Column{Name: t.columns[i].name, Type: t.types[i], Value: v[i].text, Made: t.made[i], Ref: t.refs[i]})
}

// tupleSize says how much memory the columns of a tuple take, roughly.
func tupleSize(tuple []byte) int {
	if len(tuple) < 2 {
		return 0
	}
	return len(tuple) + 64*int(binary.BigEndian.Uint16(tuple))
}
