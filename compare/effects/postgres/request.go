package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Request writes what a database's administrator is asked for, on one page: settings,
// role, tables, publication, what of it needs a restart, what it costs and how to undo
// it, as statements with comments. Where the database can be reached it says what is there already; what
// is asked of one that cannot be reached is all. It changes nothing.
func Request(ctx context.Context, s Source) (string, error) {
	src, err := s.ready()
	if err != nil {
		return "", err
	}
	r := request{source: &src}
	r.ask(ctx, s)
	r.line("-- PostgreSQL %s", s.Where())
	r.state()
	r.settings()
	r.role()
	r.tables()
	r.publish()
	r.cost()
	r.undo()
	return r.text.String(), nil
}

// request is a page in the making.
type request struct {
	*source
	text    strings.Builder
	unasked string // why the database could not be asked; empty if it was
	server  server
	held    state
	reads   []string // tables that the role may select from
	reader  bool     // the role may read the log
	missing int
	restart bool
}

func (r *request) line(format string, args ...any) { fmt.Fprintf(&r.text, format+"\n", args...) }

// ask looks at what is there.
func (r *request) ask(ctx context.Context, s Source) {
	ctx, cancel := context.WithTimeout(ctx, 2*connectTimeout)
	defer cancel()
	conn, _, err := r.connect(ctx)
	if err == nil {
		defer closeConn(conn)
		r.server, err = inspectServer(ctx, conn)
	}
	if err == nil && r.server.version >= oldest {
		r.held, err = r.inspect(ctx, conn)
	}
	if err == nil {
		err = r.askRole(ctx, conn)
	}
	if err != nil {
		r.unasked = r.hidden(err).Error()
		return
	}
	r.missing = len(Check(ctx, s))
}

func (r *request) askRole(ctx context.Context, conn *pgx.Conn) error {
	err := conn.QueryRow(ctx, `select rolreplication or rolsuper or exists (
			select from pg_roles g where g.rolname = 'rds_replication' and pg_has_role(g.oid, 'MEMBER')) from pg_roles where rolname = current_user`).Scan(&r.reader)
	if err != nil {
		return err
	}
	for _, t := range r.held.tables {
		var may bool
		if t.there {
			err = conn.QueryRow(ctx, `select has_table_privilege($1, 'SELECT') and has_schema_privilege($2, 'USAGE')`, t.name.sql(), t.name.schema).Scan(&may)
		}
		if err != nil {
			return err
		}
		if may {
			r.reads = append(r.reads, t.name.written())
		}
	}
	return nil
}

func (r *request) state() {
	switch {
	case r.unasked != "":
		r.line("-- It could not be asked (%s), so this lists all that is needed.", strings.ReplaceAll(r.unasked, "\n", " "))
	case r.missing == 0:
		r.line("-- It was asked just now: nothing is missing. Version %s.", r.server.versionText)
	default:
		r.line("-- It was asked just now: %d things are missing, those without -- below. Version %s.", r.missing, r.server.versionText)
	}
}

// need writes a statement that is still to be run, or as a comment one that was.
func (r *request) need(done bool, statement, why string) {
	if done {
		r.line("-- done: %s", statement)
		return
	}
	r.line("%-70s -- %s", statement, why)
}

func (r *request) settings() {
	asked := r.unasked == ""
	r.line("\n-- 1. Settings")
	if asked && r.server.version < oldest {
		r.line("-- This server is too old: PostgreSQL 14 or newer, or Debezium.")
	}
	logical := asked && r.server.walLevel == "logical"
	r.restart = !logical
	r.need(logical, "ALTER SYSTEM SET wal_level = 'logical';", "needs a RESTART; the log grows by some percent")
	for _, each := range []struct {
		name        string
		taken, most int
	}{{"max_replication_slots", r.server.slots, r.server.maxSlots}, {"max_wal_senders", r.server.senders, r.server.maxSenders}} {
		switch {
		case !asked:
			r.line("-- %s: one that is free (10 by default)", each.name)
		case each.taken < each.most:
			r.line("-- done: %s: %d of %d are taken, one is needed", each.name, each.taken, each.most)
		default:
			r.restart = true
			r.need(false, fmt.Sprintf("ALTER SYSTEM SET %s = %d;", each.name, each.most+4), fmt.Sprintf("all %d are taken; needs a RESTART", each.most))
		}
	}
	if r.restart {
		r.line("-- Restart: yes, once. It may wait for the next maintenance.")
	} else {
		r.line("-- Restart: no.")
	}
}

func (r *request) role() {
	asked, user := r.unasked == "", plain(r.config.User)
	r.line("\n-- 2. Role; without a restart")
	if !asked {
		r.line("%-70s -- unless it is there", "CREATE ROLE "+user+" LOGIN PASSWORD '...';")
	}
	r.need(asked && r.reader, "ALTER ROLE "+user+" REPLICATION;", "Amazon RDS: GRANT rds_replication TO "+user)
	r.line("-- pg_hba.conf, unless it is let in: host %s %s ADDRESS/32 scram-sha-256; then SELECT pg_reload_conf();", plain(r.config.Database), user)
	schemas := map[string]bool{}
	var names []string
	for _, t := range r.source.tables {
		names = append(names, t.written())
		if !schemas[t.schema] && t.schema != "public" {
			schemas[t.schema] = true
			r.need(asked && len(r.reads) == len(r.source.tables), "GRANT USAGE ON SCHEMA "+plain(t.schema)+" TO "+user+";", "for comparing whole tables (parallax effects verify) only")
		}
	}
	r.need(asked && len(r.reads) == len(names), "GRANT SELECT ON "+strings.Join(names, ", ")+" TO "+user+";", "for comparing whole tables (parallax effects verify) only")
}

func (r *request) tables() {
	r.line("\n-- 3. Tables; without a restart")
	if r.unasked != "" {
		for _, t := range r.source.tables {
			r.line("-- %s: wants a primary key; if it has none:  ALTER TABLE %s REPLICA IDENTITY FULL;", t.written(), t.written())
		}
		return
	}
	for _, t := range r.held.tables {
		faults := t.faults()
		if len(faults) == 0 {
			r.line("-- done: %s: its rows can be named", t.name.written())
		}
		for _, f := range faults {
			r.line("-- %s: %s", t.name.written(), f.Text)
			if statement, _, ok := strings.Cut(f.Hint, ";"); ok && strings.Contains(statement, "ALTER TABLE") {
				r.line("%s;", statement[strings.Index(statement, "ALTER TABLE"):])
			} else if f.Hint != "" {
				r.line("--   %s", f.Hint)
			}
		}
	}
}

func (r *request) publish() {
	r.line("\n-- 4. Publication, by the tables' owner; without a restart")
	var all, missing []string
	for _, t := range r.source.tables {
		all = append(all, t.sql())
	}
	for _, t := range r.held.tables {
		if !t.published && len(t.faults()) == 0 {
			missing = append(missing, t.name.written())
		}
	}
	pub := plain(r.publication)
	switch {
	case r.unasked != "", r.held.publication == nil && len(r.mend(r.held)) == 0:
		r.line("%s;", strings.ReplaceAll(r.createPublication(all), `"public".`, ""))
	case r.held.publication == nil:
		r.line("-- Parallax makes it by itself, as its role may: %s", r.createPublication(all))
	case len(missing) > 0:
		r.line("ALTER PUBLICATION %s ADD TABLE %s;", pub, strings.Join(missing, ", "))
	default:
		r.line("-- done: publication %s has the tables", pub)
	}
	for _, f := range r.publicationFaults(r.held) {
		if r.unasked == "" && r.held.publication != nil {
			r.line("-- %s: %s", f.Text, f.Hint)
		}
	}
}

func (r *request) cost() {
	r.line("\n-- Cost: three connections, of which one reads the log (pg_stat_replication, application_name parallax).")
	r.line("-- Disk: the slot is TEMPORARY. It goes with its connection, also after a crash, so that no log piles up behind")
	r.line("-- a Parallax that is away. While it is connected the server keeps what was not read yet; to bound that, too:")
	r.line("--   ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; SELECT pg_reload_conf();   -- without a restart")
	r.line("-- To see what there is:  SELECT slot_name, temporary, active, wal_status FROM pg_replication_slots;")
	r.line("-- Parallax writes no row. Services that carry only comments: see parallax effects install, which adds triggers.")
}

func (r *request) undo() {
	user := plain(r.config.User)
	r.line("\n-- How to undo it")
	r.line("--   DROP PUBLICATION IF EXISTS %s;", plain(r.publication))
	r.line("--   ALTER ROLE %s NOREPLICATION;", user)
	var names []string
	for _, t := range r.source.tables {
		names = append(names, t.written())
	}
	r.line("--   REVOKE SELECT ON %s FROM %s;", strings.Join(names, ", "), user)
	for _, t := range r.held.tables {
		if t.bare != "" && t.there {
			r.line("--   ALTER TABLE %s REPLICA IDENTITY DEFAULT;   -- if it was set to FULL", t.bare)
		}
	}
	r.line("--   ALTER SYSTEM RESET wal_level;   -- if nobody else needs it; with the next restart")
}
