package mirror

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/internal/ids"
)

// TestPairsThatAreKnownStay holds that a list in another order, or a wrong record, does
// not change what numbers stand for.
func TestPairsThatAreKnownStay(t *testing.T) {
	t.Parallel()
	order := &ids.Identifier{Name: "order"}
	values := func(leg parallax.Leg, list ...string) (out []born) {
		for _, v := range list {
			out = append(out, born{order, 0, ids.Ref{Name: "order", Leg: leg, Value: v}})
		}
		return out
	}
	known := map[ids.Ref]ids.Ref{}
	know := func(primary, candidate string) {
		p, c := ids.Ref{Name: "order", Leg: parallax.Primary, Value: primary}, ids.Ref{Name: "order", Leg: parallax.Candidate, Value: candidate}
		known[p], known[c] = c, p
	}
	know("17", "9017")
	know("18", "9018")
	f := func(primary, candidate []string, want map[string]string) {
		t.Helper()
		got := map[string]string{}
		for _, fact := range pairs(values(parallax.Primary, primary...), values(parallax.Candidate, candidate...), parallax.Candidate, known) {
			got[fact.Value] = fact.State.String() + " " + fact.Partner
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%v and %v (-want +got)\n%s", primary, candidate, d)
		}
	}
	f([]string{"17", "18", "19"}, []string{"9017", "9018", "9019"}, map[string]string{"17": "paired 9017", "18": "paired 9018", "19": "paired 9019"})
	f([]string{"17", "18", "19"}, []string{"9018", "9019", "9017"}, map[string]string{"19": "paired 9019"})
	f([]string{"17", "19", "20"}, []string{"9019", "9020", "9017"}, map[string]string{"19": "failed ", "20": "failed "})
	f([]string{"17"}, []string{"9018"}, map[string]string{})
	f([]string{"17"}, []string{"9020"}, map[string]string{})
	f([]string{"19"}, []string{"9018"}, map[string]string{"19": "failed "})
	f([]string{"17", "18"}, []string{"9017"}, map[string]string{"17": "failed ", "18": "failed "})
}
