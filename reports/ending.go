package reports

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"parallax/divergence"
)

// Ending is all that is known of a run when somebody asks whether it may end.
type Ending struct {
	Report  Report // over the whole time
	Verdict Verdict
	Stand   Stand

	// Elsewhere says where the step is not known to be in force: splitters outside, other mirrors.
	Elsewhere []string
	// Back is what the primary lacks of what callers were told by the candidate, nil where
	// nobody knows.
	Back *WayBack
	// Lacks says what the database of the leg that goes on lacks, empty for nothing.
	Lacks string

	Issues  []divergence.Issue // those that count, in any state
	History []ChainRecord      // changes of the step, the oldest first; nil: they were not read
	WayOut  []Section          // how Parallax is taken out
}

// Stand is where the step is, and who put it there.
type Stand struct {
	Step   int       `json:"step"` // basis points of users on the candidate
	Who    string    `json:"who"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	Paused bool      `json:"paused"`

	Groups []GroupStand `json:"groups,omitempty"` // of endpoints with steps of their own; none: all have one
}

// GroupStand is where the step of a group of endpoints is.
type GroupStand struct {
	Group string `json:"name"`
	Step  int    `json:"step"` // basis points
}

// WayBack is what would be missing if everybody went back to the primary now.
type WayBack struct {
	WritesMissing int64   `json:"writes_missing"` // that it does not have
	Lag           float64 `json:"lag_s"`          // for how long the oldest of them has waited, in seconds
	IDsUnknown    int64   `json:"ids_unknown"`    // values that the candidate made up and it does not know
}

// Section is a part of the way out: a title, and sentences below it.
type Section struct {
	Title string   `json:"title"`
	Lines []string `json:"lines"`
}

// disagreed is who moved the step where mirrors that share it did not agree (mirror/split/redis).
const disagreed = "parallax"

// lastStep is everybody.
const lastStep = 10_000

// GivenUp says that nobody is on the candidate, and that it stays so: it was found to be
// worse, or a person rolled back, and did not resume since. A pause alone gives nothing up,
// nor do mirrors that disagreed and went to step 0 by themselves.
func (e Ending) GivenUp() bool {
	return e.Stand.Step == 0 && (e.Verdict.Decision == Rollback || e.Stand.Paused && e.Stand.Who != disagreed && e.rolledBack())
}

// rolledBack says that the step is at 0 since a rollback, as far as the chain of decisions tells:
// one that does not have the last move, such as another mirror's, leaves that open.
func (e Ending) rolledBack() bool {
	for _, r := range slices.Backward(e.History) {
		if r.Moved != nil {
			return r.Kind == ChainRollback || r.At.Before(e.Stand.At)
		}
	}
	return !e.Stand.At.IsZero() // otherwise nobody ever moved it
}

// WhyNot says why the run may not end, in sentences; nothing when it may: all users are on
// the candidate and the verdict is promote, or the candidate was given up.
func (e Ending) WhyNot() []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	switch step := e.Stand.Step; {
	case step == 0 && !e.GivenUp():
		add("Nobody is on the candidate, and nobody gave it up: go on, or say so with POST /api/v1/services/%s/rollback.", e.Verdict.Service)
	case step > 0 && step < lastStep:
		add("The step is in between: %s of users are on the candidate. Go on to 100 %%, or back to 0.", share(step))
	}
	for _, g := range e.Stand.Groups {
		if e.Stand.Step == lastStep && g.Step < lastStep {
			add("Of the endpoints of group %s, %s of users are on the candidate. Go on to 100 %%, or back to 0.", g.Group, share(g.Step))
		}
	}
	if e.Stand.Step > 0 {
		out = append(out, e.unproven()...)
	}
	for _, where := range e.Elsewhere {
		add("The step is not known to be in force everywhere: %s.", where)
	}
	if b := e.Back; b != nil && b.WritesMissing > 0 {
		add("Writes are missing on the way back: the primary lacks %s that callers were told of.", number(b.WritesMissing))
	}
	if e.Lacks != "" {
		add("Writes are missing: %s.", e.Lacks)
	}
	return out
}

// unproven says what speaks against staying on the candidate.
func (e Ending) unproven() []string {
	var out []string
	if e.Verdict.Decision != Promote {
		out = append(out, fmt.Sprintf("The verdict is %s, not promote.", e.Verdict.Decision))
	}
	if n := len(e.issuesIn(divergence.BugIssue)); n > 0 {
		out = append(out, fmt.Sprintf("Issues that somebody called a bug: %d.", n))
	}
	return out
}

func (e Ending) issuesIn(state string) []divergence.Issue {
	var out []divergence.Issue
	for _, i := range e.Issues {
		if i.State == state {
			out = append(out, i)
		}
	}
	return out
}

// outcome says in a sentence whether the run may end, and how it came out.
func (e Ending) outcome() string {
	switch {
	case len(e.WhyNot()) > 0:
		return "This run may not end yet."
	case e.GivenUp():
		return "This run may end: the candidate was given up, and everybody is on the primary."
	}
	return "This run may end: everybody is on the candidate, and the verdict is promote."
}

// span says which time the report is about.
func (e Ending) span() string {
	return fmt.Sprintf("From %s to %s.", momentOr(e.Report.From, "the first exchange"), momentOr(e.Report.To, moment(e.Verdict.AsOf)))
}

func momentOr(t time.Time, otherwise string) string {
	if t.IsZero() {
		return otherwise
	}
	return moment(t)
}

// maxEnding is how many issues of a state, and how many changes of the step, are written.
const maxEnding = 50

// sections are the parts of a final report besides those that every report has.
func (e Ending) sections() []Section {
	out := []Section{{"What stands in the way", e.WhyNot()}, {"The way back", e.back()}, {"Issues", e.issues()}, {"The step", e.steps()}}
	out = append(out, e.WayOut...)
	return out
}

func (e Ending) back() []string {
	if e.Back == nil {
		return nil
	}
	if e.Back.WritesMissing == 0 && e.Back.IDsUnknown == 0 {
		return []string{"On the way back nothing is missing."}
	}
	return []string{fmt.Sprintf("The primary lacks %s writes of the candidate's, the oldest for %.1f s, and does not know %s values that the candidate made up.",
		number(e.Back.WritesMissing), e.Back.Lag, number(e.Back.IDsUnknown))}
}

// issues lists what people still have to look at, then how many there are of the rest.
func (e Ending) issues() []string {
	var out []string
	for _, state := range []string{divergence.BugIssue, divergence.RegressedIssue, divergence.OpenIssue} {
		issues := e.issuesIn(state)
		for _, i := range issues[:min(len(issues), maxEnding)] {
			out = append(out, fmt.Sprintf("%s: %s, %s at %s, in %s exchanges (%s)", state, i.Endpoint, i.Kind, orWhole(i.Path), number(i.Count), i.Fingerprint))
		}
		if more := len(issues) - maxEnding; more > 0 {
			out = append(out, fmt.Sprintf("%s: %d more", state, more))
		}
	}
	for _, state := range []string{divergence.AcceptedIssue, divergence.NoiseIssue, divergence.ResolvedIssue} {
		if n := len(e.issuesIn(state)); n > 0 {
			out = append(out, fmt.Sprintf("%s: %d", state, n))
		}
	}
	return out
}

func orWhole(path string) string {
	if path == "" {
		return "the whole answer"
	}
	return path
}

// steps lists how the step moved, of a long history the latest.
func (e Ending) steps() []string {
	var out []string
	if more := len(e.History) - maxEnding; more > 0 {
		out = append(out, fmt.Sprintf("%d changes before", more))
	}
	for _, r := range e.History[max(len(e.History)-maxEnding, 0):] {
		out = append(out, fmt.Sprintf("%s: %s of users%s, by %s%s", moment(r.At), share(r.Moved.Step), ofGroups(r.Moved.Groups), r.Moved.Who, because(r.Moved.Reason)))
	}
	if len(e.History) == 0 && !e.Stand.At.IsZero() {
		out = append(out, fmt.Sprintf("since %s: %s of users, by %s%s", moment(e.Stand.At), share(e.Stand.Step), e.Stand.Who, because(e.Stand.Reason)))
	}
	return out
}

func ofGroups(groups []string) string {
	if len(groups) == 0 {
		return ""
	}
	return " for " + strings.Join(groups, ", ")
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// WriteEndingText writes a final report for a terminal.
func WriteEndingText(w io.Writer, e Ending) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n\n", plain(e.outcome()), e.span())
	if err := WriteText(&b, e.Report, e.Verdict); err != nil {
		return err
	}
	for _, s := range e.sections() {
		for i, line := range s.Lines {
			if i == 0 {
				fmt.Fprintf(&b, "\n%s:\n", plain(s.Title))
			}
			fmt.Fprintf(&b, "  - %s\n", plain(line))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteEndingMarkdown writes a final report as Markdown, to be kept.
func WriteEndingMarkdown(w io.Writer, e Ending) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Final report: %s\n\n%s %s\n\n", escaped(e.Verdict.Service), escaped(e.outcome()), e.span())
	if err := WriteMarkdown(&b, e.Report, e.Verdict); err != nil {
		return err
	}
	for _, s := range e.sections() {
		for i, line := range s.Lines {
			if i == 0 {
				fmt.Fprintf(&b, "\n## %s\n\n", escaped(s.Title))
			}
			fmt.Fprintf(&b, "- %s\n", escaped(line))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
