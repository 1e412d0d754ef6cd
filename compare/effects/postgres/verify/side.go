package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parallax"
	"parallax/compare/effects/postgres"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

type pgxConn = pgx.Conn

// maxSnapshot is how long one snapshot is kept where none has to be: it keeps the
// database from cleaning up behind it.
const maxSnapshot = time.Minute

// side is one database.
type side struct {
	leg     parallax.Leg
	source  postgres.Source
	conn    *pgx.Conn
	commits bool   // it keeps the times of commits
	hash    string // how a text is hashed, with %s for the text
	probe   int64

	tx      pgx.Tx // nil: there is no snapshot
	since   time.Time
	horizon string // the first transaction that had not begun with the first snapshot
}

// Ways to hash a text to 64 bits. The first is 40 times as fast, and is the same in all
// versions known; whether two servers agree is asked.
const (
	fastHash  = `hashtextextended(%s collate "C", 0)`
	plainHash = `('x' || left(md5(%s), 16))::bit(64)::int8`
)

func newSide(ctx context.Context, leg parallax.Leg, source postgres.Source, o *Options) (*side, error) {
	conn, err := source.Open(ctx)
	if err != nil {
		return nil, err
	}
	s := &side{leg: leg, source: source, conn: conn, hash: fastHash}
	_, err = conn.Exec(ctx, fmt.Sprintf("set statement_timeout = %d", o.Statement.Milliseconds()))
	if err == nil {
		err = conn.QueryRow(ctx, `select current_setting('track_commit_timestamp') = 'on', `+fmt.Sprintf(fastHash, "'(1,\"zwölf Ähren\",,\"{\"\"a\"\": 1}\")'")).Scan(&s.commits, &s.probe)
	}
	if err != nil {
		s.close()
		return nil, source.Hidden(err)
	}
	return s, nil
}

// agreeOnHash takes the fast hash where both servers compute the same.
func agreeOnHash(sides [2]*side) {
	if sides[primary].probe != sides[candidate].probe {
		sides[primary].hash, sides[candidate].hash = plainHash, plainHash
	}
}

func (s *side) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.conn.Close(ctx) // it only read
}

// begin takes a snapshot, after giving back the one that it has.
func (s *side) begin(ctx context.Context, now time.Time) (err error) {
	s.end()
	s.tx, err = s.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	s.since = now
	var horizon string
	err = s.tx.QueryRow(ctx, `select (pg_snapshot_xmax(pg_current_snapshot())::text::int8 % 4294967296)::text`).Scan(&horizon)
	if s.horizon == "" {
		s.horizon = horizon
	}
	return err
}

func (s *side) end() {
	if s.tx == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.tx.Rollback(ctx) // it only read
	s.tx = nil
}

// tooSlow reports whether a statement was ended because it took too long.
func tooSlow(err error) bool { return hasCode(err, "57014") }

// refusesJSON reports whether a json was no jsonb.
func refusesJSON(err error) bool { return hasCode(err, "22P05", "22P02", "22003") }

func hasCode(err error, codes ...string) bool {
	var server *pgconn.PgError
	code := postgres.Code(err)
	if errors.As(err, &server) {
		code = server.Code
	}
	for _, each := range codes {
		if code == each {
			return true
		}
	}
	return false
}
