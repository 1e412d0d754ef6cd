package verify_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"parallax/compare"
	"parallax/compare/effects/postgres"
	"parallax/compare/effects/postgres/verify"
	"parallax/internal/rig"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	code := m.Run()
	rig.Clean()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// databases makes two databases on a server: old and new.
func databases(t testing.TB, settings ...string) *rig.PostgresServer {
	t.Helper()
	s := rig.Postgres(t, settings...)
	s.SQL("postgres", "create database old; create database new")
	return s
}

func quick() verify.Options { return verify.Options{Again: time.Millisecond} }

func run(t testing.TB, s *rig.PostgresServer, o verify.Options, tables ...compare.EffectTable) verify.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	result, err := verify.Run(ctx, []verify.Group{{
		Primary: postgres.Source{DSN: s.DSN("old")}, Candidate: postgres.Source{DSN: s.DSN("new")}, Tables: tables,
	}}, o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// found writes differences, a line each.
func found(r verify.Result) string {
	var b strings.Builder
	for _, t := range r.Tables {
		for _, d := range t.Differences {
			fmt.Fprintf(&b, "%s %s", d.Table, d.Kind)
			for _, v := range d.Key {
				fmt.Fprintf(&b, " %s=%s", v.Name, v.Value)
			}
			b.WriteByte(' ')
			b.WriteString(strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(fmt.Sprintf("%s: %s -> %s", d.Column, d.Primary, d.Candidate), `": `, `":`), "  ", " ")) + "\n")
		}
	}
	return b.String()
}

func want(t *testing.T, r verify.Result, text string) {
	t.Helper()
	if d := cmp.Diff(strings.TrimSpace(strings.ReplaceAll(text, "\n\t\t", "\n")), strings.TrimSpace(found(r))); d != "" {
		t.Errorf("differences (-want +got)\n%s", d)
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	s := databases(t)
	s.SQL("old", `create type mood as enum ('sad', 'glad');
		create table orders (id int primary key, total numeric(12,2), paid bool, at timestamptz, seen timestamp, meta json, doc jsonb, raw bytea, tags text[], note text, rate float8, mood mood, secret text);
		insert into orders values
		(1, 1.50, true, '2026-11-23 04:00:00+00', '2026-11-23 04:00:00', '{"a": 1, "b": [1, 2]}', '{"n": 1.0}', '\x00ff', '{a,NULL,"b c"}', 'it''s', 0.1, 'sad', 'x'),
		(2, null, null, null, null, null, null, null, null, null, null, null, null),
		(3, 2, false, '2026-11-23 04:00:00+00', '2026-11-23 04:00:00', '{}', '{"deep": {"list": [1, 2]}}', '', '{}', '', 0, 'glad', 'y')`)
	s.SQL("new", `create type mood as enum ('sad', 'glad'); create schema shop;
		create table shop.purchases (number bigint primary key, amount numeric, paid bool, at timestamptz, seen timestamptz, meta jsonb, doc jsonb, raw bytea, tags text[], note varchar(20), rate numeric, mood mood, secret text);
		insert into shop.purchases values
		(1, 1.5, true, '2026-11-23 05:00:00+01', '2026-11-23 04:00:00+00', '{"b":[1,2],"a":1.0}', '{"n": 1}', '\x00ff', '{a,NULL,"b c"}', 'it''s', 0.100, 'sad', 'z'),
		(2, null, null, null, null, null, null, null, null, null, null, null, null),
		(3, 2.01, true, '2026-11-23 04:00:01+00', '2026-11-23 04:00:00+00', '[]', '{"deep": {"list": [1, 3]}}', '\x00', '{""}', null, 0.5, 'sad', 'q')`)
	table := compare.EffectTable{Primary: "orders", Candidate: "shop.purchases", Columns: map[string]string{"id": "number", "total": "amount"}, Ignore: []string{"secret"}}
	r := run(t, s, quick(), table)
	want(t, r, `
		orders changed id=3 at: "2026-11-23T04:00:00Z" -> "2026-11-23T04:00:01Z"
		orders changed id=3 doc.deep.list[1]: 2 -> 3
		orders type id=3 meta: {} -> []
		orders changed id=3 mood: "glad" -> "sad"
		orders type id=3 note: "" -> null
		orders changed id=3 paid: false -> true
		orders changed id=3 rate: 0 -> 0.5
		orders changed id=3 raw: "\\x" -> "\\x00"
		orders extra id=3 tags[0]: -> ""
		orders changed id=3 total: 2 -> 2.01`)
	if r.Tables[0].By != "key id" || r.Tables[0].Rows != [2]int64{3, 3} {
		t.Errorf("%+v", r.Tables[0])
	}
}

func TestMillionRows(t *testing.T) {
	if testing.Short() {
		t.Skip("a million rows")
	}
	t.Parallel()
	s := databases(t)
	const table = `create table %[1]s (id bigint primary key, customer int not null, sku text not null, %[2]s numeric(12,2) not null, meta jsonb, at timestamptz not null);
		insert into %[1]s select g, g %% 5000, 'sku-' || g %% 777, g * 0.37, jsonb_build_object('n', g %% 10), '2026-11-01'::timestamptz + g * interval '1 second' from generate_series(1, 1000000) g;
		vacuum analyze %[1]s;`
	s.SQL("old", fmt.Sprintf(table, "orders", "total"))
	s.SQL("new", fmt.Sprintf(table, "purchases", "amount"))
	s.SQL("new", `
		update purchases set amount = amount + 0.01 where id = 1;
		update purchases set sku = 'other' where id = 500000;
		update purchases set meta = '{"n": 11}' where id = 777777;
		update purchases set customer = customer + 1 where id = 1000000;
		delete from purchases where id = 123456;
		delete from purchases where id = 999999;
		insert into purchases values (1000001, 1, 'new', 1, null, '2026-11-23')`)
	var last verify.Progress
	o := quick()
	o.Progress = func(p verify.Progress) { last = p }
	r := run(t, s, o, compare.EffectTable{Primary: "orders", Candidate: "purchases", Columns: map[string]string{"total": "amount"}})
	want(t, r, `
		orders changed id=1 total: 0.37 -> 0.38
		orders missing id=123456 : {"at":"2026-11-02T10:17:36Z","customer":3456,"id":123456,"meta":{"n":6},"sku":"sku-690","total":45678.72} ->
		orders changed id=500000 sku: "sku-389" -> "other"
		orders changed id=777777 meta.n: 7 -> 11
		orders missing id=999999 : {"at":"2026-11-12T13:46:39Z","customer":4999,"id":999999,"meta":{"n":9},"sku":"sku-0","total":369999.63} ->
		orders changed id=1000000 customer: 0 -> 1
		orders extra id=1000001 : -> {"at":"2026-11-23T00:00:00Z","customer":1,"id":1000001,"meta":null,"sku":"new","total":1}`)
	took := r.Tables[0].Took
	t.Logf("%d rows in %s: %.0f rows/s; %+v", r.Rows(), took, float64(r.Rows())/took.Seconds(), last)
}
