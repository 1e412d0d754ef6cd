package divergence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/compare"
)

// standIn is a store that fails when told to, and notes what it was given.
type standIn struct {
	mu    sync.Mutex
	fail  func(b *batch, step int) error
	seen  []string          // batch/step of every try
	rows  map[uint64]int    // comparisons by batch
	sets  map[uint64]*batch // the batch first seen under a number
	moved bool              // another batch came under the same number
	hang  chan struct{}
}

func (w *standIn) Migrate(ctx context.Context) error { return w.try(ctx, nil, -1) }

func (w *standIn) write(ctx context.Context, b *batch, step int) error { return w.try(ctx, b, step) }

func (w *standIn) try(ctx context.Context, b *batch, step int) error {
	if w.hang != nil {
		select {
		case <-w.hang:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if b == nil {
		if w.fail != nil {
			return w.fail(nil, step)
		}
		return nil
	}
	w.seen = append(w.seen, fmt.Sprintf("%d/%d", b.seq, step))
	if w.sets == nil {
		w.sets, w.rows = map[uint64]*batch{}, map[uint64]int{}
	}
	if was := w.sets[b.seq]; was != nil && was != b {
		w.moved = true
	}
	w.sets[b.seq] = b
	if w.fail != nil {
		if err := w.fail(b, step); err != nil {
			return err
		}
	}
	if step == writeComparisons {
		w.rows[b.seq] = len(b.records)
	}
	return nil
}

func (w *standIn) stored() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, rows := range w.rows {
		n += rows
	}
	return n
}

var errDown = fmt.Errorf("%w: connection refused", ErrAway)

var matched = compare.Comparison{Outcome: compare.Match}

// start runs a recorder; the function it returns stops it and waits.
func (r rig) start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	return func() { cancel(); <-done }
}

func TestBatchesByAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &standIn{}
		r := newRig(t, "i1", nil, w, Limits{Age: time.Second})
		defer r.start(t)()
		r.record(pair(1, "GET /a", 200, 200), matched, false)
		synctest.Wait()
		if w.stored() != 0 {
			t.Error("written before its time")
		}
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if w.stored() != 1 {
			t.Errorf("%d exchanges stored after a second, want 1", w.stored())
		}
		want := []string{"1/0", "1/1", "1/2", "1/3", "1/4"}
		if diff := cmp.Diff(want, w.seen); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
	})
}

func TestBatchesBySize(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]Limits{
		"rows":  {Age: time.Hour, BatchRows: 10},
		"bytes": {Age: time.Hour, BatchBytes: 10 * 600},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &standIn{}
			r := newRig(t, "i1", nil, w, limits)
			defer r.start(t)()
			for i := range 25 {
				r.record(pair(i, "GET /a", 200, 200), matched, false)
			}
			synctest.Wait()
			if diff := cmp.Diff(map[uint64]int{1: 10, 2: 10}, w.rows); diff != "" {
				t.Errorf("%s: batches without waiting (-want +got):\n%s", name, diff)
			}
		})
	}
}

// Many exchanges wait longer, for a larger batch; few show after a second again.
func TestBusyBatchesAreRarer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &standIn{}
		r := newRig(t, "i1", nil, w, Limits{})
		defer r.start(t)()
		n := 0
		f := func(records int, wait time.Duration, stored int) {
			t.Helper()
			for range records {
				r.record(pair(n, "GET /a", 200, 200), matched, false)
				n++
			}
			time.Sleep(wait)
			synctest.Wait()
			if w.stored() != stored {
				t.Errorf("%d exchanges stored, want %d", w.stored(), stored)
			}
		}
		f(busyRows+1, 1100*time.Millisecond, busyRows+1)
		f(1, 2800*time.Millisecond, busyRows+1)
		f(1, 200*time.Millisecond, busyRows+3)
		f(1, 1100*time.Millisecond, busyRows+4)
	})
}

// The state says whether the store is there, from before the first try on.
func TestErr(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		w := &standIn{fail: func(*batch, int) error {
			if up.Load() {
				return nil
			}
			return errDown
		}}
		var log strings.Builder
		r := newRig(t, "i1", nil, w, Limits{})
		r.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		if !errors.Is(r.Err(), ErrAway) {
			t.Errorf("before the first try: %v", r.Err())
		}
		stop := r.start(t)
		f := func(want error, line string) {
			t.Helper()
			r.record(pair(1, "GET /a", 200, 200), matched, false)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if !errors.Is(r.Err(), want) {
				t.Errorf("state: %v, want %v", r.Err(), want)
			}
			if !strings.Contains(log.String(), line) || strings.Count(log.String(), "\n") != 1 {
				t.Errorf("log: %q, want one line with %q", log.String(), line)
			}
			log.Reset()
		}
		f(ErrAway, "level=INFO msg=\"the store is not ready yet")
		up.Store(true)
		f(nil, "level=INFO msg=\"the store takes batches")
		up.Store(false)
		f(ErrAway, "level=WARN msg=\"cannot write to the store")
		up.Store(true)
		f(nil, "level=INFO")
		stop()
	})
}

// A batch that fails is tried again as it was, from the step that failed.
func TestSameBatchAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failures := 3
		w := &standIn{fail: func(b *batch, step int) error {
			if failures > 0 && step == writeBodies {
				failures--
				return errDown
			}
			return nil
		}}
		r := newRig(t, "i1", nil, w, Limits{Age: time.Second})
		defer r.start(t)()
		r.record(pair(1, "GET /a", 200, 200), matched, false)
		time.Sleep(1050 * time.Millisecond)
		synctest.Wait()
		if !errors.Is(r.Err(), ErrAway) || r.ledger.InFlight("shop", parallax.InBatch) != 1 {
			t.Errorf("after a failure: %v, %d in batch", r.Err(), r.ledger.InFlight("shop", parallax.InBatch))
		}
		r.record(pair(2, "GET /a", 200, 200), matched, false) // waits for the next batch
		time.Sleep(3 * time.Second)
		synctest.Wait()
		want := []string{"1/0", "1/1", "1/2", "1/2", "1/2", "1/2", "1/3", "1/4", "2/0", "2/1", "2/2", "2/3", "2/4"}
		if diff := cmp.Diff(want, w.seen); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
		if w.moved || r.Err() != nil {
			t.Errorf("the batch changed: %v, error %v", w.moved, r.Err())
		}
		if got := r.ledger.Totals("shop"); got.Compared["match"] != 2 || got.InFlight != 0 {
			t.Errorf("ledger: %+v", got)
		}
	})
}

// Tries against a store that stays away grow rarer, up to one in five seconds,
// however much traffic there is.
func TestRetriesGrowRarer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		w := &standIn{fail: func(*batch, int) error { tries++; return errDown }}
		r := newRig(t, "i1", nil, w, Limits{BatchRows: 1})
		defer r.start(t)()
		for i := range 600 {
			r.record(pair(i, "GET /a", 200, 200), matched, false)
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		if tries < 10 || tries > 20 {
			t.Errorf("%d tries in a minute", tries)
		}
	})
}

func TestStoreOutageHurtsNoCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &standIn{hang: make(chan struct{})}
		r := newRig(t, "i1", nil, w, Limits{BatchRows: 10, BufferRows: 100})
		stop := r.start(t)
		began := time.Now()
		for i := range 1000 {
			r.record(pair(i, "GET /a", 200, 200), matched, true)
			if i%10 == 0 {
				synctest.Wait() // let the recorder run into the store that hangs
			}
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("callers waited for %s", waited)
		}
		got := r.ledger.Totals("shop")
		if got.Missing() != 0 || got.Lost["store"] != 1000-got.InFlight || got.InFlight < 100 || got.InFlight > 110 {
			t.Errorf("during the outage: %+v; want a buffer and a batch in flight, the rest lost", got)
		}
		close(w.hang)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		after := r.ledger.Totals("shop")
		if after.InFlight != 0 || after.Compared["match"] != got.InFlight || after.Missing() != 0 {
			t.Errorf("after the outage: %+v", after)
		}
		stop()
	})
}

func TestBufferIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	w := &standIn{}
	r := newRig(t, "i1", nil, w, Limits{BufferBytes: 10_000})
	for i := range 100 {
		x := pair(i, "GET /a", 200, 200)
		x.Legs[0].Response.Body.Bytes = make([]byte, 1000)
		r.record(x, matched, true)
	}
	if r.bytes > 10_000 || r.ledger.Totals("shop").Lost["store"] < 80 {
		t.Errorf("%d bytes wait, %+v", r.bytes, r.ledger.Totals("shop"))
	}
}

// A body too long for what is left of the buffer costs itself, not its exchange.
func TestBodiesWithoutRoomAreNotKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, "i1", nil, &standIn{}, Limits{BufferBytes: 10_000})
	for i := range 4 {
		x := pair(i, "GET /a", 200, 200)
		x.Legs[0].Response.Body.Bytes = make([]byte, 4000)
		r.record(x, matched, true)
	}
	kept := 0
	for _, page := range r.buffer.pages {
		for i := range page {
			if page[i].finds().exchange != nil {
				kept++
			}
		}
	}
	if totals := r.ledger.Totals("shop"); r.bytes > 10_000 || totals.Lost["store"] != 0 || kept != 1 {
		t.Errorf("%d bytes wait, %d with bodies, %+v: want all four, one of them with its bodies", r.bytes, kept, totals)
	}
}

type ackList []parallax.ID

func (a *ackList) Ack(_ context.Context, ids ...parallax.ID) error {
	*a = append(*a, ids...)
	return nil
}

func TestAckAfterComparisons(t *testing.T) {
	t.Parallel()
	var acks ackList
	w := &standIn{fail: func(_ *batch, step int) error {
		if step == writeTicks && len(acks) != 1 {
			return errors.New("not acknowledged before the ticks")
		}
		if step == writeComparisons && len(acks) != 0 {
			return errors.New("acknowledged before it is stored")
		}
		return nil
	}}
	r := newRig(t, "i1", nil, w, Limits{})
	r.cfg.Acker = &acks
	r.record(pair(7, "GET /a", 200, 200), matched, false)
	r.mustFlush(t)
	if diff := cmp.Diff(ackList{testID(7)}, acks); diff != "" {
		t.Errorf("acknowledged (-want +got):\n%s", diff)
	}
}

// A clock that is set back does not put ticks before those that were read.
func TestTicksAscend(t *testing.T) {
	t.Parallel()
	w := &standIn{}
	r := newRig(t, "i1", nil, w, Limits{})
	now := noon
	r.cfg.Now = func() time.Time { return now }
	for i, step := range []time.Duration{0, time.Minute, -time.Hour, time.Second} {
		now = now.Add(step)
		r.record(pair(i, "GET /a", 200, 200), matched, false)
		r.mustFlush(t)
		if i > 0 && w.sets[uint64(i+1)].ticks[0].At.Before(w.sets[uint64(i)].ticks[0].At) {
			t.Errorf("tick %d is before the one before it", i+1)
		}
	}
}

// Received and lost exchanges of an endpoint go with its evidence, and under the
// versions seen last when nothing was compared.
func TestTicksCarryCounts(t *testing.T) {
	t.Parallel()
	w := &standIn{}
	r := newRig(t, "i1", nil, w, Limits{})
	r.cfg.Hashes = func(service, endpoint string) (string, string) { return "r2", "p2" }
	r.record(pair(1, "GET /a", 200, 200), matched, false)
	r.mustFlush(t)
	lost := stamp("GET /a", 0)
	r.ledger.Enter(lost)
	r.ledger.Move(lost, parallax.InLive, parallax.LostQueueFull)
	r.mustFlush(t)
	want := []Tick{
		{Seq: 1, Received: 1, N: 1, Timed: 1, RulesHash: "r1", PolicyHash: "p1"},
		{Seq: 2, Received: 1, Lost: 1, RulesHash: "r2", PolicyHash: "p2"},
	}
	for i := range want {
		want[i].Instance, want[i].Service, want[i].Endpoint = "i1", "shop", "GET /a"
		want[i].PrimaryVersion, want[i].CandidateVersion = "1.0", "1.0"
		want[i].At = w.sets[uint64(i+1)].written
	}
	if diff := cmp.Diff(want, append(w.sets[1].ticks, w.sets[2].ticks...)); diff != "" {
		t.Errorf("ticks (-want +got):\n%s", diff)
	}
}

// Whatever loses an exchange is held against the evidence, and nothing else is.
func TestTicksCarryEveryLoss(t *testing.T) {
	t.Parallel()
	for _, p := range parallax.Places {
		if p.Group() == "in_flight" {
			continue
		}
		w := &standIn{}
		r := newRig(t, "i1", nil, w, Limits{})
		s := stamp("GET /a", 0)
		r.ledger.Enter(s)
		r.ledger.Move(s, parallax.InLive, p)
		r.mustFlush(t)
		want := uint64(0)
		if p.Group() == "lost" {
			want = 1
		}
		if ticks := w.sets[1].ticks; len(ticks) != 1 || ticks[0].Lost != want || ticks[0].Received != 1 {
			t.Errorf("%s: ticks %+v, want one with 1 received and %d lost", p, ticks, want)
		}
	}
}
