package ui

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"parallax/divergence"
	"parallax/reports"
)

const atPromotion = "/services/shop/promotion"

func (r *rig) press(button string, form url.Values, headers ...string) *httptest.ResponseRecorder {
	return r.call("POST", atPromotion+"/"+button, form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html"}, headers...)...)
}

// TestPromotionPage shows where users are and how they came there, and its buttons do what they say.
func TestPromotionPage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	says(t, atPromotion, parsePage(t, r, atPromotion, 200), "0 % of users are on the candidate.", "Nobody has moved the step yet.", "Everybody back to the primary", "Pause the policy")

	f := func(button string, form url.Values, code int, holds func(reports.State) bool) {
		t.Helper()
		answer := r.press(button, form)
		if answer.Code != code || !holds(r.stepper.State()) {
			t.Errorf("%s %v: %d, then %+v: %s", button, form, answer.Code, r.stepper.State(), answer.Body)
		}
		if code == http.StatusSeeOther && answer.Header().Get("Location") != atPromotion {
			t.Errorf("%s goes to %q", button, answer.Header().Get("Location"))
		}
	}
	at := func(step int) func(reports.State) bool {
		return func(s reports.State) bool { return s.Step == step }
	}
	f("step", url.Values{"share": {"2.5"}, "reason": {"first users"}}, 422, at(0))
	f("step", url.Values{"share": {"2.5"}, "reason": {"first users"}, "confirm": {"shp"}}, 422, at(0))
	f("step", url.Values{"share": {"2.5"}, "confirm": {"shop"}}, 422, at(0))
	f("step", url.Values{"share": {"2.5"}, "reason": {"first users"}, "confirm": {"shop"}}, 303, at(250))
	f("step", url.Values{"share": {"1.01"}, "reason": {"fewer"}}, 303, at(101))
	f("pause", url.Values{}, 303, func(s reports.State) bool { return s.Paused })
	says(t, atPromotion, parsePage(t, r, atPromotion, 200), "1.01 % of users are on the candidate.", "fewer (admin API)", "The policy is paused", "Let the policy go on")
	f("resume", url.Values{}, 422, func(s reports.State) bool { return s.Paused })
	f("resume", url.Values{"reason": {"found it"}}, 303, func(s reports.State) bool { return !s.Paused })
	refused, err := html.Parse(r.press("step", url.Values{"share": {"7"}, "reason": {"kept"}}).Body)
	if err != nil {
		t.Fatal(err)
	}
	checkPage(t, "refused", refused)
	says(t, "refused", refused, "This was not done.", "type the name of the service, shop, to confirm", "1.01 % of users are on the candidate.")
	values := map[string]bool{}
	for n := range refused.Descendants() {
		values[attribute(n, "value")] = true
	}
	if !values["7"] || !values["kept"] {
		t.Errorf("the form has forgotten what was in it: %v", values)
	}
	f("rollback", url.Values{"reason": {strings.Repeat("x", 501)}}, 422, at(101))
	f("rollback", url.Values{}, 303, at(0))
}

// TestSharesOfUsers are percentages with two digits.
func TestSharesOfUsers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"0": 0, "100": 10_000, "0.01": 1, "12.34": 1234, " 5 ": 500, "33.33": 3333, "": -1, "101": -1, "-1": -1, "0.001": -1, "NaN": -1, "1e2": 10_000, "Inf": -1, "5 %": -1} {
		step, fault := stepOf(text)
		if want >= 0 && (step != want || fault != "") || want < 0 && fault == "" {
			t.Errorf("%q: %d, %q; want %d", text, step, fault, want)
		}
	}
}

// TestPromotionHistory is in words, and there while the store is away is the step.
func TestPromotionHistory(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, d := range [][4]string{
		{"step", "step", "250", "first users"}, {"step", "step of reads", "10000", "reads"}, {"rollback", "step of writes", "0", hostile}, {"promotion", "pause", "", ""}, {"evidence", "restart", "", ""}, {"rules", "saved", "", ""}, {"new", "kind", "7", ""},
	} {
		r.store.changes = append(r.store.changes, divergence.Decision{At: now, Kind: d[0], Key: d[1], Value: d[2], Who: "ann", Note: d[3]})
	}
	page := parsePage(t, r, atPromotion, 200)
	says(t, atPromotion, page, "2.5 % of users to the candidate", "100 % of users of reads to the candidate", "everybody of writes back to the primary", hostile, "the policy was paused", "evidence starts anew", "rules were saved", "new kind 7")
	r.store.err = divergence.ErrAway
	says(t, atPromotion, parsePage(t, r, atPromotion, 200), "There is none at the moment", "The step above is current.")
}

// TestWhoMayPress: buttons that somebody may not press are not there, and say who may; pressing
// them all the same is refused, from other sites too.
func TestWhoMayPress(t *testing.T) {
	t.Parallel()
	r := guarded(t)
	for token, want := range map[string]int{"viewer": 0, "editor": 2, "admin": 3} {
		answer := r.call("GET", atPromotion, "", "Authorization", "Bearer "+token, "Accept", "text/html")
		page, err := html.Parse(answer.Body)
		if err != nil || answer.Code != 200 {
			t.Fatalf("%s: %d, %v", token, answer.Code, err)
		}
		if n := forms(page); n != want {
			t.Errorf("%s may press %d buttons, want %d:\n%s", token, n, want, text(page))
		}
		if refused := r.press("step", url.Values{"share": {"1"}, "reason": {"r"}, "confirm": {"shop"}}, "Authorization", "Bearer "+token); (refused.Code == 303) != (token == "admin") {
			t.Errorf("%s sets the step: %d", token, refused.Code)
		}
	}
	if answer := r.press("rollback", url.Values{}, "Authorization", "Bearer admin", "Sec-Fetch-Site", "cross-site"); answer.Code != http.StatusForbidden || r.stepper.State().Step == 0 {
		t.Errorf("from another site: %d", answer.Code)
	}
}

func forms(n *html.Node) (count int) {
	for c := range n.Descendants() {
		if c.Type == html.ElementNode && c.Data == "form" {
			count++
		}
	}
	return count
}
