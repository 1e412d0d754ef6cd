package divergence

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"parallax"
	"parallax/compare"
)

// Rejudged is what stored pairs come to when they are compared anew.
type Rejudged struct {
	Service      string `json:"service"`
	RulesVersion string `json:"rules_version"` // of the rules they were compared by now
	Pairs        Sample `json:"pairs"`
	Unjudged     int    `json:"not_judged"` // pairs of which a rule would have to weigh what was redacted; they are in no outcome

	Outcomes map[string]Change `json:"outcomes"` // match, diverged, not_comparable: when they came in, and now
	Changed  int               `json:"changed"`  // pairs whose outcome is another now
	Changes  []OutcomeChange   `json:"changes"`  // up to 200 of them, the latest first
}

// OutcomeChange is one pair whose outcome is another now.
type OutcomeChange struct {
	ID       string `json:"id"`
	Endpoint string `json:"endpoint"`
	Before   string `json:"before"`
	After    string `json:"after"`
	Why      string `json:"why"`
}

// Rejudge compares stored pairs anew, by other rules or, if rules is nil, by those
// in force. It fails as [Rehearsal.DryRun] does.
func (r *Rehearsal) Rejudge(ctx context.Context, service string, rules []compare.Rule, f PairFilter) (Rejudged, error) {
	j, err := r.find(service)
	if err != nil {
		return Rejudged{}, err
	}
	by := j.Rules
	if rules != nil {
		by, _ = by.Replaced(rules)
	}
	out := Rejudged{Service: service, RulesVersion: by.Version(), Changes: []OutcomeChange{}, Outcomes: map[string]Change{}}
	for _, o := range []compare.Outcome{compare.Match, compare.Diverged, compare.NotComparable} {
		out.Outcomes[o.String()] = Change{}
	}
	out.Pairs, err = r.eachPair(ctx, service, f, func(p *StoredPair, x *parallax.Exchange) {
		c, _ := r.judged(p, x, by, j)
		out.add(p, &c)
	})
	return out, err
}

func (r *Rejudged) add(p *StoredPair, c *compare.Comparison) {
	if c.Reason == compare.ReasonRedacted {
		r.Unjudged++
		return
	}
	before, after := p.Outcome, c.Outcome.String()
	r.count(before, 1, 0)
	r.count(after, 0, 1)
	if before == after {
		return
	}
	if r.Changed++; len(r.Changes) < maxChanges {
		r.Changes = append(r.Changes, OutcomeChange{ID: p.ID.String(), Endpoint: p.Endpoint, Before: before, After: after, Why: why(p, c)})
	}
}

func (r *Rejudged) count(outcome string, before, after int) {
	c := r.Outcomes[outcome]
	c.Before += before
	c.After += after
	r.Outcomes[outcome] = c
}

// maxWhy is how many differences say why an outcome changed.
const maxWhy = 3

// why says in words what decides a pair now.
func why(p *StoredPair, c *compare.Comparison) string {
	if c.Outcome == compare.NotComparable {
		return "it is not comparable: " + c.Reason
	}
	var parts []string
	left := 0
	for i := range c.Differences {
		d := &c.Differences[i]
		switch counts := d.Suppressed.By == ""; {
		case counts != (c.Outcome == compare.Diverged):
		case len(parts) == maxWhy:
			left++
		case counts:
			parts = append(parts, fmt.Sprintf("%s counts (%s)", d.Path, d.Kind))
		default:
			parts = append(parts, fmt.Sprintf("%s does not count: %s", d.Path, cmp.Or(d.Suppressed.Detail, d.Suppressed.By)))
		}
	}
	if left > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", left))
	}
	if len(parts) == 0 && p.Outcome == compare.NotComparable.String() {
		return "it can be compared: it was not, for " + p.Reason
	}
	return cmp.Or(strings.Join(parts, "; "), "nothing differs")
}
