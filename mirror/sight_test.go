package mirror

import (
	"testing"

	"parallax"
)

// TestEndpointsWithoutPairs are those that callers met the candidate on, and no shadow.
func TestEndpointsWithoutPairs(t *testing.T) {
	t.Parallel()
	var s sight
	f := func(name string, want bool) {
		t.Helper()
		if got := s.unpaired(); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	f("nobody asked anything", false)
	s[parallax.Primary][live].requests.Add(1)
	f("callers of the primary", false)
	s[parallax.Candidate][live].requests.Add(1)
	f("callers of the candidate too", true)
	s[parallax.Primary][shadow].requests.Add(1)
	f("a shadow was asked", false)
}
