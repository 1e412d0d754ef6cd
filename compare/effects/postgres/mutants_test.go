package postgres_test

import (
	"maps"
	"slices"

	"parallax"
)

// mutation changes what the candidate does. What it returns is where that is to be found,
// and the rows that the databases no longer have alike; ok is false if it does not apply.
type mutation struct {
	name  string
	apply func(c *campaign, work []deed) (theirs []deed, want []string, spoiled []*thing, ok bool)
}

// mutations are the faults that change data, and what changes none.
var mutations = []mutation{
	{"another value", anotherValue},
	{"another reference", anotherReference},
	{"a row is missing", rowMissing},
	{"a row is there twice", rowTwice},
	{"another table", anotherTable},
	{"deleted instead of changed", deletedInstead},
	{"a change too many", changeTooMany},
	{"a deletion too many", deletionTooMany},

	{"more transactions", neutral(moreTransactions)},
	{"rolled back", neutral(rolledBack)},
	{"made and deleted", neutral(madeAndDeleted)},
	{"another order", neutral(anotherOrder)},
	{"another spelling", anotherSpelling},
	{"corrected later", neutral(correctedLater)},
	{"nothing is changed", neutral(nothingChanged)},
	{"deleted and made again", neutral(madeAgain)},
	{"changed and changed back", neutral(changedBack)},
}

// mutated returns the candidate's deeds by the nth mutation, or by the next one that applies
// to this work.
func (c *campaign) mutated(work []deed, n int) (theirs []deed, what string, want []string, spoiled []*thing) {
	for ; ; n++ {
		m := mutations[n%len(mutations)]
		if theirs, want, spoiled, ok := m.apply(c, cloned(work)); ok {
			slices.Sort(want)
			return theirs, m.name, slices.Compact(want), spoiled
		}
	}
}

func neutral(change func(c *campaign, work []deed) ([]deed, bool)) func(*campaign, []deed) ([]deed, []string, []*thing, bool) {
	return func(c *campaign, work []deed) ([]deed, []string, []*thing, bool) {
		theirs, ok := change(c, work)
		return theirs, nil, nil, ok
	}
}

// pick returns a deed that fits, -1 for none.
func (c *campaign) pick(work []deed, fits func(i int) bool) int {
	for _, i := range c.r.Perm(len(work)) {
		if fits(i) {
			return i
		}
	}
	return -1
}

// plain returns a column of a row that is no key and no reference, and is set; nil for none.
func (c *campaign) plain(d *deed, fits func(*shapeColumn) bool) *shapeColumn {
	for _, i := range c.r.Perm(len(d.row.of.columns)) {
		column := &d.row.of.columns[i]
		if _, set := d.set[column.name]; set && column.to == "" && !slices.Contains(d.row.of.key, column.name) && (fits == nil || fits(column)) {
			return column
		}
	}
	return nil
}

// alone reports whether no other deed needs the row of one.
func alone(work []deed, i int) bool {
	for k := range work {
		if k == i {
			continue
		}
		if work[k].row == work[i].row {
			return false
		}
		for _, v := range work[k].set {
			if v == work[i].row {
				return false
			}
		}
	}
	return true
}

func at(s *shape, column string) string {
	if column == "Total Cents" {
		column = "['Total Cents']"
		return "effects:" + s.name + " $" + column
	}
	return "effects:" + s.name + " $." + column
}

func anotherValue(c *campaign, work []deed) ([]deed, []string, []*thing, bool) {
	i := c.pick(work, func(i int) bool { return work[i].op != parallax.Delete && c.plain(&work[i], nil) != nil })
	if i < 0 {
		return nil, nil, nil, false
	}
	d := &work[i]
	column := c.plain(d, nil)
	value := c.other(column, d.set[column.name])
	if value == d.row.values[column.name] && d.op == parallax.Update {
		return nil, nil, nil, false // Then nothing is changed.
	}
	d.set[column.name] = value
	return work, []string{at(d.row.of, column.name)}, []*thing{d.row}, true
}

func anotherReference(c *campaign, work []deed) ([]deed, []string, []*thing, bool) {
	var name string
	var to *thing
	i := c.pick(work, func(i int) bool {
		d := &work[i]
		if d.op != parallax.Insert || d.row.of.name == "order_tags" || d.row.of.name == "card_payments" {
			return false
		}
		for _, k := range c.r.Perm(len(d.row.of.columns)) {
			column := &d.row.of.columns[k]
			now, _ := d.set[column.name].(*thing)
			if now == nil {
				continue
			}
			for _, other := range append(rowsOf(work[:i]), c.rows...) {
				if other.of == now.of && other != now && !slices.ContainsFunc(work, func(d deed) bool { return d.op == parallax.Delete && d.row == other }) {
					name, to = column.name, other
					return true
				}
			}
		}
		return false
	})
	if i < 0 {
		return nil, nil, nil, false
	}
	d := &work[i]
	was := d.set[name].(*thing)
	d.set[name] = to
	if name != "account" {
		return work, []string{at(d.row.of, name)}, []*thing{d.row}, true
	}
	var want []string
	for own, theirs := range map[string]string{"tenant": "tenant", "no": "account_no"} {
		if was.values[own] != to.values[own] {
			want = append(want, at(d.row.of, theirs))
		}
	}
	return work, want, []*thing{d.row}, true
}

func rowMissing(c *campaign, work []deed) ([]deed, []string, []*thing, bool) {
	i := c.pick(work, func(i int) bool { return alone(work, i) })
	if i < 0 {
		return nil, nil, nil, false
	}
	d := work[i]
	return slices.Delete(work, i, i+1), []string{"effects:" + d.row.of.name + " missing"}, []*thing{d.row}, true
}

func rowTwice(c *campaign, work []deed) ([]deed, []string, []*thing, bool) {
	i := c.pick(work, func(i int) bool {
		s := work[i].row.of
		return work[i].op == parallax.Insert && (s.made[1] != "" || s.name == "journal")
	})
	if i < 0 {
		return nil, nil, nil, false
	}
	d := work[i]
	again := deed{op: parallax.Insert, row: &thing{of: d.row.of, values: maps.Clone(d.row.values)}, set: maps.Clone(d.set)}
	return append(work, again), []string{"effects:" + d.row.of.name + " extra"}, []*thing{d.row}, true
}

func anotherTable(c *campaign, work []deed) ([]deed, []string, []*thing, bool) {
	i := c.pick(work, func(i int) bool {
		return work[i].op == parallax.Insert && work[i].row.of.name == "tags" && alone(work, i)
	})
	if i < 0 {
		return nil, nil, nil, false
	}
	d := &work[i]
	spoiled := d.row
	d.row = &thing{of: c.shape("departments"), values: map[string]any{}}
	return work, []string{"effects:tags missing", "effects:departments extra"}, []*thing{spoiled}, true
}

func deletedInstead(c *campaign, work []deed) ([]deed, []string, []*thing, bool) {
	i := c.pick(work, func(i int) bool {
		return work[i].op == parallax.Update && work[i].row.of.name != "journal" && alone(work, i) && !c.held[work[i].row]
	})
	if i < 0 {
		return nil, nil, nil, false
	}
	work[i].op = parallax.Delete
	return work, []string{"effects:" + work[i].row.of.name + " type"}, []*thing{work[i].row}, true
}

// idle returns a row that the work has nothing to do with.
func (c *campaign) idle(work []deed, fits func(*thing) bool) *thing {
	used := map[*thing]bool{}
	for i := range work {
		used[work[i].row] = true
		c.used(work[i].set, used)
	}
	for _, i := range c.r.Perm(len(c.rows)) {
		if row := c.rows[i]; !used[row] && fits(row) {
			return row
		}
	}
	return nil
}

func changeTooMany(c *campaign, work []deed) ([]deed, []string, []*thing, bool) {
	row := c.idle(work, func(*thing) bool { return true })
	if row == nil {
		return nil, nil, nil, false
	}
	set := c.change(row)
	if set == nil {
		return nil, nil, nil, false
	}
	return append(work, deed{op: parallax.Update, row: row, set: set}), []string{"effects:" + row.of.name + " extra"}, []*thing{row}, true
}

func deletionTooMany(c *campaign, work []deed) ([]deed, []string, []*thing, bool) {
	row := c.idle(work, func(r *thing) bool { return !c.held[r] })
	if row == nil {
		return nil, nil, nil, false
	}
	return append(work, deed{op: parallax.Delete, row: row}), []string{"effects:" + row.of.name + " extra"}, []*thing{row}, true
}

func moreTransactions(c *campaign, work []deed) ([]deed, bool) {
	for i := 1; i < len(work); i++ {
		work[i].split = c.r.IntN(2) == 0 && work[i-1].row.of.name != "departments"
	}
	return work, len(work) > 1
}

// junk is a row that the primary has not.
func (c *campaign) junk() deed {
	of := c.shape([]string{"tags", "orders", "customers", "kinds", "events"}[c.r.IntN(5)])
	d := deed{op: parallax.Insert, row: &thing{of: of, values: map[string]any{}}, set: map[string]any{}}
	for i := range of.columns {
		if column := &of.columns[i]; column.to == "" {
			d.set[column.name] = c.value(column)
			d.row.values[column.name] = d.set[column.name]
		}
	}
	return d
}

func rolledBack(c *campaign, work []deed) ([]deed, bool) {
	d := c.junk()
	d.undo = true
	return slices.Insert(work, c.r.IntN(len(work)+1), d), true
}

func madeAndDeleted(c *campaign, work []deed) ([]deed, bool) {
	d := c.junk()
	work = slices.Insert(work, c.r.IntN(len(work)+1), d)
	return append(work, deed{op: parallax.Delete, row: d.row}), true
}

func anotherOrder(c *campaign, work []deed) ([]deed, bool) {
	moved := false
	for range 2 * len(work) {
		if len(work) < 2 {
			return nil, false
		}
		i := c.r.IntN(len(work) - 1)
		if a, b := work[i], work[i+1]; !needs(b, a) && !needs(a, b) {
			work[i], work[i+1], moved = b, a, true
		}
	}
	return work, moved
}

// needs reports whether one deed must come after another one.
func needs(later, earlier deed) bool {
	for _, v := range later.set {
		if v == earlier.row {
			return true
		}
	}
	if later.op == parallax.Delete {
		for _, v := range earlier.row.values {
			if v == later.row {
				return true
			}
		}
	}
	return later.row == earlier.row
}

func anotherSpelling(c *campaign, work []deed) ([]deed, []string, []*thing, bool) {
	var changed []*thing // when they are written again, the databases do not know that it is the same
	for i := range work {
		for name, v := range work[i].set {
			column := work[i].row.of.column(name)
			if text, ok := v.(string); ok && len(column.alike[text]) > 0 {
				work[i].set[name], changed = column.alike[text][c.r.IntN(len(column.alike[text]))], append(changed, work[i].row)
			}
		}
	}
	return work, nil, changed, len(changed) > 0
}

func correctedLater(c *campaign, work []deed) ([]deed, bool) {
	i := c.pick(work, func(i int) bool { return work[i].op != parallax.Delete && c.plain(&work[i], nil) != nil })
	if i < 0 {
		return nil, false
	}
	d := &work[i]
	column := c.plain(d, nil)
	right := d.set[column.name]
	d.set[column.name] = c.other(column, right)
	return append(work, deed{op: parallax.Update, row: d.row, set: map[string]any{column.name: right}}), true
}

func nothingChanged(c *campaign, work []deed) ([]deed, bool) {
	row := c.idle(work, func(r *thing) bool { return r.of.full })
	if row == nil {
		return nil, false
	}
	d := deed{op: parallax.Update, row: row, set: row.values}
	column := c.plain(&d, nil)
	d.set = map[string]any{column.name: row.values[column.name]}
	return append(work, d), true
}

func madeAgain(c *campaign, work []deed) ([]deed, bool) {
	row := c.idle(work, func(r *thing) bool { return r.of.name == "kinds" }) // journal has a number of its own, which is another one then
	if row == nil {
		return nil, false
	}
	return append(work, deed{op: parallax.Delete, row: row}, deed{op: parallax.Insert, row: row, set: row.values}), true
}

func changedBack(c *campaign, work []deed) ([]deed, bool) {
	row := c.idle(work, func(r *thing) bool { return r.of.full })
	if row == nil {
		return nil, false
	}
	set := c.change(row)
	if set == nil {
		return nil, false
	}
	back := map[string]any{}
	for name := range set {
		back[name] = row.values[name]
	}
	return append(work, deed{op: parallax.Update, row: row, set: set}, deed{op: parallax.Update, row: row, set: back}), true
}
