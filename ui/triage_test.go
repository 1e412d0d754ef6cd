package ui

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
)

const shopIssue = "/api/v1/services/shop/issues/1-0123456789abcdef"

func TestDecideOnAnIssue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if answer := r.call("PATCH", shopIssue, `{"state":"accepted","note":"meant","until":"2026-12-31","by":"ann"}`); answer.Code != 200 {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	want := []divergence.IssueDecision{{At: now.UTC(), Fingerprint: "1-0123456789abcdef", Endpoint: "GET /orders/{id}", State: "accepted", Until: "2026-12-31", Who: "ann", Note: "meant"}}
	if diff := cmp.Diff(want, r.store.decisions); diff != "" {
		t.Error(diff)
	}
}

func TestDecideOnACause(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if answer := r.call("PATCH", shopIssue, `{"state":"noise","note":"a clock","scope":"cause"}`); answer.Code != 200 {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	var endpoints []string
	for _, d := range r.store.decisions {
		endpoints = append(endpoints, d.Endpoint+" "+d.State+" "+d.Who)
	}
	if diff := cmp.Diff([]string{"GET /orders/{id} noise admin API", hostile + " noise admin API"}, endpoints); diff != "" {
		t.Error(diff)
	}
}

func TestDecisionsThatCannotBe(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := func(body string, code int, says string) {
		t.Helper()
		answer := r.call("PATCH", shopIssue, body)
		if answer.Code != code || !strings.Contains(answer.Body.String(), says) {
			t.Errorf("%s: %d %s", body, answer.Code, answer.Body)
		}
	}
	f(`{"state":"regressed","note":"x"}`, 422, "state: want open, accepted, bug, noise or resolved")
	f(`{"state":"accepted"}`, 422, "note: is missing")
	f(`{"state":"accepted","note":"x","until":"tomorrow"}`, 422, "until: want a day")
	f(`{"state":"accepted","note":"x","until":"2020-01-01"}`, 422, "until: is over")
	f(`{"state":"accepted","note":"x","until":"2099-01-01"}`, 422, "366 days")
	f(`{"state":"bug","until":"2026-12-31"}`, 422, "until: only accepted and noise end")
	f(`{"state":"bug","scope":"all"}`, 422, "scope: want issue or cause")
	f(`{"state":"bug","by":"`+strings.Repeat("x", 101)+`"}`, 422, "by: is longer")
	f(`{"state":"bug","by":"parallax"}`, 422, "by: parallax is who")
	f(`{"status":"bug"}`, 400, "status")
	if answer := r.call("PATCH", "/api/v1/services/shop/issues/1-ffffffffffffffff", `{"state":"bug"}`); answer.Code != 404 {
		t.Errorf("an unknown issue: %d", answer.Code)
	}
	r.store.issues[0].Kind = "timeout"
	f(`{"state":"accepted","note":"x"}`, 422, "gave no answer cannot be accepted")
	if len(r.store.decisions) != 0 {
		t.Errorf("there are decisions: %v", r.store.decisions)
	}
}

func TestDecideOnThePage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	page := "/services/shop/issues/1-0123456789abcdef"
	post := func(headers ...string) *httptest.ResponseRecorder {
		form := url.Values{"state": {"bug"}, "until": {"2026-12-31"}, "by": {"ann"}, "note": {"BUG-7"}}
		return r.call("POST", page, form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
	}
	if answer := post("Sec-Fetch-Site", "cross-site"); answer.Code != http.StatusForbidden {
		t.Errorf("another site may decide: %d", answer.Code)
	}
	if answer := post("Sec-Fetch-Site", "same-origin"); answer.Code != http.StatusSeeOther || answer.Header().Get("Location") != page {
		t.Errorf("%d to %q: %s", answer.Code, answer.Header().Get("Location"), answer.Body)
	}
	if len(r.store.decisions) != 1 || r.store.decisions[0].State != "bug" || r.store.decisions[0].Until != "" {
		t.Errorf("decided: %v", r.store.decisions)
	}
	if answer := r.call("POST", page, "note="+strings.Repeat("x", maxRequestBody), "Content-Type", "application/x-www-form-urlencoded"); answer.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a form that is too long: %d", answer.Code)
	}
	if answer := r.call("POST", page, `{"state":"bug"}`); answer.Code != http.StatusUnsupportedMediaType {
		t.Errorf("no form: %d", answer.Code)
	}
	says(t, page, parsePage(t, r, page, 200), "type: number became string", "BUG-7", "ann", "each pair of values once", "200", `"18"`)
}

func TestCausesOnSeveralEndpointsAreOneGroup(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var got struct{ Causes []causeGroup }
	answer := r.call("GET", "/api/v1/services/shop/issues?grouped=true", "")
	if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Causes) != 3 || got.Causes[0].Count != 307 || !cmp.Equal(got.Causes[0].Endpoints, []string{"GET /orders/{id}", hostile}) {
		t.Errorf("%+v", got.Causes)
	}
	says(t, "issues", parsePage(t, r, "/services/shop/issues", 200), "One cause on several endpoints", "307")
	says(t, "issues", parsePage(t, r, "/services/shop/issues?cause=1-00000000000000c2&state=open", 200), "Only those of the cause", "$.items[*].price")
}
