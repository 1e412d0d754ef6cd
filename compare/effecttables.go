package compare

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"parallax"
	"parallax/compare/rows"
)

// EffectTable says what belongs together in the databases of two versions. What
// names columns does so as the primary does.
type EffectTable struct {
	Primary    string            `yaml:"primary" json:",omitempty" doc:"the table in the primary's database, with its schema where that is not public"`
	Candidate  string            `yaml:"candidate,omitempty" json:",omitempty" doc:"the same in the candidate's, where it has another name"`
	Columns    map[string]string `yaml:"columns,omitempty" json:",omitempty" doc:"the candidate's names of columns, such as {total_cents: amount}, where they differ"`
	Ignore     []string          `yaml:"ignore,omitempty" json:",omitempty" doc:"columns that are not compared"`
	Generated  []string          `yaml:"generated,omitempty" json:",omitempty" doc:"columns whose values each database makes up, besides those that it says have an identity, a sequence or a random default"`
	Key        []string          `yaml:"key,omitempty" json:",omitempty" doc:"for effects verify: columns that name a row alike in both databases and have a unique index there, where the primary key does not"`
	Age        string            `yaml:"age,omitempty" json:",omitempty" doc:"for effects verify: the column that says when a row was changed last, such as updated_at, so that young rows can be left out"`
	References map[string]string `yaml:"references,omitempty" json:",omitempty" doc:"columns that repeat another one's values without a foreign key, such as {order_id: orders.id}"`
}

// EffectTables is a compiled list of tables. It does not change and may be shared; of
// nil all tables and columns are named alike.
type EffectTables struct {
	primary   map[string]*effectTable // by the primary's names
	candidate map[string]*effectTable // by the candidate's
	version   string
}

type effectTable struct {
	EffectTable
	columns map[string]string // the primary's names by the candidate's
}

// CompileEffectTables checks tables and makes them ready for use. It returns every
// fault there is, each with the path from the list, such as [2].columns.
func CompileEffectTables(list []EffectTable) (*EffectTables, []parallax.Fault) {
	out := &EffectTables{primary: map[string]*effectTable{}, candidate: map[string]*effectTable{}}
	var faults []parallax.Fault
	for i, source := range list {
		t := &effectTable{EffectTable: source, columns: map[string]string{}}
		if t.Candidate == "" {
			t.Candidate = t.Primary
		}
		found := t.check()
		if out.primary[t.Primary] != nil || out.candidate[t.Candidate] != nil {
			found = append(found, parallax.Fault{Text: "one of its tables is in an earlier entry too", Hint: "put what is said of a table into one entry"})
		}
		out.primary[t.Primary], out.candidate[t.Candidate] = t, t
		faults = append(faults, parallax.Under(fmt.Sprintf("[%d]", i), found)...)
	}
	text, _ := json.Marshal(list) // texts always encode
	sum := sha256.Sum256(text)
	out.version = hex.EncodeToString(sum[:6])
	return out, faults
}

// Version is a short hash over all tables, "" for none.
func (e *EffectTables) Version() string {
	if e == nil || len(e.primary) == 0 {
		return ""
	}
	return e.version
}

func (t *effectTable) check() []parallax.Fault {
	var faults []parallax.Fault
	if t.Primary == "" {
		faults = append(faults, parallax.Fault{Path: "primary", Text: "is empty", Hint: "name the table as the primary's database does"})
	}
	for _, mine := range slices.Sorted(maps.Keys(t.Columns)) {
		theirs := t.Columns[mine]
		switch other, twice := t.columns[theirs]; {
		case mine == "" || theirs == "":
			faults = append(faults, parallax.Fault{Path: "columns", Text: "a column has no name"})
		case twice:
			faults = append(faults, parallax.Fault{Path: "columns." + mine, Text: fmt.Sprintf("%s and %s are both %s of the candidate", other, mine, theirs)})
		}
		t.columns[theirs] = mine
	}
	for _, column := range slices.Sorted(maps.Keys(t.References)) {
		table, name, ok := cutLast(t.References[column])
		if !ok || table == "" || name == "" {
			faults = append(faults, parallax.Fault{Path: "references." + column, Text: fmt.Sprintf("%.80q names no column", t.References[column]), Hint: "write TABLE.COLUMN, such as orders.id"})
		}
		if slices.Contains(t.Generated, column) {
			faults = append(faults, parallax.Fault{Path: "references." + column, Text: "is generated too", Hint: "a column either makes its values up or repeats another's"})
		}
	}
	return faults
}

// cutLast cuts TABLE.COLUMN at its last dot.
func cutLast(text string) (table, column string, ok bool) {
	i := strings.LastIndexByte(text, '.')
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+1:], true
}

// net folds a leg's effects into rows with the primary's names, without columns that
// are not compared. Late effects are left out.
func (e *EffectTables) net(leg parallax.Leg, effects []parallax.Effect) []rows.Row {
	if slices.ContainsFunc(effects, func(f parallax.Effect) bool { return f.Late }) {
		effects = slices.DeleteFunc(slices.Clone(effects), func(f parallax.Effect) bool { return f.Late })
	}
	out := rows.Net(effects)
	for i := range out {
		r := &out[i]
		t := e.of(leg, r.Table)
		if t != nil {
			r.Table = t.Primary
		}
		r.Key, r.Columns = e.named(leg, t, r.Key, true), e.named(leg, t, r.Columns, false)
		if len(r.Was) > 0 {
			r.Was = e.named(leg, t, r.Was, false)
		}
	}
	return out
}

// of returns what is said of a table, by the leg's name of it; nil if nothing is.
func (e *EffectTables) of(leg parallax.Leg, table string) *effectTable {
	switch {
	case e == nil:
		return nil
	case leg == parallax.Candidate:
		return e.candidate[table]
	}
	return e.primary[table]
}

// Column returns the primary's name of a column that a leg calls so, in a table that it calls so.
func (e *EffectTables) Column(leg parallax.Leg, table, column string) string {
	if t := e.of(leg, table); t != nil && leg == parallax.Candidate && t.columns[column] != "" {
		return t.columns[column]
	}
	return column
}

// Name returns the primary's name of a table that a leg calls so.
func (e *EffectTables) Name(leg parallax.Leg, table string) string {
	if t := e.of(leg, table); t != nil {
		return t.Primary
	}
	return table
}

// named returns columns with the primary's names, in the order of these. What is not
// compared is left out of all but keys.
func (e *EffectTables) named(leg parallax.Leg, t *effectTable, columns []parallax.Column, key bool) []parallax.Column {
	out := make([]parallax.Column, 0, len(columns))
	for _, c := range columns {
		c = e.column(leg, t, c)
		if key || t == nil || !slices.Contains(t.Ignore, c.Name) {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b parallax.Column) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// column returns a column with the primary's names, and with all that is said of it.
func (e *EffectTables) column(leg parallax.Leg, t *effectTable, c parallax.Column) parallax.Column {
	if t != nil && leg == parallax.Candidate {
		if mine, ok := t.columns[c.Name]; ok {
			c.Name = mine
		}
	}
	if c.Ref = e.ref(leg, c.Ref); c.Ref != "" {
		c.Made = c.Made || e.generated(c.Ref)
	}
	if t == nil {
		return c
	}
	if to, ok := t.References[c.Name]; ok {
		c.Ref, c.Made = to, true // Nobody but the configuration knows of it.
	}
	c.Made = c.Made || slices.Contains(t.Generated, c.Name)
	return c
}

// generated reports whether a column, by the primary's name of it, is listed as generated.
func (e *EffectTables) generated(in string) bool {
	table, name, _ := cutLast(in)
	t := e.of(parallax.Primary, table)
	return t != nil && slices.Contains(t.Generated, name)
}

// ref returns the primary's name of a column that a leg's foreign key leads to.
func (e *EffectTables) ref(leg parallax.Leg, to string) string {
	table, name, ok := cutLast(to)
	t := e.of(leg, table)
	if !ok || t == nil {
		return to
	}
	if mine, renamed := t.columns[name]; renamed && leg == parallax.Candidate {
		name = mine
	}
	return t.Primary + "." + name
}
