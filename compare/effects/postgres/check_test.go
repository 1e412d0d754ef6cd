package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"parallax"
	"parallax/compare/effects/postgres"
	"parallax/internal/rig"

	"github.com/google/go-cmp/cmp"
)

func faults(list []parallax.Fault) string {
	var b strings.Builder
	for _, f := range list {
		b.WriteString(f.Error() + "\n")
	}
	return b.String()
}

func wantFaults(t *testing.T, name, want string, got []parallax.Fault) {
	t.Helper()
	if d := cmp.Diff(strings.TrimSpace(strings.ReplaceAll(want, "\n\t\t", "\n")), strings.TrimSpace(faults(got))); d != "" {
		t.Errorf("%s (-want +got)\n%s", name, d)
	}
}

func TestCheckServer(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t, "wal_level=replica", "max_replication_slots=0", "max_wal_senders=0")
	s.SQL("postgres", "create table t (id int primary key); create role bob login")
	check := func(dsn string) []parallax.Fault {
		return postgres.Check(t.Context(), postgres.Source{DSN: dsn, Tables: []string{"t"}})
	}
	wantFaults(t, "a server as it comes", `
		postgres: wal_level is replica, and rows are only in the log when it is logical (ALTER SYSTEM SET wal_level = 'logical'; then restart the server)
		postgres: all 0 of max_replication_slots are taken, and reading takes one (ALTER SYSTEM SET max_replication_slots = 4; then restart the server; or drop a slot that nobody reads)
		postgres: all 0 of max_wal_senders are taken, and reading takes one (ALTER SYSTEM SET max_wal_senders = 4; then restart the server)`, check(s.DSN("postgres")))
	if got := faults(check(s.As("nobody", "postgres"))); !strings.Contains(got, "does not take the connection") || !strings.Contains(got, `role "nobody" does not exist`) || !strings.Contains(got, "pg_hba.conf") {
		t.Errorf("an unknown role: %s", got)
	}
	s.Stop()
	if got := faults(check(s.DSN("postgres"))); !strings.Contains(got, postgres.Away) {
		t.Errorf("a server that is away: %s", got)
	}
}

func TestCheckStandby(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", "create table t (id int primary key)")
	s.Standby()
	wantFaults(t, "a standby", `postgres: the server is a standby (name the primary server)`,
		postgres.Check(t.Context(), postgres.Source{DSN: s.DSN("postgres"), Tables: []string{"t"}})[:1])
}

func TestCheckTables(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", `
		create role reader login replication;
		create role bob login;
		create table good (id int primary key);
		create table bare (id int);
		create table "Bare Leaf" (id int) partition by range (id);
		create schema parts;
		create table parts.leaf partition of "Bare Leaf" for values from (0) to (9);
		create table later (id int, primary key (id) deferrable);
		create unlogged table quick (id int primary key);
		create view seen as select * from good;
		create table "OrderItem" (id int primary key);
		create schema billing; create table billing.ledger (id int primary key);
		create table parted (id int primary key) partition by range (id);
		create table part partition of parted for values from (0) to (9);
		create table parent (id int primary key); create table child (primary key (id)) inherits (parent); create table billing."Child" (primary key (id)) inherits (parent);`)
	check := func(role string, tables ...string) []parallax.Fault {
		return postgres.Check(t.Context(), postgres.Source{DSN: s.As(role, "postgres"), Tables: tables})
	}
	wantFaults(t, "all is well", ``, check("postgres", "good", "parted", "OrderItem", "billing.ledger", "parent", "child", "billing.Child"))
	wantFaults(t, "inherited", `
		tables[0]: rows of parent also lie in tables that inherit from it and are not listed: billing."Child" (list them, too)`, check("postgres", "parent", "child"))
	wantFaults(t, "tables", `
		tables[0]: there is no table nothing
		tables[2]: rows of bare cannot be named: it has no replica identity (give it a primary key, or ALTER TABLE bare REPLICA IDENTITY FULL; without a restart)
		tables[3]: rows of parts.leaf cannot be named: it has no replica identity (give it a primary key, or ALTER TABLE parts.leaf REPLICA IDENTITY FULL; without a restart)
		tables[4]: rows of later cannot be named: it has no replica identity (give it a primary key, or ALTER TABLE later REPLICA IDENTITY FULL; without a restart)
		tables[5]: quick is unlogged: its rows are not in the log (ALTER TABLE quick SET LOGGED; without a restart; it rewrites the table under a lock)
		tables[6]: there is no table orderitem (did you mean OrderItem? The case of names counts)
		tables[7]: there is no table ledger (did you mean billing.ledger? The case of names counts)
		tables[8]: seen is not a table (list the tables below it)`,
		check("postgres", "nothing", "good", "bare", "Bare Leaf", "later", "quick", "orderitem", "ledger", "seen"))
	wantFaults(t, "roles", `
		postgres: the role bob may not read the log (ALTER ROLE bob REPLICATION; without a restart (Amazon RDS: GRANT rds_replication TO bob))
		publication: there is no publication parallax, and the role may not create it (as the tables' owner: CREATE PUBLICATION parallax FOR TABLE good, "OrderItem" WITH (publish_via_partition_root = true); without a restart)`,
		check("bob", "good", "OrderItem"))
	s.SQL("postgres", "create publication parallax for table good")
	wantFaults(t, "a publication of somebody else", `
		publication: publication parallax lacks "OrderItem", and the role may not add to it (as owner of both: ALTER PUBLICATION parallax ADD TABLE "OrderItem"; without a restart)`,
		check("reader", "good", "OrderItem"))
	wantFaults(t, "its tables", ``, check("reader", "good"))
	s.SQL("postgres", "alter publication parallax set table good where (id > 5), parted")
	wantFaults(t, "a publication that leaves out", `
		publication: publication parallax leaves out rows or columns of good (as its owner: ALTER PUBLICATION parallax DROP TABLE good; ALTER PUBLICATION parallax ADD TABLE good; without a restart)
		publication: publication parallax leaves out kinds of changes, or names partitions instead of their table (as its owner: ALTER PUBLICATION parallax SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = true); without a restart)`,
		check("postgres", "good", "parted"))
	s.SQL("postgres", "drop publication parallax; create publication parallax for all tables with (publish = 'insert')")
	wantFaults(t, "a publication of inserts", `
		publication: publication parallax leaves out kinds of changes, or names partitions instead of their table (as its owner: ALTER PUBLICATION parallax SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = true); without a restart)`,
		check("postgres", "good"))
	s.SQL("postgres", "alter publication parallax set (publish = 'insert, update, delete, truncate')")
	wantFaults(t, "a publication of all tables", ``, check("reader", "good", "OrderItem"))
}

// TestPublicationIsMade: of the listed tables only; what is there is kept.
func TestPublicationIsMade(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", `
		create role reader login replication; grant create on database postgres to reader;
		create table a (id int primary key); create table b (id int primary key); create table c (id int primary key); create table bare (id int);
		alter table a owner to reader; alter table b owner to reader;`)
	published := func() string {
		return s.SQL("postgres", "select string_agg(tablename, ' ' order by tablename) || puballtables from pg_publication_tables join pg_publication using (pubname) group by puballtables")
	}
	r := read(t, s, s.As("reader", "postgres"), "a")
	if got := published(); got != "afalse" {
		t.Errorf("published are %s", got)
	}
	r.stop()
	read(t, s, s.As("reader", "postgres"), "b").stop()
	if got := published(); got != "a bfalse" {
		t.Errorf("published are %s", got)
	}
	denied := start(t, s, postgres.Source{DSN: s.As("reader", "postgres"), Tables: []string{"c", "bare"}})
	rig.Eventually(t, "the reason", func() error {
		for _, g := range denied.allGaps() {
			if strings.Contains(g.why, "no replica identity") {
				return nil
			}
		}
		return errNotYet
	})
	if got := published(); got != "a bfalse" {
		t.Errorf("published are %s", got)
	}
	s.SQL("postgres", "insert into bare values (1); update bare set id = 2") // fails if it were published
	s.SQL("postgres", "alter table bare replica identity full; alter publication parallax owner to postgres; alter publication parallax add table c, bare")
	denied.untilReading(1) // by itself, once it is mended
}

// TestTimeLimitsOfOthers: limits that a role or a server has for others end no reader.
func TestTimeLimitsOfOthers(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t, "wal_sender_timeout=500")
	s.SQL("postgres", `create table t (id int primary key); create role limited superuser login; alter role limited set statement_timeout = 1;
		alter role limited set lock_timeout = 1; alter role limited set search_path = nowhere`)
	r := read(t, s, s.As("limited", "postgres"), "t")
	gaps := len(r.allGaps())
	before := r.reader.ReadUntil()
	rig.Eventually(t, "some seconds", func() error {
		if r.reader.ReadUntil().Sub(before).Seconds() < 3 {
			return errNotYet
		}
		return nil
	})
	if all := r.allGaps(); len(all) != gaps {
		t.Errorf("gaps: %v", all)
	}
}

func TestSourceFaults(t *testing.T) {
	t.Parallel()
	wantFaults(t, "source", `
		postgres: is not a connection string of PostgreSQL (write postgres://USER:PASSWORD@HOST:PORT/DATABASE, with special characters of the password percent-encoded)
		tables[1]: "a.b.c" is no table: it has more than a schema and a table; quote a name that holds a dot
		tables[2]: orders is listed twice
		publication: PostgreSQL's names have at most 63 bytes`,
		postgres.Source{DSN: "postgres://a:b@[/", Tables: []string{"orders", "a.b.c", "public.orders"}, Publication: strings.Repeat("x", 64)}.Validate())
	wantFaults(t, "no tables", `tables: names no table (list the tables whose rows are to be compared)`, postgres.Source{DSN: "postgres://h/d"}.Validate())
}

// TestSecretsStayIn: no error, fault or log of a source holds its password, however
// the connection string is wrong.
func TestSecretsStayIn(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t/p@ss"
	for _, dsn := range []string{
		"postgres://u:" + secret + "@127.0.0.1:1/d", "postgres://u:s3cr3t%2Fp%40ss@127.0.0.1:1/d", "postgres://u:" + secret + "@127.0.0.1:port/d", "postgres://u:" + secret,
		"host=127.0.0.1 port=1 user=u password='" + secret + "'", "host=127.0.0.1 port=x password=" + secret, "password=" + secret + " sslmode=bad", "postgres://127.0.0.1:1/d?password=" + secret,
	} {
		source := postgres.Source{DSN: dsn, Tables: []string{"t"}}
		ctx, cancel := context.WithCancel(t.Context())
		text := faults(postgres.Check(ctx, source)) + source.Where()
		cancel()
		_, err := postgres.New(source, nil, nil)
		if text += fmt.Sprint(err); strings.Contains(text, "s3cr3t") {
			t.Errorf("%s: %s", dsn, text)
		}
	}
}
