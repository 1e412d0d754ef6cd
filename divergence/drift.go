package divergence

import (
	"container/list"
	"sync"
	"time"

	"parallax"
	"parallax/compare"
)

// Bounds of what is remembered of rows that differ.
const (
	maxDrifted = 100_000        // rows of a service; of more the one that was touched longest ago is forgotten
	driftFor   = 24 * time.Hour // after it was touched last
)

// Drift remembers which rows of a service's databases differ, so that what differs in
// them later is rolled up under the first exchange that did. It is kept in this process:
// after a restart the next exchange with such a row is a first one again.
type Drift struct {
	now  func() time.Time
	mu   sync.Mutex
	rows map[compare.Entity]*list.Element
	age  *list.List // of drifted, the one that was touched longest ago first
}

type drifted struct {
	entity  compare.Entity
	first   parallax.ID
	touched time.Time
}

// NewDrift returns a memory of no rows.
func NewDrift(now func() time.Time) *Drift {
	return &Drift{now: now, rows: map[compare.Entity]*list.Element{}, age: list.New()}
}

// Rows is how many rows differ, as far as is remembered.
func (d *Drift) Rows() int {
	if d == nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(d.now())
	return len(d.rows)
}

// of returns which rows of an exchange differed before.
func (d *Drift) of(list *compare.EffectRows, x *parallax.Exchange) compare.Inherited {
	if d.Rows() == 0 {
		return nil // Fast path: the names of rows are of no use.
	}
	entities := list.Entities()
	d.mu.Lock()
	defer d.mu.Unlock()
	var out compare.Inherited
	for _, entity := range entities {
		at, ok := d.rows[entity]
		if !ok || at.Value.(*drifted).first == x.ID { // or it came once more
			continue
		}
		if out == nil {
			out = compare.Inherited{}
		}
		out[entity] = at.Value.(*drifted).first
	}
	return out
}

// note remembers what a comparison found of rows.
func (e *Effects) note(id parallax.ID, c *compare.Comparison) {
	if e == nil || e.Drift == nil || len(c.Drifted)+len(c.Agreed) == 0 {
		return
	}
	d := e.Drift
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	for _, entity := range c.Agreed {
		if at, ok := d.rows[entity]; ok {
			d.remove(at)
		}
	}
	for _, entity := range c.Drifted {
		d.touch(entity, id, now)
	}
	d.forget(now)
}

func (d *Drift) touch(entity compare.Entity, id parallax.ID, now time.Time) {
	if at, ok := d.rows[entity]; ok {
		at.Value.(*drifted).touched = now
		d.age.MoveToBack(at)
		return
	}
	d.rows[entity] = d.age.PushBack(&drifted{entity, id, now})
}

// forget drops rows that were not touched for long, and those that are too many.
func (d *Drift) forget(now time.Time) {
	for at := d.age.Front(); at != nil; at = d.age.Front() {
		if len(d.rows) <= maxDrifted && now.Sub(at.Value.(*drifted).touched) < driftFor {
			return
		}
		d.remove(at)
	}
}

func (d *Drift) remove(at *list.Element) {
	delete(d.rows, at.Value.(*drifted).entity)
	d.age.Remove(at)
}

// Forget forgets all rows: the databases hold the same again.
func (d *Drift) Forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.rows)
	d.age.Init()
}
