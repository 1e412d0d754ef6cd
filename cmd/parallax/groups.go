package main

import (
	"fmt"
	"slices"
	"strings"

	"parallax/mirror/split"
	"parallax/reports"
)

// move is where a step is moved: that of some groups of endpoints, or of all there are.
type move struct {
	step   int
	groups []string // none: all
}

// raises reports whether anybody more would meet the candidate.
func (m move) raises(state reports.State) bool {
	groups := m.groups
	if len(groups) == 0 {
		for name := range state.Groups {
			groups = append(groups, name)
		}
	}
	if len(groups) == 0 {
		return m.step > state.Step
	}
	return slices.ContainsFunc(groups, func(g string) bool { return m.step > state.StepOf(g) })
}

// unknown returns a group that there is not, if any.
func (m move) unknown(state reports.State) string {
	for _, g := range m.groups {
		if _, known := state.Groups[g]; !known {
			return g
		}
	}
	return ""
}

// key is what the move is of, in the store's history.
func (m move) key() string {
	if len(m.groups) == 0 {
		return "step"
	}
	return "step of " + strings.Join(m.groups, ", ")
}

// groups are those that endpoints of a service go live in.
func groups(c split.Config) reports.Groups {
	var out reports.Groups
	for _, g := range c.Groups {
		out = append(out, reports.Group{Name: g.Name, Endpoints: g.Endpoints})
	}
	return out
}

// groupSteps returns the steps of groups in basis points, nil where there are none.
func groupSteps(state reports.State) map[string]int {
	if state.Groups == nil {
		return nil
	}
	out := make(map[string]int, len(state.Groups))
	for name, g := range state.Groups {
		out[name] = g.Step
	}
	return out
}

// regroup makes the state one of the groups that are configured, and puts it in force.
func (s *stepper) regroup(c split.Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.file.State()
	after := before.Regrouped(groups(c).Names())
	if after.StandsLike(before) {
		s.force(before)
		return nil
	}
	if err := s.file.Update(func(state *reports.State) { state.Step, state.Groups = after.Step, after.Groups }); err != nil {
		s.force(reports.State{}) // nobody may meet the candidate whom the file does not know of
		return fmt.Errorf("cannot note the groups of %s: %w", s.service, err)
	}
	s.force(after)
	if before.Step > 0 {
		s.log.Info("the groups of endpoints are others: one that is new begins at step 0", "service", s.service, "step", after.Step, "groups", groupSteps(after))
	}
	return nil
}

// regroup is that of the step, after a reload, and says what is another now.
func (svc *service) regroup(c split.Config) []string {
	before := svc.steps.State()
	if err := svc.steps.regroup(c); err != nil {
		return []string{fmt.Sprintf("service %s: %v: its step is 0 in force", svc.name, err)}
	}
	if after := svc.steps.State(); before.Step > 0 && !after.StandsLike(before) {
		return []string{fmt.Sprintf("service %s: the groups are others: the step is %d, and by group %v", svc.name, after.Step, groupSteps(after))}
	}
	return nil
}
