package divergence

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSignOffsAreReadByEveryProcess: the last on each endpoint is in force, all are kept,
// and a process whose store is away does not know what was signed.
func TestSignOffsAreReadByEveryProcess(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	clock := func() time.Time { return noon }
	first := newBoard(s, t.TempDir(), clock)
	signed := func(minute int, endpoint, until string) SignOff {
		return SignOff{
			At: noon.Add(time.Duration(minute) * time.Minute), Endpoint: endpoint, Until: until, Who: "ann", Reason: "twice a day",
			Limits:    []SignedLimit{{Test: "divergence", K: 1, N: 20, Upper: 1.0 / 3}, {Test: "errors", N: 20, Upper: 0.1}},
			RulesHash: "r1+a2", PolicyHash: "p1", PrimaryVersion: "1.0", CandidateVersion: "2.0",
		}
	}
	all := []SignOff{
		signed(1, "GET /a", "2026-12-01"), signed(2, "GET /b", "2026-12-01"), signed(3, "GET /a", "2026-12-31"),
		{At: noon.Add(4 * time.Minute), Endpoint: "GET /b", Who: "bob", Reason: "a mistake"},
	}
	if _, known := first.Said("signs"); known {
		t.Error("the store was not asked, and what was said is known")
	}
	for _, each := range all {
		if err := first.SignOff(t.Context(), "signs", each); err != nil {
			t.Fatal(err)
		}
	}
	second := newBoard(s, t.TempDir(), clock)
	if err := second.refresh(t.Context(), "signs"); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*Board{"the same": first, "another": second} {
		said, known := b.Said("signs")
		if diff := cmp.Diff([]SignOff{all[2]}, said.Signed); diff != "" || !known {
			t.Errorf("%s process, known %v (-want +got):\n%s", name, known, diff)
		}
	}
	if kept, err := s.Decisions(t.Context(), "signs", SignOffKind); err != nil || len(kept) != len(all) {
		t.Errorf("%d are kept, %v", len(kept), err)
	}
	if err := newBoard(awayStore(t), t.TempDir(), clock).SignOff(t.Context(), "signs", all[0]); !errors.Is(err, ErrAway) {
		t.Errorf("with the store away: %v", err)
	}
}

// TestASlowRefreshBringsBackNoSignOff: what began earlier knows less.
func TestASlowRefreshBringsBackNoSignOff(t *testing.T) {
	t.Parallel()
	b := newBoard(awayStore(t), t.TempDir(), func() time.Time { return noon })
	b.read["signs"] = true
	b.putSigned("signs", signedPage{begun: 2})
	b.putSigned("signs", signedPage{begun: 1, list: []SignOff{{Endpoint: "GET /a"}}})
	if said, _ := b.Said("signs"); len(said.Signed) != 0 {
		t.Errorf("signed: %+v", said.Signed)
	}
}

func TestSignOffsEndAfterTheirLastDay(t *testing.T) {
	t.Parallel()
	f := func(until string, now time.Time, want bool) {
		t.Helper()
		if got := (SignOff{Until: until}).Over(now); got != want {
			t.Errorf("%s at %v: over %v", until, now, got)
		}
	}
	end := time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC)
	f("2026-12-01", end.Add(-time.Nanosecond), false)
	f("2026-12-01", end, true)
	f("", end, true)
	f("soon", end, true)
}
