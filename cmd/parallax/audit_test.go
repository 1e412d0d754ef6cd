package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parallax/internal/rig"
	"parallax/reports"
)

// typed runs a verb and returns its exit code and what it says.
func typed(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), args, os.Getenv, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// TestVerdictIsReplayable: what a whole Parallax exports comes to its verdict, byte by
// byte, without it, and so it does after more traffic. Every verdict names the head of
// the chain, in which the next decisions follow, over a restart.
func TestVerdictIsReplayable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := shopConfig(backend(t, "9.99"), backend(t, "9.98"), "  split: { key: \"header:X-User\", salt: s, endpoints: [\"GET *\"] }\n")
	p := rig.StartIn(t, dir, config)
	file := filepath.Join(t.TempDir(), "evidence.jsonl")
	heads := map[string]bool{}

	replays := func(want int, says string) {
		t.Helper()
		var code int
		var exported string
		rig.Eventually(t, "the verdict", func() error {
			var errs string
			code, exported, errs = typed(t, "verdict", "--server", p.Admin, "--service", "shop", "--export", file, "--format", "json")
			if code != want || !strings.Contains(exported, says) || errs != "" {
				return fmt.Errorf("exit code %d, want %d and %s\n%s%s", code, want, says, exported, errs)
			}
			return nil
		})
		again, replayed, errs := typed(t, "verdict", "--from", file, "--format", "json")
		if again != code || replayed != exported || errs != "" {
			t.Fatalf("replayed: exit code %d, want %d; %s\n%s\n%s", again, code, errs, replayed, exported)
		}
		_, text, _ := typed(t, "verdict", "--from", file)
		_, head, found := strings.Cut(text, "\nChain: ")
		if head = strings.TrimSpace(head); !found || len(head) != 64 {
			t.Fatalf("no chain in\n%s", text)
		}
		heads[head] = true
	}
	replays(verdictHold, `"no_traffic"`)
	for i := range 20 {
		call(t, p, "GET", fmt.Sprintf("/orders/%d", i), "", 200)
	}
	settled(t, p, 20)
	replays(verdictRollback, `"divergence_rate"`)
	for i := range 5 {
		call(t, p, "GET", fmt.Sprintf("/orders/%d", i), "", 200)
	}
	settled(t, p, 25)
	var v reports.Verdict
	if err := p.JSON("/api/v1/services/shop/verdict", &v); err != nil || !heads[v.Chain] {
		t.Errorf("the verdict names %q, %v", v.Chain, err)
	}
	replays(verdictRollback, `"received": 25`)
	ask(t, p, "PUT", "/api/v1/services/shop/step", `{"step":500,"reason":"a drill"}`, 200)
	ask(t, p, "POST", "/api/v1/services/shop/rollback", `{"reason":"enough"}`, 200)
	p.Stop()
	p = rig.StartIn(t, dir, config)
	replays(verdictRollback, `"received": 25`)
	p.Stop()

	chains, err := filepath.Glob(filepath.Join(dir, "*", "shop.verdicts"))
	if err != nil || len(chains) != 1 {
		t.Fatalf("chains %v, %v", chains, err)
	}
	for head := range heads {
		code, said, errs := typed(t, "audit", "verify", "--file", chains[0], "--head", head[:16])
		if code != exitGood || !strings.Contains(said, "has the head "+head) || !strings.Contains(said, ": good: records 1 to ") {
			t.Errorf("audit verify: exit code %d\n%s%s", code, said, errs)
		}
	}
	if _, table, _ := typed(t, "verdict", "--from", file, "--format", "markdown"); !strings.Contains(table, "| GET /orders/{id} | 25 | 0 | 25 |") {
		t.Errorf("there is no table of endpoints:\n%s", table)
	}
	text, err := os.ReadFile(chains[0])
	if err != nil || !strings.Contains(string(text), `"moved":{"step":500,"who":"admin API","reason":"a drill"}`) || !strings.Contains(string(text), `"kind":"rollback"`) {
		t.Errorf("the step is not in the chain: %v\n%s", err, text)
	}
}

// chainOf writes the chain of a service, and returns its path and heads.
func chainOf(t *testing.T, dir, service string, n int) (path string, heads []string) {
	t.Helper()
	c := reports.NewChain(dir, service, func() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }, testLog(t))
	for i := range n {
		heads = append(heads, c.Decide(reports.Verdict{Decision: reports.Hold, Step: i}, reports.Folded{}))
	}
	return reports.ChainPath(dir, service), heads
}

func TestAuditVerify(t *testing.T) {
	t.Parallel()
	good, heads := chainOf(t, t.TempDir(), "shop", 5)
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(whole), "\n")
	for _, c := range []struct {
		name, text, head string
		want             int
		says             string
	}{
		{"good", string(whole), "", exitGood, "good: records 1 to 5, 2026-11-21 12:00:00 to 2026-11-21 12:00:00 UTC, head " + heads[4]},
		{"with a head", string(whole), heads[2], exitGood, "line 3 has the head " + heads[2]},
		{"with another head", string(whole), strings.Repeat("0", 64), exitNot, "no chain has the head"},
		{"the last dropped", strings.Join(lines[:4], ""), heads[4], exitNot, "no chain has the head"},
		{"edited", strings.Replace(string(whole), `"step":3`, `"step":4`, 1), "", exitNot, "shop.verdicts: BROKEN: shop.verdicts, line 4: the record was changed"},
		{"dropped", lines[0] + strings.Join(lines[2:], ""), "", exitNot, "BROKEN: shop.verdicts, line 2: record 3 stands where 2 should"},
		{"the first dropped", strings.Join(lines[1:], ""), "", exitNot, "BROKEN: shop.verdicts, line 1: record 2 stands where 1 should"},
		{"torn", string(whole[:len(whole)-9]), "", exitGood, "line 5 is not whole"},
		{"empty", "", "", exitGood, "good: it has no record yet"},
	} {
		path := filepath.Join(t.TempDir(), "shop.verdicts")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, said, errs := typed(t, "audit", "verify", "--file", path, "--head", c.head)
		if code != c.want || !strings.Contains(said, c.says) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s%s", c.name, code, c.want, c.says, said, errs)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != c.text {
			t.Errorf("%s: verify changed the file, %v", c.name, err)
		}
	}
}

// TestAuditVerifyOfAConfiguration: all its services, of which some decided nothing yet.
func TestAuditVerifyOfAConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := filepath.Join(dir, "parallax.yaml")
	text := fmt.Sprintf("state_dir: %s\nadmin: { listen: \"127.0.0.1:0\" }\nservices:\n", dir)
	for _, name := range []string{"shop", "web"} {
		text += fmt.Sprintf("- { name: %s, listen: \"127.0.0.1:0\", primary: { urls: [\"http://127.0.0.1:1\"] }, candidate: { urls: [\"http://127.0.0.1:2\"] } }\n", name)
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, heads := chainOf(t, dir, "shop", 2)
	code, said, errs := typed(t, "audit", "verify", "-c", config, "--head", heads[1])
	if code != exitGood || !strings.Contains(said, "web.verdicts: there is no chain") || !strings.Contains(said, "shop.verdicts: good: records 1 to 2") {
		t.Errorf("exit code %d\n%s%s", code, said, errs)
	}
	for _, c := range []struct{ args, says string }{
		{"", "what to do: verify"},
		{"verify", "wants -c"},
		{"verify -c a --file b", "wants -c"},
		{"verify -c " + config + " --head xyz", "64 hex digits"},
		{"verify -c /nowhere.yaml", "nowhere.yaml"},
		{"verify --file x more", `"more"`},
		{"verify --file " + dir, "cannot verify"},
	} {
		code, _, errs := typed(t, append([]string{"audit"}, strings.Fields(c.args)...)...)
		if code != exitError || !strings.Contains(errs, c.says) {
			t.Errorf("audit %s: exit code %d, %q, want %q", c.args, code, errs, c.says)
		}
	}
}

func TestVerdictFromAFileThatIsDamaged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "evidence")
	if err := os.WriteFile(path, []byte("{\"tick\":{}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args, says string
		want       int
	}{
		{"--from " + path, "evidence: line 1: want the head", verdictError},
		{"--from " + path + ".none", "no such file", verdictError},
		{"--from " + path + " --service shop", "asks no server", verdictUsage},
		{"--from " + path + " --wait 1m", "take no --wait", verdictUsage},
		{"--from " + path + " --format yaml", "there is no format", verdictUsage},
		{"--server http://127.0.0.1:1 --service shop --export " + path, "cannot export the evidence", verdictError},
	} {
		code, _, errs := typed(t, append([]string{"verdict"}, strings.Fields(c.args)...)...)
		if code != c.want || !strings.Contains(errs, c.says) {
			t.Errorf("verdict %s: exit code %d, want %d; %q, want %q", c.args, code, c.want, errs, c.says)
		}
	}
}

// TestChainOutlivesRestartsAndKills: one process after the other writes it, the first ends
// by handing over, the next in the middle of a write; what is left is whole, and says so.
func TestChainOutlivesRestartsAndKills(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := shopConfig(backend(t, "1.00"), backend(t, "1.00"), "")
	p := rig.StartIn(t, dir, config)
	step := func(n int) {
		t.Helper()
		if status := put(t, p, n); status != 200 {
			t.Fatalf("PUT step: %d", status)
		}
	}
	step(100)
	p.Restart()
	step(200)
	p.Kill()
	chain := filepath.Join(dir, "parallax-state", "shop.verdicts")
	file, err := os.OpenFile(chain, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"seq":9,"prev":"`); err != nil {
		t.Fatal(err)
	}
	file.Close()
	p = rig.StartIn(t, dir, config)
	step(300)
	p.Stop()
	if log := p.Log(); !strings.Contains(log, "the last record of the chain was not whole and is cut off") {
		t.Errorf("the log does not say that a record was cut:\n%s", log)
	}
	code, said, errs := typed(t, "audit", "verify", "--file", chain)
	text, err := os.ReadFile(chain)
	if code != exitGood || !strings.Contains(said, "cut on ") || err != nil {
		t.Errorf("audit verify: exit code %d, %v\n%s%s\n%s", code, err, said, errs, text)
	}
	for _, n := range []int{100, 200, 300} {
		if !strings.Contains(string(text), fmt.Sprintf(`"moved":{"step":%d,`, n)) {
			t.Errorf("step %d is not in the chain\n%s", n, text)
		}
	}
}
