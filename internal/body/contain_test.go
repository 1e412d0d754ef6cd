package body

import (
	"testing"

	"pgregory.net/rapid"
)

func TestContains(t *testing.T) {
	t.Parallel()
	f := func(p, q string, contains, selects, meets bool) {
		t.Helper()
		a, b := mustPath(t, p), mustPath(t, q)
		if got := a.Contains(b); got != contains {
			t.Errorf("%s contains %s: %v", p, q, got)
		}
		if got := a.SelectsAll(b); got != selects {
			t.Errorf("%s selects all of %s: %v", p, q, got)
		}
		if got := a.Meets(b); got != meets || b.Meets(a) != got {
			t.Errorf("%s meets %s: %v, %v", p, q, got, b.Meets(a))
		}
	}
	f("$", "$.a", true, false, false)
	f("$", "$", true, true, true)
	f("$.a", "$", false, false, false)
	f("$.a", "$.b", false, false, false)
	f("$.a", "$.a.b[3]", true, false, false)
	f("$.*", "$.a", true, true, true)
	f("$.a", "$.*", false, false, true)
	f("$..*", "$.a[1].b", true, true, true)
	f("$..*", "$", false, false, false)
	f("$..price", "$.items[*].price", true, true, true)
	f("$.items[*].price", "$..price", false, false, true)
	f("$..price", "$..items..price", true, true, true)
	f("$..a..b", "$.x.a.b", true, true, true)
	f("$.items[*]", "$.items[2]", true, true, true)
	f("$.items[0:5]", "$.items[2]", true, true, true)
	f("$.items[0:5]", "$.items[7]", false, false, true) // a slice may meet: not certain
	f("$.items[:]", "$.items[-1]", false, false, true)
	f("$.items[-1]", "$.items[3]", false, false, true)
	f("$.items[1]", "$.items[3]", false, false, false)
	f("$['a','b']", "$.b", true, true, true)
	f("$.a", "$['a','b']", false, false, true)
	f("$.items[0]", "$.items.name", false, false, false)
}

func mustPath(t interface{ Fatal(...any) }, text string) *Path {
	p, err := ParsePath(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestContainsIsSure draws paths and places: what one path contains it covers
// wherever the other selects, and what both select they meet in.
func TestContainsIsSure(t *testing.T) {
	t.Parallel()
	step := rapid.SampledFrom([]string{".a", ".b", ".*", "..a", "..*", "[0]", "[1]", "[-1]", "[*]", "[0:2]", "['a','b']"})
	place := rapid.SampledFrom([]Step{{Name: "a"}, {Name: "b"}, {Element: true, Index: 0, Len: 2}, {Element: true, Index: 1, Len: 2}})
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) *Path {
			text := "$"
			for _, s := range rapid.SliceOfN(step, 0, 4).Draw(t, name) {
				text += s
			}
			return mustPath(t, text)
		}
		p, q := draw("p"), draw("q")
		steps := rapid.SliceOfN(place, 0, 5).Draw(t, "steps")
		if q.Matches(steps) {
			if p.Contains(q) && !p.Covers(steps) {
				t.Fatalf("%s contains %s and does not cover %+v", p, q, steps)
			}
			if p.SelectsAll(q) && !p.Matches(steps) {
				t.Fatalf("%s selects all of %s and not %+v", p, q, steps)
			}
			if p.Matches(steps) && !p.Meets(q) {
				t.Fatalf("%s and %s do not meet in %+v", p, q, steps)
			}
		}
	})
}
