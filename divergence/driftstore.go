package divergence

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"parallax"
	"parallax/compare"
)

// Bounds of what waits to be stored of rows that differ.
const (
	saveTouched = time.Hour    // how often the store is told that a row was touched
	maxUnsaved  = 2 * maxMarks // places; of more all are written anew
)

// driftMark is one place of a row in the store.
type driftMark struct {
	service string
	entity  compare.Entity
	table   string
	place   string
	mark    compare.Mark
	touched time.Time
	gone    bool
	version uint64
}

// driftPlace names one place of a row.
type driftPlace struct {
	entity compare.Entity
	place  string
}

// driftChanges are the places that the store does not know as they are.
type driftChanges struct {
	places  map[driftPlace]struct{}
	anew    bool                        // what the store has is void
	loaded  bool                        // what it had was taken up
	fresh   map[compare.Entity]struct{} // rows that were touched before that
	version uint64
}

// add notes a place. Those that are not columns are not stored: their names may be
// what customers wrote.
func (c *driftChanges) add(entity compare.Entity, place string) {
	if place != "" && (len(place) < 3 || strings.ContainsAny(place[2:], ".[")) {
		return
	}
	if c.places == nil {
		c.places = map[driftPlace]struct{}{}
	}
	if c.places[driftPlace{entity, place}] = struct{}{}; len(c.places) > maxUnsaved {
		c.places, c.anew = nil, true
	}
}

// heard notes, as long as nothing was loaded, that an exchange touched a row: what an earlier
// process knew of it may not hold.
func (c *driftChanges) heard(entity compare.Entity) {
	if c.loaded || c.anew {
		return
	}
	if c.fresh == nil {
		c.fresh = map[compare.Entity]struct{}{}
	}
	if c.fresh[entity] = struct{}{}; len(c.fresh) > maxDrifted {
		c.fresh, c.anew = nil, true
	}
}

// next returns a number that is greater than all before it, of other processes too.
func (c *driftChanges) next(now time.Time) uint64 {
	c.version = max(c.version+1, uint64(max(now.UnixMicro(), 0)))
	return c.version
}

// take returns up to most places that the store is to be told of, after everything that
// it had was loaded.
func (d *Drift) take(service string, most int) (out []driftMark) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &d.unsaved
	if !c.loaded || most < 1 {
		return nil
	}
	version := c.next(d.now())
	if c.anew {
		c.anew = false
		out = append(out, driftMark{service: service, gone: true, touched: d.now(), version: version})
		version = c.next(d.now())
		for at := d.age.Front(); at != nil; at = at.Next() {
			row := at.Value.(*drifted)
			for path := range row.marks {
				c.add(row.entity, path)
			}
		}
	}
	for at := range c.places {
		if len(out) >= most {
			break
		}
		delete(c.places, at)
		m := driftMark{service: service, entity: at.entity, place: at.place, gone: true, touched: d.now(), version: version}
		if in, ok := d.rows[at.entity]; ok {
			row := in.Value.(*drifted)
			if mark, differs := row.marks[at.place]; differs {
				m.table, m.mark, m.touched, m.gone = row.table, mark, row.touched, false
			}
		}
		out = append(out, m)
	}
	return out
}

// Load takes up what an earlier process knew, once. What was found since this one began
// holds.
func (d *Drift) Load(ctx context.Context, s *Store, service string) error {
	d.mu.Lock()
	loaded := d.unsaved.loaded
	d.mu.Unlock()
	if loaded {
		return nil
	}
	stored, err := s.loadDrift(ctx, service, d.now().Add(-driftFor))
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &d.unsaved
	c.loaded = true
	for i := range stored {
		m := &stored[i]
		c.version = max(c.version, m.version)
		if _, fresh := c.fresh[m.entity]; fresh {
			c.add(m.entity, m.place) // as it is now
		} else if !c.anew {
			d.restore(m)
		}
	}
	c.fresh = nil
	d.forget(d.now())
	return nil
}

// restore puts a place back. They come with the one that was touched last first.
func (d *Drift) restore(m *driftMark) {
	at := d.rows[m.entity]
	if at == nil {
		at = d.age.PushFront(&drifted{entity: m.entity, table: m.table, marks: compare.Marks{}, touched: m.touched, saved: m.touched})
		d.rows[m.entity] = at
	}
	at.Value.(*drifted).marks[m.place] = m.mark
	d.marks++
}

// KeepDrift stores what changed of the rows that differ, with the next batch.
func (r *Recorder) KeepDrift(service string, d *Drift) {
	n := &r.notes
	n.mu.Lock()
	defer n.mu.Unlock()
	n.next.drift = append(n.next.drift, d.take(service, maxNoteCount-len(n.next.drift))...)
}

// writeDrift writes the places of a batch.
func (s *Store) writeDrift(ctx context.Context, b *batch) error {
	return s.insertAll(ctx, "drift", b, len(b.notes.drift), func(to driver.Batch, i int) error {
		m := &b.notes.drift[i]
		return to.Append(m.service, uuid.UUID(m.entity), m.place, m.table, uuid.UUID(m.mark.Since), m.at(), m.mark.Issue, uint8(m.mark.Only), m.touched.UTC(), m.gone, m.version)
	})
}

// at is when the place began to differ, as the store can hold it.
func (m *driftMark) at() time.Time {
	if m.mark.At.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return m.mark.At.UTC()
}

// loadDrift reads the places that differ, of rows that were touched since.
func (s *Store) loadDrift(ctx context.Context, service string, since time.Time) (out []driftMark, err error) {
	cond := forService(service).within("touched", Window{From: since})
	err = s.each(ctx, fmt.Sprintf(`SELECT entity, place, table, since, at, issue, only, touched, version FROM drift FINAL %s
AND NOT gone AND version > (SELECT max(version) FROM drift %s AND gone AND entity = toUUID('00000000-0000-0000-0000-000000000000'))
ORDER BY touched DESC LIMIT %d`, cond, cond, maxMarks), cond.args, func(rows driver.Rows) error {
		var entity, exchange uuid.UUID
		var only uint8
		m := driftMark{service: service}
		err := rows.Scan(&entity, &m.place, &m.table, &exchange, &m.mark.At, &m.mark.Issue, &only, &m.touched, &m.version)
		m.entity, m.mark.Since, m.mark.Only = compare.Entity(entity), parallax.ID(exchange), parallax.Leg(only)
		out = append(out, m)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read which rows differ: %w", err)
	}
	return out, nil
}
