package divergence

import (
	"context"
	"fmt"

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
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"async_insert":               0, // on by default, and blind to tokens
		"insert_deduplicate":         1,
		"insert_deduplication_token": token,
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
		return fmt.Errorf("cannot insert into %s: %w", table, away(ctx, err))
	}
	return nil
}
