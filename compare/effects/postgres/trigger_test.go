package postgres_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"parallax/compare/effects/postgres"
	"parallax/internal/rig"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

func traceparent(n int) string {
	return fmt.Sprintf("00-%032x-00f067aa0ba902b7-01", n)
}

func comment(n int) string {
	return fmt.Sprintf(" /*action='%%2Fpay*',framework='x',traceparent='%s',tracestate='congo%%3Dt61'*/", traceparent(n))
}

func TestTrigger(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", `
		create role app login;
		create table orders (id serial primary key, note text); create table "user" (id int primary key); create schema billing; create table billing."L 1" (id int primary key);
		create table parted (id int primary key) partition by range (id); create table part partition of parted for values from (0) to (9);
		grant all on all tables in schema public to app; grant all on all sequences in schema public to app;
		alter role app set search_path = nowhere`)
	source := postgres.Source{DSN: s.DSN("postgres"), Tables: []string{"orders", "user", "billing.L 1", "parted"}}
	for range 2 { // again is nothing new
		if err := postgres.Install(t.Context(), source); err != nil {
			t.Fatal(err)
		}
	}
	r := read(t, s, source.DSN, source.Tables...)
	tags := func(name string, want ...string) {
		t.Helper()
		var got []string
		for _, tx := range r.all() {
			if len(tx.Changes) == 0 {
				t.Errorf("%s: %s", name, show(r.all()))
			}
			got = append(got, strings.Join(tx.Tags, " "))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
	}
	t.Run("plain statements", func(t *testing.T) {
		s.SQL("postgres", `insert into orders values (default, 'a')`+comment(1)+`; update orders set note = 'b'`+comment(2)+`;
			delete from orders`+comment(3)+`; `+comment(4)+` insert into "user" values (1);
			insert into billing."L 1" values (1); insert into parted values (1)`+comment(5)+`; truncate orders`+comment(6))
		tags("comments", traceparent(1), traceparent(2), traceparent(3), traceparent(4), "", traceparent(5), traceparent(6))
		s.SQL("postgres", `begin; set local parallax.exchange = '0193-x/candidate'; insert into orders values (10); update orders set note = 'c'`+comment(7)+`; commit;
			insert into orders values (11); set parallax.exchange = ''; insert into orders values (12)`+comment(8))
		tags("settings", "0193-x/candidate", "", traceparent(8))
		s.SQL("postgres", `insert into orders values (20, 'traceparent=''`+traceparent(1)+`''');
			insert into orders values (21, $q$ /*traceparent='`+traceparent(1)+`'*/ $q$);
			insert into orders values (22, '/*traceparent=''x''*/')`+comment(9)+`;
			insert into orders values (23) /*traceparent='00-zz'*/;
			insert into orders values (25, $q$traceparent='`+traceparent(1)+`'$q$) /* other */;
			insert into orders values (24, $q$ /*traceparent='`+traceparent(1)+`'*/ $q$)`+comment(10))
		tags("texts that look like comments", "", "", traceparent(9), "", "", traceparent(10))
		s.SQL("postgres", `begin; insert into orders values (30)`+comment(1)+`; rollback; begin; insert into orders values (31)`+comment(2)+`; insert into orders values (32)`+comment(3)+`; commit`)
		tags("rolled back, and two in one", traceparent(2)+" "+traceparent(3))
		s.SQL("postgres", `begin; savepoint one; insert into orders values (33)`+comment(1)+`; rollback to one; insert into orders values (33)`+comment(1)+`; insert into orders values (34)`+comment(1)+`; commit`)
		tags("rolled back to a savepoint", traceparent(1))
		s.SQL("postgres", `begin; insert into orders values (37)`+comment(1)+`; commit; begin; insert into orders values (38)`+comment(1)+`; commit`)
		tags("one trace in two transactions", traceparent(1), traceparent(1))
		s.SQL("postgres", `begin; set local parallax.exchange = 'x'; savepoint one; insert into orders values (90); rollback to one; insert into orders values (90);
			set local parallax.exchange = 'y'; insert into orders values (91); commit`)
		tags("two settings in one", "x y")
	})
	t.Run("long and foreign texts", func(t *testing.T) {
		s.SQL("postgres", "insert into orders values (35, '"+strings.Repeat("äöü\\", 2000)+"')"+comment(1)+"\n ;"+comment(2)+"insert into orders values (36, '"+strings.Repeat("ä", 5000)+"')")
		tags("utf-8", traceparent(1), traceparent(2))
		s.SQL("postgres", "create database bytes encoding 'SQL_ASCII' locale 'C' template template0")
		s.SQL("bytes", "create table t (v text primary key)")
		ascii := postgres.Source{DSN: s.DSN("bytes"), Tables: []string{"t"}}
		if err := postgres.Install(t.Context(), ascii); err != nil {
			t.Fatal(err)
		}
		other := read(t, s, ascii.DSN, "t")
		s.SQL("bytes", "set client_encoding = 'SQL_ASCII'; insert into t values ('"+strings.Repeat("\xff", 600)+"')"+comment(3))
		if got := other.all(); len(got) != 1 || !slices.Equal(got[0].Tags, []string{traceparent(3)}) || !strings.HasPrefix(*got[0].Changes[0].Key[0].Value, `\xff\xff`) {
			t.Errorf("another encoding: %s", show(got))
		}
		other.stop()
	})
	t.Run("extended protocol", func(t *testing.T) {
		conn := connect(t, s.As("app", "postgres"))
		for i, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
			exec(t, conn, `insert into public.orders values ($1, $2)`+comment(40+i), mode, 40+i, "/*")
			tags(mode.String(), traceparent(40+i))
		}
		batch := &pgx.Batch{}
		batch.Queue(`insert into public.orders values ($1)`+comment(50), 50)
		batch.Queue(`insert into public.orders values ($1)`+comment(50), 51)
		if err := conn.SendBatch(t.Context(), batch).Close(); err != nil {
			t.Fatal(err)
		}
		tags("a batch", traceparent(50))
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `select set_config('parallax.exchange', $1, true)`, "an-exchange"); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `insert into public.orders values (60)`); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		tags("set_config", "an-exchange")
		if _, err := conn.CopyFrom(t.Context(), pgx.Identifier{"public", "orders"}, []string{"id"}, pgx.CopyFromRows([][]any{{70}})); err != nil {
			t.Fatal(err)
		}
		tags("copy has no comment", "")
		// Whoever prepares a statement with a comment sends that comment for ever.
		if _, err := conn.Prepare(t.Context(), "stale", `insert into public.orders values ($1)`+comment(80)); err != nil {
			t.Fatal(err)
		}
		exec(t, conn, "stale", 80)
		exec(t, conn, "stale", 81)
		tags("prepared once", traceparent(80), traceparent(80))
	})
	t.Run("uninstall", func(t *testing.T) {
		r.stop()
		s.SQL("postgres", `create table forgotten (id int primary key); create trigger parallax_tag before insert on forgotten execute function parallax.tag()`)
		for range 2 {
			if err := postgres.Uninstall(t.Context(), postgres.Source{DSN: source.DSN}); err != nil {
				t.Fatal(err)
			}
		}
		nothingIsLeft(t, s)
	})
	t.Run("as text", func(t *testing.T) {
		text, err := postgres.InstallSQL(source)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			s.SQL("postgres", "set client_min_messages = warning;"+text)
		}
		if got := s.SQL("postgres", "select count(*) from pg_trigger where tgname = 'parallax_tag' and tgparentid = 0"); got != "4" {
			t.Errorf("there are %s triggers", got)
		}
		if text, err = postgres.UninstallSQL(source); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			s.SQL("postgres", "set client_min_messages = warning;"+text)
		}
		nothingIsLeft(t, s)
		if err := postgres.Install(t.Context(), source); err != nil {
			t.Fatal(err)
		}
		if text, err = postgres.UninstallSQL(postgres.Source{}); err != nil {
			t.Fatal(err)
		}
		s.SQL("postgres", "set client_min_messages = warning;"+text)
		nothingIsLeft(t, s)
	})
}

func nothingIsLeft(t *testing.T, s *rig.PostgresServer) {
	t.Helper()
	if got := s.SQL("postgres", "select (select count(*) from pg_trigger where not tgisinternal) + (select count(*) from pg_namespace where nspname = 'parallax') + (select count(*) from pg_publication)"); got != "0" {
		t.Errorf("%s things are left", got)
	}
}

func TestInstallNamesWhatItCannot(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", `create role app login; grant create on database postgres to app; create table mine (id int primary key); alter table mine owner to app; create table theirs (id int primary key); create table locked (id int primary key)`)
	conn := connect(t, s.DSN("postgres"))
	exec(t, conn, "begin")
	exec(t, conn, "insert into locked values (1)")
	err := postgres.Install(t.Context(), postgres.Source{DSN: s.As("app", "postgres"), Tables: []string{"mine", "theirs"}})
	if err == nil || !strings.Contains(err.Error(), "cannot create the trigger of theirs") || strings.Contains(err.Error(), "mine") {
		t.Error(err)
	}
	if err := postgres.Uninstall(t.Context(), postgres.Source{DSN: s.DSN("postgres"), Tables: []string{"mine"}}); err != nil {
		t.Fatal(err)
	}
	err = postgres.Install(t.Context(), postgres.Source{DSN: s.DSN("postgres"), Tables: []string{"mine", "locked", "theirs"}})
	if err == nil || !strings.Contains(err.Error(), "lock timeout") || strings.Contains(err.Error(), "theirs") {
		t.Error(err)
	}
	if got := s.SQL("postgres", "select string_agg(tgrelid::regclass::text, ' ' order by tgrelid::regclass::text) from pg_trigger where tgname = 'parallax_tag'"); got != "mine theirs" {
		t.Errorf("the tables with a trigger are %s", got)
	}
}

// TestInstallTakesNothingOver: whoever owns the function could have it do anything later, as
// every role that writes the tables.
func TestInstallTakesNothingOver(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", `create role app login; grant create on database postgres to app; create table orders (id int primary key)`)
	ours := postgres.Source{DSN: s.DSN("postgres"), Tables: []string{"orders"}}
	for _, before := range []string{
		"create schema parallax authorization app",
		"create schema parallax; create function parallax.tag() returns trigger language plpgsql as 'begin return null; end'; alter function parallax.tag() owner to app",
	} {
		s.SQL("postgres", before)
		if err := postgres.Install(t.Context(), ours); err == nil || !strings.Contains(err.Error(), "belongs to another role: app") {
			t.Errorf("%s: %v", before, err)
		}
		if got := s.SQL("postgres", "select count(*) from pg_trigger where tgname = 'parallax_tag'"); got != "0" {
			t.Errorf("%s: %s triggers", before, got)
		}
		s.SQL("postgres", "drop schema parallax cascade")
	}
	for range 2 {
		if err := postgres.Install(t.Context(), ours); err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkTrigger is what a statement that inserts one row costs inside the server,
// with the trigger and without.
func BenchmarkTrigger(b *testing.B) {
	s := rig.Postgres(b, "synchronous_commit=off")
	s.SQL("postgres", "create table bare (n int primary key, note text); create table tagged (n int primary key, note text)")
	if err := postgres.Install(b.Context(), postgres.Source{DSN: s.DSN("postgres"), Tables: []string{"tagged"}}); err != nil {
		b.Fatal(err)
	}
	f := func(name, table, setting, comment string) {
		b.Run(name, func(b *testing.B) {
			conn := connect(b, s.DSN("postgres"))
			exec(b, conn, "truncate "+table)
			exec(b, conn, "set parallax.exchange = '"+setting+"'")
			b.ResetTimer()
			exec(b, conn, fmt.Sprintf("do $$ begin for i in 1..%d loop insert into %s values (i, 'x'); end loop; end $$", b.N, table)+comment)
		})
	}
	f("no trigger", "bare", "", comment(1))
	f("no tag", "tagged", "", "")
	f("setting", "tagged", "019a0000-0000-7000-8000-000000000000", "")
	f("comment", "tagged", "", comment(1)) // the first of a transaction costs more
	f("comment of a long statement", "tagged", "", strings.Repeat(" ", 100_000)+comment(1))
}

// TestTriggerFailsNoStatement: a service whose role may not write messages goes on.
func TestTriggerFailsNoStatement(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", "create table t (id int primary key); create role shop login; grant insert on t to shop; revoke execute on all functions in schema pg_catalog from shop; revoke execute on function pg_logical_emit_message(boolean, text, text) from public")
	if err := postgres.Install(t.Context(), postgres.Source{DSN: s.DSN("postgres"), Tables: []string{"t"}}); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, s.As("shop", "postgres"))
	exec(t, conn, "set parallax.exchange = '01a2'")
	exec(t, conn, "insert into t values (1)")
	if got := s.SQL("postgres", "select count(*) from t"); got != "1" {
		t.Errorf("%s rows were written", got)
	}
}
