package compare

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"time"

	"parallax"
)

// Input is what a comparison goes by besides the exchange. Nothing in it is
// changed.
type Input struct {
	Rules    *Rules       // nil: no rules
	Noise    *NoiseModel  // what is known from earlier exchanges; nil: nothing
	Accepted *Acceptances // what people took away; nil: nothing
	IDs      *Identifiers // what is known of values that each leg makes up; nil: nothing
	Effects  *Effects     // what effects are compared by; nil: they are not

	// Stored says that the exchange was redacted before. Where a rule weighs values
	// of which one was, nothing can be said: such differences do not count, and
	// without one that does the exchange is not comparable, [ReasonRedacted].
	Stored bool

	// At is the moment whose rules are in force; zero: when the exchange was received.
	At time.Time
}

// at is the moment whose rules are in force for an exchange.
func (in *Input) at(x *parallax.Exchange) time.Time {
	if in.At.IsZero() {
		return x.Received
	}
	return in.At
}

// Reasons why an exchange is not comparable.
const (
	ReasonPrimaryFailed = "primary_failed"      // no complete answer, or a 5xx that is not declared normal
	ReasonCallerGone    = "caller_gone"         // the caller left before an answer was complete
	ReasonTruncated     = "truncated"           // a body is longer than what was kept of it, or comparing it takes too many steps
	ReasonNotAsked      = "not_asked"           // a leg was not asked
	ReasonUnmapped      = "unmapped_identifier" // a value that a leg made up and that nobody knows the other leg's partner of: in a shadow request, in a row that another exchange made, or in an answer without other differences
	ReasonLag           = "state_gap"           // the candidate's state, or the secondary's, lacks writes of this user, or to what this is about
	ReasonEffects       = "effects_unknown"     // nobody knows all that a leg did to its database: what it committed was not read for a while, or too many exchanges waited
	ReasonInherited     = "inherited"           // its effects differ in rows only that differed before: the first exchange that did says why
	ReasonTransient     = "transient"           // asked again, the primary itself answered otherwise: its state had moved
	ReasonNoSecondary   = "no_secondary"        // lines or elements differ that are usually noise, and no secondary answered that could tell
)

// ReasonRedacted is why a stored pair cannot be judged again: a rule would have to
// weigh what was redacted. Only [Input.Stored] leads to it.
const ReasonRedacted = "redacted"

// Reasons lists every reason why traffic is not comparable.
var Reasons = []string{ReasonPrimaryFailed, ReasonCallerGone, ReasonTruncated, ReasonNotAsked, ReasonUnmapped, ReasonLag, ReasonEffects, ReasonInherited, ReasonTransient, ReasonNoSecondary}

// Compare compares what primary and candidate answered. It is a function of its
// arguments alone and does not change them.
//
// What the candidate answered is judged against the primary whichever of them is
// live. A candidate without a complete answer where the primary has one has
// diverged. If the secondary answered too, it is compared with the primary by
// the same rules first: what differs there is noise, see [NoiseModel].
func Compare(x *parallax.Exchange, in Input) Comparison {
	p, c := x.Legs[parallax.Primary], x.Legs[parallax.Candidate]
	rules := in.Rules.forExchange(x.Endpoint, in.at(x))
	reason := notAnswered(p, c)
	if reason == "" && len(x.Unmapped) > 0 {
		reason = ReasonUnmapped // whatever was answered, or what is compared would depend on it
	}
	if reason == "" && x.Lag != "" {
		reason = ReasonLag // likewise
	}
	if reason == "" && effectsUnknown(p, c, in.Effects) {
		reason = ReasonEffects // likewise
	}
	if reason != "" {
		return Comparison{Outcome: NotComparable, Reason: reason, Sample: NoiseSample{Endpoint: x.Endpoint}, Rows: unjudged(x, in, rules)}
	}
	out := Comparison{
		PrimaryFailed:   failed(p, rules),
		CandidateFailed: failed(c, rules),
		Sample:          NoiseSample{Endpoint: x.Endpoint},
	}
	if out.PrimaryFailed {
		out.Outcome, out.Reason = NotComparable, ReasonPrimaryFailed
		return out
	}
	unread := refusedCoding(p, c) // Translating takes codings off.
	x, names := in.IDs.translated(x)
	p, c = x.Legs[parallax.Primary], x.Legs[parallax.Candidate]
	if x.Legs[parallax.Secondary] == nil && unread == nil && !names.incomplete() && in.Effects.none(p, c) && alike(p, c, rules) {
		// Fast path: a match needs nobody who keeps differences (BenchmarkCompare/equal).
		return out
	}
	known := in.Rules.answers(x.Endpoint, p.Request.Target)
	noise := listen(x, in.Noise, rules, known)
	find := &finder{endpoint: x.Endpoint, id: x.ID, received: x.Received, rules: rules, noise: noise, stored: in.Stored,
		accepted: in.Accepted.inForce(x.Endpoint, x.Received), names: names, answers: known, incomplete: names.incomplete()}
	if unread != nil {
		find.add(&place{kind: placeHeader, name: "content-encoding"}, Changed, unread[0], unread[1])
	}
	possible := compareCalls(p, c, find)
	if c.Err.Kind == parallax.NoError {
		compareEffects(x, in.Effects, find)
	} else {
		find.rowChanges = unjudged(x, in, rules)
	}
	out.Sample = noise.sample(possible && c.Err.Kind == parallax.NoError && !find.incomplete)
	find.conclude(&out, possible)
	return out
}

// notAnswered returns why nothing can be said about a pair at all, "" if
// something can.
func notAnswered(p, c *parallax.Call) string {
	for _, call := range []*parallax.Call{p, c} {
		if call == nil || call.Err.Kind == parallax.NotAsked {
			return ReasonNotAsked
		}
	}
	if p.Err.Kind == parallax.CallerGone || c.Err.Kind == parallax.CallerGone {
		return ReasonCallerGone
	}
	return ""
}

// failed reports whether a leg gave no complete answer, or a 5xx that no rule
// declares normal.
func failed(call *parallax.Call, rules []*rule) bool {
	if call.Err.Kind != parallax.NoError {
		return true
	}
	status := call.Response.Status
	return status >= 500 && !normal(rules, status)
}

func normal(rules []*rule, status int) bool {
	return slices.ContainsFunc(rules, func(r *rule) bool { return slices.Contains(r.source.Normal, status) })
}

// listen compares the secondary with the primary and returns what is noise. A
// secondary that failed says nothing; one with another status says nothing about
// the rest of the answer.
func listen(x *parallax.Exchange, model *NoiseModel, rules []*rule, known answers) *excuses {
	noise := &excuses{endpoint: x.Endpoint, model: model}
	p, s := x.Legs[parallax.Primary], x.Legs[parallax.Secondary]
	if s == nil || failed(s, rules) {
		return noise
	}
	noise.heard = true
	find := &finder{endpoint: x.Endpoint, received: x.Received, rules: rules, noise: noise, listen: true, answers: known}
	if p.Response.Status != s.Response.Status {
		compareStatus(p.Response.Status, s.Response.Status, find)
		return noise
	}
	possible := compareCalls(p, s, find)
	noise.judged = possible && !find.incomplete && !noise.incomplete
	noise.masks = nil // gathered while there were fewer spots
	return noise
}

// alike reports whether two calls have complete answers that differ in nothing
// that is compared. Answers that are not alike may still match.
func alike(p, c *parallax.Call, rules []*rule) bool {
	a, b := &p.Response, &c.Response
	return p.Err.Kind == parallax.NoError && c.Err.Kind == parallax.NoError && a.Status == b.Status && !asserting(rules) &&
		sameFields(a.Headers, b.Headers, rules) && sameFields(a.Trailers, b.Trailers, rules) && sameBodies(a, b) && !readOtherwise(a, b)
}

// compareCalls compares two calls, of which the first has a complete answer. It
// reports whether the bodies could be compared.
func compareCalls(p, c *parallax.Call, find *finder) (possible bool) {
	if c.Err.Kind != parallax.NoError {
		noAnswer(p, c, find)
		return true
	}
	a, b := &p.Response, &c.Response
	find.errors = a.Status >= 400 && b.Status >= 400
	compareStatus(a.Status, b.Status, find)
	compareHeaders(placeHeader, a.Headers, b.Headers, find)
	before := find.found
	if possible = compareBodies(a, b, find); possible {
		find.expectBody(before)
	}
	compareHeaders(placeTrailer, a.Trailers, b.Trailers, find)
	return possible
}

func compareStatus(p, c int, find *finder) {
	at := &place{kind: placeStatus}
	if p != c {
		find.add(at, Changed, statusSide(p), statusSide(c))
	} else if find.assertsAt(placeStatus) {
		find.agree(at, statusSide(p))
	}
}

// noAnswer reports that the second leg gave no answer where the first did.
func noAnswer(p, c *parallax.Call, find *finder) {
	kind := Failed
	if c.Err.Kind == parallax.Timeout {
		kind = TimedOut
	}
	text := c.Err.Kind.String()
	if c.Err.Text != "" {
		text += ": " + c.Err.Text
	}
	find.add(&place{kind: placeAnswer}, kind,
		side{text: strconv.AppendInt(nil, int64(p.Response.Status), 10), class: "answer"},
		side{text: []byte(text), class: c.Err.Kind.String()})
}

func statusSide(status int) side {
	text := strconv.Itoa(status)
	return side{text: []byte(text), class: text}
}

func summaryOf(text []byte) []byte { return summary(int64(len(text)), sha256.Sum256(text)) }

// conclude writes what was found into a comparison. A body that could not be
// compared, or noise that nobody could check, leaves the exchange undecided unless
// something else diverged.
func (f *finder) conclude(out *Comparison, possible bool) {
	out.Differences = f.sorted()
	out.Truncated, out.Uses, out.Unjudged = f.truncated, f.uses, f.unjudged
	out.Inherited, out.Rows = f.inherited, f.rowChanges
	out.Written = f.written
	out.Divergences, out.Noise, out.Ruled, out.Accepted = f.counting, f.noisy, f.ruled, f.excused
	switch {
	case f.counting > 0:
		out.Outcome = Diverged
	case !possible || f.incomplete:
		out.Outcome, out.Reason = NotComparable, ReasonTruncated
	case f.unmapped > 0:
		out.Outcome, out.Reason = NotComparable, ReasonUnmapped
	case f.inherited > 0:
		out.Outcome, out.Reason = NotComparable, ReasonInherited
	case f.unjudged > 0:
		out.Outcome, out.Reason = NotComparable, ReasonRedacted
	case f.noise != nil && f.noise.unsure:
		out.Outcome, out.Reason = NotComparable, ReasonNoSecondary
	}
}

// Bodies compares two bodies that are not part of an exchange, read as one
// format, by the rules that apply to an endpoint at a time. A side that cannot be
// read as the format is a difference of kind undecoded, on both sides the bytes
// are compared.
func Bodies(format Format, primary, candidate []byte, endpoint string, rules *Rules, at time.Time) Comparison {
	find := &finder{endpoint: endpoint, received: at, rules: rules.forExchange(endpoint, at), answers: rules.answers(endpoint, "")}
	read := content{format: format, known: find.answers}
	a, b := read, read
	a.text, b.text = primary, candidate
	a.mark, b.mark = markOf(format, "", primary), markOf(format, "", candidate)
	compareContents(a, b, find)
	find.expectBody(0)
	var out Comparison
	find.conclude(&out, true)
	return out
}
