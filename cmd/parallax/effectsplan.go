package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"parallax"
	"parallax/compare/effects"
	"parallax/compare/effects/postgres"
	"parallax/internal/yamlstrict"
)

const effectsPlanUsage = "effects plan -c FILE [--service S]"

// runEffectsPlan prints what the administrators of the legs' databases are asked for,
// a page a database.
func runEffectsPlan(ctx context.Context, e env, args []string) int {
	set := e.flags("effects plan", effectsPlanUsage)
	file := set.String("c", "", "configuration `FILE`")
	service := set.String("service", "", "the `service`; needed where several have databases")
	if ok, code := parse(set, args); !ok {
		return code
	}
	if set.NArg() > 0 || *file == "" {
		set.Usage()
		return exitError
	}
	_, s, ok := serviceOf(e, *file, *service)
	if !ok {
		return exitError
	}
	if err := printPlan(ctx, e.stdout, s); err != nil {
		return e.fail("cannot say what the databases of %q need: %v", s.Name, err)
	}
	return exitGood
}

// printPlan writes a page for each database of a service.
func printPlan(ctx context.Context, w io.Writer, s ServiceConfig) error {
	for _, leg := range []parallax.Leg{parallax.Primary, parallax.Candidate} {
		for _, d := range s.Effects.Databases(leg) {
			fmt.Fprintf(w, "-- What Parallax needs to read what the %s of %s writes\n", leg, s.Name)
			if d.Postgres == "" {
				fmt.Fprintf(w, "-- %s: Debezium reads it and needs what its own documentation says; Parallax asks nothing of the database.\n\n", d.Name())
				continue
			}
			page, err := postgres.Request(ctx, postgres.Source{DSN: string(d.Postgres), Tables: d.Tables, Publication: d.Publication})
			if err != nil {
				return err
			}
			fmt.Fprintln(w, page)
		}
	}
	return nil
}

// checkEffects asks the databases of a configuration, unless that has faults already,
// and returns what they lack. One that cannot be reached from here is no fault: the plan
// says so.
func checkEffects(ctx context.Context, file string, c Config, before []yamlstrict.Fault) (faults []yamlstrict.Fault) {
	if len(before) > 0 {
		return nil
	}
	for i, s := range c.Services {
		for _, leg := range []parallax.Leg{parallax.Primary, parallax.Candidate} {
			for k, d := range s.Effects.Databases(leg) {
				for _, f := range lacking(ctx, d) {
					at := fmt.Sprintf("services[%d].effects.%s[%d].%s", i, leg, k, f.Path)
					faults = append(faults, yamlstrict.Fault{File: file, Path: at, Text: f.Text, Hint: f.Hint + "; all that is needed: parallax effects plan -c " + file})
				}
			}
		}
	}
	return faults
}

// lacking returns what a database lacks, nothing if it cannot be reached.
func lacking(ctx context.Context, d effects.Database) []parallax.Fault {
	if d.Postgres == "" {
		return nil
	}
	faults := postgres.Check(ctx, postgres.Source{DSN: string(d.Postgres), Tables: d.Tables, Publication: d.Publication})
	if len(faults) == 1 && strings.HasPrefix(faults[0].Text, "cannot connect") {
		return nil
	}
	return faults
}
