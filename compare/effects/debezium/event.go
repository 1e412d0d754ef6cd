package debezium

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"parallax"
)

// kind is what an event tells.
type kind uint8

const (
	alive   kind = iota // nothing but that its source works: a heartbeat, a tombstone, a change of a schema, a snapshot's row
	row                 // a row was inserted, updated or deleted, or a table truncated
	message             // what a transaction says of itself
	end                 // a transaction is over
	emitted             // something was sent to the outside
)

// event is one event as it was sent.
type event struct {
	kind   kind
	source string // the connector's topic.prefix; empty where the event does not say

	tx    string // the transaction; empty where the event does not say
	order int64  // of the event in its transaction, from 1; 0 where the event does not say
	count int64  // of events in the transaction that ends
	at    time.Time
	place place
	mark  [16]byte // the same for an event that is sent once more

	op            string // c, u, d or t
	table         table
	named         []parallax.Column // the record's key
	before, after []parallax.Column
	absent        []string // columns of after that are as they were, and too long to be told
	keyOnly       bool     // before may hold placeholders in all columns but the key

	tag  string
	size int // bytes of the event as it came, roughly what it takes in memory
}

// table is what a table may be called: with its schema or, of MySQL, its database, and
// without. Bare is empty where only the whole name will do.
type table struct{ whole, bare string }

// place is where in its database's log an event stands.
type place struct {
	file     string
	pos, row int64
}

func (p place) compare(q place) int {
	if len(p.file) != len(q.file) { // binlog.999999 comes before binlog.1000000
		return cmp.Compare(len(p.file), len(q.file))
	}
	return cmp.Or(strings.Compare(p.file, q.file), cmp.Compare(p.pos, q.pos), cmp.Compare(p.row, q.row))
}

// Fault is something wrong with an event of a body.
type Fault struct {
	Event int    // from 0; -1 for the body as a whole
	Field string // such as payload.source.table; empty for the event as a whole
	Text  string
}

// String says where the fault is and what it is.
func (f Fault) String() string {
	switch {
	case f.Event < 0:
		return f.Text
	case f.Field == "":
		return fmt.Sprintf("event %d: %s", f.Event, f.Text)
	}
	return fmt.Sprintf("event %d, %s: %s", f.Event, f.Field, f.Text)
}

// Error is the same.
func (f Fault) Error() string { return f.String() }
