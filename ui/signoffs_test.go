package ui

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
	"parallax/reports"
)

const signOffs = "/api/v1/services/shop/signoffs"

// TestSignOffKeepsWhatWasSeen: the figures are the verdict's, not the caller's.
func TestSignOffKeepsWhatWasSeen(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if answer := r.call("POST", signOffs, `{"endpoint":"GET /health","reason":"twice a day","until":"2026-12-31","by":"ann"}`); answer.Code != 200 {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	if answer := r.call("POST", signOffs, `{"endpoint":"GET /health","reason":"a mistake","withdraw":true}`); answer.Code != 200 {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	want := []divergence.SignOff{
		{
			At: now, Endpoint: "GET /health", Until: "2026-12-31", Who: "ann", Reason: "twice a day", RulesHash: "b3c1", PolicyHash: "91aa", CandidateVersion: "2.26.0",
			Limits: []divergence.SignedLimit{{Test: "divergence", N: 180, Upper: 0.021}, {Test: "errors", N: 180, Upper: 0.021}},
		},
		{At: now, Endpoint: "GET /health", Who: "admin API", Reason: "a mistake", Limits: []divergence.SignedLimit{}},
	}
	if diff := cmp.Diff(want, r.store.signed); diff != "" {
		t.Error(diff)
	}
}

func TestSignOffsThatCannotBe(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := func(body string, code int, says string) {
		t.Helper()
		answer := r.call("POST", signOffs, body)
		if answer.Code != code || !strings.Contains(answer.Body.String(), says) {
			t.Errorf("%s: %d %s", body, answer.Code, answer.Body)
		}
	}
	f(`{"reason":"x","until":"2026-12-31"}`, 422, "endpoint: is missing")
	f(`{"endpoint":"GET /health","until":"2026-12-31"}`, 422, "reason: is missing")
	f(`{"endpoint":"GET /health","reason":"x"}`, 422, "until: is missing")
	f(`{"endpoint":"GET /health","reason":"x","until":"soon"}`, 422, "until: want a day")
	f(`{"endpoint":"GET /health","reason":"x","until":"2026-11-20"}`, 422, "until: is over")
	f(`{"endpoint":"GET /health","reason":"x","until":"2028-01-01"}`, 422, "366 days")
	f(`{"endpoint":"GET /health","reason":"x","until":"2026-12-31","withdraw":true}`, 422, "no meaning with withdraw")
	f(`{"endpoint":"GET /health","reason":"x","until":"2026-12-31","by":"`+strings.Repeat("x", 101)+`"}`, 422, "by: is longer")
	f(`{"endpoint":"GET /nothing","reason":"x","until":"2026-12-31"}`, 422, "the verdict knows no")
	f(`{"endpoint":"GET /orders/{id}","reason":"x","until":"2026-12-31"}`, 409, "no rate that is above its limit")
	f(`{"endpoint":"GET /health","reason":"x","until":"2026-12-31","k":0}`, 400, `unknown field \"k\"`)
	if len(r.store.signed) != 0 {
		t.Errorf("signed: %v", r.store.signed)
	}
	f2 := newRig(t, func(c *Config) { c.Decisions = nil })
	if answer := f2.call("POST", signOffs, `{"endpoint":"GET /health","reason":"x","until":"2026-12-31"}`); answer.Code != http.StatusNotImplemented {
		t.Errorf("nobody keeps it: %d", answer.Code)
	}
}

func TestSignOffOnThePage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	page := endpointPath("shop", "GET /health")
	says(t, page, parsePage(t, r, page, 200), "Sign off", "2.1 %", "Pass it with what was seen so far")
	if text := text(parsePage(t, r, endpointPath("shop", "GET /orders/{id}"), 200)); strings.Contains(text, "Sign off") {
		t.Error("what is above its limit can be signed")
	}
	post := func(form url.Values, headers ...string) *httptest.ResponseRecorder {
		return r.call("POST", "/services/shop/endpoint", form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
	}
	form := url.Values{"endpoint": {"GET /health"}, "until": {"2026-12-31"}, "by": {"ann"}, "reason": {"twice a day"}}
	if answer := post(form, "Sec-Fetch-Site", "cross-site"); answer.Code != http.StatusForbidden {
		t.Errorf("another site may sign: %d", answer.Code)
	}
	if answer := post(form, "Sec-Fetch-Site", "same-origin"); answer.Code != http.StatusSeeOther || answer.Header().Get("Location") != page {
		t.Errorf("%d to %q: %s", answer.Code, answer.Header().Get("Location"), answer.Body)
	}
	form.Set("withdraw", "yes")
	if answer := post(form); answer.Code != http.StatusSeeOther {
		t.Errorf("withdrawn: %d %s", answer.Code, answer.Body)
	}
	if len(r.store.signed) != 2 || r.store.signed[0].Until != "2026-12-31" || !r.store.signed[1].Withdrawn() {
		t.Errorf("signed: %+v", r.store.signed)
	}
	signed := reports.Signed{Endpoint: "GET /health", N: 180, Upper: 0.021, Who: "ann", Reason: hostile, At: now, Until: "2026-12-31"}
	r.judge.verdict.Signed = []reports.Signed{signed}
	r.judge.verdict.Endpoints[1] = reports.EndpointVerdict{Endpoint: "GET /health", Decision: reports.Promote, Signed: &signed}
	says(t, page, parsePage(t, r, page, 200), "passed until 2026-12-31 by ann at 0 of 180 exchanges, so at a rate of at most 2.1 %", "Take the sign-off back")
	says(t, "/", parsePage(t, r, "/", 200), "1 endpoint passes on a person’s word")
}

// TestPoolsOnThePages: they are shown, with a page to sign them off on.
func TestPoolsOnThePages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	short := reports.Reason{Code: reports.InsufficientSamples, Endpoint: "pool rare", Test: reports.DivergenceTest, N: 180, Need: 3787}
	r.judge.verdict.Reasons = []reports.Reason{short}
	r.judge.verdict.Pools = []reports.PoolVerdict{{Pool: "rare", Members: []string{"GET /health", hostile}, N: 180, Upper: 0.021, Decision: reports.Hold, Reasons: []reports.Reason{short}}}
	r.judge.verdict.Endpoints[1] = reports.EndpointVerdict{Endpoint: "GET /health", Decision: reports.Promote, Pool: "rare"}
	doc := parsePage(t, r, "/services/shop", 200)
	says(t, "the service", doc, "pool rare : needs 3787 exchanges and has 180", "1 pool of endpoints is judged together", "in pool rare")
	r.judge.verdict.Pools[0].Offer = &divergence.SignOff{Endpoint: "pool rare", Limits: []divergence.SignedLimit{{Test: "divergence", N: 180, Upper: 0.021}}}
	own := endpointPath("shop", "pool rare")
	linked := false
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			linked = linked || a.Key == "href" && a.Val == own
		}
	}
	if !linked {
		t.Errorf("no link to %s", own)
	}
	says(t, own, parsePage(t, r, own, 200), "needs 3787 exchanges", "Pass it with what was seen so far", "Each endpoint has a page of its own")
	if answer := r.call("POST", signOffs, `{"endpoint":"pool rare","reason":"twice a day","until":"2026-12-31","by":"ann"}`); answer.Code != 200 || len(r.store.signed) != 1 || r.store.signed[0].Endpoint != "pool rare" {
		t.Errorf("%d %s, signed %+v", answer.Code, answer.Body, r.store.signed)
	}
	if answer := r.call("POST", signOffs, `{"endpoint":"pool other","reason":"x","until":"2026-12-31"}`); answer.Code != 422 {
		t.Errorf("a pool that is not there: %d %s", answer.Code, answer.Body)
	}
	page := endpointPath("shop", "GET /health")
	says(t, page, parsePage(t, r, page, 200), "judged together with the other endpoints of the pool rare")
}

// TestUnpairedVerdictsOnThePages: labelled so, with what callers got from both legs.
func TestUnpairedVerdictsOnThePages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	u := reports.Unpaired{
		Endpoint: "POST /orders", Decision: reports.Hold, Candidate: divergence.Lived{N: 40, Failed: 2}, Primary: divergence.Lived{N: 4000, Failed: 3},
		Failed: reports.Difference{Threshold: 0.001, Lower: -0.002, Upper: 0.2}, Slow: reports.Difference{Threshold: 0.05, Lower: -1, Upper: 1},
	}
	r.judge.verdict.Unpaired = []reports.Unpaired{u}
	r.judge.verdict.Endpoints[3].Unpaired = &u
	says(t, "the service", parsePage(t, r, "/services/shop", 200), "1 endpoint is judged unpaired, by what callers got of the live candidate",
		"POST /orders (unpaired): hold; the candidate failed 2 of 40 requests and the primary 3 of 4000, so it fails -0.2 % to 20 % more often, of which 0.1 % is allowed.")
	page := endpointPath("shop", "POST /orders")
	says(t, page, parsePage(t, r, page, 200), "POST /orders (unpaired): hold")
}

// TestAnEndpointsOwnLimit: the page of an endpoint draws the limit that it is judged by.
func TestAnEndpointsOwnLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	page := func() string {
		return r.call("GET", "/services/shop/endpoint?endpoint=GET+%2Forders%2F%7Bid%7D", "").Body.String()
	}
	if text := page(); !strings.Contains(text, percent(0.001)+" allowed") {
		t.Error("the service's limit is not drawn")
	}
	for i := range r.judge.verdict.Endpoints {
		r.judge.verdict.Endpoints[i].Limit = 0.02
	}
	if text := page(); !strings.Contains(text, percent(0.02)+" allowed") || strings.Contains(text, percent(0.001)+" allowed") {
		t.Error("the endpoint's own limit is not drawn")
	}
}
