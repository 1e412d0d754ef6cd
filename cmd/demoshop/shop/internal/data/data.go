package data

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Mark is how transactions say which request they belong to.
type Mark string

// The ways to mark transactions.
const (
	Unmarked Mark = ""
	Tag      Mark = "tag"      // a logical message with the exchange's id
	Comments Mark = "comments" // a comment with the traceparent on each statement that writes
)

// IDs is where the ids of new rows come from.
type IDs string

// The sources of ids.
const (
	OwnIDs   IDs = "own"   // sequences and random numbers of the version's own
	GivenIDs IDs = "given" // computed from the request, the same in both versions
)

// Options say how a database is used.
type Options struct {
	Mark Mark
	IDs  IDs
	Dry  bool // roll back what shadow requests write
}

// DB is a pool of connections to one database.
type DB struct {
	Options
	pool *pgxpool.Pool
}

// patience is how long opening the database, or rolling back, may take.
const patience = 10 * time.Second

// connections is the size of the pool where the DSN has no pool_max_conns.
const connections = 16

// Open connects to the database. Its errors do not show the DSN's password.
func Open(ctx context.Context, dsn string, o Options) (*DB, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("cannot read the DSN: %w", err)
	}
	if !strings.Contains(dsn, "pool_max_conns") {
		config.MaxConns = connections
	}
	if o.Mark == Comments { // no two commented statements are alike: preparing them would fill the cache for nothing
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("cannot open the database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("cannot open the database: %w", err)
	}
	return &DB{Options: o, pool: pool}, nil
}

// Close closes all connections, those in use as soon as they are given back.
func (d *DB) Close() { d.pool.Close() }

// Ping tells whether the database answers.
func (d *DB) Ping(ctx context.Context) error { return d.pool.Ping(ctx) }

// Query reads outside of a transaction.
func (d *DB) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return d.pool.Query(ctx, sql, prepared(args)...)
}

// QueryRow reads one row outside of a transaction.
func (d *DB) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return d.pool.QueryRow(ctx, sql, prepared(args)...)
}

// prepared has a statement be prepared, once on each connection.
func prepared(args []any) []any {
	return append([]any{pgx.QueryExecModeCacheStatement}, args...)
}

// commented returns the statement with the comment that the marks ask for.
func (d *DB) commented(ctx context.Context, sql string) string {
	if trace := From(ctx).Traceparent; d.Mark == Comments && trace != "" && writes(sql) {
		return sql + " /*traceparent='" + trace + "'*/"
	}
	return sql
}

// writes reports whether a statement of the shop's changes rows.
func writes(sql string) bool {
	verb, _, _ := strings.Cut(sql, " ")
	return verb == "INSERT" || verb == "UPDATE" || verb == "DELETE"
}

// Write runs f in one transaction, marked as the request in ctx says, and commits
// it unless f fails. Where shadows are dry, the work of a shadow is rolled back.
func (d *DB) Write(ctx context.Context, f func(*Tx) error) error {
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // one that is still in a transaction is closed
	t := &Tx{db: d, conn: conn, ctx: ctx, later: &pgx.Batch{}, made: map[string]int{}}
	t.queue("BEGIN")
	if exchange := From(ctx).Exchange; d.Mark == Tag && exchange != "" {
		t.queue(`SELECT pg_logical_emit_message(true, 'parallax', $1)`, exchange)
	}
	if err := f(t); err != nil {
		t.giveUp()
		return err
	}
	how := "COMMIT"
	if d.Undone(ctx) {
		how = "ROLLBACK"
	}
	if err := t.end(how); err != nil {
		t.giveUp()
		return err
	}
	return nil
}

// rollback ends a transaction that was not committed, also when ctx is over. A
// connection that fails at it, or takes too long, is dropped.
func rollback(ctx context.Context, tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	_ = tx.Rollback(ctx)
}

// Undone says that whatever the request in ctx writes is rolled back.
func (d *DB) Undone(ctx context.Context) bool { return d.Dry && From(ctx).Shadow }

// IsDuplicate says that a row could not be written since its key is taken.
func IsDuplicate(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == "23505"
}

// IsAway says that the database cannot be reached, or is just starting or
// stopping.
func IsAway(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return strings.HasPrefix(e.Code, "57P") || strings.HasPrefix(e.Code, "08") || e.Code == "53300"
	}
	var dial *pgconn.ConnectError
	return errors.As(err, &dial) || pgconn.SafeToRetry(err) || isBroken(err)
}
