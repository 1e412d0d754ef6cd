package compare

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/internal/body"
)

// randomJSON makes a document of few names and values, so that two of them have
// much in common.
func randomJSON(r *rand.Rand, depth int) string {
	switch n := r.IntN(10); {
	case n < 3 && depth > 0:
		var members []string
		for _, name := range []string{"a", "b", "c", "at"} {
			if r.IntN(2) == 0 {
				members = append(members, fmt.Sprintf(`%q:%s`, name, randomJSON(r, depth-1)))
			}
		}
		r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		return "{" + strings.Join(members, ",") + "}"
	case n < 6 && depth > 0:
		var elements []string
		for range r.IntN(5) {
			elements = append(elements, randomJSON(r, depth-1))
		}
		return "[" + strings.Join(elements, ",") + "]"
	default:
		return []string{"0", "1", "1.0", "2", `"x"`, `"y"`, "null", "true", "false", `""`}[r.IntN(10)]
	}
}

// changed returns a document that differs from text in little, or not at all.
func changed(r *rand.Rand, text string) string {
	for range r.IntN(3) {
		i := r.IntN(len(text))
		if c := text[i]; isDigit(c) {
			text = text[:i] + string('0'+byte(r.IntN(3))) + text[i+1:]
		}
	}
	return text
}

func pairs(t *testing.T, seed uint64, f func(r *rand.Rand, p, c string)) {
	t.Parallel()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 3000 {
		p := randomJSON(r, 4)
		c := randomJSON(r, 4)
		if r.IntN(2) == 0 {
			c = changed(r, p)
		}
		f(r, p, c)
	}
}

func diffJSON(p, c string, rules *Rules) Comparison {
	return Bodies(JSON, []byte(p), []byte(c), "GET /", rules, testTime)
}

func TestNothingDiffersFromItself(t *testing.T) {
	pairs(t, 1, func(_ *rand.Rand, p, _ string) {
		var spaced bytes.Buffer
		if err := json.Indent(&spaced, []byte(p), "", "  "); err != nil {
			t.Fatal(err)
		}
		if got := diffJSON(p, spaced.String(), nil); len(got.Differences) > 0 {
			t.Fatalf("%s\n%v", p, got.Differences)
		}
	})
}

// mirrored returns what a difference is seen from the other side, without the
// positions, which are the primary's.
func mirrored(d Difference) Difference {
	d.Primary, d.Candidate = d.Candidate, d.Primary
	switch d.Kind {
	case Missing:
		d.Kind = Extra
	case Extra:
		d.Kind = Missing
	}
	return d
}

func signature(differences []Difference, see func(Difference) Difference) []string {
	var out []string
	for _, d := range differences {
		d = see(d)
		out = append(out, fmt.Sprintf("%s %s %s %s", d.Normal, d.Kind, d.Primary, d.Candidate))
	}
	slices.Sort(out)
	return out
}

func TestSwappingSidesMirrorsTheResult(t *testing.T) {
	rules := compiled(t, Rule{Path: "$..c", Array: Array{Mode: Set}}, Rule{Path: "$..at", Ignore: true}, Rule{Path: "$..b", Tolerance: &Tolerance{Abs: "1"}})
	same := func(d Difference) Difference { return d }
	pairs(t, 2, func(r *rand.Rand, p, c string) {
		use := []*Rules{nil, rules}[r.IntN(2)]
		there, back := diffJSON(p, c, use), diffJSON(c, p, use)
		if diff := gocmp.Diff(signature(there.Differences, same), signature(back.Differences, mirrored)); diff != "" {
			t.Fatalf("%s\n%s\n%s", p, c, diff)
		}
	})
}

func TestMoreIgnoringNeverFindsMore(t *testing.T) {
	few := []Rule{{Path: "$..at", Ignore: true}}
	more := append(few, Rule{Path: "$..b", Ignore: true}, Rule{Path: "$..a", Tolerance: &Tolerance{Abs: "1"}})
	none, some, most := compiled(t), compiled(t, few...), compiled(t, more...)
	pairs(t, 3, func(_ *rand.Rand, p, c string) {
		a, b, c3 := diffJSON(p, c, none), diffJSON(p, c, some), diffJSON(p, c, most)
		if a.Outcome < b.Outcome || b.Outcome < c3.Outcome {
			t.Fatalf("%s\n%s\n%v, %v, %v", p, c, a.Outcome, b.Outcome, c3.Outcome)
		}
		if !strings.Contains(p+c, "[") && (a.Divergences < b.Divergences || b.Divergences < c3.Divergences) {
			t.Fatalf("%s\n%s\n%d, %d, %d", p, c, a.Divergences, b.Divergences, c3.Divergences)
		}
	})
}

func TestComparingIsDeterministic(t *testing.T) {
	pairs(t, 4, func(_ *rand.Rand, p, c string) {
		one, two := diffJSON(p, c, nil), diffJSON(p, c, nil)
		if diff := gocmp.Diff(one, two); diff != "" {
			t.Fatalf("%s\n%s\n%s", p, c, diff)
		}
	})
}

// An answer that is alike at a glance is judged as one that is looked at closely:
// with a secondary, even one that was not asked, nobody takes a short cut.
func TestAlikeIsAMatch(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(6, 0))
	sets := []*Rules{
		nil,
		compiled(t, Rule{Path: "header:date", Compare: true}, Rule{Path: "$..a", Ignore: true}),
		compiled(t, Rule{Path: "header:*", Compare: true}, Rule{Path: "status", Normal: []int{500}}),
		compiled(t, Rule{Path: "header:*", Ignore: true}, Rule{Path: "trailer:x", Ignore: true}),
		compiled(t, Rule{Path: "$.a", Regex: "1"}, Rule{Path: "status", Expect: "changed"}),
		compiled(t, Rule{Path: "header:etag", Class: "integer"}, Rule{Path: "header:y", Expect: "any"}, Rule{Path: "trailer:x", Regex: "1"}),
	}
	model := &NoiseModel{}
	short := 0
	for range 5000 {
		p, c := randomCall(r), randomCall(r)
		if r.IntN(2) == 0 {
			c.Response.Body, c.Response.Status = p.Response.Body, p.Response.Status
		}
		rules := sets[r.IntN(len(sets))]
		in := Input{Rules: rules, Noise: []*NoiseModel{nil, model}[r.IntN(2)]}
		quick := Compare(exchange(p, c), in)
		closely := Compare(exchange(p, c, &parallax.Call{Err: parallax.CallErr{Kind: parallax.NotAsked}}), in)
		if diff := gocmp.Diff(closely, quick); diff != "" {
			t.Fatalf("%+v\n%+v\n%s", p, c, diff)
		}
		if alike(p, c, rules.forExchange("GET /orders/{id}", testTime)) {
			short++
		}
		model.Add(Compare(exchange(p, c, randomCall(r)), in).Sample)
	}
	if short < 50 {
		t.Errorf("only %d of 5000 pairs are alike", short)
	}
}

// randomCall makes a call of few answers, so that two of them are often alike.
func randomCall(r *rand.Rand) *parallax.Call {
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	c := answer([]int{200, 200, 500}[r.IntN(3)], one(`{"a":1}`, `{"a": 1}`, `{"a":2}`))
	c.Response.Headers = []parallax.Field{
		{Name: one("Content-Type", "content-type"), Value: one("application/json", "application/json", "text/plain")},
		{Name: "Date", Value: one("1", "2")}, {Name: "ETag", Value: one("1", "1", "2")},
		{Name: "Content-Encoding", Value: one("identity", "Identity", "gzip")},
	}
	if r.IntN(2) == 0 {
		c.Response.Trailers = []parallax.Field{{Name: "X", Value: one("1", "1", "2")}, {Name: "Date", Value: one("1", "2")}}
	}
	switch r.IntN(8) {
	case 0:
		c.Response.Body.Bytes, c.Response.Body.Cut = c.Response.Body.Bytes[:3], true
	case 1:
		c.Err.Kind = []parallax.ErrKind{parallax.Timeout, parallax.CallerGone, parallax.NotAsked}[r.IntN(3)]
	}
	return c
}

// number is a JSON number for the oracle, by its canonical spelling.
type number string

// oracle decodes a document for go-cmp: objects as maps from a name to its
// values in order, numbers by their exact value.
func oracle(t *body.Tree, i int32) any {
	n := &t.Nodes[i]
	switch n.Kind {
	case body.Null:
		return nil
	case body.True, body.False:
		return n.Kind == body.True
	case body.Number:
		return number(body.CanonicalNumber(t.Text(i)))
	case body.String:
		return string(t.Value(i))
	case body.Array:
		out := []any{}
		for child := i + 1; child < n.Next; child = t.Nodes[child].Next {
			out = append(out, oracle(t, child))
		}
		return out
	}
	out := map[string][]any{}
	for child := i + 1; child < n.Next; child = t.Nodes[child].Next {
		name := string(t.Name(child))
		out[name] = append(out[name], oracle(t, child))
	}
	return out
}

// checkWalk compares the walker with go-cmp: both find a difference or neither
// does, and the other way round too.
func checkWalk(t *testing.T, a, b []byte) {
	limits := body.Limits{Depth: 100, Nodes: 1000}
	p, errP := body.ParseJSON(a, limits)
	c, errC := body.ParseJSON(b, limits)
	if errP != nil || errC != nil {
		return
	}
	find := &finder{}
	walk(p, c, find)
	equal := gocmp.Equal(oracle(p, 0), oracle(c, 0))
	if found := len(find.sorted()) > 0; found == equal {
		t.Fatalf("%s\n%s\nwalker: %v, go-cmp: %t", a, b, find.kept, equal)
	}
	back := &finder{}
	walk(c, p, back)
	if cmp.Compare(find.counting, back.counting) != 0 && !find.truncated {
		t.Fatalf("%s\n%s\n%d differences, %d the other way", a, b, find.counting, back.counting)
	}
}

func TestWalkerAgreesWithGoCmp(t *testing.T) {
	pairs(t, 5, func(_ *rand.Rand, p, c string) { checkWalk(t, []byte(p), []byte(c)) })
}

func FuzzWalk(f *testing.F) {
	f.Add([]byte(`{"a":[1,2,{"b":null}]}`), []byte(`{"a":[1.0,{"b":[]},2]}`))
	f.Add([]byte(`{"a":1,"a":2}`), []byte(`{"a":2,"a":1}`))
	f.Add([]byte(`[1,2,3,4,5]`), []byte(`[5,4,3,2,1]`))
	f.Add([]byte(`["\ud800",1e400]`), []byte(`["\udc00",1E+400]`))
	f.Fuzz(func(t *testing.T, a, b []byte) { checkWalk(t, a, b) })
}

// FuzzCompare: no bytes of a body, whatever its headers say, make Compare panic,
// and an exchange always matches itself.
func FuzzCompare(f *testing.F) {
	f.Add([]byte(`{"a":1}`), []byte(`{"a":2}`), "application/json", "gzip")
	f.Add([]byte("a\nb"), []byte("b\na"), "text/plain", "")
	rules := compiled(f, Rule{Path: "$..a", Array: Array{Mode: Set}}, Rule{Path: "$..[0]", Ignore: true}, Rule{Path: "$..*", Tolerance: &Tolerance{Abs: "0.5", Rel: "0.1"}})
	f.Fuzz(func(t *testing.T, a, b []byte, contentType, coding string) {
		p := answer(200, string(a), "Content-Type", contentType, "Content-Encoding", coding)
		c := answer(200, string(b), "Content-Type", contentType, "Set-Cookie", coding)
		Compare(exchange(p, c, p), Input{})
		Compare(exchange(p, c, c), Input{Rules: rules, Noise: &NoiseModel{}})
		if got := Compare(exchange(p, p), Input{}); got.Outcome != Match {
			t.Fatalf("differs from itself: %v", got.Differences)
		}
	})
}
