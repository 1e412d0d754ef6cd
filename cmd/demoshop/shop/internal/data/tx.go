package data

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Tx is a transaction under way. It begins with the first statement that somebody waits
// for, in one round trip with it.
type Tx struct {
	db    *DB
	conn  *pgxpool.Conn
	ctx   context.Context
	later *pgx.Batch     // what goes with the next statement
	made  map[string]int // how many ids of a kind were made
}

// Later runs a statement of which nobody asks anything together with the next one, or
// with the commit. Its error is that one's.
func (t *Tx) Later(sql string, args ...any) { t.queue(sql, args...) }

// queue has a statement wait, with the comment that the marks ask for. One without is
// prepared, once on its connection.
func (t *Tx) queue(sql string, args ...any) *pgx.QueuedQuery {
	if t.db.Mark == Comments {
		if marked := t.db.commented(t.ctx, sql); marked != sql {
			sql = marked
		} else {
			_, _ = t.conn.Conn().Prepare(t.ctx, sql, sql) // what is wrong shows when it is run
		}
	}
	return t.later.Queue(sql, args...)
}

// Query runs what waits, and reads rows, which are to be closed.
func (t *Tx) Query(sql string, args ...any) (pgx.Rows, error) {
	t.Later(sql, args...)
	results, err := t.send()
	if err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		_ = results.Close() // it says the same
		return nil, err
	}
	return &lastRows{rows, results}, nil
}

// QueryRow runs what waits, and reads one row.
func (t *Tx) QueryRow(sql string, args ...any) pgx.Row {
	t.Later(sql, args...)
	return oneRow{t}
}

// send sends what waits, and reads all results but the last.
func (t *Tx) send() (pgx.BatchResults, error) {
	batch := t.later
	t.later = &pgx.Batch{}
	results := t.conn.SendBatch(t.ctx, batch)
	for range batch.Len() - 1 {
		if _, err := results.Exec(); err != nil {
			_ = results.Close() // it says the same
			return nil, err
		}
	}
	return results, nil
}

// lastRows are the rows of a batch's last statement; closing them ends the batch.
type lastRows struct {
	pgx.Rows
	batch pgx.BatchResults
}

// Close closes the rows, and the batch.
func (r *lastRows) Close() {
	r.Rows.Close()
	_ = r.batch.Close() // its rows have the error
}

// oneRow is a row that is asked for by Scan.
type oneRow struct{ tx *Tx }

// Scan sends the statement, and reads the row.
func (r oneRow) Scan(into ...any) error {
	results, err := r.tx.send()
	if err != nil {
		return err
	}
	err = results.QueryRow().Scan(into...)
	if closed := results.Close(); err == nil {
		err = closed
	}
	return err
}

// end commits, with what waits before it, or rolls back.
func (t *Tx) end(how string) error {
	t.queue(how)
	results, err := t.send()
	if err != nil {
		return err
	}
	tag, err := results.Exec()
	if closed := results.Close(); err == nil {
		err = closed
	}
	if err == nil && tag.String() != how {
		err = pgx.ErrTxCommitRollback
	}
	return err
}

// giveUp rolls back what was sent of a transaction, also when its context is over. A
// connection that fails at it, or takes too long, is dropped.
func (t *Tx) giveUp() {
	if t.conn.Conn().PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), patience)
	defer cancel()
	_, _ = t.conn.Exec(ctx, "ROLLBACK")
}

// Cell is one column of a new row.
type Cell struct {
	column string
	value  any
}

// Col is a column of a new row. With the value [Default] it is left out, so that
// the database fills it in.
func Col(column string, value any) Cell { return Cell{column, value} }

// Default is the value of a column that the database fills in.
type Default struct{}

// Insert writes one row, and reads columns of it into variables.
func (t *Tx) Insert(table string, row []Cell, returning string, into ...any) error {
	sql, args := insert(table, [][]Cell{row})
	return t.QueryRow(sql+" RETURNING "+returning, args...).Scan(into...)
}

// Put writes rows of the same columns of which nobody asks anything, with the next
// statement.
func (t *Tx) Put(table string, rows ...[]Cell) {
	if len(rows) > 0 {
		sql, args := insert(table, rows)
		t.queue(sql, args...)
	}
}

// InsertAll writes rows of the same columns with one statement, and returns the values of
// their key column, in the rows' order.
func (t *Tx) InsertAll(table, key string, rows [][]Cell) ([]int64, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	sql, args := insert(table, rows)
	found, err := t.Query(sql+" RETURNING "+key, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, pgx.RowTo[int64])
}

// ExecAll runs one statement once for each list of arguments, in one round trip,
// and returns how many rows each of them changed.
func (t *Tx) ExecAll(sql string, args [][]any) ([]int64, error) {
	changed := make([]int64, len(args))
	for i, each := range args {
		t.queue(sql, each...).Exec(func(tag pgconn.CommandTag) error {
			changed[i] = tag.RowsAffected()
			return nil
		})
	}
	return changed, t.sendAll()
}

// sendAll sends what waits, and reads all results.
func (t *Tx) sendAll() error {
	if t.later.Len() == 0 {
		return nil
	}
	batch := t.later
	t.later = &pgx.Batch{}
	return t.conn.SendBatch(t.ctx, batch).Close()
}

// insert writes the statement. Tables and columns are the program's own words.
func insert(table string, rows [][]Cell) (sql string, args []any) {
	var columns, values strings.Builder
	for n, row := range rows {
		values.WriteString([]string{"(", ", ("}[min(n, 1)])
		first := true
		for _, c := range row {
			if c.value == (Default{}) {
				continue
			}
			if !first {
				columns.WriteString(", ")
				values.WriteString(", ")
			}
			first = false
			args = append(args, c.value)
			columns.WriteString(c.column)
			fmt.Fprintf(&values, "$%d", len(args))
		}
		values.WriteByte(')')
		if n == 0 {
			sql = "INSERT INTO " + table + " (" + columns.String() + ") VALUES "
		}
	}
	return sql + values.String(), args
}

// NewID returns the id of a new row of a kind: [Default] where the database makes
// it up, else a number of 52 bits that request and kind determine.
func (t *Tx) NewID(kind string) any {
	if t.db.IDs != GivenIDs {
		return Default{}
	}
	sum := t.given(kind)
	return int64(binary.BigEndian.Uint64(sum[:8]) >> 12)
}

// NewUUID is NewID for a UUID.
func (t *Tx) NewUUID(kind string) any {
	if t.db.IDs != GivenIDs {
		return Default{}
	}
	sum := t.given(kind)
	id := [16]byte(sum[:16])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // version 8: of the vendor's own making
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// Token makes up a session's token: 24 bytes that nobody can guess, as a version
// writes them, or 24 that the request determines, in hex.
func (t *Tx) Token(write func([]byte) string) string {
	if t.db.IDs == GivenIDs {
		sum := t.given("session")
		return hex.EncodeToString(sum[:24])
	}
	return write(random(24))
}

func random(n int) []byte {
	out := make([]byte, n)
	rand.Read(out) // never fails
	return out
}

// given hashes the request's key, the kind, and how many of it there were.
func (t *Tx) given(kind string) [sha256.Size]byte {
	n := t.made[kind]
	t.made[kind]++
	return sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", From(t.ctx).Key, kind, n))
}

// isBroken says that a connection ended in the middle of a conversation.
func isBroken(err error) bool {
	var network net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network) && !network.Timeout()
}
