package mirror

import (
	"bytes"
	"context"
	"errors"
	"io"

	"parallax"
)

// maxDrain is how much of a shadow leg's answer is read, in bytes. Up to it an
// answer is counted and hashed, and its connection used again.
const maxDrain = 10 << 20

// dispatch starts the calls to the shadow legs, in goroutines of their own. It
// never waits; at the limit of exchanges in flight it gives up the copy.
func (f *flight) dispatch() {
	f.lose(f.body.why())
	if f.reason != "" {
		return
	}
	if f.m.slots.Add(1) > int64(f.service.options.InFlight) {
		f.m.slots.Add(-1)
		f.lose(parallax.UnmirroredConcurrency)
		return
	}
	f.m.shadowing.enter()
	f.dispatched = true
	f.pending.Store(int32(1 + len(f.shadows)))
	f.asking.Store(int32(len(f.shadows)))
	for _, l := range f.shadows {
		go f.askShadow(l)
	}
}

// askShadow sends the copy to one shadow leg, once it is complete.
func (f *flight) askShadow(l *leg) {
	defer f.leave()
	defer func() {
		if f.asking.Add(-1) == 0 {
			f.m.slots.Add(-1) // a live answer that streams on holds no slot
		}
	}()
	defer func() {
		if v := recover(); v != nil {
			f.m.deps.Log.Error("defect while asking a shadow leg", "panic", v, "endpoint", f.x.Endpoint)
			f.broken.Store(true)
		}
	}()
	if f.body.wait() != "" {
		return
	}
	c := f.newCall(l, shadow)
	f.x.Legs[l.name] = c
	l.inFlight.Add(1)
	c.Start = f.since()
	if err := f.shadowCall(l, c); err != nil {
		c.Err = callErr(err)
		if f.m.shadows.Err() != nil {
			f.abandoned.Store(true)
		}
	}
	c.Done = f.since()
	f.count(l, shadow, c)
}

func (f *flight) shadowCall(l *leg, c *parallax.Call) error {
	ctx, cancel := context.WithTimeout(f.m.shadows, f.service.options.Timeout)
	defer cancel()
	r := f.outgoing(c)
	if f.body != nil {
		r.Body = io.NopCloser(bytes.NewReader(f.body.copy.bytes))
		r.Trailers = func() []parallax.Field { return f.body.tail }
	}
	a, err := l.senders[shadow].Send(ctx, l.url(), r)
	if err != nil {
		return err
	}
	c.First = f.since()
	c.Response.Status, c.Response.Headers = a.Status, a.Headers
	defer a.Body.Close()
	keep := f.newCapture(a.Length)
	f.captures[l.name] = keep
	if err := f.drain(a, keep); err != nil {
		return err
	}
	if keep.ended {
		c.Response.Trailers = a.Trailers()
	}
	return nil
}

// drain reads an answer to its end or to maxDrain, whichever comes first.
func (f *flight) drain(a *answer, keep *capture) error {
	buf := f.m.pool.get()
	defer f.m.pool.put(buf)
	for keep.size < maxDrain {
		n, err := a.Body.Read(*buf)
		keep.write((*buf)[:n])
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			keep.ended = true
			return nil
		}
		if err != nil {
			return &sendError{kind: bodyKind(err), err: err}
		}
	}
	return nil
}
