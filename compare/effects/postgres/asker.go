package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parallax/compare/effects"

	"github.com/jackc/pgx/v5"
)

// asker asks the server that a stream reads, through a connection of its own. It
// connects again by itself, as long as the server is the same one.
type asker struct {
	source  *source
	host    *pgx.ConnConfig
	started time.Time     // of the server
	raw     bool          // the database does not know what its texts are encoded in (SQL_ASCII)
	turn    chan struct{} // holds a token while nobody asks
	conn    *pgx.Conn     // nil: not connected
}

// errOther says that a connection was made to a server that was started anew.
var errOther = errors.New("the server was started again")

func (s *source) asker(ctx context.Context) (*asker, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, host, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	a := &asker{source: s, host: host, conn: conn, turn: make(chan struct{}, 1)}
	a.turn <- struct{}{}
	if a.started, err = startOf(ctx, conn); err == nil {
		err = conn.QueryRow(ctx, `select current_setting('server_encoding') = 'SQL_ASCII'`).Scan(&a.raw)
	}
	if err != nil {
		a.close()
		return nil, s.hidden(err)
	}
	return a, nil
}

// beside returns an asker of the same server with a connection of its own, which it makes
// when it is first asked: who waits for its answers does not wait for another's.
func (a *asker) beside() *asker {
	b := &asker{source: a.source, host: a.host, started: a.started, raw: a.raw, turn: make(chan struct{}, 1)}
	b.turn <- struct{}{}
	return b
}

func startOf(ctx context.Context, conn *pgx.Conn) (at time.Time, err error) {
	err = conn.QueryRow(ctx, `select pg_postmaster_start_time()`).Scan(&at)
	return at, err
}

// do runs a question. One is asked at a time.
func (a *asker) do(ctx context.Context, question func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	select {
	case <-a.turn:
		defer func() { a.turn <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if a.conn == nil || a.conn.IsClosed() {
		if err := a.connect(ctx); err != nil {
			return err
		}
	}
	return a.source.hidden(question(ctx, a.conn))
}

func (a *asker) connect(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, a.host.Copy())
	if err != nil {
		return a.source.hidden(err)
	}
	at, err := startOf(ctx, conn)
	if err == nil && !at.Equal(a.started) {
		err = errOther
	}
	if err != nil {
		closeConn(conn)
		return err
	}
	a.conn = conn
	return nil
}

func (a *asker) close() {
	<-a.turn
	if a.conn != nil {
		closeConn(a.conn)
	}
	a.turn <- struct{}{}
}

func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn.Close(ctx) // what cannot be closed in good order is dropped
}

// position returns where the log is written next: whatever was committed lies before,
// also when its session did not wait for the disk (synchronous_commit off).
func (a *asker) position(ctx context.Context) (p effects.Position, err error) {
	var text string
	err = a.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `select pg_current_wal_insert_lsn()::text`, pgx.QueryExecModeCacheStatement).Scan(&text)
	})
	if err != nil {
		return 0, err
	}
	return parseLSN(text)
}

// push has the log written to the disk up to a position, if it is not: a commit of
// this session, which waits for the disk, takes everything before it along. Only
// what is on the disk is streamed.
func (a *asker) push(ctx context.Context, to effects.Position) error {
	return a.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `select pg_logical_emit_message(true, 'parallax.barrier', '') where pg_current_wal_flush_lsn() < $1::text::pg_lsn`, lsn(to))
		return err
	})
}

// dropSlots ends the sessions that hold slots of ours, and returns when the slots are
// gone, and with them a process of the server that read one; 0 is none.
func (a *asker) dropSlots(ctx context.Context, slots []string, process uint32) error {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		var left int
		err := a.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			return conn.QueryRow(ctx, `
				select (select count(*) from (
					select case when active_pid is null then true else pg_terminate_backend(active_pid) end
					from pg_replication_slots where slot_name = any($1::text[])) ended)
				+ (select count(*) from pg_stat_replication where pid::int8 = $2::int8)`, slots, int64(process)).Scan(&left)
		})
		if err != nil || left == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d replication slots or their processes are still there: %w", left, ctx.Err())
		case <-again.C:
		}
	}
}

// dropSlotsSoon is dropSlots for slots of earlier sessions. What the server cannot end in
// leaveTime is tried again later.
func (a *asker) dropSlotsSoon(ctx context.Context, slots []string) error {
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	return a.dropSlots(ctx, slots, 0)
}

// retained returns how many bytes of its log the server keeps for a slot, also while that is
// being made; 0 if there is no such slot.
func (a *asker) retained(ctx context.Context, slot string) (bytes int64, err error) {
	err = a.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `
			select coalesce((select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn) from pg_replication_slots where slot_name = $1), 0)::int8`, slot).Scan(&bytes)
	})
	return bytes, err
}

// blockers says which transactions the creation of a slot waits for.
func (a *asker) blockers(ctx context.Context) (text string, err error) {
	err = a.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `
			select coalesce(string_agg(format('process %s (%s, open for %s s)', pid, application_name, extract(epoch from now() - xact_start)::int), ', ' order by xact_start), '')
			from (select * from pg_stat_activity where backend_xid is not null and pid <> pg_backend_pid() order by xact_start limit 3) open`).Scan(&text)
	})
	return text, err
}
