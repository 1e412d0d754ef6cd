package compare

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"parallax"
	"parallax/internal/body"
)

// Bounds of what one comparison keeps. Differences that count end the walk at
// their bound; those that a rule or noise took away are still counted beyond it,
// so that they never hide one that counts.
const maxKept = 256 // differences that count, and as many that do not

// side is one value as a finder takes it.
type side struct {
	text  []byte
	class string // empty when there is no value
	whole []byte // the value itself where text is written otherwise
}

func (s side) value() []byte {
	if s.whole != nil {
		return s.whole
	}
	return s.text
}

// finder takes the differences of one pair of answers and judges each.
type finder struct {
	endpoint string
	id       parallax.ID   // of the exchange; zero where nothing is noted of it
	received time.Time     // when the request came
	later    time.Duration // by how much the other answer is known to be later
	rules    []*rule
	asked    asks     // by the rules; see asks
	asking   *rule    // that asks in vain for the difference taken now
	noise    *excuses // nil: nothing is noise
	listen   bool     // the pair is primary and secondary: what differs is noise
	probe    bool     // the pair is only tried: noise takes no notice
	errors   bool     // both answers are errors
	answers  answers  // what is known of them beforehand
	graphql  bool     // they are GraphQL's

	meter *meter // of steps

	p, c *body.Tree // the documents walked now, for duplicate names

	kept       []Difference
	found      int // differences of any kind
	counting   int // that count
	written    int // of those: in what was written to databases
	noisy      int
	ruled      int
	suppressed int  // kept although they do not count
	truncated  bool // not every difference is kept
	incomplete bool // not every difference was found
	limit      int  // of differences that count; 0 means maxKept
	uses       []RuleUse
	stored     bool                   // the answers were redacted before they came here
	accepted   map[string]Suppression // by fingerprint: what people took away
	excused    int                    // by it
	unjudged   int                    // differences that redaction left nobody able to judge
	names      *names
	row        *rowAt      // whose differences are taken; nil for those of answers
	inherited  int         // differences where rows differed before
	rowChanges []RowChange // of the rows that were compared
	unmapped   int         // differences between values of which nobody knows what they stand for
}

// full reports that no further difference is of use, or that no step is left to
// find one.
func (f *finder) full() bool { return f.counting >= cmp.Or(f.limit, maxKept) || f.meter.spent() }

// stop notes that something was left out because the finder is full.
func (f *finder) stop() { f.truncated, f.incomplete = true, true }

// add takes one difference.
func (f *finder) add(at *place, kind Kind, primary, candidate side) {
	if f.full() {
		f.stop()
		return
	}
	f.found++
	f.meter.tries(f.triesAtDifference(), at)
	name, isName := f.names.judge(at, kind, primary, candidate)
	if f.row != nil {
		name, isName = f.row.judge(at, kind, candidate)
	}
	if isName {
		kind, candidate.text = name.kind, name.candidate
		if kind == Changed {
			primary.class, candidate.class = identified, identified
		}
	}
	why, heard := f.excuse(at, kind, primary, candidate, name)
	if heard {
		return
	}
	if f.row != nil {
		why = f.row.drift.take(f, at, why)
	}
	if why.By == "" {
		why.Detail = name.why
		if f.asking != nil {
			why.Detail = f.asking.text
		}
		f.counting++
		if f.row != nil {
			f.written++
		}
	} else if f.suppressed++; f.suppressed > maxKept {
		f.truncated = true
		return
	}
	if !f.listen {
		f.keep(at, kind, primary, candidate, why)
	}
}

// excuse says why a difference does not count, and counts that; the zero value means
// that it does. A difference that is noise itself is only heard.
func (f *finder) excuse(at *place, kind Kind, primary, candidate side, name named) (why Suppression, heard bool) {
	if r := f.ruleFor(at, kind, primary, name.side(candidate)); r != nil {
		f.ruled++
		f.used(r)
		return Suppression{By: "rule", Detail: r.text}, false
	}
	if f.listen && !f.probe {
		f.noise.hear(at, f.occurrence(at), kind, primary, candidate)
		return why, true
	}
	if name.unknown {
		f.unmapped++
		return Suppression{By: "identifier", Detail: name.why}, false
	}
	if why = f.unread(at, primary, candidate); why.By != "" {
		f.unjudged++
		return why, false
	}
	if !f.breaks(at, kind, primary, name.side(candidate)) {
		if why = f.noise.excuse(at, f.occurrence(at), kind, primary, candidate, f.probe); why.By != "" {
			f.noisy++
			return why, false
		}
	}
	if why = f.accept(at, kind, primary, candidate); why.By != "" {
		f.excused++
	}
	return why, false
}

func (f *finder) keep(at *place, kind Kind, primary, candidate side, why Suppression) {
	normal, class := at.normal(), cmp.Or(f.graphqlClass(at, kind, primary, candidate), causeOf(kind, primary, candidate))
	d := Difference{
		Path: cutTo([]byte(at.path()+f.occurrence(at)), maxPathBytes), Normal: cutTo([]byte(normal), maxPathBytes), Kind: kind,
		Primary: cut(primary.text), Candidate: cut(candidate.text),
		Class: class, Suppressed: why,
		Fingerprint: fingerprint(f.endpoint, kind, normal, class),
		Cause:       fingerprint("", kind, normal, class),
	}
	if f.row != nil {
		f.row.drift.rollUp(at, &d)
	}
	f.kept = append(f.kept, d)
}

// sorted returns what was kept, by path, then kind.
func (f *finder) sorted() []Difference {
	slices.SortStableFunc(f.kept, func(a, b Difference) int {
		if n := naturally(a.Path, b.Path); n != 0 {
			return n
		}
		return strings.Compare(string(a.Kind), string(b.Kind))
	})
	return f.kept
}

// fingerprint is "1-" and the first 16 hex digits of SHA-256 over the parts, each
// ended by a zero byte.
func fingerprint(endpoint string, kind Kind, normal, class string) string {
	h := sha256.New()
	for _, part := range []string{endpoint, string(kind), normal, class} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return "1-" + hex.EncodeToString(h.Sum(nil)[:8])
}
