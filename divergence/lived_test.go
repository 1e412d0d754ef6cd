package divergence

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/compare"
)

// TestTicksTellWhatCallersGot: with what else came in on the endpoint, once, and also where
// nothing did.
func TestTicksTellWhatCallersGot(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	r := newRig(t, "lived", s, s, Limits{})
	writes := []LiveWrite{
		{"orders", "insert", Wrote{90, 1, 80, 2}, Wrote{2, 0, 2, 0}},
		{"http:mail", "emit", Wrote{90, 0, 0, 0}, Wrote{2, 2, 0, 0}},
	}
	told := []Live{
		{Service: "lived", Endpoint: "POST /a", Primary: Lived{N: 100, Failed: 1, Timed: 90, Slow: 9}, Candidate: Lived{5, 2, 4, 3, 2, 1}, Writes: writes},
		{Service: "lived", Endpoint: "POST /b", Candidate: Lived{N: 1}},
	}
	r.cfg.Live = func() []Live {
		out := told
		told = nil
		return out
	}
	x := pair(1, "POST /a", 200, 200)
	x.Service = "lived"
	r.record(x, compare.Comparison{Outcome: compare.Match}, false)
	r.mustFlush(t)
	ticks, err := s.Ticks(t.Context(), "lived", Cursor{}, 0)
	if err != nil || len(ticks) != 2 {
		t.Fatalf("%+v, %v", ticks, err)
	}
	want := []Tick{
		{Endpoint: "POST /a", N: 1, LivePrimary: Lived{N: 100, Failed: 1, Timed: 90, Slow: 9}, LiveCandidate: Lived{5, 2, 4, 3, 2, 1}, LiveWrites: writes},
		{Endpoint: "POST /b", LiveCandidate: Lived{N: 1}},
	}
	for i, got := range ticks {
		got = Tick{Endpoint: got.Endpoint, N: got.N, LivePrimary: got.LivePrimary, LiveCandidate: got.LiveCandidate, LiveWrites: got.LiveWrites}
		if diff := cmp.Diff(want[i], got); diff != "" {
			t.Errorf("tick %d (-want +got):\n%s", i, diff)
		}
	}
	r.mustFlush(t)
	if ticks, err = s.Ticks(t.Context(), "lived", Cursor{}, 0); err != nil || len(ticks) != 2 {
		t.Errorf("told again: %+v, %v", ticks, err)
	}
}
