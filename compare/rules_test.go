package compare

import (
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
		{Path: "$.items[?@.x]", Ignore: true},
		{Path: "heade:Date", Ignore: true},
		{Ignore: true},
		{Path: "$.a"},
		{Path: "status", Tolerance: &Tolerance{Abs: "0.1"}},
		{Path: "$.a", Tolerance: &Tolerance{Abs: "-1", Rel: "x"}},
		{Path: "$.a", Tolerance: &Tolerance{}},
		{Path: "$.a", Array: "bag"},
		{Path: "$.a", Array: "multiset"},
		{Path: "status", Normal: []int{503, 404}},
		{Path: "header:", Ignore: true},
		{Path: "$.a", Ignore: true, Expires: "tomorrow", Endpoint: "GET /*/x"},
	})
	want := []parallax.Fault{
		{Path: "[1].path", Text: "column 9: filters are not supported yet"},
		{Path: "[2].path", Text: `"heade:Date" names no place`, Hint: `did you mean "header:"?`},
		{Path: "[3].path", Text: "a rule needs a path", Hint: placeHint},
		{Path: "[4]", Text: "this rule does nothing", Hint: "add ignore: true, a tolerance, array, normal or compare"},
		{Path: "[5].tolerance", Text: "works only with a path that begins with $"},
		{Path: "[6].tolerance.abs", Text: `"-1" is not a number of zero or more`, Hint: "write it like 0.01"},
		{Path: "[6].tolerance.rel", Text: `"x" is not a number of zero or more`, Hint: "write it like 0.01"},
		{Path: "[7].tolerance", Text: "needs abs or rel", Hint: "write {abs: 0.01}"},
		{Path: "[8].array", Text: `unknown array mode "bag"; there are list and set`},
		{Path: "[9].array", Text: "array: multiset is not supported yet; there are list and set"},
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
	rules := compiled(t, Rule{Path: "$..*", Array: Set}, Rule{Path: "$.log", Array: List})
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

func TestArrayModesOfLater(t *testing.T) {
	t.Parallel()
	f := func(text, want string) {
		t.Helper()
		var rule Rule
		err := yaml.Unmarshal([]byte(text), &rule)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	f("array: {key: [sku]}", "array: key is not supported yet")
	f("array: multiset", "array: multiset is not supported yet")
	f("array: {kye: [sku]}", `unknown array mode "kye"`)
	f("array: [list]", "array is one of list and set")
	var rule Rule
	if err := yaml.Unmarshal([]byte("array: set"), &rule); err != nil || rule.Array != Set {
		t.Errorf("array: set is %q: %v", rule.Array, err)
	}
}
