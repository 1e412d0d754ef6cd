package divergence

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// insert writes n rows in one block, whole or not at all. A token that was used
// for the table before makes it succeed without writing, so that a caller who
// did not hear the answer may send the same rows again. Values stand in the
// order of the table's columns.
func (s *Store) insert(ctx context.Context, table, token string, n int, row func(b driver.Batch, i int) error) error {
	return s.send(ctx, table, token, nil, func(b driver.Batch) error {
		for i := range n {
			if err := row(b, i); err != nil {
				return err
			}
		}
		return nil
	})
}

// insertColumns does the same with rows that are given column by column.
func (s *Store) insertColumns(ctx context.Context, table, token string, all []column) error {
	list, names := filled(all)
	return s.send(ctx, table, token, names, func(b driver.Batch) error {
		return fillAll(list, func(i int) cells { return b.Column(i) })
	})
}

// send begins an insert into the named columns, all if there are none, has them
// filled and sends them.
func (s *Store) send(ctx context.Context, table, token string, names []string, fill func(driver.Batch) error) error {
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	columns, err := s.shapes.of(ctx, s, table, names)
	if err != nil {
		return fmt.Errorf("cannot read the columns of %s: %w", table, away(ctx, err))
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithColumnNamesAndTypes(columns), clickhouse.WithSettings(clickhouse.Settings{
		"async_insert":               0, // on by default, and blind to tokens
		"insert_deduplicate":         1,
		"insert_deduplication_token": token,
		"optimize_on_insert":         0, // rows are written as they are, and merged when parts are: BenchmarkWrite
	}))
	into := table
	if len(names) > 0 {
		into += " (" + strings.Join(names, ", ") + ")"
	}
	batch, err := s.conn.PrepareBatch(ctx, "INSERT INTO "+into)
	if err != nil {
		return fmt.Errorf("cannot begin an insert into %s: %w", table, away(ctx, err))
	}
	defer batch.Close()
	if err := fill(batch); err != nil {
		s.shapes.forget() // they may be those of before a migration
		return fmt.Errorf("cannot encode rows of %s: %w", table, err)
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

// of returns the named columns of a table, all in their order if there are no
// names, and nil where the protocol brings them along.
func (h *shapes) of(ctx context.Context, s *Store, table string, names []string) ([]clickhouse.ColumnNameAndType, error) {
	if s.opts.Protocol != clickhouse.HTTP {
		return nil, nil
	}
	all, err := h.all(ctx, s, table)
	if err != nil || len(names) == 0 || len(all) == 0 {
		return all, err
	}
	list := make([]clickhouse.ColumnNameAndType, len(names))
	for i, name := range names {
		at := slices.IndexFunc(all, func(c clickhouse.ColumnNameAndType) bool { return c.Name == name })
		if at < 0 {
			h.forget()
			return nil, fmt.Errorf("there is no column %s", name)
		}
		list[i] = all[at]
	}
	return list, nil
}

// all returns the columns of a table in their order.
func (h *shapes) all(ctx context.Context, s *Store, table string) ([]clickhouse.ColumnNameAndType, error) {
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
