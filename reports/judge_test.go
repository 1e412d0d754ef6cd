package reports

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"parallax/divergence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ledger is a list of ticks that may be away.
type ledger struct {
	mu    sync.Mutex
	ticks []divergence.Tick
	away  error
	asked []divergence.Cursor
}

func (l *ledger) write(ticks ...divergence.Tick) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ticks = append(l.ticks, ticks...)
}

func (l *ledger) goAway(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = err
}

func (l *ledger) Ticks(_ context.Context, _ string, after divergence.Cursor, limit int) ([]divergence.Tick, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, after)
	if l.away != nil {
		return nil, l.away
	}
	start := 0
	for i, t := range l.ticks {
		if t.Cursor() == after {
			start = i + 1
		}
	}
	return l.ticks[start:min(start+limit, len(l.ticks))], nil
}

func judgeOf(l *ledger, change func(*JudgeConfig)) *Judge {
	cfg := JudgeConfig{
		Service: "shop", Policy: quick(), Ticks: l,
		Context: func(context.Context) (Context, error) { return Context{RulesVersion: "r", Step: 100}, nil },
		Now:     func() time.Time { return noon.Add(time.Minute) },
		Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	return NewJudge(cfg)
}

func TestJudgeFollowsTheTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		j := judgeOf(l, nil)
		is(t, j.Verdict(), Hold, "store_away ")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- j.Run(ctx) }()
		synctest.Wait()
		is(t, j.Verdict(), Hold, "no_traffic ")

		changed := make(chan Verdict)
		go func() { changed <- j.Wait(t.Context(), Hold) }()
		l.write(tick("GET /a", 1, 200, 0))
		time.Sleep(lookEvery)
		l.write(tick("GET /a", 2, 200, 0))
		v := <-changed
		is(t, v, Promote)
		if v.Step != 100 || v.Service != "shop" {
			t.Errorf("the verdict is on %s at step %d", v.Service, v.Step)
		}

		l.goAway(errors.New("no route"))
		is(t, j.Wait(t.Context(), Promote), Hold, "store_away ")
		l.goAway(nil)
		is(t, j.Wait(t.Context(), Hold), Promote)

		limited, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		is(t, j.Wait(limited, Promote), Promote)

		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestJudgeReadsEachTickOnce(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	for i := range page + 1 {
		l.write(tick("GET /a", i, 1, 0))
	}
	j := judgeOf(l, nil)
	j.Look(t.Context())
	j.Look(t.Context())
	want := []divergence.Cursor{{}, l.ticks[page-1].Cursor(), l.ticks[page].Cursor()}
	if diff := cmp.Diff(want, l.asked); diff != "" {
		t.Errorf("asked after (-want +got):\n%s", diff)
	}
	if n := j.evidence.endpoints["GET /a"].sums.n; n != page+1 {
		t.Errorf("%d exchanges folded, want %d", n, page+1)
	}
}

func TestJudgeHoldsWhenTheContextCannotBeRead(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	l.write(tick("GET /a", 1, 1000, 0))
	var fails error
	j := judgeOf(l, func(c *JudgeConfig) {
		c.Context = func(context.Context) (Context, error) {
			return Context{Accounting: divergence.Accounting{Received: 1000}}, fails
		}
	})
	is(t, j.Look(t.Context()), Promote)
	fails = errors.New("no route")
	v := j.Look(t.Context())
	is(t, v, Hold, "store_away ")
	if v.Accounting.Received != 1000 {
		t.Errorf("the last accounting is gone: %+v", v.Accounting)
	}
}

// Stopping in the middle of a read is no store that is away.
func TestJudgeThatIsStoppedKeepsItsVerdict(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	l.write(tick("GET /a", 1, 1000, 0))
	j := judgeOf(l, nil)
	j.Look(t.Context())
	ctx, stop := context.WithCancel(t.Context())
	stop()
	l.goAway(ctx.Err())
	is(t, j.Look(ctx), Promote)
}

func TestJudgeKeepsARollbackOutsideTheStore(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	l.write(tick("GET /a", 1, 10, 10))
	var kept []Latch
	fails := errors.New("disk full")
	j := judgeOf(l, func(c *JudgeConfig) {
		c.Latched = func(latch Latch) error {
			kept = append(kept, latch)
			return fails
		}
	})
	j.Look(t.Context())
	fails = nil
	for range 3 {
		is(t, j.Look(t.Context()), Rollback, "divergence_rate GET /a")
	}
	if len(kept) != 2 {
		t.Fatalf("told %d times, want twice: it failed the first time", len(kept))
	}

	// A new process whose store lost everything.
	fresh := judgeOf(&ledger{}, func(c *JudgeConfig) { c.Latch = &kept[1] })
	is(t, fresh.Look(t.Context()), Rollback, "divergence_rate GET /a")
}

// TestASecondEndpointIsOneMoreReason to stay away: the first may be waived later, and is not
// the whole rollback. One about other rules says nothing of this one.
func TestASecondEndpointIsOneMoreReason(t *testing.T) {
	t.Parallel()
	live := func(rules, endpoint string) Latch {
		return Latch{At: friday, RulesVersion: rules, Reasons: []Reason{{Code: LiveErrors, Endpoint: endpoint}}}
	}
	first := live("r", "GET /a")
	for _, c := range []struct {
		latch   Latch
		earlier *Latch
		want    []string
	}{
		{live("r", "GET /b"), &first, []string{"GET /a", "GET /b"}},
		{live("r", "GET /a"), &first, []string{"GET /a"}},
		{live("s", "GET /b"), &first, []string{"GET /b"}},
		{live("r", "GET /b"), nil, []string{"GET /b"}},
	} {
		var got []string
		for _, r := range c.latch.After(c.earlier).Reasons {
			got = append(got, r.Endpoint)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	if len(first.Reasons) != 1 {
		t.Errorf("the earlier one has %+v now", first.Reasons)
	}
}

// TestAnOldPromoteIsHeld: a judge that stands still says promote to nobody.
func TestAnOldPromoteIsHeld(t *testing.T) {
	t.Parallel()
	made := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for age, want := range map[time.Duration]Decision{0: Promote, freshVerdict: Promote, freshVerdict + 1: Hold} {
		v := Verdict{Decision: Promote, Final: true, AsOf: made}.fresh(made.Add(age))
		if v.Decision != want || want == Hold && (v.Final || len(v.Reasons) != 1 || v.Reasons[0].Code != StoreAway) {
			t.Errorf("after %v: %+v", age, v)
		}
	}
	if v := (Verdict{Decision: Rollback, AsOf: made}).fresh(made.Add(time.Hour)); v.Decision != Rollback {
		t.Errorf("an old rollback became %s", v.Decision)
	}
}
