package verify_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"parallax/compare"
	"parallax/compare/effects/postgres"
	"parallax/compare/effects/postgres/verify"
)

// both runs statements on both databases.
func both(s interface {
	SQL(database, text string) string
}, text string) {
	s.SQL("old", text)
	s.SQL("new", text)
}

func TestGeneratedKeys(t *testing.T) {
	t.Parallel()
	s := databases(t)
	both(s, `
		create table orders (id int generated always as identity primary key, number text not null unique, total int);
		create table items (id bigserial primary key, order_id int references orders, sku text, n int);
		create table lines (order_id int not null references orders, line int not null, sku text, primary key (order_id, line));
		create table audit (id uuid primary key default gen_random_uuid(), what text, item bigint references items)`)
	s.SQL("new", `insert into orders (number, total) values ('unused', 0); delete from orders; insert into items (sku) values ('unused'); delete from items`)
	both(s, `
		insert into orders (number, total) select 'A-' || g, g from generate_series(1, 500) g;
		insert into items (order_id, sku, n) select o.id, 'sku-' || g, g from orders o, generate_series(1, 3) g;
		insert into lines select o.id, g, 'sku-' || g from orders o, generate_series(1, 3) g;
		insert into audit (what, item) select 'made', id from items`)
	tables := []compare.EffectTable{{Primary: "orders"}, {Primary: "items"}, {Primary: "lines"}, {Primary: "audit"}}
	r := run(t, s, quick(), tables...)
	want(t, r, ``)
	var by []string
	for _, table := range r.Tables {
		by = append(by, fmt.Sprintf("%s by %s, %d and %d rows: %s", table.Table, table.By, table.Rows[0], table.Rows[1], strings.Join(table.Notes, "; ")))
	}
	const how = `orders by key number, 500 and 500 rows: id is not compared: each database makes its values up
items by content, 1500 and 1500 rows: items has no key that both databases share: rows are compared by all else they hold. If its primary key has the same values in both, write key; id is not compared: each database makes its values up; order_id is compared by the number of the row in orders that it refers to
lines by key order_id, line, in buckets, 1500 and 1500 rows: order_id is compared by the number of the row in orders that it refers to
audit by content, 1500 and 1500 rows: audit has no key that both databases share: rows are compared by all else they hold. If its primary key has the same values in both, write key; id is not compared: each database makes its values up; item is compared by what the row in items holds that it refers to`
	if got := strings.Join(by, "\n"); got != how {
		t.Errorf("how:\n%s", got)
	}

	s.SQL("new", `
		update orders set total = 0 where number = 'A-7';
		update items set order_id = (select id from orders where number = 'A-9') where sku = 'sku-1' and order_id = (select id from orders where number = 'A-8');
		insert into items (order_id, sku, n) select order_id, sku, n from items where sku = 'sku-2' limit 1;
		update lines set sku = 'wrong' where line = 2 and order_id = (select id from orders where number = 'A-10');
		delete from lines where line = 3 and order_id = (select id from orders where number = 'A-11')`)
	r = run(t, s, quick(), tables[:3]...)
	want(t, r, `
		orders changed number=A-7 total: 7 -> 0
		items changed order_id: "(A-8)" -> "(A-9)"
		items extra : -> {"n":2,"order_id":"(A-1)","sku":"sku-2"}
		lines changed order_id=(A-10) line=2 sku: "sku-2" -> "wrong"
		lines missing order_id=(A-11) line=3 : {"line":3,"order_id":"(A-11)","sku":"sku-3"} ->`)
}

func TestKeysWithTheSameValues(t *testing.T) {
	t.Parallel()
	s := databases(t)
	both(s, `create table orders (id serial primary key, total int); create table items (order_id int not null references orders, line int not null, n int, primary key (order_id, line));
		insert into orders (total) select g from generate_series(1, 2000) g; insert into items select id, 1, id from orders`)
	s.SQL("new", `update orders set total = 3 where id = 1500; update items set n = 0 where order_id = 20; delete from items where order_id = 21`)
	r := run(t, s, quick(), compare.EffectTable{Primary: "orders", Key: []string{"id"}}, compare.EffectTable{Primary: "items"})
	want(t, r, `
		orders changed id=1500 total: 1500 -> 3
		items changed order_id=20 line=1 n: 20 -> 0
		items missing order_id=21 line=1 : {"line":1,"n":21,"order_id":21} ->`)
	if r.Tables[0].By != "key id" || r.Tables[1].By != "key order_id, line" {
		t.Errorf("by %s and %s", r.Tables[0].By, r.Tables[1].By)
	}
}

func TestKeysOfOtherTypesAndOrders(t *testing.T) {
	t.Parallel()
	s := databases(t)
	s.SQL("old", `create table skus (sku text collate "C" primary key, n int) partition by hash (sku);
		create table skus_0 partition of skus for values with (modulus 2, remainder 0); create table skus_1 partition of skus for values with (modulus 2, remainder 1);
		create table people (id int primary key, name text)`)
	s.SQL("new", `create table skus (sku text collate "en-x-icu" primary key, n int); create table people (id text primary key, name text)`)
	both(s, `insert into skus select case g % 2 when 0 then 'a' else 'B' end || g, g from generate_series(1, 3000) g; insert into people select g, 'p' || g from generate_series(1, 300) g`)
	tables := []compare.EffectTable{{Primary: "skus"}, {Primary: "people"}}
	want(t, run(t, s, quick(), tables...), ``)
	s.SQL("new", `update skus set n = -1 where sku = 'B17'; update people set name = 'x' where id = '30'; delete from people where id = '31'; insert into people values ('x1', 'new')`)
	r := run(t, s, quick(), tables...)
	want(t, r, `
		skus changed sku=B17 n: 17 -> -1
		people changed id=30 name: "p30" -> "x"
		people missing id=31 : {"id":"31","name":"p31"} ->
		people extra id=x1 : -> {"id":"x1","name":"new"}`)
	if r.Tables[0].By != "key sku, in buckets" || r.Tables[0].Rows != [2]int64{3000, 3000} {
		t.Errorf("%+v", r.Tables[0])
	}
}

func TestColumnsOfOneSide(t *testing.T) {
	t.Parallel()
	s := databases(t)
	s.SQL("old", `create table t (id int primary key, gone int)`)
	s.SQL("new", `create table t (id int primary key, come text)`)
	want(t, run(t, s, quick(), compare.EffectTable{Primary: "t"}), `
		t missing gone: integer ->
		t extra come: -> text`)
	want(t, run(t, s, quick(), compare.EffectTable{Primary: "t", Ignore: []string{"gone", "come"}}), ``)
	want(t, run(t, s, quick(), compare.EffectTable{Primary: "t", Columns: map[string]string{"gone": "come"}}), ``)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	s := databases(t)
	both(s, `create table t (id int primary key, n int)`)
	for name, c := range map[string]struct {
		table compare.EffectTable
		dsn   string
		want  string
	}{
		"no table":   {compare.EffectTable{Primary: "t", Candidate: "other"}, "", "the candidate's database: there is no table other, or its role may not see it"},
		"not unique": {compare.EffectTable{Primary: "t", Key: []string{"n"}}, "", "t: t: key [n] names no rows in the primary's database: there is no unique index on columns (n) that are NOT NULL"},
		"no age":     {compare.EffectTable{Primary: "t", Age: "n"}, "", "t: age: there is no column n with times in the primary's table"},
		"away":       {compare.EffectTable{Primary: "t"}, "postgres://postgres:hunter22@127.0.0.1:1/old", "the candidate's database: "},
	} {
		g := verify.Group{Primary: postgres.Source{DSN: s.DSN("old")}, Candidate: postgres.Source{DSN: s.DSN("new")}, Tables: []compare.EffectTable{c.table}}
		if c.dsn != "" {
			g.Candidate.DSN = c.dsn
		}
		_, err := verify.Run(context.Background(), []verify.Group{g}, verify.Options{MinAge: 1})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
