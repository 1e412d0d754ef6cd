//go:build linux

package main

import (
	"context"
	"syscall"
	"time"
)

// schedule says when each request of an open loop is due: at even distances,
// whatever became of the earlier ones.
type schedule struct {
	start time.Time
	every time.Duration
	total int
}

// newSchedule spreads rate requests a second over span.
func newSchedule(start time.Time, rate float64, span time.Duration) schedule {
	return schedule{
		start: start,
		every: time.Duration(float64(time.Second) / rate),
		total: int(rate * span.Seconds()),
	}
}

// due returns when the request with number k is due; the first is 0.
func (s schedule) due(k int) time.Time { return s.start.Add(time.Duration(k) * s.every) }

// end is when the request after the last would be due.
func (s schedule) end() time.Time { return s.due(s.total) }

// run calls send for each request when it is due, and returns early when ctx
// ends. send must not block.
func (s schedule) run(ctx context.Context, send func(k int, due time.Time)) {
	for k := range s.total {
		due := s.due(k)
		sleepUntil(due)
		if ctx.Err() != nil {
			return
		}
		send(k, due)
	}
}

// sleepUntil sleeps in the kernel: the timers of the Go runtime are up to a
// millisecond late on an idle process, which is as much as what is measured.
func sleepUntil(due time.Time) {
	for left := time.Until(due); left > 0; left = time.Until(due) {
		ts := syscall.NsecToTimespec(int64(left))
		_ = syscall.Nanosleep(&ts, nil) // interrupted: the loop sleeps the rest
	}
}
