package divergence

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
)

// What this process wrote is read at once; what another wrote, five seconds after
// the store was last found to have nothing new.
func TestTicksOfOwnAtOnceAndOfOthersSoon(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	own, other := newRig(t, "own", s, s, Limits{}), newRig(t, "other", s, s, Limits{})
	now := noon
	own.cfg.Now = func() time.Time { return now }
	other.cfg.Now = own.cfg.Now
	n := 0
	write := func(r rig) {
		t.Helper()
		n++
		now = now.Add(time.Millisecond) // ticks of two instances at one time could stand in any order
		r.record(pair(n, "GET /a", 200, 200), matched, false)
		r.mustFlush(t)
	}
	var after Cursor
	f := func(want ...string) {
		t.Helper()
		ticks, err := own.Ticks(t.Context(), "shop", after, 0)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, tick := range ticks {
			got, after = append(got, tick.Instance), tick.Cursor()
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("instances of ticks (-want +got):\n%s", diff)
		}
	}
	own.note(nil) // the store takes batches
	f()
	write(own)
	f("own")
	f()
	write(other)
	f() // not asked
	write(own)
	f("other", "own")
	f()
	write(other)
	now = now.Add(othersEvery - 2*time.Millisecond)
	f()
	now = now.Add(2 * time.Millisecond)
	f("other")

	f()
	write(other)
	after = Cursor{}
	f("own", "other", "own", "other", "other") // another question is asked
	own.note(ErrAway)
	f()
	write(other)
	f("other") // while the store fails it is asked every time
}

// The totals of others are read again after five seconds, and after a failure.
func TestTotalsOfOthersAreReadRarely(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	own, other := newRig(t, "own", s, s, Limits{}), newRig(t, "other", s, s, Limits{})
	now := noon
	own.cfg.Now = func() time.Time { return now }
	n := 0
	f := func(ctx context.Context, want int64, fails bool) {
		t.Helper()
		n++
		other.record(pair(n, "GET /a", 200, 200), matched, false)
		other.mustFlush(t)
		got, err := own.Totals(ctx, "shop")
		if got.Received != want || (err != nil) != fails || got.Missing() != 0 {
			t.Errorf("received %d, %v; want %d", got.Received, err, want)
		}
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	f(gone, 0, true)
	f(t.Context(), 2, false)
	f(t.Context(), 2, false)
	own.ledger.Enter(parallax.Stamp{Service: "shop", Endpoint: "GET /a", Received: noon})
	f(gone, 3, false)
	now = now.Add(othersEvery)
	f(t.Context(), 6, false)
}
