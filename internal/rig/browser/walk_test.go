package browser

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"parallax/internal/rig"
)

// TestWalks does by keyboard alone what people come for, on the demo of the shop: decide on
// issues, try a rule and save it and see the verdict change, be told why users cannot be moved.
func TestWalks(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs a demo")
	}
	admin, _, _ := demo(t)
	walk := &walk{t: t, tab: Open(t), admin: admin}
	walk.tab.Look(1440, "light")
	rig.Eventually(t, "a verdict against the candidate", func() error { return walk.verdict("rollback") })
	walk.triage()
	walk.saveRule()
	walk.triageSeveral()
	walk.refusedStep()
}

type walk struct {
	t     *testing.T
	tab   *Tab
	admin string
}

// sees wants texts on the page, and no fault of it.
func (w *walk) sees(texts ...string) {
	w.t.Helper()
	text := strings.ToLower(w.tab.Text()) // style may write small capitals
	for _, want := range texts {
		if !strings.Contains(text, strings.ToLower(want)) {
			w.t.Errorf("%s lacks %q:\n%s", w.tab.Address(), want, text)
		}
	}
	for _, fault := range w.tab.Faults() {
		w.t.Errorf("%s: %s", w.tab.Address(), fault)
	}
}

// triage walks from the first page to an issue, and says that it is a bug.
func (w *walk) triage() {
	w.t.Helper()
	w.tab.Load(w.admin)
	w.tab.Follow("shop")
	w.tab.Follow("all issues")
	w.tab.Follow("$.currency") // one cause on several endpoints
	w.tab.Follow("$.currency")
	w.sees("open")
	w.tab.Fill("State", "bug")
	w.tab.Fill("By", "ann")
	w.tab.Fill("Why", "the case is ours")
	w.tab.Follow("Decide")
	w.sees("ann", "the case is ours")
	w.tab.Shoot(*shots, "walk-issue")
}

// cause is what the issues at a place have in common.
func (w *walk) cause(path string) string {
	w.t.Helper()
	text, err := get(w.admin + "/api/v1/services/shop/issues")
	var list struct {
		Issues []struct{ Path, Cause string }
	}
	if err = errors.Join(err, json.Unmarshal([]byte(text), &list)); err != nil {
		w.t.Fatal(err)
	}
	for _, i := range list.Issues {
		if i.Path == path {
			return i.Cause
		}
	}
	w.t.Fatalf("no issue is at %s: %s", path, text)
	return ""
}

// saveRule tries a rule and saves it. The endpoints it is about begin with new evidence: what
// was to be rolled back holds.
func (w *walk) saveRule() {
	w.t.Helper()
	w.tab.Load(w.admin + "/services/shop")
	w.sees("Roll back")
	w.tab.Follow("rules")
	w.sees("Roll back")
	w.tab.Fill("Rules", "- { path: $..currency, text: [case], reason: \"the case is meant\", owner: team-shop }")
	w.tab.Follow("Try them")
	w.sees("They would hide")
	w.tab.Shoot(*shots, "walk-tried")
	w.tab.Fill("Why", "customers see no case")
	w.tab.Follow("Save what was tried")
	w.sees("Saved here", "customers see no case", "Hold")
	w.tab.Shoot(*shots, "walk-saved")
	if !strings.Contains(w.tab.Address(), "/services/shop/rules") {
		w.t.Errorf("it leads to %s", w.tab.Address())
	}
}

// triageSeveral says of two issues at once that they are meant.
func (w *walk) triageSeveral() {
	w.t.Helper()
	w.tab.Load(w.admin + "/services/shop/issues?cause=" + w.cause("$.currency"))
	for _, endpoint := range []string{"GET /orders/{id}", "POST /orders"} {
		w.tab.Reach("Choose $.currency of " + endpoint)
		w.tab.Press(" ")
	}
	w.tab.Fill("State", "accepted")
	w.tab.Fill("By", "ann")
	w.tab.Fill("Why", "meant after all")
	w.tab.Follow("Decide on those")
	w.sees("accepted")
	w.tab.Shoot(*shots, "walk-issues")
	text, err := get(w.admin + "/api/v1/services/shop/issues?state=accepted&suppressed=true")
	if err != nil || strings.Count(text, `"state":"accepted"`) < 2 {
		w.t.Errorf("%v; accepted: %s", err, text)
	}
}

// verdict wants one.
func (w *walk) verdict(want string) error {
	text, err := get(w.admin + "/api/v1/services/shop/verdict")
	if err != nil {
		return err
	}
	var v struct{ Verdict string }
	if err := json.Unmarshal([]byte(text), &v); err != nil || v.Verdict != want {
		return fmt.Errorf("%v; it is %s", err, v.Verdict)
	}
	return nil
}

// refusedStep asks for what the demo's state does not allow: its versions make up tokens of their
// own, so that nobody who is logged in could change sides. The page says so.
func (w *walk) refusedStep() {
	w.t.Helper()
	w.tab.Load(w.admin + "/services/shop")
	if marks := Ask[[]string](w.tab, `[...document.querySelectorAll(".plot .mark")].map(m => m.title)`); !strings.Contains(strings.Join(marks, "\n"), "rules were saved") {
		w.t.Errorf("the chart does not show when the rules changed: %q", marks)
	}
	w.tab.Follow("Step")
	w.tab.Fill("Users on the candidate, in percent", "5")
	w.tab.Fill("Why this step", "five in a hundred")
	w.tab.Fill("For more users than now, the name of the service", "shop")
	w.tab.Follow("Set the step")
	if text := w.tab.Text(); !strings.Contains(text, "This was not done.") || !strings.Contains(text, "compatible: true") {
		w.t.Errorf("the step was not refused well:\n%s", text)
	}
	w.tab.Faults() // the browser says of the refusal that it is one
}

// TestWalkOfTheStep moves users to the candidate against the policy, by keyboard, and takes them
// back.
func TestWalkOfTheStep(t *testing.T) {
	t.Parallel()
	leg := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }))
	t.Cleanup(leg.Close)
	p := rig.StartIn(t, t.TempDir(), fmt.Sprintf(`
admin: { listen: "127.0.0.1:0" }
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: [%q] }
  candidate: { urls: [%q], state: none }
  split: { key: "header:X-User", salt: walk }
`, leg.URL, leg.URL))
	w := &walk{t: t, tab: Open(t), admin: p.Admin}
	rig.Eventually(t, "the store", func() error { return p.JSON("/api/v1/services/shop/report", new(any)) }) // or there is no history
	w.tab.Look(390, "dark")
	w.tab.Load(w.admin + "/services/shop")
	w.tab.Follow("Step")
	w.tab.Fill("Users on the candidate, in percent", "5")
	w.tab.Fill("Why this step", "five in a hundred")
	w.tab.Fill("For more users than now, the name of the service", "shop")
	w.tab.Follow("Set the step")
	w.sees("5 % of users are on the candidate", "five in a hundred")
	w.tab.Shoot(*shots, "walk-step")
	w.tab.Fill("Why, if there is time", "enough")
	w.tab.Follow("Everybody back to the primary")
	w.sees("0 % of users are on the candidate", "enough", "The policy is paused")
	w.tab.Fill("Why it may go on", "found it")
	w.tab.Follow("Let the policy go on")
	w.sees("the policy goes on")
}
