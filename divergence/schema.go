package divergence

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// migration is one numbered file of statements.
type migration struct {
	version    uint32
	name       string
	statements []string
}

// migrations reads the embedded files in the order of their numbers.
func migrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "schema/*.sql")
	if err != nil {
		return nil, fmt.Errorf("cannot list schema files: %w", err)
	}
	var out []migration
	for i, name := range names {
		digits, _, _ := strings.Cut(strings.TrimPrefix(name, "schema/"), "_")
		version, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || version != uint64(i)+1 {
			return nil, fmt.Errorf("schema file %q: want number %04d before the underscore", name, i+1)
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("cannot read schema file %q: %w", name, err)
		}
		out = append(out, migration{uint32(version), name, statements(string(text))})
	}
	return out, nil
}

// statements splits a file at semicolons that end a line and drops comments.
func statements(text string) []string {
	var out []string
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "--") {
			continue
		}
		b.WriteString(line)
		if trimmed := strings.TrimRight(line, "\r\n\t "); strings.HasSuffix(trimmed, ";") {
			statement := strings.TrimSuffix(strings.TrimSpace(b.String()), ";")
			out = append(out, strings.TrimSpace(statement))
			b.Reset()
		}
	}
	if rest := strings.TrimSpace(b.String()); rest != "" {
		out = append(out, rest)
	}
	return out
}

const versionTable = `CREATE TABLE IF NOT EXISTS schema_version
(
    version UInt32,
    at      DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY version`

// Migrate makes the database and brings its schema up to the newest version this
// Parallax knows. It may be called again at any time, also by several processes
// at once. It fails with [ErrAway] while the store cannot be reached, and with
// [ErrNewerSchema] when a newer Parallax wrote the store.
func (s *Store) Migrate(ctx context.Context) error {
	list, err := migrations(schemaFiles)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	if err := s.createDatabase(ctx); err != nil {
		return fmt.Errorf("cannot make database %s: %w", s.database, away(ctx, err))
	}
	if err := s.conn.Exec(ctx, versionTable); err != nil {
		return fmt.Errorf("cannot make table schema_version: %w", away(ctx, err))
	}
	defer s.shapes.forget()
	return s.apply(ctx, list)
}

// createDatabase uses a connection of its own, because one that names a database
// fails as long as there is none.
func (s *Store) createDatabase(ctx context.Context) error {
	opts := s.opts
	opts.Auth.Database = ""
	conn, err := clickhouse.Open(&opts)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+quoteName(s.database))
}

func quoteName(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// apply runs the migrations that the store has not seen.
func (s *Store) apply(ctx context.Context, list []migration) error {
	have, err := schemaVersion(ctx, s.conn)
	if err != nil {
		return err
	}
	newest := list[len(list)-1].version
	if have > newest {
		return fmt.Errorf("%w: it is at version %d, this Parallax knows up to %d; run the newer release, or give this one another store", ErrNewerSchema, have, newest)
	}
	for _, m := range list[have:] {
		for _, statement := range m.statements {
			if err := s.conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("cannot apply %s: %w", m.name, away(ctx, err))
			}
		}
		if err := s.conn.Exec(ctx, fmt.Sprintf("INSERT INTO schema_version (version) SETTINGS async_insert = 0 VALUES (%d)", m.version)); err != nil {
			return fmt.Errorf("cannot note schema version %d: %w", m.version, away(ctx, err))
		}
	}
	return nil
}

// schemaVersion returns the version of the store, 0 when it is empty.
func schemaVersion(ctx context.Context, conn driver.Conn) (uint32, error) {
	var version uint32
	if err := conn.QueryRow(ctx, "SELECT max(version) FROM schema_version").Scan(&version); err != nil {
		return 0, fmt.Errorf("cannot read the schema version: %w", away(ctx, err))
	}
	return version, nil
}
