package ui

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parallax"
	"parallax/compare"
	"parallax/divergence"
	"parallax/reports"
)

// Config is what the admin server is made of. Everything but the services, the
// store and the summaries has a default.
type Config struct {
	Services  []Service // in the order they are shown
	Store     Store
	Summaries Summaries

	// Decisions keeps what people say about issues and endpoints; nil: PATCH of an issue
	// and sign-offs answer 501.
	Decisions Decider

	// Gatherer is where /metrics comes from; nil: nothing is exported.
	Gatherer prometheus.Gatherer

	// Ready says why the listeners cannot serve; /readyz fails by it. Nil, or an
	// answer of nil: they can.
	Ready func() error

	// Dependencies says how the store and other things Parallax needs are doing.
	// /readyz and the pages show it; none of them fails by it. May be nil.
	Dependencies func(context.Context) []Dependency

	// Process says how this process is doing, for the page about health; nil: nothing is
	// known of it. It must not block.
	Process func() Process

	// Reloads puts the configuration file in force again; nil: nothing does, and
	// reload answers 501.
	Reloads Reloader

	// Rehearsal tries rules on stored pairs; nil: nothing does, and dry-run, rejudge
	// and blind-spots answer 501.
	Rehearsal Rehearsal

	// Decode takes the content codings off a stored body, for the page of an
	// exchange; nil: bodies are shown as they are stored.
	Decode func(encoding string, body []byte) ([]byte, error)

	// Deployments takes what GitHub tells of deployments that wait for a verdict; nil: nothing does, and the
	// route answers 501.
	Deployments Deployments

	// NoPages leaves the pages to other processes.
	NoPages bool

	// Door tells who holds a token; nil: whoever reaches the server may do everything.
	Door Door

	// Audit keeps what people do here; nil: nobody does, and the audit answers 501.
	Audit Audit

	// Hosts are the names besides localhost and addresses that the server goes
	// by.
	Hosts []string

	Version string
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil: slog.Default()
}

// Service is one service as the admin server sees it.
type Service struct {
	Name    string
	Listen  string // where its callers connect to, for the pages' first steps
	Judge   Judge
	Stepper Stepper
	Legs    func() []LegStatus // may be nil; must not block
	Vitals  func() Vitals      // may be nil; must not block

	// Noise returns what is held as noise on an endpoint; nil: nothing is. It must
	// not block.
	Noise func(endpoint string) []compare.NoisePlace

	// EffectTables returns what the legs call tables and columns; nil: the same. It must
	// not block.
	EffectTables func() *compare.EffectTables

	// Rules returns the rules in force; nil: there are none.
	Rules func() *compare.Rules

	// Editor saves rules; nil: they are those of the configuration alone, and saving answers 501.
	Editor RuleEditor

	// BlindSpots returns what was found last about flaws that would not be noticed;
	// nil, or an answer of nil: nothing yet.
	BlindSpots func() *divergence.BlindSpots

	// Tables returns what comparing whole tables of both databases found last; nil, or an
	// answer of nil: nothing yet.
	Tables func() *reports.Tables

	// Drifted returns how many rows of the databases are known to differ; nil: nobody knows.
	Drifted func() int

	// Evidence may be nil; evidence:restart then answers 501.
	Evidence Evidence

	// Shared returns how the step is shared with other mirrors; nil, or an answer of nil: it
	// is not. It must not block.
	Shared func() *SharedStep

	// Promotion may be nil; promotion:pause and promotion:resume then answer 501.
	Promotion Promotion

	// Mirroring may be nil; mirroring:pause and mirroring:resume then answer 501.
	Mirroring Mirroring

	// Copying may be nil; copy:begin, copy:end and copy:cancel then answer 501.
	Copying Copying

	// Splitters returns the splitters outside that get the step; nil, or an answer of
	// nil: there are none.
	Splitters func() Splitters

	// Audience returns how many users a step would bring to the candidate; nil, or false:
	// nobody knows. It must not block.
	Audience func(step int) (Audience, bool)

	// WayBack returns what would be missing if everybody went back to the primary now; nil:
	// nobody knows. It must not block.
	WayBack func() reports.WayBack

	// MissingWrites lists the writes that a leg does not have, up to limit; nil: there are none.
	MissingWrites func(leg string, limit int) ([]MissingWrite, error)

	// Groups are those of endpoints that go live one after the other; none: all have one step.
	Groups reports.Groups

	// Events takes change events, by leg; a leg without an inbox answers 404.
	Events map[string]EventInbox

	// MaxDivergenceRate is the policy's limit, drawn into charts; 0 for none.
	MaxDivergenceRate float64
}

// Reloader puts the configuration file in force again.
type Reloader interface {
	// Reload reads the file and puts it in force, wholly or not at all. It does not
	// end with ctx half-way.
	Reload(ctx context.Context) Reload
	// LastReload returns how the last one went, whoever asked for it; the zero
	// Reload when there was none.
	LastReload() Reload
}

// Judge keeps the verdict on one service; [reports.Judge] is one.
type Judge interface {
	// Verdict returns the latest verdict. It does not wait.
	Verdict() reports.Verdict
	// Wait returns the latest verdict as soon as its decision is another than
	// seen, or when ctx ends.
	Wait(ctx context.Context, seen reports.Decision) reports.Verdict
	// Export writes what the latest verdict was made from, a piece at a time. An
	// error before the first piece is one of the store.
	Export(ctx context.Context, w io.Writer) error
}

var _ Judge = (*reports.Judge)(nil)

// Stepper holds the step of one service.
type Stepper interface {
	// State returns the step in force and how it came about.
	State() reports.State
	// SetStep moves the step, 0 to 10000 basis points, and returns when it is in
	// force and on disk. A person's step wins over the policy until it is released.
	SetStep(ctx context.Context, step int, who, reason string) error
	// SetGroupStep is SetStep of one group of endpoints, see [Service.Groups].
	SetGroupStep(ctx context.Context, group string, step int, who, reason string) error
	// Rollback moves the step to 0 and pauses the policy, in the same way. It is refused
	// while the primary is down.
	Rollback(ctx context.Context, who, reason string) error
	// ForceRollback is Rollback whether or not the primary is up.
	ForceRollback(ctx context.Context, who, reason string) error
}

// SharedStep is how a step is shared with other mirrors.
type SharedStep struct {
	Version uint64    `json:"version"` // counts the moves
	Reached bool      `json:"reached"` // the others are heard; if not, the step is the last that was
	Since   time.Time `json:"since,omitzero"`
	Error   string    `json:"error,omitempty"`
	Owed    bool      `json:"owed,omitempty"`   // they have not heard of a rollback, or a pause, here
	Mirrors int       `json:"mirrors"`          // others, heard of in the last seconds
	Behind  []string  `json:"behind,omitempty"` // those of them where an older word is in force
}

// Pending reports whether a step is known not to be in force everywhere.
func (s *SharedStep) Pending() bool { return s != nil && (s.Owed || len(s.Behind) > 0) }

// Promotion is the policy that moves the step, or says what it would do.
type Promotion interface {
	// Course returns what the policy does with the step now. It must not block.
	Course() reports.Course
	// Pause keeps the policy from moving the step, until Resume or a person's step. It
	// returns when that is on disk.
	Pause(ctx context.Context, who, reason string) error
	// Resume ends a pause, and how long a person's step stands, in the same way.
	Resume(ctx context.Context, who, reason string) error
}

// Evidence is what the verdict on one service is built on.
type Evidence interface {
	// RestartEvidence sets aside all that was counted so far, and lifts a decision
	// that was latched on it. It returns when that is on disk and the judge's
	// verdict is one on the new evidence. Who and reason, a sentence, are kept with it.
	RestartEvidence(ctx context.Context, who, reason string) error
}

// LegStatus is how one leg of a service is doing.
type LegStatus struct {
	Leg     string   `json:"leg"`
	URLs    []string `json:"urls"`
	State   string   `json:"state,omitempty"` // what its writes touch; empty on the primary
	Version string   `json:"version,omitempty"`
	Healthy bool     `json:"healthy"`
	Detail  string   `json:"detail,omitempty"` // why it is not healthy

	Instances []InstanceStatus `json:"instances,omitempty"`

	Missed *MissedWrites `json:"missed,omitempty"` // nil: the leg lacks no write

	InFlight    int         `json:"in_flight"`            // requests under way, live and shadow
	BreakerOpen bool        `json:"breaker_open"`         // it is not asked as a shadow, or only tried
	LastError   *LegFailure `json:"last_error,omitempty"` // nil: there was none
}

// LegFailure is the latest failure of a leg.
type LegFailure struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// MissedWrites is what a leg with a database of its own lacks.
type MissedWrites struct {
	Waiting int   `json:"waiting"`       // writes that are to be caught up
	Bytes   int64 `json:"bytes"`         // that they take on disk
	Tainted int   `json:"tainted"`       // users and entities whose state is another for good
	All     bool  `json:"all,omitempty"` // so many that the leg is as a whole
}

// InstanceStatus is how one instance of a leg is doing.
type InstanceStatus struct {
	Name   string `json:"name"` // its URL and, if that was looked up, the address
	Up     bool   `json:"up"`
	Reason string `json:"reason,omitempty"` // why it is not up
}

// Down returns the instances that are not up.
func (l LegStatus) Down() []InstanceStatus {
	var out []InstanceStatus
	for _, i := range l.Instances {
		if !i.Up {
			out = append(out, i)
		}
	}
	return out
}

// Dependency is how something is doing that Parallax needs.
type Dependency struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// Summaries answers what became of the exchanges of a service, those that are
// not stored yet included.
type Summaries interface {
	Summary(ctx context.Context, service string, w divergence.Window) (divergence.Summary, error)
}

// Triage answers which differences there are.
type Triage interface {
	Issues(ctx context.Context, service string, f divergence.IssueFilter) ([]divergence.Issue, error)
	Issue(ctx context.Context, service, fingerprint string, at time.Time) (divergence.Issue, error)
	// Values returns examples of an issue that are not alike.
	Values(ctx context.Context, service, fingerprint string) ([]divergence.ValueExample, error)
	// Contrast returns stored exchanges that show an issue, and others of its endpoint.
	Contrast(ctx context.Context, service string, i divergence.Issue) (showing, others []divergence.Sampled, err error)
	// History returns what was decided on an issue, the first first.
	History(ctx context.Context, service, fingerprint string) ([]divergence.IssueDecision, error)
}

// Decider keeps what people say about issues and endpoints.
type Decider interface {
	// Decide stores decisions and returns when exchanges are compared by them. It
	// fails with [divergence.ErrAway] while the store is away.
	Decide(ctx context.Context, service string, decisions ...divergence.IssueDecision) error
	// SignOff stores that a person passes an endpoint, or takes that back. It fails in
	// the same way.
	SignOff(ctx context.Context, service string, s divergence.SignOff) error
}

var _ Decider = (*divergence.Board)(nil)

// Exchanges answers what single exchanges looked like.
type Exchanges interface {
	Exchanges(ctx context.Context, service string, f divergence.ExchangeFilter) ([]divergence.ExchangeSummary, error)
	Exchange(ctx context.Context, service string, id parallax.ID) (divergence.ExchangeDetail, error)
}

// Rates answers how the divergence rate went over time; the endpoint may be
// empty.
type Rates interface {
	RateOverTime(ctx context.Context, service, endpoint string, w divergence.Window, buckets int) ([]divergence.RatePoint, error)
}

// Store is all that is asked of the store. An error that wraps
// [divergence.ErrAway] becomes a 503, one that wraps [divergence.ErrNotFound] a
// 404.
type Store interface {
	Triage
	Exchanges
	Rates
	SideEffects
	Writes
	RuleBook
	Changes
	reports.Differences
}

var _ Store = (*divergence.Store)(nil)
