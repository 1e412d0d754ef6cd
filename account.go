package parallax

import (
	"strings"
	"time"
)

// Stamp is what every count of an exchange is filed under. Received decides the
// minute, so that counts and rows of one exchange fall into the same window.
type Stamp struct {
	Service, Endpoint string
	Received          time.Time
}

// Place is where an exchange stands in the accounting. Every exchange that was
// received is in exactly one place at any time, and
//
//	received = unmirrored + compared + lost + in flight
//
// holds because each step of its way is one move from a place to the next, made
// by the code that takes the step.
type Place string

// Places an exchange passes through. They are gauges.
const (
	InLive    Place = "in_flight/live"   // the live leg has not finished
	InShadow  Place = "in_flight/shadow" // a shadow leg has not finished
	InLane    Place = "in_flight/lane"   // a shadow leg is not asked before what its user did first; see mirror.order_by
	InQueue   Place = "in_flight/queue"
	InSpool   Place = "in_flight/spool" // waits on disk, since the Redis of queue.redis is away
	InWorker  Place = "in_flight/worker"
	InEffects Place = "in_flight/effects" // waits for what its legs committed; see effects
	InAgain   Place = "in_flight/again"   // diverged, and both legs are being asked once more; see mirror.ask_again
	InBatch   Place = "in_flight/batch"   // compared, not yet acknowledged by the store
)

// Places where an exchange that was not sent to the other legs ends, with the
// reason.
const (
	UnmirroredUnsafe      Place = "unmirrored/unsafe"      // unsafe method, and no leg's state allows it
	UnmirroredSample      Place = "unmirrored/sample"      // not in the sample
	UnmirroredBodySize    Place = "unmirrored/body_size"   // request body over max_body
	UnmirroredBudget      Place = "unmirrored/budget"      // no room in the byte budget for all copies
	UnmirroredConcurrency Place = "unmirrored/concurrency" // as many requests as mirror.in_flight allows wait for a leg already
	UnmirroredRejected    Place = "unmirrored/rejected"    // an unsafe request that the live leg refused (429, 503; gRPC: RESOURCE_EXHAUSTED, UNAVAILABLE) or did not answer
	UnmirroredUnfinished  Place = "unmirrored/unfinished"  // the caller never finished the request body
	UnmirroredStream      Place = "unmirrored/stream"      // messages or events that go on: gRPC with more than one message a way, a GraphQL subscription, text/event-stream, an answer longer than mirror.timeout
	UnmirroredUpgrade     Place = "unmirrored/upgrade"     // protocol upgrade, passed through
	UnmirroredShadowCall  Place = "unmirrored/shadow_call" // itself a shadow's downstream call
	UnmirroredLoop        Place = "unmirrored/loop"        // an address of a leg leads back to Parallax
	UnmirroredNoLeg       Place = "unmirrored/no_leg"      // no other leg is configured
	UnmirroredDraining    Place = "unmirrored/draining"    // a shutdown has given its callers up
	UnmirroredDeclared    Place = "unmirrored/declared"    // mirror.endpoints says so
	UnmirroredSuspicious  Place = "unmirrored/suspicious"  // it looks like an act although its method is safe, and nobody declared it
	UnmirroredRate        Place = "unmirrored/rate"        // over mirror.max_rps
	UnmirroredPaused      Place = "unmirrored/paused"      // somebody paused mirroring
	UnmirroredCopying     Place = "unmirrored/copying"     // the leg's database is being made anew from a copy; writes are caught up
	UnmirroredTripped     Place = "unmirrored/tripped"     // the leg did as a shadow what it must not, and waits for a person's word
	UnmirroredWatchdog    Place = "unmirrored/watchdog"    // the watchdog measures the live leg without mirroring, or paused it
)

// Places where a mirrored exchange ends that was not compared, with the reason.
const (
	LostQueueFull Place = "lost/queue_full" // the workers do not keep up
	LostLane      Place = "lost/lane"       // a leg does not keep up with one user's requests in order
	LostCodec     Place = "lost/codec"      // written by a version this one cannot read
	LostStore     Place = "lost/store"      // the store was away for longer than the buffer lasts
	LostShutdown  Place = "lost/shutdown"   // not finished within the shutdown deadline
	LostPanic     Place = "lost/panic"      // a defect in Parallax; the log has it

	LostPoison Place = "lost/poison" // given to five workers, none of which came to an end with it (queue.redis)

	LostRedis Place = "lost/redis" // gone from the Redis of queue.redis before a worker had stored it; found by store rebuild

	LostBehind      Place = "lost/behind"       // a write that goes behind others that the leg has missed; it is caught up, not compared
	LostBreakerOpen Place = "lost/breaker_open" // the shadow leg gave no answers and is left alone for a while
	LostRateLimited Place = "lost/rate_limited" // more requests than the shadow leg's max_rps allows
	LostAnswerSize  Place = "lost/answer_size"  // the shadow leg's answers here are too long to be read at this rate
)

// Places where a compared exchange ends.
const (
	ComparedMatch         Place = "compared/match"
	ComparedDiverged      Place = "compared/diverged"
	ComparedNotComparable Place = "compared/not_comparable"
)

// Places lists every place there is.
var Places = []Place{
	InLive, InLane, InShadow, InQueue, InSpool, InWorker, InEffects, InAgain, InBatch,
	UnmirroredUnsafe, UnmirroredSample, UnmirroredBodySize, UnmirroredBudget, UnmirroredConcurrency,
	UnmirroredRejected, UnmirroredUnfinished, UnmirroredStream, UnmirroredUpgrade, UnmirroredShadowCall, UnmirroredLoop, UnmirroredNoLeg, UnmirroredDraining,
	UnmirroredDeclared, UnmirroredSuspicious, UnmirroredRate, UnmirroredPaused, UnmirroredTripped, UnmirroredCopying, UnmirroredWatchdog,
	LostQueueFull, LostLane, LostCodec, LostStore, LostShutdown, LostPanic, LostPoison, LostRedis, LostBehind, LostBreakerOpen, LostRateLimited, LostAnswerSize,
	ComparedMatch, ComparedDiverged, ComparedNotComparable,
}

// Group returns what stands before the slash: in_flight, unmirrored, lost or
// compared.
func (p Place) Group() string {
	group, _, _ := strings.Cut(string(p), "/")
	return group
}

// Reason returns what stands behind the slash.
func (p Place) Reason() string {
	_, reason, _ := strings.Cut(string(p), "/")
	return reason
}
