package divergence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parallax"
	"parallax/compare"
)

// Source is where exchanges to compare come from: a queue. Receive waits for at
// least one and returns at most max; it returns io.EOF once the queue was closed
// and is empty. Ack says that exchanges need not come again; it is called once
// for each, at its end: when it is lost, and otherwise when it is stored if the
// recorder has an Acker, or compared if not.
type Source interface {
	Receive(ctx context.Context, max int) ([]*parallax.Exchange, error)
	Ack(ctx context.Context, ids ...parallax.ID) error
}

// Judge is what the exchanges of one service are compared by. It is made whole,
// used by many goroutines, and replaced whole when the configuration changes; a
// noise model may be handed from one to the next.
type Judge struct {
	Rules    *compare.Rules
	Noise    *compare.NoiseModel // nil: no noise is known
	Redactor *compare.Redactor
	IDs      *Identifiers // nil: nothing is known of identifiers
	Effects  *Effects     // nil: effects are not compared
	Slower   Slower
	Policy   string              // hash of the promotion policy, for ticks
	Zero     *compare.ZeroPlaces // of which the policy allows no divergence; nil: none

	// MaxRepeat returns which share of an endpoint's evidence one and the same request
	// may be; nil: any.
	MaxRepeat func(endpoint string) float64

	// Accepted returns what people took away by now, the same value until that
	// changes; nil: nothing is.
	Accepted func() *compare.Acceptances

	filings atomic.Pointer[dayFilings]
}

// Slower says when a leg counts as slower than the other: when its time is more
// than Ratio times the other's, plus Plus.
type Slower struct {
	Ratio float64
	Plus  time.Duration
}

// dayFilings are what records of one day are filed under, by everything but the
// hashes: rules and acceptances expire at the end of a day.
type dayFilings struct {
	day   int64
	of    *compare.Acceptances // that were in force
	mu    sync.RWMutex
	known map[filing]*filing
}

// maxFilings is how many filings a judge remembers. Versions are what legs say
// they are; when there are too many, those in use are made anew.
const maxFilings = 4096

// filing returns what the record of an exchange is filed under: one for all that
// are filed alike, with the hash of the rules of its endpoint that were in force
// when it was received.
func (j *Judge) filing(x *parallax.Exchange, accepted *compare.Acceptances, reason string) *filing {
	day := x.Received.Unix() / (24 * 60 * 60)
	today := j.filings.Load()
	if today == nil || today.day != day || today.of != accepted {
		today = &dayFilings{day: day, of: accepted, known: map[filing]*filing{}}
		j.filings.Store(today)
	}
	key := filingOf(x, reason)
	today.mu.RLock()
	f := today.known[key]
	today.mu.RUnlock()
	if f != nil {
		return f
	}
	key = key.clone()
	hashed := key
	hashed.ruled, hashed.policy = j.Rules.HashAt(x.Endpoint, x.Received), j.Policy
	hashed.rules = accepted.HashAt(hashed.ruled, x.Endpoint, x.Received)
	return today.keep(key, &hashed)
}

// keep remembers a filing, unless somebody else did, and returns the one that is
// remembered.
func (d *dayFilings) keep(key filing, f *filing) *filing {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.known[key]; known != nil {
		return known
	}
	if len(d.known) >= maxFilings {
		d.known = map[filing]*filing{}
	}
	d.known[key] = f
	return f
}

// HashAt names everything that decides how an exchange of an endpoint that was
// received at a time is compared: rules and acceptances.
func (j *Judge) HashAt(endpoint string, at time.Time) string {
	return j.accepted().HashAt(j.Rules.HashAt(endpoint, at), endpoint, at)
}

// AcceptedAt names all that people took away at a time, "" for nothing.
func (j *Judge) AcceptedAt(at time.Time) string { return j.accepted().Version(at) }

// accepted returns what people took away by now.
func (j *Judge) accepted() *compare.Acceptances {
	if j.Accepted == nil {
		return nil
	}
	return j.Accepted()
}

// timing judges the latencies of a pair. Only complete answers are timed: one
// that failed fast is not fast.
func (s Slower) timing(x *parallax.Exchange) timing {
	p, c := x.Legs[parallax.Primary], x.Legs[parallax.Candidate]
	primary, ok := p.Latency()
	candidate, also := c.Latency()
	if !ok || !also || p.Err.Kind != parallax.NoError || c.Err.Kind != parallax.NoError {
		return timing{}
	}
	return timing{both: true, slowPrimary: s.slower(primary, candidate), slowCandidate: s.slower(candidate, primary)}
}

func (s Slower) slower(a, b time.Duration) bool {
	return a.Seconds() > s.Ratio*b.Seconds()+s.Plus.Seconds()
}

// WorkerConfig is what a [Worker] needs. All fields but Goroutines, Again and Gather are required.
type WorkerConfig struct {
	Source     Source
	Recorder   *Recorder
	Ledger     *Ledger
	Judge      func(service string) *Judge // nil for a service that is not configured
	Log        *slog.Logger
	Fetched    bool     // the source's exchanges come from mirrors of other processes
	Goroutines int      // 0: 2
	Again      Asker    // asks a diverging safe exchange again; nil: none is
	Gather     Gatherer // waits for what an exchange's legs did to their databases; nil: nobody knows
}

// Worker takes exchanges from a source, compares them and hands what it found to
// a [Recorder].
type Worker struct {
	cfg    WorkerConfig
	hot    *hotRequests
	panics sync.Once
	asked  sync.WaitGroup // exchanges that are asked again, or wait for their effects
}

// receiveMax is how many exchanges a goroutine takes at once.
const receiveMax = 16

// receiveRetry is the pause after a failed Receive.
const receiveRetry = time.Second

// NewWorker returns a worker.
func NewWorker(cfg WorkerConfig) *Worker {
	if cfg.Goroutines <= 0 {
		cfg.Goroutines = 2
	}
	return &Worker{cfg: cfg, hot: newHotRequests()}
}

// Run compares until the source is closed and drained, or ctx ends; then it
// finishes what it holds and returns. It returns nil.
func (w *Worker) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for range w.cfg.Goroutines {
		all.Go(func() { w.loop(ctx) })
	}
	all.Wait()
	w.asked.Wait()
	return nil
}

func (w *Worker) loop(ctx context.Context) {
	for {
		list, err := w.cfg.Source.Receive(ctx, receiveMax)
		w.all(ctx, list)
		switch {
		case errors.Is(err, io.EOF) || ctx.Err() != nil:
			return
		case err != nil:
			w.cfg.Log.Error("cannot receive exchanges; trying again", "error", err)
			pause(ctx, receiveRetry)
		}
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// all compares a list and acknowledges what nobody else will.
func (w *Worker) all(ctx context.Context, list []*parallax.Exchange) {
	var done []parallax.ID
	for _, x := range list {
		if !w.one(x) {
			done = append(done, x.ID)
		}
	}
	if len(done) == 0 {
		return
	}
	if err := w.cfg.Source.Ack(context.WithoutCancel(ctx), done...); err != nil {
		w.cfg.Log.Warn("cannot acknowledge exchanges; they may come again", "error", err)
	}
}

// one takes an exchange from the queue to the recorder, and reports whether the
// recorder will acknowledge it.
func (w *Worker) one(x *parallax.Exchange) bool {
	if w.cfg.Fetched {
		w.cfg.Ledger.Fetch(x.Stamp())
	} else {
		w.cfg.Ledger.move(x.Stamp(), inQueue, inWorker, 1)
	}
	repeated := w.repeats(x)
	if w.gather(x, repeated) {
		return true
	}
	return w.finish(x, turn{repeated: repeated})
}

// turn is how far an exchange has come.
type turn struct {
	second   *[parallax.Legs]*parallax.Call // answers, when it was asked again
	gathered bool                           // it has waited for its effects
	repeated bool                           // its request was sent too often to be evidence
}

// repeats reports whether an exchange's request was sent too often to be evidence. It is
// asked once of each, before anything is known of what comes out. A defect is left to the
// comparison, which runs into it too.
func (w *Worker) repeats(x *parallax.Exchange) (repeated bool) {
	defer func() { _ = recover() }()
	j := w.cfg.Judge(x.Service)
	if j == nil || j.MaxRepeat == nil {
		return false
	}
	return !w.hot.counts(x, j.filing(x, j.accepted(), "").key(), j.MaxRepeat(x.Endpoint))
}

// finish compares an exchange that is in the worker. It reports whether somebody else will acknowledge it.
func (w *Worker) finish(x *parallax.Exchange, t turn) bool {
	r, again, err := w.compare(x, t)
	switch {
	case again:
		return true
	case err == nil:
		return w.cfg.Recorder.add(r)
	}
	w.cfg.Ledger.Move(x.Stamp(), parallax.InWorker, parallax.LostPanic)
	w.panics.Do(func() {
		w.cfg.Log.Error("an exchange was lost to a defect; further ones are only counted, as lost{panic}", "service", x.Service, "endpoint", x.Endpoint, "exchange", x.ID, "error", err)
	})
	return false
}

// compare makes the record of an exchange; there is none yet when it is asked again.
// A panic is returned as an error: a defect in the comparison costs one exchange and
// not the process.
func (w *Worker) compare(x *parallax.Exchange, t turn) (r record, again bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	j := w.cfg.Judge(x.Service)
	if j == nil {
		return record{}, false, fmt.Errorf("service %q is not configured", x.Service)
	}
	if j.Effects != nil && !t.gathered {
		x = ungathered(x)
	}
	j.settleNoise(x)
	accepted := j.accepted()
	known := j.IDs.of(x)
	effects := j.Effects.of(x)
	in := compare.Input{Rules: j.Rules, Noise: j.Noise, Accepted: accepted, IDs: known, Effects: effects}
	c := compare.Compare(x, in)
	var came seconds
	if t.second != nil {
		c, came = w.weigh(x, c, t.second, in)
	} else if w.askAgain(x, &c, t) {
		return record{}, true, nil
	}
	j.Effects.note(x, &c)
	w.cfg.Recorder.metrics.compared(x.Stamp(), c)
	zero := j.Zero.Touched(&c)
	r = w.redacted(j, x, c, in)
	r.zero, r.repeated = zero, t.repeated
	r.note(came)
	return r, false, nil
}

// redacted takes the secrets out of everything that will be stored, and out of what
// is learnt about noise.
func (w *Worker) redacted(j *Judge, x *parallax.Exchange, c compare.Comparison, in compare.Input) record {
	var kept *parallax.Exchange
	keeper := &w.cfg.Recorder.keeper
	keep := keeper.keep(x, c)
	all := len(c.Differences)
	parts := keeper.part(x, c.Differences, keep)
	c.Differences = append(parts.rows, parts.rest...)
	// Fast path: an exchange that leaves nothing new behind is not searched (BenchmarkExchange).
	if keep || len(c.Differences) > 0 || c.Sample.Places() > 0 {
		c.Pairs = pairsIn(in)
		if keep {
			kept, c = j.Redactor.Both(storable(x), c)
		} else {
			c = j.Redactor.Comparison(x, c)
			c.Pairs = nil // They are stored beside bodies only.
		}
	}
	if j.Noise != nil {
		j.Noise.Add(c.Sample)
	}
	keeper.say(x.Service, c.Differences)
	repeats := parts.counted
	for i := range c.Differences[len(parts.rows):] {
		repeats = append(repeats, issueOf(&c.Differences[len(parts.rows)+i]))
	}
	if c.Differences = c.Differences[:len(parts.rows)]; len(parts.rows) < all {
		c.Differences = slices.Clone(c.Differences)
		c.Truncated = true
	}
	r := j.filing(x, in.Accepted, c.Reason).record(x, &c, repeats, kept)
	r.timing = j.Slower.timing(x)
	return r
}
