package postgres

import (
	"context"
	_ "embed" // the trigger's function
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed trigger.sql
var triggerSQL string

// triggerName is the name of the trigger on each table.
const triggerName = "parallax_tag"

// lockTimeout bounds how long a change of a table waits for those who use it, and how
// long those who come later wait behind it.
const lockTimeout = "2s"

// InstallSQL returns the statements of [Install] for people to read and run. Running
// them again changes nothing.
func InstallSQL(s Source) (string, error) {
	src, err := s.ready()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(triggerSQL)
	fmt.Fprintf(&b, "\n-- A trigger waits for open transactions that changed its table.\nSET lock_timeout = '%s';\n", lockTimeout)
	for _, each := range src.tables {
		b.WriteString(createTrigger(each) + ";\n")
	}
	return b.String(), nil
}

// UninstallSQL returns the statements of [Uninstall], for people to read and run.
// Without tables it drops the triggers with their function, all at once.
func UninstallSQL(s Source) (string, error) {
	src, faults := s.read()
	if err := asError(faults); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "SET lock_timeout = '%s';\n", lockTimeout)
	for _, each := range src.tables {
		fmt.Fprintf(&b, "DROP TRIGGER IF EXISTS %s ON %s;\n", triggerName, each.written())
	}
	with := ""
	if len(src.tables) == 0 {
		with = " CASCADE"
	}
	fmt.Fprintf(&b, "DROP FUNCTION IF EXISTS parallax.tag()%s;\nDROP SCHEMA IF EXISTS parallax;\nDROP PUBLICATION IF EXISTS %s;\n", with, plain(src.publication))
	return b.String(), nil
}

func createTrigger(n name) string {
	return "CREATE OR REPLACE TRIGGER " + triggerName + " BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON " + n.written() + " FOR EACH STATEMENT EXECUTE FUNCTION parallax.tag()"
}

// Install makes every statement that changes one of the tables write into its
// transaction which exchange it belongs to, for services that carry nothing but
// comments (sqlcommenter) or set parallax.exchange. The role needs to own the
// tables, or TRIGGER on them, and CREATE in the database. Each table is a transaction of its own;
// one that is locked for more than two seconds fails, and Install may be run again.
func Install(ctx context.Context, s Source) error {
	src, err := s.ready()
	if err != nil {
		return err
	}
	return src.change(ctx, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, triggerSQL, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("cannot create the trigger's function: %w", err)
		}
		var errs []error
		for _, each := range src.tables {
			if _, err := conn.Exec(ctx, createTrigger(each)); err != nil {
				errs = append(errs, fmt.Errorf("cannot create the trigger of %s: %w", each, err))
			}
		}
		return errors.Join(errs...)
	})
}

// Uninstall removes what Install made, from whichever tables it was put on (the source
// need not list them), and the publication. It stops at what the role may not remove. A
// reader that is at work meanwhile has a gap, and makes its publication again.
func Uninstall(ctx context.Context, s Source) error {
	src, faults := s.read()
	if err := asError(faults); err != nil {
		return err
	}
	return src.change(ctx, func(conn *pgx.Conn) error {
		tables, err := triggered(ctx, conn)
		if err != nil {
			return fmt.Errorf("cannot read which tables have the trigger: %w", err)
		}
		var errs []error
		for _, each := range tables {
			if _, err := conn.Exec(ctx, "DROP TRIGGER IF EXISTS "+triggerName+" ON "+each); err != nil {
				errs = append(errs, fmt.Errorf("cannot drop the trigger of %s: %w", each, err))
			}
		}
		if len(errs) > 0 {
			return errors.Join(errs...)
		}
		for _, each := range []string{"DROP FUNCTION IF EXISTS parallax.tag()", "DROP SCHEMA IF EXISTS parallax", "DROP PUBLICATION IF EXISTS " + quoted(src.publication)} {
			if _, err := conn.Exec(ctx, each); err != nil {
				errs = append(errs, fmt.Errorf("cannot %s: %w", each, err))
			}
		}
		return errors.Join(errs...)
	})
}

// triggered lists the tables that have the trigger, as statements need them.
func triggered(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, `
		select quote_ident(n.nspname) || '.' || quote_ident(c.relname)
		from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
		where t.tgname = $1 and t.tgparentid = 0 order by 1`, triggerName)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// change does something to the database of a source.
func (s *source) change(ctx context.Context, do func(*pgx.Conn) error) error {
	s.config.RuntimeParams["lock_timeout"] = lockTimeout
	s.config.RuntimeParams["search_path"] = "public" // as for the statements that are printed
	conn, _, err := s.connect(ctx)
	if err != nil {
		return fmt.Errorf("cannot connect: %w", err)
	}
	defer closeConn(conn)
	return s.hidden(do(conn))
}
