package ui

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"parallax/compare"
	"parallax/divergence"
)

const ruleText = "- {path: $.id, ignore: true}\n"

// saving asks for rules to be saved.
func saving(version, text, reason string) string {
	body, err := json.Marshal(map[string]string{"version": version, "text": text, "reason": reason})
	if err != nil {
		panic(err)
	}
	return string(body)
}

// TestSaveRules by a program: they are saved whole, under their caller's name and reason, or
// nothing is.
func TestSaveRules(t *testing.T) {
	t.Parallel()
	const target = "/api/v1/services/shop/rules"
	r := newRig(t)
	none := r.editor.Saved().Version
	var d rulesDocument
	answer := r.call("PUT", target, saving(none, ruleText, "ids are others"))
	if err := json.Unmarshal(answer.Body.Bytes(), &d); err != nil || answer.Code != 200 || d.Saved == nil || d.Saved.Text != ruleText || d.Saved.Version == none {
		t.Fatalf("%d %v %+v", answer.Code, err, d.Saved)
	}
	want := divergence.NewSavedRules(ruleText)
	want.At, want.Who, want.Reason = now, "admin API", "ids are others"
	if diff := cmp.Diff(want, r.editor.Saved()); diff != "" {
		t.Error(diff)
	}
	f := func(body string, status int, word, wants string) {
		t.Helper()
		p := readProblem(t, r.call("PUT", target, body))
		if p.Status != status || !strings.HasSuffix(p.Type, ":"+word) || !strings.Contains(p.Detail, wants) {
			t.Errorf("%.80s: %+v", body, p)
		}
		if r.editor.Saved() != want {
			t.Errorf("%.80s: saved %+v", body, r.editor.Saved())
		}
	}
	f(saving(none, "[]", "back"), 409, "other_rules", "by bob")
	f(saving(want.Version, "- {path: $.id, ignor: true}", "x"), 422, "invalid", "rules:1: [0].ignor: unknown key")
	f(saving(want.Version, "- {path: $, ignore: true}", "x"), 422, "invalid", "rules[0]")
	f(saving(want.Version, "[]", " "), 422, "invalid", "reason: is missing")
	f(`{"text":"[]","reason":"x"}`, 422, "invalid", "version: is missing")
	f(saving(want.Version, strings.Repeat("#", maxRulesText), "x"), 422, "invalid", "text: is longer than 262144 bytes")
	f(saving(want.Version, strings.Repeat("- {path: $.a, ignore: true}\n", 1000), "x"), 422, "invalid", "with those of the configuration")
	r.editor.err = fmt.Errorf("cannot store it: %w", divergence.ErrAway)
	f(saving(want.Version, "[]", "x"), 503, "store_away", "")
	bare := newRig(t, func(c *Config) { c.Services[0].Editor = nil })
	if p := readProblem(t, bare.call("PUT", target, saving("", "[]", "x"))); p.Status != 501 {
		t.Errorf("%+v", p)
	}
}

// TestRulesAreTriedAndSavedOnThePage: the text is what is tried behind the configuration's
// rules, and what was tried is what the page offers to save.
func TestRulesAreTriedAndSavedOnThePage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	doc := postForm(t, r, "/services/shop/rules", url.Values{"rules": {strings.ReplaceAll(ruleText, "\n", "\r\n")}}, 200)
	if diff := cmp.Diff(append(slices.Clone(fakeRules), compare.Rule{Path: "$.id", Ignore: true}), r.rehearsal.rules); diff != "" {
		t.Error(diff)
	}
	form := hidden(doc)
	if form.Get("rules") != ruleText || form.Get("version") != r.editor.Saved().Version || !strings.Contains(text(doc), "They would hide 1 243") {
		t.Fatalf("it offers to save %v:\n%s", form, text(doc))
	}
	form.Set("reason", "")
	if got := text(postForm(t, r, "/services/shop/rules/save", form, 422)); !strings.Contains(got, "reason: is missing") {
		t.Error(got)
	}
	form.Set("reason", "ids are others")
	answer := r.call("POST", "/services/shop/rules/save", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	if answer.Code != http.StatusSeeOther || answer.Header().Get("Location") != "/services/shop/rules#saved" || r.editor.Saved().Text != ruleText {
		t.Fatalf("%d %s; saved %+v", answer.Code, answer.Body, r.editor.Saved())
	}
	for _, want := range []string{"Saved here", "admin API saved the rules below: ids are others", "Hold"} {
		if got := text(parsePage(t, r, "/services/shop/rules", 200)); !strings.Contains(got, want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
	if got := text(postForm(t, r, "/services/shop/rules", url.Values{"rules": {ruleText}}, 200)); !strings.Contains(got, "They are what was saved already") {
		t.Error(got)
	}
	// Somebody else was faster: nothing is lost, neither theirs nor the text.
	form.Set("rules", "- {path: $.mine, ignore: true}")
	form.Set("version", divergence.NewSavedRules("").Version)
	doc = postForm(t, r, "/services/shop/rules/save", form, 409)
	if got := text(doc); !strings.Contains(got, "These rules were not saved.") || !strings.Contains(got, "$.mine") || r.editor.Saved().Text != ruleText {
		t.Errorf("saved %+v:\n%s", r.editor.Saved(), got)
	}
}

// TestALinkBringsARule into the editor, behind what is saved; nothing is done before somebody
// says so.
func TestALinkBringsARule(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.editor.saved = divergence.NewSavedRules(ruleText)
	doc := parsePage(t, r, "/services/shop/rules?rule="+url.QueryEscape(`- {path: "$.</textarea><script>alert(1)</script>", ignore: true}`), 200)
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == "textarea" && (!strings.HasPrefix(n.FirstChild.Data, ruleText) || !strings.Contains(n.FirstChild.Data, "<script>")) {
			t.Errorf("the editor has %q", n.FirstChild.Data)
		}
	}
	if r.rehearsal.rules != nil {
		t.Error("it was tried")
	}
	if answer := r.call("GET", "/services/shop/rules?rule="+strings.Repeat("x", 2000), ""); answer.Code != 400 {
		t.Errorf("a long one: %d", answer.Code)
	}
}

// TestSavingIsOfferedToWhoMay: others are told which role it takes.
func TestSavingIsOfferedToWhoMay(t *testing.T) {
	t.Parallel()
	r := guarded(t)
	f := func(role, want string) {
		t.Helper()
		answer := r.call("POST", "/services/shop/rules", "rules="+url.QueryEscape(ruleText), "Authorization", "Bearer "+role)
		doc, err := html.Parse(answer.Body)
		if err != nil || !strings.Contains(text(doc), want) {
			t.Errorf("%s: %d lacks %q, %v:\n%s", role, answer.Code, want, err, text(doc))
		}
	}
	f("reviewer", "Saving them takes a token with the role editor.")
	f("editor", "Save what was tried")
}

// postForm sends a form and reads the page that comes back.
func postForm(t *testing.T, r *rig, target string, form url.Values, status int) *html.Node {
	t.Helper()
	answer := r.call("POST", target, form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html")
	doc, err := html.Parse(answer.Body)
	if err != nil || answer.Code != status {
		t.Fatalf("%s: %d, %v\n%s", target, answer.Code, err, answer.Body)
	}
	checkPage(t, target, doc)
	return doc
}

// hidden are the fields of a page that nobody sees.
func hidden(doc *html.Node) url.Values {
	out := url.Values{}
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == "input" && attribute(n, "type") == "hidden" {
			out.Add(attribute(n, "name"), attribute(n, "value"))
		}
	}
	return out
}
