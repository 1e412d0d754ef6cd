package split

import (
	"fmt"
	"slices"
	"strings"

	"parallax"
)

// Group is endpoints that go live together, with a step of their own.
type Group struct {
	Name      string   `yaml:"name" doc:"what the group is called in the API, on the pages and in metrics, such as reads"`
	Endpoints []string `yaml:"endpoints" doc:"patterns as in split.endpoints; an endpoint is in the first group that names it, and in none never goes live"`
}

// Steps says up to which bucket the candidate is live, in basis points: group by group, or
// alike for all endpoints while Groups is nil. A group that it does not name is at 0.
type Steps struct {
	All    int
	Groups map[string]int
}

// Of returns the step of a group. Where there are groups and the name is empty, as for a moment
// when a reload does away with them, it is the lowest.
func (s Steps) Of(group string) int {
	if s.Groups == nil {
		return s.All
	}
	if group != "" {
		return s.Groups[group]
	}
	lowest := Buckets
	for _, step := range s.Groups {
		lowest = min(lowest, step)
	}
	return lowest
}

// Highest returns the share of users who meet the candidate somewhere.
func (s Steps) Highest() int {
	if s.Groups == nil {
		return s.All
	}
	highest := 0
	for _, step := range s.Groups {
		highest = max(highest, step)
	}
	return highest
}

// within returns the steps, each brought into 0..[Buckets].
func (s Steps) within() *Steps {
	bound := func(step int) int { return min(max(step, 0), Buckets) }
	out := &Steps{All: bound(s.All)}
	if s.Groups != nil {
		out.Groups = make(map[string]int, len(s.Groups))
	}
	for name, step := range s.Groups {
		out.Groups[name] = bound(step)
	}
	return out
}

// group is a [Group] at work. The one of endpoints without groups has no name.
type group struct {
	name     string
	patterns []parallax.Pattern // none: all endpoints
}

func (g group) has(endpoint string) bool {
	for _, p := range g.patterns {
		if p.Matches(endpoint) {
			return true
		}
	}
	return len(g.patterns) == 0
}

// groups returns those of a configuration that was validated: one without a name where it has none.
func (c Config) groups() []group {
	if len(c.Groups) == 0 {
		return []group{newGroup("", c.Endpoints)}
	}
	out := make([]group, len(c.Groups))
	for i, g := range c.Groups {
		out[i] = newGroup(g.Name, g.Endpoints)
	}
	return out
}

func newGroup(name string, endpoints []string) group {
	g := group{name: name}
	for _, e := range endpoints {
		p, _ := parallax.ParsePattern(e) // validated
		g.patterns = append(g.patterns, p)
	}
	return g
}

// Group returns the group of an endpoint, named by method and route template. It is false for
// one that never goes live on the candidate, as far as split.endpoints or split.groups are concerned. The name is
// empty where there are no groups.
func (s *Splitter) Group(endpoint string) (name string, may bool) {
	for _, g := range s.groups {
		if g.has(endpoint) {
			return g.name, true
		}
	}
	return "", false
}

// Live returns the patterns of what may go live on the candidate; none: whatever its state allows.
func (c Config) Live() []string {
	out := slices.Clone(c.Endpoints)
	for _, g := range c.Groups {
		out = append(out, g.Endpoints...)
	}
	if slices.Contains(out, "* *") || slices.Contains(out, "* /*") {
		return nil
	}
	return out
}

const patternHint = `write a method and a path, with * for any method or at the end, such as "GET *" or "POST /orders/*"`

// validatePatterns returns what is wrong with a list of patterns.
func validatePatterns(path string, patterns []string) []parallax.Fault {
	var faults []parallax.Fault
	for i, e := range patterns {
		if _, err := parallax.ParsePattern(e); err != nil {
			faults = append(faults, parallax.Fault{Path: fmt.Sprintf("%s[%d]", path, i), Text: err.Error(), Hint: patternHint})
		}
	}
	return faults
}

// validateGroups returns what is wrong with the groups.
func (c Config) validateGroups() []parallax.Fault {
	var faults []parallax.Fault
	fault := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	if len(c.Groups) > 0 && len(c.Endpoints) > 0 {
		fault("endpoints", "groups says what may go live too", "leave out one of both")
	}
	if len(c.Groups) > 0 && len(c.Push) > 0 {
		fault("push", "a splitter outside has one step for all endpoints, and groups have several", "leave out groups, or split here")
	}
	names := map[string]int{}
	for i, g := range c.Groups {
		at := fmt.Sprintf("groups[%d]", i)
		if g.Name == "" || len(g.Name) > 63 || strings.Trim(g.Name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
			fault(at+".name", fmt.Sprintf("cannot use %.70q as a name", g.Name), "write up to 63 of a-z, 0-9, dash and underscore, such as reads")
		} else if first, ok := names[g.Name]; ok {
			fault(at+".name", fmt.Sprintf("%q is the name of groups[%d] too", g.Name, first), "give each group a name of its own")
		}
		names[g.Name] = i
		if len(g.Endpoints) == 0 {
			fault(at+".endpoints", "is empty, so that nothing of the group goes live", `write which endpoints it has: ["GET *"], or ["* *"] for all that are in no group before it`)
		}
		faults = append(faults, validatePatterns(at+".endpoints", g.Endpoints)...)
	}
	return faults
}
