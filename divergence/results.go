package divergence

import (
	"time"

	"parallax"
)

// Window is a span of time that exchanges were received in: from From, up to
// but without To. A zero bound is open. Counts are filed by the minute, so every
// question rounds From down and To up to whole minutes, for counts and rows
// alike; that is why they add up.
type Window struct {
	From, To time.Time
}

// minutes returns the window rounded outwards to whole minutes; a zero bound
// stays zero.
func (w Window) minutes() Window {
	if !w.From.IsZero() {
		w.From = w.From.UTC().Truncate(time.Minute)
	}
	if !w.To.IsZero() {
		up := w.To.UTC().Truncate(time.Minute)
		if up.Before(w.To) {
			up = up.Add(time.Minute)
		}
		w.To = up
	}
	return w
}

// holds tells whether a minute lies in the window.
func (w Window) holds(minute time.Time) bool {
	return (w.From.IsZero() || !minute.Before(w.From)) && (w.To.IsZero() || minute.Before(w.To))
}

// Accounting says where every exchange that was received went. The keys of the
// maps are the reasons of [parallax.Place]; reasons that never occurred are left
// out. Compared always has match, diverged and not_comparable.
type Accounting struct {
	Received   int64            `json:"received"`
	Unmirrored map[string]int64 `json:"unmirrored"`
	Compared   map[string]int64 `json:"compared"`
	Lost       map[string]int64 `json:"lost"`
	InFlight   int64            `json:"in_flight"`
	At         map[string]int64 `json:"in_flight_at,omitempty"` // InFlight by place: live, shadow, queue, worker, batch

	// What went before its time to keep the store within its size: exchanges among
	// the compared ones whose rows are gone, and legs of exchanges without their
	// bodies.
	Dropped       int64 `json:"dropped,omitempty"`
	DroppedBodies int64 `json:"dropped_bodies,omitempty"`
}

// Missing is received - unmirrored - compared - lost - in flight. It is 0 unless
// Parallax has a defect.
func (a Accounting) Missing() int64 {
	return a.Received - total(a.Unmirrored) - total(a.Compared) - total(a.Lost) - a.InFlight
}

func total(counts map[string]int64) int64 {
	var n int64
	for _, c := range counts {
		n += c
	}
	return n
}

// Latency holds quantiles of the time from request sent to first answer byte, in
// seconds, within 1 % of the true value. It is zero when nothing was timed.
type Latency struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// EndpointStats is what is known about one endpoint in a window. Compared is
// Matched + Diverged + NotComparable; rates are over Matched + Diverged.
type EndpointStats struct {
	Endpoint string `json:"endpoint"`
	Received int64  `json:"received"`
	Compared int64  `json:"compared"`

	Dropped       int64 `json:"dropped,omitempty"` // of Compared, without rows: their noise, times and statuses are not known any more
	DroppedBodies int64 `json:"dropped_bodies,omitempty"`

	Matched  int64 `json:"matched"`
	Diverged int64 `json:"diverged"`

	NotComparable        int64            `json:"not_comparable"`
	NotComparableReasons map[string]int64 `json:"not_comparable_reasons,omitempty"`

	Noise    int64 `json:"noise"`    // exchanges with a difference that was noise
	Ruled    int64 `json:"ruled"`    // exchanges with a difference that a rule took away
	Accepted int64 `json:"accepted"` // exchanges with a difference of an accepted issue

	Unmirrored map[string]int64 `json:"unmirrored,omitempty"`
	Lost       int64            `json:"lost"`
	InFlight   int64            `json:"in_flight"`

	PrimaryFailed   int64 `json:"primary_failed"`   // exchanges whose primary gave no complete answer, or a 5xx not declared normal
	CandidateFailed int64 `json:"candidate_failed"` // the same for the candidate

	Covered int64 `json:"covered,omitempty"` // exchanges whose callers got the primary's answer in place of the live candidate's, which failed

	Primary   Latency `json:"primary"`
	Candidate Latency `json:"candidate"`

	StatusMatrix map[string]int64 `json:"status_matrix"` // "200/500", "200/timeout": exchanges by what the primary and the candidate answered

	First time.Time `json:"first"` // when the first and the last compared exchange were received; zero without one
	Last  time.Time `json:"last"`
}

// Summary is one consistent view of a service: the accounting and every endpoint
// are read at the same instant and add up.
type Summary struct {
	Accounting Accounting      `json:"accounting"`
	Endpoints  []EndpointStats `json:"endpoints"` // sorted by name
}

// RatePoint is one bucket of a rate over time. N is match + diverged and K is
// diverged, of the exchanges received from At on for the bucket's length.
type RatePoint struct {
	At            time.Time `json:"at"`
	N             int64     `json:"n"`
	K             int64     `json:"k"`
	NotComparable int64     `json:"not_comparable"`
	Rate          float64   `json:"rate"` // K / N; 0 when N is 0
}

// Issue is all differences with one fingerprint.
type Issue struct {
	Fingerprint string    `json:"fingerprint"`
	Cause       string    `json:"cause"` // the fingerprint without the endpoint
	Endpoint    string    `json:"endpoint"`
	Path        string    `json:"path"` // the normalised path
	Kind        string    `json:"kind"`
	Class       string    `json:"class,omitempty"`
	State       string    `json:"state"`      // one of the states in states.go, as decisions and the window have it
	Count       int64     `json:"count"`      // exchanges in which it counts
	Suppressed  int64     `json:"suppressed"` // exchanges in which it was taken away by a rule, noise or acceptance
	By          []string  `json:"suppressed_by,omitempty"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
	LastCounted time.Time `json:"last_counted,omitzero"` // when it was last seen and counted
	Share       float64   `json:"share"`                 // of the endpoint's comparable exchanges in the window, those in which it counts
	Primary     string    `json:"primary"`               // both values in its latest exchange, redacted
	Candidate   string    `json:"candidate"`
	Examples    []string  `json:"examples"` // ids of exchanges, those with stored bodies first

	// Of its exchanges with rows: those that were asked again, and those of them in which
	// only the candidate changed its answer. Of a single issue only; see [Store.Issue].
	AskedAgain int64 `json:"asked_again,omitempty"`
	Flaky      int64 `json:"flaky,omitempty"`

	Decision *IssueDecision `json:"decision,omitempty"` // the last word on it, nil when nobody said any
}

// ValueExample is an exchange that shows an issue with values of its own.
type ValueExample struct {
	Primary   string    `json:"primary"` // redacted
	Candidate string    `json:"candidate"`
	Path      string    `json:"path"` // where it was, with positions
	Exchange  string    `json:"exchange"`
	Received  time.Time `json:"received"`
	Kept      bool      `json:"kept"`      // its bodies are stored
	Exchanges int64     `json:"exchanges"` // how many stored rows have these values
}

// IssueFilter chooses issues. Zero fields do not filter; Limit defaults to 200
// and is capped at 1 000.
type IssueFilter struct {
	Window
	Endpoint    string
	Fingerprint string
	Cause       string
	State       string
	At          time.Time // when what was accepted may have ended; zero: never
	Suppressed  bool      // also those that never counted
	Limit       int
}

// ExchangeSummary is one compared exchange without its bodies.
type ExchangeSummary struct {
	ID          string    `json:"id"`
	Received    time.Time `json:"received"`
	Service     string    `json:"service"`
	Endpoint    string    `json:"endpoint"`
	Live        string    `json:"live"`
	Source      string    `json:"source"`
	Outcome     string    `json:"outcome"`
	Reason      string    `json:"reason,omitempty"`
	Divergences int       `json:"divergences"`
	Noise       int       `json:"noise"`
	Ruled       int       `json:"ruled"`
	Accepted    int       `json:"accepted"`
	Truncated   bool      `json:"truncated,omitempty"`  // it has more differences than are kept
	Concurrent  bool      `json:"concurrent,omitempty"` // it overlapped with another exchange of its user
	Covered     bool      `json:"covered,omitempty"`    // the safety net answered instead of the live leg
	Legs        []LegLine `json:"legs"`                 // primary, candidate and, if it was asked, secondary
	RulesHash   string    `json:"rules_version"`
	Kept        bool      `json:"kept"` // its bodies are stored

	Again []SecondLine `json:"again,omitempty"` // what came when it was asked again, primary and candidate; empty: it was not
	Flaky bool         `json:"flaky,omitempty"` // asked again, the candidate changed its answer and the primary did not
}

// SecondLine is what a leg answered when the exchange was asked again.
type SecondLine struct {
	Leg    string `json:"leg"`
	Answer string `json:"answer"` // same or changed, in what counts; unknown: there was none, or it cannot be compared
	Status int    `json:"status"` // 0 when there was no answer
}

// LegLine is how one leg answered, in brief.
type LegLine struct {
	Leg     string  `json:"leg"`
	Status  int     `json:"status"`          // 0 when there was no answer
	Error   string  `json:"error,omitempty"` // the kind of failure
	Seconds float64 `json:"seconds"`         // request sent to first answer byte; 0 when none came
	Version string  `json:"version,omitempty"`
}

// ExchangeFilter chooses exchanges. Zero fields do not filter; Limit defaults to
// 50 and is capped at 1 000. Before is the id of the last exchange of the page
// before.
type ExchangeFilter struct {
	Window
	Endpoint    string
	Outcome     string // match, diverged or not_comparable
	Fingerprint string // only those with stored differences of that issue
	Kept        bool   // only those with stored bodies
	Without     string // only those that can be compared and have no stored difference of that issue
	Status      int    // only those that the primary answered with that status; 0: all
	EachHour    int    // so many at most of an hour, its first ones; 0: all
	Before      string
	Limit       int
}

// DifferenceLine is one stored difference, with redacted values.
type DifferenceLine struct {
	Path        string `json:"path"`
	Normal      string `json:"normal"`
	Kind        string `json:"kind"`
	Class       string `json:"class,omitempty"`
	Primary     string `json:"primary"`
	Candidate   string `json:"candidate"`
	Fingerprint string `json:"fingerprint"`
	Cause       string `json:"cause"`
	By          string `json:"suppressed_by,omitempty"` // empty when it counts
	Detail      string `json:"detail,omitempty"`
}

// ExchangeDetail is everything that is stored about one exchange.
type ExchangeDetail struct {
	ExchangeSummary
	Differences []DifferenceLine   `json:"differences"`               // those that count first, then by path
	Identifiers []IdentifierPair   `json:"identifiers,omitempty"`     // that its answers were compared by, redacted; with its bodies only
	Unmapped    []string           `json:"unmapped,omitempty"`        // identifiers that a shadow request, or a row that a leg wrote, named without a partner
	Effects     []EffectLine       `json:"effects,omitempty"`         // what its legs did to their databases, redacted, in the order of each leg's commits; those that came late, and with its bodies all
	Unread      map[string]string  `json:"effects_unknown,omitempty"` // by leg: why they may not be all
	Exchange    *parallax.Exchange `json:"-"`                         // redacted, Received to the millisecond, without User; nil when its bodies were not kept
}

// IdentifierPair is what two legs call the same thing.
type IdentifierPair struct {
	Name    string `json:"name"` // of the identifier
	Primary string `json:"primary"`
	Leg     string `json:"leg"`
	Value   string `json:"value"` // the leg's
}

// Cursor is a place in the list of ticks: after the tick that was written At by
// Instance with the number Seq. The zero value is the beginning.
type Cursor struct {
	At       time.Time
	Instance string
	Seq      uint64
}

// Cursor returns the place right after the tick.
func (t Tick) Cursor() Cursor { return Cursor{At: t.At, Instance: t.Instance, Seq: t.Seq} }

// Decision is one thing a person or a policy changed. Decisions are append-only;
// what holds now is their fold by (Service, Kind, Key) in the order of At.
type Decision struct {
	At      time.Time `json:"at"`
	Service string    `json:"service"`
	Kind    string    `json:"kind"` // step, issue, ...
	Key     string    `json:"key"`  // what it is about; an issue's fingerprint, for instance
	Value   string    `json:"value"`
	Who     string    `json:"who"`
	Note    string    `json:"note"`
}
