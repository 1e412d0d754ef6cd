package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"parallax"
	"parallax/divergence"
	"parallax/internal/rig"
	"parallax/ui"
)

// TestRunsEnd takes a whole Parallax to both ends of a run, and asks at each station whether it
// may end. It serves on, as it did.
func TestRunsEnd(t *testing.T) {
	t.Parallel()
	dir, old, young := t.TempDir(), backend(t, "9.99"), backend(t, "9.99")
	p := rig.StartIn(t, dir, shopConfig(old, young, `
  promotion: { max_divergence_rate: 0.2, max_error_rate: 0.2, min_duration: 0s, slower: { ratio: 100, plus: 1s, max_share: 0.5 } }
`))
	config := filepath.Join(dir, "parallax.yaml")
	finish := func(want int, format string, says ...string) string {
		t.Helper()
		var out string
		rig.Eventually(t, "the end", func() error {
			code, said, errs := typed(t, "finish", "--server", p.Admin, "--service", "shop", "-c", config, "--format", format)
			out = said
			if code != want || errs != "" {
				return fmt.Errorf("exit code %d, want %d\n%s%s", code, want, said, errs)
			}
			for _, part := range says {
				if !strings.Contains(said, part) {
					return fmt.Errorf("there is no %q in\n%s", part, said)
				}
			}
			return nil
		})
		return out
	}
	step := func(n int) {
		t.Helper()
		ask(t, p, "PUT", "/api/v1/services/shop/step", fmt.Sprintf(`{"step":%d,"reason":"on"}`, n), 200)
	}

	finish(exitNot, "text", "This run may not end yet.", "Nobody is on the candidate, and nobody gave it up: go on, or say so with POST /api/v1/services/shop/rollback", "On the way back nothing is missing.", "let them point at the primary afterwards: "+old)
	for i := range 200 {
		call(t, p, "GET", fmt.Sprintf("/orders/%d", i), "", 200)
	}
	settled(t, p, 200)
	step(500)
	finish(exitNot, "text", "The step is in between: 5 % of users are on the candidate.", "let them point at the candidate afterwards: "+young)
	step(10_000)
	text := finish(exitGood, "markdown", "# Final report: shop", "everybody is on the candidate, and the verdict is promote", "| GET /orders/{id} | 200 |",
		"5 % of users, by admin API: on", "100 % of users, by admin API: on", "Not covered by any test")
	if strings.Contains(text, "What stands in the way") {
		t.Errorf("something stands in the way:\n%s", text)
	}
	var document struct {
		MayEnd  bool `json:"may_end"`
		Verdict struct{ Chain string }
		Report  struct {
			Accounting struct{ Received int64 }
		}
		History []struct{ Kind string }
		WayOut  []struct{ Lines []string } `json:"way_out"`
	}
	if err := json.Unmarshal([]byte(finish(exitGood, "json", `"why_not": []`)), &document); err != nil {
		t.Fatal(err)
	}
	if d := document; !d.MayEnd || len(d.Verdict.Chain) != 64 || d.Report.Accounting.Received != 200 || len(d.History) != 2 || len(d.WayOut) < 5 {
		t.Errorf("got %+v", d)
	}
	ask(t, p, "POST", "/api/v1/services/shop/rollback", `{"reason":"enough"}`, 200)
	finish(exitGood, "text", "the candidate was given up, and everybody is on the primary", "0 % of users, by admin API: enough", "let them point at the primary afterwards: "+old)
	call(t, p, "GET", "/orders/1", "", 200)
	if code, said, errs := typed(t, "finish", "--server", p.Admin, "--service", "shop"); code != exitGood || !strings.Contains(said, "Give the configuration with -c FILE") || !strings.Contains(said, old) {
		t.Errorf("without a configuration: exit code %d\n%s%s", code, said, errs)
	}
	if code, _, errs := typed(t, "finish", "--server", p.Admin, "--service", "web"); code != exitError || !strings.Contains(errs, `there is no service`) {
		t.Errorf("another service: exit code %d, %s", code, errs)
	}
}

// TestFinishHearsWhatIsMissing: what the answers about step and legs have against an end.
func TestFinishHearsWhatIsMissing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, step, legs, says string }{
		{"nothing", `{"step":10000}`, `[]`, ""},
		{"way back", `{"step":10000,"way_back":{"writes_missing":3,"lag_s":1.5,"ids_unknown":2}}`, `[]`, "the primary lacks 3 that"},
		{"a splitter", `{"step":10000,"splitters":[{"name":"edge","state":"away"},{"name":"other","state":"confirmed"}]}`, `[]`, "the splitter edge is away"},
		{"a mirror", `{"step":10000,"shared":{"reached":true,"behind":["m2"]}}`, `[]`, "the mirror m2 has an older one"},
		{"no mirror", `{"step":10000,"shared":{"reached":false}}`, `[]`, "the other mirrors are not heard"},
		{"the candidate", `{"step":10000}`, `[{"leg":"candidate","missed":{"waiting":4,"tainted":1}}]`, "the candidate is still to get 4, and 1 users"},
		{"the other leg", `{"step":10000}`, `[{"leg":"primary","missed":{"waiting":4}}]`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			const below = "GET /api/v1/services/shop/"
			mux := http.NewServeMux()
			for path, body := range map[string]string{
				below + "step": c.step, below + "report": `{"service":"shop"}`, below + "issues": `{"issues":[]}`, below + "verdict": `{"service":"shop","verdict":"promote"}`,
				"GET /api/v1/services": `{"services":[{"name":"shop","legs":` + c.legs + `}]}`,
			} {
				mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
			}
			server := httptest.NewServer(mux)
			defer server.Close()
			code, said, errs := typed(t, "finish", "--server", server.URL, "--service", "shop")
			want := exitNot
			if c.says == "" {
				want = exitGood
			}
			if code != want || !strings.Contains(said, c.says) || errs != "" {
				t.Errorf("exit code %d, want %d and %q\n%s%s", code, want, c.says, said, errs)
			}
		})
	}
}

// TestFinishSaysWhereCountsEnd: the server gives so many issues of a state, and no more.
func TestFinishSaysWhereCountsEnd(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := mostIssues
		if r.FormValue("state") != "bug" {
			n--
		}
		json.NewEncoder(w).Encode(map[string]any{"issues": make([]divergence.Issue, n)})
	}))
	defer server.Close()
	at, err := parseServer(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	q := &finishQuery{env: env{stderr: &errs}, admin: admin{server: at, service: "shop"}}
	if _, err := q.issues(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := "parallax: there may be more than 1000 issues in state bug: the report has the first of them\n"; errs.String() != want {
		t.Errorf("%q, want %q", errs.String(), want)
	}
}

const wayOutConfig = `
identifiers: { redis: "redis://127.0.0.1:6379/0", prefix: "px:" }
services:
- name: shop
  listen: "127.0.0.1:8080"
  primary:   { urls: ["http://127.0.0.1:9001"], request: { set: { Authorization: "Bearer hush" } } }
  candidate:
    urls: ["http://127.0.0.1:9002", "http://127.0.0.1:9003"]
    state: own
    outbound: contained
    jobs: off
    host: leg
    rewrite: [{ path: "^/api/(.*)$", to: "/v2/$1" }, { query: debug, remove: true }]
    request: { set: { X-Token: hush }, remove: [X-Old] }
  secondary: { urls: ["http://127.0.0.1:9004"] }
  endpoints: ["POST /orders", "GET /orders/{id}"]
  identifiers:
  - { name: order, from: ["POST /orders $.id"], in: ["path:/orders/{id}"] }
  egress: { listen: "127.0.0.1:7080" }
  effects:
    primary:   [{ postgres: "postgres://parallax:hush@db-old:5432/shop", tables: [orders] }]
    candidate: [{ postgres: "postgres://parallax:hush@db-new:5432/shop", publication: mine, tables: [orders] }]
    correlate: [tag]
  split:
    key: "cookie:px"
    mint: 4320h
    endpoints: ["GET *"]
    pin: { staff-1: primary, staff-2: candidate, staff-3: candidate }
    push:
    - haproxy: { socket: /run/haproxy/admin.sock, map: /etc/haproxy/split.map }
- name: web
  listen: "127.0.0.1:8081"
  primary: { urls: ["http://127.0.0.1:9005"] }
`

// TestWayOut: what is said is what the configuration has, and no secret of it.
func TestWayOut(t *testing.T) {
	t.Parallel()
	cfg, faults := parseConfig("/etc/parallax.yaml", []byte(wayOutConfig))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	text := func(to parallax.Leg, service int) string {
		var b strings.Builder
		for _, s := range (wayOut{cfg: cfg, file: "parallax.yaml", server: "http://127.0.0.1:7070", s: cfg.Services[service], to: to}).sections() {
			fmt.Fprintf(&b, "%s\n%s\n", s.Title, strings.Join(s.Lines, "\n"))
		}
		if strings.Contains(b.String(), "hush") {
			t.Errorf("a secret is told:\n%s", b.String())
		}
		return b.String()
	}
	f := func(in string, parts ...string) {
		t.Helper()
		at := 0
		for _, part := range parts { // in this order
			i := strings.Index(in[at:], part)
			if i < 0 {
				t.Errorf("there is no %q behind byte %d of\n%s", part, at, in)
				return
			}
			at += i
		}
	}
	f(text(parallax.Candidate, 0),
		"1: keep what was decided", "verdict --server http://127.0.0.1:7070 --service shop --export", "/etc/parallax-state/shop.verdicts",
		"2: let nothing move by itself", "3: make the candidate ready", "X-Parallax-Exchange", "candidate.request sets X-Token", "removes X-Old", "effects.correlate: tag",
		"a path like ^/api/(.*)$ becomes /v2/$1", "a parameter like debug is removed", "candidate.host is leg",
		"Only GET * went live", "With state: own unsafe requests", "holds what the primary's does", "pinned to the primary (split.pin): 1", `Identifiers "order" are translated`,
		"candidate.outbound is contained", "candidate.jobs is off", "through the proxy 127.0.0.1:7080", "balances the instances",
		"4: move the callers", "Callers point at 127.0.0.1:8080 now", "candidate afterwards: http://127.0.0.1:9002, http://127.0.0.1:9003", "The splitter haproxy", "cookie:px", `parallax_requests_total{service="shop"}`,
		"5: end Parallax for this service", "Take shop out of parallax.yaml and reload",
		"6: clean up", "effects uninstall --dsn 'postgres://parallax:xxxxx@db-old:5432/shop' removes", "db-new:5432/shop' --publication mine removes", `begin with "px:"`, "Stop the primary", "The secondary can be stopped at once", "/etc/parallax-data", "Other services use the same")
	back := text(parallax.Primary, 0)
	f(back, "make the primary ready", "primary.request sets Authorization", "pinned to the candidate (split.pin): 2. They are there at step 0 too", "primary afterwards: http://127.0.0.1:9001", "Stop the candidate")
	for _, of := range []string{"candidate.rewrite", "candidate.jobs", "balances the instances", "Identifiers \"order\" are translated"} {
		if strings.Contains(back, of) {
			t.Errorf("%q is no matter of the primary's:\n%s", of, back)
		}
	}
	for _, of := range []string{"egress", "effects uninstall", "splitter", "cookie", "Redis", "effects.correlate"} {
		if web := text(parallax.Primary, 1); strings.Contains(web, of) {
			t.Errorf("web has no %s:\n%s", of, web)
		}
	}
}

func TestLacksOfTheLegThatGoesOn(t *testing.T) {
	t.Parallel()
	legs := []ui.LegStatus{{Leg: "candidate", Missed: &ui.MissedWrites{Waiting: 2, Tainted: 3, All: true}}}
	if got := lacks(legs, parallax.Candidate); got != "the candidate is still to get 2, and 3 users or entities are not as on the other leg for good, all of it with them" {
		t.Error(got)
	}
	if got := lacks(legs, parallax.Primary); got != "" {
		t.Error(got)
	}
}
