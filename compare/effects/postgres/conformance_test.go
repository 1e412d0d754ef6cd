package postgres_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"parallax/compare/effects/effectstest"
	"parallax/compare/effects/postgres"
	"parallax/internal/rig"
)

func TestReaderConforms(t *testing.T) {
	t.Parallel()
	server := rig.Postgres(t)
	databases := 0
	effectstest.Conformance(t, func(t *testing.T) effectstest.Database {
		databases++
		name := fmt.Sprintf("conformance_%d", databases)
		server.SQL("postgres", "create database "+name)
		server.SQL(name, "create table notes (id int primary key, note text)")
		reader, err := postgres.New(postgres.Source{DSN: server.DSN(name), Tables: []string{"notes"}}, slog.New(slog.DiscardHandler), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		return effectstest.Database{
			Reader: reader,
			Write: func(commit bool, tags []string, ids ...int) {
				var b strings.Builder
				b.WriteString("begin;")
				for _, tag := range tags {
					fmt.Fprintf(&b, "select pg_logical_emit_message(true, 'parallax', '%s') is null;", tag)
				}
				for _, id := range ids {
					fmt.Fprintf(&b, "insert into notes values (%d);", id)
				}
				end := "rollback;"
				if commit {
					end = "commit;"
				}
				server.SQL(name, b.String()+end)
			},
			Cut: func() {
				server.SQL(name, "select pg_terminate_backend(active_pid) from pg_replication_slots where database = current_database() and active")
			},
		}
	})
}
