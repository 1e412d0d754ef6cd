package divergence

import (
	"bytes"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
)

func TestStopFlushes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &standIn{}
		r := newRig(t, "i1", nil, w, Limits{Age: time.Hour})
		stop := r.start(t)
		r.record(pair(1, "GET /a", 200, 200), matched, false)
		r.ledger.Enter(stamp("GET /hangs", 0))
		stop()
		if w.stored() != 1 {
			t.Errorf("%d exchanges stored, want 1", w.stored())
		}
		got := r.ledger.Totals("shop")
		if got.Lost["shutdown"] != 1 || got.Compared["match"] != 1 || got.Missing() != 0 {
			t.Errorf("at the end: %+v", got)
		}
		last := w.sets[2]
		if last == nil || len(last.counts) != 2 || last.counts[1].Reason != "lost/shutdown" {
			t.Errorf("the last counts: %+v", last)
		}
		r.record(pair(2, "GET /a", 200, 200), matched, false)
		if got := r.ledger.Totals("shop"); got.Lost["store"] != 1 {
			t.Errorf("after the end: %+v", got)
		}
	})
}

func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &standIn{fail: func(*batch, int) error { return errDown }}
		r := newRig(t, "i1", nil, w, Limits{Stop: 3 * time.Second})
		stop := r.start(t)
		r.record(pair(1, "GET /a", 200, 200), matched, false)
		began := time.Now()
		stop()
		if took := time.Since(began); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("stopped after %s", took)
		}
		if got := r.ledger.Totals("shop"); got.Lost["shutdown"] != 1 || got.InFlight != 0 {
			t.Errorf("at the end: %+v", got)
		}
	})
}

// A store that was away for long, and comes back while the last batch waits, gets
// it: tries near the end are not as far apart as they were before.
func TestStopTriesOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := &standIn{fail: func(*batch, int) error {
			if time.Since(began) < time.Minute {
				return errDown
			}
			return nil
		}}
		r := newRig(t, "i1", nil, w, Limits{})
		stop := r.start(t)
		r.record(pair(1, "GET /a", 200, 200), matched, false)
		time.Sleep(time.Minute - 7*time.Second)
		stop()
		if took := time.Since(began); took > time.Minute+time.Second {
			t.Errorf("stopped %s after the store was back", took-time.Minute)
		}
		if got := r.ledger.Totals("shop"); got.Lost["shutdown"] != 0 || got.Compared["match"] != 1 || w.stored() != 1 {
			t.Errorf("at the end: %+v, %d stored", got, w.stored())
		}
	})
}

// What was in the way of the last exchanges is said, also when counting them as
// lost went well.
func TestStopSaysWhyExchangesAreLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &standIn{fail: func(b *batch, step int) error {
			if step == writeComparisons && len(b.records) > 0 {
				return errDown
			}
			return nil
		}}
		r := newRig(t, "i1", nil, w, Limits{})
		var log bytes.Buffer
		r.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		stop := r.start(t)
		r.record(pair(1, "GET /a", 200, 200), matched, false)
		stop()
		if want := "exchanges=1 error=" + strconv.Quote(errDown.Error()); !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %q:\n%s", want, log.String())
		}
	})
}

// Exchanges that the store does not take to the end are counted as lost in the
// store, and in the evidence, if that works.
func TestStopCountsWhatItLoses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &standIn{fail: func(b *batch, step int) error {
			if step == writeComparisons && len(b.records) > 0 {
				return errDown
			}
			return nil
		}}
		r := newRig(t, "i1", nil, w, Limits{BatchRows: 2})
		stop := r.start(t)
		for i := range 5 {
			r.record(pair(i, "GET /a", 200, 200), matched, false)
		}
		synctest.Wait()
		stop()
		stored := newAccounting()
		var evidence Tick
		for _, b := range w.sets {
			for _, c := range b.counts {
				stored.add(parallax.Place(c.Reason), c.N)
			}
			for _, tick := range b.ticks {
				evidence.Received, evidence.Lost, evidence.N = evidence.Received+tick.Received, evidence.Lost+tick.Lost, evidence.N+tick.N
			}
		}
		if stored.Received != 5 || stored.Lost["shutdown"] != 5 || stored.Missing() != 0 {
			t.Errorf("stored at the end: %+v", stored)
		}
		if diff := cmp.Diff(Tick{Received: 5, Lost: 5}, evidence); diff != "" {
			t.Errorf("evidence (-want +got):\n%s", diff)
		}
		want := runningTotals{{"shop", Received}: 5, {"shop", parallax.LostShutdown}: 5}
		if diff := cmp.Diff(want, r.totals, cmp.AllowUnexported(totalKey{})); diff != "" {
			t.Errorf("totals (-want +got):\n%s", diff)
		}
	})
}

// With nothing to write, a store that is away does not delay the end.
func TestStopWithNothingLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &standIn{fail: func(*batch, int) error { return errDown }}
		r := newRig(t, "i1", nil, w, Limits{})
		stop := r.start(t)
		time.Sleep(time.Minute)
		began := time.Now()
		stop()
		if took := time.Since(began); took != 0 {
			t.Errorf("stopped after %s", took)
		}
	})
}
