package ui

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"parallax/reports"
)

// flaggerPayloads are what Flagger sends, as its documents have it.
var flaggerPayloads = []string{
	`{"name":"podinfo","namespace":"test","phase":"Progressing","checksum":"85d557f47b","metadata":{"rollout":"r-42"}}`,
	`{"name":"podinfo","namespace":"test","phase":"WaitingPromotion","checksum":"85d557f47b","metadata":{}}`,
	`{"name":"podinfo","namespace":"test","phase":"Progressing","checksum":"85d557f47b","metadata":{"eventMessage":"Advance podinfo.test canary weight 10","eventType":"Normal","timestamp":"1578607635167"}}`,
	``,
}

// TestFlagger: which hook is answered with yes on which verdict.
func TestFlagger(t *testing.T) {
	t.Parallel()
	yes := map[string]map[reports.Decision]bool{
		"confirm":  {reports.Promote: true, reports.Hold: false, reports.Rollback: false},
		"progress": {reports.Promote: true, reports.Hold: true, reports.Rollback: false},
		"rollback": {reports.Promote: false, reports.Hold: false, reports.Rollback: true},
		"event":    {reports.Promote: true, reports.Hold: true, reports.Rollback: true},
	}
	for hook, words := range yes {
		for word, want := range words {
			r := newRig(t)
			r.judge.set(word)
			for _, payload := range flaggerPayloads {
				answer := r.call(http.MethodPost, "/api/v1/flagger/"+hook+"/shop", payload)
				status := http.StatusForbidden
				if want {
					status = http.StatusOK
				}
				if text := answer.Body.String(); answer.Code != status || !strings.HasPrefix(text, string(word)) || strings.Count(text, "\n") != 1 {
					t.Errorf("%s on %s: %d %q, want %d and a line", hook, word, answer.Code, text, status)
				}
			}
		}
	}
}

// A release of another version than the verdict is on is neither confirmed nor rolled back.
func TestFlaggerAsksAboutAVersion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		hook, version string
		word          reports.Decision
		status        int
	}{
		{"confirm", "2.0.0", reports.Promote, http.StatusOK},
		{"confirm", "2.0.1", reports.Promote, http.StatusForbidden},
		{"rollback", "2.0.0", reports.Rollback, http.StatusOK},
		{"rollback", "2.0.1", reports.Rollback, http.StatusForbidden},
		{"progress", "2.0.1", reports.Rollback, http.StatusOK},
	} {
		r := newRig(t)
		r.judge.verdict.CandidateVersion = "2.0.0"
		r.judge.set(c.word)
		payload, err := json.Marshal(map[string]any{"name": "shop", "metadata": map[string]string{"candidateVersion": c.version}})
		if err != nil {
			t.Fatal(err)
		}
		if answer := r.call(http.MethodPost, "/api/v1/flagger/"+c.hook+"/shop", string(payload)); answer.Code != c.status {
			t.Errorf("%s for %s on %s: %d %s, want %d", c.hook, c.version, c.word, answer.Code, answer.Body, c.status)
		}
	}
}

// What is no payload of Flagger's is refused, so that nothing is decided on it, but for events.
func TestFlaggerWithoutAPayload(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.judge.set(reports.Rollback)
	for _, payload := range []string{"{", `{"metadata":[]}`, strings.Repeat("x", 20<<10)} {
		if p := readProblem(t, r.call(http.MethodPost, "/api/v1/flagger/rollback/shop", payload)); p.Status != http.StatusBadRequest {
			t.Errorf("%.20q: %+v", payload, p)
		}
		if answer := r.call(http.MethodPost, "/api/v1/flagger/event/shop", payload); answer.Code != http.StatusOK {
			t.Errorf("an event with %.20q: %d", payload, answer.Code)
		}
	}
	if p := readProblem(t, r.call(http.MethodPost, "/api/v1/flagger/event/shopp", "")); p.Status != http.StatusNotFound {
		t.Errorf("another service: %+v", p)
	}
}

// TestADeliveryOfGitHub needs no token where others do, and is answered as the gate says.
func TestADeliveryOfGitHub(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Door = doorOf{} })
	const target = "/api/v1/github/deployments"
	if answer := r.call("POST", target, `{"action":"requested"}`); answer.Code != 202 || !strings.Contains(answer.Body.String(), "waits for the verdict") {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
	if p := readProblem(t, r.call("POST", target, "{}", "X-Hub-Signature-256", "sha256=00")); p.Status != 401 || p.Type != problemType+"signature" {
		t.Errorf("%+v", p)
	}
	if p := readProblem(t, r.call("POST", target, strings.Repeat(" ", maxDelivery+1))); p.Status != 413 {
		t.Errorf("%+v", p)
	}
	r = newRig(t, func(c *Config) { c.Deployments = nil })
	if p := readProblem(t, r.call("POST", target, "{}")); p.Status != 501 {
		t.Errorf("%+v", p)
	}
}
