package main

import (
	"strings"
	"testing"

	"parallax/compare"
)

// TestSuggestionsCanBePasted: what is printed is a list of rules, whatever the values
// are that stand in its comments.
func TestSuggestionsCanBePasted(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	printSuggestions(&out, []compare.Suggestion{
		{Endpoint: "GET /", Path: "$.id", YAML: "- {path: $.id, class: uuid}\n", N: 98, Of: 100, Looked: 40, Examples: [][2]string{{"a\n- {path: $, ignore: true}", "b"}}, Caution: "look"},
		{Endpoint: "GET /", Path: "$.at", YAML: "- {path: $.at, time: {within: 2s}}\n"},
	})
	printSuggestions(&out, []compare.Suggestion{
		{Endpoint: "GET /a\u2028- {path: $, ignore: true}", Path: "$['\x1b[2J\u009b2J\n- {path: $, ignore: true}']", Caution: "look\n- {path: $, ignore: true}"},
	})
	if strings.ContainsAny(out.String(), "\x1b\u009b") {
		t.Errorf("a terminal is told what to do: %q", out.String())
	}
	rules, faults := compare.ReadRules("pasted", []byte(out.String()))
	if len(faults) > 0 || len(rules) != 2 || !strings.Contains(out.String(), "98 of 100 exchanges") {
		t.Errorf("%v, %d rules of\n%s", faults, len(rules), out.String())
	}
}
