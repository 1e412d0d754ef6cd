package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"parallax/cmd/demoshop/shoppers"
	"parallax/internal/rig"
	"parallax/reports"
)

// TestReadsGoLiveFirst: all who read are on the candidate, then all who write. When it begins to fail
// what is written, those go back to the primary, and who reads stays.
func TestReadsGoLiveFirst(t *testing.T) {
	t.Parallel()
	p, candidate, _ := autoShops(t, "auto_groups", "[0, 10000]", `, groups: [{ name: reads, endpoints: ["GET *"] }, { name: writes, endpoints: ["* *"] }]`, "")
	candidate.spares = http.MethodGet
	var reads, writes atomic.Int64
	stop := shopUntil(t, p, func(a shoppers.Answer) {
		switch {
		case a.Err == nil:
		case a.Method == http.MethodGet:
			reads.Add(1)
		default:
			writes.Add(1)
		}
	})
	stand := func(what string, want ...int) stepAnswer {
		t.Helper()
		return untilStep(t, p, what, func(s stepAnswer) bool { return slices.Equal(s.steps(), want) })
	}
	s := stand("reads on the candidate", 10_000, 0)
	if s.Step != 10_000 || s.Who != "policy" || !strings.HasPrefix(s.Reason, "reads: 100 % of users") {
		t.Errorf("%+v", s)
	}
	stand("writes on the candidate", 10_000, 10_000)
	if n := reads.Load() + writes.Load(); n > 0 {
		t.Errorf("%d requests failed on the way up", n)
	}
	candidate.broken.Store(true)
	s = stand("writes on the primary", 10_000, 0)
	if s.Who != "policy" || !strings.HasPrefix(s.Reason, "writes: Everybody belongs back on the primary: ") {
		t.Errorf("%q by %q", s.Reason, s.Who)
	}
	rig.Eventually(t, "a verdict on each group", func() error {
		var v reports.Verdict
		if err := p.JSON("/api/v1/services/shop/verdict", &v); err != nil {
			return err
		}
		if len(v.Groups) != 2 || v.Groups[0].Decision != reports.Promote || v.Groups[1].Decision != reports.Rollback || v.Decision != reports.Rollback {
			return fmt.Errorf("%s; %+v", v.Decision, v.Groups)
		}
		return nil
	})
	untilStep(t, p, "the policy to wait", func(s stepAnswer) bool {
		return s.Course.Code == reports.Unproven && strings.HasPrefix(s.Course.Text, "writes: ")
	})
	p.Restart()
	stand("the same after a restart", 10_000, 0)
	stop()
	if reads.Load() > 0 || writes.Load() == 0 {
		t.Errorf("%d reads and %d writes failed", reads.Load(), writes.Load())
	}
}

// TestGroupsByHand: a person moves one group, and a rollback all of them.
func TestGroupsByHand(t *testing.T) {
	t.Parallel()
	config := shopConfig(backend(t, "9.99"), backend(t, "9.99"), `
  split: { key: "header:X-User", groups: [{ name: reads, endpoints: ["GET *"] }, { name: writes, endpoints: ["POST *"] }] }
`)
	p := rig.Start(t, config)
	move := func(method, target, body string, want ...int) {
		t.Helper()
		if status, answer := setStep(t, p, method, target, body); status != http.StatusOK {
			t.Fatalf("%d %s", status, answer)
		}
		if s := untilStep(t, p, "the step", func(stepAnswer) bool { return true }); !slices.Equal(s.steps(), want) || s.Step != slices.Max(want) {
			t.Errorf("%s %s: %d, %v; want %v", target, body, s.Step, s.steps(), want)
		}
	}
	move("PUT", "step", `{"step":2500,"group":"reads","reason":"first readers"}`, 2500, 0)
	move("PUT", "step", `{"step":100,"group":"writes","reason":"first writers"}`, 2500, 100)
	text := get(t, p.Admin+"/metrics")
	for _, want := range []string{`parallax_step_basis_points{service="shop"} 2500`, `parallax_group_step_basis_points{group="reads",service="shop"} 2500`, `parallax_group_step_basis_points{group="writes",service="shop"} 100`} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %s", want)
		}
	}
	if status, answer := setStep(t, p, "PUT", "step", `{"step":100,"group":"carts","reason":"there are none"}`); status != http.StatusUnprocessableEntity || !strings.Contains(answer, "reads, writes") {
		t.Errorf("a group that is not: %d %s", status, answer)
	}
	p.Restart()
	move("PUT", "step", `{"step":0,"group":"reads","reason":"writers alone"}`, 0, 100)
	move("PUT", "step", `{"step":500,"reason":"all of it"}`, 500, 500)
	move("POST", "rollback", `{"reason":"enough"}`, 0, 0)
}

// TestGroupsAreReloaded: a group that is new begins at 0, and without groups the lowest step holds.
func TestGroupsAreReloaded(t *testing.T) {
	t.Parallel()
	groups := func(list string) string {
		return shopConfig("http://127.0.0.1:1", "http://127.0.0.1:1", fmt.Sprintf("  split: { key: \"header:X-User\"%s }\n", list))
	}
	dir := t.TempDir()
	p := rig.StartIn(t, dir, groups(""))
	if status, answer := setStep(t, p, "PUT", "step", `{"step":2500,"reason":"first users"}`); status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	turn := func(list string, step int, want ...int) {
		t.Helper()
		rewrite(t, dir, groups(list))
		reload(t, p, http.StatusOK)
		if s := untilStep(t, p, "the step", func(stepAnswer) bool { return true }); s.Step != step || !slices.Equal(s.steps(), want) {
			t.Errorf("%s: step %d, %v; want %d, %v", list, s.Step, s.steps(), step, want)
		}
	}
	turn(`, groups: [{ name: reads, endpoints: ["GET *"] }, { name: writes, endpoints: ["POST *"] }]`, 2500, 2500, 2500)
	if status, answer := setStep(t, p, "PUT", "step", `{"step":100,"group":"writes","reason":"fewer"}`); status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	turn(`, groups: [{ name: gets, endpoints: ["GET *"] }, { name: writes, endpoints: ["POST *"] }]`, 100, 0, 100)
	if status, answer := setStep(t, p, "PUT", "step", `{"step":5000,"group":"gets","reason":"more"}`); status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	turn("", 100)
}
