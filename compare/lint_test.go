package compare

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// lintDay is when the rules of the tests are looked at.
var lintDay = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// readRuleList reads rules as configuration has them.
func readRuleList(t *testing.T, text string) []Rule {
	t.Helper()
	var rules []Rule
	if err := yaml.Unmarshal([]byte(text), &rules); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if _, faults := Compile(rules); len(faults) > 0 {
		t.Fatalf("%s: %v", text, faults)
	}
	return rules
}

func TestLint(t *testing.T) {
	t.Parallel()
	// f wants the checks that rules fail, each as index:check, ! behind those that
	// are refused.
	f := func(want string, rules ...string) {
		t.Helper()
		var got []string
		for _, each := range Lint(readRuleList(t, "- "+strings.Join(rules, "\n- ")), lintDay) {
			mark := ""
			if each.Refused {
				mark = "!"
			}
			if each.Text == "" || each.Hint == "" || !strings.HasPrefix(each.Path, fmt.Sprintf("[%d]", each.Index)) {
				t.Errorf("%v: %+v", rules, each)
			}
			got = append(got, fmt.Sprintf("%d:%s%s", each.Index, each.Check, mark))
		}
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s\n%s", strings.Join(rules, "\n"), diff)
		}
	}
	const mine = "ignore: true, reason: r, owner: o"
	f("", `{path: $.a, `+mine+`}`)
	f("0:no_reason 0:no_owner", `{path: $.a, ignore: true}`)
	f("", `{path: $.a, tolerance: {abs: 1}}`)

	f("0:expired", `{path: $.a, ignore: true, expires: 2026-11-20}`)
	f("0:expiring", `{path: $.a, `+mine+`, expires: 2026-11-21}`)
	f("0:expiring", `{path: $.a, `+mine+`, expires: 2026-12-04}`)
	f("", `{path: $.a, `+mine+`, expires: 2026-12-05}`)

	f("0:broad!", `{path: $, `+mine+`}`)
	f("0:broad!", `{path: $..*, `+mine+`}`)
	f("0:broad!", `{path: $.*, endpoint: "*", `+mine+`}`)
	f("0:broad!", `{path: body, `+mine+`}`)
	f("0:broad!", `{path: text, `+mine+`}`)
	f("0:broad!", `{path: status, `+mine+`}`)
	f("0:broad!", `{path: "header:*", `+mine+`}`)
	f("0:broad", `{path: "cookie:*", `+mine+`}`)
	f("0:broad", `{path: body, endpoint: GET /x, `+mine+`}`)
	f("", `{path: "$.items[*]", `+mine+`}`)
	f("", `{path: status, normal: [503]}`)

	f("1:shadowed", `{path: $.a, `+mine+`}`, `{path: $.a.b, `+mine+`}`)
	f("1:shadowed", `{path: $.a, `+mine+`}`, `{path: "$.a[*].price", tolerance: {abs: 1}}`)
	f("1:shadowed", `{path: $..at, endpoint: GET *, `+mine+`}`, `{path: $.x.at, endpoint: GET /x, `+mine+`}`)
	f("1:shadowed", `{path: $.p, tolerance: {abs: 1}}`, `{path: $.p, tolerance: {abs: 1}, reason: again}`)
	f("0:broad 1:shadowed", `{path: "header:*", endpoint: GET /x, `+mine+`}`, `{path: header:Location, endpoint: GET /x, `+mine+`}`, `{path: header:Location, `+mine+`}`)
	f("0:broad 1:shadowed", `{path: body, endpoint: GET /x, `+mine+`}`, `{path: $.a, endpoint: GET /x, `+mine+`}`)
	f("", `{path: $.x.at, `+mine+`}`, `{path: $..at, `+mine+`}`)
	f("", `{path: $..at, endpoint: GET /x, `+mine+`}`, `{path: $.at, `+mine+`}`)
	f("", `{path: $.p, tolerance: {abs: 1}}`, `{path: $.p, tolerance: {abs: 2}}`)
	f("", `{path: $.a, `+mine+`, expires: 2027-01-31}`, `{path: $.a.b, `+mine+`}`)
	f("0:expired", `{path: $.a, `+mine+`, expires: 2026-01-31}`, `{path: $.a, `+mine+`}`)
	f("", `{path: $.a, `+mine+`}`, `{path: $.a, array: set}`) // arrays are paired by it, whatever is ignored

	f("1:ambiguous", `{path: "$.items", array: set}`, `{path: $.items, array: list}`)
	f("1:ambiguous", `{path: "$.items", array: set}`, `{path: $..items, array: list}`)
	f("", `{path: "$..items", array: set}`, `{path: $.items, array: list}`)
	f("", `{path: "$.items", array: set}`, `{path: $.tags, array: list}`)
	f("1:ambiguous", `{path: "$.items", array: {key: [a]}}`, `{path: $.items, array: {key: [b]}}`)
	f("1:ambiguous", `{path: $.p, tolerance: {abs: 1}}`, `{path: $..p, number: text}`)
	f("1:ambiguous", `{path: $.p, expect: changed}`, `{path: $.p, expect: missing}`)
	f("1:ambiguous", `{path: $.p, enum: {a: b}}`, `{path: $.p, enum: {a: c}}`)
	f("", `{path: $.p, enum: {a: b}}`, `{path: $.p, enum: {c: d}}`)
	f("1:shadowed", `{path: $.p, `+mine+`}`, `{path: $.p, class: uuid}`)
	f("", `{path: $.p, `+mine+`}`, `{path: $.p, expect: changed}`)
	f("", `{path: "$.items", endpoint: GET /a, array: set}`, `{path: $.items, endpoint: GET /b, array: list}`)
}

func TestUnused(t *testing.T) {
	t.Parallel()
	rules := readRuleList(t, `
- {path: $.a, ignore: true}
- {path: $.b, ignore: true}
- {path: $.c, ignore: true}
- {path: $.d, array: set}
- {path: $.e, ignore: true}
`)
	chances := map[string]Chance{
		rules[0].Key(): {Compared: DeadAfter},
		rules[1].Key(): {Compared: DeadAfter - 1},
		rules[2].Key(): {Compared: DeadAfter, Differences: 1},
		rules[3].Key(): {Compared: DeadAfter},
	}
	var got []int
	for _, f := range Unused(rules, chances) {
		got = append(got, f.Index)
	}
	if diff := cmp.Diff([]int{0}, got); diff != "" {
		t.Error(diff)
	}
}

// TestRuleKey: what is counted for a rule stays its own when somebody answers for
// it, and is another's when it does something else.
func TestRuleKey(t *testing.T) {
	t.Parallel()
	rule := Rule{Path: "$.a", Ignore: true}
	owned, other := rule, rule
	owned.Owner, owned.Reason, owned.Expires = "team", "clock", "2027-01-31"
	other.Endpoint = "GET /x"
	if rule.Key() != owned.Key() || rule.Key() == other.Key() {
		t.Errorf("keys %s, %s and %s", rule.Key(), owned.Key(), other.Key())
	}
}

func TestRuleText(t *testing.T) {
	t.Parallel()
	const text = `- {endpoint: GET *, path: '$.items[*].price', tolerance: {abs: "0.01"}}
- {path: $..at, ignore: true, reason: clock, owner: team, expires: "2027-01-31"}
- {path: $.items, array: set}
- {path: $.rows, array: {key: [sku, $.store.id]}}
- {path: $.when, time: {within: 5s, near: request}}
- {path: $.state, enum: {ACTIVE: active}}
- {path: $.nick, "null": [missing, empty], text: [case, space]}
- {path: $.cost, move: {to: $.price}}
- {path: status, normal: [503]}
`
	rules := readRuleList(t, text)
	got, err := RuleText(rules)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(rules, readRuleList(t, got)); diff != "" {
		t.Error(diff)
	}
	if empty, err := RuleText(nil); empty != "[]\n" || err != nil {
		t.Errorf("no rules: %q, %v", empty, err)
	}
}

// TestUses: what rules took away is counted by rule, beyond what is kept.
func TestUses(t *testing.T) {
	t.Parallel()
	rules := []Rule{{Path: "$.a[*]", Ignore: true}, {Path: "$.b", Ignore: true}}
	compiled, _ := Compile(rules)
	list := func(item string) []byte {
		return []byte(`{"a":[` + strings.Repeat(item+",", 2*maxKept) + item + `],"b":` + item + `}`)
	}
	got := Bodies(JSON, list("1"), list("2"), "", compiled, lintDay)
	want := []RuleUse{{rules[0].Key(), 2*maxKept + 1}, {rules[1].Key(), 1}}
	if diff := cmp.Diff(want, got.Uses); diff != "" || got.Outcome != Match {
		t.Errorf("%v %s", got.Outcome, diff)
	}
}

// TestManyRules: a set of rules has an end, and so has what is said of one.
func TestManyRules(t *testing.T) {
	t.Parallel()
	rules := make([]Rule, maxRules+1)
	for i := range rules {
		rules[i] = Rule{Path: "$.a", Enum: map[string]string{"x": fmt.Sprint(i)}}
	}
	compiled, faults := Compile(rules)
	if len(compiled.List()) != maxRules || len(faults) != 1 || !strings.Contains(faults[0].Text, "1001 rules") {
		t.Errorf("%d rules, %v", len(compiled.List()), faults)
	}
	if n := len(Lint(rules[:100], lintDay)); n > 100*maxAmbiguous {
		t.Errorf("%d findings", n)
	}
	if _, faults := ReadRules("r", []byte(strings.Repeat("- {path: $.a, ignore: true}\n", maxRules+1))); len(faults) != 1 {
		t.Errorf("read: %v", faults)
	}
}
