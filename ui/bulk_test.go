package ui

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"parallax/divergence"
)

// TestDecideOnSeveral issues at once: on all of them, or on none, and the page says why with the
// form as it was.
func TestDecideOnSeveral(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const list = "/services/shop/issues?state=open"
	var all []string
	for _, i := range r.store.issues {
		all = append(all, i.Fingerprint)
	}
	if len(all) < 3 {
		t.Fatalf("the fake store has %d issues", len(all))
	}
	refused := func(form url.Values, says string) *html.Node {
		t.Helper()
		doc := postForm(t, r, list, form, http.StatusUnprocessableEntity)
		if got := text(doc); !strings.Contains(got, says) || !strings.Contains(got, "Nothing was decided.") || len(r.store.decisions) > 0 {
			t.Errorf("%v: decided %v, lacks %q:\n%s", form, r.store.decisions, says, got)
		}
		return doc
	}
	refused(url.Values{"state": {"bug"}}, "none was chosen")
	refused(url.Values{"state": {"regressed"}, "issue": all}, "state: want open")
	refused(url.Values{"state": {"bug"}, "issue": {all[0], "1-ffffffffffffffff"}}, "not among the issues there are")
	refused(url.Values{"state": {"bug"}, "issue": slices.Repeat(all[:1], issuesPerPage+1)}, "can be decided on at once")
	doc := refused(url.Values{"state": {"accepted"}, "issue": all[:2], "by": {"ann"}}, "note: is missing")
	ticked := 0
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == "input" && slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "checked" }) {
			ticked++
		}
	}
	if ticked != 2 {
		t.Errorf("%d are ticked still, want 2", ticked)
	}
	r.store.issues[0].Kind = "timeout"
	refused(url.Values{"state": {"noise"}, "note": {"x"}, "issue": all}, "that the candidate gave no answer cannot be noise")
	form := url.Values{"state": {"bug"}, "until": {"2026-12-31"}, "by": {"ann"}, "note": {"BUG-7"}, "issue": all}
	answer := r.call("POST", list, form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	if answer.Code != http.StatusSeeOther || answer.Header().Get("Location") != list {
		t.Fatalf("%d to %s: %s", answer.Code, answer.Header().Get("Location"), answer.Body)
	}
	if len(r.store.decisions) != len(all) || slices.ContainsFunc(r.store.decisions, func(d divergence.IssueDecision) bool {
		return d.State != "bug" || d.Who != "ann" || d.Note != "BUG-7" || d.Endpoint == "" || d.Until != ""
	}) {
		t.Errorf("decided: %+v", r.store.decisions)
	}
}
