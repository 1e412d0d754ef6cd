package divergence

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPlaceValues: the values at a place, where they count or are noise, and not those a
// rule or an acceptance took away.
func TestPlaceValues(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	fill(t, s)
	f := func(path string, want int) {
		t.Helper()
		got, err := s.PlaceValues(t.Context(), "shop", PlaceFilter{Endpoint: "GET /a", Path: path, Kind: "changed"})
		if err != nil {
			t.Fatal(err)
		}
		d := difference("1-aa", path, "")
		var all [][2]string
		for range want {
			all = append(all, [2]string{d.Primary, d.Candidate})
		}
		if diff := cmp.Diff(all, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", path, diff)
		}
	}
	f("$.c", 2)
	f("$.b", 1)
	f("$.a", 0)
	f("$.e", 0)
	f("$.nowhere", 0)
}
