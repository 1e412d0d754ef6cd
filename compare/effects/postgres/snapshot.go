package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parallax/compare/effects"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// SnapshotFor is how long the server keeps a snapshot that nobody closes: whoever has begun
// to use it by then goes on.
const SnapshotFor = 24 * time.Hour

// Snapshot is a database as it was at one position in its log. It holds everything that
// was committed at or before the position, and nothing that was committed later. As long
// as it is open the server keeps the rows of then; it keeps no log for it.
type Snapshot struct {
	Name     string // for pg_dump --snapshot, or SET TRANSACTION SNAPSHOT
	Position effects.Position
	conn     *pgx.Conn
}

// Export takes a snapshot of the database of a source; its tables need not be listed. Like
// a slot it waits for the transactions that are open in the whole server.
func Export(ctx context.Context, from Source) (*Snapshot, error) {
	s, faults := from.read()
	if len(faults) > 0 {
		return nil, fmt.Errorf("cannot take a snapshot: %s: %s", faults[0].Path, faults[0].Text)
	}
	snapshot, err := s.export(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot take a snapshot of %s: %w", s.config.Database, s.hidden(err))
	}
	return snapshot, nil
}

func (s *source) export(ctx context.Context) (*Snapshot, error) {
	a, err := s.asker(ctx)
	if err != nil {
		return nil, err
	}
	slot, err := connectReplication(ctx, a.host, a.raw)
	if err != nil {
		a.close()
		return nil, err
	}
	// Only a slot's snapshot is exactly that of a position. It ends with the slot, which would
	// keep the log: so another transaction takes it on.
	defer closePgConn(slot)
	results, err := slot.Exec(ctx, "CREATE_REPLICATION_SLOT "+quoted(newSlot())+" TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT").ReadAll()
	out := &Snapshot{conn: a.conn}
	if err == nil {
		out.Position, err = consistentPoint(results)
	}
	if err == nil {
		err = out.takeOn(ctx, results)
	}
	if err != nil {
		a.close()
		return nil, err
	}
	return out, nil
}

// takeOn makes the snapshot of a slot that of a transaction.
func (s *Snapshot) takeOn(ctx context.Context, results []*pgconn.Result) error {
	row := results[0].Rows[0]
	if len(row) < 3 || len(row[2]) == 0 {
		return errors.New("the server gave the slot no snapshot")
	}
	for _, statement := range []string{
		// A role or database may have shorter bounds, and a server before 17 has not the second one.
		fmt.Sprintf("set idle_in_transaction_session_timeout = %d", SnapshotFor.Milliseconds()),
		"select set_config(name, '0', false) from pg_settings where name = 'transaction_timeout'",
		"begin isolation level repeatable read, read only",
		"set transaction snapshot " + literal(string(row[2])),
	} {
		if _, err := s.conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return s.conn.QueryRow(ctx, "select pg_export_snapshot()").Scan(&s.Name)
}

// LSN writes the position as PostgreSQL does, 0/16B3748.
func (s *Snapshot) LSN() string { return lsn(s.Position) }

// Close lets go of the snapshot. Who has taken it on keeps it.
func (s *Snapshot) Close() { closeConn(s.conn) }
