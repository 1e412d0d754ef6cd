package ui

import (
	"strings"
	"testing"
)

// TestReportForms: the API gives a report in every form, and values only to whom may see them.
func TestReportForms(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const at = "/api/v1/services/shop/report?format="
	for form, want := range map[string][2]string{
		"json": {"application/json", `"service":"shop"`}, "text": {"text/plain", "shop: "}, "markdown": {"text/markdown", "## shop: "},
		"junit": {"application/xml", "<testsuite"}, "html": {"text/html", "<!doctype html>"},
	} {
		answer := r.call("GET", at+form, "")
		if answer.Code != 200 || !strings.HasPrefix(answer.Header().Get("Content-Type"), want[0]) || !strings.Contains(answer.Body.String(), want[1]) {
			t.Errorf("%s: %d %s: %.200s", form, answer.Code, answer.Header().Get("Content-Type"), answer.Body)
		}
		if strings.Contains(answer.Body.String(), "<script>") && form != "json" && form != "text" {
			t.Errorf("%s has markup from outside in it", form)
		}
	}
	if answer := r.call("GET", at+"pdf", ""); answer.Code != 400 || !strings.Contains(answer.Body.String(), "want json, text, markdown, junit or html") {
		t.Errorf("pdf: %d %s", answer.Code, answer.Body)
	}
	r = guarded(t)
	for token, want := range map[string]bool{"ci": false, "viewer": false, "reviewer": true} {
		page := r.call("GET", at+"html", "", "Authorization", "Bearer "+token).Body.String()
		if hidden := strings.Contains(page, "Whoever made this may not see values."); hidden == want {
			t.Errorf("%s sees values: %v", token, !hidden)
		}
	}
}
