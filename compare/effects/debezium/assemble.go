package debezium

import (
	"cmp"
	"container/list"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"parallax"
	"parallax/compare/effects"
)

// What is remembered and held. A transaction that has more changes than fit is handed
// over without the rest, and More says so.
const (
	maxMarks     = 100_000 // events that are recognised when they come again
	maxDone      = 20_000  // transactions whose tags are known when more of them comes
	maxOpen      = 10_000  // transactions that are not complete
	maxOpenBytes = 64 << 20
	maxChanges   = 10_000
	maxTags      = 8                // two already say that it belongs to no single exchange
	patience     = 10 * time.Second // for the rest of a transaction
)

// assembler puts events together to transactions.
type assembler struct {
	source *Source
	to     effects.Sink
	marks  recent[[16]byte, struct{}]
	done   recent[string, finished]
	open   map[string]*list.Element // of started
	byAge  *list.List               // the open ones, the first first
	bytes  int                      // of the open ones
	held   int                      // events of theirs
	last   effects.Position         // that was told: of a transaction, or as passed
	sent   int64                    // plain envelopes without an id
	since  int64                    // when the first of them came
	stats  Stats

	// PostgreSQL's messages have no place in their transaction, and END does not count
	// them. Once there was one with a tag, complete transactions are given the quiet time to
	// get theirs, in whatever order a sink sends.
	uncounted bool
}

// started is a transaction of which something has come.
type started struct {
	id          string
	first, last time.Time // when something of it came
	at          time.Time // of the commit
	tags        []string
	events      []event
	tables      []string // of events
	bytes       int
	seen        int64 // events that END counts, of whatever table
	ordered     bool  // its END will come
	ended       bool
	want        int64
	more        bool
}

// finished is what is kept of a transaction that was handed over.
type finished struct {
	tags  []string
	times int // that more of it was handed over
}

func newAssembler(s *Source, to effects.Sink) *assembler {
	return &assembler{
		source: s, to: to, open: map[string]*list.Element{}, byAge: list.New(),
		marks: newRecent[[16]byte, struct{}](maxMarks), done: newRecent[string, finished](maxDone),
	}
}

// add takes the next event, and reports whether it is one that did not come before.
func (a *assembler) add(e event, now time.Time) (news bool) {
	a.stats.Events++
	switch {
	case e.kind == alive:
		return true
	case a.seen(e.mark):
		a.stats.Duplicates++
		return false
	case e.kind == emitted:
		a.emit(&e, now)
		return true
	case e.kind == end:
		a.end(&e, now)
		return true
	}
	if e.tx == "" {
		e.tx = hex.EncodeToString(e.mark[:])
	}
	t := a.transaction(e.tx, now)
	t.last, t.ordered = now, t.ordered || e.order > 0
	if e.kind == row || e.order > 0 {
		t.seen++
	} else if e.tag != "" {
		a.uncounted = true
	}
	if e.at.After(t.at) {
		t.at = e.at
	}
	t.tag(e.tag)
	if e.kind == row {
		a.row(t, e)
	}
	a.settle(t, now)
	a.makeRoom(now)
	return true
}

// seen reports whether an event came before, and notes that it did now.
func (a *assembler) seen(mark [16]byte) bool {
	if mark == [16]byte{} {
		return false
	}
	if _, ok := a.marks.get(mark); ok {
		return true
	}
	a.marks.put(mark, struct{}{})
	return false
}

// transaction returns an open transaction, and opens it if there is none.
func (a *assembler) transaction(id string, now time.Time) *started {
	if found := a.open[id]; found != nil {
		return found.Value.(*started)
	}
	t := &started{id: id, first: now, last: now}
	if before, ok := a.done.get(id); ok {
		t.tags = slices.Clone(before.tags)
		a.stats.Late++
	}
	a.open[id] = a.byAge.PushBack(t)
	return t
}

func (t *started) tag(tag string) {
	if tag != "" && len(t.tags) < maxTags && !slices.Contains(t.tags, tag) {
		t.tags = append(t.tags, tag)
	}
}

func (a *assembler) row(t *started, e event) {
	name, ok := a.source.name(e.table)
	switch {
	case !ok:
		a.stats.Unlisted++
	case len(t.events) >= maxChanges || t.bytes+e.size > maxOpenBytes/4:
		t.more = true
	default:
		t.events, t.tables = append(t.events, e), append(t.tables, name)
		t.bytes += e.size
		a.bytes += e.size
		a.held++
	}
}

func (a *assembler) end(e *event, now time.Time) {
	if _, over := a.done.get(e.tx); a.open[e.tx] == nil && (over || e.count == 0) {
		return
	}
	t := a.transaction(e.tx, now)
	t.ended, t.want = true, e.count
	if t.at.IsZero() {
		t.at = e.at
	}
	a.settle(t, now)
	a.makeRoom(now)
}

// complete reports whether everything that END counts has come.
func (t *started) complete() bool { return t.ended && t.seen >= t.want }

// settle hands a transaction over if nothing more of it is to come.
func (a *assembler) settle(t *started, now time.Time) {
	if t.complete() && !a.uncounted {
		a.hand(t, now)
	}
}

// expire hands over what will not become more.
func (a *assembler) expire(now time.Time) {
	for element := a.byAge.Front(); element != nil; {
		t := element.Value.(*started)
		element = element.Next()
		_, late := a.done.get(t.id)
		over := t.complete() || !t.ended && (late || !t.ordered)
		switch {
		case over && now.Sub(t.last) >= a.source.Quiet:
			a.hand(t, now)
		case now.Sub(t.first) >= patience && now.Sub(t.last) >= a.source.Quiet:
			t.more = true
			a.hand(t, now)
		}
	}
}

// makeRoom hands over the oldest transactions while too much is open.
func (a *assembler) makeRoom(now time.Time) {
	for len(a.open) > maxOpen || a.bytes > maxOpenBytes {
		t := a.byAge.Front().Value.(*started)
		t.more = true
		a.hand(t, now)
	}
}

// passed returns the position up to which everything was handed over. It never goes
// back.
func (a *assembler) passed(now time.Time) effects.Position {
	if oldest := a.byAge.Front(); oldest != nil {
		now = oldest.Value.(*started).first.Add(-time.Microsecond)
	}
	a.last = max(a.last, position(now))
	return a.last
}

// next returns the position of the next transaction: the time, or a microsecond after
// what was told last.
func (a *assembler) next(now time.Time) effects.Position {
	a.last = max(a.last+1, position(now))
	return a.last
}

// hand hands an open transaction over.
func (a *assembler) hand(t *started, now time.Time) {
	a.byAge.Remove(a.open[t.id])
	delete(a.open, t.id)
	a.bytes -= t.bytes
	a.held -= len(t.events)
	if t.more {
		a.stats.Incomplete++
	}
	before, late := a.done.get(t.id)
	id := t.id
	if late {
		before.times++
		id = fmt.Sprintf("%s+%d", t.id, before.times)
	}
	a.done.put(t.id, finished{tags: t.tags, times: before.times})
	changes := a.changes(t)
	if len(changes) == 0 && !t.more {
		return
	}
	a.to.Transaction(effects.Transaction{ID: id, Position: a.next(now), At: t.at, Tags: t.tags, Changes: changes, More: t.more})
}

// emit hands over what was sent to the outside: each by itself.
func (a *assembler) emit(e *event, now time.Time) {
	if _, ok := a.source.name(e.table); !ok {
		a.stats.Unlisted++
		return
	}
	id := hex.EncodeToString(e.mark[:])
	if e.mark == [16]byte{} {
		if a.since == 0 {
			a.since = now.UnixMicro()
		}
		a.sent++
		id = fmt.Sprintf("%d-%d", a.since, a.sent)
	}
	at := e.at
	if at.IsZero() {
		at = now
	}
	tx := effects.Transaction{ID: id, Position: a.next(now), At: at.UTC()}
	if e.tag != "" {
		tx.Tags = []string{e.tag}
	}
	tx.Changes = []effects.Change{{Table: e.table.whole, Op: parallax.Emit, After: e.after}}
	a.to.Transaction(tx)
}

// changes puts the events of a transaction in order and returns what they changed.
func (a *assembler) changes(t *started) []effects.Change {
	at := make([]int, len(t.events))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(i, j int) int {
		x, y := &t.events[i], &t.events[j]
		if x.order > 0 && y.order > 0 {
			return cmp.Compare(x.order, y.order)
		}
		return x.place.compare(y.place)
	})
	var out []effects.Change
	for n := 0; n < len(at); n++ {
		e, name := &t.events[at[n]], t.tables[at[n]]
		if n+1 < len(at) && t.tables[at[n+1]] == name && renames(e, &t.events[at[n+1]]) {
			out = append(out, a.renamed(name, e, &t.events[at[n+1]]))
			n++
			continue
		}
		out = append(out, a.change(name, e))
	}
	return out
}

// renames reports whether two events are one update that changed the key: a deletion and
// an insertion at one position.
func renames(e, next *event) bool {
	return e.op == "d" && next.op == "c" && e.place == next.place && e.place != place{}
}

func (a *assembler) renamed(name string, gone, made *event) effects.Change {
	c := a.change(name, gone)
	c.Op, c.After = parallax.Update, made.filled(gone.before)
	return c
}

// minLong is less than what any value has that is too long for its row. What stands in
// an image for a value that is not known is shorter.
const minLong = 32

// filled returns the row after the event; what the event leaves out is as it was before,
// if that is known.
func (e *event) filled(before []parallax.Column) []parallax.Column {
	out := e.after
	for _, missing := range e.absent {
		was := pick(before, []string{missing})
		if len(was) == 0 || was[0].Value == nil || len(*was[0].Value) < minLong {
			was = []parallax.Column{{Name: missing, Type: parallax.Unchanged}}
		}
		out = append(out, was...)
	}
	return out
}

// change turns an event into what it changed.
func (a *assembler) change(name string, e *event) effects.Change {
	c := effects.Change{Table: name}
	key := a.source.Keys[name]
	if key == nil {
		for _, column := range e.named {
			key = append(key, column.Name)
		}
	}
	switch e.op {
	case "t":
		c.Op = parallax.Truncate
	case "c":
		c.Op, c.Key, c.After = parallax.Insert, rowKey(e.after, key), e.after
	case "u":
		c.Op, c.Before, c.After = parallax.Update, e.before, e.filled(e.before)
		if c.Before == nil { // the key is as it was
			c.Before = pick(e.after, key)
		}
		c.Key = rowKey(c.Before, key)
	case "d":
		c.Op, c.Before = parallax.Delete, e.before
		if e.keyOnly && len(key) > 0 {
			c.Before = pick(e.before, key)
		}
		if len(c.Before) == 0 {
			c.Before = e.named
		}
		c.Key = rowKey(c.Before, key)
	}
	return c
}

// rowKey returns the columns that name a row; all of it where nobody says which do.
func rowKey(image []parallax.Column, key []string) []parallax.Column {
	if len(key) > 0 {
		return pick(image, key)
	}
	return image
}

// pick returns the columns with these names, in their order.
func pick(image []parallax.Column, names []string) []parallax.Column {
	var out []parallax.Column
	for _, name := range names {
		for i := range image {
			if image[i].Name == name {
				out = append(out, image[i])
			}
		}
	}
	return out
}
