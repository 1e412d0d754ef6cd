package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
	"parallax/reports"
)

// readProblem reads an answer that must be a problem document.
func readProblem(t *testing.T, answer *httptest.ResponseRecorder) problem {
	t.Helper()
	if got := answer.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("%d %s: not a problem document\n%s", answer.Code, got, answer.Body)
	}
	loadSchemas(t).check(t, "Problem", answer.Body.Bytes())
	var p problem
	if err := json.Unmarshal(answer.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != answer.Code || p.Title == "" || !strings.HasPrefix(p.Type, problemType) {
		t.Errorf("%d: %+v", answer.Code, p)
	}
	return p
}

func TestProblems(t *testing.T) {
	t.Parallel()
	const shop = "/api/v1/services/shop"
	f := func(method, target, body string, status int, word, says string) {
		t.Helper()
		r := newRig(t)
		answer := r.call(method, target, body)
		if answer.Code != status {
			t.Errorf("%s %s %s: %d, want %d\n%s", method, target, body, answer.Code, status, answer.Body)
			return
		}
		p := readProblem(t, answer)
		if p.Type != problemType+word || !strings.Contains(p.Detail, says) {
			t.Errorf("%s %s %s: %s %q, want %s and %q", method, target, body, p.Type, p.Detail, word, says)
		}
		if path, _, _ := strings.Cut(target, "?"); p.Instance != path {
			t.Errorf("%s: instance %q", target, p.Instance)
		}
		if log := r.log.String(); log != "" {
			t.Errorf("%s %s: a caller's fault was logged: %s", method, target, log)
		}
	}
	f("GET", "/api/v1/services/nosuch/report", "", 404, "not_found", `no service "nosuch"`)
	f("PUT", "/api/v1/services/nosuch/step", `{"step":1,"reason":"x"}`, 404, "not_found", `no service`)
	f("GET", "/api/v1/nothing", "", 404, "not_found", "openapi.json")
	f("DELETE", shop+"/step", "", 405, "method_not_allowed", "DELETE")
	f("GET", shop+"/report?from=yesterday", "", 400, "bad_request", "from: want a time")
	f("GET", shop+"/report?from=2026-11-21T12:00:00Z&to=2026-11-21T12:00:00Z", "", 400, "bad_request", "to: is not after from")
	f("GET", shop+"/report?form=2026-11-21T12:00:00Z", "", 400, "bad_request", "form: is not a parameter of this call; there are from, to")
	f("GET", shop+"/issues?limit=0", "", 400, "bad_request", "limit: want a whole number from 1 to 1000")
	f("GET", shop+"/issues?suppressed=maybe", "", 400, "bad_request", "suppressed: want true or false")
	f("GET", shop+"/issues?limit=1&limit=2", "", 400, "bad_request", "limit: is given 2 times")
	f("GET", shop+"/issues?endpoint="+strings.Repeat("x", 2000), "", 400, "bad_request", "endpoint: is longer than")
	f("GET", shop+"/issues/xyz", "", 400, "bad_request", "fingerprint")
	f("GET", shop+"/issues/1-ffffffffffffffff", "", 404, "not_found", "1-ffffffffffffffff")
	f("GET", shop+"/exchanges?outcome=good", "", 400, "bad_request", "outcome: want match, diverged or not_comparable")
	f("GET", shop+"/exchanges?issue=abc", "", 400, "bad_request", "issue:")
	f("GET", shop+"/exchanges?before=abc", "", 400, "bad_request", "before:")
	f("GET", shop+"/exchanges/abc", "", 400, "bad_request", "id: cannot read exchange id")
	f("GET", shop+"/exchanges/019aa6a0-1111-7abc-8def-0000000000ff", "", 404, "not_found", "not in the store")
	f("GET", shop+"/verdict?wait=soon", "", 400, "bad_request", "wait: want a duration such as 30s")
	f("GET", shop+"/verdict?wait=-3s", "", 400, "bad_request", "wait:")
	f("PUT", shop+"/step", ``, 415, "media_type", "application/json")
	f("PUT", shop+"/step", `{}`, 422, "invalid", "step: is missing")
	f("PUT", shop+"/step", `{"step":10001,"reason":"x"}`, 422, "invalid", "found 10001")
	f("PUT", shop+"/step", `{"step":-1,"reason":"x"}`, 422, "invalid", "found -1")
	f("PUT", shop+"/step", `{"step":5,"reason":"  "}`, 422, "invalid", "reason: is missing")
	f("PUT", shop+"/step", `{"step":5,"reason":"`+strings.Repeat("x", 600)+`"}`, 422, "invalid", "reason: is longer")
	f("PUT", shop+"/step", `{"step":"5","reason":"x"}`, 400, "bad_request", "step cannot be a string")
	f("PUT", shop+"/step", `{"step":2.5,"reason":"x"}`, 400, "bad_request", "step cannot be a number")
	f("PUT", shop+"/step", `{"step":5,"reason":"x","force":true}`, 400, "bad_request", `unknown field "force"`)
	f("PUT", shop+"/step", `{"step":5,"reason":"x"} {}`, 400, "bad_request", "more behind")
	f("PUT", shop+"/step", `{"step":5,`, 400, "bad_request", "ends early")
	f("PUT", shop+"/step", `{"step":5,"reason":"`+strings.Repeat("x", 20<<10)+`"}`, 413, "too_large", "longer than")
	f("POST", shop+"/evidence:restart", "", 415, "media_type", "application/json")
	f("POST", shop+"/evidence:restart", `{}`, 422, "invalid", "reason: is missing")
	f("POST", shop+"/evidence:restart", `{"reason":" "}`, 422, "invalid", "reason: is missing")
	f("POST", shop+"/evidence:restart", `{"reason":"x","since":1}`, 400, "bad_request", "since")
	f("GET", shop+"/evidence:restart", "", 405, "method_not_allowed", "GET")
	f("POST", shop+"/evidences", `{"reason":"x"}`, 404, "not_found", "openapi.json")
	f("POST", "/api/v1/services/nosuch/evidence:restart", `{"reason":"x"}`, 404, "not_found", "no service")
	f("POST", shop+"/rollback", `{"reason":3}`, 400, "bad_request", "reason cannot be a number")
}

func TestEvidenceIsRestarted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.stepper.state.Step = 500
	answer := r.call("POST", "/api/v1/services/shop/evidence:restart", `{"reason":"the network was broken"}`)
	var v reports.Verdict
	if err := json.Unmarshal(answer.Body.Bytes(), &v); err != nil || answer.Code != 200 || v.Since != now || v.Step != 500 {
		t.Errorf("%d %s, %v: want the verdict on the new evidence, at the step that stays", answer.Code, answer.Body, err)
	}
	if e := r.evidence; e.who != "admin API" || e.reason != "the network was broken" {
		t.Errorf("restarted by %q because %q", e.who, e.reason)
	}
}

func TestEvidenceThatCannotBeRestarted(t *testing.T) {
	t.Parallel()
	const target, body = "/api/v1/services/shop/evidence:restart", `{"reason":"x"}`
	r := newRig(t, func(c *Config) { c.Services[0].Evidence = nil })
	if p := readProblem(t, r.call("POST", target, body)); p.Status != 501 || p.Type != problemType+"not_supported" {
		t.Errorf("nobody can restart it: %+v", p)
	}
	r = newRig(t)
	r.evidence.err = errors.New("disk full")
	if p := readProblem(t, r.call("POST", target, body)); p.Status != 500 || strings.Contains(p.Detail, "disk") || !strings.Contains(r.log.String(), "disk full") {
		t.Errorf("it failed: %+v, log %s", p, r.log)
	}
	r = newRig(t)
	r.evidence.err = fmt.Errorf("cannot write: %w", divergence.ErrAway)
	if p := readProblem(t, r.call("POST", target, body)); p.Status != 503 {
		t.Errorf("the store is away: %+v", p)
	}
}

func TestUnknownServiceNamesTheKnown(t *testing.T) {
	t.Parallel()
	p := readProblem(t, newRig(t).call("GET", "/api/v1/services/shopp/verdict", ""))
	if diff := cmp.Diff([]string{"shop"}, p.Known); diff != "" {
		t.Error(diff)
	}
}

func TestStepIsSetAndRolledBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if answer := r.call("PUT", "/api/v1/services/shop/step", `{"step":500,"reason":"first users"}`); answer.Code != 200 {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	if diff := cmp.Diff(reports.State{Step: 500, Who: "admin API", Reason: "first users", At: now}, r.stepper.State()); diff != "" {
		t.Error(diff)
	}
	var step stepDocument
	if err := json.Unmarshal(r.call("GET", "/api/v1/services/shop/step", "").Body.Bytes(), &step); err != nil || step.Step != 500 || step.Reason != "first users" {
		t.Errorf("%+v, %v", step, err)
	}
	var v reports.Verdict
	if err := json.Unmarshal(r.call("GET", "/api/v1/services/shop/verdict", "").Body.Bytes(), &v); err != nil || v.Step != 500 {
		t.Errorf("the verdict says step %d, %v", v.Step, err)
	}
	if answer := r.call("POST", "/api/v1/services/shop/rollback", ""); answer.Code != 200 {
		t.Fatalf("a rollback without a body: %d %s", answer.Code, answer.Body)
	}
	if s := r.stepper.State(); s.Step != 0 || !s.Paused {
		t.Errorf("after the rollback: %+v", s)
	}
}

func TestStepOfAGroup(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) {
		c.Services[0].Groups = reports.Groups{{Name: "reads", Endpoints: []string{"GET *"}}, {Name: "writes", Endpoints: []string{"* *"}}}
	})
	r.stepper.state = reports.State{}.Regrouped([]string{"reads", "writes"})
	r.judge.verdict.Groups = []reports.GroupVerdict{{Group: "reads", Decision: reports.Promote, NotCovered: []string{hostile}}}
	answer := r.call("PUT", "/api/v1/services/shop/step", `{"step":500,"group":"reads","reason":"first readers"}`)
	var step stepDocument
	if err := json.Unmarshal(answer.Body.Bytes(), &step); err != nil || answer.Code != 200 || step.Step != 500 || len(step.Groups) != 2 {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	if reads, writes := step.Groups[0], step.Groups[1]; reads.Step != 500 || reads.Decision != reports.Promote || writes.Step != 0 || writes.Decision != reports.Hold {
		t.Errorf("%+v", step.Groups)
	}
	for body, want := range map[string]string{`{"step":500,"group":"carts","reason":"r"}`: "there are reads, writes", `{"step":500,"group":"READS","reason":""}`: "reason"} {
		if p := readProblem(t, r.call("PUT", "/api/v1/services/shop/step", body)); p.Status != 422 || !strings.Contains(p.Detail, want) {
			t.Errorf("%s: %+v", body, p)
		}
	}
	if p := readProblem(t, newRig(t).call("PUT", "/api/v1/services/shop/step", `{"step":500,"group":"reads","reason":"r"}`)); p.Status != 422 || !strings.Contains(p.Detail, "there are none") {
		t.Errorf("a service without groups: %+v", p)
	}
	page := r.call("GET", "/services/shop", "", "Accept", "text/html").Body.String()
	if !strings.Contains(page, "reads: promote, at 0 % of users; not covered: ") || strings.Contains(page, hostile) {
		t.Error("the page does not show the groups as text")
	}
}

func TestStepThatCannotBeKeptIsNoSuccess(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.stepper.err = errors.New("disk full")
	answer := r.call("PUT", "/api/v1/services/shop/step", `{"step":500,"reason":"first users"}`)
	if p := readProblem(t, answer); p.Status != 500 || strings.Contains(p.Detail, "disk") {
		t.Errorf("%+v", p)
	}
	if !strings.Contains(r.log.String(), "disk full") {
		t.Errorf("the log does not say why: %s", r.log)
	}
}

func TestStoreAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store.err = fmt.Errorf("cannot read comparisons: %w: connection refused", divergence.ErrAway)
	for _, target := range []string{"report", "issues", "issues/1-0123456789abcdef", "exchanges", "exchanges/" + firstID} {
		answer := r.call("GET", "/api/v1/services/shop/"+target, "")
		if p := readProblem(t, answer); p.Status != 503 || p.Type != problemType+"store_away" || answer.Header().Get("Retry-After") != "5" {
			t.Errorf("%s: %+v, Retry-After %q", target, p, answer.Header().Get("Retry-After"))
		}
	}
	for _, target := range []string{"/api/v1/services/shop/verdict", "/api/v1/services/shop/step", "/api/v1/services", "/livez", "/readyz", "/metrics"} {
		if answer := r.call("GET", target, ""); answer.Code != 200 {
			t.Errorf("%s needs the store: %d", target, answer.Code)
		}
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	var stopped error
	r := newRig(t, func(c *Config) {
		c.Ready = func() error { return stopped }
		c.Dependencies = storeIsAway
	})
	if answer := r.call("GET", "/readyz", ""); answer.Code != 200 || !strings.Contains(answer.Body.String(), `{"name":"store","ok":false,"detail":"away"}`) {
		t.Errorf("a store that is away: %d %s", answer.Code, answer.Body)
	}
	stopped = errors.New("the listener of shop is closed")
	if answer := r.call("GET", "/readyz", ""); answer.Code != 503 || !strings.Contains(answer.Body.String(), "the listener of shop is closed") {
		t.Errorf("a listener that is closed: %d %s", answer.Code, answer.Body)
	}
}

func TestVerdictWaitsForAnotherDecision(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()
		answers := make(chan *httptest.ResponseRecorder)
		go func() { answers <- r.call("GET", "/api/v1/services/shop/verdict?wait=30s", "") }()
		<-r.judge.waiting
		time.Sleep(7 * time.Second) // the bubble's clock
		r.judge.set(reports.Promote)
		answer := <-answers
		var v reports.Verdict
		if err := json.Unmarshal(answer.Body.Bytes(), &v); err != nil || v.Decision != reports.Promote {
			t.Errorf("%v %s", err, answer.Body)
		}
		if waited := time.Since(begin); waited != 7*time.Second {
			t.Errorf("answered after %v, want 7s", waited)
		}
	})
}

func TestVerdictWaitEndsByItself(t *testing.T) {
	t.Parallel()
	f := func(wait string, want time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			begin := time.Now()
			answer := r.call("GET", "/api/v1/services/shop/verdict?wait="+wait, "")
			if answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), `"verdict":"hold"`) {
				t.Errorf("%d %s", answer.Code, answer.Body)
			}
			if waited := time.Since(begin); waited != want {
				t.Errorf("wait=%s answered after %v, want %v", wait, waited, want)
			}
		})
	}
	f("0s", 0)
	f("30s", 30*time.Second)
	f("24h", 60*time.Second)
}
