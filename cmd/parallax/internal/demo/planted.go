package demo

import (
	"slices"

	"parallax/cmd/demoshop/shop"
	"parallax/divergence"
	"parallax/reports"
)

// Planted is a defect that is switched on, with the issues that it is.
type Planted struct {
	Defect shop.Defect
	Places []string // effects:orders $.vat_cents, as Parallax names where it has to show
	Kind   string   // changed, missing, extra or slow
	Issues []divergence.Issue
	Counts string  `json:",omitempty"` // how often each version sent what one sent too often
	Slow   *Slower `json:",omitempty"` // what was found of one that shows in times alone
}

// Slower is an endpoint at which the new version takes longer.
type Slower struct {
	Endpoint           string
	Primary, Candidate float64 // median times in seconds
	Compared           int64
}

// Ratio is how many times as long the new version takes.
func (s Slower) Ratio() float64 { return s.Candidate / s.Primary }

// What counts as slower: a defect that is planted is looked for with less.
const (
	slowRatio    = 2
	slowPlanted  = 1.3
	slowCompared = 10 // exchanges; of fewer nothing is said
)

// slowKind is the kind of a defect that shows in times alone.
const slowKind = "slow"

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
		p.Kind = slowKind
		return p
	}
	table := shop.Tables()[at]
	place := "effects:" + table.Old
	switch {
	case d.Column != "":
		place += " $." + oldColumn(table, d.Column)
	case d.Name == "missing-audit":
		p.Kind = "missing"
	default:
		p.Kind = "extra"
	}
	p.Places = []string{place}
	if d.Name == "double-mail" {
		p.Places = append(p.Places, "effects:"+sink)
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

// is reports whether an issue is the defect: in its rows, whoever wrote to them later,
// or in the answers that repeat them.
func (p Planted) is(i divergence.Issue) bool {
	if i.Kind != p.Kind {
		return false
	}
	return slices.Contains(p.Places, i.Path) ||
		p.Defect.Name == "changed-field" && (i.Path == "$.currency" || i.Path == "$.orders[*].currency")
}

// Missing lists the places at which the defect has to show and does not.
func (p Planted) Missing() (places []string) {
	if p.Kind == slowKind && p.Slow == nil {
		places = append(places, "the times of "+p.Defect.Routes[0])
	}
	for _, place := range p.Places {
		if !slices.ContainsFunc(p.Issues, func(i divergence.Issue) bool { return i.Path == place }) {
			places = append(places, place)
		}
	}
	return places
}

// slowEndpoints puts what is slow to the defect that is about it, and returns at which
// endpoints without any defect the new version takes a good deal longer.
func slowEndpoints(planted []Planted, endpoints []reports.Endpoint) (others []Slower) {
	for _, e := range endpoints {
		s := Slower{Endpoint: e.Endpoint, Primary: e.Primary.P50, Candidate: e.Candidate.P50, Compared: e.Compared}
		if s.Compared < slowCompared || s.Primary <= 0 {
			continue
		}
		at := slices.IndexFunc(planted, func(p Planted) bool { return p.Kind == slowKind && slices.Contains(p.Defect.Routes, s.Endpoint) })
		switch {
		case at >= 0 && s.Ratio() >= slowPlanted:
			planted[at].Slow = &s
		case at < 0 && s.Ratio() >= slowRatio && !slices.ContainsFunc(planted, func(p Planted) bool { return slices.Contains(p.Defect.Routes, s.Endpoint) }):
			others = append(others, s)
		}
	}
	return others
}
