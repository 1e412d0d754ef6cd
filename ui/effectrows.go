package ui

import (
	"slices"
	"strings"

	"parallax"
	"parallax/compare"
	"parallax/divergence"
)

// effectRow is one effect on the page of an exchange.
type effectRow struct {
	Leg, Table, Op, Key string
	Columns             []effectColumn
	How                 string
	Late                bool
}

// effectColumn is one column of a row, as it was and as it is.
type effectColumn struct {
	Name, Before, After string
	Was                 bool // what it was is known, and another value
	Differs             bool // from that of the other leg
	Partner             bool // of the other leg's value: both name the same thing
}

func newEffectRow(l divergence.EffectLine) effectRow {
	return effectRow{Leg: l.Leg, Table: l.Table, Op: l.Op, How: l.Correlation, Late: l.Late, Key: keyText(l.Key), Columns: effectColumns(l)}
}

func keyText(key []divergence.ColumnLine) string {
	var parts []string
	for _, c := range key {
		parts = append(parts, c.Name+" "+valueText(c.Value))
	}
	return strings.Join(parts, ", ")
}

func valueText(v *string) string {
	if v == nil {
		return "NULL"
	}
	return *v
}

func effectColumns(l divergence.EffectLine) (out []effectColumn) {
	images := l.After
	if len(images) == 0 {
		images = l.Before
	}
	for _, c := range images {
		col := effectColumn{Name: c.Name, After: valueText(c.Value)}
		for _, b := range l.Before {
			if was := valueText(b.Value); b.Name == c.Name && was != col.After {
				col.Before, col.Was = was, true
			}
		}
		out = append(out, col)
	}
	return out
}

// effectPair is one change on the page of an exchange, as two legs made it.
type effectPair struct {
	Left, Right *effectRow // nil where a leg did not make it
}

// Alias is what the other leg calls the table, empty for the same.
func (p effectPair) Alias() string {
	if p.Left == nil || p.Right == nil || p.Left.Table == p.Right.Table {
		return ""
	}
	return p.Right.Table
}

// effectCell is what one leg did, in the column of that leg.
type effectCell struct {
	Row *effectRow // nil: nothing
	Leg string
}

// maxShownEffects bounds the changes of a leg on a page: a transaction has up to 10 000, and each is held against all of
// the other leg.
const maxShownEffects = 500

// firstEffects returns the first changes of the primary and of another leg, and how many more there are.
func firstEffects(lines []divergence.EffectLine, against string) (shown []divergence.EffectLine, more int) {
	count := map[string]int{}
	for _, l := range lines {
		if l.Leg != "primary" && l.Leg != against {
			continue
		}
		if count[l.Leg]++; count[l.Leg] > maxShownEffects {
			more++
			continue
		}
		shown = append(shown, l)
	}
	return shown, more
}

// effectPairs puts what the primary changed beside what another leg did: rows of a table
// with the same key, or with keys that stand for one another by the identifiers; then
// what is left of a table, in the order of the commits. It is presentation: what differs
// by the rules is among the differences.
func effectPairs(lines []divergence.EffectLine, known []divergence.IdentifierPair, tables *compare.EffectTables, against string) (out []effectPair) {
	var left, others []divergence.EffectLine
	for _, l := range lines {
		switch l.Leg {
		case "primary":
			left = append(left, l)
		case against:
			others = append(others, l)
		}
	}
	leg, _ := parallax.ParseLeg(against) // of the URL, and checked there
	names := naming{tables, leg}
	partners := partnersOf(known, against)
	used := make([]bool, len(others))
	pick := func(ok func(l divergence.EffectLine) bool) *divergence.EffectLine {
		for i := range others {
			if !used[i] && ok(others[i]) {
				used[i] = true
				return &others[i]
			}
		}
		return nil
	}
	found := make([]*divergence.EffectLine, len(left))
	for i, l := range left {
		found[i] = pick(func(o divergence.EffectLine) bool {
			return names.table(o.Table) == l.Table && o.Op == l.Op && partners.sameKey(l.Key, names.columns(o.Table, o.Key))
		})
	}
	for i, l := range left {
		if found[i] == nil {
			found[i] = pick(func(o divergence.EffectLine) bool { return names.table(o.Table) == l.Table && o.Op == l.Op })
		}
		out = append(out, partners.pair(l, found[i], names))
	}
	for i := range others {
		if !used[i] {
			row := newEffectRow(others[i])
			out = append(out, effectPair{Right: &row})
		}
	}
	return out
}

// naming is what a leg calls things, by the primary's names.
type naming struct {
	tables *compare.EffectTables
	leg    parallax.Leg
}

func (n naming) table(name string) string { return n.tables.Name(n.leg, name) }

func (n naming) column(table, name string) string { return n.tables.Column(n.leg, table, name) }

func (n naming) columns(table string, list []divergence.ColumnLine) []divergence.ColumnLine {
	out := slices.Clone(list)
	for i := range out {
		out[i].Name = n.column(table, out[i].Name)
	}
	return out
}

// partners are values of a leg by those of the primary that name the same thing.
type partners map[[2]string]bool

func partnersOf(known []divergence.IdentifierPair, leg string) partners {
	out := partners{}
	for _, k := range known {
		if k.Leg == leg {
			out[[2]string{k.Primary, k.Value}] = true
		}
	}
	return out
}

func (p partners) sameKey(a, b []divergence.ColumnLine) bool {
	return len(a) > 0 && slices.EqualFunc(a, b, func(a, b divergence.ColumnLine) bool {
		left, right := valueText(a.Value), valueText(b.Value)
		return a.Name == b.Name && (left == right || p[[2]string{left, right}])
	})
}

// pair marks the columns in which two changes differ; what only one leg wrote differs.
func (p partners) pair(l divergence.EffectLine, r *divergence.EffectLine, names naming) effectPair {
	left := newEffectRow(l)
	if r == nil {
		return effectPair{Left: &left}
	}
	right := newEffectRow(*r)
	for i := range left.Columns {
		c := &left.Columns[i]
		at := slices.IndexFunc(right.Columns, func(o effectColumn) bool { return names.column(r.Table, o.Name) == c.Name })
		if at < 0 {
			c.Differs = true
			continue
		}
		other := &right.Columns[at]
		if c.After == other.After {
			continue
		}
		partner := p[[2]string{c.After, other.After}]
		c.Differs, c.Partner, other.Differs, other.Partner = !partner, partner, !partner, partner
	}
	for i := range right.Columns {
		if o := &right.Columns[i]; !slices.ContainsFunc(left.Columns, func(c effectColumn) bool { return c.Name == names.column(r.Table, o.Name) }) {
			o.Differs = true
		}
	}
	return effectPair{&left, &right}
}
