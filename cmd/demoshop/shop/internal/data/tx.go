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
)

// Tx is a transaction under way.
type Tx struct {
	db   *DB
	tx   pgx.Tx
	ctx  context.Context
	made map[string]int // how many ids of a kind were made
}

// Exec runs a statement and returns how many rows it changed.
func (t *Tx) Exec(sql string, args ...any) (int64, error) {
	tag, err := t.tx.Exec(t.ctx, t.db.commented(t.ctx, sql), args...)
	return tag.RowsAffected(), err
}

// Query reads rows.
func (t *Tx) Query(sql string, args ...any) (pgx.Rows, error) {
	return t.tx.Query(t.ctx, t.db.commented(t.ctx, sql), args...)
}

// QueryRow reads one row.
func (t *Tx) QueryRow(sql string, args ...any) pgx.Row {
	return t.tx.QueryRow(t.ctx, t.db.commented(t.ctx, sql), args...)
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
	sql, args := insert(table, row)
	return t.QueryRow(sql+" RETURNING "+returning, args...).Scan(into...)
}

// Put writes one row of which nobody asks anything.
func (t *Tx) Put(table string, row []Cell) error {
	sql, args := insert(table, row)
	_, err := t.Exec(sql, args...)
	return err
}

// InsertAll writes rows in one round trip and returns the values of their key
// column, in the rows' order.
func (t *Tx) InsertAll(table, key string, rows [][]Cell) ([]int64, error) {
	var batch pgx.Batch
	ids := make([]int64, len(rows))
	for i, row := range rows {
		sql, args := insert(table, row)
		batch.Queue(t.db.commented(t.ctx, sql+" RETURNING "+key), args...).QueryRow(func(r pgx.Row) error { return r.Scan(&ids[i]) })
	}
	return ids, t.tx.SendBatch(t.ctx, &batch).Close()
}

// ExecAll runs one statement once for each list of arguments, in one round trip,
// and returns how many rows each of them changed.
func (t *Tx) ExecAll(sql string, args [][]any) ([]int64, error) {
	var batch pgx.Batch
	changed := make([]int64, len(args))
	for i, each := range args {
		batch.Queue(t.db.commented(t.ctx, sql), each...).Exec(func(tag pgconn.CommandTag) error {
			changed[i] = tag.RowsAffected()
			return nil
		})
	}
	return changed, t.tx.SendBatch(t.ctx, &batch).Close()
}

// insert writes the statement. Tables and columns are the program's own words.
func insert(table string, row []Cell) (sql string, args []any) {
	var columns, values strings.Builder
	for _, c := range row {
		if c.value == (Default{}) {
			continue
		}
		if len(args) > 0 {
			columns.WriteString(", ")
			values.WriteString(", ")
		}
		args = append(args, c.value)
		columns.WriteString(c.column)
		fmt.Fprintf(&values, "$%d", len(args))
	}
	return "INSERT INTO " + table + " (" + columns.String() + ") VALUES (" + values.String() + ")", args
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
