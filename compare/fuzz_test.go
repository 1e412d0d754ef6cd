package compare

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"parallax/internal/body"
)

// aloneJSON is compareTrees for JSON with each document read by itself.
func aloneJSON(a, b []byte, rules *Rules) Comparison {
	find := &finder{endpoint: "GET /", received: testTime, rules: rules.forExchange("GET /", testTime)}
	find.meter = find.allow(a, b)
	compareMarks(&content{mark: markOf(JSON, "", a)}, &content{mark: markOf(JSON, "", b)}, find)
	p, errP := body.ParseJSON(a, body.DefaultLimits)
	c, errC := body.ParseJSON(b, body.DefaultLimits)
	switch {
	case errP != nil && errC != nil:
		compareOpaque(a, b, find)
	case errP != nil || errC != nil:
		undecoded(errP, errC, find)
	case string(a) != string(b) || find.assertsAt(placeJSON):
		walk(p, c, find)
	}
	if find.meter.spent() {
		find.stop()
	}
	find.expectBody(0)
	var out Comparison
	find.conclude(&out, true)
	return out
}

// fuzzSets are rules of every kind that a walk asks, for documents of few names.
func fuzzSets(t testing.TB) []*Rules {
	return []*Rules{
		nil,
		compiled(t, Rule{Path: "$..at", Ignore: true}, Rule{Path: "$..[-1]", Ignore: true}),
		compiled(t, Rule{Path: "$..a", Array: Array{Mode: Set}}, Rule{Path: "$..*", Tolerance: &Tolerance{Abs: "1", Rel: "0.1"}}),
		compiled(t, Rule{Path: "$..*", Array: Array{Mode: Multiset}}, Rule{Path: "$..b", Null: Words{"missing", "empty"}}),
		compiled(t, Rule{Path: "$..*", Array: Array{Mode: Keyed, Key: Words{"a"}}}, Rule{Path: "$", Array: Array{Mode: Keyed, Key: Words{"id"}}}),
		compiled(t, Rule{Path: "$..[?@.a == 1]", Ignore: true}, Rule{Path: "$..c", Number: "text"}),
		compiled(t, Rule{Path: "$.a", Move: &Move{To: "$.b"}}, Rule{Path: "$..c", Expect: "any"}, Rule{Path: "$..d", Class: "uuid"}),
		compiled(t, Rule{Path: "$..*", Text: Words{"case", "space"}}, Rule{Path: "$..e", Regex: "[0-9]+"}),
	}
}

// FuzzLockstepAgainstTree: reading both documents in lockstep comes to exactly the
// comparison that reading each by itself comes to, under whatever rules; and no more
// steps are taken than the bytes allow.
func FuzzLockstepAgainstTree(f *testing.F) {
	for _, pair := range [][2]string{
		{`{"a":1,"b":[1,2,{"c":null}]}`, `{"a":1, "b":[1,{"c":null},2]}`},
		{`{"a":[1,2,3],"at":5}`, `{"at":6,"a":[3,2,1]}`},
		{`[{"id":1,"a":2},{"id":2}]`, `[{"id":2},{"id":1,"a":3}]`},
		{`{"a":1,"a":2}`, `{"a":2,"a":1}`}, {`[1`, `[1]`}, {`[1`, `[2`}, {`1.0`, `1`},
		{`{"d":"a","e":"12"}`, `{"d":"a","e":"x"}`},
	} {
		for set := range byte(8) {
			f.Add([]byte(pair[0]), []byte(pair[1]), set)
		}
	}
	sets := fuzzSets(f)
	f.Fuzz(func(t *testing.T, a, b []byte, set byte) {
		rules := sets[int(set)%len(sets)]
		want, got := aloneJSON(a, b, rules), Bodies(JSON, a, b, "GET /", rules, testTime)
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("%s\n%s\n%s", a, b, diff)
		}
		if taken, most, _ := stepsOf(JSON, string(a), string(b), rules); taken > most {
			t.Fatalf("%s\n%s\n%d steps, %d allowed", a, b, taken, most)
		}
	})
}

// FuzzCompileRules: whatever the text of rules says, it is read or refused with
// faults, its hash does not depend on when it is read, and comparing under it ends
// within its steps.
func FuzzCompileRules(f *testing.F) {
	for _, text := range []string{
		`- { path: "$.items[*].price", tolerance: {abs: 0.01} }`,
		`rules: [{ path: "$..at", ignore: true, reason: clock, owner: shop, expires: 2027-01-31 }]`,
		`- { path: "$.items", array: {key: [id, $.a.b]} }`,
		`- { path: "$..[?@.a > 1 && !@.b]", class: uuid, regex: "^[a-z]+$" }`,
		`- { path: "$.a", move: {to: $.b} }` + "\n" + `- { path: header:X, time: {within: 5s, as: [unix]} }`,
		`- { path: "$.b", enum: {x: y}, null: [missing, empty], text: case, number: text, expect: any }`,
		`- { path: status, normal: [503] }`, `[`, `- 1`, `- { path: "$[" }`,
	} {
		f.Add([]byte(text))
	}
	p := `{"items":[{"id":1,"price":1.5,"at":"2026-11-21"},{"id":2,"price":2}],"a":{"b":[1,null]},"b":"x"}`
	c := `{"items":[{"id":2,"price":2.01},{"id":1,"price":1.5,"at":"2026-11-22"}],"a":{"b":[]},"b":"y"}`
	f.Fuzz(func(t *testing.T, text []byte) {
		list, faults := ReadRules("rules.yaml", text)
		rules, wrong := Compile(list)
		if len(faults) == 0 && len(wrong) > 0 {
			t.Fatalf("%q: read without a fault, but %v", text, wrong)
		}
		again, _ := Compile(list)
		if rules.Version() != again.Version() {
			t.Fatalf("%q: %s, then %s", text, rules.Version(), again.Version())
		}
		taken, most, out := stepsOf(JSON, p, c, rules)
		if taken > most {
			t.Fatalf("%q: %d steps, %d allowed", text, taken, most)
		}
		if out.Outcome == Match && out.Divergences > 0 {
			t.Fatalf("%q: a match with %d divergences", text, out.Divergences)
		}
	})
}
