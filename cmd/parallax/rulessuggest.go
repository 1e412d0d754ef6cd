package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode"

	"parallax/compare"
)

const suggestUsage = "rules suggest --server URL --service S [--endpoint E] [--format text|json]"

// runRulesSuggest prints rules that somebody may want, ready to be pasted, with
// their evidence. It applies nothing, and returns 0 when there are none, 1 when
// there are some.
func runRulesSuggest(ctx context.Context, e env, args []string) int {
	t, code := parseTry(e, "rules suggest", suggestUsage, false, args, nil)
	switch {
	case t == nil:
		return code
	case t.file != "" || t.limit > 0:
		return e.fail("rules suggest takes no file and no --limit; usage: parallax %s", suggestUsage)
	}
	var d struct {
		Suggestions []compare.Suggestion `json:"suggestions"`
	}
	raw, err := t.send(ctx, http.MethodGet, "rules:suggest", nil)
	if err == nil {
		err = t.read(e, raw, &d)
	}
	if err != nil {
		return e.fail("cannot ask for suggestions on %q: %v", t.service, err)
	}
	if t.format == "text" {
		printSuggestions(e.stdout, d.Suggestions)
	}
	if len(d.Suggestions) > 0 {
		return exitNot
	}
	return exitGood
}

// printSuggestions writes a list of rules in YAML. What is not the rules is in
// comments.
func printSuggestions(w io.Writer, list []compare.Suggestion) {
	if len(list) == 0 {
		fmt.Fprintln(w, "# no place differs in nearly every exchange with values that are made up anew")
		return
	}
	for _, s := range list {
		fmt.Fprintf(w, "# %s %s: %d of %d exchanges; %d values were looked at\n", comment(s.Endpoint), comment(s.Path), s.N, s.Of, s.Looked)
		for _, pair := range s.Examples {
			fmt.Fprintf(w, "#   %s -> %s\n", comment(pair[0]), comment(pair[1]))
		}
		fmt.Fprintf(w, "# mind: %s\n%s", comment(s.Caution), s.YAML)
	}
}

// comment returns text that stays within its line and tells a terminal nothing.
func comment(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, text)
}
