package main

import (
	"strings"
	"testing"

	"parallax/internal/rig"
)

func TestEffectsInstall(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", `create table orders (id int primary key); create schema billing; create table billing."Ledger" (id int primary key)`)
	do := func(wantCode int, args ...string) (string, string) {
		t.Helper()
		var out, errs strings.Builder
		if code := run(t.Context(), append([]string{"effects"}, args...), func(string) string { return "" }, nil, &out, &errs); code != wantCode {
			t.Errorf("%v: exit code %d: %s%s", args, code, out.String(), errs.String())
		}
		return out.String(), errs.String()
	}
	triggers := func() string {
		return s.SQL("postgres", "select string_agg(tgrelid::regclass::text, ' ' order by tgrelid::regclass::text) from pg_trigger")
	}
	if out, _ := do(exitGood, "install", "--dsn", s.DSN("postgres"), "orders", "billing.Ledger"); !strings.Contains(out, "2 tables have the trigger") || strings.Contains(out, "sslmode") {
		t.Errorf("install said %s", out)
	}
	if got := triggers(); got != `billing."Ledger" orders` {
		t.Errorf("the triggers are on %s", got)
	}
	do(exitGood, "uninstall", "--dsn", s.DSN("postgres"))
	if got := triggers(); got != "" {
		t.Errorf("the triggers are on %s", got)
	}
	printed, _ := do(exitGood, "install", "--print", "orders")
	s.SQL("postgres", printed)
	if got := triggers(); got != "orders" {
		t.Errorf("the triggers are on %s", got)
	}
	printed, _ = do(exitGood, "uninstall", "--print")
	s.SQL("postgres", "set client_min_messages = warning;"+printed)
	if got := triggers(); got != "" {
		t.Errorf("the triggers are on %s", got)
	}

	for want, args := range map[string][]string{
		"what to do: verify, plan, install, uninstall": nil,
		"names no table":               {"install", "--print"},
		"say --dsn":                    {"install", "orders"},
		"or --print":                   {"uninstall", "--print", "--dsn", "x"},
		"finds the tables by itself":   {"uninstall", "--dsn", s.DSN("postgres"), "orders"},
		`relation "nothing" does not`:  {"install", "--dsn", s.DSN("postgres"), "nothing"},
		"is not a connection string":   {"install", "--dsn", "postgres://u:s3cr3t@[/", "orders"},
		"a.b.c\" is no table":          {"install", "--print", "a.b.c"},
		"cannot connect":               {"uninstall", "--dsn", "postgres://u:s3cr3t@127.0.0.1:1/d"},
		"cannot install the trigger: ": {"install", "--dsn", "postgres://u:s3cr3t@127.0.0.1:1/d", "orders"},
	} {
		if _, errs := do(exitError, args...); !strings.Contains(errs, want) || strings.Contains(errs, "s3cr3t") {
			t.Errorf("%v said %s; want %s", args, errs, want)
		}
	}
}
