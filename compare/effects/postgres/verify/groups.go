package verify

import (
	"fmt"
	"slices"

	"parallax/compare"
	"parallax/compare/effects"
	"parallax/compare/effects/postgres"
)

// Groups returns the tables that a service's configuration brings together, by the
// databases that they are in; of one table only if it is named as the primary does.
// What cannot be compared is skipped with its reason.
func Groups(c effects.Config, table string) (groups []Group, skipped []string, err error) {
	known := false
	for _, from := range c.Primary {
		for _, name := range from.Tables {
			if table != "" && plainName(name) != plainName(table) {
				continue
			}
			known = true
			t := entry(c.Tables, name)
			to := holder(c.Candidate, t.Candidate)
			switch {
			case to == nil:
				skipped = append(skipped, fmt.Sprintf("%s: no database of the candidate lists %s", name, t.Candidate))
			case from.Postgres == "" || to.Postgres == "":
				skipped = append(skipped, name+": it is read by Debezium, and only PostgreSQL can be asked for whole tables")
			default:
				groups = join(groups, string(from.Postgres), string(to.Postgres), t)
			}
		}
	}
	if !known && table != "" {
		return nil, nil, fmt.Errorf("no database of the primary lists a table %s", table)
	}
	return groups, skipped, nil
}

// plainName is the name by which a table is known.
func plainName(name string) string {
	if plain, err := postgres.TableName(name); err == nil {
		return plain
	}
	return name
}

// entry returns what is said of a table of the primary.
func entry(list []compare.EffectTable, name string) compare.EffectTable {
	t := compare.EffectTable{Primary: name}
	if i := slices.IndexFunc(list, func(t compare.EffectTable) bool { return plainName(t.Primary) == plainName(name) }); i >= 0 {
		t = list[i]
	}
	if t.Candidate == "" {
		t.Candidate = t.Primary
	}
	return t
}

// holder returns the database that lists a table.
func holder(list []effects.Database, table string) *effects.Database {
	for i := range list {
		if slices.ContainsFunc(list[i].Tables, func(name string) bool { return plainName(name) == plainName(table) }) {
			return &list[i]
		}
	}
	return nil
}

// join puts a table to the others of its two databases.
func join(groups []Group, from, to string, t compare.EffectTable) []Group {
	for i := range groups {
		if groups[i].Primary.DSN == from && groups[i].Candidate.DSN == to {
			groups[i].Tables = append(groups[i].Tables, t)
			return groups
		}
	}
	return append(groups, Group{Primary: postgres.Source{DSN: from}, Candidate: postgres.Source{DSN: to}, Tables: []compare.EffectTable{t}})
}
