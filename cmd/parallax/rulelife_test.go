package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parallax/divergence"
	"parallax/internal/rig"
	"parallax/reports"
)

// TestLifeOfRules takes rules through their life in a whole Parallax: in force and
// counted, tried on what is stored, put in force by a reload, with the share of
// flaws that would be found in the verdict.
func TestLifeOfRules(t *testing.T) {
	t.Parallel()
	const rules = "  rules:\n  - { path: \"$.id\", ignore: true, reason: made up, owner: team-shop }\n"
	config := shopConfig(backend(t, "9.99"), backend(t, "9.98"), rules)
	dir := t.TempDir()
	p := rig.StartIn(t, dir, config)
	for i := range 5 {
		call(t, p, "GET", fmt.Sprintf("/orders/%d", i), "", 200)
	}
	settled(t, p, 5)
	verb := func(want int, says string, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		args = append([]string{"rules", args[0], "--server", p.Admin, "--service", "shop"}, args[1:]...)
		if code := run(t.Context(), args, os.Getenv, strings.NewReader(""), &out, &errs); code != want || !strings.Contains(out.String()+errs.String(), says) {
			t.Fatalf("parallax %v: %d, want %d and %q\n%s%s", args, code, want, says, &out, &errs)
		}
		return out.String()
	}
	file := filepath.Join(t.TempDir(), "new.yaml")
	if err := os.WriteFile(file, []byte("- { path: \"$.price\", tolerance: {abs: 0.01}, reason: rounding }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, "storing the pairs", func() error {
		var d divergence.Rejudged
		if err := postJSON(t, p, "/api/v1/services/shop/rules:rejudge", &d); err != nil || d.Pairs.Looked != 5 {
			return fmt.Errorf("%v: %+v", err, d)
		}
		return nil
	})
	verb(1, "would hide 5 of 5 divergences, 1 issue vanishes", "dry-run", file)
	verb(1, "5 come to another outcome", "rejudge", file)
	verb(0, "0 come to another outcome", "rejudge")
	verb(2, "there is no service", "rejudge", "--service", "nosuch")
	blind := verb(1, "hidden by rules[0] $.id: made up (team-shop)", "blind-spots", "--least", "0.99")
	verb(0, "", "blind-spots")
	t.Log(blind)

	rig.Eventually(t, "the share in the verdict", func() error {
		var v reports.Verdict
		if err := p.JSON("/api/v1/services/shop/verdict", &v); err != nil {
			return err
		}
		if c := v.Caught["GET /orders/{id}"]; c.N == 0 || c.Share <= 0.3 || c.Share >= 1 || c.At.IsZero() {
			return fmt.Errorf("caught: %+v", v.Caught)
		}
		return nil
	})
	var before ruleLife
	rig.Eventually(t, "counting what the rule took away", func() error { return before.read(p, 1) })
	if before.Sets[0].By != "start" || before.Sets[0].Version != before.RulesVersion {
		t.Errorf("%+v", before)
	}

	if err := os.WriteFile(filepath.Join(dir, "parallax.yaml"), []byte(strings.Replace(config, "$.id", "$.price", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	var done struct{ Faults []string }
	if err := postJSON(t, p, "/api/v1/reload", &done); err != nil || len(done.Faults) > 0 {
		t.Fatal(err, done.Faults)
	}
	var after ruleLife
	rig.Eventually(t, "noting the new rules", func() error { return after.read(p, 2) })
	if after.Sets[0].By != "reload" || after.Sets[1].Version != before.RulesVersion || after.RulesVersion == before.RulesVersion {
		t.Errorf("%+v", after)
	}
	var set divergence.RuleSet
	if err := p.JSON("/api/v1/services/shop/rules/"+before.RulesVersion, &set); err != nil || !strings.Contains(set.Text, "path: $.id") {
		t.Errorf("%v: the rules a verdict was bound to: %+v", err, set)
	}
}

// ruleLife is what the API says about the rules of a service.
type ruleLife struct {
	RulesVersion string `json:"rules_version"`
	Sets         []divergence.RuleSet
	Rules        []struct{ Differences int }
}

// read wants so many sets of rules.
func (l *ruleLife) read(p *rig.Parallax, sets int) error {
	*l = ruleLife{}
	if err := p.JSON("/api/v1/services/shop/rules", l); err != nil {
		return err
	}
	if len(l.Sets) != sets || len(l.Rules) != 1 {
		return errors.New("not yet: " + fmt.Sprintf("%+v", *l))
	}
	return nil
}

// postJSON sends an empty request and reads the answer.
func postJSON(t *testing.T, p *rig.Parallax, path string, into any) error {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.Admin+path, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, text)
	}
	return errors.Join(err, json.Unmarshal(text, into))
}
