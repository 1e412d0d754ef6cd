package compare

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestSuggest: each kind of value gets the closest rule, and what looks like a fault
// gets none.
func TestSuggest(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	at := func(i int) string {
		return `"` + testTime.Add(time.Duration(i)*time.Second).Format(time.RFC3339) + `"`
	}
	f := func(name, want string, n, of int64, pair func(i int) (p, c string)) {
		t.Helper()
		o := Observed{Endpoint: "GET /orders/{id}", Path: "$.x", N: n, Of: of}
		for i := range 40 {
			p, c := pair(i)
			o.Values = append(o.Values, [2]string{p, c})
		}
		got, ok := Suggest(o)
		switch {
		case want == "" && ok:
			t.Errorf("%s: suggested %s", name, got.YAML)
		case want != "" && !strings.Contains(got.YAML, want):
			t.Errorf("%s: suggested %q, want %q in it", name, got.YAML, want)
		case want != "" && (!strings.Contains(got.YAML, fmt.Sprintf("differs in %d of %d exchanges", n, of)) || len(got.Examples) != 3 || got.Caution == ""):
			t.Errorf("%s: without its evidence: %+v", name, got)
		}
		if _, faults := ReadRules("suggested", []byte(got.YAML)); want != "" && len(faults) > 0 {
			t.Errorf("%s: %v", name, faults)
		}
	}
	quoted := func(text string) string { return `"` + text + `"` }
	f("uuid", "class: uuid", 98, 100, func(int) (string, string) { return quoted(uuid(r)), quoted(uuid(r)) })
	f("times a second apart", "within: 2s", 100, 100, func(i int) (string, string) { return at(i), at(i + 1) })
	f("times days apart", "class: timestamp", 100, 100, func(i int) (string, string) { return at(i), at(i + 1e6) })
	f("numbers near each other", `abs: "6"`, 100, 100, func(i int) (string, string) { return fmt.Sprint(1000 + i), fmt.Sprint(1003 + i) })
	f("any numbers", "class: integer", 100, 100, func(int) (string, string) { return fmt.Sprint(r.Uint32()), fmt.Sprint(r.Uint32()) })
	token := func() string { return quoted(fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())) }
	f("tokens in hex", "class: hex", 100, 100, func(int) (string, string) { return token(), token() })
	jwt := func() string { return quoted("eyJhbGciOiJIUzI1NiJ9." + strings.Trim(token(), `"`) + ".c2ln") }
	f("jwt", "class: jwt", 100, 100, func(int) (string, string) { return jwt(), jwt() })
	f("words", "ignore: true", 100, 100, func(i int) (string, string) { return quoted(fmt.Sprint("word ", i)), quoted(fmt.Sprint("other ", -i)) })
	f("one wrong value", "", 100, 100, func(i int) (string, string) { return fmt.Sprint(i), "0" })
	f("half of the exchanges", "", 50, 100, func(int) (string, string) { return quoted(uuid(r)), quoted(uuid(r)) })
	f("too few", "", 19, 19, func(int) (string, string) { return quoted(uuid(r)), quoted(uuid(r)) })
	f("cut", "", 100, 100, func(int) (string, string) { return quoted(uuid(r)) + cutMark, quoted(uuid(r)) })
}

// TestNothingIsSuggestedWhereNoRuleApplies: a place no rule can name gets none.
func TestNothingIsSuggestedWhereNoRuleApplies(t *testing.T) {
	t.Parallel()
	o := Observed{Path: "answer", N: 100, Of: 100}
	for i := range 40 {
		o.Values = append(o.Values, [2]string{fmt.Sprint(i), fmt.Sprint(-i)})
	}
	if got, ok := Suggest(o); ok {
		t.Errorf("suggested %+v", got.Rule)
	}
}
