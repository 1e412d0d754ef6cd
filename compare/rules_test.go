package compare

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"parallax"
)

func TestCompileReportsEveryFault(t *testing.T) {
	t.Parallel()
	_, got := Compile([]Rule{
		{Path: "$.ok", Ignore: true},
		{Path: "$.items[?length(@.x) > 1]", Ignore: true},
		{Path: "heade:Date", Ignore: true},
		{Ignore: true},
		{Path: "$.a"},
		{Path: "status", Tolerance: &Tolerance{Abs: "0.1"}},
		{Path: "$.a", Tolerance: &Tolerance{Abs: "-1", Rel: "x"}},
		{Path: "$.a", Tolerance: &Tolerance{}},
		{Path: "$.a", Array: Array{Mode: "bag"}},
		{Path: "$.a", Array: Array{Mode: Keyed}},
		{Path: "status", Normal: []int{503, 404}},
		{Path: "header:", Ignore: true},
		{Path: "$.a", Ignore: true, Expires: "tomorrow", Endpoint: "GET /*/x"},
	})
	want := []parallax.Fault{
		{Path: "[1].path", Text: "column 10: functions such as length() are not supported"},
		{Path: "[2].path", Text: `"heade:Date" names no place`, Hint: `did you mean "header:"?`},
		{Path: "[3].path", Text: "a rule needs a path", Hint: placeHint},
		{Path: "[4]", Text: "this rule does nothing", Hint: "add ignore: true, a tolerance or another kind of rule"},
		{Path: "[5].tolerance", Text: "does not work with path status", Hint: "it works with header:NAME, cookie:NAME, trailer:NAME, a path that begins with $"},
		{Path: "[6].tolerance.abs", Text: `"-1" is not a number of zero or more`, Hint: "write it like 0.01"},
		{Path: "[6].tolerance.rel", Text: `"x" is not a number of zero or more`, Hint: "write it like 0.01"},
		{Path: "[7].tolerance", Text: "needs abs or rel", Hint: "write {abs: 0.01}"},
		{Path: "[8].array", Text: `unknown array mode "bag"`, Hint: arrayHint},
		{Path: "[9].array.key", Text: "needs the name of a member", Hint: "write {key: [id]}"},
		{Path: "[10].normal[1]", Text: "404 is no failure anyway", Hint: "list statuses from 500 to 599"},
		{Path: "[11].path", Text: "header: needs a name", Hint: "write * for all of them"},
		{Path: "[12].endpoint", Text: "a * stands at the end only", Hint: "write a beginning such as GET /orders/*"},
		{Path: "[12].expires", Text: `"tomorrow" is not a day`, Hint: "write it like 2027-01-31"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRulesHash(t *testing.T) {
	t.Parallel()
	price := Rule{Path: "$.price", Tolerance: &Tolerance{Abs: "0.01"}}
	user := Rule{Endpoint: "GET /users/{id}", Path: "$.id", Ignore: true}
	wider := price
	wider.Tolerance = &Tolerance{Abs: "0.02"}
	one, two := compiled(t, price), compiled(t, price, user)
	if one.Version() == two.Version() {
		t.Error("another rule leaves the version as it was")
	}
	if one.Hash("GET /orders/{id}") != two.Hash("GET /orders/{id}") {
		t.Error("a rule of another endpoint changes this one's hash")
	}
	if one.Hash("GET /users/{id}") == two.Hash("GET /users/{id}") {
		t.Error("a rule of the endpoint leaves its hash as it was")
	}
	if one.Hash("x") == compiled(t, wider).Hash("x") {
		t.Error("a wider tolerance leaves the hash as it was")
	}
	var none *Rules
	if none.Hash("x") != compiled(t).Hash("x") || none.Version() != compiled(t).Version() {
		t.Error("no rules and an empty set differ")
	}
}

func TestLastArrayRuleWins(t *testing.T) {
	t.Parallel()
	rules := compiled(t, Rule{Path: "$..*", Array: Array{Mode: Set}}, Rule{Path: "$.log", Array: Array{Mode: List}})
	got := found(diffJSON(`{"tags":["a","b"],"log":["a","b"]}`, `{"tags":["b","a"],"log":["b","a"]}`, rules))
	// Which of two swapped elements has moved is a matter of their hashes.
	if want := "$.log[0]  moved  [0] -> [1]\n"; got != want && got != "$.log[1]  moved  [1] -> [0]\n" {
		t.Errorf("found %q, want %q", got, want)
	}
}

func TestCatalogueIsSortedAndLower(t *testing.T) {
	t.Parallel()
	for i, h := range Volatile {
		if i > 0 && Volatile[i-1].Name >= h.Name {
			t.Errorf("%s stands before %s", Volatile[i-1].Name, h.Name)
		}
		if h.Reason == "" || volatileHeader(h.Name) == nil {
			t.Errorf("%q needs a reason", h.Name)
		}
	}
}

func TestHashAtFollowsExpiry(t *testing.T) {
	t.Parallel()
	rules := compiled(t, Rule{Path: "$.a", Ignore: true, Expires: "2026-11-21"}, Rule{Path: "$.b", Ignore: true})
	day := testTime.Truncate(24 * time.Hour)
	last, next := day.Add(24*time.Hour-time.Nanosecond), day.Add(24*time.Hour)
	if rules.HashAt("GET /", last) != rules.Hash("GET /") {
		t.Error("a rule counts to the end of its last day")
	}
	if rules.HashAt("GET /", last) == rules.HashAt("GET /", next) {
		t.Error("an expired rule does not start new evidence")
	}
	var none *Rules
	if none.HashAt("GET /", last) != none.Version() {
		t.Error("no rules have the hash of no rules")
	}
}

func TestArrayModes(t *testing.T) {
	t.Parallel()
	f := func(text string, want Array) {
		t.Helper()
		var rule Rule
		if err := yaml.Unmarshal([]byte("array: "+text), &rule); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, rule.Array); diff != "" {
			t.Error(diff)
		}
		out, err := yaml.Marshal(rule)
		var again Rule
		if err == nil {
			err = yaml.Unmarshal(out, &again)
		}
		if diff := cmp.Diff(rule, again); diff != "" || err != nil {
			t.Errorf("%s%s: %v", out, diff, err)
		}
	}
	f("list", Array{Mode: List})
	f("set", Array{Mode: Set})
	f("multiset", Array{Mode: Multiset})
	f("{key: sku}", Array{Mode: Keyed, Key: Words{"sku"}})
	f("{keys: [sku, size]}", Array{Mode: Keyed, Key: Words{"sku", "size"}})
	for _, text := range []string{"[list]", "key", "bag", "{kye: [sku]}", "{key: {a: b}}", "{key: [[a]]}"} {
		if err := yaml.Unmarshal([]byte("array: "+text), new(Rule)); err == nil {
			t.Errorf("array: %s was accepted", text)
		}
	}
}

func TestFaultsOfEveryKind(t *testing.T) {
	t.Parallel()
	f := func(text string, want ...string) {
		t.Helper()
		_, faults := Compile(readRules(t, "- "+text))
		var got []string
		for _, fault := range faults {
			got = append(got, strings.TrimPrefix(fault.Path, "[0].")+": "+fault.Text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\n%s", text, diff)
		}
	}
	f(`{path: $.a, number: value}`, `number: unknown word "value"`)
	f(`{path: status, number: text}`, `number: does not work with path status`)
	f(`{path: $.a, time: {}}`, `time.within: needs a duration above zero`)
	f(`{path: $.a, time: {within: 5s, near: now, as: [iso]}}`, `time.near: unknown word "now"`, `time.as[0]: unknown word "iso"`)
	f(`{path: $.a, class: guid}`, `class: unknown word "guid"`)
	f(`{path: $.a, regex: "a)(b"}`, "regex: unexpected ): `a)(b`")
	f(`{path: $.a, regex: "(?=a)"}`, "regex: invalid or unsupported Perl syntax: `(?=`")
	f(`{path: $.a, regex: "`+strings.Repeat("a", 1025)+`"}`, "regex: longer than 1024 bytes")
	f(`{path: $.a, null: [nothing]}`, `null[0]: unknown word "nothing"`)
	f(`{path: status, null: missing}`, `null: does not work with path status`)
	f(`{path: $.a, text: [upper]}`, `text[0]: unknown word "upper"`)
	f(`{path: header:location, url: {without: [host, "query:"]}}`, `url.without[0]: unknown word "host"`, `url.without[1]: unknown word "query:"`)
	f(`{path: $.a, move: {to: header:b}}`, `move.to: is not a place of the same kind as path`)
	f(`{path: $.a, move: {to: "$.b["}}`, `move.to: column 5: want a quoted name, an index, a slice, a filter or * here`)
	f(`{path: $.a, expect: other}`, `expect: unknown word "other"`)
	f(`{path: text, expect: missing}`, `expect: does not work with path text`)
	f(`{path: body, expect: missing}`, `expect: of body only any difference can be expected`)
	f(`{path: $.a, expect: any, ignore: true}`, `expect: ignore is true too, so that nothing can be missed`)
	f(`{path: $.a, move: {to: $.a}}`, `move.to: differs from path in more than names and indices at its end`)
	f(`{path: "$..a", move: {to: "$..b"}}`, `move.to: differs from path in more than names and indices at its end`)
	f(`{path: "header:*", move: {to: header:b}}`, `move.to: must be another place, and path a single one`)
	f(`{path: body, array: set}`, `array: does not work with path body`)
	f(`{path: $.a, array: {key: ["$.b[*]"]}}`, `array.key[0]: "$.b[*]" does not name one place of an element`)
}

// Every example of a rule that people read is one that works.
func TestDocumentedRulesCompile(t *testing.T) {
	t.Parallel()
	for file, least := range map[string]int{"doc.go": 19, "../README.md": 15} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for line := range strings.Lines(string(text)) {
			for _, example := range ruleExample.FindAllStringSubmatch(line, -1) {
				seen++
				for _, f := range compileFaults(t, "- "+example[1]) {
					t.Errorf("%s: %s: %s", file, example[1], f)
				}
			}
		}
		if seen < least {
			t.Errorf("%s has only %d examples", file, seen)
		}
	}
}

// ruleExample is a rule in a list, or in backquotes.
var ruleExample = regexp.MustCompile("(?:^//\t|^  - |`)({ (?:endpoint|path): .*})")

func compileFaults(t *testing.T, text string) []parallax.Fault {
	t.Helper()
	_, faults := Compile(readRules(t, text))
	return faults
}

// TestExpressionsThatSwallowTheirEnd compiles expressions that are right by themselves
// and not with the anchors around them.
func TestExpressionsThatSwallowTheirEnd(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`\Qa.b`, `\Q`, strings.Repeat("(", 998) + "a" + strings.Repeat(")", 998), strings.Repeat("(?:a|", 499) + strings.Repeat(")", 499)} {
		compiled, faults := Compile([]Rule{{Path: "$.a", Regex: text}})
		if len(faults) == 0 && compiled.rules[0].regex == nil {
			t.Errorf("%.20q: neither compiled nor refused", text)
		}
	}
	if _, faults := Compile([]Rule{{Path: "$.a", Regex: `\Qa.b\E`}}); len(faults) > 0 {
		t.Error(faults)
	}
}

// TestVersionHeaders: that two versions call themselves differently is no difference.
func TestVersionHeaders(t *testing.T) {
	t.Parallel()
	answer := func(name, value string) *parallax.Call {
		call := jsonCall(`{"id":1}`)
		call.Response.Headers = append(call.Response.Headers, parallax.Field{Name: "X-Other", Value: "same"})
		if value != "" {
			call.Response.Headers = append(call.Response.Headers, parallax.Field{Name: name, Value: value})
		}
		return call
	}
	differing := func(rules *Rules, primary, candidate *parallax.Call) []Difference {
		x := &parallax.Exchange{Endpoint: "GET /", Received: testTime}
		x.Legs[parallax.Primary], x.Legs[parallax.Candidate] = primary, candidate
		return Compare(x, Input{Rules: rules}).Differences
	}
	plain := compiled(t)
	named := plain.WithVersionHeaders("X-Version", "", "x-version", "X-Rev")
	for _, pair := range [][2]*parallax.Call{
		{answer("X-Version", "1"), answer("X-Version", "2")}, {answer("X-Rev", "1"), answer("x-version", "2")},
		{answer("X-Version", ""), answer("X-Version", "2")}, {answer("X-Version", "1"), answer("X-Version", "")},
	} {
		if got := differing(named, pair[0], pair[1]); len(got) > 0 {
			t.Errorf("versions in headers differ: %+v", got)
		}
		if got := differing(plain, pair[0], pair[1]); len(got) == 0 {
			t.Error("headers that nobody declared are left out")
		}
	}
	asked := compiled(t, Rule{Path: "header:x-version", Compare: true}).WithVersionHeaders("X-Version")
	if got := differing(asked, answer("X-Version", "1"), answer("X-Version", "2")); len(got) != 1 || got[0].Path != "header:x-version" {
		t.Errorf("a rule that compares the header finds %+v", got)
	}
	replaced, _ := named.Replaced([]Rule{{Path: "$.a", Ignore: true}})
	if got := differing(replaced, answer("X-Version", "1"), answer("X-Version", "2")); len(got) > 0 {
		t.Errorf("other rules compare it: %+v", got)
	}

	if named.Version() == plain.Version() || named.Hash("GET /") == plain.Hash("GET /") || named.Version() != plain.WithVersionHeaders("x-rev", "X-VERSION").Version() {
		t.Error("the hash does not follow from the names")
	}
	if plain.WithVersionHeaders("") != plain || len(named.List()) != 0 {
		t.Error("names that are not there are something")
	}
	for _, m := range Mutants(answer("X-Version", "1"), named, 7, 50) {
		if m.Flaw == HeaderDropped && len(differing(named, answer("X-Version", "1"), m.Call)) == 0 {
			t.Errorf("a flaw that nobody could find: %v", m.Call.Response.Headers)
		}
	}
}
