package body

import (
	"math/rand/v2"
	"testing"
)

// TestMatchesAsTheAutomatonDoes takes ways through documents along paths: what is said of
// a path's end never says otherwise than looking at all of it.
func TestMatchesAsTheAutomatonDoes(t *testing.T) {
	t.Parallel()
	var paths []*Path
	for _, text := range []string{"$", "$.a", "$.a.b", "$..b", "$..a[*]", "$.a[0]", "$['a','b']", "$.*", "$..*.b", "$.a[*].b", "$[*]", "$.b[-1]", "$..a..b"} {
		p, err := ParsePath(text)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		steps := make([]Step, random.IntN(5))
		for i := range steps {
			if steps[i] = (Step{Name: []string{"a", "b", "c"}[random.IntN(3)]}); random.IntN(3) == 0 {
				steps[i] = Step{Element: true, Index: random.IntN(2), Len: 2, Implied: random.IntN(2) == 0}
			}
		}
		for _, p := range paths {
			want, _ := p.run(steps)
			if got := p.Matches(steps); got != want {
				t.Fatalf("%s matches %+v: %v, want %v", p, steps, got, want)
			}
			if n := len(steps); want && n > 0 && !steps[n-1].Element && !p.MayEnd([]byte(steps[n-1].Name)) {
				t.Fatalf("%s matches %+v, and may not end so", p, steps)
			}
		}
	}
}

// BenchmarkPathMatches asks for a value that is called otherwise than the path ends, and
// for one that is called so and stands elsewhere.
func BenchmarkPathMatches(b *testing.B) {
	p, err := ParsePath("$.orders[*].id")
	if err != nil {
		b.Fatal(err)
	}
	for name, steps := range map[string][]Step{
		"otherwise": {{Name: "orders"}, {Element: true, Len: 9}, {Name: "total"}},
		"elsewhere": {{Name: "items"}, {Element: true, Len: 9}, {Name: "id"}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if p.Matches(steps) {
					b.Fatal("it matches")
				}
			}
		})
	}
}
