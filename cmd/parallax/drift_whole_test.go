package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"parallax/divergence"
	"parallax/internal/rig"
)

// clerk is a service that keeps orders in a PostgreSQL. The new one does what the query asks
// for as a defect: it loses an update, or gets a total wrong.
func clerk(t *testing.T, server *rig.PostgresServer, database string, defects bool) (url string) {
	t.Helper()
	server.SQL("postgres", "create database "+database)
	server.SQL(database, "create table orders (id int primary key, status text not null, total int not null)")
	db, err := pgxpool.New(t.Context(), server.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		defect := q.Get("defect")
		err := pgx.BeginFunc(r.Context(), db, func(tx pgx.Tx) error {
			if defects && defect == "lost" {
				return nil
			}
			if _, err := tx.Exec(r.Context(), "select pg_logical_emit_message(true, 'parallax', $1)", r.Header.Get("X-Parallax-Exchange")); err != nil {
				return err
			}
			wrong := 0
			if defects && defect == "total" {
				wrong = 1
			}
			_, err := tx.Exec(r.Context(), `insert into orders values ($1::text::int, coalesce(nullif($2, ''), 'new'), coalesce(nullif($3, '')::int, 10))
				on conflict (id) do update set status = coalesce(nullif($2, ''), orders.status), total = coalesce(nullif($3, '')::int, orders.total) + $4`,
				r.PathValue("id"), q.Get("status"), q.Get("total"), wrong)
			return err
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// driftIssues lists the issues of the service: path, kind, exchanges that count, and those that
// were rolled up under it.
func driftIssues(t *testing.T, p *rig.Parallax) (out []string) {
	t.Helper()
	var issues struct{ Issues []divergence.Issue }
	if err := p.JSON("/api/v1/services/shop/issues", &issues); err != nil {
		t.Fatal(err)
	}
	for _, i := range issues.Issues {
		out = append(out, fmt.Sprintf("%s %s %d %d", i.Path, i.Kind, i.Count, i.Suppressed))
	}
	slices.Sort(out)
	return out
}

// differing waits until it is known of a number of rows that they differ.
func differing(t *testing.T, p *rig.Parallax, n int) {
	t.Helper()
	rig.Eventually(t, "rows that differ", func() error {
		var sum divergence.EffectsSummary
		if err := p.JSON("/api/v1/services/shop/effects", &sum); err != nil {
			return err
		}
		if sum.Differ != n {
			return fmt.Errorf("%d rows differ, want %d", sum.Differ, n)
		}
		return nil
	})
}

// TestDriftOutlivesARestart: after one lost update what differs in the row for that is
// inherited, also after a restart; a fault in another column or row is found as one of its
// own; and what comparing whole tables finds is inherited too.
func TestDriftOutlivesARestart(t *testing.T) {
	t.Parallel()
	servers := [2]*rig.PostgresServer{rig.Postgres(t), rig.Postgres(t)}
	config := func(verify string) string {
		return fmt.Sprintf(`
admin: { listen: "127.0.0.1:0" }
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: [%q] }
  candidate: { urls: [%q], state: own, outbound: none, jobs: off }
  endpoints: ["PUT /orders/{id}"]
  mirror: { unsafe: allowed, timeout: 30s }
  promotion: { max_inherited_share: 1 }
  effects:
    primary:   [{ postgres: %q, tables: [orders] }]
    candidate: [{ postgres: %q, tables: [orders] }]
    settle: 50ms
%s
`, "%[1]s", "%[2]s", servers[0].DSN("old"), servers[1].DSN("new"), verify)
	}
	urls := [2]any{clerk(t, servers[0], "old", false), clerk(t, servers[1], "new", true)}
	dir := t.TempDir()
	begin := func(verify string) *rig.Parallax {
		p := rig.StartIn(t, dir, fmt.Sprintf(config(verify), urls[:]...))
		untilRead(t, p)
		return p
	}
	p := begin("")
	sent := int64(0)
	put := func(what string) {
		t.Helper()
		call(t, p, "PUT", "/orders/"+what, "", 200)
		sent++
		settled(t, p, sent)
	}
	want := func(compared map[string]int64, issues ...string) {
		t.Helper()
		r := settled(t, p, sent)
		if d := cmp.Diff(compared, r.Accounting.Compared); d != "" {
			t.Errorf("accounting (-want +got)\n%s%s", d, divergedText(t, p))
		}
		if d := cmp.Diff(issues, driftIssues(t, p)); d != "" {
			t.Errorf("issues (-want +got)\n%s", d)
		}
	}
	put("7")
	put("8")
	put("7?status=paid&defect=lost")
	differing(t, p, 1)
	put("7?total=11")
	want(map[string]int64{"match": 2, "diverged": 1, "not_comparable": 1}, "effects:orders missing 1 1")
	if code := p.Stop(); code != 0 {
		t.Errorf("Parallax exits with %d", code)
	}

	p = begin("")
	differing(t, p, 1)
	put("7?total=13")
	want(map[string]int64{"match": 2, "diverged": 1, "not_comparable": 2}, "effects:orders missing 1 2")
	put("7?total=14&defect=total") // another column
	put("8?total=14&defect=total") // another row
	put("8?status=sent&defect=lost")
	want(map[string]int64{"match": 2, "diverged": 4, "not_comparable": 2}, "effects:orders $.total changed 2 0", "effects:orders missing 2 3")
	put("7?status=sent&total=1")
	put("8?status=back&total=1")
	differing(t, p, 0)
	put("7?total=2&defect=total") // where it was mended
	want(map[string]int64{"match": 4, "diverged": 5, "not_comparable": 2}, "effects:orders $.total changed 3 0", "effects:orders missing 2 3")
	if code := p.Stop(); code != 0 {
		t.Errorf("Parallax exits with %d", code)
	}
	servers[1].SQL("new", "update orders set status = 'lost' where id = 8") // in no exchange

	p = begin("    verify: { every: 1h, min_age: 0s }")
	differing(t, p, 2)
	put("8?total=3")
	put("8?total=4&defect=total")
	want(map[string]int64{"match": 4, "diverged": 6, "not_comparable": 3}, "effects:orders $.total changed 4 0", "effects:orders missing 2 3")
}
