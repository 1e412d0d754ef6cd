package divergence

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"parallax/compare"
)

// The states of an issue.
const (
	OpenIssue      = "open"      // nobody decided on it
	AcceptedIssue  = "accepted"  // known and meant: it does not count until a day
	BugIssue       = "bug"       // the candidate's fault: it counts
	NoiseIssue     = "noise"     // not the candidate's doing: it does not count until a day
	ResolvedIssue  = "resolved"  // gone: it counts if it is seen
	RegressedIssue = "regressed" // seen again after it was resolved: it counts
)

// Itself is who decided what Parallax decides by itself.
const Itself = "parallax"

// Transition is one way from states to another. Parallax takes those whose By is
// [Itself] by itself; the others are a person's.
type Transition struct {
	From []string
	To   string
	By   string // "person" or Itself
	When string
}

var anyState = []string{OpenIssue, AcceptedIssue, BugIssue, NoiseIssue, ResolvedIssue, RegressedIssue}

// Transitions are all there are; docs/issues.md shows the same table.
var Transitions = []Transition{
	{anyState, OpenIssue, "person", "somebody takes back what was said"},
	{anyState, AcceptedIssue, "person", "somebody says that the difference is meant, and until which day"},
	{anyState, BugIssue, "person", "somebody says that the candidate is wrong"},
	{anyState, NoiseIssue, "person", "somebody says that the difference is not the candidate's doing, and until which day"},
	{anyState, ResolvedIssue, "person", "somebody says that it is mended"},
	{[]string{AcceptedIssue, NoiseIssue}, OpenIssue, Itself, "its last day is over"},
	{[]string{OpenIssue, BugIssue, RegressedIssue}, ResolvedIssue, Itself, fmt.Sprintf("the newest version of the candidate did not show it in %d comparable exchanges of its endpoint", ResolvedAfter)},
	{[]string{ResolvedIssue}, RegressedIssue, Itself, "it counts in an exchange that was received after it was resolved"},
}

// ResolvedAfter is in how many comparable exchanges of its endpoint a newer version
// of the candidate must not show an issue before it is resolved.
const ResolvedAfter = 200

// mayTurn reports whether there is a transition.
func mayTurn(from, to, by string) bool {
	return slices.ContainsFunc(Transitions, func(t Transition) bool {
		return t.To == to && t.By == by && slices.Contains(t.From, from)
	})
}

// How long what was accepted, or declared noise, holds.
const (
	DefaultAcceptance = 90  // days, where nobody says how long
	MaxAcceptance     = 366 // days
)

// IssueDecision is what somebody said about one issue.
type IssueDecision struct {
	At          time.Time `json:"at"`
	Fingerprint string    `json:"fingerprint"`
	Endpoint    string    `json:"endpoint"`
	State       string    `json:"state"`
	Until       string    `json:"until,omitempty"` // last day (UTC) on which accepted and noise hold, such as 2027-01-31
	Who         string    `json:"who"`
	Note        string    `json:"note,omitempty"`
}

// Check returns everything that is wrong with a decision of a person, each with its
// place.
func (d IssueDecision) Check(now time.Time) []string {
	var faults []string
	if !mayTurn(OpenIssue, d.State, "person") {
		faults = append(faults, fmt.Sprintf("state: want open, accepted, bug, noise or resolved, found %.40q", d.State))
	}
	suspends := d.State == AcceptedIssue || d.State == NoiseIssue
	switch {
	case d.Until == "":
	case !suspends:
		faults = append(faults, "until: only accepted and noise end on a day")
	default:
		faults = append(faults, checkDay(d.Until, now)...)
	}
	return faults
}

// checkDay returns what is wrong with the last day on which a decision holds.
func checkDay(until string, now time.Time) []string {
	end, err := endOf(until)
	switch {
	case err != nil:
		return []string{fmt.Sprintf("until: want a day such as 2027-01-31, found %.40q", until)}
	case !end.After(now):
		return []string{"until: is over"}
	case end.After(now.AddDate(0, 0, MaxAcceptance+1)):
		return []string{fmt.Sprintf("until: is more than %d days away; say it again when it is over", MaxAcceptance)}
	}
	return nil
}

// completed fills in the day that nobody named.
func (d IssueDecision) completed() IssueDecision {
	if d.Until == "" && (d.State == AcceptedIssue || d.State == NoiseIssue) {
		d.Until = d.At.UTC().AddDate(0, 0, DefaultAcceptance).Format(time.DateOnly)
	}
	return d
}

// end is the first moment at which the decision no longer holds.
func (d IssueDecision) end() (time.Time, error) { return endOf(d.Until) }

// endOf is the first moment after a day (UTC).
func endOf(day string) (time.Time, error) {
	at, err := time.Parse(time.DateOnly, day)
	return at.AddDate(0, 0, 1), err
}

// state is the state the decision puts its issue into, given when the issue was
// last seen to count.
func (d IssueDecision) state(now, lastCounted time.Time) string {
	switch d.State {
	case "":
		return OpenIssue
	case AcceptedIssue, NoiseIssue:
		if end, err := d.end(); err != nil || !now.Before(end) {
			return OpenIssue
		}
	case ResolvedIssue:
		if lastCounted.After(d.At) {
			return RegressedIssue
		}
	}
	return d.State
}

// acceptance returns what comparing goes by, false where the decision takes
// nothing away.
func (d IssueDecision) acceptance() (compare.Acceptance, bool) {
	by, ok := map[string]string{AcceptedIssue: compare.ByAcceptance, NoiseIssue: compare.ByDeclaredNoise}[d.State]
	end, err := d.end()
	return compare.Acceptance{Fingerprint: d.Fingerprint, Endpoint: d.Endpoint, By: by, Who: d.Who, Note: d.Note, At: d.At, Until: end}, ok && err == nil
}

// decisionValue is how the table decisions holds what the other columns do not. Old
// rows hold the state alone, which takes nothing away.
type decisionValue struct {
	State    string `json:"state"`
	Endpoint string `json:"endpoint,omitempty"`
	Until    string `json:"until,omitempty"`
}

func (d IssueDecision) row(service string) (Decision, error) {
	value, err := json.Marshal(decisionValue{d.State, d.Endpoint, d.Until})
	return Decision{At: d.At, Service: service, Kind: IssueKind, Key: d.Fingerprint, Value: string(value), Who: d.Who, Note: d.Note}, err
}

func issueDecision(row Decision) IssueDecision {
	v := decisionValue{}
	if err := json.Unmarshal([]byte(row.Value), &v); err != nil {
		v = decisionValue{State: row.Value}
	}
	return IssueDecision{At: row.At.UTC(), Fingerprint: row.Key, Endpoint: v.Endpoint, State: v.State, Until: v.Until, Who: row.Who, Note: row.Note}
}
