package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"parallax/divergence"
)

const suggestIdentifiersUsage = "rules suggest-identifiers --server URL --service S [--endpoint E] [--limit N] [--format text|json]"

// runSuggestIdentifiers prints identifiers that may be worth declaring, as they are
// written in a configuration. It returns 0 when there are none, 1 when there are.
func runSuggestIdentifiers(ctx context.Context, e env, args []string) int {
	t, code := parseTry(e, "rules suggest-identifiers", suggestIdentifiersUsage, false, args, nil)
	if t == nil {
		return code
	}
	if t.file != "" {
		return e.fail("rules suggest-identifiers takes no file; usage: parallax %s", suggestIdentifiersUsage)
	}
	raw, err := t.send(ctx, http.MethodGet, "identifiers:suggest", nil)
	var s divergence.SuggestedIdentifiers
	if err == nil {
		err = t.read(e, raw, &s)
	}
	if err != nil {
		return e.fail("cannot ask about the identifiers of %q: %v", t.service, err)
	}
	if t.format == "text" {
		printSuggestedIdentifiers(e.stdout, &s)
	}
	if len(s.Suggestions) > 0 {
		return exitNot
	}
	return exitGood
}

func printSuggestedIdentifiers(w io.Writer, s *divergence.SuggestedIdentifiers) {
	fmt.Fprintf(w, "# %s\n", s.Pairs)
	if s.NotKept > 0 {
		fmt.Fprintf(w, "# %d values were left out of account, since there were too many\n", s.NotKept)
	}
	if len(s.Suggestions) == 0 {
		fmt.Fprintln(w, "# nothing looks as if each leg made it up by itself")
		return
	}
	fmt.Fprintln(w, "identifiers:")
	for _, one := range s.Suggestions {
		fmt.Fprintf(w, "%s # %d pairs of values, %d named by later requests\n", one.YAML, one.Pairs, one.Named)
	}
}
