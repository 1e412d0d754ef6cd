package postgres_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"parallax/compare/effects/postgres"
	"parallax/internal/rig"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// TestSnapshotIsThatOfItsPosition takes snapshots of a database that is written to, and
// finds in each exactly the rows that were committed up to its position.
func TestSnapshotIsThatOfItsPosition(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", "create table t (id bigint generated always as identity primary key)")
	r := read(t, s, s.DSN("postgres"), "t")
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	for range 4 {
		conn := connect(t, s.DSN("postgres"))
		writing.Go(func() {
			for ctx.Err() == nil {
				if _, err := conn.Exec(context.WithoutCancel(ctx), "insert into t default values"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	type taken struct {
		snapshot *postgres.Snapshot
		rows     []string
	}
	var all []taken
	for range 8 {
		snapshot, err := postgres.Export(t.Context(), postgres.Source{DSN: s.DSN("postgres")})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, taken{snapshot, idsIn(t, s, snapshot.Name)})
		snapshot.Close()
	}
	stop()
	writing.Wait()
	commits := r.all()
	for i, each := range all {
		var want []string
		for _, tx := range commits {
			if tx.Position <= each.snapshot.Position {
				want = append(want, *tx.Changes[0].Key[0].Value)
			}
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, each.rows); diff != "" || len(want) == 0 || len(want) == len(commits) {
			t.Errorf("snapshot %d at %s holds %d of %d rows, want %d (-want +got)\n%s", i, each.snapshot.LSN(), len(each.rows), len(commits), len(want), diff)
		}
	}
	r.stop()
	noSlotIsLeft(t, s)
}

// idsIn returns the ids of t in a snapshot, sorted as texts.
func idsIn(t *testing.T, s *rig.PostgresServer, snapshot string) (out []string) {
	t.Helper()
	conn := connect(t, s.DSN("postgres"))
	exec(t, conn, "begin isolation level repeatable read")
	exec(t, conn, "set transaction snapshot '"+snapshot+"'")
	rows, err := conn.Query(t.Context(), `select id::text from t order by id::text collate "C"`)
	if err == nil {
		out, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSnapshotOfNoDatabase: what is wrong is said without the password.
func TestSnapshotOfNoDatabase(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	_, err := postgres.Export(t.Context(), postgres.Source{DSN: s.DSN("elsewhere")})
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a snapshot of a database that is not there: %v", err)
	}
}
