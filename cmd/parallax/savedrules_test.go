package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parallax/divergence"
	"parallax/internal/rig"
	"parallax/reports"
)

// TestSavedRulesAreInForce saves rules in a whole Parallax: the next exchange is judged by them,
// the verdict is on new evidence, a restart keeps them, and the configuration can take them over
// without a loss.
func TestSavedRulesAreInForce(t *testing.T) {
	t.Parallel()
	const rule = "{ path: \"$.price\", tolerance: { abs: 0.01 }, reason: rounded, owner: team-shop }"
	dir := t.TempDir()
	config := shopConfig(backend(t, "9.99"), backend(t, "9.98"), "  rules: [{ path: \"$.id\", ignore: true, reason: made up, owner: team-shop }]\n")
	p := rig.StartIn(t, dir, config)
	verb := func(want int, says string, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		args = append([]string{"rules", args[0], "--server", p.Admin, "--service", "shop"}, args[1:]...)
		if code := run(t.Context(), args, os.Getenv, strings.NewReader(""), &out, &errs); code != want || !strings.Contains(out.String()+errs.String(), says) {
			t.Fatalf("parallax %v: %d, want %d and %q\n%s%s", args, code, want, says, &out, &errs)
		}
		return out.String()
	}
	outcomes := func(n int64) (matched, diverged int64) {
		t.Helper()
		e := endpoint(t, settled(t, p, n), "GET /orders/{id}")
		return e.Matched, e.Diverged
	}
	for i := range 3 {
		call(t, p, "GET", fmt.Sprintf("/orders/%d", i), "", 200)
	}
	if matched, diverged := outcomes(3); matched != 0 || diverged != 3 {
		t.Fatalf("%d match, %d diverge", matched, diverged)
	}
	verb(0, "nobody saved rules of shop yet", "saved")
	file := filepath.Join(t.TempDir(), "new.yaml")
	if err := os.WriteFile(file, []byte("- "+rule+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	verb(2, "needs --server", "save", "--server", "", "--reason", "x", file)
	verb(2, "takes --reason", "save", file)
	verb(2, "saved by somebody else meanwhile", "save", "--reason", "x", "--version", "000000000000", file)
	verb(0, "saved as version ", "save", "--reason", "prices are rounded", file)
	if got := verb(0, "admin API", "saved"); !strings.Contains(got, ": prices are rounded\n- "+rule) {
		t.Errorf("saved: %s", got)
	}
	for i := range 2 {
		call(t, p, "GET", fmt.Sprintf("/orders/%d", 10+i), "", 200)
	}
	if matched, diverged := outcomes(5); matched != 2 || diverged != 3 {
		t.Errorf("once it is saved, %d match, %d diverge", matched, diverged)
	}
	var saved struct {
		RulesVersion string `json:"rules_version"`
		Rules        []struct{ Saved bool }
		Sets         []divergence.RuleSet
	}
	rig.Eventually(t, "the set of rules", func() error {
		if err := p.JSON("/api/v1/services/shop/rules", &saved); err != nil || len(saved.Rules) != 2 || saved.Rules[0].Saved || !saved.Rules[1].Saved || len(saved.Sets) != 2 || saved.Sets[0].By != "admin API" {
			return fmt.Errorf("%v %+v", err, saved)
		}
		return nil
	})
	rig.Eventually(t, "the verdict on new evidence", func() error {
		var v reports.Verdict
		if err := p.JSON("/api/v1/services/shop/verdict", &v); err != nil || v.RulesVersion != saved.RulesVersion {
			return fmt.Errorf("%v, rules %s, want %s", err, v.RulesVersion, saved.RulesVersion)
		}
		for _, r := range v.Reasons {
			if r.Endpoint == "GET /orders/{id}" && r.Code == reports.InsufficientSamples && r.N == 2 && r.K == 0 {
				return nil
			}
		}
		return fmt.Errorf("%s: %+v", v.Decision, v.Reasons)
	})
	p.Stop()

	// The file takes the rule over: it is the same set, on the same evidence.
	config = strings.Replace(config, "owner: team-shop }]\n", "owner: team-shop }, "+rule+"]\n", 1)
	p = rig.StartIn(t, dir, config)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	settled(t, p, 5) // the store is there
	verb(0, "version "+saved.RulesVersion+" now", "save", "--reason", "they are in the file", file)
	if matched, diverged := outcomes(5); matched != 2 || diverged != 3 {
		t.Errorf("after the restart, %d match, %d diverge", matched, diverged)
	}
}

// TestSavedRulesThatCannotBeInForce are left out, and the verdict says so and holds: they may
// have asked for what nothing else does.
func TestSavedRulesThatCannotBeInForce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "parallax-state", "rules"), 0o755); err != nil {
		t.Fatal(err)
	}
	odd := divergence.NewSavedRules("- { path: \"$.price\", of_another_release: true }")
	odd.Who = "ann"
	text, err := json.Marshal(odd)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "parallax-state", "rules", "shop.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	c := shopService(t)
	board := divergence.NewBoard(divergence.BoardConfig{Dir: filepath.Join(dir, "parallax-state")})
	if err := board.Open("shop"); err != nil {
		t.Fatal(err)
	}
	got, faults := newTerms(c, make([]byte, 32), board, nil)
	if len(faults) > 0 || len(got.compares.Rules.List()) != len(c.Rules) || !strings.Contains(got.leftOut, "ann") || !strings.Contains(got.leftOut, "of_another_release") {
		t.Errorf("%v; left out: %s", faults, got.leftOut)
	}
	v := reports.NewEvidence(reports.DefaultPromotion()).Verdict(got.saved.At, reports.Context{Service: "shop", RulesLeftOut: got.leftOut})
	if v.Decision != reports.Hold || v.Reasons[0].Code != reports.RulesLeftOut {
		t.Errorf("%s: %+v", v.Decision, v.Reasons)
	}
}

func shopService(t *testing.T) ServiceConfig {
	t.Helper()
	c, faults := parseConfig("parallax.yaml", []byte(shopConfig("http://127.0.0.1:1", "http://127.0.0.1:2", "  rules: [{ path: \"$.id\", ignore: true, reason: r, owner: o }]\n")))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return c.Services[0]
}
