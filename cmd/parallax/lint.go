package main

import (
	"fmt"
	"io"
	"time"

	"parallax"
	"parallax/compare"
)

// refusedRules are the faults of rules that work as written and must not: they
// would let a broken candidate pass.
func refusedRules(rules []compare.Rule) []parallax.Fault {
	var faults []parallax.Fault
	for _, f := range compare.Lint(rules, time.Time{}) { // whatever the day
		if f.Refused {
			faults = append(faults, parallax.Fault{Path: "rules" + f.Path, Text: f.Text, Hint: f.Hint})
		}
	}
	return faults
}

// printFindings writes findings a line each, with their places under a prefix.
func printFindings(w io.Writer, prefix string, findings []compare.Finding) {
	for _, f := range findings {
		fmt.Fprintf(w, "%s%s: %s: %s; %s\n", prefix, f.Path, f.Check, f.Text, f.Hint)
	}
}
