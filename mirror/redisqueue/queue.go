package redisqueue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"parallax"
	"parallax/mirror"
)

// Deps is what a [Queue] works with. All fields but Key may be left out.
type Deps struct {
	Key       []byte // of the installation; 32 bytes, required
	Exchanges int    // that the stream holds at most; 0: 20 000
	Bytes     int64  // that the stream holds at most, and the buffer of this process; 0: 256 MiB
	Dir       string // for what waits while Redis is away; empty: it waits in memory alone
	Log       *slog.Logger

	// Sent is told of an exchange that is in Redis now, and whether it had been set aside; Lost of
	// one that has come to its end in the queue; Aside of one that waits in Dir. An exchange that a
	// process of before had left there is Found before it is Sent. They are called by Send alone.
	Sent         func(s parallax.Stamp, aside bool)
	Aside, Found func(parallax.Stamp)
	Lost         func(parallax.Stamp, parallax.Place)

	// Dropped is told of an exchange that a worker received and that nobody will compare.
	Dropped func(parallax.Stamp, parallax.Place)

	// Stored returns which exchanges the store has: a worker that was killed may have stored
	// them and not said so. An error leaves them where they are.
	Stored func(context.Context, []parallax.ID) (map[parallax.ID]bool, error)

	// Ready says why the store cannot be asked, or nil if it can: nothing is taken over while it
	// cannot.
	Ready func() error
}

// Queue is a queue in Redis, from both sides. Its methods may be called from many
// goroutines.
type Queue struct {
	cfg    Config
	deps   Deps
	box    *box
	stream *stream
	buffer *mirror.MemQueue // offered, and not in Redis yet
	spool  *files           // nil: there is none

	receives atomic.Bool // somebody has, so that this process may take over what others left
	stale    atomic.Bool // there may be more of that
	forgot   time.Time   // when workers that are gone were forgotten last; of Keep

	mu     sync.Mutex
	closed bool
	fill   fill   // of the stream, as heard last
	ahead  int64  // exchanges that were offered and are not in fill
	adding bool   // nobody knows whether some of them are in the stream
	drops  []fill // of this process, as heard meanwhile; their counts are how many they dropped
	held   map[parallax.ID]*holding
	taken  []entry // from workers that are gone, to be received
	away   error   // why Redis did not answer last; nil: it did
}

// holding is an entry that was received here and is not acknowledged.
type holding struct {
	entry
	said time.Time // when Redis last heard that it is held
}

var _ mirror.Queue = (*Queue)(nil)

// Open returns a queue; it does not connect. What is offered is sent by [Queue.Send].
func Open(cfg Config, deps Deps) (*Queue, error) {
	deps = deps.withDefaults()
	client, err := cfg.connection().Open()
	if err != nil {
		return nil, fmt.Errorf("cannot open the queue: %w", err)
	}
	q := &Queue{
		cfg: cfg, deps: deps, buffer: mirror.NewMemQueue(deps.Exchanges+sendMax, deps.Bytes), // what is being sent may be in the stream already
		stream: &stream{client: client, prefix: "{" + cfg.Prefix + "}", name: rand.Text()}, held: map[parallax.ID]*holding{},
	}
	if q.box, err = newBox(deps.Key); err == nil && deps.Dir != "" && cfg.Spool > 0 {
		q.spool, err = openFiles(deps.Dir, int64(cfg.Spool))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open the queue: %w", err), client.Close())
	}
	return q, nil
}

func (d Deps) withDefaults() Deps {
	if d.Exchanges <= 0 {
		d.Exchanges = 20_000
	}
	if d.Bytes <= 0 {
		d.Bytes = 256 << 20
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	nobody := func(parallax.Stamp) {}
	nowhere := func(parallax.Stamp, parallax.Place) {}
	if d.Sent == nil {
		d.Sent = func(parallax.Stamp, bool) {}
	}
	if d.Aside == nil {
		d.Aside = nobody
	}
	if d.Found == nil {
		d.Found = nobody
	}
	if d.Lost == nil {
		d.Lost = nowhere
	}
	if d.Dropped == nil {
		d.Dropped = nowhere
	}
	if d.Ready == nil {
		d.Ready = func() error { return nil }
	}
	if d.Stored == nil {
		d.Stored = func(context.Context, []parallax.ID) (map[parallax.ID]bool, error) { return nil, nil }
	}
	return d
}

// Check says what is wrong with the Redis, if something is.
func (q *Queue) Check(ctx context.Context) error { return q.stream.check(ctx) }

// Err returns why Redis did not answer last, or nil if it did.
func (q *Queue) Err() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.away
}

// Offer takes an exchange to be sent, if there is room for it here and, as far as is known,
// in Redis. It never waits. Nobody changes the exchange afterwards.
func (q *Queue) Offer(x *parallax.Exchange) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.away == nil && q.fill.count+q.ahead >= int64(q.deps.Exchanges) || !q.buffer.Offer(x) {
		return false
	}
	q.ahead++
	return true
}

// Len returns how many exchanges wait to be received, or are held by a worker, as far as is
// known here.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return int(q.fill.count + q.ahead)
}

// adds begins an adding.
func (q *Queue) adds() {
	q.mu.Lock()
	q.adding = true
	q.mu.Unlock()
}

// added ends an adding: so many exchanges are no longer ahead, and the stream was as full as f
// says. What was dropped after it is known already.
func (q *Queue) added(f fill, arrived int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ahead -= int64(arrived)
	for _, d := range q.drops {
		if d.seq > f.seq {
			f.seq, f.count = d.seq, f.count-d.count
		}
	}
	if q.adding, q.drops = false, nil; f.seq > 0 {
		q.fill = f
	}
}

// maxDrops is how many droppings are remembered; an adding does not take longer.
const maxDrops = 1000

// dropped notes how full the stream is after some of it was dropped, or looked at. While
// something is being added, that may or may not be in it, and only the difference counts.
func (q *Queue) dropped(f fill, n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case !q.adding && (f.seq > q.fill.seq || f.seq+maxLag < q.fill.seq):
		q.fill = f
	case q.adding && len(q.drops) < maxDrops:
		q.fill.count -= n
		q.drops = append(q.drops, fill{seq: f.seq, count: n})
	}
}

// maxLag is how far answers of one Redis may overtake each other. One that is further behind
// comes from a Redis that has lost everything.
const maxLag = 1000

// hears notes whether Redis answers, and logs when that changes.
func (q *Queue) hears(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	q.mu.Lock()
	was := q.away
	q.away = err
	q.mu.Unlock()
	switch {
	case err != nil && was == nil:
		q.deps.Log.Warn("redis does not take exchanges: they wait here", "error", err)
	case err == nil && was != nil:
		q.deps.Log.Info("redis takes exchanges again")
	}
}

// Close refuses further exchanges. What is in the buffer is still sent, and what is in the
// stream can still be received. Closing again does nothing; the error is always nil.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	return q.buffer.Close()
}

// Send sends what is offered until the context ends, or the queue is closed and all is sent.
// What is left then has two seconds more; what could not be sent by then is lost, but for what
// is in files. It returns nil.
func (q *Queue) Send(ctx context.Context) error {
	q.send(ctx)
	return nil
}

// Keep says to Redis what is held here, takes over what workers that are silent have left, and
// looks how full the stream is, until the context ends: once everything that was received is
// acknowledged. It returns nil.
func (q *Queue) Keep(ctx context.Context) error {
	q.keep(ctx)
	return nil
}

// Shut closes connections and files. Nothing may be called afterwards.
func (q *Queue) Shut() error {
	q.box.close()
	err := q.stream.client.Close()
	if errors.Is(err, redis.ErrClosed) {
		err = nil
	}
	if q.spool != nil {
		err = errors.Join(err, q.spool.close())
	}
	return err
}

// Cells returns how many exchanges are in the stream, received ones included, by service,
// endpoint and minute of receipt.
func (q *Queue) Cells(ctx context.Context) (map[parallax.Stamp]int64, error) {
	left, err := q.stream.left(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot read the queue in redis: %w", err)
	}
	out := make(map[parallax.Stamp]int64, len(left))
	for cell, n := range left {
		if s, ok := stampOf(cell); ok {
			out[s] += n
		}
	}
	return out, nil
}

// retry is the pause after Redis did not answer.
const retry = 200 * time.Millisecond

// pause waits, or until the context ends; it reports whether it did not.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
