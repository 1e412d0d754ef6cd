package compare

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"parallax"
	"parallax/internal/body"
)

// ComparerVersion is part of every rules hash. It rises whenever the comparison
// itself may judge the same pair otherwise, so that evidence of both judgements
// is never added up.
const ComparerVersion = 2

// Rule is one rule as configuration writes it. It says where it applies
// (Endpoint and Path) and what differences there mean; the package comment has
// every kind. A rule may be of several kinds: each of them takes differences away
// by itself, but Expect, which the others narrow.
type Rule struct {
	Endpoint  string            `yaml:"endpoint,omitempty" json:",omitempty" doc:"where it applies: an endpoint as in reports, a beginning with * at its end such as GET *, or nothing for all"`
	Path      string            `yaml:"path" json:",omitempty" doc:"what it is about: a path such as $.items[*].price (RFC 9535), status, header:NAME, cookie:NAME, trailer:NAME, text or body"`
	Ignore    bool              `yaml:"ignore,omitempty" json:",omitempty" doc:"differences there, and below, do not count"`
	Tolerance *Tolerance        `yaml:"tolerance,omitempty" json:",omitempty" doc:"numbers there, also in texts on both sides, may differ by so much"`
	Number    string            `yaml:"number,omitempty" json:",omitempty" enum:"text" doc:"text: the spelling of numbers counts, 1 is not 1.0"`
	Time      *Time             `yaml:"time,omitempty" json:",omitempty" doc:"times there may lie so far apart"`
	Class     string            `yaml:"class,omitempty" json:",omitempty" doc:"both values must look like this: uuid, timestamp, date, url, email, ip, number, integer, base64, hex or jwt; which ones they are does not count"`
	Regex     string            `yaml:"regex,omitempty" json:",omitempty" doc:"both values must match this expression (RE2) as a whole; which ones they are does not count"`
	Enum      map[string]string `yaml:"enum,omitempty" json:",omitempty" doc:"the candidate's words for the primary's, such as {ACTIVE: active}"`
	Null      Words             `yaml:"null,omitempty" json:",omitempty" doc:"what null is equal to: missing, empty, or both; empty are \"\", [] and {}"`
	Text      Words             `yaml:"text,omitempty" json:",omitempty" doc:"what does not count in texts: case, space, or both"`
	URL       *URL              `yaml:"url,omitempty" json:",omitempty" doc:"values are addresses, compared by their parts, queries in any order"`
	Decode    string            `yaml:"decode,omitempty" json:",omitempty" doc:"texts there are documents: json, ndjson, xml, form, jwt or text, perhaps after codings such as base64+gzip+json; with path body: how bodies are read, whatever their content type says, or sniff"`
	Move      *Move             `yaml:"move,omitempty" json:",omitempty" doc:"the candidate has this value elsewhere, and it is compared there"`
	Expect    string            `yaml:"expect,omitempty" json:",omitempty" enum:"any,changed,type,missing,extra" doc:"a difference of this kind must be there; where it is not, that is a divergence"`
	Array     Array             `yaml:"array,omitempty" json:",omitzero" doc:"how arrays there are compared: list, set, multiset or {key: [NAME]}"`
	Normal    []int             `yaml:"normal,omitempty" json:",omitempty" doc:"with path status: 5xx statuses that are answers and not failures"`
	Compare   bool              `yaml:"compare,omitempty" json:",omitempty" doc:"with path header:NAME: compare this header although it is in the catalogue of volatile ones"`
	Reason    string            `yaml:"reason,omitempty" json:",omitempty" doc:"why the difference is meant"`
	Owner     string            `yaml:"owner,omitempty" json:",omitempty" doc:"who answers for the rule"`
	Expires   string            `yaml:"expires,omitempty" json:",omitempty" doc:"last day (UTC) on which the rule applies, such as 2027-01-31"`
}

// Rules is a compiled set of rules. It does not change and may be shared; nil is
// the set without rules.
type Rules struct {
	rules     []*rule
	versions  []*rule // of headers that name versions: [Rules.WithVersionHeaders]
	catalogue []byte
	version   string
	known     *Messages
}

// rule is a rule ready for use. Only one of the ways to name a place is set.
type rule struct {
	index    int
	source   Rule
	encoded  []byte // what is hashed
	text     string // for people: which rule took a difference away
	key      string // what it is counted by: [Rule.Key]
	place    placeKind
	name     string     // of a header, cookie or trailer, in lower case; "" for all of them
	path     *body.Path // for placeJSON
	abs, rel *body.Decimal
	opens    *body.Decoding // how texts are opened
	regex    *regexp.Regexp // matches whole values
	keys     [][]body.Step  // the way from an element to each part of its key
	steps    []body.Step    // the way to the path's place if it names one, else nil
	leaves   bool           // built in: the header of that name is left out of the comparison
	row      *rule          // for placeRow: the rule as it applies to the document that a row is

	// Where a value has moved to: a place like the rule's, and in documents what
	// both begin with and how they go on.
	to         *rule
	anchor     *body.Path
	from, onto []body.Step
	expires    time.Time // first moment at which it no longer applies; zero for never
}

// maxRules is how many rules a set may have: an exchange is compared by all of its
// endpoint, and [Lint] looks at each beside each.
const maxRules = 1000

// Compile checks rules and makes them ready for use. It returns every fault
// there is, each with the path from the list of rules, such as [2].path; the
// compiled set then holds the rules without fault.
func Compile(rules []Rule) (*Rules, []parallax.Fault) {
	out := &Rules{catalogue: catalogueText()}
	var faults []parallax.Fault
	if len(rules) > maxRules {
		faults = append(faults, parallax.Fault{Text: fmt.Sprintf("there are %d rules, and %d at most", len(rules), maxRules), Hint: "let one rule name several places, such as $.items[*].price or $..updated_at"})
		rules = rules[:maxRules]
	}
	for i, source := range rules {
		r, wrong := compileRule(i, source)
		faults = append(faults, parallax.Under(fmt.Sprintf("[%d]", i), wrong)...)
		if len(wrong) == 0 {
			out.rules = append(out.rules, r)
		}
	}
	out.setVersion()
	return out, faults
}

// With returns the set as a part of something larger that decides how exchanges are
// compared, such as the identifiers of a service: of another version of that, all
// hashes are others. Without a version it is the set itself.
func (r *Rules) With(what, version string) *Rules {
	if version == "" {
		return r
	}
	out := *r
	out.catalogue = fmt.Appendf(slices.Clone(r.catalogue), "%s %s\n", what, version)
	out.setVersion()
	return &out
}

// WithVersionHeaders returns the set for legs that name their versions in headers. Two versions
// name themselves differently, so these are left out of the comparison like the catalogue's
// ([Volatile]), by all hashes; a rule with compare: true takes one back.
func (r *Rules) WithVersionHeaders(names ...string) *Rules {
	lower := map[string]bool{}
	for _, name := range names {
		if name != "" {
			lower[strings.ToLower(name)] = true
		}
	}
	if len(lower) == 0 {
		return r
	}
	sorted := slices.Sorted(maps.Keys(lower))
	out := *r.With("versions", strings.Join(sorted, " "))
	out.versions = nil
	for _, name := range sorted {
		out.versions = append(out.versions, &rule{index: -1, place: placeHeader, name: name, leaves: true})
	}
	return &out
}

// Version is a short hash over all rules, what is known of protobuf messages, the
// catalogue of volatile headers and the comparer's version.
func (r *Rules) Version() string {
	if r == nil {
		return hashRules(catalogueText(), nil, "")
	}
	return r.version
}

// Hash is a short hash over everything that may decide how exchanges of an
// endpoint are compared: its rules in their order, expired ones included, its
// protobuf message, the catalogue and the comparer's version.
func (r *Rules) Hash(endpoint string) string {
	return r.hash(endpoint, func(each *rule) bool { return each.appliesTo(endpoint) })
}

// HashAt is a short hash over everything that decides how an exchange of an
// endpoint that was received at a time is compared: the endpoint's rules that are
// in force then, in their order, the catalogue and the comparer's version.
// Evidence is kept apart by it, so that a rule that expires starts new evidence.
func (r *Rules) HashAt(endpoint string, at time.Time) string {
	return r.hash(endpoint, func(each *rule) bool { return each.appliesTo(endpoint) && each.inForce(at) })
}

func (r *Rules) hash(endpoint string, use func(*rule) bool) string {
	if r == nil {
		return r.Version()
	}
	var rules []*rule
	for _, each := range r.rules {
		if use(each) {
			rules = append(rules, each)
		}
	}
	return hashRules(r.catalogue, rules, r.known.hash(endpoint))
}

// catalogueText is what the comparison goes by besides rules, as one text.
func catalogueText() []byte { return fmt.Appendf(nil, "%d\n%v\n", ComparerVersion, Volatile) }

func hashRules(catalogue []byte, rules []*rule, messages string) string {
	h := sha256.New()
	h.Write(catalogue)
	for _, r := range rules {
		h.Write(r.encoded)
	}
	h.Write([]byte(messages))
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// forExchange returns the rules that apply to an endpoint at a time.
func (r *Rules) forExchange(endpoint string, at time.Time) []*rule {
	if r == nil {
		return nil
	}
	out := slices.Clone(r.versions)
	for _, each := range r.rules {
		if each.appliesTo(endpoint) && each.inForce(at) {
			out = append(out, each)
		}
	}
	return out
}

// Normal reports whether a 5xx status is declared an answer, and no failure, of an endpoint
// at a time. No rules declare none.
func (r *Rules) Normal(endpoint string, at time.Time, status int) bool {
	return normal(r.forExchange(endpoint, at), status)
}

// appliesTo reports whether the rule's endpoint pattern takes in an endpoint.
func (r *rule) appliesTo(endpoint string) bool {
	pattern := r.source.Endpoint
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(endpoint, prefix)
	}
	return pattern == "" || pattern == endpoint
}

// inForce reports whether the rule has not expired at a time.
func (r *rule) inForce(at time.Time) bool { return r.expires.IsZero() || at.Before(r.expires) }

func compileRule(index int, source Rule) (*rule, []parallax.Fault) {
	r := &rule{index: index, source: source}
	var faults []parallax.Fault
	fault := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	if i := strings.IndexByte(source.Endpoint, '*'); i >= 0 && i != len(source.Endpoint)-1 {
		fault("endpoint", "a * stands at the end only", "write a beginning such as GET /orders/*")
	}
	if f := r.setPlace(source.Path); f != nil {
		faults = append(faults, *f)
	}
	if r.place == placeRow {
		faults = append(faults, r.setRow()...)
	} else {
		faults = append(faults, r.checkDeeds()...)
		faults = append(faults, r.setDeeds()...)
	}
	if source.Expires != "" {
		day, err := time.Parse(time.DateOnly, source.Expires)
		if err != nil {
			fault("expires", fmt.Sprintf("%.40q is not a day", source.Expires), "write it like 2027-01-31")
		}
		r.expires = day.AddDate(0, 0, 1)
	}
	r.text, r.key = ruleText(index, source), source.Key()
	line, _ := json.Marshal(source) // texts, numbers and booleans always encode
	r.encoded = append(line, '\n')
	if r.row != nil {
		r.row.text, r.row.key, r.row.encoded, r.row.expires = r.text, r.key, r.encoded, r.expires
	}
	return r, faults
}

// setPlace reads what the rule is about.
func (r *rule) setPlace(text string) *parallax.Fault {
	head, name, named := strings.Cut(text, ":")
	switch kind := placeKind(head); {
	case text == "":
		return &parallax.Fault{Path: "path", Text: "a rule needs a path", Hint: placeHint}
	case strings.HasPrefix(text, "$"):
		path, err := body.ParsePath(text)
		var wrong *body.PathError
		if errors.As(err, &wrong) {
			return &parallax.Fault{Path: "path", Text: fmt.Sprintf("column %d: %s", wrong.Column, wrong.Text)}
		}
		r.place, r.path = placeJSON, path
		if steps, one := path.Steps(); one {
			r.steps = steps
		}
	case named && (kind == placeHeader || kind == placeCookie || kind == placeTrailer):
		if name == "" {
			return &parallax.Fault{Path: "path", Text: fmt.Sprintf("%s: needs a name", kind), Hint: "write * for all of them"}
		}
		r.place = kind
		if name != "*" {
			r.name = name
		}
		if kind != placeCookie {
			r.name = strings.ToLower(r.name)
		}
	case named && kind == placeRow:
		r.place = placeRow
		if table, _, _ := strings.Cut(name, " "); table != "*" {
			r.name = table
		}
		if strings.HasPrefix(name, " ") || name == "" {
			return &parallax.Fault{Path: "path", Text: "effects: needs a table", Hint: "write effects:orders, effects:orders $.total, or effects:* for all tables"}
		}
	case kind == placeStatus || kind == placeText || kind == placeBody:
		r.place = kind
	default:
		hint := placeHint
		if word := nearest(head, placeWords); word != "" {
			hint = fmt.Sprintf("did you mean %q?", word)
		}
		return &parallax.Fault{Path: "path", Text: fmt.Sprintf("%.80q names no place", text), Hint: hint}
	}
	return nil
}

const placeHint = "write status, header:NAME, cookie:NAME, trailer:NAME, text, body, effects:TABLE, effects:TABLE $.COLUMN or a path such as $.items[*].price"

var placeWords = []string{"status", "header:", "cookie:", "trailer:", "text", "body", "effects:"}

// setRow compiles the rule as it applies to the document that a row is, its columns
// being the members.
func (r *rule) setRow() []parallax.Fault {
	_, path, below := strings.Cut(r.source.Path, " ")
	if !below {
		path = "$"
	}
	inside := r.source
	inside.Path, inside.Endpoint, inside.Expires = path, "", ""
	row, faults := compileRule(r.index, inside)
	row.source.Path = r.source.Path
	if row.source.Move != nil {
		faults = append(faults, parallax.Fault{Path: "move", Text: "does not work with effects", Hint: "name the candidate's column in effects.tables, under columns"})
	}
	r.row = row
	return faults
}

// ruleText names a rule for people: its position and what it says.
func ruleText(index int, source Rule) string {
	text := fmt.Sprintf("rules[%d] %s", index, source.Path)
	if source.Endpoint != "" {
		text = fmt.Sprintf("rules[%d] %s %s", index, source.Endpoint, source.Path)
	}
	if source.Reason != "" {
		text += ": " + source.Reason
	}
	if source.Owner != "" {
		text += " (" + source.Owner + ")"
	}
	return text
}
