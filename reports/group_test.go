package reports

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// readsFirst are groups of two: what is read, then all else.
var readsFirst = Groups{{Name: "reads", Endpoints: []string{"GET *"}}, {Name: "writes", Endpoints: []string{"* *"}}}

// grouped is the verdict some seconds after noon, by group.
func grouped(e *Evidence, seconds int, change func(*Context)) map[string]Verdict {
	in := Context{Service: "shop", RulesVersion: "r", Groups: readsFirst}
	if change != nil {
		change(&in)
	}
	v := e.Verdict(noon.Add(time.Duration(seconds)*time.Second), in)
	out := map[string]Verdict{"": v}
	for _, g := range v.Groups {
		out[g.Group], _ = v.ForGroup(g.Group)
	}
	return out
}

// TestEachGroupHasItsVerdict: what is wrong with one says nothing about another.
func TestEachGroupHasItsVerdict(t *testing.T) {
	t.Parallel()
	e := fold(quick(), tick("GET /a", 1, 1000, 0), tick("POST /a", 1, 100, 0))
	v := grouped(e, 2, nil)
	is(t, v[""], Hold, "insufficient_samples POST /a")
	is(t, v["reads"], Promote)
	is(t, v["writes"], Hold, "insufficient_samples POST /a")

	for i := range 10 {
		e.Add(tick("POST /a", 2+i, 100, 50))
	}
	v = grouped(e, 13, nil)
	is(t, v[""], Rollback, "divergence_rate POST /a")
	is(t, v["reads"], Promote)
	is(t, v["writes"], Rollback, "divergence_rate POST /a")

	for i := range 10 { // a second one, of the other group, while the first is latched
		e.Add(tick("GET /a", 12+i, 1000, 500))
	}
	v = grouped(e, 22, nil)
	is(t, v["reads"], Rollback, "divergence_rate GET /a")
	is(t, v["writes"], Rollback, "divergence_rate POST /a")
}

// TestWhatIsAboutTheServiceHoldsEachGroup and so does a rollback that names no endpoint.
func TestWhatIsAboutTheServiceHoldsEachGroup(t *testing.T) {
	t.Parallel()
	e := fold(quick(), tick("GET /a", 1, 1000, 0), tick("POST /a", 1, 1000, 0))
	v := grouped(e, 2, func(in *Context) { in.Paused = true })
	is(t, v["reads"], Hold, "paused ")
	is(t, v["writes"], Hold, "paused ")
	v = grouped(e, 2, func(in *Context) { in.StoreAway = true })
	is(t, v["writes"], Hold, "store_away ")
	v = grouped(e, 2, func(in *Context) {
		in.Latch = &Latch{RulesVersion: "r", PolicyVersion: quick().Hash(), CandidateVersion: "2.0", Reasons: []Reason{{Code: LiveErrors}}}
	})
	is(t, v["reads"], Rollback, "live_errors ")
	is(t, v["writes"], Rollback, "live_errors ")
	v = grouped(e, 2, func(in *Context) {
		in.Latch = &Latch{RulesVersion: "r", PolicyVersion: quick().Hash(), CandidateVersion: "2.0", Reasons: []Reason{{Code: LiveErrors, Endpoint: "POST /a"}}}
	})
	is(t, v["reads"], Promote)
	is(t, v["writes"], Rollback, "live_errors POST /a")
}

// TestAGroupWithoutPairsGoesByTheOneBefore until the candidate is live for it, and then waits for what
// callers get.
func TestAGroupWithoutPairsGoesByTheOneBefore(t *testing.T) {
	t.Parallel()
	writes := tick("POST /a", 0, 0, 0)
	writes.Received = 50
	e := fold(quick(), writes, tick("GET /a", 61, 1000, 0))
	v := grouped(e, 62, nil)
	is(t, v["writes"], Promote)
	if diff := cmp.Diff([]string{"POST /a"}, v["writes"].NotCovered); diff != "" {
		t.Error(diff)
	}
	if text := v[""].Groups[1].Sentence(); text != "writes: promote, at 0 % of users; not covered: POST /a." {
		t.Error(text)
	}
	alone := fold(quick(), writes, tick("PUT /b", 61, 1000, 0)) // nothing is read
	in := Context{Service: "shop", RulesVersion: "r", Groups: Groups{{Name: "posts", Endpoints: []string{"POST *"}}, {Name: "gets", Endpoints: []string{"GET *"}}, {Name: "rest", Endpoints: []string{"* *"}}}}
	got := map[string]string{}
	for _, g := range alone.Verdict(noon.Add(62*time.Second), in).Groups {
		got[g.Group] = fmt.Sprint(g.Decision, " ", g.Reasons[:min(len(g.Reasons), 1)])
	}
	if !strings.HasPrefix(got["posts"], "hold [{not_covered POST /a") || !strings.HasPrefix(got["gets"], "hold [{no_traffic") || got["rest"] != "promote []" {
		t.Errorf("a group before which there is none: %v", got)
	}

	e.Add(lived(2, served(20, 0, 2), served(200, 1, 20)))
	e.Add(lived(3, served(0, 0, 0), served(1, 0, 0)))
	e.Add(beside(3))
	v = grouped(e, 190, nil)
	is(t, v[""], Promote)
	is(t, v["writes"], Hold, "insufficient_samples POST /a", "insufficient_samples POST /a")
	for minute := range 30 {
		e.Add(lived(4+minute, served(20, 0, 2), served(200, 1, 20)))
	}
	e.Add(beside(35))
	is(t, grouped(e, 36*60, nil)["writes"], Promote)
}

// TestPoolsOfGroups: a pool says something about each group that has a member.
func TestPoolsOfGroups(t *testing.T) {
	t.Parallel()
	p := quick()
	p.Pools = map[string][]string{"rare": {"GET /x", "POST /x"}, "reads": {"GET /y"}}
	ticks := []string{"GET /x", "POST /x", "GET /y"}
	e := NewEvidence(p)
	for i, endpoint := range ticks {
		one := tick(endpoint, i, 100, 0)
		one.PolicyHash = p.Hash()
		e.Add(one)
	}
	v := grouped(e, 4, nil)
	is(t, v["reads"], Hold, "insufficient_samples pool rare", "insufficient_samples pool reads")
	is(t, v["writes"], Hold, "insufficient_samples pool rare")
}

// standing is a service with two groups at their steps, whose verdicts are promote.
func standing(reads, writes int) Standing {
	s := promoting()
	s.Groups = readsFirst
	s.AnsweredBy = map[string]uint64{"reads": 1000, "writes": 1000}
	s.State = State{At: friday, Groups: map[string]GroupStep{"reads": {reads, friday.Add(-time.Hour)}, "writes": {writes, friday.Add(-time.Hour)}}}
	s.State.Step = max(reads, writes)
	s.Verdict.Groups = []GroupVerdict{{Group: "reads", Decision: Promote}, {Group: "writes", Decision: Promote}}
	return s
}

func (s Standing) verdictOf(i int, d Decision, reasons ...Reason) Standing {
	s.Verdict.Groups[i].Decision, s.Verdict.Groups[i].Reasons = d, reasons
	s.Verdict.Decision = d
	return s
}

func TestCourseOfGroups(t *testing.T) {
	t.Parallel()
	policy := DefaultPromotion()
	policy.Auto = true
	worse := func(endpoint string) Reason { return Reason{Code: CandidateErrors, Endpoint: endpoint, K: 9, N: 10} }
	for _, c := range []struct {
		name   string
		s      Standing
		to     int
		turn   Turn
		groups string
	}{
		{"the first group begins", standing(0, 0), 100, Raise, "[reads]"},
		{"and goes on", standing(500, 0), 2500, Raise, "[reads]"},
		{"the second waits for the first", standing(500, 0).verdictOf(0, Hold), 500, Unproven, "[reads]"},
		{"what is wrong with the second is no reason to stop the first", standing(500, 0).verdictOf(1, Hold), 2500, Raise, "[reads]"},
		{"the second begins", standing(10000, 0), 100, Raise, "[writes]"},
		{"the second goes by its own verdict", standing(10000, 100).verdictOf(1, Hold), 100, Unproven, "[writes]"},
		{"both are there", standing(10000, 10000), 10000, AtTheEnd, "[writes]"},
		{"the second is taken back alone", standing(10000, 100).verdictOf(1, Rollback, worse("POST /a")), 0, TakeBack, "[writes]"},
		{"the first is taken back with the second", standing(10000, 100).verdictOf(0, Rollback, worse("GET /a")), 0, TakeBack, "[reads writes]"},
		{"worse where nobody meets it", standing(2500, 0).verdictOf(1, Rollback, worse("POST /a")), 5000, Raise, "[reads]"},
		{"a person's step", standing(500, 0).with(func(s *Standing) { s.State.Until = friday.Add(time.Hour) }), 500, Overridden, "[]"},
		{"a pause", standing(500, 0).with(func(s *Standing) { s.State.Paused = true }), 500, Halted, "[]"},
		{"a pause keeps nobody on a second that is worse", standing(10000, 100).verdictOf(1, Rollback, worse("POST /a")).with(func(s *Standing) { s.State.Paused = true }), 0, TakeBack, "[writes]"},
		{"nor where the primary is down does it hide that", standing(10000, 100).verdictOf(1, Rollback, worse("POST /a")).with(func(s *Standing) { s.State.Paused, s.PrimaryDown = true, "no instance of it is up" }), 100, NowhereBack, "[writes]"},
		{"a pause leaves a second that is further as it is", standing(100, 500).with(func(s *Standing) { s.State.Paused = true }), 500, Halted, "[]"},
		{"and so does a person's step", standing(100, 500).with(func(s *Standing) { s.State.Until = friday.Add(time.Hour) }), 500, Overridden, "[]"},
		{"nowhere back raises nobody", standing(10000, 100).verdictOf(0, Rollback, worse("GET /a")).with(func(s *Standing) { s.PrimaryDown = "no instance of it is up" }), 10000, NowhereBack, "[reads writes]"},
		{"the second's bake is its own", standing(10000, 100).with(func(s *Standing) { s.State.Groups["writes"] = GroupStep{100, friday} }), 100, Baking, "[writes]"},
		{"and so are its requests", standing(10000, 100).with(func(s *Standing) { s.AnsweredBy["writes"] = 1 }), 100, TooFew, "[writes]"},
		{"a rollback of the other that the judge has not heard of", standing(500, 0).with(func(s *Standing) { s.State.Latch = &Latch{Reasons: []Reason{worse("POST /a")}} }), 2500, Raise, "[reads]"},
		{"one of this", standing(500, 0).with(func(s *Standing) { s.State.Latch = &Latch{Reasons: []Reason{worse("GET /a")}} }), 500, Unproven, "[reads]"},
	} {
		got := policy.Course(friday, c.s)
		if got.To != c.to || got.Code != c.turn || fmt.Sprint(got.Groups) != c.groups {
			t.Errorf("%s: to %d, %s, %v; want %d, %s, %s", c.name, got.To, got.Code, got.Groups, c.to, c.turn, c.groups)
		}
		if got.Moves(c.s.State) != (c.turn == Raise || c.turn == TakeBack) {
			t.Errorf("%s: moves %t", c.name, got.Moves(c.s.State))
		}
	}
	if text := policy.Course(friday, standing(10000, 0)).Sentence(); text != "writes: 1 % of users may meet the candidate now." {
		t.Error(text)
	}
}

// TestAnAccusationIsOfItsGroup: what the eyes saw takes back the group of the endpoint, and all of them
// where it was over all endpoints together.
func TestAnAccusationIsOfItsGroup(t *testing.T) {
	t.Parallel()
	policy := DefaultPromotion()
	policy.Auto = true
	for endpoint, want := range map[string]string{"GET /a": "[reads writes]", "POST /a": "[writes]", "": "[reads writes]"} {
		s := standing(10000, 100)
		s.Verdict = s.Verdict.Against(Reason{Code: LiveErrors, Endpoint: endpoint}, readsFirst)
		if c := policy.Course(friday, s); c.Code != TakeBack || fmt.Sprint(c.Groups) != want {
			t.Errorf("%q: %s of %v, want take_back of %s", endpoint, c.Code, c.Groups, want)
		}
	}
}

// TestRegrouped: nobody meets the candidate who did not before.
func TestRegrouped(t *testing.T) {
	t.Parallel()
	f := func(before State, names []string, want string) {
		t.Helper()
		after := before.Regrouped(names)
		if got := fmt.Sprint(after.Step, " ", steps(after)); got != want {
			t.Errorf("%v for %v: %s, want %s", steps(before), names, got, want)
		}
		if err := after.check(); err != nil {
			t.Error(err)
		}
	}
	of := func(reads, writes int) State {
		return State{Step: max(reads, writes), Groups: map[string]GroupStep{"reads": {reads, noon}, "writes": {writes, noon}}}
	}
	f(State{Step: 2500, At: noon}, []string{"reads", "writes"}, "2500 map[reads:2500 writes:2500]")
	f(of(10000, 500), nil, "500 map[]")
	f(of(10000, 500), []string{"reads", "writes"}, "10000 map[reads:10000 writes:500]")
	f(of(10000, 500), []string{"gets", "writes"}, "500 map[gets:0 writes:500]")
	f(State{Step: 2500}, nil, "2500 map[]")
	if s := of(10000, 500).WithStep(0, noon); s.Step != 0 || s.StepOf("reads") != 0 || s.StepOf("writes") != 0 {
		t.Errorf("step 0 of all: %+v", s)
	}
	before := of(10000, 500)
	if s := before.WithStep(0, noon, "reads"); s.Step != 500 || s.StepOf("writes") != 500 || before.StepOf("reads") != 10000 {
		t.Errorf("step 0 of one: %+v, from %+v", s, before)
	}
	if err := (&State{Step: 5, Groups: map[string]GroupStep{"a": {Step: 6}}}).check(); err == nil {
		t.Error("a step that is not the highest of its groups is taken")
	}
}

func steps(s State) map[string]int {
	out := map[string]int{}
	for name, g := range s.Groups {
		out[name] = g.Step
	}
	return out
}
