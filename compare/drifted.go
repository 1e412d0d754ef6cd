package compare

import (
	"hash/fnv"
	"slices"

	"parallax"
)

// This file says what an exchange leaves behind: the state of the rows that it touched, for
// those after it.

// change returns what the exchange makes of the row's state.
func (d *rowDrift) change(table string, find *finder) RowChange {
	out := RowChange{Entity: d.entity, Table: table, Differ: map[string]Mark{}}
	for leg := range out.Images {
		out.Images[leg] = d.image(leg)
	}
	leg := d.alone()
	switch {
	case leg >= 0:
		d.changeAlone(leg, &out)
	case d.p.Op == parallax.Delete && d.c.Op == parallax.Delete:
		out.Gone = true
	case d.p.Op == parallax.Update && d.c.Op == parallax.Update:
		d.changeBoth(&out, find.incomplete)
	default:
		out.Gone = true // A row with another past.
		d.changeOther(&out)
	}
	return out
}

// changeAlone is change for a row that one leg touched.
func (d *rowDrift) changeAlone(leg int, out *RowChange) {
	now, counts := d.differs[""]
	row, had := d.Marks[""]
	switch d.op(leg) {
	case parallax.Insert:
		out.Gone = true
		if now.Only = parallax.Leg(leg); counts && !(had && row.Only != now.Only) { // else both have it now
			out.Differ[""] = now
		}
	case parallax.Delete:
		out.Gone = true
		if now.Only = parallax.Leg(1 - leg); counts && !(had && row.Only != now.Only) { // else none has it now
			out.Differ[""] = now
		}
	case parallax.Update:
		if had && int(row.Only) == leg {
			return // as before
		}
		if had {
			out.Equal = []string{""}
		}
		changed, sure := d.changed(leg)
		for _, path := range changed {
			if _, known := d.Marks.over(path); sure && counts && !known {
				out.Differ[path] = now
			}
		}
	}
}

// changeBoth is change for a row that both legs updated.
func (d *rowDrift) changeBoth(out *RowChange, incomplete bool) {
	for path, mark := range d.differs {
		if _, known := d.Marks[path]; !known && path != "" {
			out.Differ[path] = mark
		}
	}
	for path := range d.Marks {
		switch {
		case path == "":
			out.Equal = append(out.Equal, "") // both have it
		case !incomplete && d.written(path) && !d.touches(path):
			out.Equal = append(out.Equal, path)
		}
	}
	slices.Sort(out.Equal)
}

// written reports whether both legs say what a place of the row is.
func (d *rowDrift) written(path string) bool {
	for i := range d.p.Columns {
		c := &d.p.Columns[i]
		if c.Type != parallax.Unchanged && covers(columnPlace(c.Name), path) {
			return columnNamed(d.c.Columns, c.Name) != nil
		}
	}
	return false
}

// touches reports whether a difference stands at a place, in it or around it.
func (d *rowDrift) touches(path string) bool {
	at := func(other string) bool { return other == "" || covers(path, other) || covers(other, path) }
	for other := range d.differs {
		if at(other) {
			return true
		}
	}
	return slices.ContainsFunc(d.odd, at)
}

// changeOther is change for a row that both legs made, or to which they did other things.
func (d *rowDrift) changeOther(out *RowChange) {
	if d.p.Op == parallax.Insert && d.c.Op == parallax.Insert {
		for path, mark := range d.differs {
			if path != "" {
				out.Differ[path] = mark
			}
		}
		return
	}
	now, counts := d.differs[""]
	for leg := range 2 {
		if now.Only = parallax.Leg(1 - leg); counts && d.op(leg) == parallax.Delete {
			out.Differ[""] = now
		}
	}
}

// maxImage is of how many columns of a row the values are remembered.
const maxImage = 64

// image returns what a leg wrote into the row; nil where it wrote nothing, or too much.
func (d *rowDrift) image(leg int) Image {
	r := d.of(leg)
	if r == nil || r.Op != parallax.Insert && r.Op != parallax.Update || len(r.Columns) > maxImage {
		return nil
	}
	out := make(Image, len(r.Columns))
	for i := range r.Columns {
		c := &r.Columns[i]
		if c.Type != parallax.Unchanged {
			out[c.Name] = valueHash(c)
		} else if was, ok := d.Images[leg][c.Name]; ok {
			out[c.Name] = was
		}
	}
	return out
}

func valueHash(c *parallax.Column) uint64 {
	h := fnv.New64a()
	if c.Value != nil {
		h.Write([]byte{1})
		h.Write([]byte(*c.Value))
	}
	return h.Sum64()
}

// tainted is what [parallax.Exchange].Lag says of an exchange about something that a leg
// lacks a write of, for good.
const tainted = "tainted"

// unjudged returns what is to be learnt of rows from an exchange whose effects are not
// judged: its candidate gave no answer, or lacks a write that nobody will ever make up for.
func unjudged(x *parallax.Exchange, in Input, rules []*rule) []RowChange {
	p, c, e := x.Legs[parallax.Primary], x.Legs[parallax.Candidate], in.Effects
	if e == nil || e.Before == nil || p == nil || c == nil || effectsUnknown(p, c, e) || e.none(p, c) || failed(p, rules) ||
		c.Err.Kind == parallax.NotAsked || x.Lag != "" && (x.Lag != tainted || x.Legs[parallax.Secondary] != nil) || x.Lag == "" && c.Err.Kind == parallax.NoError {
		return nil // of a secondary nobody knows whether it is the one that lacks something
	}
	find := &finder{endpoint: x.Endpoint, id: x.ID, received: x.Received, rules: rules, noise: &excuses{endpoint: x.Endpoint}, stored: in.Stored}
	compareEffects(x, e, find)
	for _, change := range find.rowChanges {
		for path, mark := range change.Differ {
			if mark.Since == x.ID {
				mark.Issue = "" // for nothing counts
				change.Differ[path] = mark
			}
		}
	}
	return find.rowChanges
}
