package divergence

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"parallax"
)

// Limits bound what a [Recorder] holds and how it writes. Zero fields take the
// default.
type Limits struct {
	BatchRows   int           // exchanges in one batch; 50 000
	BatchBytes  int64         // memory of one batch; 24 MiB
	Age         time.Duration // time between two batches when there is less to write; 1 s
	Busy        time.Duration // the same after a batch of more than 2 000 exchanges, and never less than Age; 3 s
	BufferRows  int           // exchanges that wait for the store; 150 000
	BufferBytes int64         // memory of what waits; 64 MiB
	Stop        time.Duration // time for the last flush; 10 s
	Retry       time.Duration // pause after the first failure, doubled up to 5 s; 100 ms
}

func (l Limits) withDefaults() Limits {
	return Limits{
		BatchRows:   orElse(l.BatchRows, 50_000),
		BatchBytes:  orElse(l.BatchBytes, 24<<20),
		Age:         orElse(l.Age, time.Second),
		Busy:        max(orElse(l.Busy, 3*time.Second), l.Age),
		BufferRows:  orElse(l.BufferRows, 150_000),
		BufferBytes: orElse(l.BufferBytes, 64<<20),
		Stop:        orElse(l.Stop, 10*time.Second),
		Retry:       orElse(l.Retry, 100*time.Millisecond),
	}
}

func orElse[T int | int64 | time.Duration](v, byDefault T) T {
	if v <= 0 {
		return byDefault
	}
	return v
}

// busyRows is how many exchanges make a batch one of a busy time. A batch costs
// the store about 30 ms whatever is in it, a row about 3 us (BenchmarkWrite): when
// rows are many they wait longer, when they are few they show at once.
const busyRows = 2000

// maxRetry is the longest pause between two tries to reach the store.
const maxRetry = 5 * time.Second

// maxCounts is how many rows of counts one batch takes along.
const maxCounts = 20_000

// RecorderConfig is what a [Recorder] needs. All fields but Hashes, Live, Acker
// and Limits are required.
type RecorderConfig struct {
	Store    *Store
	Ledger   *Ledger
	Metrics  *Metrics
	Instance string // names this start of this process; never used by another
	Now      func() time.Time
	Log      *slog.Logger
	Hashes   func(service, endpoint string) (rules, policy string) // for ticks of endpoints that nothing was compared of; nil: empty ones
	Live     func() []Live                                         // what callers newly got of either leg, to be told once; nil: nobody counts it
	Acker    Acker                                                 // of a queue that outlives this process: told what is stored; nil: the worker acknowledges what it compared
	Full     func() error                                          // why nothing may be written for now, see [Quota.Full]; nil: it always may
	Limits   Limits
}

// Acker is told which exchanges are stored and need not come again.
type Acker interface {
	Ack(ctx context.Context, ids ...parallax.ID) error
}

// writer is the part of a store that a recorder writes to.
type writer interface {
	Migrate(ctx context.Context) error
	write(ctx context.Context, b *batch, step int) error
}

// Recorder holds compared exchanges until the store has them. It writes in
// batches, by size and by age, one after the other. A batch that fails is tried
// again, the same rows with the same tokens, until the store takes it; meanwhile
// a bounded buffer fills, and past it exchanges are lost and counted so.
//
// A batch carries the counts of its time first and the comparisons after what
// belongs to them, so that a row of comparisons is the word that an exchange is
// stored whole. With it the exchange moves from parallax.InBatch to its end in
// the ledger.
type Recorder struct {
	cfg     RecorderConfig
	store   writer
	limits  Limits
	metrics *Metrics
	keeper  keeper

	// turn keeps readers and the writer of batches apart: a summary holds a
	// share of it, a flush the whole. It lets waiters give up with their context.
	turn *semaphore.Weighted

	// Guarded by turn.
	sealed   *batch    // being written
	seq      uint64    // of the last batch
	tickSeq  uint64    // of the last tick
	written  time.Time // when the last batch was sealed
	migrated bool
	versions map[entryKey]tickKey // what each endpoint's last exchange was filed under
	totals   runningTotals

	notes notes // of effects; it has a lock of its own

	looks looks // what the store said a moment ago

	mu       sync.Mutex
	buffer   waiting
	bytes    int64
	stopped  bool
	failure  error // of the last try; errUntried before the first; nil while the store takes batches
	failures int   // tries since it last did
	wake     chan struct{}
}

// errUntried is the state of a recorder that has not reached its store yet.
var errUntried = fmt.Errorf("%w: it has not been reached yet", ErrAway)

// wholeTurn is the weight of a flush.
const wholeTurn = math.MaxInt32

// NewRecorder returns a recorder. It writes nothing before [Recorder.Run].
func NewRecorder(cfg RecorderConfig) *Recorder {
	return newRecorder(cfg, cfg.Store)
}

func newRecorder(cfg RecorderConfig, store writer) *Recorder {
	if cfg.Hashes == nil {
		cfg.Hashes = func(string, string) (string, string) { return "", "" }
	}
	if cfg.Live == nil {
		cfg.Live = func() []Live { return nil }
	}
	return &Recorder{
		cfg: cfg, store: store, limits: cfg.Limits.withDefaults(), metrics: cfg.Metrics,
		turn: semaphore.NewWeighted(wholeTurn), versions: map[entryKey]tickKey{}, totals: runningTotals{}, wake: make(chan struct{}, 1),
		failure: errUntried,
	}
}

// add takes an exchange over from a worker. It never blocks: without room for its
// bodies it is stored without them, and without room for itself it is lost, and
// counted so. It reports whether the recorder will acknowledge the exchange;
// otherwise that is left to the worker.
func (r *Recorder) add(rec record) bool {
	bytes := rec.bytes()
	r.mu.Lock()
	if r.bytes+bytes > r.limits.BufferBytes {
		rec = rec.withoutBodies()
		bytes = rec.bytes()
	}
	full := r.stopped || r.buffer.n >= r.limits.BufferRows || r.bytes+bytes > r.limits.BufferBytes
	if !full {
		// Moved under the lock: a flush that takes the exchange finds it InBatch.
		r.cfg.Ledger.move(rec.stamp(), inWorker, inBatch, 1)
		r.buffer.add(rec)
		r.bytes += bytes
		r.metrics.buffered.Set(float64(r.bytes))
	}
	enough := r.buffer.n >= r.limits.BatchRows || r.bytes >= r.limits.BatchBytes
	r.mu.Unlock()
	if full {
		r.cfg.Ledger.Move(rec.stamp(), parallax.InWorker, parallax.LostStore)
	}
	if enough {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	return !full && r.cfg.Acker != nil
}

// Room reports whether half of the buffer is free: who can leave exchanges where they are safe
// fetches no more while it is not.
func (r *Recorder) Room() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.stopped && 2*r.buffer.n <= r.limits.BufferRows && 2*r.bytes <= r.limits.BufferBytes
}

// Err returns why the last try to write failed, or nil while the store takes
// what it is given. It wraps [ErrAway], or [ErrNewerSchema], where they apply.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failure
}

// Run writes batches until ctx ends, then what is left, within the limit Stop.
// What cannot be written by then is counted as lost{shutdown}, like everything
// else that the ledger still has in flight: end ctx after the mirror and the
// workers have stopped. Run returns nil; a store that is away is a state and
// not an error.
func (r *Recorder) Run(ctx context.Context) error {
	wait := r.limits.Age
	if err := r.prepare(ctx); ctx.Err() == nil {
		if pause := r.note(err); err != nil {
			wait = pause
		}
	}
	for r.idle(ctx, wait) {
		wait = r.round(ctx)
	}
	r.stop(context.WithoutCancel(ctx))
	return nil
}

// idle waits for the next round. While the store fails, a full batch does not
// end the wait. It returns false when ctx ends.
func (r *Recorder) idle(ctx context.Context, wait time.Duration) bool {
	wake := r.wake
	if r.Err() != nil {
		wake = nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-wake:
			if r.full() { // and not written since
				return true
			}
		}
	}
}

// round writes what there is, and returns how long to wait for the next.
func (r *Recorder) round(ctx context.Context) time.Duration {
	age := r.age()
	for more := true; more; more = r.full() {
		err := r.prepare(ctx)
		if err == nil {
			_, err = r.flush(ctx)
		}
		if ctx.Err() != nil {
			break
		}
		if pause := r.note(err); err != nil {
			return pause
		}
	}
	return age
}

// age is how long to wait after the batch that is due now.
func (r *Recorder) age() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.buffer.n > busyRows {
		return r.limits.Busy
	}
	return r.limits.Age
}

// prepare migrates the store, also when there is nothing to write: pages want to
// read from it.
func (r *Recorder) prepare(ctx context.Context) error {
	if err := r.turn.Acquire(ctx, wholeTurn); err != nil {
		return err
	}
	defer r.turn.Release(wholeTurn)
	return r.migrate(ctx)
}

// migrate does so once, and again after every failure to write: a store that
// comes back may be another one, without tables. The caller holds the turn.
func (r *Recorder) migrate(ctx context.Context) error {
	if r.migrated {
		return nil
	}
	if err := r.store.Migrate(ctx); err != nil {
		return err
	}
	r.migrated = true
	return nil
}

// full tells whether another whole batch waits.
func (r *Recorder) full() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buffer.n >= r.limits.BatchRows || r.bytes >= r.limits.BatchBytes
}

// note remembers how a try went, logs when that changes, and returns the pause
// before the next try.
func (r *Recorder) note(err error) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.failure
	r.failure = err
	switch {
	case err == nil:
		if before != nil {
			r.cfg.Log.Info("the store takes batches", "after", r.failures)
		}
		r.failures = 0
		return 0
	case before == nil:
		r.cfg.Log.Warn("cannot write to the store; exchanges wait in memory", "error", err)
	case before == errUntried:
		r.cfg.Log.Info("the store is not ready yet; exchanges wait in memory", "error", err)
	}
	r.failures++
	return min(r.limits.Retry<<min(r.failures-1, 10), maxRetry)
}

// flush writes the sealed batch, or seals the next one and writes it. It returns
// false when there was nothing to write.
func (r *Recorder) flush(ctx context.Context) (bool, error) {
	if err := r.turn.Acquire(ctx, wholeTurn); err != nil {
		return false, err
	}
	defer r.turn.Release(wholeTurn)
	if r.sealed == nil {
		r.sealed = r.seal()
	}
	if r.sealed == nil {
		return false, nil
	}
	began := r.cfg.Now()
	err := r.write(ctx, r.sealed)
	r.metrics.wrote(r.cfg.Now().Sub(began), err)
	if err != nil {
		r.migrated = false
		return false, err
	}
	r.sealed = nil
	return true, nil
}

// write takes a batch through its steps, from the first that the store has not
// acknowledged.
func (r *Recorder) write(ctx context.Context, b *batch) error {
	if r.cfg.Full != nil {
		if err := r.cfg.Full(); err != nil {
			return err
		}
	}
	if err := r.migrate(ctx); err != nil {
		return err
	}
	for ; b.step < steps; b.step++ {
		if b.step == writeTicks {
			b.totals = r.totals.rows()
		}
		if err := r.store.write(ctx, b, b.step); err != nil {
			return err
		}
		switch b.step {
		case writeCounts:
			r.totals.addCounts(b.counts)
		case writeComparisons:
			r.totals.addEndings(b.endings)
			r.settle(ctx, b)
		case writeTicks:
			r.looks.batch.Store(b.seq)
		}
	}
	return nil
}

// quietly calls f while nothing is written and nobody reads a summary. It fails
// when a batch is half written.
func (r *Recorder) quietly(ctx context.Context, f func() error) error {
	if err := r.turn.Acquire(ctx, wholeTurn); err != nil {
		return fmt.Errorf("%w: a batch is being written: %w", ErrAway, err)
	}
	defer r.turn.Release(wholeTurn)
	if r.sealed != nil {
		return fmt.Errorf("%w: a batch is half written", ErrAway)
	}
	return f()
}

// settle moves the exchanges of a stored batch to where they end.
func (r *Recorder) settle(ctx context.Context, b *batch) {
	for _, e := range b.endings {
		r.cfg.Ledger.move(e.stamp(), inBatch, mustIndex(e.outcome.Place()), e.n)
	}
	if r.cfg.Acker == nil || len(b.records) == 0 {
		return
	}
	ids := make([]parallax.ID, len(b.records))
	for i, rec := range b.records {
		ids[i] = rec.id
	}
	if err := r.cfg.Acker.Ack(ctx, ids...); err != nil {
		r.cfg.Log.Warn("cannot acknowledge stored exchanges; they may come again and will count once", "error", err)
	}
}

// Summary returns the accounting and the endpoints of a service: what is stored
// and what is in memory, at one instant. Batches wait while it reads, so that
//
//	received = unmirrored + compared + lost + in flight
//
// holds to the unit, however much traffic there is. It fails with [ErrAway]
// while the store is away.
func (r *Recorder) Summary(ctx context.Context, service string, w Window) (Summary, error) {
	if err := r.turn.Acquire(ctx, 1); err != nil {
		return Summary{}, fmt.Errorf("%w: a batch is being written: %w", ErrAway, err)
	}
	defer r.turn.Release(1)
	var d doubt
	var waiting []Count
	if b := r.sealed; b != nil {
		d.instance = r.cfg.Instance
		if b.step <= writeCounts {
			d.seq, waiting = b.seq, b.counts
		}
		if b.step <= writeComparisons {
			d.batch = b.seq
		}
	}
	return r.cfg.Store.summary(ctx, service, w, d, func() Balance {
		memory := r.cfg.Ledger.Unflushed(service, w)
		memory.addCounts(service, w, waiting)
		return memory
	})
}

// stop writes what is left. A quarter of its time is kept for counting what
// could not be written as lost.
func (r *Recorder) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.limits.Stop)
	defer cancel()
	first, enough := context.WithTimeout(ctx, r.limits.Stop*3/4)
	defer enough()
	r.drain(first)
	why, left := r.Err(), r.giveUp()
	r.cfg.Ledger.Abandon()
	r.drain(ctx)
	if left > 0 {
		r.cfg.Log.Error("the store did not take the last exchanges in time; they are lost", "exchanges", left, "error", why)
	}
}

// giveUp forgets the exchanges that are not stored and returns how many they
// are. Of a batch that was begun, the counts remain to be written, and the evidence
// that is in them.
func (r *Recorder) giveUp() int {
	r.mu.Lock()
	r.stopped = true
	left := r.buffer.n
	r.buffer, r.bytes = waiting{}, 0
	r.mu.Unlock()
	r.metrics.buffered.Set(0)
	if b := r.sealed; b != nil && b.step <= writeComparisons {
		left += len(b.records)
		b.records, b.endings = nil, nil
		b.ticks = r.ticks(b)
	}
	return left
}

// drain flushes until nothing is left or ctx ends. There is no later to wait for,
// so its tries do not get further apart.
func (r *Recorder) drain(ctx context.Context) {
	for ctx.Err() == nil {
		wrote, err := r.flush(ctx)
		if err == nil && !wrote {
			return
		}
		if r.note(err); err != nil {
			pause(ctx, r.limits.Retry)
		}
	}
}
