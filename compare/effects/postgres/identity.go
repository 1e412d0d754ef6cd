package postgres

import "context"

// Identity returns what is the same for two sources of one database, whatever their
// connection strings call it, or "" where the database does not say.
func Identity(ctx context.Context, s Source) string {
	src, faults := s.read()
	if len(faults) > 0 {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, _, err := src.connect(ctx)
	if err != nil {
		return ""
	}
	defer closeConn(conn)
	var identity string
	err = conn.QueryRow(ctx, `select system_identifier || ' ' || (select oid from pg_database where datname = current_database()) from pg_control_system()`).Scan(&identity)
	if err != nil {
		return ""
	}
	return identity
}
