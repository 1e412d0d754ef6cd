package redis_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"go.uber.org/goleak"

	"parallax/internal/rig"
	"parallax/mirror/split/redis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// line is the way from a mirror to Redis.
type line struct{ state atomic.Int32 }

// What a line does.
const (
	whole int32 = iota
	cut         // nothing arrives
	deaf        // everything arrives, and no answer comes back
)

var errLine = errors.New("the line is cut")

func (l *line) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (l *line) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

func (l *line) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := errLine
		if l.state.Load() != cut {
			err = next(ctx, cmd)
		}
		if l.state.Load() == deaf {
			err = errLine
		}
		if err != nil {
			cmd.SetErr(err)
		}
		return err
	}
}

// mirror is a mirror as far as it shares a step.
type mirror struct {
	*redis.Step
	line   line
	taken  atomic.Pointer[redis.Word] // on disk and in force
	client *goredis.Client
	config redis.Config
}

// clock goes on by a millisecond each time it is read.
func clock() func() time.Time {
	var n atomic.Int64
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	return func() time.Time { return start.Add(time.Duration(n.Add(1)) * time.Millisecond) }
}

func newMirror(t testing.TB, server *rig.Redis, now func() time.Time) *mirror {
	t.Helper()
	m := &mirror{client: goredis.NewClient(&goredis.Options{
		Network: "unix", Addr: server.Socket, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true,
	})}
	m.client.AddHook(&m.line)
	t.Cleanup(func() { m.client.Close() })
	m.config = redis.Config{
		Client: m.client, Key: "parallax:step:shop", Timeout: 5 * time.Second, Now: now, Log: slog.New(slog.DiscardHandler),
		Take: func(w redis.Word) error { m.taken.Store(&w); return nil },
	}
	m.taken.Store(&redis.Word{})
	m.Step = redis.New(m.config)
	return m
}

// restart has the mirror begin anew with what it has on disk.
func (m *mirror) restart() {
	m.config.Held = *m.taken.Load()
	m.Step = redis.New(m.config)
}

// run has mirrors follow each other until the test ends.
func run(t testing.TB, mirrors ...*mirror) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, len(mirrors))
	for _, m := range mirrors {
		go func() { ended <- m.Run(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		for range mirrors {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
}

// holds waits until a mirror is in a state, with a step in force.
func (m *mirror) holds(t testing.TB, step int, state redis.State) {
	t.Helper()
	rig.Eventually(t, fmt.Sprintf("step %d, %s", step, state), func() error {
		if w, s := *m.taken.Load(), m.Status(); w.Step != step || s.State != state {
			return fmt.Errorf("step %d, %+v", w.Step, s)
		}
		return nil
	})
}

// TestMirrorsConverge: whatever the order in which mirrors set steps, roll back, are cut
// off, restart, and Redis loses its memory, they come to hold one word; and a rollback
// that began after a step was set is not undone by that step.
func TestMirrorsConverge(t *testing.T) {
	t.Parallel()
	server := rig.StartRedis(t)
	for seed := range uint64(150) {
		interleave(t, server, rand.New(rand.NewPCG(seed, 6)), fmt.Sprintf("seed %d", seed))
	}
}

func interleave(t *testing.T, server *rig.Redis, dice *rand.Rand, name string) {
	t.Helper()
	now, mirrors := clock(), make([]*mirror, 3)
	for i := range mirrors {
		mirrors[i] = newMirror(t, server, now)
		defer mirrors[i].client.Close()
	}
	forget(t, mirrors[0])
	lastBack := 0 // when the last rollback began
	for op := 1; op <= 60; op++ {
		m := mirrors[dice.IntN(len(mirrors))]
		switch dice.IntN(9) {
		case 0, 1, 2:
			err := m.Set(t.Context(), redis.Word{Step: op, At: now(), Who: name})
			if m.line.state.Load() != whole && !errors.Is(err, redis.ErrAway) {
				t.Fatalf("%s, %d: a step that could not be told: %v", name, op, err)
			}
		case 3:
			lastBack = op
			if err := m.Rollback(t.Context(), redis.Word{At: now(), Who: name}); err != nil {
				t.Fatal(err)
			}
			if got := m.taken.Load(); got.Step != 0 || !got.Paused || m.line.state.Load() != whole && m.Status().State != redis.Owed {
				t.Fatalf("%s, %d: after a rollback: %+v, %+v", name, op, got, m.Status())
			}
		case 4, 5:
			m.Look(t.Context())
		case 6:
			m.line.state.Store(int32(dice.IntN(3)))
		case 7:
			m.restart()
		case 8:
			if dice.IntN(3) == 0 {
				forget(t, mirrors[0])
			}
		}
	}
	for range 3 { // all tell, and then all hear
		for _, m := range mirrors {
			m.line.state.Store(whole)
			m.Look(t.Context())
		}
	}
	for _, m := range mirrors {
		got, want := *m.taken.Load(), *mirrors[0].taken.Load()
		if got.ID != want.ID || got.Step != want.Step || m.Status().State != redis.Shared {
			t.Fatalf("%s: mirrors hold %+v and %+v", name, got, want)
		}
		if got.Step > 0 && got.Step < lastBack {
			t.Fatalf("%s: step %d undid the rollback %d", name, got.Step, lastBack)
		}
	}
}

// forget has Redis lose its memory.
func forget(t *testing.T, m *mirror) {
	t.Helper()
	was := m.line.state.Swap(whole)
	defer m.line.state.Store(was)
	if err := m.client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

// TestRedisKilled: while Redis is away each mirror keeps its step, none is set, and a
// rollback holds where it was called; back again, and empty, Redis is told, and all
// others follow.
func TestRedisKilled(t *testing.T) {
	t.Parallel()
	server := rig.StartRedis(t)
	a, b, c := newMirror(t, server, time.Now), newMirror(t, server, time.Now), newMirror(t, server, time.Now)
	run(t, a, b, c)
	set := func(m *mirror, step int) error {
		return m.Set(t.Context(), redis.Word{Step: step, At: time.Now(), Who: "kim"})
	}
	for _, m := range []*mirror{a, b, c} {
		m.holds(t, 0, redis.Shared)
	}
	if err := set(a, 2500); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*mirror{a, b, c} {
		m.holds(t, 2500, redis.Shared)
	}

	server.Kill()
	for _, m := range []*mirror{a, b, c} {
		m.holds(t, 2500, redis.Away)
	}
	if err := set(b, 5000); !errors.Is(err, redis.ErrAway) {
		t.Errorf("a step was set without redis: %v", err)
	}
	if err := b.Rollback(t.Context(), redis.Word{At: time.Now(), Who: "kim", Reason: "500s"}); err != nil {
		t.Fatal(err)
	}
	b.holds(t, 0, redis.Owed)
	a.holds(t, 2500, redis.Away)
	c.holds(t, 2500, redis.Away)

	server.Start()
	for _, m := range []*mirror{a, b, c} {
		m.holds(t, 0, redis.Shared)
		if w := m.Word(); w.Who != "kim" || w.Reason != "500s" || !w.Paused {
			t.Errorf("%+v", w)
		}
	}
	if err := set(c, 100); err != nil {
		t.Errorf("no step after a rollback: %v", err)
	}
	a.holds(t, 100, redis.Shared)
}

// TestAnOwedRollbackWins: a step is pushed to a mirror whose questions Redis does not
// answer. A rollback there is not undone by what is pushed later, and once it is told it
// wins over all that was set meanwhile, also where the clock of its mirror is slow.
func TestAnOwedRollbackWins(t *testing.T) {
	t.Parallel()
	server := rig.StartRedis(t)
	a, b := newMirror(t, server, time.Now), newMirror(t, server, time.Now)
	var raised atomic.Int64
	keep := a.config.Take
	a.config.Take = func(w redis.Word) error { raised.Store(int64(w.Step)); return keep(w) }
	a.restart()
	run(t, a, b)
	a.holds(t, 0, redis.Shared)
	b.holds(t, 0, redis.Shared)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a.line.state.Store(cut)
	a.holds(t, 0, redis.Away)
	must(b.Set(t.Context(), redis.Word{Step: 700, At: time.Now()}))
	a.holds(t, 700, redis.Away)

	must(a.Rollback(t.Context(), redis.Word{At: time.Unix(1, 0), Who: "kim"}))
	must(b.Rollback(t.Context(), redis.Word{At: time.Now(), Who: "alex"}))
	for step := 1; step <= 20; step++ {
		must(b.Set(t.Context(), redis.Word{Step: step, At: time.Now()}))
	}
	a.Look(t.Context())
	if got := raised.Load(); got != 0 || a.Status().State != redis.Owed {
		t.Errorf("step %d undid a rollback that is owed: %+v", got, a.Status())
	}
	a.line.state.Store(whole)
	for _, m := range []*mirror{a, b} {
		m.holds(t, 0, redis.Shared)
		if who := m.Word().Who; who != "kim" {
			t.Errorf("the rollback of %q holds", who)
		}
	}
}

// TestTheOtherWasFaster: a step from what is not in force any more is not set, and what
// is in force is taken instead.
func TestTheOtherWasFaster(t *testing.T) {
	t.Parallel()
	server := rig.StartRedis(t)
	a, b := newMirror(t, server, clock()), newMirror(t, server, clock())
	if err := a.Set(t.Context(), redis.Word{Step: 100, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := b.Set(t.Context(), redis.Word{Step: 5000, At: time.Now()}); !errors.Is(err, redis.ErrMoved) {
		t.Errorf("it was set: %v", err)
	}
	a.Look(t.Context())
	if one, other := a.Word(), b.Word(); one.Step != 100 || other.Step != 100 {
		t.Errorf("steps %d and %d", one.Step, other.Step)
	}
}

// TestAWordThatCannotBeKept: a step that cannot be written to disk is not in force here
// and is tried again; a rollback is in force nevertheless, and says so.
func TestAWordThatCannotBeKept(t *testing.T) {
	t.Parallel()
	server := rig.StartRedis(t)
	a, b := newMirror(t, server, clock()), newMirror(t, server, clock())
	full, keep := errors.New("the disk is full"), b.config.Take
	var failing atomic.Bool
	b.config.Take = func(w redis.Word) error {
		if failing.Load() {
			return full
		}
		return keep(w)
	}
	b.restart()
	failing.Store(true)
	if err := a.Set(t.Context(), redis.Word{Step: 100, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	b.Look(t.Context())
	if s := b.Status(); s.State != redis.Away || s.Error != full.Error() || b.Word().Step != 0 {
		t.Errorf("%+v, step %d", s, b.Word().Step)
	}
	if err := b.Rollback(t.Context(), redis.Word{At: time.Now()}); !errors.Is(err, full) {
		t.Errorf("no word of the disk: %v", err)
	}
	failing.Store(false)
	for _, m := range []*mirror{b, a} {
		m.Look(t.Context())
		if s := m.Status(); s.State != redis.Shared || m.taken.Load().Step != 0 || s.Version != 2 {
			t.Errorf("%+v, %+v", s, m.taken.Load())
		}
	}
}

// TestSomethingElseInRedis: a value that is no word is not taken, and said.
func TestSomethingElseInRedis(t *testing.T) {
	t.Parallel()
	server := rig.StartRedis(t)
	for _, text := range []string{"hello", `[]`, `"x"`, `{}`, `{"step":20000,"version":3,"epoch":1,"id":"x"}`, `{"step":"all"}`} {
		m := newMirror(t, server, clock())
		if err := m.client.Set(t.Context(), "parallax:step:shop", text, 0).Err(); err != nil {
			t.Fatal(err)
		}
		m.Look(t.Context())
		if s := m.Status(); s.State != redis.Away || s.Error == "" || m.taken.Load().Step != 0 {
			t.Errorf("%s: %+v", text, s)
		}
	}
}

// BenchmarkRollbackOfThree is the time from a rollback at one mirror to step 0 in force
// at two others, pushed.
func BenchmarkRollbackOfThree(b *testing.B) {
	server := rig.StartRedis(b)
	mirrors := []*mirror{newMirror(b, server, time.Now), newMirror(b, server, time.Now), newMirror(b, server, time.Now)}
	arrived := make(chan int, 64)
	for _, m := range mirrors[1:] {
		m.config.Take = func(w redis.Word) error { arrived <- w.Step; return nil }
		m.restart()
	}
	run(b, mirrors...)
	for _, m := range mirrors {
		m.holds(b, 0, redis.Shared)
	}
	var worst time.Duration
	for b.Loop() {
		if err := mirrors[0].Set(b.Context(), redis.Word{Step: 2500, At: time.Now()}); err != nil {
			b.Fatal(err)
		}
		<-arrived
		<-arrived
		start := time.Now()
		if err := mirrors[0].Rollback(b.Context(), redis.Word{At: start}); err != nil {
			b.Fatal(err)
		}
		<-arrived
		<-arrived
		worst = max(worst, time.Since(start))
	}
	b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
}
