package rows

import (
	"slices"
	"strings"

	"parallax"
)

// Row is what an exchange did to one row, all of it taken together.
type Row struct {
	Table string
	Op    parallax.Op // Insert, Update, Delete, Truncate or Emit

	// Key names the row as it was before the exchange; of one that the exchange
	// made, as it is after. Empty: nothing tells it from others.
	Key []parallax.Column

	// Columns are what is known of the row after the exchange, of a Delete what was known
	// before it.
	Columns []parallax.Column

	Was []parallax.Column // of an Update: the row before the exchange, as far as it is known
}

// Column returns a column of the row, nil if it is not known.
func (r *Row) Column(name string) *parallax.Column { return column(r.Columns, name) }

func column(list []parallax.Column, name string) *parallax.Column {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

// touched is a row while its effects are folded.
type touched struct {
	Row
	before []parallax.Column // the whole row before the exchange, as far as it is known
	gone   bool
}

// Net folds effects, in the order in which they were committed, into what is left of
// them: a row that was made and changed was made as it is in the end, one that was
// made and deleted is not there, one that was deleted and made again, or has its old
// values again, was changed or not touched at all. Rows come in the order in which
// they were touched first. Each Emit is a row of its own.
func Net(effects []parallax.Effect) []Row {
	f := folder{at: map[string][]int{}}
	for i := range effects {
		f.add(&effects[i])
	}
	var out []Row
	for i := range f.rows {
		if t := &f.rows[i]; !t.gone && !t.unchanged() {
			if t.Op == parallax.Update {
				t.Was = t.before
			}
			out = append(out, t.Row)
		}
	}
	return out
}

type folder struct {
	rows []touched
	at   map[string][]int // by what names the row now; only rows without a key of their own may share a name
}

func (f *folder) add(e *parallax.Effect) {
	switch e.Op {
	case parallax.Insert:
		f.insert(e)
	case parallax.Update:
		f.update(e)
	case parallax.Delete:
		f.delete(e)
	case parallax.Truncate:
		f.truncate(e)
	default:
		f.push(e, touched{Row: Row{Table: e.Table, Op: e.Op, Columns: e.After}})
	}
}

// push adds a row under a name, and none if it has no key.
func (f *folder) push(e *parallax.Effect, t touched, name ...parallax.Column) {
	f.rows = append(f.rows, t)
	if len(name) > 0 {
		f.call(identity(e.Table, name), len(f.rows)-1)
	}
}

// call notes what names a row now.
func (f *folder) call(name string, i int) { f.at[name] = append(f.at[name], i) }

// uncall forgets the name of the row that got it last.
func (f *folder) uncall(name string) {
	if list := f.at[name]; len(list) > 1 {
		f.at[name] = list[:len(list)-1]
	} else {
		delete(f.at, name)
	}
}

// known returns the row that a key names, nil if the exchange has not touched it.
func (f *folder) known(e *parallax.Effect) *touched {
	if list := f.at[identity(e.Table, e.Key)]; len(list) > 0 && len(e.Key) > 0 {
		return &f.rows[list[len(list)-1]]
	}
	return nil
}

func (f *folder) insert(e *parallax.Effect) {
	if t := f.known(e); t != nil && t.Op == parallax.Delete {
		t.Op, t.Columns = parallax.Update, e.After
		return
	}
	f.push(e, touched{Row: Row{Table: e.Table, Op: parallax.Insert, Key: e.Key, Columns: e.After}}, e.Key...)
}

func (f *folder) update(e *parallax.Effect) {
	t := f.known(e)
	now := renamed(e.Key, e.After)
	if t == nil {
		f.push(e, touched{Row: Row{Table: e.Table, Op: parallax.Update, Key: e.Key, Columns: merged(e.Key, e.After)}, before: e.Before}, now...)
		return
	}
	t.Columns = merged(t.Columns, e.After)
	if t.Op == parallax.Insert {
		t.Key = now
	}
	was := identity(e.Table, e.Key)
	i := f.at[was][len(f.at[was])-1]
	f.uncall(was)
	f.call(identity(e.Table, now), i)
}

func (f *folder) delete(e *parallax.Effect) {
	t := f.known(e)
	if t == nil {
		f.push(e, touched{Row: Row{Table: e.Table, Op: parallax.Delete, Key: e.Key, Columns: merged(e.Key, e.Before)}, before: e.Before}, e.Key...)
		return
	}
	if t.Op == parallax.Insert {
		t.gone = true
		f.uncall(identity(e.Table, e.Key))
		return
	}
	t.Op, t.Columns = parallax.Delete, merged(t.Key, t.before)
}

// truncate takes all rows of the table away; that is one effect, however many there were.
func (f *folder) truncate(e *parallax.Effect) {
	for i := range f.rows {
		if f.rows[i].Table == e.Table && f.rows[i].Op != parallax.Emit {
			f.rows[i].gone = true
		}
	}
	clear(f.at)
	for i := range f.rows {
		if t := &f.rows[i]; !t.gone && len(t.Key) > 0 {
			f.call(identity(t.Table, renamed(t.Key, t.Columns)), i)
		}
	}
	f.rows = append(f.rows, touched{Row: Row{Table: e.Table, Op: parallax.Truncate}})
}

// unchanged reports whether a row that was there before is known to be as it was.
func (t *touched) unchanged() bool {
	if t.Op != parallax.Update || len(t.before) == 0 {
		return false
	}
	for i := range t.Columns {
		if t.Columns[i].Type == parallax.Unchanged {
			continue
		}
		was := column(t.before, t.Columns[i].Name)
		if was == nil || !sameValue(was, &t.Columns[i]) {
			return false
		}
	}
	return true
}

func sameValue(a, b *parallax.Column) bool {
	if a.Value == nil || b.Value == nil {
		return a.Value == b.Value
	}
	return canonical(a) == canonical(b)
}

// renamed returns a key with the values that an image has for it.
func renamed(key, image []parallax.Column) []parallax.Column {
	out := slices.Clone(key)
	for i := range out {
		if now := column(image, out[i].Name); now != nil && now.Type != parallax.Unchanged {
			out[i] = *now
		}
	}
	return out
}

// merged returns an image with the columns of a later one put over it.
func merged(image, later []parallax.Column) []parallax.Column {
	out := slices.Clone(image)
	for _, c := range later {
		switch known := column(out, c.Name); {
		case known == nil:
			out = append(out, c)
		case c.Type != parallax.Unchanged:
			*known = c
		}
	}
	return out
}

// identity writes what names a row, each part ended by a zero byte, which no text of a
// database has.
func identity(table string, key []parallax.Column) string {
	var b strings.Builder
	write := func(s string) {
		b.WriteString(s)
		b.WriteByte(0)
	}
	write(table)
	for _, c := range key {
		write(c.Name)
		if c.Value == nil {
			b.WriteByte(1)
		} else {
			write(*c.Value)
		}
	}
	return b.String()
}
