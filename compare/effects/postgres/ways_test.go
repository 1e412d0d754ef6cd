package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"parallax"
	"parallax/compare/effects/postgres"
	"parallax/internal/ids"
	"parallax/internal/rig"

	"github.com/google/go-cmp/cmp"
)

// TestOtherWaysToTheSameData runs one piece of work in two ways on two databases: what is
// there in the end counts, and not how it came about.
func TestOtherWaysToTheSameData(t *testing.T) {
	t.Parallel()
	server := rig.Postgres(t, "max_prepared_transactions=5")
	server.SQL("postgres", "create database old; create database new")
	const tables = `
		create table stock (sku text primary key, n int, note text);
		create table orders (id int generated always as identity primary key, sku text, n int, made text generated always as (sku || '!') stored);
		create table audit (id int generated always as identity primary key, what text);
		create unlogged table scratch (n int); create table unlisted (n int);
		create materialized view totals as select sku, sum(n) from orders group by sku; create unique index on totals (sku);
		create table bag (n int); alter table bag replica identity full;`
	server.SQL("old", tables+`create table visits (id int, day date, note text, primary key (id, day)) partition by range (day);
		create table visits_1 partition of visits for values from ('2026-01-01') to ('2026-07-01'); create table visits_2 partition of visits for values from ('2026-07-01') to ('2027-01-01')`)
	server.SQL("new", tables+`create table visits (id int primary key, day date, note text);
		create function log_it() returns trigger language plpgsql as $$begin insert into unlisted values (1); insert into scratch values (1); if new.sku = 'audited' then insert into audit (what) values (new.sku); end if; return new; end$$;
		create trigger log_it after insert on orders for each row execute function log_it()`)
	var readers [2]*reading
	for leg, database := range []string{"old", "new"} {
		readers[leg] = start(t, server, postgres.Source{DSN: server.DSN(database), Tables: []string{"stock", "orders", "audit", "bag", "visits"}})
	}
	for _, r := range readers {
		r.untilReading(1)
	}
	type way struct {
		name string
		want []string
	}
	var cases []way
	var scripts [2]strings.Builder
	f := func(name, old, new string, want ...string) {
		id := parallax.ID{0: 1, 15: byte(len(cases))}
		tag := fmt.Sprintf("select pg_logical_emit_message(true, 'parallax', '%s') is null;", id)
		for leg, work := range []string{old, new} {
			scripts[leg].WriteString(strings.ReplaceAll("begin; tag "+work+"; commit;\n", "tag ", tag))
		}
		cases = append(cases, way{name, want})
	}
	f("two phases", `insert into stock values ('pen', 1)`, `insert into stock values ('pen', 1); prepare transaction 'a'; commit prepared 'a'; begin`)
	f("the second phase is not reached", `select 1`, `insert into stock values ('ink', 1); prepare transaction 'b'; rollback prepared 'b'; begin`)
	f("an upsert of what is there", `update stock set n = n + 1 where sku = 'pen'`, `insert into stock values ('pen', 2) on conflict (sku) do update set n = excluded.n`)
	f("an upsert of what is new", `insert into stock values ('ink', 5)`, `insert into stock values ('ink', 5) on conflict (sku) do update set n = excluded.n`)
	f("a conflict that does nothing", `select nextval('orders_id_seq')`, `insert into stock values ('pen', 9) on conflict do nothing`)
	f("a merge", `update stock set n = 7 where sku = 'ink'; insert into stock values ('cap', 1)`,
		`merge into stock s using (values ('ink', 7), ('cap', 1)) v (sku, n) on v.sku = s.sku when matched then update set n = v.n when not matched then insert (sku, n) values (v.sku, v.n)`)
	f("one by one and at once", `insert into orders (sku, n) values ('a', 1); insert into orders (sku, n) values ('b', 2)`, `insert into orders (sku, n) values ('b', 2), ('a', 1)`)
	f("copied", `insert into orders (sku, n) values ('a', 1), ('b', 2)`, "copy orders (sku, n) from stdin;\nb\t2\na\t1\n\\.\nselect 1")
	f("a failed attempt before", `insert into orders (sku, n) values ('a', 1)`, `insert into orders (sku, n) values ('a', 1); rollback; begin; tag insert into orders (sku, n) values ('a', 1)`)
	f("in an expression", `insert into audit (what) values ('x'); delete from bag`, `with moved as (delete from bag returning 'x') insert into audit (what) values ('x')`)
	f("made up again", `update stock set n = 3 where sku = 'cap'`, `delete from stock where sku = 'cap'; insert into stock values ('cap', 3)`)
	f("what is no data", `select 1`, `select * from stock for update; select pg_advisory_xact_lock(1); notify somebody; create temp table t on commit drop as select * from stock; insert into scratch values (1); set local work_mem = '1MB'`)
	f("a view is filled anew", `select 1`, `refresh materialized view totals`)
	f("a trigger writes more", `insert into orders (sku, n) values ('audited', 1)`, `insert into orders (sku, n) values ('audited', 1)`, "effects:audit extra")
	f("a row moves to another partition", `insert into visits values (1, '2026-02-01', 'a')`, `insert into visits values (1, '2026-02-01', 'a')`)
	f("and there it is", `update visits set day = '2026-08-01' where id = 1`, `update visits set day = '2026-08-01' where id = 1`)
	f("and it is changed", `update visits set day = '2026-03-01', note = 'b' where id = 1`, `update visits set day = '2026-03-02', note = 'b' where id = 1`, "effects:visits $.day")
	f("rows without names", `insert into bag values (1), (1), (2); delete from bag where n = 1; insert into bag values (3)`, `insert into bag values (3), (2)`)
	f("a wider column", `insert into stock values ('cup', 1)`, `commit; alter table stock alter n type bigint; begin; tag insert into stock values ('cup', 1)`)
	f("a column more", `insert into orders (sku, n) values ('a', 1)`, `commit; alter table orders add x int default 4; begin; tag insert into orders (sku, n) values ('a', 1)`, "effects:orders $.x")
	f("a column more, in a change", `update orders set n = 5 where sku = 'audited'`, `update orders set n = 5 where sku = 'audited'`, "effects:orders $.x")
	f("a column less", `update orders set n = 6 where sku = 'audited'`, `commit; alter table orders drop x; begin; tag update orders set n = 6 where sku = 'audited'`)
	f("emptied", `truncate bag`, `truncate bag`)
	f("emptied row by row", `truncate bag`, `delete from bag`, "effects:bag missing")
	server.SQL("old", scripts[0].String())
	server.SQL("new", scripts[1].String())
	var read [2]map[parallax.ID][]parallax.Effect
	for leg, r := range readers {
		read[leg] = effectsOf(t, r.all())
	}
	known := ids.NewMemory(ids.DefaultLimits, time.Now, nil)
	for i, c := range cases {
		x := &parallax.Exchange{ID: parallax.ID{0: 1, 15: byte(i)}, Received: time.Now()}
		for leg := range read {
			x.Legs[leg] = &parallax.Call{Response: parallax.Response{Status: 200}, First: 1, Done: 1, Effects: read[leg][x.ID]}
		}
		if d := cmp.Diff(c.want, placesOf(judged(t, known, nil, x))); d != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, d)
		}
	}
}
