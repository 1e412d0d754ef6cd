package rows

import (
	"slices"

	"parallax"
)

// sharedKeys returns the columns that name rows on both legs, of the tables of which the
// legs' keys have other columns: a table that became partitioned has one more, and the
// shorter key is enough. Keys that are not part of one another share none.
func sharedKeys(p, c []Row) map[string][]string {
	keys := [2]map[string][]string{{}, {}}
	for leg, list := range [2][]Row{p, c} {
		for i := range list {
			if r := &list[i]; len(r.Key) > 0 && keys[leg][r.Table] == nil {
				keys[leg][r.Table] = names(r.Key)
			}
		}
	}
	out := map[string][]string{}
	for table, mine := range keys[primary] {
		theirs, ok := keys[candidate][table]
		if !ok || slices.Equal(mine, theirs) {
			continue
		}
		both := slices.DeleteFunc(slices.Clone(mine), func(name string) bool { return !slices.Contains(theirs, name) })
		if len(both) < min(len(mine), len(theirs)) {
			both = nil
		}
		out[table] = both
	}
	return out
}

// Moved returns the rows of both legs with those changed that one leg deleted and made again
// with the same name, as both legs name rows: a row that an update moves to another partition
// is written like that where the partition is part of its key.
func Moved(legs [2][]Row) [2][]Row {
	keys := sharedKeys(legs[primary], legs[candidate])
	for leg, list := range legs {
		at, again := map[string]int{}, map[int]bool{}
		for i := range list {
			r := &list[i]
			shared := keys[r.Table]
			if len(shared) == 0 || r.Op != parallax.Delete && r.Op != parallax.Insert {
				continue
			}
			name := identity(r.Table, only(r.Key, shared))
			was, deleted := at[name]
			switch {
			case r.Op == parallax.Delete:
				at[name] = i
			case deleted:
				if len(again) == 0 {
					list = slices.Clone(list)
				}
				list[was].Op, list[was].Columns = parallax.Update, r.Columns
				again[i] = true
				delete(at, name)
			}
		}
		if len(again) > 0 {
			legs[leg] = nil
			for i := range list {
				if !again[i] {
					legs[leg] = append(legs[leg], list[i])
				}
			}
		}
	}
	return legs
}

// names returns the names of columns, sorted.
func names(columns []parallax.Column) []string {
	out := make([]string, len(columns))
	for i := range columns {
		out[i] = columns[i].Name
	}
	slices.Sort(out)
	return out
}

// only returns the columns that have one of the names.
func only(columns []parallax.Column, names []string) []parallax.Column {
	return slices.DeleteFunc(slices.Clone(columns), func(c parallax.Column) bool { return !slices.Contains(names, c.Name) })
}

// says returns the columns that tell what was done to a row: what it is now, and which one
// was deleted. What else a deleted row was is of no concern, unless the legs' keys have
// nothing in common.
func (g *graph) says(r *Row) []parallax.Column {
	if r.Op != parallax.Delete {
		return r.Columns
	}
	shared, differ := g.keys[r.Table]
	switch {
	case differ && len(shared) > 0:
		return only(r.Columns, shared)
	case differ || len(r.Key) == 0:
		return r.Columns
	}
	return only(r.Columns, names(r.Key))
}

// Says returns the columns of two rows that belong together in which they may differ: of
// rows that were not made with the exchange those of which both values are known.
func (m *Matching) Says(p, c *Row) (a, b []parallax.Column) {
	a, b = m.graph.says(p), m.graph.says(c)
	switch p.Op {
	case parallax.Update:
		return known(a, b), known(b, a)
	case parallax.Delete:
		if both := only(a, names(b)); len(both) > 0 {
			return both, only(b, names(a))
		}
	}
	return a, b
}

// known returns the columns without those of which one of the rows does not know the value.
func known(list, other []parallax.Column) []parallax.Column {
	return slices.DeleteFunc(slices.Clone(list), func(c parallax.Column) bool {
		theirs := column(other, c.Name)
		return c.Type == parallax.Unchanged || theirs != nil && theirs.Type == parallax.Unchanged
	})
}
