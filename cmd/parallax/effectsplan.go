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
	"parallax/mirror"
)

const effectsPlanUsage = "effects plan -c FILE [--service S]"

// runEffectsPlan prints what the administrators of the legs' databases are asked for,
// a page a database.
func runEffectsPlan(ctx context.Context, e env, args []string) int {
	set := e.flags("effects plan", effectsPlanUsage)
	file := set.String("c", "", "configuration `FILE`")
	service := set.String("service", "", "the service, by its `NAME`; needed where several have databases")
	if ok, code := parse(set, args); !ok {
		return code
	}
	if wrong := needsConfig(set, *file); wrong != "" {
		return e.misuse(effectsPlanUsage, "%s", wrong)
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
			page, err := postgres.Request(ctx, source(d))
			if err != nil {
				return err
			}
			fmt.Fprintln(w, page)
		}
	}
	return nil
}

// checkEffects asks the databases of a configuration, unless that has faults already,
// and returns what they lack. One that cannot be reached from here is no fault, but worth
// a word.
func checkEffects(ctx context.Context, file string, c Config, before []yamlstrict.Fault) (advice []string, faults []yamlstrict.Fault) {
	if len(before) > 0 {
		return nil, nil
	}
	for i, s := range c.Services {
		for _, leg := range []parallax.Leg{parallax.Primary, parallax.Candidate} {
			for k, d := range s.Effects.Databases(leg) {
				at := fmt.Sprintf("services[%d].effects.%s[%d]", i, leg, k)
				found := lacking(ctx, d)
				if len(found) == 1 && strings.HasPrefix(found[0].Text, postgres.Away) {
					advice = append(advice, at+": was not asked: "+strings.ReplaceAll(found[0].Text, "\n", " "))
					continue
				}
				for _, f := range found {
					hint := "all that is needed: parallax effects plan -c " + file
					if f.Hint != "" {
						hint = f.Hint + "; " + hint
					}
					faults = append(faults, yamlstrict.Fault{File: file, Path: at + "." + f.Path, Text: f.Text, Hint: hint})
				}
			}
		}
		found := oneDatabase(s, func(d effects.Database) string { return postgres.Identity(ctx, source(d)) })
		if columns, ok := columnsOf(ctx, s.Effects); ok {
			words, wrong := checkColumns(s, columns)
			found = append(found, wrong...)
			for _, text := range words {
				advice = append(advice, fmt.Sprintf("services[%d].effects: %s", i, text))
			}
		}
		for _, f := range found {
			faults = append(faults, yamlstrict.Fault{File: file, Path: fmt.Sprintf("services[%d].effects.%s", i, f.Path), Text: f.Text, Hint: f.Hint})
		}
	}
	return advice, faults
}

// source is a database as its reader knows it.
func source(d effects.Database) postgres.Source {
	return postgres.Source{DSN: string(d.Postgres), Tables: d.Tables, Publication: d.Publication}
}

// lacking returns what a database lacks.
func lacking(ctx context.Context, d effects.Database) []parallax.Fault {
	if d.Postgres == "" {
		return nil
	}
	return postgres.Check(ctx, source(d))
}

// oneDatabase returns a fault for each table of one database that is read as the
// primary's and as that of a candidate that is said to have its own: each leg would have
// written what both did, and nothing would ever differ. Databases are the same of which
// where says the same.
func oneDatabase(s ServiceConfig, where func(effects.Database) string) (faults []parallax.Fault) {
	if s.Candidate.State != mirror.Own {
		return nil
	}
	tables := map[string]bool{}
	for _, d := range s.Effects.Primary {
		if at := where(d); d.Postgres != "" && at != "" {
			for _, t := range d.Tables {
				tables[at+" "+strings.TrimPrefix(t, "public.")] = true
			}
		}
	}
	for i, d := range s.Effects.Candidate {
		at := where(d)
		for k, t := range d.Tables {
			if d.Postgres != "" && at != "" && tables[at+" "+strings.TrimPrefix(t, "public.")] {
				faults = append(faults, parallax.Fault{Path: fmt.Sprintf("candidate[%d].tables[%d]", i, k), Text: fmt.Sprintf("%s of the same database is read as the primary's: what one leg writes would be the other's, too, and nothing would differ", t),
					Hint: "name the database of the candidate, or declare candidate.state: shared"})
			}
		}
	}
	return faults
}
