package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"parallax/internal/rig"
	"parallax/reports"
	"parallax/ui"
)

// TestCopySurvivesARestart: a copy that was begun goes on in the next process, but for its
// snapshot; what came meanwhile is caught up when it ends, and a copy that cannot be made
// leaves everything as it was.
func TestCopySurvivesARestart(t *testing.T) {
	t.Parallel()
	old, new := newWriter(t, "orders", "order_items", "total", "order_id", 1, false), newWriter(t, "purchases", "purchase_items", "amount", "purchase_id", 9001, false)
	dir, config := t.TempDir(), effectsConfig(old, new, "100ms")
	const api = "/api/v1/services/shop"
	p := rig.StartIn(t, dir, config)
	untilRead(t, p)
	order := func(n int) {
		t.Helper()
		for range n {
			call(t, p, "POST", "/orders", "{}", http.StatusCreated)
		}
	}
	state := func(want string, snapshot bool) {
		t.Helper()
		var got struct{ Copy *ui.Copy }
		if err := p.JSON(api+"/copy", &got); err != nil || got.Copy == nil || got.Copy.State != want || (got.Copy.Snapshot != "") != snapshot {
			t.Errorf("the copy is %+v (%v), want %s, with a snapshot %t", got.Copy, err, want, snapshot)
		}
	}
	purchases := func(want int) {
		t.Helper()
		rig.Eventually(t, fmt.Sprintf("%d purchases", want), func() error {
			if got := new.server.SQL("postgres", "select count(*) from purchases"); got != fmt.Sprint(want) {
				return fmt.Errorf("there are %s", got)
			}
			return nil
		})
	}
	order(2)
	purchases(2)
	post(t, p, api+"/copy:begin", "a new database")
	state("copying", true)
	order(3)
	rig.Eventually(t, "a verdict that holds", func() error {
		var v reports.Verdict
		if err := p.JSON(api+"/verdict", &v); err != nil {
			return err
		}
		if v.Decision != reports.Hold || !strings.Contains(fmt.Sprint(v.Reasons), "being made anew") {
			return fmt.Errorf("it does not say that the database is being made anew: %+v", v)
		}
		return nil
	})
	if answer := conflicting(t, p, api+"/copy:begin"); !strings.Contains(answer, "end or cancel it first") {
		t.Errorf("a second copy: %s", answer)
	}
	if answer := ask(t, p, http.MethodPut, api+"/step", `{"step":100,"reason":"go"}`, http.StatusConflict); !strings.Contains(answer, "being made anew") {
		t.Errorf("a share of callers meanwhile: %s", answer)
	}
	p.Stop()
	p = rig.StartIn(t, dir, config)
	untilRead(t, p)
	state("copying", false)
	order(1)
	purchases(2)
	post(t, p, api+"/copy:end", "it is there")
	state("copied", false)
	purchases(6)

	post(t, p, api+"/copy:begin", "once more")
	order(1)
	post(t, p, api+"/copy:cancel", "not now")
	state("copied", false)
	purchases(7)
	if answer := conflicting(t, p, api+"/copy:end"); !strings.Contains(answer, "no copy is being made") {
		t.Errorf("the end of no copy: %s", answer)
	}
	if left := old.server.SQL("postgres", "select count(*) from pg_replication_slots where slot_name not in (select slot_name from pg_replication_slots where active)"); left != "0" {
		t.Errorf("%s slots are left", left)
	}
}

// conflicting posts something that cannot be done, and returns why not.
func conflicting(t *testing.T, p *rig.Parallax, path string) string {
	t.Helper()
	return ask(t, p, http.MethodPost, path, "{}", http.StatusConflict)
}
