package effects

import (
	"context"
	"time"

	"parallax"
)

// Position is a place in a database's log; what is committed later has a greater
// one. Of PostgreSQL it is the LSN.
type Position uint64

// Change is one row change as a database committed it.
type Change struct {
	Table         string // with the schema where that is not public
	Op            parallax.Op
	Key           []parallax.Column // what names the row
	Before, After []parallax.Column // a column that is not there is not known
}

// Transaction is one commit: what it changed, in the order in which it did, and
// what it says of the exchange that caused it.
type Transaction struct {
	ID       string    // unique within its database; what is read twice has the same
	Position Position  // of the commit
	At       time.Time // of the commit, by the database's clock
	Tags     []string  // contents of its messages with the prefix parallax: ids of exchanges, or traceparents
	Changes  []Change
	More     bool // changes beyond the reader's bound were left out
}

// Sink takes what a reader reads. Its methods are called from one goroutine, in the
// order of the log, and return soon.
type Sink interface {
	// Transaction takes the next commit.
	Transaction(Transaction)
	// Passed says that everything committed at or before a position was handed over.
	// The last one counts: after a gap the server may be another one, which has not
	// come as far.
	Passed(Position)
	// Gap says that what was committed between two times may not have been read;
	// until is zero while it lasts. A gap is told of when it begins, when there is
	// more to say about why, and when it ends; from is what it is known by.
	Gap(from, until time.Time, why string)
}

// Reader reads what one database commits.
type Reader interface {
	// Run reads until the context ends, and connects again by itself. It returns
	// when nothing of it is left in the database.
	Run(ctx context.Context, to Sink) error
	// Position returns a position that everything committed until now lies at or
	// before.
	Position(ctx context.Context) (Position, error)
}
