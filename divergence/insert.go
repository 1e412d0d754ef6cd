package divergence

import (
	"context"
	"fmt"
	"sync"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// insert writes n rows in one block, whole or not at all. A token that was used
// for the table before makes it succeed without writing, so that a caller who
// did not hear the answer may send the same rows again. Values stand in the
// order of the table's columns.
func (s *Store) insert(ctx context.Context, table, token string, n int, row func(b driver.Batch, i int) error) error {
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	columns, err := s.shapes.of(ctx, s, table)
	if err != nil {
		return fmt.Errorf("cannot read the columns of %s: %w", table, away(ctx, err))
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithColumnNamesAndTypes(columns), clickhouse.WithSettings(clickhouse.Settings{
		"async_insert":               0, // on by default, and blind to tokens
		"insert_deduplicate":         1,
		"insert_deduplication_token": token,
		"optimize_on_insert":         0, // rows are written as they are, and merged when parts are: BenchmarkWrite
	}))
	batch, err := s.conn.PrepareBatch(ctx, "INSERT INTO "+table)
	if err != nil {
		return fmt.Errorf("cannot begin an insert into %s: %w", table, away(ctx, err))
	}
	defer batch.Close()
	for i := range n {
		if err := row(batch, i); err != nil {
			return fmt.Errorf("cannot encode a row of %s: %w", table, err)
		}
	}
	if err := batch.Send(); err != nil {
		s.shapes.forget()
		return fmt.Errorf("cannot insert into %s: %w", table, away(ctx, err))
	}
	return nil
}

// shapes remembers the columns of tables. Over HTTP the client would ask for them
// before every insert, which costs the engine as much as writing a thousand rows.
type shapes struct {
	mu      sync.Mutex
	columns map[string][]clickhouse.ColumnNameAndType // by table
}

// of returns the columns of a table in their order, nil where the protocol
// brings them along.
func (h *shapes) of(ctx context.Context, s *Store, table string) ([]clickhouse.ColumnNameAndType, error) {
	if s.opts.Protocol != clickhouse.HTTP {
		return nil, nil
	}
	h.mu.Lock()
	list := h.columns[table]
	h.mu.Unlock()
	if list != nil {
		return list, nil
	}
	err := s.each(ctx, "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String} ORDER BY position",
		[]any{clickhouse.Named("table", table)}, func(rows driver.Rows) error {
			var c clickhouse.ColumnNameAndType
			if err := rows.Scan(&c.Name, &c.Type); err != nil {
				return err
			}
			list = append(list, c)
			return nil
		})
	if err != nil || len(list) == 0 {
		return nil, err // a table that is not there: the insert says so
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.columns == nil {
		h.columns = map[string][]clickhouse.ColumnNameAndType{}
	}
	h.columns[table] = list
	return list, nil
}

// forget makes the columns be read again: after a failure the store may be
// another one, and after a migration a table another.
func (h *shapes) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.columns = nil
}
