package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"parallax/compare"
	"parallax/internal/yamlstrict"
)

const rulesUsage = "rules lint FILE | rules dry-run|save|rejudge|blind-spots|suggest --server URL --service S [FILE] | rules saved|suggest-identifiers --server URL --service S"

// runRules is the verb rules: what can be asked about rules, and saving them.
func runRules(ctx context.Context, e env, args []string) int {
	return e.deed(ctx, "rules", rulesUsage, args, []deed{
		{"lint", runRulesLint},
		{"dry-run", runRulesDryRun},
		{"save", runRulesSave},
		{"saved", runRulesSaved},
		{"rejudge", runRulesRejudge},
		{"blind-spots", runRulesBlindSpots},
		{"suggest", runRulesSuggest},
		{"suggest-identifiers", runSuggestIdentifiers},
	})
}

// deed is one of the things that a verb does, such as rules lint.
type deed struct {
	name string
	run  func(context.Context, env, []string) int
}

// deed does what the first argument of a verb names.
func (e env) deed(ctx context.Context, verb, usage string, args []string, deeds []deed) int {
	var names []string
	for _, d := range deeds {
		if len(args) > 0 && args[0] == d.name {
			return d.run(ctx, e, args[1:])
		}
		names = append(names, d.name)
	}
	switch {
	case len(args) == 0:
		return e.misuse(usage, "%s wants to know what to do: %s", verb, strings.Join(names, ", "))
	case args[0] == "-h" || args[0] == "--help":
		e.flags(verb, usage).Usage()
		return exitGood
	}
	return e.fail("%s cannot %q; %s", verb, args[0], yamlstrict.Suggest(args[0], names))
}

// runRulesLint says everything that is wrong or doubtful about a file of rules. It
// returns 0 when there is nothing, 1 when there is something.
func runRulesLint(_ context.Context, e env, args []string) int {
	set := e.flags("rules lint", "rules lint FILE")
	if ok, code := parse(set, args); !ok {
		return code
	}
	if set.NArg() != 1 {
		return e.fail("rules lint takes one file with rules; %d given", set.NArg())
	}
	file := set.Arg(0)
	rules, faults, err := readRules(file)
	if err != nil {
		return e.fail("%v", err)
	}
	printFaults(e.stdout, faults)
	findings := compare.Lint(rules.List(), time.Now())
	printFindings(e.stdout, file+": ", findings)
	if len(faults)+len(findings) > 0 {
		return exitNot
	}
	fmt.Fprintf(e.stdout, "%s: %d rules, nothing to say about them\n", file, len(rules.List()))
	return exitGood
}
