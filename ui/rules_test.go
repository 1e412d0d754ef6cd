package ui

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"parallax/compare"
	"parallax/divergence"
)

// TestRulesPage shows each rule with its life, what it took away, what its owner
// should know, and links to an example.
func TestRulesPage(t *testing.T) {
	t.Parallel()
	doc := parsePage(t, newRig(t, func(c *Config) { c.Services[0].Editor = nil }), "/services/shop/rules", http.StatusOK)
	got := text(doc)
	for _, want := range []string{
		"{path: $..updated_at, ignore: true, reason: clock, owner: team-shop}", "2403 1203 exchange",
		"2026-11-20 GET /orders: 3 in 3 exchanges", "in force", "aaaa0000bbbb",
		"rules[1] dead: it took nothing away in 52000 compared exchanges", "rules[2].owner no owner: it ignores a difference and nobody answers for it",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
	links := map[string]bool{}
	area := ""
	for n := range doc.Descendants() {
		links[attribute(n, "href")] = true
		if n.Type == html.ElementNode && n.Data == "textarea" {
			area = n.FirstChild.Data
		}
	}
	if !links["/services/shop/exchanges/"+firstID] || !links["/services/shop/rules/aaaa0000bbbb"] || !links["/services/shop/blind-spots"] {
		t.Errorf("links: %v", links)
	}
	rules, faults := compare.ReadRules("page", []byte(area))
	if diff := cmp.Diff(fakeRules, rules); diff != "" || len(faults) > 0 {
		t.Errorf("the form begins with other rules than those in force: %v %s", faults, diff)
	}
}

// TestRulesForm tries rules on the page: no script is needed.
func TestRulesForm(t *testing.T) {
	t.Parallel()
	f := func(form string, status int, wants ...string) *rig {
		t.Helper()
		r := newRig(t, func(c *Config) { c.Services[0].Editor = nil })
		answer := r.call("POST", "/services/shop/rules", "rules="+url.QueryEscape(form), "Accept", "text/html")
		if answer.Code != status {
			t.Fatalf("%d %s", answer.Code, answer.Body)
		}
		doc, err := html.Parse(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		checkPage(t, "the form", doc)
		for _, want := range wants {
			if got := text(doc); !strings.Contains(got, want) {
				t.Errorf("the page lacks %q:\n%s", want, got)
			}
		}
		return r
	}
	r := f("- {path: $.id, ignore: true}", 200, "They would hide 1 243 of 1 310 divergences, 2 issues vanish", "1 310 of 4 000 stored pairs were looked at", "{path: $.id, ignore: true}")
	if diff := cmp.Diff([]compare.Rule{{Path: "$.id", Ignore: true}}, r.rehearsal.rules); diff != "" {
		t.Error(diff)
	}
	f("- {path: $.id, ignor: true}\n- {path: id, ignore: true}", 422, "These rules cannot be tried", "rules:1: [0].ignor: unknown key", "{path: $.id, ignor: true}")
	f("", 200)

	r = newRig(t)
	if answer := r.call("POST", "/services/shop/rules", "rules=x", "Sec-Fetch-Site", "cross-site"); answer.Code != 403 {
		t.Errorf("from another site: %d", answer.Code)
	}
	r.rehearsal.err = divergence.ErrBusy
	if answer := r.call("POST", "/services/shop/rules", "rules=[]"); answer.Code != 503 || !strings.Contains(answer.Body.String(), "tried on stored pairs already") {
		t.Errorf("while another runs: %d %s", answer.Code, answer.Body)
	}
	if answer := r.call("POST", "/services/shop/rules", "rules="+strings.Repeat("x", 4*maxRulesText)); answer.Code != 413 {
		t.Errorf("a long text: %d", answer.Code)
	}
}

// TestRehearsalCalls: rules and the choice of pairs arrive as they were sent, and
// what is wrong is one problem with every fault.
func TestRehearsalCalls(t *testing.T) {
	t.Parallel()
	const shop = "/api/v1/services/shop/rules:"
	r := newRig(t)
	if answer := r.call("POST", shop+"rejudge?limit=7&endpoint=GET+%2Fx&from=2026-11-21T10:00:00Z", ""); answer.Code != 200 || r.rehearsal.rules != nil ||
		r.rehearsal.pairs.Limit != 7 || r.rehearsal.pairs.Endpoint != "GET /x" || r.rehearsal.pairs.From.IsZero() {
		t.Errorf("%d %+v", answer.Code, r.rehearsal)
	}
	if answer := r.call("POST", shop+"blind-spots", "rules: []", "Content-Type", "application/yaml"); answer.Code != 200 || r.rehearsal.rules == nil || len(r.rehearsal.rules) != 0 {
		t.Errorf("%d %+v", answer.Code, r.rehearsal.rules)
	}
	problem := readProblem(t, r.call("POST", shop+"dry-run", `[{"path":"$.a["},{"path":"x","ignore":true}]`))
	if problem.Status != 422 || len(problem.Faults) != 3 || !strings.HasPrefix(problem.Faults[0], "rules:1: [0].path: column") {
		t.Errorf("%+v", problem)
	}
	if problem := readProblem(t, r.call("POST", shop+"dry-run", "")); problem.Status != 415 {
		t.Errorf("no rules: %+v", problem)
	}
	if problem := readProblem(t, r.call("POST", shop+"dry-run?limit=0", "[]")); problem.Status != 400 {
		t.Errorf("%+v", problem)
	}
	r.rehearsal.err = divergence.ErrBusy
	if problem := readProblem(t, r.call("POST", shop+"dry-run", "[]")); problem.Status != 503 || !strings.HasSuffix(problem.Type, "busy") {
		t.Errorf("%+v", problem)
	}
	none := newRig(t, func(c *Config) { c.Rehearsal = nil })
	if problem := readProblem(t, none.call("POST", shop+"dry-run", "[]")); problem.Status != 501 {
		t.Errorf("%+v", problem)
	}
	if problem := readProblem(t, r.call("GET", "/api/v1/services/shop/rules/never", "")); problem.Status != 404 {
		t.Errorf("%+v", problem)
	}
}

func TestBlindSpotsPage(t *testing.T) {
	t.Parallel()
	got := text(parsePage(t, newRig(t), "/services/shop/blind-spots", http.StatusOK))
	for _, want := range []string{"75 %", "10 by rules[0] $.note at $.note", "value changed 10"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
	empty := newRig(t, func(c *Config) { c.Services[0].BlindSpots = nil })
	if got := text(parsePage(t, empty, "/services/shop/blind-spots", http.StatusOK)); !strings.Contains(got, "Nothing is known yet") {
		t.Error(got)
	}
}

// TestRulesWhileTheStoreIsAway: the rules in force are shown without figures.
func TestRulesWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store.err = divergence.ErrAway
	if got := text(parsePage(t, r, "/services/shop/rules", http.StatusOK)); !strings.Contains(got, "The store is away") || !strings.Contains(got, "$..updated_at") {
		t.Error(got)
	}
	var p problem
	if err := json.Unmarshal(r.call("GET", "/api/v1/services/shop/rules", "").Body.Bytes(), &p); err != nil || p.Status != 503 {
		t.Errorf("%v %+v", err, p)
	}
}

// TestSuppressionsStayVisible: what a rule took away is on the page and in the
// document of the exchange, with the rule's reason and owner.
func TestSuppressionsStayVisible(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	detail := r.store.details[firstID]
	rules, _ := compare.Compile(fakeRules)
	c := compare.Bodies(compare.JSON, []byte(`{"updated_at":1}`), []byte(`{"updated_at":2}`), "", rules, now)
	detail.Differences = []divergence.DifferenceLine{{Path: c.Differences[0].Path, Kind: "changed", By: c.Differences[0].Suppressed.By, Detail: c.Differences[0].Suppressed.Detail}}
	r.store.details[firstID] = detail
	const want = "rules[0] $..updated_at: clock (team-shop)"
	if got := text(parsePage(t, r, "/services/shop/exchanges/"+firstID, http.StatusOK)); !strings.Contains(got, want) {
		t.Errorf("the page lacks %q", want)
	}
	if got := r.call("GET", "/api/v1/services/shop/exchanges/"+firstID, "").Body.String(); !strings.Contains(got, `"suppressed_by":"rule","detail":"`+want) {
		t.Error(got)
	}
}
