package reports

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// friday is 12:00 on a Friday.
var friday = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func promoting() Standing {
	return Standing{Verdict: Verdict{Decision: Promote, AsOf: friday}}
}

// at is a standing at a step that came into force some time ago.
func (s Standing) at(step int, ago time.Duration, answered uint64) Standing {
	s.State.Step, s.State.At, s.Answered = step, friday.Add(-ago), answered
	return s
}

func (s Standing) with(change func(*Standing)) Standing {
	change(&s)
	return s
}

func TestCourse(t *testing.T) {
	t.Parallel()
	policy := DefaultPromotion()
	policy.Auto, policy.Freeze = true, []string{"Fri 16-24", "2026-12-20..2027-01-02"}
	holding := func(s *Standing) { s.Verdict.Decision = Hold }
	worse := func(s *Standing) {
		s.Verdict.Decision, s.Verdict.Reasons = Rollback, []Reason{{Code: CandidateErrors, Endpoint: "GET /x", K: 9, N: 10, Threshold: 0.001}}
	}
	regressed := func(s *Standing) {
		s.Verdict.Decision, s.Verdict.Reasons = Hold, []Reason{{Code: NoTraffic}, {Code: LateRegression, Endpoint: "GET /x", K: 9, N: 10}}
	}
	overridden := func(s *Standing) { s.State.Until, s.State.Who = friday.Add(time.Hour), "ada" }
	down := func(s *Standing) { s.PrimaryDown = "no instance is up" }
	for _, c := range []struct {
		name  string
		s     Standing
		now   time.Duration // after friday
		to    int
		turn  Turn
		until time.Duration // after friday; 0 for none
	}{
		{"the first step needs no bake", promoting(), 0, 100, Raise, 0},
		{"a verdict that holds", promoting().with(holding), 0, 0, Unproven, 0},
		{"a verdict of long ago", promoting(), 2 * time.Minute, 0, Unproven, 0},
		{"baking", promoting().at(100, 9*time.Minute, 1000), 0, 100, Baking, time.Minute},
		{"baked", promoting().at(100, 10*time.Minute, 1000), 0, 500, Raise, 0},
		{"nobody met the candidate", promoting().at(100, time.Hour, 99), 0, 100, TooFew, 0},
		{"it fails", promoting().at(100, time.Hour, 1000).with(func(s *Standing) { s.Uneasy = "GET /x" }), 0, 100, Failing, 0},
		{"a rollback that the judge has not heard of", promoting().with(func(s *Standing) { s.State.Latch = &Latch{} }), 0, 0, Unproven, 0},
		{"from between two steps", promoting().at(300, time.Hour, 100), 0, 500, Raise, 0},
		{"the last step", promoting().at(10000, time.Hour, 100), 0, 10000, AtTheEnd, 0},
		{"worse while live", promoting().at(2500, time.Hour, 100).with(worse), 0, 0, TakeBack, 0},
		{"worse at step 0 has nowhere to go", promoting().with(worse), 0, 0, Unproven, 0},
		{"worse later", promoting().at(10000, time.Hour, 100).with(regressed), 0, 0, TakeBack, 0},
		{"worse within the bake", promoting().at(100, 0, 0).with(worse), 0, 0, TakeBack, 0},
		{"worse, and the primary is down", promoting().at(2500, time.Hour, 100).with(worse).with(down), 0, 2500, NowhereBack, 0},
		{"the primary is down and nothing is worse", promoting().at(2500, time.Hour, 100).with(down), 0, 5000, Raise, 0},
		{"worse on a person's step", promoting().at(2500, 0, 0).with(worse).with(overridden), 0, 2500, Overridden, time.Hour},
		{"a person's step", promoting().at(100, time.Hour, 1000).with(overridden), 0, 100, Overridden, time.Hour},
		{"a person's step has expired", promoting().at(100, time.Hour, 1000).with(func(s *Standing) { s.State.Until = friday }), 0, 500, Raise, 0},
		{"paused", promoting().with(func(s *Standing) { s.State.Paused = true }), 0, 0, Halted, 0},
		{"paused and worse", promoting().at(100, 0, 0).with(worse).with(func(s *Standing) { s.State.Paused = true }), 0, 0, TakeBack, 0},
		{"refused", promoting().with(func(s *Standing) { s.Refusal = "callers hold other identifiers" }), 0, 0, Refused, 0},
		{"frozen", promoting().with(func(s *Standing) { s.Verdict.AsOf = friday.Add(5 * time.Hour) }), 5 * time.Hour, 0, Frozen, 12 * time.Hour},
		{"frozen and worse", promoting().at(100, 0, 0).with(worse), 5 * time.Hour, 0, TakeBack, 0},
	} {
		got := policy.Course(friday.Add(c.now), c.s)
		if got.To != c.to || got.Code != c.turn {
			t.Errorf("%s: to %d, %s; want %d, %s", c.name, got.To, got.Code, c.to, c.turn)
		}
		if want := friday.Add(c.until); c.until != 0 && !got.Until.Equal(want) || c.until == 0 && !got.Until.IsZero() {
			t.Errorf("%s: until %v, want %v", c.name, got.Until, want)
		}
		if got.Moves(c.s.State) != (c.turn == Raise || c.turn == TakeBack) {
			t.Errorf("%s: moves %t", c.name, got.Moves(c.s.State))
		}
	}
}

// TestCourseOfARelease walks a clean candidate to the end, with nobody's help.
// TestCourseByHand: where nobody raises steps by himself, what comes next says whose word it takes.
func TestCourseByHand(t *testing.T) {
	t.Parallel()
	policy := DefaultPromotion()
	const word = "on somebody's word: promotion.auto is false."
	for _, s := range []Standing{promoting(), promoting().with(func(s *Standing) { s.Verdict.Decision = Hold }), promoting().at(100, 9*time.Minute, 1000), promoting().at(100, time.Hour, 99)} {
		policy.Auto = false
		if text := policy.Course(friday, s).Sentence(); !strings.HasSuffix(text, word) {
			t.Errorf("%q does not say whose word it takes", text)
		}
		policy.Auto = true
		if text := policy.Course(friday, s).Sentence(); strings.Contains(text, "word") {
			t.Errorf("%q asks for a word that it does not take", text)
		}
	}
}

func TestCourseOfARelease(t *testing.T) {
	t.Parallel()
	policy := DefaultPromotion()
	policy.Auto = true
	s, walked := promoting(), []int{}
	for now := friday; now.Before(friday.Add(2 * time.Hour)); now = now.Add(time.Second) {
		s.Verdict.AsOf = now
		if c := policy.Course(now, s); c.Moves(s.State) {
			s.State.Step, s.State.At, s.Answered = c.To, now, 0
			walked = append(walked, c.To)
		}
		s.Answered++
	}
	if want := "[100 500 2500 5000 10000]"; fmt.Sprint(walked) != want {
		t.Errorf("went through %v, want %s", walked, want)
	}
	if took := s.State.At.Sub(friday); took != 40*time.Minute {
		t.Errorf("the last step came after %s, want 40m: four bakes of ten minutes", took)
	}
}

func TestFreeze(t *testing.T) {
	t.Parallel()
	day := func(text string) time.Time {
		at, err := time.Parse("2006-01-02 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, c := range []struct {
		freeze    []string
		at, until string // until is empty where nothing is frozen
	}{
		{nil, "2026-11-20 12:00", ""},
		{[]string{"Fri 16-24"}, "2026-11-20 15:59", ""},
		{[]string{"Fri 16-24"}, "2026-11-20 16:00", "2026-11-21 00:00"},
		{[]string{"Fri 16-24", "Sat-Sun"}, "2026-11-20 16:30", "2026-11-23 00:00"},
		{[]string{"2026-12-24"}, "2026-12-23 23:59", ""},
		{[]string{"2026-12-24"}, "2026-12-24 00:00", "2026-12-25 00:00"},
		{[]string{"2026-12-20..2027-01-02", "Sun"}, "2026-12-21 08:00", "2027-01-04 00:00"},
		{[]string{"2026-12-20 .. 2027-01-02"}, "2027-01-02 23:59", "2027-01-03 00:00"},
		{[]string{"nonsense"}, "2027-01-02 23:59", ""},
	} {
		until, frozen := Promotion{Freeze: c.freeze}.frozen(day(c.at))
		if frozen != (c.until != "") || frozen && !until.Equal(day(c.until)) {
			t.Errorf("%v at %s: %t until %v, want %q", c.freeze, c.at, frozen, until, c.until)
		}
	}
	if until, frozen := (Promotion{Freeze: []string{"Mon-Sun"}}).frozen(friday); !frozen || !until.IsZero() {
		t.Errorf("always frozen: %t until %v, want no end", frozen, until)
	}
}

func TestStepsValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change func(*Promotion)
		want   string
	}{
		{func(p *Promotion) { p.Steps = []int{0, 500, 100} }, "steps[2]"},
		{func(p *Promotion) { p.Steps = []int{-1, 10_001} }, "steps[0] steps[1]"},
		{func(p *Promotion) { p.Steps, p.Auto = []int{0}, true }, "steps"},
		{func(p *Promotion) { p.Steps = []int{0} }, ""},
		{func(p *Promotion) { p.Bake, p.Override = -1, -1 }, "bake override"},
		{func(p *Promotion) {
			p.Freeze = []string{"Sat", "Someday", "2026-13-01", "2026-12-02..2026-12-01", "2026-12-01..x", ""}
		}, "freeze[1] freeze[2] freeze[3] freeze[4] freeze[5]"},
	} {
		p := DefaultPromotion()
		c.change(&p)
		var paths []string
		for _, f := range p.Validate() {
			paths = append(paths, f.Path)
		}
		if got := strings.Join(paths, " "); got != c.want {
			t.Errorf("faults at %q, want %q", got, c.want)
		}
	}
}

// TestTurnsAreSaid: each turn has a sentence, and a turn that is not automatic says so.
func TestTurnsAreSaid(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, turn := range Turns {
		text := Course{Code: turn, Next: 500, Until: friday, Need: 100, Detail: "it is so"}.Sentence()
		if seen[text] || !strings.HasSuffix(text, ".") && turn != TakeBack {
			t.Errorf("%s: %q is no sentence of its own", turn, text)
		}
		seen[text] = true
	}
	if got, want := (Course{Code: Raise, Next: 500}).Sentence(), "5 % of users may meet the candidate now, on somebody's word: promotion.auto is false."; got != want {
		t.Errorf("said %q, want %q", got, want)
	}
}

// TestHowTheStepMovesIsNoEvidence: a policy that moves the step otherwise keeps what was
// counted.
func TestHowTheStepMovesIsNoEvidence(t *testing.T) {
	t.Parallel()
	p, q := DefaultPromotion(), DefaultPromotion()
	q.Steps, q.Bake, q.BakeRequests, q.Freeze, q.Override, q.Auto = []int{0, 10_000}, 1, 2, []string{"Sat"}, 3, true
	if p.Hash() != q.Hash() {
		t.Errorf("hash %s became %s", p.Hash(), q.Hash())
	}
}
