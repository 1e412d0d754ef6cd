package compare_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/compare"
)

func TestZeroPlacesAreTouched(t *testing.T) {
	t.Parallel()
	zero, faults := compare.ParseZero([]string{"$.amount", "$.items[*].price", "effects:ledger", "effects:orders $.total"})
	if faults != nil {
		t.Fatal(faults)
	}
	for _, c := range []struct {
		normal, primary, by string
		want                bool
	}{
		{"$.amount", "1", "", true},
		{"$.amount", "1", "rule", false},
		{"$.amount.cents", "1", "", true},
		{"$.note", `"x"`, "", false},
		{"$.items[*].price", "1", "", true},
		{"$.items[*].name", `"x"`, "", false},
		{"$.items[*]", `{"price":1}`, "", true},
		{"$.items", `[{"price":1}]`, "", true},
		{"$", `{"amount":1}`, "", true},
		{"$.other", `{"amount":1}`, "", false},
		{"status", "200", "", false},
		{"header:amount", "200", "", false},
		{"effects:ledger", `{"id":1}`, "", true},
		{"effects:ledger $.anything", "1", "", true},
		{"effects:ledgers", "1", "", false},
		{"effects:orders", `{"id":1}`, "", true},
		{"effects:orders $.total", "1", "", true},
		{"effects:orders $.note", "1", "", false},
	} {
		d := compare.Difference{Normal: c.normal, Primary: c.primary, Fingerprint: "1-a", Suppressed: compare.Suppression{By: c.by}}
		got := zero.Touched(&compare.Comparison{Outcome: compare.Diverged, Differences: []compare.Difference{d}})
		if touched := slices.Equal(got, []string{"1-a"}); touched != c.want {
			t.Errorf("%s %s %q: touched %v", c.normal, c.primary, c.by, got)
		}
	}
}

func TestZeroPlacesOfAnExchangeWithMoreDifferencesThanListed(t *testing.T) {
	t.Parallel()
	zero, _ := compare.ParseZero([]string{"$.amount"})
	got := zero.Touched(&compare.Comparison{Outcome: compare.Diverged, Truncated: true, Differences: []compare.Difference{
		{Normal: "$.a", Fingerprint: "1-a", Suppressed: compare.Suppression{By: "noise"}}, {Normal: "$.b", Fingerprint: "1-b"}, {Normal: "$.c", Fingerprint: "1-c"},
	}})
	if diff := cmp.Diff([]string{"1-b"}, got); diff != "" {
		t.Error(diff)
	}
	if got := (*compare.ZeroPlaces)(nil).Touched(&compare.Comparison{Outcome: compare.Diverged}); got != nil {
		t.Errorf("no places, and %v", got)
	}
}

func TestZeroPlacesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	_, faults := compare.ParseZero([]string{"$.amount", "amount", "effects:", "effects:led*", "effects:*", "effects:a b"})
	var at []string
	for _, f := range faults {
		at = append(at, f.Path)
	}
	if diff := cmp.Diff([]string{"[1]", "[2]", "[3]", "[5]"}, at); diff != "" {
		t.Errorf("faults (-want +got):\n%s\n%v", diff, faults)
	}
}
