// Package replay reads recorded requests from files and asks them again at a
// pace. What it reads is either replayed or skipped with a reason; nothing is
// lost silently:
//
//	read = replayed + skipped
//
// Formats are HAR 1.2 (har.go), JSON lines (jsonl.go) and access logs in the
// combined format (accesslog.go). A store of Parallax is read by whoever knows it.
package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"parallax/mirror"
)

// Request is one recorded request. Where names its place, such as shop.har:
// entry 7, for people. A zero Time is unknown.
type Request struct {
	mirror.Recorded
	Time  time.Time
	Where string
}

// Reason says why a request that was read is not replayed.
type Reason string

// The reasons.
const (
	Malformed  Reason = "malformed"   // it could not be understood
	NoBody     Reason = "no_body"     // it had a body, or may have had one, that the recording lacks
	CutBody    Reason = "cut_body"    // the recording has the beginning of its body only
	Redacted   Reason = "redacted"    // its body was redacted before it was stored
	NotKept    Reason = "not_kept"    // the store has no more of it than that it was compared
	OutOfRange Reason = "outside"     // before --since or after --until
	NotHTTP    Reason = "not_http"    // of another scheme, or a change of protocols
	Stopped    Reason = "interrupted" // it was read when the replay was ended
)

// Skip is the error for a request that cannot be replayed. Reading goes on.
type Skip struct {
	Reason Reason
	Where  string
	Err    error // says more; may be nil
}

func (s *Skip) Error() string {
	if s.Err == nil {
		return fmt.Sprintf("%s: %s", s.Where, s.Reason)
	}
	return fmt.Sprintf("%s: %v", s.Where, s.Err)
}

func (s *Skip) Unwrap() error { return s.Err }

// Source is where recorded requests come from, in the order of their times as
// far as the recording is in order.
type Source interface {
	// Next returns the next request; a *Skip for one that cannot be replayed;
	// io.EOF at the end. Any other error ends the recording.
	Next() (Request, error)
	// Progress returns how much was read, and of how much; 0 for unknown.
	Progress() (done, total int64)
	Close() error
}

// Totals is what became of a recording. Read is Replayed and all of Skipped.
type Totals struct {
	Read, Replayed int64
	Skipped        map[Reason]int64
	Behind         time.Duration // how far the replay fell behind its pace at most
}

// Plan is how a recording is replayed.
type Plan struct {
	Factor       float64   // of the recorded pace; 0: as fast as possible
	Limit        int64     // requests to replay; 0: all
	Since, Until time.Time // recorded times; zero: no bound
	InFlight     int       // requests under way at a time, at least 1

	Now     func() time.Time
	Ask     func(mirror.Recorded, func()) error // as [mirror.Mirror.Replay]
	Room    func(context.Context) error         // waits until what was answered has been dealt with; may be nil
	Skipped func(*Skip)                         // hears of each request that is not replayed; may be nil
	Waits   func(where string, d time.Duration) // hears of a request that is due in more than a minute only; may be nil
	Tell    func(Totals)                        // hears of each step; may be nil
}

// Run replays a source and waits until each request has its answers. It ends
// early when ctx does; what was read by then is replayed or counted as
// interrupted. The error is that of the source.
func (p Plan) Run(ctx context.Context, source Source) (Totals, error) {
	r := &run{Plan: p, totals: Totals{Skipped: map[Reason]int64{}}, slots: make(chan struct{}, max(p.InFlight, 1))}
	err := r.all(ctx, source)
	for range cap(r.slots) {
		r.slots <- struct{}{} // until every request has ended
	}
	return r.totals, err
}

// run is one replay. Only slots is used by several goroutines.
type run struct {
	Plan
	totals Totals
	slots  chan struct{}
	began  time.Time // of the replay
	first  time.Time // recorded time of the first request
}

func (r *run) all(ctx context.Context, source Source) error {
	for ctx.Err() == nil && (r.Limit == 0 || r.totals.Replayed < r.Limit) {
		request, err := source.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		skip, skipped := errors.AsType[*Skip](err)
		if err != nil && !skipped {
			return err
		}
		r.totals.Read++
		if !skipped {
			skip = r.one(ctx, request)
		}
		if skip != nil {
			r.totals.Skipped[skip.Reason]++
			if r.Skipped != nil {
				r.Skipped(skip)
			}
		}
		if r.Tell != nil {
			r.Tell(r.totals)
		}
	}
	return nil
}

// one replays a request, and says why if it does not.
func (r *run) one(ctx context.Context, request Request) *Skip {
	if !r.Since.IsZero() && request.Time.Before(r.Since) || !r.Until.IsZero() && !request.Time.Before(r.Until) {
		return &Skip{Reason: OutOfRange, Where: request.Where}
	}
	if r.wait(ctx, request) != nil {
		return &Skip{Reason: Stopped, Where: request.Where}
	}
	if err := r.Ask(request.Recorded, func() { <-r.slots }); err != nil {
		<-r.slots
		return &Skip{Reason: Malformed, Where: request.Where, Err: err}
	}
	r.totals.Replayed++
	return nil
}

// wait waits until a request is due and there is room for it, and takes a slot.
func (r *run) wait(ctx context.Context, request Request) error {
	due := r.due(request.Time)
	if left := due.Sub(r.Now()); !due.IsZero() && left > time.Minute && r.Waits != nil {
		r.Waits(request.Where, left)
	}
	if err := r.until(ctx, due); err != nil {
		return err
	}
	if r.Room != nil {
		if err := r.Room(ctx); err != nil {
			return err
		}
	}
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !due.IsZero() {
		r.totals.Behind = max(r.totals.Behind, r.Now().Sub(due))
	}
	return nil
}

// longest is how much later than the first a request may be due: a century, which
// no recording lasts unless it lies about its times.
const longest = 100 * 365 * 24 * time.Hour

// due returns when a request is to be asked; zero: at once. The first request
// whose time is known sets the beginning. One that was recorded before it is
// asked at once.
func (r *run) due(recorded time.Time) time.Time {
	if r.Factor == 0 || recorded.IsZero() {
		return time.Time{}
	}
	if r.first.IsZero() {
		r.first, r.began = recorded, r.Now()
	}
	after := float64(max(recorded.Sub(r.first), 0)) / r.Factor
	return r.began.Add(time.Duration(min(after, float64(longest))))
}

func (r *run) until(ctx context.Context, due time.Time) error {
	left := due.Sub(r.Now())
	if due.IsZero() || left <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
