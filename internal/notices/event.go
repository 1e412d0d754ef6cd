package notices

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"parallax/divergence"
	"parallax/reports"
)

// Kind is what happened.
type Kind string

// The kinds, in the order in which a message has them.
const (
	Rollback       Kind = "rollback"        // users went back to the primary
	VerdictChanged Kind = "verdict"         // the verdict is another
	RegressedIssue Kind = "regressed_issue" // an issue counts again after it was resolved
	NewIssue       Kind = "new_issue"       // an issue began to count
)

// Kinds are all there are.
var Kinds = []Kind{Rollback, VerdictChanged, RegressedIssue, NewIssue}

// Event is one thing that happened to a service. It holds no values of callers.
type Event struct {
	Kind Kind      `json:"kind"`
	At   time.Time `json:"at"`
	Text string    `json:"text"` // a sentence without its full stop
	URL  string    `json:"url"`  // the page about it

	Verdict reports.Decision `json:"verdict,omitempty"` // of verdict: what it is, and was
	Was     reports.Decision `json:"was,omitempty"`

	Group string `json:"group,omitempty"` // of rollback: of endpoints; empty for all
	Who   string `json:"who,omitempty"`

	Issue      string `json:"issue,omitempty"` // of issues: the fingerprint, and what it is about
	Endpoint   string `json:"endpoint,omitempty"`
	Path       string `json:"path,omitempty"`
	Difference string `json:"difference,omitempty"`

	id string // another for another event
}

// urgent reports whether an event does not wait for others.
func (e Event) urgent() bool {
	return e.Kind == Rollback || e.Kind == VerdictChanged && e.Verdict == reports.Rollback
}

// Mark is what a receiver was told of a service.
type Mark struct {
	At      time.Time            `json:"at"`      // of the last look
	Sent    time.Time            `json:"sent"`    // of the last message
	Verdict reports.Decision     `json:"verdict"` // empty: none was known yet
	Steps   map[string]int       `json:"steps"`   // by group, "" for all endpoints; basis points
	Told    map[string]time.Time `json:"told"`    // issues that may be looked at again, by the event's id
}

// News is how things stand.
type News struct {
	At      time.Time
	Verdict *reports.Verdict // nil: none is known at the moment
	State   reports.State
	Issues  []divergence.IssueNews
}

// overlap is how long before the last look issues are looked for again: an exchange may be
// stored that much later than it was received.
const overlap = time.Hour

// begin is the mark of a receiver that was told nothing: what is there already is no news.
func begin(n News) Mark {
	m := Mark{At: n.At, Steps: steps(n.State), Told: map[string]time.Time{}}
	if n.Verdict != nil {
		m.Verdict = n.Verdict.Decision
	}
	for _, issue := range n.Issues {
		if e := issueEvent(issue, n.At.Add(-overlap), pages{}); !e.At.IsZero() {
			m.Told[e.id] = e.At
		}
	}
	return m
}

// steps are where the groups of a service stand.
func steps(s reports.State) map[string]int {
	out := map[string]int{"": s.Step}
	for name, g := range s.Groups {
		out[name] = g.Step
	}
	return out
}

// since returns what happened since a mark, the weightiest first, and the mark of who was told
// all of it.
func (m Mark) since(n News, at pages) ([]Event, Mark) {
	next := Mark{At: n.At, Sent: m.Sent, Verdict: m.Verdict, Steps: steps(n.State), Told: map[string]time.Time{}}
	events := m.rollbacks(n, at)
	if v := n.Verdict; v != nil {
		if next.Verdict = v.Decision; m.Verdict != "" && m.Verdict != v.Decision {
			events = append(events, verdictEvent(*v, m.Verdict, at))
		}
	}
	for id, when := range m.Told {
		if !when.Before(n.At.Add(-overlap)) {
			next.Told[id] = when
		}
	}
	for _, issue := range n.Issues {
		e := issueEvent(issue, m.At.Add(-overlap), at)
		if _, told := m.Told[e.id]; !told && !e.At.IsZero() {
			events, next.Told[e.id] = append(events, e), e.At
		}
	}
	slices.SortStableFunc(events, func(a, b Event) int { return slices.Index(Kinds, a.Kind) - slices.Index(Kinds, b.Kind) })
	return events, next
}

func (m Mark) rollbacks(n News, at pages) (events []Event) {
	now := steps(n.State)
	for _, group := range slices.Sorted(maps.Keys(now)) {
		if now[group] > 0 || m.Steps[group] == 0 || group != "" && now[""] == 0 {
			continue // the last is told of all endpoints together
		}
		of := "everybody"
		if group != "" {
			of = "everybody of " + group
		}
		e := Event{Kind: Rollback, At: n.State.At.UTC(), Group: group, Who: n.State.Who, URL: at.of("promotion"), Text: of + " went back to the primary"}
		if n.State.Reason != "" {
			e.Text += ": " + n.State.Reason
		}
		e.id = fmt.Sprintf("rollback %s %d", group, e.At.UnixMicro())
		events = append(events, e)
	}
	return events
}

// shownReasons is how many reasons of a verdict are told.
const shownReasons = 3

func verdictEvent(v reports.Verdict, was reports.Decision, at pages) Event {
	text := fmt.Sprintf("the verdict is %s, it was %s", v.Decision, was)
	for i, r := range v.Reasons {
		if i == shownReasons {
			text += fmt.Sprintf(". And %d more", len(v.Reasons)-i)
			break
		}
		text += ". " + strings.TrimSuffix(r.Sentence(), ".")
	}
	return Event{Kind: VerdictChanged, At: v.AsOf.UTC(), Verdict: v.Decision, Was: was, Text: text, URL: at.of(""), id: fmt.Sprintf("verdict %s %d", v.Decision, v.AsOf.UnixMicro())}
}

// issueEvent is that an issue regressed or began to count; without a time where that was before.
func issueEvent(n divergence.IssueNews, since time.Time, at pages) Event {
	e := Event{Kind: NewIssue, At: n.First, Issue: n.Fingerprint, Endpoint: n.Endpoint, Path: n.Path, Difference: n.Kind, URL: at.of("issues/" + url.PathEscape(n.Fingerprint))}
	what := strings.TrimSpace(n.Path + " " + strings.ReplaceAll(n.Kind, "_", " "))
	if n.Class != "" {
		what += ": " + n.Class
	}
	switch {
	case !n.Regressed.IsZero() && !n.Regressed.Before(since):
		e.Kind, e.At, e.Text = RegressedIssue, n.Regressed, fmt.Sprintf("%s: %s counts again after it was resolved", n.Endpoint, what)
	case n.First.Before(since):
		e.At = time.Time{}
	default:
		e.Text = fmt.Sprintf("%s: %s is new", n.Endpoint, what)
	}
	e.id = fmt.Sprintf("%s %s %d", e.Kind, n.Fingerprint, e.At.UnixMicro())
	return e
}

// pages is where the pages of a service are.
type pages struct{ base, service string }

func (p pages) of(what string) string {
	return strings.TrimSuffix(p.base+"/services/"+url.PathEscape(p.service)+"/"+what, "/")
}

// Message is what a receiver of JSON gets. Its shape only ever grows; Shape counts changes that
// are more than that.
type Message struct {
	Shape   int          `json:"shape"` // 1
	ID      string       `json:"id"`    // the same for the same events, also if the message comes twice
	Service string       `json:"service"`
	At      time.Time    `json:"at"`
	Text    string       `json:"text"`           // all of it in a line
	Events  []Event      `json:"events"`         // the weightiest first, up to ten
	More    map[Kind]int `json:"more,omitempty"` // events that are left out
	URL     string       `json:"url"`            // the service's page
}

// mostEvents is how many events a message spells out.
const mostEvents = 10

func newMessage(events []Event, service string, now time.Time, at pages) Message {
	m := Message{Shape: 1, Service: service, At: now.UTC(), Events: events, URL: at.of("")}
	ids := sha256.New()
	counts := map[Kind]int{}
	for _, e := range events {
		fmt.Fprintln(ids, service, e.id)
		counts[e.Kind]++
	}
	m.ID = hex.EncodeToString(ids.Sum(nil)[:8])
	if len(events) > mostEvents {
		m.Events, m.More = events[:mostEvents], map[Kind]int{}
		for _, e := range events[mostEvents:] {
			m.More[e.Kind]++
		}
	}
	m.Text = headline(service, events, counts)
	return m
}

// headline is the weightiest event, and how many of others there are.
func headline(service string, events []Event, counts map[Kind]int) string {
	text := service + ": " + events[0].Text
	counts[events[0].Kind]--
	names := map[Kind][2]string{Rollback: {"rollback", "rollbacks"}, VerdictChanged: {"change of the verdict", "changes of the verdict"}, RegressedIssue: {"regressed issue", "regressed issues"}, NewIssue: {"new issue", "new issues"}}
	var more []string
	for _, k := range Kinds {
		if n := counts[k]; n == 1 {
			more = append(more, "1 "+names[k][0])
		} else if n > 1 {
			more = append(more, fmt.Sprintf("%d %s", n, names[k][1]))
		}
	}
	if len(more) > 0 {
		text += "; besides " + strings.Join(more, ", ")
	}
	return text
}
