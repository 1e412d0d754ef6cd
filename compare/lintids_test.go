package compare

import (
	"fmt"
	"strings"
	"testing"

	"parallax/internal/ids"
)

// TestLintOfIdentifiers: a class at an identifier's place would have the wrong order
// pass, and its owner is told.
func TestLintOfIdentifiers(t *testing.T) {
	t.Parallel()
	set, faults := ids.Compile([]ids.Config{
		{Name: "order", From: ids.At("POST /orders $.id", "POST /orders location:/orders/{id}"), In: ids.At("path:/orders/{id}", "$..order_id")},
		{Name: "token", From: ids.At("POST /login $.token", "POST /login cookie:sid"), In: ids.At("header:Authorization", "cookie:sid")},
	})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	f := func(want string, rules ...string) {
		t.Helper()
		var got []string
		for _, each := range LintIdentifiers(readRuleList(t, "- "+strings.Join(rules, "\n- ")), set) {
			if each.Refused || each.Hint == "" || each.Check != Reference {
				t.Errorf("%+v", each)
			}
			_, name, _ := strings.Cut(each.Text, "identifier ")
			name, _, _ = strings.Cut(name, " ")
			got = append(got, fmt.Sprintf("%s %s", each.Path, name))
		}
		if text := strings.Join(got, ", "); text != want {
			t.Errorf("%v: %q, want %q", rules, text, want)
		}
	}
	f("[0].path order", `{path: $.id, class: uuid}`)
	f("[0].path order", `{path: $.id, regex: "[0-9]+", endpoint: POST /orders}`)
	f("", `{path: $.id, class: uuid, endpoint: POST /users}`)
	f("[0].path order, [2].path order", `{path: "$.lines[*].order_id", class: uuid, endpoint: GET /users}`, `{path: $.quantity, class: number}`, `{path: "$..*", class: uuid, endpoint: GET *}`)
	f("", `{path: $.order_id, ignore: true}`, `{path: $.sku, class: uuid}`)
	f("[0].path token, [1].path order", `{path: "cookie:sid", class: hex}`, `{path: "header:Location", class: url}`)
	if got := LintIdentifiers(readRuleList(t, `- {path: $.id, class: uuid}`), nil); got != nil {
		t.Errorf("without identifiers: %v", got)
	}
}
