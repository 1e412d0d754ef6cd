package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"parallax/internal/rig"
	"parallax/reports"
)

// setStep asks for a step, or what else target is, and returns the status and the body.
func setStep(t *testing.T, p *rig.Parallax, method, target, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, p.Admin+"/api/v1/services/shop/"+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// TestNobodyMeetsACandidateThatKnowsOtherIdentifiers: callers hold those of the primary.
func TestNobodyMeetsACandidateThatKnowsOtherIdentifiers(t *testing.T) {
	t.Parallel()
	config := shopConfig(backend(t, "9.99"), backend(t, "9.99"), `
  split: { key: "header:X-User" }
  identifiers:
  - { name: order, from: ["POST /orders $.id"], in: ["path:/orders/{id}"]%s }
`)
	p := rig.Start(t, fmt.Sprintf(config, ""))
	status, answer := setStep(t, p, "PUT", "step", `{"step":100,"reason":"first users"}`)
	if status != http.StatusConflict || !strings.Contains(answer, "callers hold values of order that the primary made up") {
		t.Errorf("%d %s", status, answer)
	}
	s := untilStep(t, p, "the step", func(stepAnswer) bool { return true })
	if s.Step != 0 {
		t.Errorf("the step is %d", s.Step)
	}
	p = rig.Start(t, fmt.Sprintf(config, ", compatible: true"))
	if status, answer := setStep(t, p, "PUT", "step", `{"step":100,"reason":"first users"}`); status != http.StatusOK {
		t.Errorf("compatible: %d %s", status, answer)
	}
}

// TestNobodyIsSentBackToAPrimaryThatIsDown: its health checks say so, and a person may
// insist.
func TestNobodyIsSentBackToAPrimaryThatIsDown(t *testing.T) {
	t.Parallel()
	primary := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "{}") }))
	defer primary.Close()
	config := strings.Replace(shopConfig(primary.URL, backend(t, "9.99"), "  split: { key: \"header:X-User\" }\n"),
		fmt.Sprintf("urls: [%q] }\n  candidate", primary.URL), fmt.Sprintf("urls: [%q], health: { path: /, interval: 100ms } }\n  candidate", primary.URL), 1)
	p := rig.Start(t, config)
	if status, answer := setStep(t, p, "PUT", "step", `{"step":2500,"reason":"first users"}`); status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	primary.Close()
	rig.Eventually(t, "a refusal", func() error {
		status, answer := setStep(t, p, "POST", "rollback", `{"reason":"to see whether it may be"}`)
		if status == http.StatusOK { // its health is not known yet
			setStep(t, p, "PUT", "step", `{"step":2500,"reason":"again"}`)
		}
		if status != http.StatusConflict || !strings.Contains(answer, "the primary is down") {
			return fmt.Errorf("%d %s", status, answer)
		}
		return nil
	})
	if s := untilStep(t, p, "the step", func(stepAnswer) bool { return true }); s.Step != 2500 {
		t.Errorf("the step is %d after a refusal", s.Step)
	}
	if status, answer := setStep(t, p, "POST", "rollback", `{"reason":"better nobody than the candidate","force":true}`); status != http.StatusOK {
		t.Errorf("by force: %d %s", status, answer)
	}
}

// TestAPersonsStepStands: against the policy, until it is released, also across a restart.
func TestAPersonsStepStands(t *testing.T) {
	t.Parallel()
	config := shopConfig(backend(t, "9.99"), backend(t, "9.99"), "  split: { key: \"header:X-User\" }\n  promotion: { auto: true }\n")
	p := rig.Start(t, config)
	turn := func(verb, body string, want reports.Turn) {
		t.Helper()
		method, target := "POST", "promotion:"+verb
		if verb == "step" {
			method, target = "PUT", verb
		}
		status, answer := setStep(t, p, method, target, body)
		var s stepAnswer
		if err := json.Unmarshal([]byte(answer), &s); err != nil || status != http.StatusOK || s.Course.Code != want {
			t.Errorf("%s: %d %s, want %s", verb, status, answer, want)
		}
	}
	turn("step", `{"step":300,"reason":"a few friends"}`, reports.Overridden)
	turn("resume", `{"reason":"the policy knows better"}`, reports.Unproven)
	turn("pause", `{"reason":"a sale"}`, reports.Halted)
	p.Restart()
	if s := untilStep(t, p, "the step", func(stepAnswer) bool { return true }); s.Step != 300 || !s.Paused || s.Course.Code != reports.Halted {
		t.Errorf("after a restart: %+v", s)
	}
	turn("resume", `{"reason":"it is over"}`, reports.Unproven)
}

// unbounded lets every step be set.
type unbounded struct{}

func (unbounded) override() time.Duration      { return time.Hour }
func (unbounded) refusal(reports.State) string { return "" }
func (unbounded) primaryDown() string          { return "" }
