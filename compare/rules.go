package compare

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"parallax"
	"parallax/internal/body"
)

// ComparerVersion is part of every rules hash. It rises whenever the comparison
// itself may judge the same pair otherwise, so that evidence of both judgements
// is never added up.
const ComparerVersion = 1

// Rule is one rule as configuration writes it. It says where it applies
// (Endpoint and Path) and does one or more of: ignore, tolerance, array, normal,
// compare.
type Rule struct {
	Endpoint  string     `yaml:"endpoint" json:",omitempty" doc:"where it applies: an endpoint as in reports, a beginning with * at its end such as GET *, or nothing for all"`
	Path      string     `yaml:"path" json:",omitempty" doc:"what it is about: a path such as $.items[*].price (RFC 9535), status, header:NAME, cookie:NAME, trailer:NAME, text or body"`
	Ignore    bool       `yaml:"ignore" json:",omitempty" doc:"differences there, and below, do not count"`
	Tolerance *Tolerance `yaml:"tolerance" json:",omitempty" doc:"numbers there may differ by so much"`
	Array     Array      `yaml:"array" json:",omitempty" enum:"list,set" doc:"how arrays there are compared"`
	Normal    []int      `yaml:"normal" json:",omitempty" doc:"with path status: 5xx statuses that are answers and not failures"`
	Compare   bool       `yaml:"compare" json:",omitempty" doc:"with path header:NAME: compare this header although it is in the catalogue of volatile ones"`
	Reason    string     `yaml:"reason" json:",omitempty" doc:"why the difference is meant"`
	Owner     string     `yaml:"owner" json:",omitempty" doc:"who answers for the rule"`
	Expires   string     `yaml:"expires" json:",omitempty" doc:"last day (UTC) on which the rule applies, such as 2027-01-31"`
}

// LaterKeys are keys of a rule that are planned and refused as not supported
// yet, never ignored.
var LaterKeys = []string{"number", "time", "class", "regex", "enum", "null", "text", "decode", "move", "expect"}

// Tolerance is by how much two numbers may differ: Abs in their own unit, Rel as
// a share of the larger magnitude. Numbers within either are equal. Both are
// exact decimal numbers as written, zero or more.
type Tolerance struct {
	Abs string `yaml:"abs" json:",omitempty" doc:"largest difference, such as 0.01"`
	Rel string `yaml:"rel" json:",omitempty" doc:"largest difference as a share of the larger number, such as 0.001"`
}

// Array says how two arrays are compared: "list" aligns them in order (the
// default), "set" asks only that each element of one is in the other.
type Array string

// The array modes.
const (
	List Array = "list"
	Set  Array = "set"
)

// UnmarshalYAML reads list or set. A mapping such as {key: [sku]} is refused as
// not supported yet.
func (a *Array) UnmarshalYAML(n *yaml.Node) error {
	switch {
	case n.Kind == yaml.ScalarNode:
		return a.UnmarshalText([]byte(n.Value))
	case n.Kind == yaml.MappingNode && len(n.Content) == 2:
		return a.UnmarshalText([]byte(n.Content[0].Value))
	}
	return errors.New("array is one of list and set")
}

// UnmarshalText reads list or set.
func (a *Array) UnmarshalText(text []byte) error {
	switch mode := Array(text); mode {
	case List, Set:
		*a = mode
		return nil
	case "multiset", "key":
		return fmt.Errorf("array: %s is not supported yet; there are list and set", mode)
	}
	return fmt.Errorf("unknown array mode %.40q; there are list and set", text)
}

// Rules is a compiled set of rules. It does not change and may be shared; nil is
// the set without rules.
type Rules struct {
	rules     []*rule
	catalogue []byte
	version   string
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
	expires  time.Time // first moment at which it no longer applies; zero for never
}

// Compile checks rules and makes them ready for use. It returns every fault
// there is, each with the path from the list of rules, such as [2].path; the
// compiled set then holds the rules without fault.
func Compile(rules []Rule) (*Rules, []parallax.Fault) {
	out := &Rules{catalogue: catalogueText()}
	var faults []parallax.Fault
	for i, source := range rules {
		r, wrong := compileRule(i, source)
		faults = append(faults, parallax.Under(fmt.Sprintf("[%d]", i), wrong)...)
		if len(wrong) == 0 {
			out.rules = append(out.rules, r)
		}
	}
	out.version = hashRules(out.catalogue, out.rules)
	return out, faults
}

// Version is a short hash over all rules, the catalogue of volatile headers and
// the comparer's version.
func (r *Rules) Version() string {
	if r == nil {
		return hashRules(catalogueText(), nil)
	}
	return r.version
}

// Hash is a short hash over everything that may decide how exchanges of an
// endpoint are compared: its rules in their order, expired ones included, the
// catalogue and the comparer's version.
func (r *Rules) Hash(endpoint string) string {
	return r.hash(func(each *rule) bool { return each.appliesTo(endpoint) })
}

// HashAt is a short hash over everything that decides how an exchange of an
// endpoint that was received at a time is compared: the endpoint's rules that are
// in force then, in their order, the catalogue and the comparer's version.
// Evidence is kept apart by it, so that a rule that expires starts new evidence.
func (r *Rules) HashAt(endpoint string, at time.Time) string {
	return r.hash(func(each *rule) bool { return each.appliesTo(endpoint) && each.inForce(at) })
}

func (r *Rules) hash(use func(*rule) bool) string {
	if r == nil {
		return r.Version()
	}
	var rules []*rule
	for _, each := range r.rules {
		if use(each) {
			rules = append(rules, each)
		}
	}
	return hashRules(r.catalogue, rules)
}

// catalogueText is what the comparison goes by besides rules, as one text.
func catalogueText() []byte { return fmt.Appendf(nil, "%d\n%v\n", ComparerVersion, Volatile) }

func hashRules(catalogue []byte, rules []*rule) string {
	h := sha256.New()
	h.Write(catalogue)
	for _, r := range rules {
		h.Write(r.encoded)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// forExchange returns the rules that apply to an endpoint at a time.
func (r *Rules) forExchange(endpoint string, at time.Time) []*rule {
	if r == nil {
		return nil
	}
	var out []*rule
	for _, each := range r.rules {
		if each.appliesTo(endpoint) && each.inForce(at) {
			out = append(out, each)
		}
	}
	return out
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
	faults = append(faults, r.checkDeeds()...)
	if source.Tolerance != nil {
		faults = append(faults, r.setTolerance(*source.Tolerance)...)
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

const placeHint = "write status, header:NAME, cookie:NAME, trailer:NAME, text, body or a path such as $.items[*].price"

var placeWords = []string{"status", "header:", "cookie:", "trailer:", "text", "body"}

// checkDeeds reports a rule that does nothing, or something that cannot be done
// at its place.
func (r *rule) checkDeeds() []parallax.Fault {
	var faults []parallax.Fault
	s := r.source
	if !s.Ignore && s.Tolerance == nil && s.Array == "" && len(s.Normal) == 0 && !s.Compare {
		faults = append(faults, parallax.Fault{Text: "this rule does nothing", Hint: "add ignore: true, a tolerance, array, normal or compare"})
	}
	only := func(does bool, key string, at placeKind, where string) {
		if does && r.place != "" && r.place != at {
			faults = append(faults, parallax.Fault{Path: key, Text: "works only with a path " + where})
		}
	}
	only(s.Tolerance != nil, "tolerance", placeJSON, "that begins with $")
	only(s.Array != "", "array", placeJSON, "that begins with $")
	only(len(s.Normal) > 0, "normal", placeStatus, "status")
	only(s.Compare, "compare", placeHeader, "header:NAME")
	if s.Array != "" {
		if err := new(Array).UnmarshalText([]byte(s.Array)); err != nil {
			faults = append(faults, parallax.Fault{Path: "array", Text: err.Error()})
		}
	}
	for i, status := range s.Normal {
		if status < 500 || status > 599 {
			faults = append(faults, parallax.Fault{Path: fmt.Sprintf("normal[%d]", i), Text: fmt.Sprintf("%d is no failure anyway", status), Hint: "list statuses from 500 to 599"})
		}
	}
	return faults
}

func (r *rule) setTolerance(t Tolerance) []parallax.Fault {
	var faults []parallax.Fault
	read := func(key, text string) *body.Decimal {
		if text == "" {
			return nil
		}
		d, err := body.ParseDecimal([]byte(text))
		if err != nil || d.Negative() {
			faults = append(faults, parallax.Fault{Path: "tolerance." + key, Text: fmt.Sprintf("%.40q is not a number of zero or more", text), Hint: "write it like 0.01"})
		}
		return &d
	}
	if t.Abs == "" && t.Rel == "" {
		faults = append(faults, parallax.Fault{Path: "tolerance", Text: "needs abs or rel", Hint: "write {abs: 0.01}"})
	}
	r.abs, r.rel = read("abs", t.Abs), read("rel", t.Rel)
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

// nearest returns the word that begins like what was written, or differs in few
// letters at the same places; "" if there is none.
func nearest(written string, words []string) string {
	score := func(word string) int {
		same := 0
		for i := 0; i < min(len(written), len(word)); i++ {
			if written[i]|0x20 == word[i] {
				same++
			}
		}
		return same
	}
	best := slices.MaxFunc(words, func(a, b string) int { return cmp.Compare(score(a), score(b)) })
	if 2*score(best) < len(best) {
		return ""
	}
	return best
}
