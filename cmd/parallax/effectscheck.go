package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"parallax"
	"parallax/compare"
	"parallax/compare/effects"
	"parallax/compare/effects/postgres"
)

// databaseTables are the columns of tables by their names, and whether the log has them.
type databaseTables map[string]map[string]bool

// columnsOf asks the databases of each leg for the columns of their tables. It is false
// unless all of them answer.
func columnsOf(ctx context.Context, c effects.Config) (legs [2]databaseTables, ok bool) {
	for _, leg := range []parallax.Leg{parallax.Primary, parallax.Candidate} {
		legs[leg] = databaseTables{}
		for _, d := range c.Databases(leg) {
			found := postgres.Columns(ctx, source(d))
			if d.Postgres == "" || found == nil {
				return legs, false
			}
			maps.Copy(legs[leg], found)
		}
	}
	return legs, len(legs[parallax.Primary])+len(legs[parallax.Candidate]) > 0
}

// checkColumns holds what is said of tables against the columns that they have: names that
// no table has are faults, columns and tables without a partner are worth a word.
func checkColumns(s ServiceConfig, legs [2]databaseTables) (advice []string, faults []parallax.Fault) {
	said := map[string]bool{} // tables of the candidate that are partners
	for i, t := range s.Effects.Tables {
		if t.Candidate == "" {
			t.Candidate = t.Primary
		}
		said[t.Candidate] = true
		mine, theirs := legs[parallax.Primary][t.Primary], legs[parallax.Candidate][t.Candidate]
		if mine == nil || theirs == nil {
			continue // It is not a table, or that was said.
		}
		faults = append(faults, parallax.Under(fmt.Sprintf("tables[%d]", i), noColumns(t, mine, theirs))...)
		advice = append(advice, alone(s.Rules, t, mine, theirs)...)
	}
	for _, name := range slices.Sorted(maps.Keys(legs[parallax.Primary])) {
		if slices.ContainsFunc(s.Effects.Tables, func(t compare.EffectTable) bool { return t.Primary == name }) {
			continue
		}
		if theirs := legs[parallax.Candidate][name]; theirs != nil && !said[name] {
			said[name] = true
			advice = append(advice, alone(s.Rules, compare.EffectTable{Primary: name, Candidate: name}, legs[parallax.Primary][name], theirs)...)
		} else if !ruled(s.Rules, name, "") {
			advice = append(advice, fmt.Sprintf("%s has no partner among the candidate's tables: each row of it is missing there", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(legs[parallax.Candidate])) {
		if !said[name] && !ruled(s.Rules, name, "") {
			advice = append(advice, fmt.Sprintf("%s of the candidate has no partner among the primary's tables: each row of it is extra", name))
		}
	}
	return append(advice, strangeRules(s, legs)...), faults
}

// noColumns returns a fault for each column that is named and that neither table has.
func noColumns(t compare.EffectTable, mine, theirs map[string]bool) (faults []parallax.Fault) {
	add := func(path, table, column string) {
		faults = append(faults, parallax.Fault{Path: path, Text: fmt.Sprintf("%s has no column %s", table, column), Hint: "correct the name; the case counts"})
	}
	for _, name := range slices.Sorted(maps.Keys(t.Columns)) {
		if !has(mine, name) {
			add("columns", t.Primary, name)
		}
		if !has(theirs, t.Columns[name]) {
			add("columns."+name, t.Candidate, t.Columns[name])
		}
	}
	check := func(path string, names ...string) {
		for _, name := range names {
			if name != "" && !has(mine, name) && !has(theirs, name) {
				add(path, t.Primary, name)
			}
		}
	}
	check("ignore", t.Ignore...)
	check("generated", t.Generated...)
	check("key", t.Key...)
	check("age", t.Age)
	check("references", slices.Sorted(maps.Keys(t.References))...)
	return faults
}

func has(columns map[string]bool, name string) bool {
	_, ok := columns[name]
	return ok
}

// alone says which columns of two tables have no partner, and are neither ignored nor in a
// rule.
func alone(rules []compare.Rule, t compare.EffectTable, mine, theirs map[string]bool) (advice []string) {
	partners := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(mine)) {
		theirName := name
		if other, ok := t.Columns[name]; ok {
			theirName = other
		}
		partners[theirName] = partners[theirName] || mine[name]
		if mine[name] && !theirs[theirName] && !slices.Contains(t.Ignore, name) && !ruled(rules, t.Primary, name) {
			advice = append(advice, fmt.Sprintf("%s.%s has no partner in the log of the candidate's %s: each row differs there, until effects.tables maps or ignores it or a rule expects it", t.Primary, name, t.Candidate))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(theirs)) {
		if theirs[name] && !partners[name] && !slices.Contains(t.Ignore, name) && !ruled(rules, t.Primary, name) {
			advice = append(advice, fmt.Sprintf("%s.%s of the candidate has no partner in the log of %s: each row differs there, until effects.tables maps or ignores it or a rule expects it", t.Candidate, name, t.Primary))
		}
	}
	return advice
}

// ruled reports whether a rule is about a table, or about one of its columns.
func ruled(rules []compare.Rule, table, column string) bool {
	return slices.ContainsFunc(rules, func(r compare.Rule) bool {
		place, path, _ := strings.Cut(r.Path, " ")
		return (place == "effects:"+table || place == "effects:*") && (path == "" || column != "" && strings.Contains(path, column))
	})
}

// strangeRules says which rules are about a table that nobody reads by that name.
func strangeRules(s ServiceConfig, legs [2]databaseTables) (advice []string) {
	for i, r := range s.Rules {
		place, _, _ := strings.Cut(r.Path, " $")
		name, ok := strings.CutPrefix(place, "effects:")
		if !ok || name == "*" || legs[parallax.Primary][name] != nil || strings.HasPrefix(name, "http:") || slices.Contains(s.Effects.Calls, name) {
			continue
		}
		of := slices.IndexFunc(s.Effects.Tables, func(t compare.EffectTable) bool { return t.Candidate == name })
		switch {
		case of >= 0:
			advice = append(advice, fmt.Sprintf("rules[%d] does nothing: %s is the candidate's name, and rules name tables as the primary does: effects:%s", i, name, s.Effects.Tables[of].Primary))
		case legs[parallax.Candidate][name] == nil:
			advice = append(advice, fmt.Sprintf("rules[%d] does nothing: no database lists a table %s", i, name))
		}
	}
	return advice
}
