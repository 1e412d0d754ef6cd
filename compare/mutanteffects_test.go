package compare_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/compare"
)

// TestMutantsOfEffectsAreCaught: no flaw in what a leg wrote passes without rules, and one
// that a rule is about passes with it.
func TestMutantsOfEffectsAreCaught(t *testing.T) {
	t.Parallel()
	x := wrote([]string{
		`insert orders|number:id!=17|number:total=12.5;note=a;bool:paid=t;time:at=2026-11-23T04:00:00Z;json:meta={"a":1};gone=NULL`,
		"insert items|number:id!=1|number:order_id>orders.id=17;sku=a", "insert items|number:id!=2|number:order_id>orders.id=17;sku=b",
		"update stock|sku=a|number:n=4", "delete carts|number:id=3|",
	}, nil)
	rules, faults := compare.Compile([]compare.Rule{{Path: "effects:orders $.total", Ignore: true}})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	flaws, hidden := map[compare.Flaw]int{}, 0
	for seed := range uint64(100) {
		for _, m := range compare.Mutants(x.Legs[parallax.Primary], nil, seed, 2) {
			if m.Flaw == compare.StatusChanged {
				continue
			}
			flaws[m.Flaw]++
			trial := *x
			trial.Legs[parallax.Candidate] = m.Call
			c := compare.Compare(&trial, compare.Input{Effects: &compare.Effects{}})
			if c.Outcome != compare.Diverged {
				t.Fatalf("%s passes: %+v\n%+v", m.Flaw, m.Call.Effects, c)
			}
			under := compare.Compare(&trial, compare.Input{Effects: &compare.Effects{}, Rules: rules})
			if about := c.Differences[0].Normal == "effects:orders $.total"; about != (under.Outcome == compare.Match) {
				t.Errorf("%s: %s under the rule: %v", m.Flaw, c.Differences[0].Normal, under.Outcome)
			} else if about {
				hidden++
			}
		}
	}
	want := []compare.Flaw{compare.RowMissing, compare.RowTwice, compare.RowValueChanged, compare.RowWrongReference}
	if d := cmp.Diff(want, slices.Sorted(maps.Keys(flaws))); d != "" || hidden == 0 {
		t.Errorf("(-want +got)\n%s%d were hidden", d, hidden)
	}
}
