package divergence

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Errors a caller branches on.
var (
	// ErrAway says that the store cannot be reached or is not ready; the same
	// call may work later.
	ErrAway = errors.New("the store is away")
	// ErrNewerSchema says that a newer Parallax wrote the store. It does not
	// pass by waiting.
	ErrNewerSchema = errors.New("the store has a newer schema")
	// ErrNotFound says that the store holds nothing by that name, or no longer.
	ErrNotFound = errors.New("not in the store")
)

// DefaultDatabase is the database used when the options name none. The engine
// inside reads files named like a table in place of the tables of "default", so
// that name is never used.
const DefaultDatabase = "parallax"

const (
	queryTimeout   = 20 * time.Second
	insertTimeout  = 30 * time.Second
	migrateTimeout = 60 * time.Second
)

// Store is ClickHouse: the engine inside, a server or a cluster's entry, by the
// same client and the same SQL. It may be used by many goroutines.
type Store struct {
	opts     clickhouse.Options
	database string
	conn     driver.Conn
	shapes   shapes
}

// Open returns a store without connecting: it fails only when the options
// cannot be used. Call [Store.Migrate], or let a [Recorder] do so, before asking
// it anything.
func Open(opts *clickhouse.Options) (*Store, error) {
	s := &Store{opts: *opts, database: opts.Auth.Database}
	if s.database == "" || s.database == "default" {
		s.database = DefaultDatabase
	}
	s.opts.Auth.Database = s.database
	conn, err := clickhouse.Open(&s.opts)
	if err != nil {
		return nil, fmt.Errorf("cannot use the store's address: %w", err)
	}
	s.conn = conn
	return s, nil
}

// Close closes idle connections.
func (s *Store) Close() error { return s.conn.Close() }

// Ping returns nil when the store answers and is migrated, and an error that
// wraps [ErrAway] otherwise.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	_, err := schemaVersion(ctx, s.conn)
	return err
}

// notReady are the codes of ClickHouse's exceptions that pass by waiting:
// timeouts, memory and query limits, the network, a database or table that is
// not made yet, a directory locked by another process.
var notReady = map[int32]bool{
	60: true, 76: true, 81: true, 159: true, 160: true, 202: true, 209: true, 210: true, 241: true, 279: true, 394: true,
}

// away wraps an error with ErrAway unless the store itself answered that the
// statement is wrong, or the caller gave up.
func away(ctx context.Context, err error) error {
	var exception *clickhouse.Exception
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), context.Canceled):
		return err
	case errors.As(err, &exception) && exception.Code != 0 && !notReady[exception.Code]:
		return err
	}
	return &awayError{err}
}

// awayError is ErrAway with its cause. For people it leaves out which request of
// the client failed: "the store is away: the engine is starting".
type awayError struct{ err error }

func (e *awayError) Error() string { return ErrAway.Error() + ": " + cause(e.err).Error() }

func (e *awayError) Unwrap() []error { return []error{ErrAway, e.err} }

// cause returns what went wrong below the client: why there was no answer, or
// what the store answered.
func cause(err error) error {
	if request := (*url.Error)(nil); errors.As(err, &request) {
		return request.Err
	}
	if exception := (*clickhouse.Exception)(nil); errors.As(err, &exception) {
		return exception
	}
	return err
}

// where collects the conditions of a query and their parameters.
type where struct {
	conditions []string
	args       []any
}

// forService begins the conditions of a question about a service.
func forService(service string) *where {
	return new(where).and("service = {service:String}", "service", service)
}

// and adds a condition with pairs of parameter name and value.
func (w *where) and(condition string, pairs ...any) *where {
	w.conditions = append(w.conditions, condition)
	for i := 0; i+1 < len(pairs); i += 2 {
		w.args = append(w.args, clickhouse.Named(pairs[i].(string), pairs[i+1]))
	}
	return w
}

// within adds the window over a column that holds times.
func (w *where) within(column string, win Window) *where {
	win = win.minutes()
	if !win.From.IsZero() {
		w.and(column+" >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')", "from", win.From.UnixMilli())
	}
	if !win.To.IsZero() {
		w.and(column+" < fromUnixTimestamp64Milli({to:Int64}, 'UTC')", "to", win.To.UnixMilli())
	}
	return w
}

// equal adds column = value unless the value is empty.
func (w *where) equal(column, value string) *where {
	if value == "" {
		return w
	}
	return w.and(column+" = {"+column+":String}", column, value)
}

func (w *where) String() string { return "WHERE " + strings.Join(w.conditions, " AND ") }

// each runs a query and calls scan for every row.
func (s *Store) each(ctx context.Context, query string, args []any, scan func(driver.Rows) error) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"do_not_merge_across_partitions_select_final": 1, // a row and its repeat have the same day
	}))
	rows, err := s.conn.Query(ctx, query, args...)
	if err != nil {
		return away(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return fmt.Errorf("cannot read a row: %w", err)
		}
	}
	return away(ctx, rows.Err())
}

// limit returns the asked number of rows within its bounds.
func limit(asked, byDefault, most int) int {
	if asked <= 0 {
		return byDefault
	}
	return min(asked, most)
}
