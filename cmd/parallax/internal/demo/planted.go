package demo

import (
	"slices"

	"parallax/cmd/demoshop/shop"
	"parallax/divergence"
)

// Planted is a defect that is switched on, with the issues that it is.
type Planted struct {
	Defect shop.Defect
	Place  string // effects:orders $.vat_cents, as Parallax names where it shows
	Kind   string // changed, missing or extra
	Issues []divergence.Issue
}

// Found returns for each defect that is named the issues that are it, and the issues
// that are none of them. What never counted is no issue here.
func Found(names []string, issues []divergence.Issue) (planted []Planted, others []divergence.Issue) {
	for _, d := range shop.Defects() {
		if slices.Contains(names, d.Name) {
			planted = append(planted, plant(d))
		}
	}
	for _, issue := range issues {
		if issue.Count == 0 {
			continue
		}
		at := slices.IndexFunc(planted, func(p Planted) bool { return p.is(issue) })
		if at < 0 {
			others = append(others, issue)
			continue
		}
		planted[at].Issues = append(planted[at].Issues, issue)
	}
	return planted, others
}

// plant says where a defect is to be found, by the old version's names.
func plant(d shop.Defect) Planted {
	p := Planted{Defect: d, Kind: "changed"}
	at := slices.IndexFunc(shop.Tables(), func(t shop.Table) bool { return t.New == d.Table })
	if at < 0 {
		return p
	}
	table := shop.Tables()[at]
	p.Place = "effects:" + table.Old
	switch {
	case d.Column != "":
		p.Place += " $." + oldColumn(table, d.Column)
	case d.Name == "missing-audit":
		p.Kind = "missing"
	default:
		p.Kind = "extra"
	}
	return p
}

// oldColumn is what the old version calls a column of the new one.
func oldColumn(t shop.Table, column string) string {
	for _, pair := range t.Columns {
		if pair[1] == column {
			return pair[0]
		}
	}
	return column
}

// shown reports whether a defect shows in rows. One that makes the new version slow
// only holds the verdict.
func (p Planted) shown() bool { return p.Place != "" }

// is reports whether an issue is the defect: in its rows, whoever wrote to them later,
// or in the answers that repeat them.
func (p Planted) is(i divergence.Issue) bool {
	if i.Kind != p.Kind {
		return false
	}
	return p.shown() && i.Path == p.Place ||
		p.Defect.Name == "changed-field" && (i.Path == "$.currency" || i.Path == "$.orders[*].currency")
}
