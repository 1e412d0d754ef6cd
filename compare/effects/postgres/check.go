package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"parallax"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// oldest is the first version whose log carries messages.
const oldest = 140000

// Away begins the text of the fault of a database that nobody could reach from here.
const Away = "cannot connect"

// Check asks a database for all that reading it needs, and returns what is missing:
// each fault with the SQL that mends it and whether the server has to be started
// again. Nothing in the database is changed. Paths are those of [Source.Validate].
func Check(ctx context.Context, s Source) []parallax.Fault {
	src, faults := s.parse()
	if len(faults) > 0 {
		return faults
	}
	ctx, cancel := context.WithTimeout(ctx, 2*connectTimeout)
	defer cancel()
	conn, host, err := src.connect(ctx)
	if err != nil {
		text := "does not take the connection"
		if f, ok := err.(*failure); ok && f.away {
			text = Away
		}
		return []parallax.Fault{{Path: "postgres", Text: text + ": " + err.Error(), Hint: connectHint(err)}}
	}
	defer closeConn(conn)
	server, err := inspectServer(ctx, conn)
	if err != nil {
		return []parallax.Fault{{Path: "postgres", Text: "cannot ask the server: " + src.hidden(err).Error()}}
	}
	if faults = server.faults(); server.version < oldest {
		return faults // the catalogue of another age is of no use
	}
	if f := src.tryReplication(ctx, host, server); f != nil {
		faults = append(faults, *f)
	}
	st, err := src.inspect(ctx, conn)
	if err != nil {
		return append(faults, parallax.Fault{Path: "tables", Text: "cannot read the catalogue: " + err.Error()})
	}
	return append(faults, src.faults(st, s.Tables)...)
}

func connectHint(err error) string {
	switch code(err) {
	case "28000", "28P01":
		return "the role, its password or pg_hba.conf refuses it"
	case "3D000":
		return "name a database of that server"
	case "53300":
		return "the server has no connection left: raise max_connections (restart), or end what is idle"
	case "08P01", "0A000", "42704":
		return "connect to the server itself, not to a pooler"
	}
	return ""
}

// server is what the server's settings say.
type server struct {
	version               int
	versionText, walLevel string
	standby               bool
	slots, maxSlots       int
	senders, maxSenders   int
	role                  string
}

func inspectServer(ctx context.Context, conn *pgx.Conn) (s server, err error) {
	err = conn.QueryRow(ctx, `
		select current_setting('server_version_num')::int, current_setting('server_version'), current_setting('wal_level'), pg_is_in_recovery(),
			(select count(*) from pg_replication_slots), current_setting('max_replication_slots')::int,
			(select count(*) from pg_stat_replication), current_setting('max_wal_senders')::int, current_user::text`).
		Scan(&s.version, &s.versionText, &s.walLevel, &s.standby, &s.slots, &s.maxSlots, &s.senders, &s.maxSenders, &s.role)
	return s, err
}

func (s server) faults() []parallax.Fault {
	var out []parallax.Fault
	add := func(bad bool, hint, text string, args ...any) {
		if bad {
			out = append(out, parallax.Fault{Path: "postgres", Text: fmt.Sprintf(text, args...), Hint: hint})
		}
	}
	add(s.version < oldest, "use PostgreSQL 14 or newer, or Debezium", "PostgreSQL %s does not send messages in its log", s.versionText)
	add(s.standby, "name the primary server", "the server is a standby")
	add(s.walLevel != "logical", "ALTER SYSTEM SET wal_level = 'logical'; then restart the server", "wal_level is %s, and rows are only in the log when it is logical", s.walLevel)
	add(s.slots >= s.maxSlots, fmt.Sprintf("ALTER SYSTEM SET max_replication_slots = %d; then restart the server; or drop a slot that nobody reads", s.slots+4),
		"all %d of max_replication_slots are taken, and reading takes one", s.maxSlots)
	add(s.senders >= s.maxSenders, fmt.Sprintf("ALTER SYSTEM SET max_wal_senders = %d; then restart the server", s.senders+4),
		"all %d of max_wal_senders are taken, and reading takes one", s.maxSenders)
	return out
}

// tryReplication connects as a reader would: roles, managed services and pg_hba.conf
// each have a say in it.
func (s *source) tryReplication(ctx context.Context, host *pgx.ConnConfig, on server) *parallax.Fault {
	conn, err := connectReplication(ctx, host, false)
	if err == nil {
		conn.Close(ctx) // it did nothing
		return nil
	}
	err = s.hidden(err)
	f := parallax.Fault{Path: "postgres", Text: "cannot read the log: " + err.Error()}
	switch {
	case code(err) == "42501":
		f.Text = "the role " + on.role + " may not read the log"
		f.Hint = fmt.Sprintf("ALTER ROLE %s REPLICATION; without a restart (Amazon RDS: GRANT rds_replication TO %s)", plain(on.role), plain(on.role))
	case code(err) == "53300" && on.senders >= on.maxSenders:
		return nil // it was said
	case code(err) == "28000":
		f.Hint = "allow the role in pg_hba.conf, then SELECT pg_reload_conf(); without a restart"
	default:
		f.Hint = "connect to the server itself, not to a pooler"
	}
	return &f
}

// connectReplication connects to read the log. Texts come as UTF-8, or raw: as they
// stand.
func connectReplication(ctx context.Context, host *pgx.ConnConfig, raw bool) (*pgconn.PgConn, error) {
	config := host.Config.Copy()
	config.RuntimeParams["replication"] = "database"
	config.RuntimeParams["wal_sender_timeout"] = senderTimeout
	if raw {
		config.RuntimeParams["client_encoding"] = "SQL_ASCII"
	}
	config.ValidateConnect = nil // it was validated by the connection before
	return pgconn.ConnectConfig(ctx, config)
}

// faults returns what is wrong with tables and publication and cannot be mended by
// the reader itself. Paths point into the list as it was written.
func (s *source) faults(st state, written []string) []parallax.Fault {
	var out []parallax.Fault
	for _, t := range st.tables {
		i := slices.IndexFunc(written, func(w string) bool { n, err := parseName(w); return err == nil && n == t.name })
		for _, f := range t.faults() {
			f.Path = fmt.Sprintf("tables[%d]", i)
			out = append(out, f)
		}
	}
	if len(out) > 0 {
		return out // the publication comes when its tables are right
	}
	return s.publicationFaults(st)
}

func (t tableState) faults() []parallax.Fault {
	at := t.name.written()
	var out []parallax.Fault
	add := func(text, hint string) { out = append(out, parallax.Fault{Text: text, Hint: hint}) }
	switch {
	case !t.there && t.similar != "":
		add("there is no table "+at, "did you mean "+t.similar+"? The case of names counts")
	case !t.there:
		add("there is no table "+at, "")
	case t.kind != "r" && t.kind != "p":
		add(at+" is not a table", "list the tables below it")
	case len(t.children) > 0:
		add(fmt.Sprintf("rows of %s also lie in tables that inherit from it and are not listed: %s", at, strings.Join(t.children, ", ")), "list them, too")
	case t.unlogged:
		add(at+" is unlogged: its rows are not in the log", "ALTER TABLE "+at+" SET LOGGED; without a restart; it rewrites the table under a lock")
	}
	if t.there && t.bare != "" && len(out) == 0 {
		add("rows of "+t.bare+" cannot be named: it has no replica identity",
			"give it a primary key, or ALTER TABLE "+t.bare+" REPLICA IDENTITY FULL; without a restart")
	}
	return out
}

func (s *source) publicationFaults(st state) []parallax.Fault {
	if len(s.mend(st)) > 0 {
		return nil // the reader makes it
	}
	var out []parallax.Fault
	add := func(text, hint string) {
		out = append(out, parallax.Fault{Path: "publication", Text: text, Hint: hint + "; without a restart"})
	}
	pub := plain(s.publication)
	all, missing := []string{}, []string{}
	for _, t := range st.tables {
		all = append(all, t.name.written())
		if !t.published {
			missing = append(missing, t.name.written())
		}
		if t.partial {
			add(fmt.Sprintf("publication %s leaves out rows or columns of %s", pub, t.name.written()),
				fmt.Sprintf("as its owner: ALTER PUBLICATION %s DROP TABLE %s; ALTER PUBLICATION %s ADD TABLE %s", pub, t.name.written(), pub, t.name.written()))
		}
	}
	switch {
	case st.publication == nil:
		add("there is no publication "+pub+", and the role may not create it",
			"as the tables' owner: CREATE PUBLICATION "+pub+" FOR TABLE "+strings.Join(all, ", ")+" WITH (publish_via_partition_root = true)")
	case !st.publication.fits(st.tables):
		add("publication "+pub+" leaves out kinds of changes, or names partitions instead of their table",
			"as its owner: ALTER PUBLICATION "+pub+" SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)")
	case len(missing) > 0:
		add(fmt.Sprintf("publication %s lacks %s, and the role may not add to it", pub, strings.Join(missing, ", ")),
			"as owner of both: ALTER PUBLICATION "+pub+" ADD TABLE "+strings.Join(missing, ", "))
	}
	return out
}

// prepare makes the publication right, as far as the role may, and fails with what
// is missing.
func (s *source) prepare(ctx context.Context, a *asker) error {
	return a.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		st, err := s.inspect(ctx, conn)
		if err != nil {
			return err
		}
		for _, statement := range s.mend(st) {
			if _, err := conn.Exec(ctx, statement); err != nil && code(err) != "42710" {
				return fmt.Errorf("cannot prepare publication %s: %w", s.publication, err)
			}
		}
		wrong, err := s.right(ctx, conn)
		return errors.Join(wrong, err)
	})
}

// right says what is wrong with the tables and the publication, as far as the role
// cannot or did not mend it: a table may have been dropped or renamed, or have left
// the publication.
func (s *source) right(ctx context.Context, conn *pgx.Conn) (wrong, err error) {
	st, err := s.inspect(ctx, conn)
	if err != nil {
		return nil, err
	}
	var out []error
	for _, f := range s.faults(st, nil) {
		f.Path = ""
		out = append(out, f)
	}
	for _, t := range st.tables {
		if len(out) == 0 && !t.published {
			out = append(out, fmt.Errorf("%s is not in publication %s", t.name, s.publication))
		}
	}
	return errors.Join(out...), nil
}
