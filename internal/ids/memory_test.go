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

func TestMemoryForgetsAll(t *testing.T) {
	t.Parallel()
	dropped := map[string]int{}
	m := ids.NewMemory(ids.DefaultLimits, time.Now, func(reason string) { dropped[reason]++ })
	ref := ids.Ref{Name: "order", Leg: parallax.Primary, Value: "17"}
	if err := m.Learn(t.Context(), ids.Fact{Ref: ref, To: parallax.Candidate, State: ids.Paired, Partner: "9017"}); err != nil {
		t.Fatal(err)
	}
	m.Forget()
	found, err := m.Find(t.Context(), ref, ids.Ref{Name: "order", Leg: parallax.Candidate, Value: "9017"})
	if entries, bytes := m.Len(); err != nil || found[0] != (ids.Entry{}) || found[1] != (ids.Entry{}) || entries != 0 || bytes != 0 || dropped[ids.DroppedReset] != 2 {
		t.Errorf("%v, %v, %d entries of %d bytes, dropped %v", found, err, entries, bytes, dropped)
	}
}
