package data

import (
	"context"
	"fmt"
	"io/fs"
	"path"

	"github.com/jackc/pgx/v5"
)

// migrationLock is the advisory lock that lets one process migrate at a time.
const migrationLock = 0x70617261 // "para"

// Migrate applies the *.sql files of a folder that were not applied yet, in the
// order of their names, all in one transaction. Files are known by
// FOLDER/NAME: what was applied is never applied again.
func (d *DB) Migrate(ctx context.Context, folder string, files fs.FS) error {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return err
	}
	tx, err := d.pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("cannot migrate the database: %w", err)
	}
	defer rollback(ctx, tx)
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, migrationLock); err != nil {
		return fmt.Errorf("cannot migrate the database: %w", err)
	}
	if _, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS shop_migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())`); err != nil {
		return fmt.Errorf("cannot migrate the database: %w", err)
	}
	for _, name := range names { // sorted
		if err := apply(ctx, tx, path.Join(folder, name), files, name); err != nil {
			return fmt.Errorf("cannot apply the migration %s/%s: %w", folder, name, err)
		}
	}
	return tx.Commit(ctx)
}

func apply(ctx context.Context, tx pgx.Tx, known string, files fs.FS, name string) error {
	tag, err := tx.Exec(ctx, `INSERT INTO shop_migrations (name) VALUES ($1) ON CONFLICT DO NOTHING`, known)
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, string(text), pgx.QueryExecModeSimpleProtocol) // several statements at once
	return err
}
