package compare

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"parallax"
	"parallax/internal/body"
)

// Tolerance is by how much two numbers may differ: Abs in their own unit, Rel as
// a share of the larger magnitude. Numbers within either are equal. Both are
// exact decimal numbers as written, zero or more.
type Tolerance struct {
	Abs string `yaml:"abs,omitempty" json:",omitempty" doc:"largest difference, such as 0.01"`
	Rel string `yaml:"rel,omitempty" json:",omitempty" doc:"largest difference as a share of the larger number, such as 0.001"`
}

// Time says how far two times may lie apart. With Near "request" both must lie
// within the window of when the exchange was received. As lists how the times are
// written: rfc3339 (a blank may stand for the T; no zone is UTC), http (RFC 9110,
// section 5.6.7), unix (seconds, perhaps with a fraction) and unix_ms; the first
// two when it is empty.
type Time struct {
	Within time.Duration `yaml:"within" json:",omitempty" doc:"how far the two times may lie apart, such as 5s"`
	Near   string        `yaml:"near,omitempty" json:",omitempty" enum:"request" doc:"request: both times must lie within the window of when the request came"`
	As     []string      `yaml:"as,omitempty" json:",omitempty" doc:"how the times are written: rfc3339, http, unix, unix_ms; the first two if nothing is said"`
}

// URL compares two addresses by their parts: scheme and host without case, the
// parameters of the query by name in any order. Without lists what does not count:
// origin (scheme, host and port), query, query:NAME and fragment.
type URL struct {
	Without []string `yaml:"without,omitempty" json:",omitempty" doc:"parts that do not count: origin, query, query:NAME, fragment"`
}

// Move says that a value stands somewhere else in the candidate's answer. It is
// compared there.
type Move struct {
	To string `yaml:"to" json:",omitempty" doc:"where the candidate has it: a path that differs from the rule's in names and indices at its end, or another header, cookie or trailer"`
}

// ArrayMode is a way to compare two arrays.
type ArrayMode string

// The array modes.
const (
	List     ArrayMode = "list"     // in order, aligned by a longest common subsequence
	Set      ArrayMode = "set"      // each element of one side is on the other; how often does not matter
	Multiset ArrayMode = "multiset" // each element as often as on the other side
	Keyed    ArrayMode = "key"      // elements of one key belong together
)

// Array says how two arrays are compared. Key names the members that make up the
// key of an element; with it the mode is Keyed.
type Array struct {
	Mode ArrayMode
	Key  Words
}

const arrayHint = "there are list, set, multiset and {key: [NAME]}"

// UnmarshalYAML reads list, set, multiset or a mapping such as {key: [sku]}.
func (a *Array) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		a.Mode, a.Key = ArrayMode(n.Value), nil
		if a.known() && a.Mode != Keyed {
			return nil
		}
		return fmt.Errorf("unknown array mode %.40q; %s", n.Value, arrayHint)
	}
	if n.Kind != yaml.MappingNode || len(n.Content) != 2 || n.Content[0].Value != "key" && n.Content[0].Value != "keys" {
		return fmt.Errorf("array is one word or a key; %s", arrayHint)
	}
	a.Mode = Keyed
	return a.Key.UnmarshalYAML(n.Content[1])
}

// MarshalYAML writes what UnmarshalYAML reads.
func (a Array) MarshalYAML() (any, error) {
	if a.Mode == Keyed {
		return map[string][]string{"key": a.Key}, nil
	}
	return string(a.Mode), nil
}

// String writes the mode as a rule does.
func (a Array) String() string {
	if a.Mode == Keyed {
		return "{key: [" + strings.Join(a.Key, ", ") + "]}"
	}
	return string(a.Mode)
}

func (a Array) known() bool {
	return slices.Contains([]ArrayMode{List, Set, Multiset, Keyed}, a.Mode)
}

// Words is a list of words; a single one may be written without brackets.
type Words []string

// UnmarshalYAML reads a word or a list of words.
func (w *Words) UnmarshalYAML(n *yaml.Node) error {
	items := n.Content
	if n.Kind == yaml.ScalarNode {
		items = []*yaml.Node{n}
	} else if n.Kind != yaml.SequenceNode {
		return fmt.Errorf("want a word or a list of words")
	}
	*w = nil
	for _, item := range items {
		if item.Kind != yaml.ScalarNode {
			return fmt.Errorf("want a word or a list of words")
		}
		*w = append(*w, item.Value)
	}
	return nil
}

// The words that Null, Text, Time.As and Expect may hold.
var (
	nullWords   = []string{"missing", "empty"}
	textWords   = []string{"case", "space"}
	timeLayouts = []string{"rfc3339", "http", "unix", "unix_ms"}
	expectWords = []string{"any", string(Changed), string(Type), string(Missing), string(Extra)}
	urlWords    = []string{"origin", "query", "fragment"}
)

// maxRegexBytes bounds a regular expression of a rule.
const maxRegexBytes = 1024

// ruleKind is one thing a rule may do, and where it can be done.
type ruleKind struct {
	key   string
	asked func(*Rule) bool
	at    []placeKind
}

var (
	valuePlaces = []placeKind{placeHeader, placeCookie, placeTrailer, placeText, placeJSON}
	namedPlaces = []placeKind{placeHeader, placeCookie, placeTrailer, placeJSON}
	wholePlaces = []placeKind{placeStatus, placeHeader, placeCookie, placeTrailer, placeBody, placeJSON}
	everyPlace  = []placeKind{placeStatus, placeHeader, placeCookie, placeTrailer, placeText, placeBody, placeJSON}
	matchPlaces = append([]placeKind{placeStatus}, valuePlaces...)
)

// ruleKinds lists everything a rule may do.
var ruleKinds = []ruleKind{
	{"ignore", func(s *Rule) bool { return s.Ignore }, everyPlace},
	{"tolerance", func(s *Rule) bool { return s.Tolerance != nil }, namedPlaces},
	{"number", func(s *Rule) bool { return s.Number != "" }, []placeKind{placeJSON}},
	{"time", func(s *Rule) bool { return s.Time != nil }, valuePlaces},
	{"class", func(s *Rule) bool { return s.Class != "" }, matchPlaces},
	{"regex", func(s *Rule) bool { return s.Regex != "" }, matchPlaces},
	{"enum", func(s *Rule) bool { return len(s.Enum) > 0 }, matchPlaces},
	{"null", func(s *Rule) bool { return len(s.Null) > 0 }, namedPlaces},
	{"text", func(s *Rule) bool { return len(s.Text) > 0 }, valuePlaces},
	{"url", func(s *Rule) bool { return s.URL != nil }, valuePlaces},
	{"decode", func(s *Rule) bool { return s.Decode != "" }, []placeKind{placeJSON, placeBody}},
	{"move", func(s *Rule) bool { return s.Move != nil }, namedPlaces},
	{"expect", func(s *Rule) bool { return s.Expect != "" }, wholePlaces},
	{"array", func(s *Rule) bool { return s.Array.Mode != "" }, []placeKind{placeJSON}},
	{"normal", func(s *Rule) bool { return len(s.Normal) > 0 }, []placeKind{placeStatus}},
	{"compare", func(s *Rule) bool { return s.Compare }, []placeKind{placeHeader}},
}

// placeText says how a rule writes the places of a kind.
func placeWord(kind placeKind) string {
	switch kind {
	case placeHeader, placeCookie, placeTrailer:
		return string(kind) + ":NAME"
	case placeJSON:
		return "a path that begins with $"
	}
	return string(kind)
}

// checkDeeds reports a rule that does nothing, or something that cannot be done
// at its place.
func (r *rule) checkDeeds() []parallax.Fault {
	var faults []parallax.Fault
	nothing := true
	for _, d := range ruleKinds {
		if !d.asked(&r.source) {
			continue
		}
		nothing = false
		if r.place != "" && !slices.Contains(d.at, r.place) {
			var words []string
			for _, kind := range d.at {
				words = append(words, placeWord(kind))
			}
			faults = append(faults, parallax.Fault{Path: d.key, Text: "does not work with path " + r.source.Path, Hint: "it works with " + strings.Join(words, ", ")})
		}
	}
	if nothing {
		faults = append(faults, parallax.Fault{Text: "this rule does nothing", Hint: "add ignore: true, a tolerance or another kind of rule"})
	}
	return faults
}

// setDeeds reads what the rule does.
func (r *rule) setDeeds() []parallax.Fault {
	var faults []parallax.Fault
	s := &r.source
	fault := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	oneOf := func(path, word string, words []string) {
		if !slices.Contains(words, word) {
			fault(path, fmt.Sprintf("unknown word %.40q", word), "there are "+strings.Join(words, ", "))
		}
	}
	each := func(path string, list, words []string) {
		for i, word := range list {
			oneOf(fmt.Sprintf("%s[%d]", path, i), word, words)
		}
	}
	if s.Number != "" {
		oneOf("number", s.Number, []string{"text"})
	}
	each("null", s.Null, nullWords)
	each("text", s.Text, textWords)
	if s.Expect != "" {
		oneOf("expect", s.Expect, expectWords)
	}
	if s.Class != "" {
		oneOf("class", s.Class, ClassNames())
	}
	for i, status := range s.Normal {
		if status < 500 || status > 599 {
			fault(fmt.Sprintf("normal[%d]", i), fmt.Sprintf("%d is no failure anyway", status), "list statuses from 500 to 599")
		}
	}
	if s.URL != nil {
		for i, word := range s.URL.Without {
			if name, ok := strings.CutPrefix(word, "query:"); !ok || name == "" {
				oneOf(fmt.Sprintf("url.without[%d]", i), word, urlWords)
			}
		}
	}
	switch {
	case s.Expect == "":
	case s.Ignore:
		fault("expect", "ignore is true too, so that nothing can be missed", "take out one of them")
	case s.Expect != "any" && r.place == placeBody:
		fault("expect", "of body only any difference can be expected", "write expect: any")
	}
	faults = append(faults, r.setTolerance()...)
	faults = append(faults, r.setTime()...)
	faults = append(faults, r.setRegex()...)
	faults = append(faults, r.setArray()...)
	faults = append(faults, r.setDecode()...)
	return append(faults, r.setMove()...)
}

func (r *rule) setTolerance() []parallax.Fault {
	t := r.source.Tolerance
	if t == nil {
		return nil
	}
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

func (r *rule) setTime() []parallax.Fault {
	t := r.source.Time
	if t == nil {
		return nil
	}
	var faults []parallax.Fault
	if t.Within <= 0 {
		faults = append(faults, parallax.Fault{Path: "time.within", Text: "needs a duration above zero", Hint: "write {within: 5s}"})
	}
	if t.Near != "" && t.Near != "request" {
		faults = append(faults, parallax.Fault{Path: "time.near", Text: fmt.Sprintf("unknown word %.40q", t.Near), Hint: "there is request"})
	}
	for i, layout := range t.As {
		if !slices.Contains(timeLayouts, layout) {
			faults = append(faults, parallax.Fault{Path: fmt.Sprintf("time.as[%d]", i), Text: fmt.Sprintf("unknown word %.40q", layout), Hint: "there are " + strings.Join(timeLayouts, ", ")})
		}
	}
	return faults
}

// setRegex compiles the expression, which must match the whole value.
func (r *rule) setRegex() []parallax.Fault {
	text := r.source.Regex
	if text == "" {
		return nil
	}
	if len(text) > maxRegexBytes {
		return []parallax.Fault{{Path: "regex", Text: fmt.Sprintf("longer than %d bytes", maxRegexBytes)}}
	}
	if _, err := regexp.Compile(text); err != nil { // By itself, so that a bracket cannot close the one around it.
		return []parallax.Fault{{Path: "regex", Text: strings.TrimPrefix(err.Error(), "error parsing regexp: "), Hint: "expressions are RE2's: no look-around, no back-references"}}
	}
	var err error
	if r.regex, err = regexp.Compile(`^(?s:` + text + `)$`); err != nil { // \Q without \E takes in what stands behind it.
		return []parallax.Fault{{Path: "regex", Text: "cannot be matched with whole values", Hint: `end what \Q begins with \E, and nest less`}}
	}
	return nil
}

func (r *rule) setArray() []parallax.Fault {
	a := r.source.Array
	if a.Mode == "" {
		return nil
	}
	if !a.known() {
		return []parallax.Fault{{Path: "array", Text: fmt.Sprintf("unknown array mode %.40q", a.Mode), Hint: arrayHint}}
	}
	if a.Mode == Keyed && len(a.Key) == 0 {
		return []parallax.Fault{{Path: "array.key", Text: "needs the name of a member", Hint: "write {key: [id]}"}}
	}
	var faults []parallax.Fault
	for i, name := range a.Key {
		steps := []body.Step{{Name: name}}
		if strings.HasPrefix(name, "$") {
			path, err := body.ParsePath(name)
			one := false
			if err == nil {
				steps, one = path.Steps()
			}
			if !one {
				faults = append(faults, parallax.Fault{Path: fmt.Sprintf("array.key[%d]", i), Text: fmt.Sprintf("%.40q does not name one place of an element", name), Hint: "write a name, or a path from the element such as $.product.sku"})
			}
		}
		r.keys = append(r.keys, steps)
	}
	return faults
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
