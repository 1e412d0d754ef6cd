package postgres_test

import (
	"strings"
	"testing"

	"parallax/internal/rig"

	"github.com/google/go-cmp/cmp"
)

func TestChanges(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", `
		create table orders (id int primary key, total numeric(10,2), note text);
		create table unlisted (id int primary key);
		create table full_identity (id int primary key, note text, n int);
		alter table full_identity replica identity full;
		create table by_index (a int not null unique, b text);
		alter table by_index replica identity using index by_index_a_key;
		create table bag (n int, m int);
		alter table bag replica identity full;
		create table two (b int, a int, v int, primary key (a, b));
		create schema billing;
		create table billing."Ledger.2026" (id int primary key);
		create table "`+strings.Repeat("x", 63)+`" ("`+strings.Repeat("ö", 31)+`" int primary key, "a b ""c""" int);
		create table parted (id int primary key, v int) partition by range (id);
		create table parted_low partition of parted for values from (0) to (100);`)
	r := read(t, s, s.DSN("postgres"), "orders", "full_identity", "by_index", "bag", "two", `billing."Ledger.2026"`, strings.Repeat("x", 63), "public.parted")
	f := func(name, sql, want string) {
		t.Helper()
		s.SQL("postgres", sql)
		if d := cmp.Diff(strings.TrimLeft(strings.ReplaceAll(want, "\n\t\t", "\n"), "\n"), show(r.all())); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
	}
	f("one transaction in order", `
		begin; insert into orders values (1, 9.90, null); insert into unlisted values (1); update orders set total = 10 where id = 1; delete from orders; commit;`, `
		[]
		  insert orders (id:number=1) [] -> [id:number=1 total:number=9.90 note:text=NULL]
		  update orders (id:number=1) [id:number=1] -> [id:number=1 total:number=10.00 note:text=NULL]
		  delete orders (id:number=1) [id:number=1] -> []
		`)
	f("tags before and after the rows, of others, twice", `
		begin; select pg_logical_emit_message(true, 'parallax', 'a') is null; insert into orders values (2); commit;
		begin; insert into orders values (3); select pg_logical_emit_message(true, 'parallax', 'b') is null; select pg_logical_emit_message(true, 'parallax', 'b') is null; commit;
		begin; select pg_logical_emit_message(true, 'parallax', 'c') is null; insert into orders values (4); select pg_logical_emit_message(true, 'parallax', 'd') is null; commit;
		begin; select pg_logical_emit_message(true, 'other', 'x') is null; select pg_logical_emit_message(false, 'parallax', 'y') is null; insert into orders values (5); commit;
		begin; select pg_logical_emit_message(true, 'parallax', 'rowless') is null; commit;`, `
		["a"]
		  insert orders (id:number=2) [] -> [id:number=2 total:number=NULL note:text=NULL]
		["b"]
		  insert orders (id:number=3) [] -> [id:number=3 total:number=NULL note:text=NULL]
		["c" "d"]
		  insert orders (id:number=4) [] -> [id:number=4 total:number=NULL note:text=NULL]
		[]
		  insert orders (id:number=5) [] -> [id:number=5 total:number=NULL note:text=NULL]
		`)
	f("what was rolled back, in whole or in part", `
		begin; select pg_logical_emit_message(true, 'parallax', 'a') is null; insert into orders values (6); rollback;
		begin; insert into orders values (7); savepoint s; insert into orders values (8); select pg_logical_emit_message(true, 'parallax', 'b') is null; rollback to s; commit;`, `
		[]
		  insert orders (id:number=7) [] -> [id:number=7 total:number=NULL note:text=NULL]
		`)
	f("a key changes", `update orders set id = 70 where id = 7; update two set v = 1;
		begin; insert into two values (2, 1, 3); update two set b = 20; delete from two; commit;`, `
		[]
		  update orders (id:number=7) [id:number=7] -> [id:number=70 total:number=NULL note:text=NULL]
		[]
		  insert two (b:number=2 a:number=1) [] -> [b:number=2 a:number=1 v:number=3]
		  update two (b:number=2 a:number=1) [b:number=2 a:number=1] -> [b:number=20 a:number=1 v:number=3]
		  delete two (b:number=20 a:number=1) [b:number=20 a:number=1] -> []
		`)
	f("identities", `
		begin; insert into full_identity values (1, 'a', 1); update full_identity set note = 'b'; delete from full_identity; commit;
		begin; insert into by_index values (1, 'a'); update by_index set b = 'c'; update by_index set a = 2; delete from by_index; commit;
		begin; insert into bag values (1, null); update bag set m = 2; delete from bag; commit;`, `
		[]
		  insert full_identity (id:number=1) [] -> [id:number=1 note:text=a n:number=1]
		  update full_identity (id:number=1) [id:number=1 note:text=a n:number=1] -> [id:number=1 note:text=b n:number=1]
		  delete full_identity (id:number=1) [id:number=1 note:text=b n:number=1] -> []
		[]
		  insert by_index (a:number=1) [] -> [a:number=1 b:text=a]
		  update by_index (a:number=1) [a:number=1] -> [a:number=1 b:text=c]
		  update by_index (a:number=1) [a:number=1] -> [a:number=2 b:text=c]
		  delete by_index (a:number=2) [a:number=2] -> []
		[]
		  insert bag (n:number=1 m:number=NULL) [] -> [n:number=1 m:number=NULL]
		  update bag (n:number=1 m:number=NULL) [n:number=1 m:number=NULL] -> [n:number=1 m:number=2]
		  delete bag (n:number=1 m:number=2) [n:number=1 m:number=2] -> []
		`)
	// Random text is not compressed away: it goes to the side table.
	f("long values that did not change", `
		insert into orders select 100, 1, string_agg(md5(i::text), '') from generate_series(1, 1000) i;
		update orders set total = 2 where id = 100;
		insert into full_identity select 100, string_agg(md5(i::text), ''), 1 from generate_series(1, 1000) i;
		update full_identity set n = 2 where id = 100;
		delete from orders where id = 100;`, `
		[]
		  insert orders (id:number=100) [] -> [id:number=100 total:number=1.00 note:text=c4ca4238..(32000)]
		[]
		  update orders (id:number=100) [id:number=100] -> [id:number=100 total:number=2.00 note:unchanged=NULL]
		[]
		  insert full_identity (id:number=100) [] -> [id:number=100 note:text=c4ca4238..(32000) n:number=1]
		[]
		  update full_identity (id:number=100) [id:number=100 note:text=c4ca4238..(32000) n:number=1] -> [id:number=100 note:text=c4ca4238..(32000) n:number=2]
		[]
		  delete orders (id:number=100) [id:number=100] -> []
		`)
	long, umlauts := strings.Repeat("x", 63), strings.Repeat("ö", 31)
	f("names", `insert into billing."Ledger.2026" values (1); insert into `+long+` values (1, 2); insert into parted values (5, 6); update parted_low set v = 7;`, `
		[]
		  insert billing."Ledger.2026" (id:number=1) [] -> [id:number=1]
		[]
		  insert `+long+` (`+umlauts+`:number=1) [] -> [`+umlauts+`:number=1 a b "c":number=2]
		[]
		  insert parted (id:number=5) [] -> [id:number=5 v:number=6]
		[]
		  update parted (id:number=5) [id:number=5] -> [id:number=5 v:number=7]
		`)
	f("truncate", `truncate orders, bag, unlisted`, `
		[]
		  truncate orders () [] -> []
		  truncate bag () [] -> []
		`)
	f("a table that is altered while it is read", `
		insert into orders values (1, 1, 'a');
		alter table orders add column extra jsonb default '{"a": 1}', drop column note;
		insert into orders values (2, 1);
		begin; insert into orders values (3); alter table orders rename column extra to more; alter table orders alter column total type text; insert into orders values (4); commit;`, `
		[]
		  insert orders (id:number=1) [] -> [id:number=1 total:number=1.00 note:text=a]
		[]
		  insert orders (id:number=2) [] -> [id:number=2 total:number=1.00 extra:json={"a": 1}]
		[]
		  insert orders (id:number=3) [] -> [id:number=3 total:number=NULL extra:json={"a": 1}]
		  insert orders (id:number=4) [] -> [id:number=4 total:text=NULL more:json={"a": 1}]
		`)
	f("a transaction with too many changes, and one with too many bytes", `
		insert into unlisted select generate_series(2, 20000);
		insert into two select i, 1, 1 from generate_series(1, 3) i;`, `
		[]
		  insert two (b:number=1 a:number=1) [] -> [b:number=1 a:number=1 v:number=1]
		  insert two (b:number=2 a:number=1) [] -> [b:number=2 a:number=1 v:number=1]
		  insert two (b:number=3 a:number=1) [] -> [b:number=3 a:number=1 v:number=1]
		`)
	s.SQL("postgres", `
		insert into two select i, 2, 1 from generate_series(1, 60000) i;
		insert into by_index select i, repeat('x', 1000000) from generate_series(1, 50) i;
		insert into by_index values (100, 'after');`)
	list := r.all()
	if len(list) != 3 || len(list[0].Changes) != 10_000 || !list[0].More || len(list[1].Changes) != 16 || !list[1].More || list[2].More {
		t.Errorf("transactions that are too large: %d", len(list))
		for _, tx := range list {
			t.Logf("%d changes, more: %v", len(tx.Changes), tx.More)
		}
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	noSlotIsLeft(t, s)
}

func TestTypes(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t, "timezone=Asia/Kolkata", "datestyle=SQL, DMY", "bytea_output=escape", "extra_float_digits=0")
	s.SQL("postgres", `
		create domain cents as numeric check (value >= 0);
		create domain more_cents as cents;
		create domain list as int[];
		create type mood as enum ('good', 'bad');
		create table everything (
			id bigint primary key, small smallint, num numeric, real real, double double precision, money money, ok bool,
			d date, ts timestamp, tz timestamptz, t time, span interval, j json, jb jsonb, b bytea, u uuid, c char(3), v varchar(9), x xml, bits bit(3), ip inet,
			dom more_cents, dom_list list, m mood, ints int[], texts text[], moods mood[], vec int2vector, r int4range, made int generated always as (1 + small) stored);`)
	r := read(t, s, s.DSN("postgres"), "everything")
	s.SQL("postgres", `insert into everything values (9223372036854775807, -5, 1.0500, 0.1, 0.1, 1.5, true,
		'2026-11-21', '2026-11-21 12:00:00.5', '2026-11-21 12:00:00+05:30', '12:00', '1 day 2 hours', '{"a" : 1}', '{"b":2, "a":1}', '\xdeadbeef', '0b0e7a9c-6a1e-4f7a-9d1a-1f1f1f1f1f1f', 'a', 'b', '<a/>', '101', '10.0.0.1',
		1.10, '{1,2}', 'bad', '{1,NULL,3}', array['a b', 'c"d'], '{good,bad}', '1 2', '[1,5)')`)
	got := show(r.all())
	want := `[]
  insert everything (id:number=9223372036854775807) [] -> [id:number=9223372036854775807 small:number=-5 num:number=1.0500 real:number=0.1 double:number=0.1 money:text=$1.50 ok:bool=t ` +
		`d:time=2026-11-21 ts:time=2026-11-21T12:00:00.5 tz:time=2026-11-21T06:30:00Z t:text=12:00:00 span:text=P1DT2H j:json={"a" : 1} jb:json={"a": 1, "b": 2} b:bytes=\xdeadbeef u:text=0b0e7a9c-6a1e-4f7a-9d1a-1f1f1f1f1f1f c:text=a   v:text=b x:text=<a/> bits:text=101 ip:text=10.0.0.1 ` +
		`dom:number=1.10 dom_list:array={1,2} m:text=bad ints:array={1,NULL,3} texts:array={"a b","c\"d"} moods:array={good,bad} vec:text=1 2 r:text=[1,5)]
`
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	s.SQL("postgres", `insert into everything (id, num, d, ts, tz) values (1, 'NaN', 'infinity', '0044-03-15 12:00:00 BC', '-infinity'), (2, 0, '0001-01-01', '12026-01-01 01:02:03', null)`)
	got = show(r.all())
	for _, part := range []string{"num:number=NaN", "d:time=infinity", "ts:time=0044-03-15 12:00:00 BC", "tz:time=-infinity", "d:time=0001-01-01", "ts:time=12026-01-01 01:02:03", "tz:time=NULL"} {
		if !strings.Contains(got, part) {
			t.Errorf("there is no %s in\n%s", part, got)
		}
	}
}

// TestMadeAndRepeated: which values the database makes up, and which repeat others.
func TestMadeAndRepeated(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", `
		create schema billing;
		create table orders (id serial primary key, no int generated always as identity, public uuid default gen_random_uuid(), at date default now(), one int default 1, "x y" int unique, unique (id, no));
		create function "New Ulid"() returns text language sql as $$ select text 'u' $$;
		create table billing.lines (order_id int references orders, x int references orders ("x y"), a int, b int, n int default 5, u text default "New Ulid"(), primary key (order_id, n));
		alter table billing.lines add foreign key (a, b) references orders (id, no), add foreign key (b) references orders (id);
		create table parent (id int primary key, parent int references parent) partition by range (id);
		create table child partition of parent for values from (0) to (9)`)
	r := read(t, s, s.DSN("postgres"), "orders", "billing.lines", "parent")
	s.SQL("postgres", `
		insert into orders (at, public, "x y") values ('2026-11-21', '0b0e7a9c-6a1e-4f7a-9d1a-1f1f1f1f1f1f', 1);
		insert into billing.lines values (1, 1, 1, 1);
		insert into parent values (1, 1)`)
	want := `[]
  insert orders (id:number!=1) [] -> [id:number!=1 no:number!=1 public:text!=0b0e7a9c-6a1e-4f7a-9d1a-1f1f1f1f1f1f at:time=2026-11-21 one:number=1 x y:number=1]
[]
  insert billing.lines (order_id:number!>orders.id=1 n:number=5) [] -> [order_id:number!>orders.id=1 x:number>orders.x y=1 a:number!>orders.id=1 b:number!>orders.id=1 n:number=5 u:text!=u]
[]
  insert parent (id:number=1) [] -> [id:number=1 parent:number>parent.id=1]
`
	if d := cmp.Diff(want, show(r.all())); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	s.SQL("postgres", `alter table billing.lines drop constraint lines_b_fkey, alter u drop default; insert into billing.lines values (1, 1, 1, 1, 6)`)
	want = `[]
  insert billing.lines (order_id:number!>orders.id=1 n:number=6) [] -> [order_id:number!>orders.id=1 x:number>orders.x y=1 a:number!>orders.id=1 b:number!>orders.no=1 n:number=6 u:text=NULL]
`
	if d := cmp.Diff(want, show(r.all())); d != "" {
		t.Errorf("after an alteration (-want +got)\n%s", d)
	}
}
