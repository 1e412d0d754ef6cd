package reports

import (
	"strings"
	"testing"
)

func TestDiagnose(t *testing.T) {
	t.Parallel()
	f := func(matrix map[string]int64, code, leg, says string) {
		t.Helper()
		d := Diagnose(matrix)
		if code == "" {
			if d != nil {
				t.Errorf("%v: found %s on the %s", matrix, d.Code, d.Leg)
			}
			return
		}
		if d == nil || d.Code != code || d.Leg != leg || !strings.Contains(d.Sentence(), says) {
			t.Errorf("%v: want %s on the %s that says %q, found %+v", matrix, code, leg, says, d)
		}
	}
	f(map[string]int64{"200/401": 94, "200/200": 6}, "unauthorized", "candidate", "94 % of this endpoint is 401 on the candidate only: it does not know the sessions of the primary")
	f(map[string]int64{"401/200": 94, "200/200": 6}, "unauthorized", "primary", "on the primary only")
	f(map[string]int64{"200/403": 60, "200/200": 40}, "forbidden", "candidate", "permissions")
	f(map[string]int64{"200/404": 51, "200/200": 49}, "not_found", "candidate", "identifiers")
	f(map[string]int64{"404/200": 51, "200/200": 49}, "not_found", "primary", "newer")
	f(map[string]int64{"200/429": 6}, "rate_limited", "candidate", "max_rps")
	f(map[string]int64{"200/500": 30, "200/503": 30, "200/200": 40}, "server_error", "candidate", "log")
	f(map[string]int64{"502/200": 60, "200/200": 40}, "server_error", "primary", "cannot be compared")
	f(map[string]int64{"200/301": 30, "200/308": 30, "200/200": 40}, "redirect", "candidate", "candidate.rewrite")
	f(map[string]int64{"302/200": 60}, "redirect", "primary", "sign-in")
	f(map[string]int64{"200/refused": 30, "200/timeout": 30}, "no_answer", "candidate", "candidate.urls")
	f(map[string]int64{"500/refused": 60}, "server_error", "primary", "")

	f(map[string]int64{"200/404": 50, "200/200": 50}, "", "", "") // not more than half
	f(map[string]int64{"404/404": 90, "200/200": 10}, "", "", "") // on both
	f(map[string]int64{"200/404": 40, "404/200": 40}, "", "", "") // half on each
	f(map[string]int64{"200/304": 90}, "", "", "")                // no redirect
	f(map[string]int64{"200/404": 4}, "", "", "")                 // too few
	f(map[string]int64{"200/not_asked": 90}, "", "", "")          // says nothing
	f(map[string]int64{"caller_gone/200": 90}, "", "", "")        // no failure of a leg
	f(map[string]int64{"200/401": 9, "caller_gone/not_asked": 90}, "unauthorized", "candidate", "100 %")
	f(map[string]int64{"200/404": 9, "200/not_asked": 90}, "not_found", "candidate", "100 %")
	f(map[string]int64{"200/418": 90}, "", "", "")
	f(map[string]int64{"nonsense": 90}, "", "", "")
	f(nil, "", "", "")
}

// TestDiagnosisStandsBeforeTheDetails asks for the diagnosis in a report, before its table.
func TestDiagnosisStandsBeforeTheDetails(t *testing.T) {
	t.Parallel()
	r, v := week()
	for i := range r.Endpoints {
		if e := &r.Endpoints[i]; e.Endpoint == "GET /rare/{a|b}" {
			e.Diagnosis = Diagnose(map[string]int64{"200/401": 94, "200/200": 6})
		}
	}
	var text, markdown strings.Builder
	if err := WriteText(&text, r, v); err != nil {
		t.Fatal(err)
	}
	if err := WriteMarkdown(&markdown, r, v); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"text": text.String(), "markdown": markdown.String()} {
		cause, details := strings.Index(got, "is 401 on the candidate only"), strings.Index(strings.ToLower(got), "endpoint  ")
		if name == "markdown" {
			details = strings.Index(got, "### Why")
		}
		if cause < 0 || details < 0 || cause > details {
			t.Errorf("%s: the diagnosis is not before the details:\n%s", name, got)
		}
	}
}
