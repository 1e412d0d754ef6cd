package redisqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"parallax"
	"parallax/internal/rig"
	"parallax/mirror/mirrortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testKey = bytes.Repeat([]byte{7}, 32)

// counts is what a queue said of exchanges.
type counts struct {
	mu                 sync.Mutex
	sent, found, aside int
	lost               map[parallax.Place]int
}

func (c *counts) into(d *Deps) {
	c.lost = map[parallax.Place]int{}
	count := func(n *int) func(parallax.Stamp) {
		return func(parallax.Stamp) { c.mu.Lock(); *n++; c.mu.Unlock() }
	}
	sent := count(&c.sent)
	d.Sent = func(s parallax.Stamp, _ bool) { sent(s) }
	d.Found, d.Aside = count(&c.found), count(&c.aside)
	d.Lost = func(_ parallax.Stamp, p parallax.Place) { c.mu.Lock(); c.lost[p]++; c.mu.Unlock() }
	d.Dropped = d.Lost
}

func (c *counts) read() (sent, found, lost int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.lost {
		lost += n
	}
	return c.sent, c.found, lost
}

// start returns a queue that runs until the test ends, or stop is called.
func start(t testing.TB, r *rig.Redis, change func(*Config, *Deps)) (q *Queue, stop func()) {
	t.Helper()
	cfg, deps := DefaultConfig(), Deps{Key: testKey, Exchanges: 200, Bytes: 64 << 20}
	cfg.URL = "unix://" + r.Socket
	if change != nil {
		change(&cfg, &deps)
	}
	q, err := Open(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { q.Send(ctx) })
	running.Go(func() { q.Keep(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := q.Shut(); err != nil {
			t.Errorf("Shut: %v", err)
		}
	})
	t.Cleanup(stop)
	return q, stop
}

// TestQueue is the suite that the queue in memory passes, on a real Redis.
func TestQueue(t *testing.T) {
	r := rig.StartRedis(t)
	n := 0
	mirrortest.TestQueue(t, func(t *testing.T) (mirrortest.Queue, int) {
		n++
		q, _ := start(t, r, func(c *Config, d *Deps) { c.Prefix, d.Exchanges = fmt.Sprintf("t%d:", n), 200 })
		return q, 200
	})
}

// kill ends a queue as a crash of its process would: Redis hears nothing more of it.
func kill(t testing.TB, q *Queue, stop func()) {
	t.Helper()
	if err := q.stream.client.Close(); err != nil {
		t.Fatal(err)
	}
	stop()
}

func offer(t testing.TB, q *Queue, list []*parallax.Exchange) {
	t.Helper()
	for i, x := range list {
		if !q.Offer(x) {
			t.Fatalf("exchange %d was refused", i)
		}
	}
}

// receiveIDs receives n exchanges.
func receiveIDs(t testing.TB, q *Queue, n int) map[parallax.ID]bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ids := map[parallax.ID]bool{}
	for len(ids) < n {
		list, err := q.Receive(ctx, 16)
		if err != nil && ctx.Err() != nil {
			t.Fatalf("%d exchanges came, want %d: %v", len(ids), n, err)
		}
		for _, x := range list {
			if ids[x.ID] {
				t.Errorf("exchange %s came twice", x.ID)
			}
			ids[x.ID] = true
		}
	}
	return ids
}

func ack(t testing.TB, q *Queue, ids map[parallax.ID]bool) {
	t.Helper()
	for id := range ids {
		if err := q.Ack(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhatAKilledWorkerHeldComesAgain: another worker gets it, but for what the store has.
func TestWhatAKilledWorkerHeldComesAgain(t *testing.T) {
	t.Parallel()
	r := rig.StartRedis(t)
	quick := func(c *Config, d *Deps) { c.ClaimAfter = time.Second }
	mirror, _ := start(t, r, quick)
	first, stop := start(t, r, quick)
	list := mirrortest.Exchanges(40)
	offer(t, mirror, list)
	receiveIDs(t, first, 40)
	kill(t, first, stop)

	stored := map[parallax.ID]bool{}
	for _, x := range list[:15] {
		stored[x.ID] = true
	}
	second, _ := start(t, r, func(c *Config, d *Deps) {
		c.ClaimAfter = time.Second
		d.Stored = func(context.Context, []parallax.ID) (map[parallax.ID]bool, error) { return stored, nil }
	})
	got := receiveIDs(t, second, 25)
	for id := range got {
		if stored[id] {
			t.Errorf("%s came again, and the store has it", id)
		}
	}
	ack(t, second, got)
	rig.Eventually(t, "an empty stream", func() error { return empty(t, second) })
}

func empty(t testing.TB, q *Queue) error {
	f, err := q.stream.look(t.Context())
	if err != nil || f.count != 0 || f.bytes != 0 {
		return fmt.Errorf("%d exchanges of %d bytes are in the stream, %v", f.count, f.bytes, err)
	}
	left, err := q.Cells(t.Context())
	if err != nil || len(left) != 0 {
		return fmt.Errorf("cells are left: %v, %v", left, err)
	}
	return nil
}

// TestAWorkerKeepsWhatItHolds: a slow one is not taken for a dead one.
func TestAWorkerKeepsWhatItHolds(t *testing.T) {
	t.Parallel()
	r := rig.StartRedis(t)
	quick := func(c *Config, d *Deps) { c.ClaimAfter = time.Second }
	slow, _ := start(t, r, quick)
	offer(t, slow, mirrortest.Exchanges(5))
	held := receiveIDs(t, slow, 5)
	other, _ := start(t, r, quick)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // three times as long as it may be silent
	defer cancel()
	for ctx.Err() == nil {
		if list, _ := other.Receive(ctx, 16); len(list) > 0 {
			t.Fatalf("%d exchanges were taken from a worker that has them", len(list))
		}
	}
	ack(t, slow, held)
	if err := empty(t, slow); err != nil {
		t.Error(err)
	}
}

// TestAWorkerThatEndsLeavesNothingBehind: what it had received is another's at once.
func TestAWorkerThatEndsLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	r := rig.StartRedis(t)
	patient := func(c *Config, d *Deps) { c.ClaimAfter = time.Hour }
	first, end := start(t, r, patient)
	offer(t, first, mirrortest.Exchanges(20))
	receiveIDs(t, first, 20)
	end()
	second, _ := start(t, r, patient)
	ack(t, second, receiveIDs(t, second, 20))
	if err := empty(t, second); err != nil {
		t.Error(err)
	}
}

// TestNothingIsTakenOverWhileTheStoreIsAway: nobody would know what it has already, and what
// is taken over too often is poison.
func TestNothingIsTakenOverWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	r := rig.StartRedis(t)
	quick := func(c *Config, d *Deps) { c.ClaimAfter = time.Second }
	first, stop := start(t, r, quick)
	offer(t, first, mirrortest.Exchanges(3))
	receiveIDs(t, first, 3)
	kill(t, first, stop)
	var away atomic.Bool
	away.Store(true)
	second, _ := start(t, r, func(c *Config, d *Deps) {
		c.ClaimAfter = time.Second
		d.Ready = func() error {
			if away.Load() {
				return errors.New("it is away")
			}
			return nil
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if list, _ := second.Receive(ctx, 16); len(list) > 0 {
			t.Fatal("exchanges were taken over")
		}
	}
	pending, err := second.stream.stale(t.Context(), 0, 16)
	if err != nil || len(pending) != 3 || pending[0].RetryCount != 1 {
		t.Errorf("pending: %+v, %v", pending, err)
	}
	away.Store(false)
	ack(t, second, receiveIDs(t, second, 3))
}

// TestPoison: what each worker dies of goes to the dead letters, and is counted.
func TestPoison(t *testing.T) {
	t.Parallel()
	r := rig.StartRedis(t)
	mirror, _ := start(t, r, nil)
	offer(t, mirror, mirrortest.Exchanges(1))
	for range maxDeliveries {
		q, stop := start(t, r, func(c *Config, d *Deps) { c.ClaimAfter = time.Second })
		receiveIDs(t, q, 1)
		kill(t, q, stop)
	}
	var c counts
	last, _ := start(t, r, func(cfg *Config, d *Deps) { cfg.ClaimAfter = time.Second; c.into(d) })
	ctx, cancel := context.WithCancel(t.Context())
	var receiving sync.WaitGroup
	receiving.Go(func() {
		for ctx.Err() == nil {
			if list, _ := last.Receive(ctx, 16); len(list) > 0 {
				t.Error("poison was given to a worker once more")
			}
		}
	})
	rig.Eventually(t, "the exchange is lost", func() error {
		if _, _, lost := c.read(); lost != 1 {
			return errors.New("it is not")
		}
		return nil
	})
	cancel()
	receiving.Wait()
	if c.lost[parallax.LostPoison] != 1 {
		t.Errorf("lost: %v", c.lost)
	}
	dead, err := last.stream.client.XRange(t.Context(), last.stream.dead(), "-", "+").Result()
	if err != nil || len(dead) != 1 || dead[0].Values["error"] == "" {
		t.Errorf("dead letters: %v, %v", dead, err)
	}
	if err := empty(t, last); err != nil {
		t.Error(err)
	}
}

// TestRedisIsAway: what is offered waits on disk, is sent when it is back, by the process that
// took it or the next, and each exchange comes once.
func TestRedisIsAway(t *testing.T) {
	t.Parallel()
	r, dir := rig.StartRedis(t), t.TempDir()
	r.Kill()
	var c, d counts
	q, stop := start(t, r, func(cfg *Config, deps *Deps) { deps.Dir, deps.Exchanges = dir, 1000; c.into(deps) })
	list := mirrortest.Exchanges(300)
	offer(t, q, list)
	rig.Eventually(t, "everything is on disk", func() error {
		if n := q.Len(); n != 0 {
			return fmt.Errorf("%d are in memory", n)
		}
		return nil
	})
	stop()
	if sent, _, lost := c.read(); sent != 0 || lost != 0 || c.aside != 300 {
		t.Errorf("%d sent, %d lost, %d aside; want 0, 0, 300", sent, lost, c.aside)
	}
	onDisk(t, dir, func(b []byte) {
		if bytes.Contains(b, []byte("application/json")) {
			t.Error("a header is on disk in the clear")
		}
	})

	next, _ := start(t, r, func(cfg *Config, deps *Deps) { deps.Dir, deps.Exchanges = dir, 1000; d.into(deps) })
	offer(t, next, mirrortest.Exchanges(10))
	r.Start()
	ack(t, next, receiveIDs(t, next, 310))
	if err := empty(t, next); err != nil {
		t.Error(err)
	}
	if sent, found, lost := d.read(); sent != 310 || found != 300 || lost != 0 {
		t.Errorf("%d sent, %d found, %d lost; want 310, 300, 0", sent, found, lost)
	}
	onDisk(t, dir, func([]byte) { t.Error("a file is left") })
}

func onDisk(t testing.TB, dir string, f func([]byte)) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range list {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f(b)
	}
}

// TestDiskIsBounded: what has room neither on disk nor in memory is refused.
func TestDiskIsBounded(t *testing.T) {
	t.Parallel()
	r, dir := rig.StartRedis(t), t.TempDir()
	r.Kill()
	q, _ := start(t, r, func(cfg *Config, deps *Deps) { cfg.Spool, deps.Dir, deps.Exchanges = 100_000, dir, 50 })
	taken := 0
	rig.Eventually(t, "an exchange is refused", func() error {
		for _, x := range mirrortest.Exchanges(20) {
			if !q.Offer(x) {
				return nil
			}
			taken++
		}
		return errors.New("all are taken")
	})
	size := 0
	onDisk(t, dir, func(b []byte) { size += len(b) })
	if size == 0 || size > 100_000 {
		t.Errorf("%d bytes on disk for %d exchanges, at most 100000 are allowed", size, taken)
	}
}

// TestRedisForgets: a Redis that lost the stream and the group is used anew.
func TestRedisForgets(t *testing.T) {
	t.Parallel()
	r := rig.StartRedis(t)
	q, _ := start(t, r, nil)
	offer(t, q, mirrortest.Exchanges(5))
	lost := receiveIDs(t, q, 5)
	offer(t, q, mirrortest.Exchanges(5))
	r.Kill()
	r.Start()
	ack(t, q, lost) // they are not there any more
	more := mirrortest.Exchanges(7)
	rig.Eventually(t, "exchanges are taken", func() error {
		for len(more) > 0 && q.Offer(more[0]) {
			more = more[1:]
		}
		if len(more) > 0 {
			return errors.New("one is refused")
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for n := 0; n < 7; {
		list, err := q.Receive(ctx, 16)
		if ctx.Err() != nil {
			t.Fatalf("%d of 7 came: %v", n, err)
		}
		n += len(list)
	}
}

// TestABrokenConnectionIsNotTheEnd: io.EOF says that a queue is closed, and that alone.
func TestABrokenConnectionIsNotTheEnd(t *testing.T) {
	t.Parallel()
	r := rig.StartRedis(t)
	q, _ := start(t, r, nil)
	failed := make(chan error)
	go func() {
		for {
			if _, err := q.Receive(t.Context(), 16); err != nil {
				failed <- err
				return
			}
		}
	}()
	rig.Eventually(t, "somebody waits", func() error {
		if !q.receives.Load() {
			return errors.New("nobody does")
		}
		return nil
	})
	r.Kill()
	if err := <-failed; errors.Is(err, io.EOF) {
		t.Errorf("Receive says that the queue is closed: %v", err)
	}
}

// TestWhatCannotBeRead is lost, and ends.
func TestWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := rig.StartRedis(t)
	foreign, _ := start(t, r, func(_ *Config, d *Deps) { d.Key = bytes.Repeat([]byte{8}, 32) })
	offer(t, foreign, mirrortest.Exchanges(3))
	var c counts
	q, _ := start(t, r, func(_ *Config, d *Deps) { c.into(d) })
	rig.Eventually(t, "they are in the stream", func() error {
		if f, err := q.stream.look(t.Context()); err != nil || f.count != 3 {
			return fmt.Errorf("%v, %v", f, err)
		}
		return nil
	})
	if err := q.stream.client.XAdd(t.Context(), &redis.XAddArgs{Stream: q.stream.entries(), Values: []any{"x", "garbage"}}).Err(); err != nil {
		t.Fatal(err)
	}
	offer(t, q, mirrortest.Exchanges(1))
	ack(t, q, receiveIDs(t, q, 1))
	if err := empty(t, q); err != nil {
		t.Error(err)
	}
	if c.lost[parallax.LostCodec] != 3 {
		t.Errorf("lost: %v, want 3 of codec", c.lost)
	}
}

// TestNothingInTheClear: what is in Redis says which endpoints were asked, and nothing of
// what they were asked for.
func TestNothingInTheClear(t *testing.T) {
	t.Parallel()
	r := rig.StartRedis(t)
	q, _ := start(t, r, nil)
	x := mirrortest.Exchanges(1)[0]
	x.Legs[0].Request.Body.Bytes = bytes.Repeat([]byte("canary"), 100)
	x.Legs[0].Request.Target = "/orders?canary"
	offer(t, q, []*parallax.Exchange{x})
	receiveIDs(t, q, 1)
	list, err := q.stream.client.XRange(t.Context(), q.stream.entries(), "-", "+").Result()
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	if text := fmt.Sprint(list); bytes.Contains([]byte(text), []byte("canary")) || len(text) > 1000 {
		t.Errorf("%d bytes, or the canary, in %q", len(text), text)
	}
}

// TestARepeatedAdd: whoever did not hear that an exchange was added adds it again, and it is
// there once.
func TestARepeatedAdd(t *testing.T) {
	t.Parallel()
	r := rig.StartRedis(t)
	q, _ := start(t, r, nil)
	x := mirrortest.Exchanges(1)[0]
	text, err := q.box.seal(x)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		n, f, err := q.stream.add(t.Context(), 100, 1<<20, []entry{{text: string(text), tag: tag(x), size: len(text)}})
		if n != 1 || f.count != 1 || err != nil {
			t.Errorf("%d added, %v, %v", n, f, err)
		}
	}
}

// TestCheck: a Redis that drops what waits is told off.
func TestCheck(t *testing.T) {
	t.Parallel()
	good, _ := start(t, rig.StartRedis(t), nil)
	if err := good.Check(t.Context()); err != nil {
		t.Error(err)
	}
	bad, _ := start(t, rig.StartRedis(t, "--maxmemory-policy", "allkeys-lru"), nil)
	if err := bad.Check(t.Context()); err == nil {
		t.Error("allkeys-lru was taken")
	}
}

// TestMemoryOfTheStreamIsBounded by bytes, too.
func TestMemoryOfTheStreamIsBounded(t *testing.T) {
	t.Parallel()
	r := rig.StartRedis(t)
	var c counts
	small, _ := start(t, r, func(_ *Config, d *Deps) { d.Bytes = 20_000; c.into(d) })
	offered := 0
	rig.Eventually(t, "some are lost", func() error {
		for _, x := range mirrortest.Exchanges(5) {
			if small.Offer(x) {
				offered++
			}
		}
		if _, _, lost := c.read(); lost == 0 {
			return errors.New("none is")
		}
		return nil
	})
	f, err := small.stream.look(t.Context())
	if err != nil || f.bytes > 20_000 {
		t.Errorf("%d bytes in the stream, %v", f.bytes, err)
	}
}
