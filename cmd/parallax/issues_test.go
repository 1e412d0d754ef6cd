package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"parallax/divergence"
	"parallax/internal/rig"
	"parallax/reports"
)

// TestVerdictStartsAnewWhenAnIssueIsAccepted takes an issue away while traffic
// flows: the rollback it caused is void, evidence starts anew, and both outlive a
// restart.
func TestVerdictStartsAnewWhenAnIssueIsAccepted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := shopConfig(backend(t, "9.99"), backend(t, "9.98"), "  mirror: { unsafe: never }\n")
	p := rig.StartIn(t, dir, config)
	send := func(n int) {
		t.Helper()
		for i := range n {
			call(t, p, "GET", fmt.Sprintf("/orders/%d", i), "", 200)
		}
	}
	verdict := func(what string, decision reports.Decision, k, n uint64) {
		t.Helper()
		rig.Eventually(t, what, func() error {
			var v reports.Verdict
			if err := p.JSON("/api/v1/services/shop/verdict", &v); err != nil {
				return err
			}
			for _, r := range v.Reasons {
				if v.Decision == decision && r.Test == reports.DivergenceTest && r.K == k && r.N == n {
					return nil
				}
			}
			return fmt.Errorf("verdict %+v", v)
		})
	}
	send(50)
	settled(t, p, 50)
	verdict("a rollback", reports.Rollback, 50, 50)

	var issues []divergence.Issue
	if err := jsonList(p, "/api/v1/services/shop/issues", "issues", &issues); err != nil || len(issues) != 1 || issues[0].Share != 1 {
		t.Fatalf("issues %+v, %v", issues, err)
	}
	patchIssue(t, p, issues[0].Fingerprint, `{"state":"accepted","note":"rounded from 2.0 on","by":"ann"}`)
	send(30)
	r := settled(t, p, 80)
	if e := endpoint(t, r, "GET /orders/{id}"); e.Diverged != 50 || e.Matched != 30 || e.Accepted != 30 {
		t.Errorf("%d diverged, %d matched, %d accepted", e.Diverged, e.Matched, e.Accepted)
	}
	verdict("a verdict on new evidence", reports.Hold, 0, 30)
	if err := jsonList(p, "/api/v1/services/shop/issues", "issues", &issues); err != nil || issues[0].State != divergence.AcceptedIssue ||
		issues[0].Suppressed != 30 || issues[0].Decision.Who != "ann" || issues[0].By[0] != "accepted" {
		t.Errorf("issues %+v, %v", issues, err)
	}
	if code := p.Stop(); code != 0 {
		t.Fatalf("parallax exits with %d", code)
	}

	p = rig.StartIn(t, dir, config)
	verdict("the same evidence after a restart", reports.Hold, 0, 30)
	send(5)
	verdict("evidence that goes on", reports.Hold, 0, 35)

	patchIssue(t, p, issues[0].Fingerprint, `{"state":"bug","by":"ann","until":"","note":"it is not"}`)
	send(5)
	verdict("evidence without the acceptance", reports.Rollback, 5, 5)
	p.Stop()
}

func patchIssue(t *testing.T, p *rig.Parallax, fingerprint, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), "PATCH", p.Admin+"/api/v1/services/shop/issues/"+fingerprint, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: time.Minute}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != 200 {
		t.Fatalf("PATCH %s: %s %s", body, answer.Status, text)
	}
}
