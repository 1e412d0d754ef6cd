package compare

import (
	"fmt"
	"testing"

	"parallax"
)

// Rules that say what values mean do so alike wherever a value stands.
func TestRulesWorkAlikeEverywhere(t *testing.T) {
	t.Parallel()
	kinds := []struct {
		rule             Rule
		p, c, wrong      string
		equalAndStillBad bool // on both sides it is a divergence
	}{
		{rule: Rule{Tolerance: &Tolerance{Abs: "1"}}, p: "10", c: "11", wrong: "12"},
		{rule: Rule{Time: &Time{Within: 5e9}}, p: "2026-11-21T12:00:00Z", c: "2026-11-21T12:00:04Z", wrong: "2026-11-21T12:00:06Z"},
		{rule: Rule{Class: "hex"}, p: "00ff", c: "1234", wrong: "xyz", equalAndStillBad: true},
		{rule: Rule{Regex: "a+"}, p: "a", c: "aa", wrong: "b", equalAndStillBad: true},
		{rule: Rule{Enum: map[string]string{"A": "B"}}, p: "A", c: "B", wrong: "C"},
		{rule: Rule{Text: Words{"case"}}, p: "abc", c: "ABC", wrong: "abd"},
		{rule: Rule{URL: &URL{}}, p: "/?a=1&b=2", c: "/?b=2&a=1", wrong: "/?a=1"},
		{rule: Rule{Expect: "changed"}, p: "1", c: "2", wrong: "1"},
	}
	places := map[string]func(value string) *parallax.Call{
		"header:X-Value": func(v string) *parallax.Call { return answer(200, "", "X-Value", v) },
		"cookie:value":   func(v string) *parallax.Call { return answer(200, "", "Set-Cookie", "value="+v) },
		"trailer:value": func(v string) *parallax.Call {
			call := answer(200, "")
			call.Response.Trailers = []parallax.Field{{Name: "Value", Value: v}}
			return call
		},
		"$.value": func(v string) *parallax.Call { return jsonAnswer(fmt.Sprintf(`{"value":%q}`, v)) },
	}
	for path, call := range places {
		for _, k := range kinds {
			k.rule.Path = path
			in := Input{Rules: compiled(t, k.rule)}
			f := func(p, c string, want Outcome) {
				t.Helper()
				got := Compare(exchange(call(p), call(c)), in)
				if got.Outcome != want {
					t.Errorf("%s: %q and %q: %v, want %v\n%s", in.Rules.rules[0].encoded, p, c, got.Outcome, want, found(got))
				}
				for _, d := range got.Differences {
					if want == Match && (d.Suppressed.By != "rule" || d.Suppressed.Detail != "rules[0] "+path) {
						t.Errorf("%v does not name its rule", d)
					}
				}
			}
			f(k.p, k.c, Match)
			f(k.p, k.wrong, Diverged)
			if k.equalAndStillBad {
				f(k.wrong, k.wrong, Diverged)
			}
		}
	}
}

// Whatever a rule says is in the hash that evidence is kept apart by.
func TestEveryKindIsHashed(t *testing.T) {
	t.Parallel()
	rules := readRules(t, `
- { path: $.a, ignore: true }
- { path: $.a, tolerance: { abs: 1 } }
- { path: $.a, tolerance: { rel: 1 } }
- { path: $.a, number: text }
- { path: $.a, time: { within: 1s } }
- { path: $.a, time: { within: 2s } }
- { path: $.a, time: { within: 2s, near: request } }
- { path: $.a, time: { within: 2s, as: [unix] } }
- { path: $.a, class: uuid }
- { path: $.a, regex: a }
- { path: $.a, enum: { a: b } }
- { path: $.a, enum: { a: c } }
- { path: $.a, null: missing }
- { path: $.a, null: empty }
- { path: $.a, text: case }
- { path: $.a, url: {} }
- { path: $.a, url: { without: [origin] } }
- { path: $.a, move: { to: $.b } }
- { path: $.a, expect: any }
- { path: $.a, array: set }
- { path: $.a, array: { key: a } }
- { path: $.a, array: { key: b } }
`)
	seen := map[string]Rule{}
	for _, r := range rules {
		hash := compiled(t, r).Hash("GET /")
		if other, ok := seen[hash]; ok {
			t.Errorf("%+v and %+v have one hash", r, other)
		}
		seen[hash] = r
	}
}
