package mirror

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"golang.org/x/time/rate"

	"parallax"
)

// Breaker says when a leg that gives no answers is no longer asked as a shadow.
type Breaker struct {
	Failures int           `yaml:"failures" doc:"requests without a complete answer, of the last ones, after which a shadow leg is left alone; a status is an answer; 0 for never"`
	Of       int           `yaml:"of" doc:"how many last requests count"`
	OpenFor  time.Duration `yaml:"open_for" doc:"how long the leg is left alone before it is tried again"`
	HalfOpen int           `yaml:"half_open" doc:"how many requests it is tried with; if all are answered it is asked as before, if one is not it is left alone again"`
}

// DefaultBreaker is the breaker block where it is silent.
func DefaultBreaker() Breaker {
	return Breaker{Failures: 10, Of: 20, OpenFor: 5 * time.Second, HalfOpen: 3}
}

// Validate returns everything that is wrong with the block.
func (b Breaker) Validate() []parallax.Fault {
	var faults []parallax.Fault
	fault := func(path, hint, format string, args ...any) {
		faults = append(faults, parallax.Fault{Path: path, Text: fmt.Sprintf(format, args...), Hint: hint})
	}
	if b.Failures < 0 {
		fault("failures", "write a number such as 10, or 0 for never", "%d failures", b.Failures)
	}
	if b.Of < max(b.Failures, 1) || b.Of > 10_000 {
		fault("of", "write a number from failures to 10000, such as 20", "%d failures of %d requests", b.Failures, b.Of)
	}
	if b.OpenFor <= 0 {
		fault("open_for", "write a duration such as 5s", "open for %s", b.OpenFor)
	}
	if b.HalfOpen < 1 || b.HalfOpen > 1000 {
		fault("half_open", "write a number such as 3", "tried with %d requests", b.HalfOpen)
	}
	return faults
}

// gate is what a shadow request has to pass on its way to a leg: the leg's rate
// and its circuit breaker. It never waits.
type gate struct {
	rate *rate.Limiter // nil: no bound

	mu      sync.Mutex                         // held with every call of the breaker: what follows belongs to its state
	breaker circuitbreaker.CircuitBreaker[any] // nil: never open
	era     uint64                             // counts the breaker's changes of state
	spare   int                                // trials that were let through in this era and not made
	say     func()                             // what the log is to be told, once mu is free
}

func newGate(c LegConfig, log *slog.Logger) *gate {
	g := &gate{}
	if c.MaxRPS > 0 {
		g.rate = rate.NewLimiter(rate.Limit(c.MaxRPS), max(int(c.MaxRPS), 1))
	}
	if b := c.Breaker; b.Failures > 0 {
		g.breaker = circuitbreaker.NewBuilder[any]().
			WithFailureThresholdRatio(uint(b.Failures), uint(b.Of)).
			WithSuccessThreshold(uint(b.HalfOpen)).WithDelay(b.OpenFor).
			OnStateChanged(func(e circuitbreaker.StateChangedEvent) {
				g.era++
				g.spare = 0
				switch {
				case e.OldState == circuitbreaker.ClosedState:
					g.say = func() {
						log.Warn("breaker opened: the leg is not asked as a shadow for now", "failures", b.Failures, "of", b.Of, "for", b.OpenFor)
					}
				case e.NewState == circuitbreaker.ClosedState:
					g.say = func() { log.Info("breaker closed: the leg is asked as a shadow again") }
				}
			}).Build()
	}
	return g
}

// unlock lets go of mu, and tells the log if the breaker opened or closed: a log
// that is slow holds up one request and not all.
func (g *gate) unlock() {
	say := g.say
	g.say = nil
	g.mu.Unlock()
	if say != nil {
		say()
	}
}

// pass lets a request through, or says why not. One that was let through ends
// with a call of passed, with the era.
func (g *gate) pass() (era uint64, why parallax.Place) {
	if g.rate != nil && !g.rate.Allow() {
		return 0, parallax.LostRateLimited
	}
	if g.breaker == nil {
		return 0, ""
	}
	g.mu.Lock()
	defer g.unlock()
	switch {
	case g.spare > 0:
		g.spare--
	case !g.breaker.TryAcquirePermit():
		return 0, parallax.LostBreakerOpen
	}
	return g.era, ""
}

// passed tells the breaker how a request ended. One that was sent before the
// breaker changed its state says nothing about now: hanging requests must not
// count as failed trials. Nor does one that ended without the leg's doing: where
// the breaker is being tried, another one takes its place.
func (g *gate) passed(era uint64, kind parallax.ErrKind) {
	if g.breaker == nil {
		return
	}
	g.mu.Lock()
	defer g.unlock()
	switch {
	case era != g.era:
	case kind == parallax.NoError:
		g.breaker.RecordSuccess()
	case legFailed(kind):
		g.breaker.RecordFailure()
	case g.breaker.IsHalfOpen():
		g.spare++
	}
}

// open reports whether the leg is not asked, or only tried.
func (g *gate) open() bool { return g.breaker != nil && !g.breaker.IsClosed() }

// legFailed reports whether a call failed by the leg's doing.
func legFailed(kind parallax.ErrKind) bool {
	switch kind {
	case parallax.NoError, parallax.CallerGone, parallax.NotAsked:
		return false
	}
	return true
}

// notAskedText is what the pages say of a leg that was not asked.
func notAskedText(why parallax.Place) string {
	switch why {
	case parallax.LostRateLimited:
		return "more requests than the leg's max_rps allows"
	case parallax.LostLane:
		return "the leg does not keep up with its user's requests in order"
	case parallax.LostShutdown:
		return "Parallax was shutting down"
	case parallax.LostBehind:
		return "the leg has missed writes before, which go first"
	case parallax.LostAnswerSize:
		return "the leg's answers on this endpoint are too long to be read at this rate"
	case parallax.UnmirroredTripped:
		return "mirroring to the leg has stopped: it did as a shadow what it must not"
	case parallax.UnmirroredCopying:
		return "the leg's database is being made anew, from a copy"
	case parallax.LostBreakerOpen:
		return "the leg's circuit breaker is open: it gave no answers"
	}
	return "as many requests as mirror.in_flight allows wait for this leg already"
}
