package divergence

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"parallax"
)

// aboutID is how far the time in an exchange's id and its receipt may lie apart.
const aboutID = time.Hour

// Stored returns which of the exchanges are in the store, compared: of a worker that was
// killed nobody knows otherwise whether it was before or after its last batch. It fails with
// [ErrAway] while the store is away.
func (s *Store) Stored(ctx context.Context, ids []parallax.ID) (map[parallax.ID]bool, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	names := make([]string, len(ids))
	w := Window{From: ids[0].Time(), To: ids[0].Time()}
	for i, id := range ids {
		names[i] = id.String()
		if at := id.Time(); at.Before(w.From) {
			w.From = at
		} else if at.After(w.To) {
			w.To = at
		}
	}
	cond := new(where).within("received", Window{From: w.From.Add(-aboutID), To: w.To.Add(aboutID)}).and("has({ids:Array(String)}, toString(id))", "ids", names)
	out := map[parallax.ID]bool{}
	err := s.each(ctx, `SELECT DISTINCT id FROM comparisons `+cond.String(), cond.args, func(rows driver.Rows) error {
		var id uuid.UUID
		err := rows.Scan(&id)
		out[parallax.ID(id)] = true
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot look for exchanges: %w", err)
	}
	return out, nil
}
