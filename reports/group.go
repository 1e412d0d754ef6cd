package reports

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"parallax"
)

// Group is endpoints that go live together, with a verdict and a step of their own. The groups of a
// service have an order: one begins when the one before it is at its last step.
type Group struct {
	Name      string   `json:"name"`
	Endpoints []string `json:"endpoints"` // patterns, see [parallax.ParsePattern]; an endpoint is in the first group that names it
}

// Groups are those of one service, in their order; none where all endpoints have one step.
type Groups []Group

// groupPrefix stands before a group's name where an endpoint's would stand. No endpoint is called like
// this: behind its method is a slash.
const groupPrefix = "group "

// IsEndpoint reports whether what a reason is about is an endpoint, not a pool, a group or all of the service.
func IsEndpoint(name string) bool {
	return name != "" && !IsPool(name) && !strings.HasPrefix(name, groupPrefix)
}

// about reports whether what is said of an endpoint, a group or all of the service is about a group.
func (gs Groups) about(group, name string) bool {
	return name == "" || name == groupPrefix+group || gs.Of(name) == group
}

// Of returns the name of the group that an endpoint is in, empty for none.
func (gs Groups) Of(endpoint string) string {
	for _, g := range gs {
		if g.has(endpoint) {
			return g.Name
		}
	}
	return ""
}

func (g Group) has(endpoint string) bool {
	return slices.ContainsFunc(g.Endpoints, func(text string) bool {
		p, err := parallax.ParsePattern(text)
		return err == nil && p.Matches(endpoint)
	})
}

// Names are the names of the groups, in their order.
func (gs Groups) Names() []string {
	var out []string
	for _, g := range gs {
		out = append(out, g.Name)
	}
	return out
}

// GroupStep is where the step of a group is, and since when.
type GroupStep struct {
	Step int       `json:"step"` // basis points
	At   time.Time `json:"at"`
}

// StepOf returns the step of a group; that of all endpoints where there are no groups, or the
// name is empty.
func (s State) StepOf(group string) int {
	if s.Groups == nil || group == "" {
		return s.Step
	}
	return s.Groups[group].Step
}

// WithStep returns the state once the step of groups is another, of all of them if none is named.
// Step is the highest: the share of users who meet the candidate somewhere.
func (s State) WithStep(step int, at time.Time, groups ...string) State {
	s.At = at
	if s.Groups == nil {
		s.Step = step
		return s
	}
	s.Groups = maps.Clone(s.Groups)
	if len(groups) == 0 {
		groups = slices.Collect(maps.Keys(s.Groups))
	}
	for _, g := range groups {
		s.Groups[g] = GroupStep{step, at}
	}
	s.Step = s.highest()
	return s
}

func (s State) highest() (step int) {
	for _, g := range s.Groups {
		step = max(step, g.Step)
	}
	return step
}

// Regrouped returns the state for groups of these names: one that is new begins at 0. Where the service
// had none, all begin at its step; where it has none any more, the step is the lowest of those it had. So nobody
// meets the candidate who did not before.
func (s State) Regrouped(names []string) State {
	if len(names) == 0 {
		for _, g := range s.Groups {
			s.Step = min(s.Step, g.Step)
		}
		s.Groups = nil
		return s
	}
	next := make(map[string]GroupStep, len(names))
	for _, name := range names {
		next[name] = GroupStep{s.Step, s.At}
		if s.Groups != nil {
			next[name] = s.Groups[name]
		}
	}
	s.Groups = next
	s.Step = s.highest()
	return s
}

// StandsLike reports whether users stand where they do in another state.
func (s State) StandsLike(other State) bool {
	return s.Step == other.Step && (s.Groups == nil) == (other.Groups == nil) && maps.Equal(s.Groups, other.Groups)
}

// checkGroups says what is wrong with the groups of a state.
func (s State) checkGroups() error {
	for _, name := range slices.Sorted(maps.Keys(s.Groups)) {
		if step := s.Groups[name].Step; step < 0 || step > 10_000 {
			return fmt.Errorf("step %d of group %q is not in 0..10000", step, name)
		}
	}
	if highest := s.highest(); s.Groups != nil && highest != s.Step {
		return fmt.Errorf("step %d is not the highest of its groups, which is %d", s.Step, highest)
	}
	return nil
}

// GroupVerdict is the verdict on the endpoints of one group.
type GroupVerdict struct {
	Group    string   `json:"group"`
	Step     int      `json:"step"` // basis points
	Decision Decision `json:"verdict"`
	Reasons  []Reason `json:"reasons"` // those of the service as a whole, then those of its endpoints
	Judged   int      `json:"judged"`  // endpoints that were compared, or judged unpaired
	// NotCovered are endpoints seen lately of which nothing is known of the candidate: never sent to it as a
	// shadow, and not live on it so far; or waived.
	NotCovered []string `json:"not_covered"`
}

// Sentence says it in English, in one sentence.
func (g GroupVerdict) Sentence() string {
	text := fmt.Sprintf("%s: %s, at %s of users", g.Group, g.Decision, share(g.Step))
	if len(g.Reasons) > 0 {
		text += "; " + strings.TrimSuffix(g.Reasons[0].Sentence(), ".")
		if more := len(g.Reasons) - 1; more > 0 {
			text += fmt.Sprintf(", and %d more", more)
		}
	}
	if len(g.NotCovered) > 0 {
		text += fmt.Sprintf("; not covered: %s", strings.Join(g.NotCovered, ", "))
	}
	return text + "."
}

// judgeGroups returns the verdict on each group. holding is what holds the service, against what speaks for
// its rollback; v is its verdict. Reasons without an endpoint are about every group. A group of which nothing is
// known goes by the groups before it, which went live with the same version.
func judgeGroups(in Context, v *Verdict, holding, against []Reason) []GroupVerdict {
	var out []GroupVerdict
	known := false // anything, of this group or one before it
	for _, g := range in.Groups {
		each := in.judgeGroup(g, v, holding, against)
		known = known || each.Judged > 0
		if unseen := uncovered(each.NotCovered, v); !known && each.Decision == Promote && len(unseen) > 0 {
			each.Decision, each.Reasons = Hold, unseen
		}
		out = append(out, each)
	}
	return out
}

// uncovered are the reasons of endpoints of which nothing is known, but for those that are waived.
func uncovered(endpoints []string, v *Verdict) (out []Reason) {
	for _, e := range v.Endpoints {
		if slices.Contains(endpoints, e.Endpoint) && !e.Waived {
			out = append(out, e.Reasons...)
		}
	}
	return out
}

func (in Context) judgeGroup(g Group, v *Verdict, holding, against []Reason) GroupVerdict {
	about := func(endpoint string) bool { return in.inGroup(g.Name, endpoint, v.Pools) }
	out := GroupVerdict{Group: g.Name, Step: in.GroupSteps[g.Name], Decision: Promote, Reasons: []Reason{}, NotCovered: []string{}}
	for _, r := range holding {
		if about(r.Endpoint) {
			out.Reasons = append(out.Reasons, r)
		}
	}
	for _, e := range v.Endpoints {
		switch {
		case in.Groups.Of(e.Endpoint) != g.Name:
		case e.NotCovered != "" && (e.Unpaired == nil || e.Waived):
			out.NotCovered = append(out.NotCovered, e.Endpoint)
		default:
			out.Judged++
			out.Reasons = append(out.Reasons, e.unproven()...)
		}
	}
	if out.Judged+len(out.NotCovered) == 0 && !slices.ContainsFunc(out.Reasons, func(r Reason) bool { return r.Code == NoTraffic }) {
		out.Reasons = append(out.Reasons, Reason{Code: NoTraffic})
	}
	accused := slices.DeleteFunc(slices.Clone(against), func(r Reason) bool { return !about(r.Endpoint) })
	switch {
	case in.StoreAway:
		out.Decision, out.Reasons = Hold, []Reason{{Code: StoreAway}}
	case len(accused) > 0:
		out.Decision, out.Reasons = Rollback, accused
	case len(out.Reasons) > 0:
		out.Decision = Hold
	}
	return out
}

// unproven are the reasons of an endpoint without pairs that do not hold the service, as nothing there waits for it.
// Its group, which goes live by what callers get, does.
func (v EndpointVerdict) unproven() []Reason {
	if v.Unpaired == nil || v.Waived {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(v.Reasons), func(r Reason) bool { return r.Lower > r.Threshold })
}

// inGroup reports whether what is said of an endpoint or a pool is about a group.
func (in Context) inGroup(group, endpoint string, pools []PoolVerdict) bool {
	if !IsPool(endpoint) {
		return in.Groups.about(group, endpoint)
	}
	i := slices.IndexFunc(pools, func(p PoolVerdict) bool { return poolPrefix+p.Pool == endpoint })
	return i < 0 || slices.ContainsFunc(pools[i].Members, func(m string) bool { return in.Groups.Of(m) == group })
}

// ForGroup returns the verdict as it is for one group; false if the service has none of that name.
func (v Verdict) ForGroup(name string) (Verdict, bool) {
	i := slices.IndexFunc(v.Groups, func(g GroupVerdict) bool { return g.Group == name })
	if i < 0 {
		return v, false
	}
	g := v.Groups[i]
	v.Decision, v.Reasons, v.Step, v.NotCovered = g.Decision, g.Reasons, g.Step, g.NotCovered
	v.Final = g.Decision != Hold
	return v, true
}

// Against returns the verdict as it is once something speaks against the candidate: a rollback, of the groups
// that it is about. It must be of no pool.
func (v Verdict) Against(r Reason, in Groups) Verdict {
	v.Decision, v.Reasons, v.Groups = Rollback, []Reason{r}, slices.Clone(v.Groups)
	for i, g := range v.Groups {
		if in.about(g.Group, r.Endpoint) {
			v.Groups[i].Decision, v.Groups[i].Reasons = Rollback, v.Reasons
		}
	}
	return v
}

// courseOfGroups returns what the policy does with the groups of a service: first what is taken back, with the
// groups that come after it; then what is in turn, the first group that is not at its last step.
func (p Promotion) courseOfGroups(now time.Time, s Standing) Course {
	var turn Course
	for i, g := range s.Groups {
		c := p.course(now, s.of(g))
		switch c.Code {
		case TakeBack, NowhereBack:
			c.Groups = s.Groups[i:].Names()
			return c
		case Overridden, Halted: // all groups stay; where it is a pause, one after this may have to be taken back
			turn, turn.To = c, s.State.Step
			continue
		}
		c.Groups = []string{g.Name}
		if turn.Code == "" || turn.Code == AtTheEnd {
			turn = c
		}
	}
	return turn
}

// of returns the standing of one group.
func (s Standing) of(g Group) Standing {
	s.Verdict, _ = s.Verdict.ForGroup(g.Name)
	at, known := s.State.Groups[g.Name]
	if s.State.Step = at.Step; known {
		s.State.At = at.At
	}
	s.Answered = s.AnsweredBy[g.Name]
	if l := s.State.Latch; l != nil && !slices.ContainsFunc(l.Reasons, func(r Reason) bool {
		return IsPool(r.Endpoint) || s.Groups.about(g.Name, r.Endpoint)
	}) {
		s.State.Latch = nil
	}
	s.Groups = nil
	return s
}
