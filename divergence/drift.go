package divergence

import (
	"container/list"
	"strings"
	"sync"
	"time"

	"parallax"
	"parallax/compare"
)

// Bounds of what is remembered of the rows of a service's databases. What is forgotten
// counts anew.
const (
	maxDrifted   = 100_000        // rows that differ; of more the one that was touched longest ago is forgotten
	maxMarks     = 4 * maxDrifted // places in them
	maxMarkBytes = 256            // of the name of a place
	driftFor     = 24 * time.Hour // after it was touched last
	maxImages    = 20_000         // rows of which is known what was written last
)

// Drift remembers which rows of a service's databases differ, and where, so that what
// differs there later is rolled up under the first exchange that did. Besides it remembers what
// was written into rows last, by which it tells what an update changed where the log does
// not say so. It is kept in this process, and the places that differ in the store
// ([Store.LoadDrift]), for the next one.
type Drift struct {
	now     func() time.Time
	effects compare.Effects // that names rows
	mu      sync.Mutex
	rows    map[compare.Entity]*list.Element
	age     *list.List // of *drifted, the one that was touched longest ago first
	marks   int        // in all of them
	images  map[compare.Entity]*list.Element
	seen    *list.List // of *imaged, likewise
	unsaved driftChanges
}

// drifted is a row that differs.
type drifted struct {
	entity  compare.Entity
	table   string
	marks   compare.Marks
	touched time.Time
	saved   time.Time // when the store was told that it was touched
}

// imaged is what was written into a row last, and until when.
type imaged struct {
	entity compare.Entity
	images [2]compare.Image
	until  [2]time.Time
}

// NewDrift returns a memory of no rows. The key names them, so that nobody can guess from
// the store which they are.
func NewDrift(now func() time.Time, key []byte) *Drift {
	return &Drift{
		now: now, effects: compare.Effects{Key: key},
		rows: map[compare.Entity]*list.Element{}, age: list.New(),
		images: map[compare.Entity]*list.Element{}, seen: list.New(),
	}
}

// Rows is how many rows differ, as far as is remembered.
func (d *Drift) Rows() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(d.now())
	return len(d.rows)
}

// nameKey is what names of rows are made with.
func (d *Drift) nameKey() []byte {
	if d == nil {
		return nil
	}
	return d.effects.Key
}

// before returns what is known of rows from before an exchange.
func (d *Drift) before(x *parallax.Exchange) func(compare.Entity) compare.RowState {
	if d == nil {
		return nil
	}
	return func(entity compare.Entity) (out compare.RowState) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if at, ok := d.images[entity]; ok {
			known := at.Value.(*imaged)
			for leg, until := range known.until {
				if until.Before(x.Received) {
					out.Images[leg] = known.images[leg] // which nobody changes
				}
			}
		}
		at, ok := d.rows[entity]
		if !ok || d.now().Sub(at.Value.(*drifted).touched) >= driftFor {
			return out
		}
		for path, mark := range at.Value.(*drifted).marks {
			if mark.Since == x.ID || mark.Since == (parallax.ID{}) && !x.Received.After(mark.At) {
				continue // It came once more; or it may be what whole tables show.
			}
			if out.Marks == nil {
				out.Marks = compare.Marks{}
			}
			out.Marks[path] = mark
		}
		return out
	}
}

// note remembers what a comparison found of rows.
func (e *Effects) note(x *parallax.Exchange, c *compare.Comparison) {
	if e == nil || e.Drift == nil || len(c.Rows) == 0 {
		return
	}
	d := e.Drift
	until := x.Received
	for _, call := range x.Legs {
		if call != nil && x.Received.Add(call.Done).After(until) {
			until = x.Received.Add(call.Done)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	for i := range c.Rows {
		d.change(&c.Rows[i], now)
		d.see(&c.Rows[i], until)
	}
	d.forget(now)
}

// change applies what an exchange made of a row.
func (d *Drift) change(c *compare.RowChange, now time.Time) {
	d.unsaved.heard(c.Entity)
	at := d.rows[c.Entity]
	if at == nil && len(c.Differ) == 0 {
		return
	}
	if at == nil {
		at = d.age.PushBack(&drifted{entity: c.Entity, table: strings.Clone(c.Table), marks: compare.Marks{}})
		d.rows[c.Entity] = at
	}
	row := at.Value.(*drifted)
	if c.Gone {
		for path := range row.marks {
			d.unmark(row, path)
		}
	}
	for _, path := range c.Equal {
		d.unmark(row, path)
	}
	for path, mark := range c.Differ {
		d.mark(row, path, mark)
	}
	d.touch(at, now)
}

// touch notes that a row was touched; one that differs nowhere is forgotten.
func (d *Drift) touch(at *list.Element, now time.Time) {
	row := at.Value.(*drifted)
	if len(row.marks) == 0 {
		d.remove(at)
		return
	}
	row.touched = now
	d.age.MoveToBack(at)
	if now.Sub(row.saved) > saveTouched {
		row.saved = now
		for path := range row.marks {
			d.unsaved.add(row.entity, path)
		}
	}
}

// mark notes that a place differs, unless that is known.
func (d *Drift) mark(row *drifted, path string, mark compare.Mark) {
	if _, known := row.marks[path]; known || len(path) > maxMarkBytes {
		return
	}
	row.marks[strings.Clone(path)] = mark
	d.marks++
	d.unsaved.add(row.entity, path)
}

func (d *Drift) unmark(row *drifted, path string) {
	if _, known := row.marks[path]; !known {
		return
	}
	delete(row.marks, path)
	d.marks--
	d.unsaved.add(row.entity, path)
}

// forget drops rows that were not touched for long, and those that are too many.
func (d *Drift) forget(now time.Time) {
	for at := d.age.Front(); at != nil; at = d.age.Front() {
		if len(d.rows) <= maxDrifted && d.marks <= maxMarks && now.Sub(at.Value.(*drifted).touched) < driftFor {
			return
		}
		d.remove(at)
	}
}

func (d *Drift) remove(at *list.Element) {
	row := at.Value.(*drifted)
	for path := range row.marks {
		d.unmark(row, path)
	}
	delete(d.rows, row.entity)
	d.age.Remove(at)
}

// Forget forgets all rows, in the store too: the databases hold the same again.
func (d *Drift) Forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.rows)
	d.age.Init()
	d.marks = 0
	clear(d.images)
	d.seen.Init()
	d.unsaved.places, d.unsaved.anew = nil, true
}

// see notes what was written into a row.
func (d *Drift) see(c *compare.RowChange, until time.Time) {
	at := d.images[c.Entity]
	if c.Gone && at != nil {
		d.seen.Remove(at)
		delete(d.images, c.Entity)
		at = nil
	}
	if c.Images[0] == nil && c.Images[1] == nil {
		return
	}
	if at == nil {
		at = d.seen.PushBack(&imaged{entity: c.Entity})
		d.images[c.Entity] = at
	}
	known := at.Value.(*imaged)
	for leg, image := range c.Images {
		switch {
		case image == nil:
		case known.until[leg].After(until):
			known.images[leg] = nil // Two exchanges at once: nobody knows which was the last.
		default:
			known.images[leg], known.until[leg] = image, until
		}
	}
	d.seen.MoveToBack(at)
	for d.seen.Len() > maxImages {
		delete(d.images, d.seen.Front().Value.(*imaged).entity)
		d.seen.Remove(d.seen.Front())
	}
}

// Late forgets what is known of rows that a leg wrote later than was waited for: they may
// differ no more, or otherwise.
func (e *Effects) Late(leg parallax.Leg, effects []parallax.Effect) {
	if e == nil || e.Drift == nil {
		return
	}
	d := e.Drift
	names := (&compare.Effects{Tables: e.Tables, Key: d.effects.Key}).Named(leg, effects)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, entity := range names {
		d.unsaved.heard(entity)
		if at, ok := d.rows[entity]; ok {
			d.remove(at)
		}
		if at, ok := d.images[entity]; ok {
			d.seen.Remove(at)
			delete(d.images, entity)
		}
	}
}

// TableFound is what comparing one whole table found.
type TableFound struct {
	Table string // the primary's name
	Rows  []RowFound
	All   bool // these are all rows that differ, by their names
}

// RowFound is one place in which a row differs.
type RowFound struct {
	Key   []parallax.Column // with the primary's names, in their order
	Place string            // as marks have it
	Only  parallax.Leg      // of a row that one leg lacks: the other one
}

// Tables takes what comparing whole tables found: rows that differ do so from then on, and of
// a table that was compared to its end the others do not any more, unless they were touched
// since the comparison began.
func (d *Drift) Tables(began, ended time.Time, found []TableFound) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	for _, t := range found {
		differ := map[compare.Entity]map[string]compare.Mark{}
		for _, r := range t.Rows {
			entity := d.effects.RowEntity(t.Table, r.Key)
			if differ[entity] == nil {
				differ[entity] = map[string]compare.Mark{}
			}
			differ[entity][r.Place] = compare.Mark{At: ended, Only: r.Only}
		}
		if t.All {
			d.agree(t.Table, began, differ)
		}
		for entity, marks := range differ {
			if entity != (compare.Entity{}) {
				d.change(&compare.RowChange{Entity: entity, Table: t.Table, Differ: marks}, now)
			}
		}
	}
	d.forget(now)
}

// agree forgets the places of a table's rows that do not differ any more.
func (d *Drift) agree(table string, began time.Time, differ map[compare.Entity]map[string]compare.Mark) {
	var next *list.Element
	for at := d.age.Front(); at != nil; at = next {
		next = at.Next()
		row := at.Value.(*drifted)
		if row.table != table || !row.touched.Before(began) {
			continue
		}
		for path := range row.marks {
			if _, still := differ[row.entity][path]; !still {
				d.unmark(row, path)
			}
		}
		if len(row.marks) == 0 {
			d.remove(at)
		}
	}
}
