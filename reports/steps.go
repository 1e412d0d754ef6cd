package reports

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Standing is where the step of a service stands, and all that the policy looks at to
// move it.
type Standing struct {
	State   State
	Verdict Verdict

	// Answered is how many requests the candidate answered as the live leg since the
	// step came into force, as far as this process saw.
	Answered uint64

	// Groups are those of the service, in their order, and AnsweredBy is Answered for each of
	// them by name; none where all endpoints have one step.
	Groups     Groups
	AnsweredBy map[string]uint64

	Uneasy      string // an endpoint on which the candidate failed lately, see [Watch], else ""
	PrimaryDown string // what the primary's health checks say when no instance of it is up, else ""
	Refusal     string // why nobody may raise the step, else ""
}

// Course is what the policy makes of a standing: where the step goes now, or what it
// waits for.
type Course struct {
	// To is where the step is moved now. It is the present one unless Code is Raise or
	// TakeBack, and under a policy that is not automatic these two are advice.
	To   int  `json:"to"`
	Auto bool `json:"auto"`

	// Groups are those whose step this is about, in a service that has groups; left out where it
	// is about all.
	Groups []string `json:"groups,omitempty"`

	Code Turn `json:"code"`
	Next int  `json:"next,omitempty"` // the next step of the policy; left out behind the last

	// Until is when it may go on, left out when that is up to something else than time.
	Until time.Time `json:"until,omitzero"`
	// Answered of Need requests were answered by the candidate at this step.
	Answered uint64 `json:"answered,omitempty"`
	Need     uint64 `json:"need,omitempty"`
	Detail   string `json:"detail,omitempty"`
}

// Turn says what the policy does with the step. The turns are a closed list.
type Turn string

// The turns. All but the first two leave the step as it is.
const (
	Raise       Turn = "raise"
	TakeBack    Turn = "take_back"    // to 0, since the candidate was found to be worse
	NowhereBack Turn = "primary_down" // it would be taken back, and the primary is down
	AtTheEnd    Turn = "last"         // everybody the policy wants there is on the candidate
	Halted      Turn = "paused"
	Overridden  Turn = "overridden" // a person's step stands
	Unproven    Turn = "verdict"    // the verdict is not promote
	Refused     Turn = "refused"
	Frozen      Turn = "frozen"
	Baking      Turn = "baking"
	Failing     Turn = "failing" // the candidate failed lately while it was live
	TooFew      Turn = "too_few_requests"
)

// Turns lists every turn there is.
var Turns = []Turn{Raise, TakeBack, NowhereBack, AtTheEnd, Halted, Overridden, Unproven, Refused, Frozen, Baking, Failing, TooFew}

// Refusal is that a step is not moved, and why: an error.
type Refusal struct {
	Turn Turn
	Text string // a clause, with what to do
}

func (r Refusal) Error() string { return r.Text }

// freshVerdict is how old a verdict may be that moves the step. A judge makes one every
// second, unless it is stuck.
const freshVerdict = time.Minute

// Course returns what the policy does with the step at a time. A person's step stands
// until it expires, against everything that is looked at here; going back comes before all
// that keeps a step from being raised.
func (p Promotion) Course(now time.Time, s Standing) Course {
	if len(s.Groups) > 0 {
		return p.courseOfGroups(now, s)
	}
	return p.course(now, s)
}

func (p Promotion) course(now time.Time, s Standing) Course {
	c := Course{To: s.State.Step, Auto: p.Auto, Next: p.next(s.State.Step)}
	wait := func(code Turn, until time.Time, detail string) Course {
		c.Code, c.Until, c.Detail = code, until, detail
		return c
	}
	against, worse := s.Verdict.against()
	switch until, frozen := p.frozen(now); {
	case now.Before(s.State.Until):
		return wait(Overridden, s.State.Until, s.State.Who)
	case worse && s.State.Step > 0 && s.PrimaryDown != "":
		return wait(NowhereBack, time.Time{}, s.PrimaryDown)
	case worse && s.State.Step > 0:
		c.To = 0
		return wait(TakeBack, time.Time{}, against)
	case s.State.Paused:
		return wait(Halted, time.Time{}, "")
	case c.Next == 0:
		return wait(AtTheEnd, time.Time{}, "")
	case s.Verdict.Decision != Promote || s.State.Latch != nil || now.Sub(s.Verdict.AsOf) > freshVerdict:
		return wait(Unproven, time.Time{}, string(s.Verdict.Decision))
	case s.Refusal != "":
		return wait(Refused, time.Time{}, s.Refusal)
	case frozen:
		return wait(Frozen, until, "")
	case s.State.Step > 0 && now.Before(s.State.At.Add(p.Bake)):
		return wait(Baking, s.State.At.Add(p.Bake), "")
	case s.Uneasy != "":
		return wait(Failing, time.Time{}, s.Uneasy)
	case s.State.Step > 0 && s.Answered < p.BakeRequests:
		c.Answered, c.Need = s.Answered, p.BakeRequests
		return wait(TooFew, time.Time{}, "")
	}
	c.To = c.Next
	return wait(Raise, time.Time{}, "")
}

// next returns the step after one, 0 when there is none.
func (p Promotion) next(step int) int {
	i := slices.IndexFunc(p.Steps, func(s int) bool { return s > step })
	if i < 0 {
		return 0
	}
	return p.Steps[i]
}

// against returns what takes the candidate back, if anything does: a rollback, or an
// endpoint that passed and got worse since.
func (v Verdict) against() (why string, worse bool) {
	i := slices.IndexFunc(v.Reasons, func(r Reason) bool { return r.Code == LateRegression })
	switch {
	case v.Decision == Rollback && len(v.Reasons) > 0:
		return v.Reasons[0].Sentence(), true
	case i >= 0:
		return v.Reasons[i].Sentence(), true
	}
	return "", v.Decision == Rollback
}

// Moves reports whether a step is somewhere else after it. Of several groups that stay where they are, To is the
// step of one.
func (c Course) Moves(s State) bool {
	if c.Code != Raise && c.Code != TakeBack {
		return false
	}
	if len(c.Groups) == 0 {
		return c.To != s.Step
	}
	return slices.ContainsFunc(c.Groups, func(g string) bool { return c.To != s.StepOf(g) })
}

// Sentence says it in English, in one sentence; before it are the groups that it is about.
func (c Course) Sentence() string {
	if len(c.Groups) > 0 {
		return strings.Join(c.Groups, ", ") + ": " + c.sentence()
	}
	return c.sentence()
}

func (c Course) sentence() string {
	next := share(c.Next)
	switch c.Code {
	case Raise:
		return fmt.Sprintf("%s of users may meet the candidate now%s.", next, c.byHand())
	case TakeBack:
		return fmt.Sprintf("Everybody belongs back on the primary%s: %s", c.byHand(), c.Detail)
	case NowhereBack:
		return fmt.Sprintf("The candidate was found to be worse, and the primary is down, so that nobody is sent back to it: %s.", c.Detail)
	case AtTheEnd:
		return "This is the last step of the policy."
	case Halted:
		return "The promotion is paused."
	case Overridden:
		return fmt.Sprintf("A step that was set by hand stands until %s; the policy goes on from it then.", moment(c.Until))
	case Unproven:
		return fmt.Sprintf("%s of users come next, once the verdict is promote%s.", next, c.byHand())
	case Refused:
		return fmt.Sprintf("%s of users would come next, but %s.", next, c.Detail)
	case Frozen:
		if c.Until.IsZero() {
			return fmt.Sprintf("%s of users come next; no step is raised for now, as the policy says%s.", next, c.byHand())
		}
		return fmt.Sprintf("%s of users come next; no step is raised before %s, as the policy says%s.", next, moment(c.Until), c.byHand())
	case Baking:
		return fmt.Sprintf("%s of users come next, after %s%s.", next, moment(c.Until), c.byHand())
	case Failing:
		return fmt.Sprintf("%s of users come next, once the candidate has answered for a while without failures: it failed lately (%s)%s.", next, c.Detail, c.byHand())
	case TooFew:
		return fmt.Sprintf("%s of users come next, once the candidate has answered %s requests at this step; it has answered %s%s.", next, count(c.Need), count(c.Answered), c.byHand())
	}
	return ""
}

func (c Course) byHand() string {
	if c.Auto {
		return ""
	}
	return ", on somebody's word: promotion.auto is false"
}

// share writes basis points in percent.
func share(basisPoints int) string { return percent(float64(basisPoints) / 10_000) }

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }
