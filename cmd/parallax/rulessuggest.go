package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
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
	raw, err := t.get(ctx, "suggest")
	if err != nil {
		return e.fail("cannot ask for suggestions on %q: %v", t.service, err)
	}
	var d struct {
		Suggestions []compare.Suggestion `json:"suggestions"`
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return e.fail("cannot read the answer; is this the admin address of Parallax? %v", err)
	}
	if t.format == "json" {
		var out bytes.Buffer
		if err := json.Indent(&out, bytes.TrimSpace(raw), "", "  "); err != nil {
			return e.fail("cannot print the answer: %v", err)
		}
		fmt.Fprintln(e.stdout, out.String())
	} else {
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

// get asks about rules without sending any.
func (t *ruleTry) get(ctx context.Context, what string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, triesFor)
	defer cancel()
	target := t.server.JoinPath("api", "v1", "services", url.PathEscape(t.service), "rules:"+what)
	if t.endpoint != "" {
		target.RawQuery = url.Values{"endpoint": {t.endpoint}}.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, 64<<20))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer of %s broke off: %w", target.Redacted(), err)
	case answer.StatusCode != http.StatusOK:
		return nil, errors.New(target.Redacted() + " answered " + answer.Status + problemText(raw))
	}
	return raw, nil
}
