package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parallax/compare/effects/postgres/verify"
	"parallax/internal/rig"

	"github.com/google/go-cmp/cmp"
)

// effectsFile writes a configuration of one service with two databases.
func effectsFile(t *testing.T, primary, candidate string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "parallax.yaml")
	text := fmt.Sprintf(`
services:
- name: shop
  listen: 127.0.0.1:0
  primary: { urls: ["http://127.0.0.1:1"] }
  candidate: { urls: ["http://127.0.0.1:2"] }
  redact: { paths: ["$.email"] }
  effects:
    primary: [{ postgres: %q, tables: [orders, people] }]
    candidate: [{ postgres: %q, tables: [purchases, people] }]
    tables: [{ primary: orders, candidate: purchases, columns: {total: amount} }]
    verify: { min_age: 0s }
`, primary, candidate)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func effectsVerb(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"effects"}, args...), func(string) string { return "" }, strings.NewReader(""), &out, &errs)
	return out.String(), errs.String(), code
}

func TestEffectsVerify(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", "create database old; create database new")
	s.SQL("old", `create table orders (id int primary key, total numeric); insert into orders values (1, 1.50), (2, 2); create table people (id int primary key, email text); insert into people values (1, 'ann@example.com')`)
	s.SQL("new", `create table purchases (id int primary key, amount numeric); insert into purchases values (1, 1.5), (2, 2); create table people (id int primary key, email text); insert into people values (1, 'ann@example.com')`)
	file := effectsFile(t, s.DSN("old"), s.DSN("new"))

	out, errs, code := effectsVerb(t, "verify", "-c", file)
	if code != exitGood || !strings.Contains(out, "orders / purchases: same by key id; 2 and 2 rows") || !strings.Contains(out, "same in 3 rows of 2 tables") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	s.SQL("new", `update purchases set amount = 3 where id = 2; update people set email = 'bob@example.com'; insert into purchases values (3, 1)`)
	out, errs, code = effectsVerb(t, "verify", "-c", file, "--service", "shop")
	if code != exitNot || !strings.Contains(out, "  id=2 total changed: 2 -> 3\n  id=3 is only on the candidate: {\"id\":3,\"total\":1}\n") || !strings.Contains(out, "redacted:") || strings.Contains(out, "example.com") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	out, errs, code = effectsVerb(t, "verify", "-c", file, "--table", "orders", "--format", "json", "--rate", "1000")
	var got struct {
		Same   bool
		Tables []verify.Table
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitNot || got.Same || len(got.Tables) != 1 || len(got.Tables[0].Differences) != 2 {
		t.Errorf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	for name, args := range map[string][]string{
		"no database of the primary lists a table others":                    {"verify", "-c", file, "--table", "others"},
		`there is no service "x" with databases`:                             {"verify", "-c", file, "--service", "x"},
		"there is no table people":                                           {"verify", "-c", effectsFile(t, s.DSN("old"), s.DSN("postgres")), "--table", "people"},
		"usage: parallax effects verify":                                     {"verify"},
		"effects wants to know what to do: verify, plan, install, uninstall": {},
	} {
		if _, errs, code := effectsVerb(t, args...); code != exitError || !strings.Contains(errs, name) {
			t.Errorf("%s: exit %d, %s", name, code, errs)
		}
	}
}

func TestEffectsPlan(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t, "wal_level=replica")
	s.SQL("postgres", "create database old; create role parallax login")
	s.SQL("old", `create table orders (id int primary key); create table people (id int)`)
	file := effectsFile(t, s.As("parallax", "old"), "postgres://parallax:hunter22@127.0.0.1:1/new")
	out, errs, code := effectsVerb(t, "plan", "-c", file)
	if code != exitGood || strings.Contains(out, "hunter22") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	for _, want := range []string{
		"-- What Parallax needs to read what the primary of shop writes",
		"\nALTER SYSTEM SET wal_level = 'logical';", "-- done: max_wal_senders: 0 of 10 are taken", "-- Restart: yes, once.",
		"\nALTER ROLE parallax REPLICATION;", "\nGRANT SELECT ON orders, people TO parallax;", "-- done: orders: its rows can be named",
		"\nALTER TABLE people REPLICA IDENTITY FULL;", "\nCREATE PUBLICATION", "--   ALTER TABLE people REPLICA IDENTITY DEFAULT;", "--   DROP PUBLICATION IF EXISTS parallax;",
		"-- It could not be asked (", "\nCREATE ROLE parallax LOGIN PASSWORD '...';",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan lacks %q:\n%s", want, out)
		}
	}

	if out, errs, code := checked(t, file); code != exitNot || !strings.Contains(errs, "services[0].effects.primary[0].postgres: wal_level is replica") || strings.Contains(out+errs, "hunter22") {
		t.Errorf("check: exit %d\n%s%s", code, out, errs)
	}

	// What it asks for can be run as it is, and then nothing is missing.
	page, _, _ := strings.Cut(out, "-- What Parallax needs to read what the candidate")
	var statements []string
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "--") && !strings.HasPrefix(line, "ALTER SYSTEM") {
			statements = append(statements, line)
		}
	}
	ready := rig.Postgres(t)
	ready.SQL("postgres", "create database old; create role parallax login")
	ready.SQL("old", "create table orders (id int primary key); create table people (id int)")
	ready.SQL("old", strings.Join(statements, ""))
	file = effectsFile(t, ready.As("parallax", "old"), "postgres://parallax:hunter22@127.0.0.1:1/new")
	if out, errs, code := checked(t, file); code != exitGood || !strings.Contains(out, "# -- It was asked just now: nothing is missing.") || strings.Contains(out+errs, "hunter22") {
		t.Errorf("check: exit %d\n%s%s", code, out, errs)
	}
	out, _, _ = effectsVerb(t, "plan", "-c", file)
	page, _, _ = strings.Cut(out, "-- What Parallax needs to read what the candidate")
	if !strings.Contains(page, "nothing is missing") || !strings.Contains(page, "-- Restart: no.") {
		t.Errorf("after all of it was run:\n%s", page)
	}
	for line := range strings.Lines(page) {
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "--") {
			t.Errorf("still asked for: %s", line)
		}
	}
}

// TestCheckAsksTheDatabases: what a database answers is a fault with its place; one that
// nobody can reach from here is worth a word. A candidate's own database is not the primary's,
// whatever it is called.
func TestCheckAsksTheDatabases(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", "create database old; create database new; create table orders (id int primary key)")
	for _, database := range []string{"old", "new"} {
		s.SQL(database, "create table orders (id int primary key, total int); create table people (id int primary key); create table purchases (id int primary key, amount int)")
	}
	own := func(primary, candidate string) string {
		file := effectsFile(t, primary, candidate)
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, bytes.Replace(text, []byte(`http://127.0.0.1:2"]`), []byte(`http://127.0.0.1:2"], state: own`), 1), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	local := strings.Replace(s.DSN("old"), "127.0.0.1", "localhost", 1)
	for name, c := range map[string]struct {
		file string
		code int
		want []string
	}{
		"good":                          {own(s.DSN("old"), s.DSN("new")), exitGood, nil},
		"a role that does not exist":    {own(s.As("nobody", "old"), s.DSN("new")), exitNot, []string{"services[0].effects.primary[0].postgres: does not take the connection", `role "nobody" does not exist`}},
		"a database that does not":      {own(s.DSN("old"), s.DSN("nothing")), exitNot, []string{"services[0].effects.candidate[0].postgres: ", `database "nothing" does not exist`, "name a database of that server; all that"}},
		"a table that does not":         {own(s.DSN("old"), s.DSN("postgres")), exitNot, []string{"services[0].effects.candidate[0].tables[0]: there is no table purchases; all that"}},
		"an authority that is missing":  {own(s.DSN("old")+"&sslrootcert=/nowhere/ca.pem", s.DSN("new")), exitNot, []string{"/nowhere/ca.pem: no such file or directory"}},
		"nobody is there":               {own("postgres://u:hunter22@127.0.0.1:1/old", s.DSN("new")), exitGood, []string{"# services[0].effects.primary[0]: was not asked: cannot connect", "connection refused"}},
		"one database":                  {own(s.DSN("old"), s.DSN("old")), exitNot, []string{"services[0].effects.candidate[0].tables[1]: people of the same database is read as the primary's"}},
		"one database, by another name": {own(s.DSN("old"), local), exitNot, []string{"services[0].effects.candidate[0].tables[1]: people of the same database is read as the primary's"}},
		"one database that is shared":   {effectsFile(t, s.DSN("old"), local), exitGood, nil},
	} {
		out, errs, code := checked(t, c.file)
		if code != c.code || strings.Contains(out+errs, "hunter22") {
			t.Errorf("%s: exit %d\n%s%s", name, code, out, errs)
		}
		for _, want := range c.want {
			if !strings.Contains(out+errs, want) {
				t.Errorf("%s lacks %q:\n%s", name, want, errs)
			}
		}
	}
}

// TestCheckHoldsTablesAgainstTheirColumns: names that no table has are faults, what has no
// partner and rules about tables that nobody reads are worth a word.
func TestCheckHoldsTablesAgainstTheirColumns(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", "create database old; create database new")
	s.SQL("old", `create table orders (id int primary key, total numeric, old text, at timestamptz, doubled numeric generated always as (total * 2) stored); create table people (id int primary key, email text); create table audit (id int primary key)`)
	s.SQL("new", `create table purchases (id int primary key, amount numeric, extra text, at timestamptz, doubled numeric); create table people (id int primary key, email text, planned text); create table journal (id int primary key)`)
	write := func(change ...string) string {
		file := effectsFile(t, s.DSN("old"), s.DSN("new"))
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, []byte(strings.NewReplacer(change...).Replace(string(text))), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	out, errs, code := checked(t, write("tables: [orders, people]", "tables: [orders, people, audit]", "tables: [purchases, people]", "tables: [purchases, people, journal]", "  effects:\n", `  rules:
  - { path: "effects:nothing $.a", ignore: true, reason: r, owner: o }
  - { path: "effects:purchases $.amount", tolerance: {abs: 1}, reason: r, owner: o }
  - { path: "effects:people $.planned", expect: extra, reason: r, owner: o }
  effects:
`))
	var got []string
	for line := range strings.Lines(out) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "# services[0].effects: "); ok {
			text, _, _ = strings.Cut(text, ", until")
			got = append(got, text)
		}
	}
	want := []string{
		"orders.old has no partner in the log of the candidate's purchases: each row differs there",
		"purchases.doubled of the candidate has no partner in the log of orders: each row differs there",
		"purchases.extra of the candidate has no partner in the log of orders: each row differs there",
		"audit has no partner among the candidate's tables: each row of it is missing there",
		"journal of the candidate has no partner among the primary's tables: each row of it is extra",
		"rules[0] does nothing: no database lists a table nothing",
		"rules[1] does nothing: purchases is the candidate's name, and rules name tables as the primary does: effects:orders",
	}
	if d := cmp.Diff(want, got); d != "" || code != exitGood {
		t.Errorf("exit %d (-want +got)\n%s%s", code, d, errs)
	}
	out, errs, code = checked(t, write("columns: {total: amount}", "columns: {totl: amont}, ignore: [doubled, att], generated: [idd], references: {x: people.id}, age: up, key: [nr]"))
	for _, want := range []string{"tables[0].columns: orders has no column totl", "tables[0].columns.totl: purchases has no column amont", "tables[0].ignore: orders has no column att", "tables[0].generated: orders has no column idd",
		"tables[0].key: orders has no column nr", "tables[0].age: orders has no column up", "tables[0].references: orders has no column x", "7 faults"} {
		if code != exitNot || !strings.Contains(errs, want) {
			t.Errorf("exit %d, lacks %q:\n%s%s", code, want, out, errs)
		}
	}
}

func checked(t *testing.T, file string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), []string{"check", "-c", file}, func(string) string { return "" }, strings.NewReader(""), &out, &errs)
	return out.String(), errs.String(), code
}

func TestVerifyBar(t *testing.T) {
	t.Parallel()
	got := barText(verify.Progress{Table: "orders", Number: 1, Of: 2, Rows: 500, Guessed: 1000, Rate: 100, Left: 5 * time.Second, Suspects: 2})
	if d := cmp.Diff("[===============               ]  50 %  orders (1 of 2): 500 rows, 100/s, 5s left; 2 rows differ at first sight", got); d != "" {
		t.Error(d)
	}
}
