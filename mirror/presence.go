package mirror

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// presence is what a connection knows of whether its caller is still there.
type presence interface {
	// Gone reports whether the caller has left. It costs next to nothing.
	Gone() bool
	// OnGone has f called once when the caller has left.
	OnGone(f func())
}

// callerContext ends when a caller has left, or when callers' requests are given
// up. Fast path: nobody is told of it, and it is registered nowhere, until
// somebody asks for Done; package h1 asks for Err, every tick (BenchmarkMirrored).
type callerContext struct {
	context.Context // of all callers' requests
	request         presence
	answered        atomic.Bool

	mu   sync.Mutex
	told context.Context // nil: nobody has asked for Done
	end  context.CancelFunc
}

// Err implements context.Context.
func (c *callerContext) Err() error {
	if c.answered.Load() || c.request.Gone() {
		return context.Canceled
	}
	return c.Context.Err()
}

// Done implements context.Context.
func (c *callerContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told == nil {
		c.told, c.end = context.WithCancel(c.Context)
		if c.answered.Load() {
			c.end()
		} else {
			c.request.OnGone(c.end)
		}
	}
	return c.told.Done()
}

// leave ends the context: the request is answered.
func (c *callerContext) leave() {
	c.answered.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end != nil {
		c.end()
	}
}

// outlastingContext is what the live call of an unsafe request runs under. A
// caller that leaves ends it only while the body is incomplete; else the leg may
// have acted on it, and gets as long as it has for the head of an answer to
// finish. A gRPC call whose answer has begun ends with its caller. Fast path: as long as the caller is there and nobody asks for Done,
// there is neither timer nor goroutine (BenchmarkMirrored).
type outlastingContext struct {
	context.Context // of all callers' requests
	caller          context.Context
	body            *tap
	rpc             *rpc // nil: no gRPC call
	timeout         time.Duration

	mu   sync.Mutex
	told context.Context // nil: neither has the caller left nor has somebody asked for Done
	end  context.CancelFunc
}

// Err implements context.Context.
func (c *outlastingContext) Err() error {
	if c.caller.Err() == nil {
		c.mu.Lock()
		told := c.told
		c.mu.Unlock()
		if told == nil {
			return c.Context.Err()
		}
	}
	return c.watch().Err()
}

// Done implements context.Context.
func (c *outlastingContext) Done() <-chan struct{} { return c.watch().Done() }

// watch has the context end as the caller's presence has it.
func (c *outlastingContext) watch() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told != nil {
		return c.told
	}
	told, cancel := context.WithCancel(c.Context)
	stop := context.AfterFunc(c.caller, func() {
		if c.body.sent() && !c.rpc.streams() {
			late := time.NewTimer(c.timeout)
			defer late.Stop()
			select {
			case <-told.Done():
			case <-late.C:
			}
		}
		cancel()
	})
	c.told, c.end = told, func() { stop(); cancel() }
	return told
}

// nobodyTakes bounds the rest of a call whose caller takes nothing of the answer,
// though it may still be there.
func (c *outlastingContext) nobodyTakes() {
	told := c.watch()
	late := time.AfterFunc(c.timeout, c.over)
	context.AfterFunc(told, func() { late.Stop() })
}

// over ends the context: the call is at its end.
func (c *outlastingContext) over() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.told == nil:
		c.told, c.end = overContext, func() {}
	default:
		c.end()
	}
}

// overContext is a context that has ended.
var overContext = func() context.Context {
	ctx, end := context.WithCancel(context.Background())
	end()
	return ctx
}()
