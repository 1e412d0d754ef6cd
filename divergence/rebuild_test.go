package divergence

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
)

// between hands exchanges from a mirror's ledger to a worker, which compares them.
func between(t *testing.T, mirror, worker rig, list ...*parallax.Exchange) {
	t.Helper()
	for _, x := range list {
		mirror.hand(x)
	}
	worker.works(t, list...)
}

func (r rig) hand(x *parallax.Exchange) {
	r.ledger.Enter(x.Stamp())
	r.ledger.Move(x.Stamp(), parallax.InLive, parallax.InQueue)
	r.ledger.Hand(x.Stamp(), false)
}

func (r rig) works(t *testing.T, list ...*parallax.Exchange) {
	t.Helper()
	judge := newJudge(t)
	w := NewWorker(WorkerConfig{Source: &listSource{}, Fetched: true, Recorder: r.Recorder, Ledger: r.ledger, Log: quiet, Judge: func(string) *Judge { return judge }})
	w.all(t.Context(), list)
}

// TestRebuild: what a killed mirror had not counted, what Redis forgot and what was compared twice
// add up afterwards, and a second rebuild finds nothing to do.
func TestRebuild(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	mirror, killed := newRig(t, "mirror", s, s, Limits{}), newRig(t, "killed", s, s, Limits{})
	worker, other := newRig(t, "worker", s, s, Limits{}), newRig(t, "other", s, s, Limits{})
	now := time.Now().UTC()
	n := 0
	exchanges := func(count int) []*parallax.Exchange {
		list := make([]*parallax.Exchange, count)
		for i := range list {
			list[i] = pair(n, "GET /a", 200, 200)
			list[i].Received = now.Add(-10 * time.Minute)
			n++
		}
		return list
	}
	between(t, mirror, worker, exchanges(20)...)
	between(t, killed, worker, exchanges(7)...) // and never written by the mirror
	twice := exchanges(4)
	between(t, mirror, worker, twice...)
	for _, x := range exchanges(5) { // Redis forgets 3 of them
		mirror.hand(x)
	}
	for _, r := range []rig{mirror, worker} {
		r.mustFlush(t)
	}
	other.works(t, twice...) // a worker stood still
	other.mustFlush(t)

	waiting := map[parallax.Stamp]int64{{Service: "shop", Endpoint: "GET /a", Received: now.Add(-10 * time.Minute).Truncate(time.Minute)}: 2}
	got, err := s.Rebuild(t.Context(), "shop", "rebuild-1", now, 0, waiting)
	if err != nil {
		t.Fatal(err)
	}
	want := Rebuilt{Lost: 0, Received: 4, Returned: 8, Twice: 4, Instances: 0}
	if got.Instances = 0; got != want { // which instances are gone is a matter of their last tick
		t.Errorf("rebuilt %+v, want %+v", got, want)
	}
	a, err := s.Accounting(t.Context(), "shop", Window{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Missing() != 0 || a.InFlight != 2 || a.Compared["match"]+a.Compared["diverged"] != 31 {
		t.Errorf("afterwards %+v", a)
	}
	got, err = s.Rebuild(t.Context(), "shop", "rebuild-2", now, 0, waiting)
	if got.Instances = 0; err != nil || got != (Rebuilt{}) {
		t.Errorf("the second time %+v, %v", got, err)
	}
}

// TestRebuildOfWhatRedisForgot counts it as lost.
func TestRebuildOfWhatRedisForgot(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	mirror := newRig(t, "mirror", s, s, Limits{})
	now := time.Now().UTC()
	for n := range 6 {
		x := pair(n, "GET /a", 200, 200)
		x.Received = now.Add(-10 * time.Minute)
		mirror.hand(x)
	}
	mirror.mustFlush(t)
	if r, err := s.Rebuild(t.Context(), "shop", "rebuild-0", now, time.Hour, nil); err != nil || r.Lost != 0 {
		t.Errorf("what is young: %+v, %v", r, err)
	}
	if r, err := s.Rebuild(t.Context(), "shop", "rebuild-1", now, time.Minute, nil); err != nil || r.Lost != 6 {
		t.Errorf("%+v, %v; want 6 lost", r, err)
	}
	a, err := s.Accounting(t.Context(), "shop", Window{})
	if err != nil || a.Lost["redis"] != 6 || a.InFlight != 0 || a.Missing() != 0 {
		t.Errorf("afterwards %+v, %v", a, err)
	}
}

// TestTotalsAreRebuilt: of a worker that was killed before it had written the totals of its last
// batch.
func TestTotalsAreRebuilt(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	mirror := newRig(t, "mirror", s, s, Limits{})
	w := &standIn{fail: func(b *batch, step int) error {
		if b == nil {
			return nil
		}
		if step == writeTicks && b.seq > 1 {
			return errDown
		}
		return s.write(context.Background(), b, step)
	}}
	worker := newRig(t, "worker", nil, w, Limits{})
	reader := newRig(t, "reader", s, s, Limits{})
	between(t, mirror, worker, pair(0, "GET /a", 200, 200))
	worker.mustFlush(t)
	between(t, mirror, worker, pair(1, "GET /a", 200, 200), pair(2, "GET /a", 200, 200))
	mirror.mustFlush(t)
	if _, err := worker.flush(t.Context()); err == nil {
		t.Fatal("the last step went well")
	}
	totals := func() Accounting {
		t.Helper()
		reader.looks = looks{}
		a, err := reader.Totals(t.Context(), "shop")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := totals(); a.InFlight != 2 || a.Received != 3 {
		t.Fatalf("before %+v", a)
	}
	if _, err := s.Rebuild(t.Context(), "shop", "rebuild-1", time.Now().Add(time.Second), time.Millisecond, nil); err != nil {
		t.Fatal(err)
	}
	if a := totals(); a.InFlight != 0 || a.Received != 3 || a.Missing() != 0 {
		t.Errorf("afterwards %+v", a)
	}
}

// TestStored tells what the store has.
func TestStored(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	mirror, worker := newRig(t, "mirror", s, s, Limits{}), newRig(t, "worker", s, s, Limits{})
	clock := time.Now()
	newID := parallax.NewIDSource(func() time.Time { return clock }, rand.Reader)
	var list []*parallax.Exchange
	var ids []parallax.ID
	want := map[parallax.ID]bool{}
	for n := range 6 {
		x := pair(n, "GET /a", 200, 200)
		x.ID, x.Received = newID(), clock
		ids = append(ids, x.ID)
		if n%2 == 0 {
			list = append(list, x)
			want[x.ID] = true
		}
	}
	between(t, mirror, worker, list...)
	worker.mustFlush(t)
	got, err := s.Stored(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}
