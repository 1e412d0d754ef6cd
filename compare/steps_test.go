package compare

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// stepsOf compares two bodies and returns the steps it took, and how many there
// may be.
func stepsOf(format Format, p, c string, rules *Rules) (taken, most int, out Comparison) {
	find := &finder{endpoint: "GET /", received: testTime, rules: rules.forExchange("GET /", testTime)}
	compareContents(content{format: format, text: []byte(p)}, content{format: format, text: []byte(c)}, find)
	find.conclude(&out, true)
	return find.meter.taken, stepsPerByte * find.meter.given, out
}

// repeat writes n elements, each by a function of its number.
func repeat(n int, element func(i int) string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(element(i))
	}
	return b.String()
}

func nest(open, inside, shut string, depth int) string {
	return strings.Repeat(open, depth) + inside + strings.Repeat(shut, depth)
}

// adversaries are pairs of documents that make a careless comparison take much
// more than linear time.
func adversaries() map[string][2]string {
	one := func(text string) func(int) string { return func(int) string { return text } }
	number := func(i int) string { return fmt.Sprint(i) }
	from := func(n int) func(int) string { return func(i int) string { return fmt.Sprint(i + n) } }
	lists := func(last string) string {
		out := last
		for range 200 {
			out = `[1,2,` + out + `,3]`
		}
		return out
	}
	shuffled := func(seed uint64) string {
		r := rand.New(rand.NewPCG(seed, 0))
		order := r.Perm(900)
		return "[" + repeat(900, func(i int) string { return fmt.Sprintf(`{"a":%d,"b":[%d,%d]}`, order[i], order[i]%3, order[i]%7) }) + "]"
	}
	return map[string][2]string{
		"tiny":             {`1`, `2`},
		"nothing":          {``, `{}`},
		"nested arrays":    {nest("[", "1", "]", 999), nest("[", "2", "]", 999)},
		"nested objects":   {nest(`{"a":`, "1", "}", 999), nest(`{"a":`, "2", "}", 999)},
		"nested and wide":  {nest("[", repeat(2000, number), "]", 900), nest("[", repeat(2000, from(1)), "]", 900)},
		"lists in lists":   {lists("1"), lists("[2]")},
		"equal elements":   {"[" + repeat(3000, one("1")) + "]", "[0," + repeat(3000, one("1")) + ",2]"},
		"two values":       {"[" + repeat(1500, func(i int) string { return fmt.Sprint(i % 2) }) + "]", "[" + repeat(1500, func(i int) string { return fmt.Sprint(i % 3) }) + "]"},
		"other elements":   {"[" + repeat(1000, number) + "]", "[" + repeat(1000, from(1000)) + "]"},
		"rotated":          {"[" + repeat(1000, number) + "]", "[" + repeat(500, from(500)) + "," + repeat(500, number) + "]"},
		"shuffled":         {shuffled(1), shuffled(2)},
		"one name":         {"{" + repeat(2000, one(`"a":1`)) + "}", "{" + repeat(2000, one(`"a":2`)) + "}"},
		"other names":      {"{" + repeat(900, func(i int) string { return fmt.Sprintf(`"a%d":1`, i) }) + "}", "{" + repeat(900, func(i int) string { return fmt.Sprintf(`"b%d":1`, i) }) + "}"},
		"names backwards":  {"{" + repeat(900, func(i int) string { return fmt.Sprintf(`"a%d":1`, i) }) + "}", "{" + repeat(900, func(i int) string { return fmt.Sprintf(`"a%d":2`, 900-i) }) + "}"},
		"long names":       {nest(`{"`+strings.Repeat("n", 300)+`":`, "1", "}", 300), nest(`{"`+strings.Repeat("n", 300)+`":`, "2", "}", 300)},
		"arrays of arrays": {"[" + repeat(60, one("["+repeat(60, number)+"]")) + "]", "[" + repeat(60, one("["+repeat(60, from(1))+"]")) + "]"},
	}
}

// ruleSets are rules that ask much of a walk.
func ruleSets(t testing.TB) map[string]*Rules {
	many := make([]Rule, 300)
	for i := range many {
		many[i] = Rule{Path: fmt.Sprintf("$..x%d..*", i), Ignore: true}
	}
	nearly := make([]Rule, 40)
	for i := range nearly {
		nearly[i] = Rule{Path: "$..*..*", Tolerance: &Tolerance{Abs: "0.001"}}
	}
	return map[string]*Rules{
		"none":       nil,
		"ignore":     compiled(t, Rule{Path: "$..*", Ignore: true}),
		"many":       compiled(t, many...),
		"tolerances": compiled(t, nearly...),
		"sets":       compiled(t, Rule{Path: "$..*", Array: Array{Mode: Set}}, Rule{Path: "$", Array: Array{Mode: Set}}, Rule{Path: "$..*", Tolerance: &Tolerance{Abs: "1"}}),
		"multisets":  compiled(t, Rule{Path: "$..*", Array: Array{Mode: Multiset}}, Rule{Path: "$", Array: Array{Mode: Multiset}}),
		"keys":       compiled(t, Rule{Path: "$..*", Array: Array{Mode: Keyed, Key: Words{"a", "b"}}}, Rule{Path: "$", Array: Array{Mode: Keyed, Key: Words{"a"}}}),
		"filters":    compiled(t, Rule{Path: "$..[?@.a == 1 || @.b > 2]", Ignore: true}, Rule{Path: "$..[?@..*]", Number: "text"}),
		"asserts":    compiled(t, Rule{Path: "$..*", Class: "uuid"}, Rule{Path: "$..a", Expect: "changed"}),
		"moves":      compiled(t, Rule{Path: "$[*].a", Move: &Move{To: "$[*].c"}}, Rule{Path: "$.a1", Move: &Move{To: "$.b1"}}),
	}
}

// Whatever the documents and the rules are, no more steps are taken than the bytes
// given allow, and what was not looked at to the end is no match.
func TestStepsAreBoundedByBytes(t *testing.T) {
	t.Parallel()
	pairs := adversaries()
	for ruleName, rules := range ruleSets(t) {
		t.Run(ruleName, func(t *testing.T) {
			t.Parallel()
			for name, pair := range pairs {
				checkSteps(t, name, pair[0], pair[1], rules)
				if rules == nil {
					checkSteps(t, name+", swapped", pair[1], pair[0], nil)
				}
			}
		})
	}
}

func checkSteps(t *testing.T, name, p, c string, rules *Rules) {
	t.Helper()
	taken, most, out := stepsOf(JSON, p, c, rules)
	if taken > most {
		t.Errorf("%s: %d steps, %d allowed", name, taken, most)
	}
	if out.Truncated && out.Outcome == Match && out.Ruled <= maxKept {
		t.Errorf("%s: a match that was not looked at to the end", name)
	}
	if rules == nil && out.Outcome != Diverged {
		t.Errorf("%s: %v, want diverged", name, out.Outcome)
	}
}

func TestStepsOfTextsAreBounded(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 0))
	for range 20 {
		line := func(int) string { return []string{"a", "b", "", "c d"}[r.IntN(4)] }
		p, c := strings.ReplaceAll(repeat(1500, line), ",", "\n"), strings.ReplaceAll(repeat(1500, line), ",", "\n")
		if taken, most, _ := stepsOf(Text, p, c, nil); taken > most {
			t.Errorf("%d steps, %d allowed", taken, most)
		}
	}
}

// With no step left a comparison keeps what it has found and is never a match.
func TestSpentStepsAreNoMatch(t *testing.T) {
	t.Parallel()
	p, c := "["+repeat(50, func(i int) string { return fmt.Sprint(i) })+"]", "["+repeat(50, func(i int) string { return fmt.Sprint(i + 100) })+"]"
	for _, most := range []int{1, 60, 150, 100000} {
		var out Comparison
		find := &finder{rules: compiled(t, Rule{Path: "$[:40]", Ignore: true}).forExchange("", testTime)}
		find.meter = &meter{align: most / 2, most: most}
		pt, ct := treeOf(t, p), treeOf(t, c)
		walk(pt, ct, find)
		if find.meter.spent() {
			find.stop()
		}
		find.conclude(&out, true)
		spent := find.meter.spent()
		switch {
		case spent && (out.Outcome == Match || !out.Truncated):
			t.Errorf("%d steps: %v, truncated is %t", most, out.Outcome, out.Truncated)
		case spent && out.Divergences == 0 && (out.Outcome != NotComparable || out.Reason != ReasonTruncated):
			t.Errorf("%d steps: %v %s, want not comparable for truncation", most, out.Outcome, out.Reason)
		case !spent && (out.Divergences != 10 || out.Truncated):
			t.Errorf("%d steps: %d divergences, want 10", most, out.Divergences)
		}
	}
}
