package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Identity returns what is the same for two sources of one database, whatever their
// connection strings call it, or "" where the database does not say.
func Identity(ctx context.Context, s Source) (identity string) {
	s.ask(ctx, func(ctx context.Context, conn *pgx.Conn, _ *source) error {
		return conn.QueryRow(ctx, `select system_identifier || ' ' || (select oid from pg_database where datname = current_database()) from pg_control_system()`).Scan(&identity)
	})
	return identity
}

// Columns returns the columns of each table that is there, by the table's name as in
// [effects.Change], and whether the log has them: it has no generated ones. It is nil where
// the database does not say.
func Columns(ctx context.Context, s Source) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	asked := s.ask(ctx, func(ctx context.Context, conn *pgx.Conn, src *source) error {
		for _, t := range src.tables {
			rows, err := conn.Query(ctx, `
				select a.attname, a.attgenerated = '' from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
				where n.nspname = $1 and c.relname = $2 and a.attnum > 0 and not a.attisdropped`, t.schema, t.table)
			if err != nil {
				return err
			}
			var column string
			var logged bool
			columns := map[string]bool{}
			if _, err = pgx.ForEachRow(rows, []any{&column, &logged}, func() error { columns[column] = logged; return nil }); err != nil {
				return err
			}
			if len(columns) > 0 {
				out[t.String()] = columns
			}
		}
		return nil
	})
	if !asked {
		return nil
	}
	return out
}

// ask asks the database something, and reports whether it answered.
func (s Source) ask(ctx context.Context, question func(context.Context, *pgx.Conn, *source) error) bool {
	src, faults := s.read()
	if len(faults) > 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, _, err := src.connect(ctx)
	if err != nil {
		return false
	}
	defer closeConn(conn)
	return question(ctx, conn, &src) == nil
}
