package ids_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/internal/ids"
	"parallax/internal/ids/idstest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	idstest.TestMap(t, func(*testing.T) ids.Map { return ids.NewMemory(ids.DefaultLimits, time.Now, nil) })
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)
	f := func(limits ids.Limits, reason string) {
		t.Helper()
		dropped := map[string]int{}
		m := ids.NewMemory(limits, func() time.Time { return now }, func(reason string) { dropped[reason]++ })
		for i := range 1000 {
			first := ids.Ref{Name: "order", Leg: parallax.Primary, Value: "0"}
			if _, err := m.Find(t.Context(), first); err != nil { // what is asked for stays
				t.Fatal(err)
			}
			fact := ids.Fact{Ref: ids.Ref{Name: "order", Leg: parallax.Primary, Value: fmt.Sprint(i)}, To: parallax.Candidate, State: ids.Paired, Partner: fmt.Sprint(9000 + i)}
			if err := m.Learn(t.Context(), fact); err != nil {
				t.Fatal(err)
			}
			if n, bytes := m.Len(); n > limits.Entries || bytes > limits.Bytes {
				t.Fatalf("%d values, %d bytes", n, bytes)
			}
		}
		got, _ := m.Find(t.Context(), ids.Ref{Name: "order", Value: "0"}, ids.Ref{Name: "order", Value: "1"}, ids.Ref{Name: "order", Value: "999"})
		states := []ids.State{got[0][parallax.Candidate].State, got[1][parallax.Candidate].State, got[2][parallax.Candidate].State}
		if diff := cmp.Diff([]ids.State{ids.Paired, ids.Unknown, ids.Paired}, states); diff != "" {
			t.Error(diff)
		}
		if dropped[reason] == 0 || len(dropped) != 1 {
			t.Errorf("dropped: %v", dropped)
		}
	}
	f(ids.Limits{Entries: 100, Bytes: 1 << 30}, ids.DroppedEntries)
	f(ids.Limits{Entries: 1 << 20, Bytes: 40_000}, ids.DroppedBytes)
}

func TestMemoryForgetsInTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)
	expired := 0
	m := ids.NewMemory(ids.DefaultLimits, func() time.Time { return now }, func(reason string) {
		if reason == ids.DroppedExpired {
			expired++
		}
	})
	ref := ids.Ref{Name: "order", Value: "17"}
	state := func() ids.State {
		found, err := m.Find(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		return found[0][parallax.Candidate].State
	}
	if err := m.Learn(t.Context(), ids.Fact{Ref: ref, To: parallax.Candidate, State: ids.Paired, Partner: "9017", TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(50 * time.Minute)
	if state() != ids.Paired {
		t.Error("forgotten before its time")
	}
	now = now.Add(50 * time.Minute) // it was asked for meanwhile
	if state() != ids.Paired {
		t.Error("forgotten although it was asked for")
	}
	now = now.Add(time.Hour)
	if state() != ids.Unknown || expired != 1 {
		t.Errorf("remembered past its time; %d expired", expired)
	}
}

func TestViewsAreStoredWhole(t *testing.T) {
	t.Parallel()
	m := ids.NewMemory(ids.DefaultLimits, time.Now, nil)
	ref := ids.Ref{Name: "order", Value: "17"}
	if err := m.Learn(t.Context(), ids.Fact{Ref: ref, To: parallax.Candidate, State: ids.Paired, Partner: "9017"}); err != nil {
		t.Fatal(err)
	}
	back := ids.Ref{Name: "order", Leg: parallax.Candidate, Value: "9017"}
	v, truncated, err := ids.Look(t.Context(), m, []ids.Ref{ref, back, ref})
	if err != nil || truncated {
		t.Fatal(truncated, err)
	}
	again := ids.NewView(v.Known())
	if diff := cmp.Diff(v.Known(), again.Known()); diff != "" || len(v.Known()) != 2 {
		t.Error(diff, v.Known())
	}
	if p := again.Partner(back, parallax.Primary); p != (ids.Partner{State: ids.Paired, Value: "17"}) {
		t.Errorf("partner: %v", p)
	}
}

func TestMemoryForgetsWhatWasLearnedBefore(t *testing.T) {
	t.Parallel()
	dropped, now := map[string]int{}, time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	m := ids.NewMemory(ids.DefaultLimits, func() time.Time { return now }, func(reason string) { dropped[reason]++ })
	ref := func(value string) ids.Ref { return ids.Ref{Name: "order", Leg: parallax.Primary, Value: value} }
	learn := func(f ids.Fact) {
		t.Helper()
		f.To = parallax.Candidate
		if err := m.Learn(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	learn(ids.Fact{Ref: ref("17"), State: ids.Paired, Partner: "9017"})
	learn(ids.Fact{Ref: ref("16"), State: ids.Failed})
	copied := now.Add(time.Second)
	now = now.Add(time.Minute)
	learn(ids.Fact{Ref: ref("17"), State: ids.Failed}) // which counts less than the pair
	learn(ids.Fact{Ref: ref("18"), State: ids.Failed})
	learn(ids.Fact{Ref: ref("19"), State: ids.Paired, Partner: "9019"}) // by an exchange that was over before
	m.Forget(copied)
	found, err := m.Find(t.Context(), ref("17"), ids.Ref{Name: "order", Leg: parallax.Candidate, Value: "9017"}, ref("18"), ref("16"), ref("19"))
	want := []ids.Entry{{}, {}, {parallax.Candidate: {State: ids.Failed}}, {}, {}}
	if diff := cmp.Diff(want, found); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if entries, _ := m.Len(); entries != 1 || dropped[ids.DroppedReset] != 5 {
		t.Errorf("%d entries are left, dropped %v", entries, dropped)
	}
}
