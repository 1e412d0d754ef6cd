package divergence

import (
	"context"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// PlaceFilter chooses the values of differences: those at one normalised path of
// an endpoint, of one kind. Limit defaults to 200 and is capped at 1 000.
type PlaceFilter struct {
	Window
	Endpoint string
	Path     string // the normalised path
	Kind     string
	Limit    int
}

// PlaceValues returns what primary and candidate had at a place, the latest first, of
// differences that count or are noise. They are redacted, and written as
// [compare.Difference] says.
func (s *Store) PlaceValues(ctx context.Context, service string, f PlaceFilter) ([][2]string, error) {
	cond := forService(service).within("received", f.Window).equal("endpoint", f.Endpoint).equal("normal", f.Path).equal("kind", f.Kind)
	cond.and("suppressed_by IN ('', 'noise')")
	var out [][2]string
	err := s.each(ctx, fmt.Sprintf(`SELECT primary, candidate FROM divergences FINAL %s ORDER BY received DESC, id, n LIMIT %d`,
		cond, limit(f.Limit, 200, 1000)), cond.args, func(rows driver.Rows) error {
		var pair [2]string
		err := rows.Scan(&pair[0], &pair[1])
		out = append(out, pair)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the values of differences: %w", err)
	}
	return out, nil
}
