package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"parallax/internal/rig"
	"parallax/reports"
)

// Whole tables are compared by themselves, and what was found is in the report, on the
// page, and there again after a restart.
func TestTablesAreComparedOnSchedule(t *testing.T) {
	t.Parallel()
	s := rig.Postgres(t)
	s.SQL("postgres", "create database old; create database new")
	for _, database := range []string{"old", "new"} {
		s.SQL(database, "create table orders (id int primary key, total int, password text); insert into orders values (1, 1, 'one-secret'), (2, 2, 'two-secret')")
	}
	s.SQL("new", "update orders set total = 3, password = 'three-secret' where id = 2")
	back := backend(t, "1.00")
	config := shopConfig(back, back, fmt.Sprintf(`
  effects:
    primary: [{ postgres: %q, tables: [orders] }]
    candidate: [{ postgres: %q, tables: [orders] }]
    verify: { every: 1h, min_age: 0s }
`, s.DSN("old"), s.DSN("new")))
	dir := t.TempDir()
	compared := func(p *rig.Parallax) reports.Tables {
		var r reports.Report
		rig.Eventually(t, "a comparison of tables", func() error {
			r = reports.Report{}
			if err := p.JSON("/api/v1/services/shop/report", &r); err != nil {
				return err
			}
			if r.Tables == nil {
				return fmt.Errorf("the report has no tables")
			}
			return nil
		})
		return *r.Tables
	}
	p := rig.StartIn(t, dir, config)
	first := compared(p)
	if len(first.Tables) != 1 || first.Differences() != 2 || first.Error != "" || first.Tables[0].First[1] != "id=2 total changed: 2 -> 3" {
		t.Errorf("found %+v", first)
	}
	answer, err := http.Get(p.Admin + "/services/shop")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil || !strings.Contains(string(page), "differences: 2 in orders, 2 rows of 1 tables") || strings.Contains(string(page), "-secret") {
		t.Errorf("the page: %v\n%s", err, page)
	}
	p.Stop()
	if again := compared(rig.StartIn(t, dir, config)); !again.Ended.Equal(first.Ended) {
		t.Errorf("after a restart the tables were compared anew: %s, not %s", again.Ended, first.Ended)
	}
}
