package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parallax/internal/rig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var named atomic.Int64

func open(t testing.TB, r *rig.Redis) *Store {
	t.Helper()
	cfg := DefaultConfig()
	cfg.URL = "unix://" + r.Socket
	s, err := Open(cfg, fmt.Sprintf("mirror-%d", named.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// replica is a mirror without a splitter.
type replica struct {
	mu    sync.Mutex
	word  Word
	owed  bool
	err   error
	peers []Peer
	step  *Step
}

func (r *replica) Word() (Word, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.word, r.owed
}

func (r *replica) Hear(w Word) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.word, r.owed = Merge(r.word, r.owed, w)
}

func (r *replica) Paid(owed, now Word) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.owed && r.word.Version == owed.Version {
		r.word, r.owed = now, false
	}
}

func (r *replica) Reached(peers []Peer, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peers, r.err = peers, err
}

// raise moves the step as a person does, who is refused where another was faster.
func (r *replica) raise(ctx context.Context, step int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.owed {
		return errors.New("a rollback is owed")
	}
	w, err := r.step.Follow(ctx, r.word, Word{Step: step})
	if err == nil {
		r.word = w
	}
	return err
}

// rollback is in force here at once, and told as soon as that can be.
func (r *replica) rollback(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, err := r.step.Overrule(ctx, Word{Version: r.word.Version})
	if r.owed = err != nil; r.owed {
		w.Version = r.word.Version
	}
	r.word = w
}

func replicas(t testing.TB, r *rig.Redis, n int) []*replica {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	var out []*replica
	for range n {
		each := &replica{step: open(t, r).Step("shop")}
		out = append(out, each)
		running.Go(func() { _ = each.step.Run(ctx, each) })
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return out
}

// agreed waits until all have one word.
func agreed(t testing.TB, all []*replica) Word {
	t.Helper()
	var w Word
	rig.Eventually(t, "one word", func() error {
		for i, r := range all {
			each, owed := r.Word()
			if i == 0 {
				w = each
			}
			if owed || each.Version != w.Version || each.Step != w.Step {
				return errors.New("they have not heard of each other")
			}
		}
		return nil
	})
	return w
}

// TestMirrorsShareAStep: who raises it from a step that is no more is refused, a rollback
// never is, and all hear of it.
func TestMirrorsShareAStep(t *testing.T) {
	t.Parallel()
	all := replicas(t, rig.StartRedis(t), 3)
	ctx := t.Context()
	if err := all[0].raise(ctx, 100); err != nil {
		t.Fatal(err)
	}
	if w := agreed(t, all); w.Step != 100 || w.Version != 1 {
		t.Errorf("%+v", w)
	}
	if err := all[1].raise(ctx, 500); err != nil {
		t.Fatal(err)
	}
	// The third may not have heard yet; then it is refused, and moves nothing.
	if err := all[2].raise(ctx, 200); err != nil && !errors.Is(err, ErrMoved) {
		t.Fatal(err)
	}
	agreed(t, all)
	all[2].rollback(ctx)
	w := agreed(t, all)
	if w.Step != 0 {
		t.Errorf("%+v after a rollback", w)
	}
	rig.Eventually(t, "both others are known to have heard", func() error {
		peers, err := all[0].step.Peers(ctx)
		if behind := Behind(peers, w.Version); err != nil || len(peers) != 2 || len(behind) > 0 {
			return fmt.Errorf("%v, behind: %v, %v", peers, behind, err)
		}
		return nil
	})
}

// TestOnlyOneFollows: of many who move a step from one version, one does.
func TestOnlyOneFollows(t *testing.T) {
	t.Parallel()
	step := open(t, rig.StartRedis(t)).Step("shop")
	var wins, losses int
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			_, err := step.Follow(context.Background(), Word{}, Word{Step: i})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				wins++
			} else if errors.Is(err, ErrMoved) {
				losses++
			}
		})
	}
	all.Wait()
	if wins != 1 || losses != 15 {
		t.Errorf("%d moved the step and %d were refused", wins, losses)
	}
}

// TestRedisIsKilled: mirrors keep their word, none is raised, a rollback holds where it was
// asked for and everywhere once Redis is back, which has lost everything.
func TestRedisIsKilled(t *testing.T) {
	t.Parallel()
	server := rig.StartRedis(t)
	all := replicas(t, server, 3)
	ctx := t.Context()
	if err := all[0].raise(ctx, 2500); err != nil {
		t.Fatal(err)
	}
	agreed(t, all)
	server.Kill()
	rig.Eventually(t, "everybody notices", func() error {
		for _, r := range all {
			r.mu.Lock()
			err := r.err
			r.mu.Unlock()
			if err == nil {
				return errors.New("one has not")
			}
		}
		return nil
	})
	if err := all[1].raise(ctx, 5000); err == nil || errors.Is(err, ErrMoved) {
		t.Errorf("a raise without redis: %v", err)
	}
	all[2].rollback(ctx)
	for i, want := range []int{2500, 2500, 0} {
		if w, owed := all[i].Word(); w.Step != want || owed != (i == 2) {
			t.Errorf("mirror %d is at %d, owed %t; want %d", i, w.Step, owed, want)
		}
	}
	server.Start()
	if w := agreed(t, all); w.Step != 0 {
		t.Errorf("%+v after redis is back", w)
	}
}

// TestARollbackIsNeverUndone has mirrors raise and roll back at random, and Redis lose
// everything in between: in the end all agree, on a word that is no older than the last
// rollback.
func TestARollbackIsNeverUndone(t *testing.T) {
	t.Parallel()
	server := rig.StartRedis(t)
	all := replicas(t, server, 3)
	r := rand.New(rand.NewPCG(71, 72))
	ctx := t.Context()
	for range 20 {
		for range 20 {
			each := all[r.IntN(len(all))]
			switch n := r.IntN(20); {
			case n == 0:
				server.Kill()
				each.rollback(ctx)
				server.Start()
			case n < 4:
				each.rollback(ctx)
			default:
				_ = each.raise(ctx, 1+r.IntN(10_000)) // refused, or not
			}
		}
		last := all[r.IntN(len(all))]
		last.rollback(ctx)
		if w := agreed(t, all); w.Step != 0 {
			t.Fatalf("%+v after the last rollback", w)
		}
	}
}

// TestARefusedRaiseDoesNotComeLater: a Redis that stood still takes in what it was sent
// meanwhile. Who raised the step was refused long before.
func TestARefusedRaiseDoesNotComeLater(t *testing.T) {
	t.Parallel()
	server := rig.StartRedis(t)
	step := open(t, server).Step("shop")
	if _, err := step.Peers(t.Context()); err != nil { // and so there is a connection
		t.Fatal(err)
	}
	server.Freeze()
	_, err := step.Follow(t.Context(), Word{}, Word{Step: 5000})
	server.Thaw()
	if err == nil || errors.Is(err, ErrMoved) {
		t.Fatalf("a raise while redis stands still: %v", err)
	}
	f := func(what string) {
		t.Helper()
		if held, there, _, err := step.meet(t.Context(), "", 0); there || err != nil {
			t.Errorf("%s: %+v, %v", what, held, err)
		}
	}
	rig.Eventually(t, "redis", func() error { return step.store.Check(t.Context()) })
	f("a raise that was refused")
	if _, err := step.setUntil(t.Context(), time.Now().Add(-time.Second), "after", 0, Word{Step: 5000}, nil); err == nil {
		t.Error("a raise that came too late was taken in")
	}
	f("a raise that came too late")
}

// TestMovesThatKnowNothingOfEachOther: a failover loses what one mirror said, and another one
// lowers the step meanwhile. It is not raised by the first one's words, though they are more.
func TestMovesThatKnowNothingOfEachOther(t *testing.T) {
	t.Parallel()
	server := rig.StartRedis(t)
	a, b := &replica{step: open(t, server).Step("shop")}, &replica{step: open(t, server).Step("shop")}
	look := func(all ...*replica) {
		for range 2 {
			for _, r := range all {
				r.step.Look(t.Context(), r)
			}
		}
	}
	raise := func(r *replica, steps ...int) {
		t.Helper()
		for _, step := range steps {
			if err := r.raise(t.Context(), step); err != nil {
				t.Fatal(err)
			}
		}
	}
	raise(a, 1000)
	look(a, b)
	common := b.word
	raise(a, 5000, 6000)
	server.Kill()
	server.Start() // with what b knows, as a replica that lags
	rig.Eventually(t, "redis", func() error { return b.step.PutBack(t.Context(), common) })
	raise(b, 10)
	look(a, b)
	for _, r := range []*replica{a, b} {
		if w, owed := r.Word(); w.Step != 0 || !w.Paused || owed || w.Version < 1<<32 {
			t.Errorf("%+v, owed %t; want step 0 of a new era", w, owed)
		}
	}
}

// TestTrails: a word knows those that it was said after.
func TestTrails(t *testing.T) {
	t.Parallel()
	line := []Word{{Version: 7 << 32, Era: "a", Trail: trail(Word{})}}
	for i := range 50 {
		line = append(line, Word{Version: 7<<32 + 1 + uint64(i), Era: "a", Trail: trail(line[i])})
	}
	f := func(want bool, a, b Word) {
		t.Helper()
		if torn(a, b) != want || torn(b, a) != want {
			t.Errorf("%d and %d, torn: %t", a.Version, b.Version, !want)
		}
	}
	for i, a := range line {
		for _, b := range line[i:] {
			f(false, a, b)
		}
	}
	aside := Word{Version: line[10].Version, Era: "a", Trail: trail(line[9])}
	f(false, aside, line[9])
	f(true, aside, line[10])
	f(true, aside, line[20])
	f(false, aside, line[50])                                     // too far back
	f(false, Word{Version: line[10].Version, Era: "a"}, line[20]) // of a release without trails
	f(false, line[10], Word{Version: line[20].Version, Era: "a", Trail: trail(Word{})})
}

// TestVersionsOutOfReach: a version that no number of rollbacks comes to is not taken in by any
// mirror, which could not get past it; a rollback mends Redis.
func TestVersionsOutOfReach(t *testing.T) {
	t.Parallel()
	step := open(t, rig.StartRedis(t)).Step("shop")
	r := &replica{step: step, word: Word{Version: 3 << 32, Era: "a", Step: 100}}
	for _, version := range []uint64{maxVersion, maxVersion - 1, (10 + leap) << 32} {
		if err := step.store.client.HSet(t.Context(), step.key, "version", version, "word", `{"step":5000,"era":"b"}`).Err(); err != nil {
			t.Fatal(err)
		}
		if step.Look(t.Context(), r); r.err == nil || !strings.Contains(r.err.Error(), "out of reach") {
			t.Errorf("version %d: %v", version, r.err)
		}
		r.Hear(Word{Version: version, Era: "b", Step: 5000})
		if w, owed := r.Word(); w.Step == 5000 || w.Version >= version || owed {
			t.Errorf("version %d: %+v, owed %t", version, w, owed)
		}
		before := r.word.Version
		if r.rollback(t.Context()); r.owed || r.word.Version != (era(before)+1)<<32 {
			t.Errorf("version %d: %+v, owed %t", version, r.word, r.owed)
		}
		if step.Look(t.Context(), r); r.err != nil {
			t.Errorf("after a rollback: %v", r.err)
		}
	}
}

func TestWordsThatCannotBe(t *testing.T) {
	t.Parallel()
	step := open(t, rig.StartRedis(t)).Step("shop")
	f := func(version, text, want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := step.store.client.HSet(ctx, step.key, "version", version, "word", text).Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := step.Peers(ctx); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s %s: %v, want %q", version, text, err, want)
		}
	}
	f("1", "{", "cannot read the step from redis")
	f("1", `{"step":10001}`, "not in 0..10000")
	f("1", `{"who":"`+strings.Repeat("x", maxWord)+`"}`, "bytes")
	f("-1", `{"step":1}`, "no version")
	f("99999999999999999999", `{"step":1}`, "no version")
}

// TestARollbackMendsWhatIsBroken: whatever version and word Redis holds, a rollback is taken in.
func TestARollbackMendsWhatIsBroken(t *testing.T) {
	t.Parallel()
	step := open(t, rig.StartRedis(t)).Step("shop")
	f := func(version, word string, want uint64) {
		t.Helper()
		if err := step.store.client.HSet(t.Context(), step.key, "version", version, "word", word).Err(); err != nil {
			t.Fatal(err)
		}
		w, err := step.Overrule(t.Context(), Word{Version: 7})
		held, there, _, wrong := step.meet(t.Context(), "", 0)
		if err != nil || wrong != nil || !there || w.Version != want || held.Version != want {
			t.Errorf("%s %s: %+v, %v; %+v, %v", version, word, w, err, held, wrong)
		}
	}
	f("x", "{}", 1<<32)
	f("inf", "{}", 1<<32)
	f("nan", "{}", 1<<32)
	f("-5", "{}", 1<<32)
	f("1e300", "{}", 1<<32)
	f("3", "{", 1<<32)
}

// TestMirrorsAreGoneWhateverTheClock: who was last heard of at a time that the clock of Redis
// has not come to is not here, as after a failover to a server whose clock is behind.
func TestMirrorsAreGoneWhateverTheClock(t *testing.T) {
	t.Parallel()
	step := open(t, rig.StartRedis(t)).Step("shop")
	now, err := step.store.client.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	at := func(d time.Duration) string { return fmt.Sprintf("0 %d", now.Add(d).Unix()) }
	if err := step.store.client.HSet(t.Context(), step.key+":mirrors", "before", at(-time.Hour), "now", at(0), "later", at(time.Hour)).Err(); err != nil {
		t.Fatal(err)
	}
	peers, err := step.Peers(t.Context())
	if err != nil || len(peers) != 1 || peers[0].Name != "now" {
		t.Errorf("%+v, %v", peers, err)
	}
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	f := func(change func(*Config), want ...string) {
		t.Helper()
		c := DefaultConfig()
		change(&c)
		var got []string
		for _, fault := range c.Validate() {
			got = append(got, fault.Path)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("faults at %q, want %q", got, want)
		}
	}
	f(func(*Config) {})
	f(func(c *Config) { c.URL = "redis://localhost:6379" })
	f(func(c *Config) { c.URL, c.Prefix = "http://localhost", "" }, "prefix", "redis")
	f(func(c *Config) { c.PasswordFile = "x" }, "password_file")
	f(func(c *Config) { c.Timeout = time.Hour }, "timeout")
}
