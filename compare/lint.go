package compare

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"parallax/internal/body"
)

// Check names what a [Finding] is about.
type Check string

// The checks.
const (
	Broad     Check = "broad"     // it ignores so much that a broken candidate would pass
	Dead      Check = "dead"      // it took nothing away although it had the chance
	Shadowed  Check = "shadowed"  // another rule does the same or more at all its places
	Ambiguous Check = "ambiguous" // another rule says something else of the same place
	Expired   Check = "expired"   // it no longer applies
	Expiring  Check = "expiring"  // it will soon not apply any more
	NoOwner   Check = "no_owner"  // it ignores something, and nobody answers for it
	NoReason  Check = "no_reason" // it ignores something and does not say why
)

// Finding is something about a rule that its owner should know. It is not a fault:
// the rule works as written. One that is Refused is so bad that a configuration
// with it is not taken.
type Finding struct {
	Index   int    `json:"index"` // of the rule, from 0
	Path    string `json:"path"`  // from the list of rules, such as [2].path
	Check   Check  `json:"check"`
	Refused bool   `json:"refused"`
	Text    string `json:"text"`
	Hint    string `json:"hint"`
}

// ExpiresSoon is how long before its end a rule is said to be about to expire.
const ExpiresSoon = 14 * 24 * time.Hour

// Lint looks through rules for what their owners should know, at a time. Rules
// with faults, which [Compile] reports, are left out. Findings come in the order
// of the rules.
func Lint(rules []Rule, at time.Time) []Finding {
	compiled, _ := Compile(rules)
	l := linter{rules: compiled.rules, at: at}
	for i, r := range l.rules {
		if l.r, l.ambiguous = r, 0; !l.life() {
			continue
		}
		l.broad()
		for _, other := range l.rules[:i] {
			if other.inForce(at) && l.against(other) {
				break
			}
		}
	}
	return l.found
}

// linter looks at one rule after the other.
type linter struct {
	rules []*rule
	at    time.Time
	r     *rule
	found []Finding

	ambiguous int // findings about r
}

// maxAmbiguous is how many earlier rules that say otherwise are named of one rule.
const maxAmbiguous = 5

func (l *linter) find(check Check, key, text, hint string) *Finding {
	path := fmt.Sprintf("[%d]", l.r.index)
	if key != "" {
		path += "." + key
	}
	l.found = append(l.found, Finding{Index: l.r.index, Path: path, Check: check, Text: text, Hint: hint})
	return &l.found[len(l.found)-1]
}

// life looks at who answers for the rule, why, and until when. It reports whether
// the rule is in force.
func (l *linter) life() bool {
	s := &l.r.source
	if !l.r.inForce(l.at) {
		l.find(Expired, "expires", "it does not apply any more since the end of "+s.Expires, "remove it, or give it a new day if the difference is still meant")
		return false
	}
	if left := l.r.expires.Sub(l.at); !l.r.expires.IsZero() && left <= ExpiresSoon {
		l.find(Expiring, "expires", fmt.Sprintf("it applies until the end of %s, %s from now; what it takes away counts then, and its endpoints begin with new evidence", s.Expires, days(left)),
			"give it a new day now if the difference is still meant then")
	}
	if s.Ignore && strings.TrimSpace(s.Reason) == "" {
		l.find(NoReason, "reason", "it ignores a difference and does not say why", "write in a sentence why the difference is meant")
	}
	if s.Ignore && strings.TrimSpace(s.Owner) == "" {
		l.find(NoOwner, "owner", "it ignores a difference and nobody answers for it", "name the team or person to ask")
	}
	return true
}

func days(d time.Duration) string {
	if n := int((d + 24*time.Hour - 1) / (24 * time.Hour)); n != 1 {
		return fmt.Sprintf("%d days", n)
	}
	return "a day"
}

// broad looks for rules that take whole parts of an answer out of the comparison.
func (l *linter) broad() {
	s := &l.r.source
	if !s.Ignore {
		return
	}
	everywhere := s.Endpoint == "" || s.Endpoint == "*"
	where := "of " + s.Endpoint
	if everywhere {
		where = "of every endpoint"
	}
	const hint = "name the fields that differ, such as $..updated_at, and the endpoint they are on"
	switch {
	case l.r.place == placeBody || l.r.place == placeText || l.r.place == placeJSON && coversDocument(l.r):
		l.find(Broad, "path", "it ignores the whole body "+where+", so no wrong value in it is ever found", hint).Refused = everywhere
	case l.r.row != nil && coversDocument(l.r.row):
		table := l.r.name
		if table == "" {
			table = "all tables"
		}
		l.find(Broad, "path", "it ignores whatever is written to "+table+" "+where+", so no wrong row is ever found", "name the columns that differ, such as effects:orders $.updated_at").Refused = everywhere && l.r.name == ""
	case l.r.place == placeStatus:
		l.find(Broad, "path", "it ignores the status "+where+", so an error in place of an answer is not found by it",
			"write normal: [503] for a 5xx that is an answer, or move the endpoint to a rule of its own").Refused = everywhere
	case l.r.name == "" && (l.r.place == placeHeader || l.r.place == placeCookie || l.r.place == placeTrailer):
		l.find(Broad, "path", fmt.Sprintf("it ignores every %s %s", l.r.place, where), fmt.Sprintf("name the %ss that differ, one rule each", l.r.place)).Refused = everywhere && l.r.place == placeHeader
	}
}

// coversDocument reports whether a path leaves nothing of a document but, at most,
// its root's type.
func coversDocument(r *rule) bool {
	members, err := body.ParsePath("$.*")
	return r.path.Covers(nil) || err == nil && r.path.Contains(members)
}

// against compares the rule with an earlier one. It reports whether nothing more
// can be said of it.
func (l *linter) against(other *rule) (done bool) {
	r := l.r
	if !endpointsMeet(r, other) || r.place != other.place && other.place != placeBody {
		return false
	}
	if outlives(other, r) && endpointIncludes(other, r) {
		if what := l.shadows(other); what != "" {
			l.find(Shadowed, "path", fmt.Sprintf("it changes nothing: rules[%d] %s %s", other.index, other.source.Path, what),
				fmt.Sprintf("remove it, or narrow rules[%d]", other.index))
			return true
		}
	}
	if what := contradiction(r, other); what != "" {
		l.ambiguous++
		l.find(Ambiguous, "path", fmt.Sprintf("rules[%d] %s %s", other.index, other.source.Path, what), "let each place have one rule")
	}
	return l.ambiguous == maxAmbiguous
}

// shadows says how an earlier rule makes this one useless; "" if it does not.
func (l *linter) shadows(other *rule) string {
	r := l.r
	switch {
	case other.source.Ignore && includesPlace(other, r, true) && onlySuppresses(&r.source): // places are told apart faster than deeds
		return "ignores all its places already"
	case includesPlace(other, r, false) && reflect.DeepEqual(deeds(other.source), deeds(r.source)):
		return "says the same of all its places"
	}
	return ""
}

// deeds returns what a rule does, without where, why, by whom and until when.
func deeds(s Rule) Rule {
	s.Endpoint, s.Path, s.Reason, s.Owner, s.Expires = "", "", "", "", ""
	return s
}

// onlySuppresses reports whether all a rule does is take differences away, or make
// some where an earlier rule takes them away.
func onlySuppresses(s *Rule) bool {
	rest := deeds(*s)
	rest.Ignore, rest.Tolerance, rest.Number, rest.Time, rest.Class, rest.Regex = false, nil, "", nil, "", ""
	rest.Enum, rest.Null, rest.Text, rest.URL = nil, nil, nil, nil
	return reflect.DeepEqual(rest, Rule{})
}

// weighs reports whether a rule looks at what values say and not only at whether
// they are equal.
func (s *Rule) weighs() bool {
	return s.Tolerance != nil || s.Number != "" || s.Time != nil || s.Class != "" || s.Regex != "" || s.Enum != nil ||
		len(s.Text) > 0 || s.URL != nil || s.Decode != ""
}

// contradiction says what an earlier rule says otherwise of a place; "" if
// nothing. Of arrays the last rule holds, so a later one for fewer places is an
// exception and not a contradiction.
func contradiction(r, other *rule) string {
	if r.row != nil && other.row != nil && (r.name == "" || other.name == "" || r.name == other.name) {
		r, other = r.row, other.row
	}
	if r.place != placeJSON || other.place != placeJSON || !r.path.Meets(other.path) {
		return ""
	}
	a, b := other.source.Array, r.source.Array
	if a.Mode != "" && b.Mode != "" && !reflect.DeepEqual(a, b) && !(strictly(other, r) && endpointIncludes(other, r)) {
		return fmt.Sprintf("compares arrays there as %v, this rule as %v; the last one holds", a, b)
	}
	switch mine, theirs := &r.source, &other.source; {
	case mine.Number != "" && theirs.Tolerance != nil, mine.Tolerance != nil && theirs.Number != "":
		return "and this rule: one lets numbers differ, the other wants even their spelling the same"
	case mine.Expect != "" && theirs.Expect != "" && mine.Expect != theirs.Expect:
		return fmt.Sprintf("expects %s there, this rule %s", theirs.Expect, mine.Expect)
	}
	for _, word := range slices.Sorted(maps.Keys(r.source.Enum)) {
		means := r.source.Enum[word]
		if otherwise, both := other.source.Enum[word]; both && otherwise != means {
			return fmt.Sprintf("takes %q for the primary's %q, this rule %q", otherwise, word, means)
		}
	}
	return ""
}

// strictly reports whether a rule names all the places of another and more.
func strictly(r, other *rule) bool {
	return r.path.SelectsAll(other.path) && !other.path.SelectsAll(r.path)
}

// outlives reports whether a rule is in force as long as another.
func outlives(r, other *rule) bool {
	return r.expires.IsZero() || !other.expires.IsZero() && !r.expires.Before(other.expires)
}

// endpointIncludes reports whether a rule applies to every endpoint that another
// does.
func endpointIncludes(r, other *rule) bool {
	mine, theirs := r.source.Endpoint, other.source.Endpoint
	if prefix, ok := strings.CutSuffix(mine, "*"); ok {
		return strings.HasPrefix(theirs, prefix) || prefix == ""
	}
	return mine == "" || mine == theirs
}

// endpointsMeet reports whether both rules may apply to one endpoint.
func endpointsMeet(a, b *rule) bool {
	x, wideX := strings.CutSuffix(a.source.Endpoint, "*")
	y, wideY := strings.CutSuffix(b.source.Endpoint, "*")
	switch {
	case a.source.Endpoint == "" || b.source.Endpoint == "":
		return true
	case wideX && wideY:
		return strings.HasPrefix(x, y) || strings.HasPrefix(y, x)
	case wideX:
		return strings.HasPrefix(y, x)
	case wideY:
		return strings.HasPrefix(x, y)
	}
	return x == y
}

// includesPlace reports whether a rule is about every place of another, those
// below included where that is asked for.
func includesPlace(r, other *rule, below bool) bool {
	switch {
	case r.place == placeBody:
		return below && (other.place == placeBody || other.place == placeText || other.place == placeJSON)
	case r.place != other.place:
		return false
	case r.row != nil:
		return (r.name == "" || r.name == other.name) && includesPlace(r.row, other.row, below)
	case r.place == placeJSON && below:
		return r.path.Contains(other.path)
	case r.place == placeJSON:
		return r.path.SelectsAll(other.path)
	}
	return r.name == "" || r.name == other.name
}
