package divergence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"parallax"
	"parallax/compare"
)

// Rehearsal tries rules on stored pairs, for people: what it finds is never
// evidence, and it writes nothing. Pairs are as they were stored: what was redacted
// is equal or not by its token, and pairs of which a rule would have to weigh such a
// value are counted apart.
//
// Its work is bounded by pairs and time, and one is done at a time. It reads in
// small pieces, so that neither the recorder nor pages wait for it for long.
type Rehearsal struct {
	store *Store
	judge func(service string) *Judge
	now   func() time.Time
	busy  chan struct{}
}

// ErrBusy says that another rehearsal is under way.
var ErrBusy = errors.New("rules are being tried on stored pairs already, which is done once at a time; ask again in a moment")

// NewRehearsal returns a rehearsal on a store. Judge returns what the exchanges of
// a service are compared by, nil for one that is not known.
func NewRehearsal(store *Store, judge func(service string) *Judge, now func() time.Time) *Rehearsal {
	return &Rehearsal{store: store, judge: judge, now: now, busy: make(chan struct{}, 1)}
}

// Bounds of one rehearsal.
const (
	rehearseTime  = 12 * time.Second
	rehearseChunk = 50 // pairs in memory at a time
	maxExamples   = 5  // of an issue
	maxChanges    = 200
)

// Sample says which stored pairs were looked at.
type Sample struct {
	Looked int       `json:"looked"`          // pairs that were looked at
	Stored int       `json:"stored"`          // of so many
	Gone   int       `json:"gone,omitempty"`  // whose bodies went before their time, besides
	From   time.Time `json:"from,omitzero"`   // when the oldest and the latest one looked at were received
	To     time.Time `json:"to,omitzero"`     //
	Ended  string    `json:"ended,omitempty"` // why not all that were chosen were looked at
}

// String says it in words.
func (s Sample) String() string {
	text := fmt.Sprintf("%s of %s stored pairs were looked at", grouped(s.Looked), grouped(s.Stored))
	if s.Ended != "" {
		text += ", " + s.Ended
	}
	return text
}

// eachPair calls look with every chosen pair until time is over.
func (r *Rehearsal) eachPair(ctx context.Context, service string, f PairFilter, look func(p *StoredPair, x *parallax.Exchange)) (s Sample, err error) {
	select {
	case r.busy <- struct{}{}:
		defer func() { <-r.busy }()
	default:
		return s, ErrBusy
	}
	pairs, all, err := r.store.Pairs(ctx, service, f)
	if err != nil {
		return s, err
	}
	s.Stored = all
	end := r.now().Add(rehearseTime)
	for chunk := range slices.Chunk(pairs, rehearseChunk) {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		if s.over(r.now(), end) {
			break
		}
		exchanges, err := r.store.load(ctx, service, chunk)
		if err != nil {
			return s, err
		}
		for i, x := range exchanges {
			if ctx.Err() != nil || s.over(r.now(), end) { // one pair may take many comparisons
				break
			}
			if x == nil {
				s.Gone++
				continue
			}
			s.note(x.Received)
			look(&chunk[i], x)
		}
	}
	if err := ctx.Err(); err != nil {
		return s, err
	}
	return s, nil
}

// over reports whether the time is over, and remembers it.
func (s *Sample) over(now, end time.Time) bool {
	if !now.After(end) {
		return false
	}
	s.Ended = fmt.Sprintf("no more within %v", rehearseTime)
	return true
}

func (s *Sample) note(at time.Time) {
	if s.Looked++; s.From.IsZero() || at.Before(s.From) {
		s.From = at
	}
	if at.After(s.To) {
		s.To = at
	}
}

// judged compares a stored pair by rules as they are in force now; false when
// redaction left nothing to compare.
func (r *Rehearsal) judged(p *StoredPair, x *parallax.Exchange, rules *compare.Rules, j *Judge) (compare.Comparison, bool) {
	restored, ok := compare.Restored(x)
	if !ok {
		return compare.Comparison{Outcome: compare.NotComparable, Reason: compare.ReasonRedacted}, false
	}
	return compare.Compare(restored, compare.Input{Rules: rules, Noise: j.Noise, Accepted: j.accepted(), IDs: j.IDs.stored(p.known), Effects: j.Effects.stored(p.known), Stored: true, At: r.now()}), true
}

// find returns what a service is compared by.
func (r *Rehearsal) find(service string) (*Judge, error) {
	if j := r.judge(service); j != nil {
		return j, nil
	}
	return nil, fmt.Errorf("service %.100q: %w", service, ErrNotFound)
}

// DryRun is what a set of rules would hide and reveal among stored pairs, against
// the rules in force.
type DryRun struct {
	Service      string `json:"service"`
	RulesVersion string `json:"rules_version"` // of the rules that were tried
	Against      string `json:"against"`       // of the rules in force
	Pairs        Sample `json:"pairs"`
	Unjudged     int    `json:"not_judged"` // pairs of which a rule would have to weigh what was redacted

	// Divergences that count under the rules in force and would not, of how many,
	// and those that would count and do not.
	Hidden   int `json:"hidden"`
	Of       int `json:"of"`
	Revealed int `json:"revealed"`

	Diverged Change        `json:"diverged"` // pairs
	Issues   []IssueChange `json:"issues"`   // those that change, the most changed first
	Vanish   int           `json:"vanish"`   // issues of which nothing would count any more
	Appear   int           `json:"appear"`   // issues of which nothing counts now

	Summary  string            `json:"summary"` // all of it in a sentence
	Findings []compare.Finding `json:"findings"`
}

// Change is a number under the rules of before and under those of after.
type Change struct {
	Before int `json:"before"`
	After  int `json:"after"`
}

// IssueChange is what becomes of one issue: in how many pairs it counts.
type IssueChange struct {
	Fingerprint string   `json:"fingerprint"`
	Endpoint    string   `json:"endpoint"`
	Path        string   `json:"path"`
	Kind        string   `json:"kind"`
	Class       string   `json:"class,omitempty"`
	Pairs       Change   `json:"pairs"`
	By          []string `json:"by,omitempty"` // rules that take it away
	Primary     string   `json:"primary"`      // the values of an example, redacted
	Candidate   string   `json:"candidate"`
	Examples    []string `json:"examples"` // ids of pairs in which it changes
}

// DryRun tries rules on stored pairs. It fails with [ErrBusy], [ErrAway] or
// [ErrNotFound].
func (r *Rehearsal) DryRun(ctx context.Context, service string, rules []compare.Rule, f PairFilter) (DryRun, error) {
	j, err := r.find(service)
	if err != nil {
		return DryRun{}, err
	}
	compiled, _ := j.Rules.Replaced(rules)
	d := &dryRun{DryRun: DryRun{Service: service, RulesVersion: compiled.Version(), Against: j.Rules.Version()}, issues: map[string]*IssueChange{}}
	d.Pairs, err = r.eachPair(ctx, service, f, func(p *StoredPair, x *parallax.Exchange) {
		before, _ := r.judged(p, x, j.Rules, j)
		after, _ := r.judged(p, x, compiled, j)
		d.add(p, before, after)
	})
	if err != nil {
		return DryRun{}, err
	}
	d.conclude()
	d.Findings = append([]compare.Finding{}, compare.Lint(rules, r.now())...)
	return d.DryRun, nil
}

// dryRun is a dry run under way.
type dryRun struct {
	DryRun
	issues map[string]*IssueChange
}

// maxRehearsed bounds how many issues one rehearsal tells apart.
const maxRehearsed = 5000

func (d *dryRun) add(p *StoredPair, before, after compare.Comparison) {
	if before.Reason == compare.ReasonRedacted || after.Reason == compare.ReasonRedacted {
		d.Unjudged++
	}
	d.Diverged.Before += one01(before.Outcome == compare.Diverged)
	d.Diverged.After += one01(after.Outcome == compare.Diverged)
	counted, counting := countingOf(before), countingOf(after)
	for i := range after.Differences {
		if each := &after.Differences[i]; each.Suppressed.By == "redacted" {
			counting[differenceKey(each)] = true // Nobody can say that the rules would hide it.
		}
	}
	seen := map[string]bool{}
	for _, side := range []struct {
		list  []compare.Difference
		other map[string]bool
		after bool
	}{{before.Differences, counting, false}, {after.Differences, counted, true}} {
		for i := range side.list {
			each := &side.list[i]
			if each.Suppressed.By != "" {
				continue
			}
			changed := !side.other[differenceKey(each)]
			switch {
			case side.after:
				d.Revealed += one01(changed)
			default:
				d.Of++
				d.Hidden += one01(changed)
			}
			d.issue(p, each, side.after, changed, seen)
		}
	}
	for i := range after.Differences {
		each := &after.Differences[i]
		if change := d.issues[each.Fingerprint]; change != nil && counted[differenceKey(each)] && each.Suppressed.By != "" &&
			!slices.Contains(change.By, each.Suppressed.Detail) && len(change.By) < maxExamples {
			change.By = append(change.By, each.Suppressed.Detail)
		}
	}
}

// issue counts a pair for the issue of a difference, once for each side.
func (d *dryRun) issue(p *StoredPair, each *compare.Difference, after, changed bool, seen map[string]bool) {
	i := d.issues[each.Fingerprint]
	if i == nil {
		if len(d.issues) >= maxRehearsed {
			return
		}
		i = &IssueChange{Fingerprint: each.Fingerprint, Endpoint: p.Endpoint, Path: each.Normal, Kind: string(each.Kind), Class: each.Class,
			Primary: each.Primary, Candidate: each.Candidate, Examples: []string{}}
		d.issues[each.Fingerprint] = i
	}
	if key := fmt.Sprint(after, each.Fingerprint); !seen[key] {
		seen[key] = true
		if after {
			i.Pairs.After++
		} else {
			i.Pairs.Before++
		}
	}
	if id := p.ID.String(); changed && len(i.Examples) < maxExamples && !slices.Contains(i.Examples, id) {
		i.Examples = append(i.Examples, id)
	}
}

func differenceKey(d *compare.Difference) string { return d.Path + " " + string(d.Kind) }

// countingOf returns the places where differences count.
func countingOf(c compare.Comparison) map[string]bool {
	out := map[string]bool{}
	for i := range c.Differences {
		if d := &c.Differences[i]; d.Suppressed.By == "" {
			out[differenceKey(d)] = true
		}
	}
	return out
}

func one01(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func (d *dryRun) conclude() {
	d.Issues = []IssueChange{}
	for _, i := range d.issues {
		d.Vanish += one01(i.Pairs.Before > 0 && i.Pairs.After == 0)
		d.Appear += one01(i.Pairs.Before == 0 && i.Pairs.After > 0)
		if len(i.Examples) > 0 {
			d.Issues = append(d.Issues, *i)
		}
	}
	slices.SortFunc(d.Issues, func(a, b IssueChange) int {
		moved := func(i IssueChange) int { return max(i.Pairs.Before-i.Pairs.After, i.Pairs.After-i.Pairs.Before) }
		return cmp.Or(cmp.Compare(moved(b), moved(a)), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	d.Summary = d.words()
}

// words says what would become of the divergences and issues.
func (d *DryRun) words() string {
	var parts []string
	if d.Hidden > 0 || d.Revealed == 0 {
		parts = append(parts, fmt.Sprintf("would hide %s of %s divergences", grouped(d.Hidden), grouped(d.Of)))
	}
	if d.Revealed > 0 {
		parts = append(parts, fmt.Sprintf("would reveal %s", grouped(d.Revealed)))
	}
	if d.Vanish > 0 {
		parts = append(parts, several(d.Vanish, "issue vanishes", "issues vanish"))
	}
	if d.Appear > 0 {
		parts = append(parts, several(d.Appear, "issue appears", "issues appear"))
	}
	if d.Unjudged > 0 {
		parts = append(parts, several(d.Unjudged, "pair cannot be judged again", "pairs cannot be judged again")+", since what was redacted would have to be weighed")
	}
	return strings.Join(parts, ", ")
}

func several(n int, single, plural string) string {
	if n == 1 {
		return "1 " + single
	}
	return grouped(n) + " " + plural
}

// grouped writes a number with a blank between thousands.
func grouped(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + " " + text[i:]
	}
	return text
}
