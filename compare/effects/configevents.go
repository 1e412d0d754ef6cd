package effects

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"parallax"
)

// maxDelay bounds how long exchanges wait for Debezium.
const maxDelay = time.Minute

// kinds returns how many things a database says it is; one is right.
func (d Database) kinds() (n int) {
	for _, is := range []bool{d.Postgres != "", d.Debezium != "", d.Outbox} {
		if is {
			n++
		}
	}
	return n
}

// checkDelays returns a fault for each database whose events would never be waited for long
// enough.
func (c Config) checkDelays() (faults []parallax.Fault) {
	for _, leg := range []parallax.Leg{parallax.Primary, parallax.Candidate} {
		for i, d := range c.Databases(leg) {
			if d.Delay > 0 && d.Delay <= maxDelay && d.Delay >= c.Wait {
				faults = append(faults, parallax.Fault{
					Path: fmt.Sprintf("%s[%d].delay", leg, i), Text: fmt.Sprintf("%s is not shorter than effects.wait, %s: no exchange would wait for its events", d.Delay, c.Wait),
					Hint: "make wait longer",
				})
			}
		}
	}
	return faults
}

// checkEvents checks what is said of a database that Debezium reads.
func (d Database) checkEvents(add func(path, text, hint string)) {
	if d.Debezium == "" && (len(d.Keys) > 0 || d.Delay != 0) {
		add("", "keys and delay are of databases with debezium", "a PostgreSQL server is asked for its keys")
		return
	}
	if d.Delay < 0 || d.Delay > maxDelay {
		add(".delay", fmt.Sprintf("%s is not between 0 and %s", d.Delay, maxDelay), "2s is the default")
	}
	for _, table := range slices.Sorted(maps.Keys(d.Keys)) {
		same := func(t string) bool { return strings.TrimPrefix(t, "public.") == strings.TrimPrefix(table, "public.") }
		switch columns := d.Keys[table]; {
		case !slices.ContainsFunc(d.Tables, same):
			add(".keys."+table, "is not a table that is read", "name it as in tables")
		case len(columns) == 0 || slices.Contains(columns, ""):
			add(".keys."+table, "names no column, or one without a name", "write the columns of its primary key, such as [id]")
		}
	}
}
