package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
	"parallax/internal/rig"
)

// moving is a backend of three resources: /moving answers each request otherwise,
// /flaky does so where told, /steady never does.
func moving(t *testing.T, version int, flaky bool) string {
	var mu sync.Mutex
	times := map[string]int{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		times[r.URL.Path]++
		n := times[r.URL.Path]
		mu.Unlock()
		if r.URL.Path == "/steady" || r.URL.Path == "/flaky" && !flaky {
			n = 0
		}
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/down" && version == 2 {
			w.WriteHeader(500)
		}
		_, _ = io.WriteString(w, fmt.Sprintf(`{"version":%d,"n":%d}`, version, n)) // the caller may be gone
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestAskedAgain takes diverging exchanges the whole way: only where the primary itself
// answers otherwise the second time is one transient; a candidate that changes its
// answer beside a steady primary is flaky, and diverged; one that fails is not excused.
func TestAskedAgain(t *testing.T) {
	t.Parallel()
	p := rig.Start(t, shopConfig(moving(t, 1, false), moving(t, 2, true), "  mirror: { ask_again: { share: 1, max_rps: 1000 } }\n"))
	for _, path := range []string{"/moving", "/flaky", "/steady", "/down"} {
		call(t, p, "GET", path, "", 200)
	}
	r := settled(t, p, 4)
	want := map[string]divergence.ExchangeSummary{
		"GET /moving": {Outcome: "not_comparable", Reason: "transient", Again: []divergence.SecondLine{{Leg: "primary", Answer: "changed", Status: 200}, {Leg: "candidate", Answer: "changed", Status: 200}}},
		"GET /flaky":  {Outcome: "diverged", Flaky: true, Again: []divergence.SecondLine{{Leg: "primary", Answer: "same", Status: 200}, {Leg: "candidate", Answer: "changed", Status: 200}}},
		"GET /steady": {Outcome: "diverged", Again: []divergence.SecondLine{{Leg: "primary", Answer: "same", Status: 200}, {Leg: "candidate", Answer: "same", Status: 200}}},
		"GET /down":   {Outcome: "diverged", Again: []divergence.SecondLine{{Leg: "primary", Answer: "changed", Status: 200}, {Leg: "candidate", Answer: "changed", Status: 500}}},
	}
	for name, w := range want {
		e := endpoint(t, r, name)
		if transient := e.NotComparableReasons["transient"]; (transient == 1) != (w.Reason == "transient") {
			t.Errorf("%s: %+v", name, e)
		}
		var list struct {
			Exchanges []divergence.ExchangeSummary `json:"exchanges"`
		}
		if err := p.JSON("/api/v1/services/shop/exchanges?endpoint="+url.QueryEscape(name), &list); err != nil || len(list.Exchanges) != 1 {
			t.Fatalf("%s: %v, %+v", name, err, list)
		}
		got := list.Exchanges[0]
		if d := cmp.Diff(w, divergence.ExchangeSummary{Outcome: got.Outcome, Reason: got.Reason, Flaky: got.Flaky, Again: got.Again}); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
		if w.Flaky {
			flakyIssue(t, p, name)
			onPage(t, p, "/exchanges/"+got.ID, "the primary: the same as before, 200; the candidate: another answer, 200")
		}
		if w.Reason == "transient" {
			var detail divergence.ExchangeDetail
			if err := p.JSON("/api/v1/services/shop/exchanges/"+got.ID, &detail); err != nil || len(detail.Differences) == 0 {
				t.Fatalf("%v: %+v", err, detail)
			}
			for _, line := range detail.Differences {
				if line.By != "transient" {
					t.Errorf("a difference of a transient exchange counts: %+v", line)
				}
			}
		}
	}
}

// flakyIssue looks for an issue of the endpoint that says how often the candidate
// changed its answer, in the API and on its page.
func flakyIssue(t *testing.T, p *rig.Parallax, endpoint string) {
	t.Helper()
	var list struct {
		Issues []divergence.Issue `json:"issues"`
	}
	if err := p.JSON("/api/v1/services/shop/issues?endpoint="+url.QueryEscape(endpoint), &list); err != nil || len(list.Issues) == 0 {
		t.Fatalf("%v, %+v", err, list)
	}
	path := "/issues/" + list.Issues[0].Fingerprint
	var issue divergence.Issue
	if err := p.JSON("/api/v1/services/shop"+path, &issue); err != nil || issue.AskedAgain != 1 || issue.Flaky != 1 {
		t.Errorf("%v, %+v", err, issue)
	}
	onPage(t, p, path, "1, of which flaky 1")
}

// onPage looks for a text on a page of the service.
func onPage(t *testing.T, p *rig.Parallax, path, want string) {
	t.Helper()
	answer, err := http.Get(p.Admin + "/services/shop" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != 200 || !strings.Contains(string(text), want) {
		t.Errorf("%s: the page does not say %q\n%s", answer.Status, want, text)
	}
}
