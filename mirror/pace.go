package mirror

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parallax"
)

// pacer keeps mirroring within mirror.max_rps exchanges a second. A nil pacer
// takes everything.
//
// With mirror.adaptive each endpoint gets a fair share of that. Once a second the
// arrivals of each endpoint, a mean that halves every second, are poured into
// the budget like water: everybody gets as much as they want up to one level,
// the same for all, so that the shares add up to the budget (max-min fairness;
// Bertsekas and Gallager, Data Networks, section 6.5.2). An endpoint below the
// level is mirrored whole; of one above it, level/arrivals are, chosen by the
// hash that sampling uses, so that the choice depends on the exchange's id and
// on how many came, never on what they answered. The second half of what the
// budget allows at once is kept for endpoints that are still below the level in
// this second, so that a burst of common requests leaves room for rare ones. The
// shares are in parallax_mirrored_share, what is left out in the accounting of
// each endpoint as unmirrored/rate.
//
// Unsafe requests to a leg with a database of its own are never left out. They
// use up the budget, at most for a second ahead, and leave at least a tenth of it
// to the shares.
//
// In any time t at most max_rps*(t + 0.25 s) + 3 exchanges are mirrored, those
// that are never left out apart.
type pacer struct {
	budget bucket
	rate   float64 // exchanges a second

	adaptive bool
	ends     atomic.Int64  // of the turn that arrivals are counted for, ns since the Unix epoch; 0 before the first
	level    atomic.Uint64 // float64: arrivals a second that are mirrored whole; at most rate
	owed     atomic.Int64  // arrivals of the turn that are never left out

	mu     sync.Mutex
	turned time.Time // when the turn began
	shares []*share  // as many as there are endpoints, which are capped
	wants  []float64 // of the last turn
	owing  float64   // mean of owed
}

// share is one endpoint's part of the budget.
type share struct {
	arrived atomic.Int64  // in this turn
	part    atomic.Uint64 // float64: what share of its arrivals is mirrored
	mean    float64       // arrivals a second; guarded by pacer.mu
	name    string        // the endpoint's
}

func newPacer(o Options) *pacer {
	if o.MaxRPS == 0 {
		return nil
	}
	p := &pacer{budget: newBucket(o.MaxRPS), rate: o.MaxRPS, adaptive: o.Adaptive}
	p.level.Store(math.Float64bits(p.rate))
	return p
}

// add makes an endpoint one of those that share the budget.
func (p *pacer) add(e *endpoint) {
	if p == nil || !p.adaptive {
		return
	}
	e.share.name = e.name
	e.share.part.Store(math.Float64bits(1))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shares = append(p.shares, &e.share)
}

// parts returns what share of each endpoint's arrivals is mirrored, by name.
func (p *pacer) parts() map[string]float64 {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[string]float64, len(p.shares))
	for _, s := range p.shares {
		out[s.name] = math.Float64frombits(s.part.Load())
	}
	return out
}

// take reports whether one more exchange may be mirrored. One that is owed to a
// leg always may, and counts.
func (p *pacer) take(e *endpoint, id parallax.ID, owed bool, now time.Time) bool {
	if p == nil {
		return true
	}
	if p.adaptive {
		p.turn(now)
	}
	if owed {
		p.owed.Add(1)
		p.budget.force(now)
		return true
	}
	if !p.adaptive {
		return p.budget.take(now, p.budget.ahead)
	}
	n := e.share.arrived.Add(1)
	sample := e.sample
	if e.operations != nil {
		sample = 1 // the body will tell whose sample counts
	}
	if part := math.Float64frombits(e.share.part.Load()); !inSample(id, sample*part) {
		return false
	}
	ahead := p.budget.ahead
	if float64(n) > math.Float64frombits(p.level.Load()) {
		ahead /= 2
	}
	return p.budget.take(now, ahead)
}

// turn divides the budget anew when a second is over. One request a second pays
// for it, a few dozen microseconds with as many endpoints as there may be; the
// others do not wait.
func (p *pacer) turn(now time.Time) {
	left := time.Duration(p.ends.Load() - now.UnixNano())
	if left > 0 && left <= time.Second || !p.mu.TryLock() { // more is of a clock that was set back
		return
	}
	defer p.mu.Unlock()
	passed := now.Sub(p.turned).Seconds()
	if p.turned.IsZero() || passed < 0 {
		p.begin(now)
		return
	}
	if passed < 1 {
		return
	}
	p.divide(passed)
	p.begin(now)
}

func (p *pacer) begin(now time.Time) {
	p.turned = now
	p.ends.Store(now.Add(time.Second).UnixNano())
}

// divide gives every endpoint its part, from what arrived in this many seconds.
func (p *pacer) divide(seconds float64) {
	fade := math.Pow(0.5, seconds)
	mean := func(before float64, arrived int64) float64 {
		return fade*before + (1-fade)*float64(arrived)/seconds
	}
	p.owing = mean(p.owing, p.owed.Swap(0))
	p.wants = p.wants[:0]
	for _, s := range p.shares {
		s.mean = mean(s.mean, s.arrived.Swap(0))
		p.wants = append(p.wants, s.mean)
	}
	level := waterLevel(p.wants, max(p.rate-p.owing, p.rate/10))
	p.level.Store(math.Float64bits(min(level, p.rate))) // who wants it all is no rare endpoint
	for _, s := range p.shares {
		part := 1.0
		if s.mean > level {
			part = level / s.mean
		}
		s.part.Store(math.Float64bits(part))
	}
}

// waterLevel returns up to where each of the wants is met so that together they
// make the budget; infinity when all of them fit. It sorts wants.
func waterLevel(wants []float64, budget float64) float64 {
	slices.Sort(wants)
	for i, want := range wants {
		if left := float64(len(wants) - i); want*left > budget {
			return budget / left
		}
		budget -= want
	}
	return math.Inf(1)
}

// bucket lets a rate through, by the generic cell rate algorithm (ITU-T I.371,
// annex A): one number, the time at which everything let through so far would
// have been due at the exact rate.
type bucket struct {
	every time.Duration // between two
	ahead time.Duration // how far due may run ahead of the clock
	due   *atomic.Int64 // ns since the Unix epoch
}

// maxDebt is how far ahead forced requests may push a bucket, so that what they
// used up is over after a second.
const maxDebt = time.Second

func newBucket(perSecond float64) bucket {
	every := time.Duration(min(float64(time.Second)/perSecond, float64(time.Hour)))
	return bucket{every: every, ahead: max(250*time.Millisecond, 2*every), due: new(atomic.Int64)}
}

// from returns from when on the next one counts. A bucket that is farther ahead
// of the clock than it can come is of a clock that was set back since.
func (b bucket) from(due, at int64) int64 {
	if due < at || due-at > int64(max(b.ahead, maxDebt)+b.every) {
		return at
	}
	return due
}

// take reports whether one more fits when the bucket may run this far ahead.
func (b bucket) take(now time.Time, ahead time.Duration) bool {
	at := now.UnixNano()
	for {
		was := b.due.Load()
		due := b.from(was, at)
		if due-at > int64(ahead) {
			return false
		}
		if b.due.CompareAndSwap(was, due+int64(b.every)) {
			return true
		}
	}
}

// force lets one more through in any case.
func (b bucket) force(now time.Time) {
	at := now.UnixNano()
	for {
		was := b.due.Load()
		due := b.from(was, at)
		next := min(due+int64(b.every), max(due, at+int64(maxDebt)))
		if b.due.CompareAndSwap(was, next) {
			return
		}
	}
}
