package mirror

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/internal/ids"
)

// TestAValueOfSeveralIdentifiers: at a place of several identifiers the one that has
// a partner holds; that a value may be none of one's does not make it none of another's.
func TestAValueOfSeveralIdentifiers(t *testing.T) {
	t.Parallel()
	const order = "0f8fad5b-d9cb-469f-a165-70867728950e"
	f := func(name string, first, second ids.Partner, same bool, target string, unmapped ...string) {
		t.Helper()
		unmappedIs := ids.UnmappedMark
		if same {
			unmappedIs = ids.UnmappedSame
		}
		set, faults := ids.Compile([]ids.Config{
			{Name: "trace", From: ids.At("$.trace"), In: ids.At("path")},
			{Name: "order", From: ids.At("$.id"), In: ids.At("path:/orders/{id}"), Unmapped: unmappedIs},
		})
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		r := parallax.Request{Method: "GET", Target: "/orders/" + order}
		var partners []ids.Partner
		spots := set.On(parallax.Candidate, r.Method, r.Target).InRequest(&r, nil)
		for _, s := range spots {
			partners = append(partners, map[string]ids.Partner{"trace": first, "order": second}[s.Name])
		}
		edits, names, _ := choose(spots, partners, func(s ids.Spot) bool { return s.Same })
		ids.Rewrite(&r, nil, edits)
		if want := "/orders/" + target; r.Target != want || !cmp.Equal(names, unmapped) {
			t.Errorf("%s: %s, unmapped %v; want %s, %v", name, r.Target, names, want, unmapped)
		}
	}
	paired, failed, unknown := ids.Partner{State: ids.Paired, Value: "x"}, ids.Partner{State: ids.Failed}, ids.Partner{}
	f("the second has a partner", unknown, paired, false, "x")
	f("the first has a partner", paired, unknown, false, "x")
	f("an exact place wants one", unknown, unknown, false, order, "order")
	f("one is on its way, or lost", unknown, failed, true, order, "order")
	f("the bare one's is lost", failed, unknown, true, order, "trace")
	f("a copy of the data", unknown, unknown, true, order)
}
