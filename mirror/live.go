package mirror

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"parallax"
	"parallax/mirror/spool"
)

// lateBody is how long the rest of a request may take when the live leg has
// answered without reading it: time enough for what is on its way already.
const lateBody = 50 * time.Millisecond

// errCallerGone ends the live call of a request whose caller left.
var errCallerGone = errors.New("the caller left")

// askLive sends the request to the live leg as it comes, and its answer to the
// caller as it comes.
func (f *flight) askLive(ctx context.Context, out caller) {
	legCtx, end := f.callContext(ctx, f.live)
	defer end() // the rest of an early answer's request may be on its way until then
	defer f.net.fold()
	c := f.newCall(f.live, live)
	f.x.Legs[f.live.name] = c
	err := f.passThrough(ctx, legCtx, out, f.live, live, c)
	f.measured(c)
	if f.rpc != nil {
		f.endRPC(c, err)
		return
	}
	if f.endpoint.safe || f.reason != "" {
		return
	}
	if err != nil && c.Response.Status == 0 {
		if f.body.brokeOff() {
			f.lose(parallax.UnmirroredUnfinished)
		}
		f.lose(parallax.UnmirroredRejected)
		return
	}
	if !f.dispatched && f.restComes(err) {
		f.dispatch()
	}
}

// restComes waits a while for the rest of a request that was answered before the
// live leg had read it, and reports whether there is a complete copy. The caller
// has the whole answer by then.
func (f *flight) restComes(err error) bool {
	if f.body.sent() {
		return f.body.why() == ""
	}
	return err == nil && f.body.waitFor(lateBody)
}

// passThrough is one call that the caller waits for; ctx is the caller's, legCtx
// the call's. Its end is recorded in c.
func (f *flight) passThrough(ctx, legCtx context.Context, out caller, l *leg, r role, c *parallax.Call) error {
	if err := unfit(c); err != nil {
		return f.refuseUnfit(ctx, out, l, c, err)
	}
	request := f.outgoing(l, c)
	request.Upgrade = f.upgrade
	request.Inform = func(status int, headers []parallax.Field) {
		_ = out.Inform(status, endToEnd(headers, 0)) // a caller that left is noticed when the answer is there
	}
	request.Again = func(err error) { f.tryAgain(l, r, c, err) }
	if f.body != nil {
		request.Body, request.Trailers, request.Ready = f.body, f.body.trailers, f.body.ready()
	}
	l.inFlight.Add(1)
	defer l.inFlight.Add(-1)
	c.Start = f.since()
	a, at, err := f.askInstances(legCtx, l, r, c, request)
	a, err = f.net.decide(a, err)
	if err == nil {
		c.First, c.Request.Proto = f.since(), a.Proto
	} else {
		c.Done = f.since()
	}
	if f.caught(ctx, out, failure{c, a, at, err}) {
		return nil
	}
	if err == nil {
		err = f.pass(a, out, c)
		c.Done = f.since()
	} else if !f.callerGone(ctx) {
		f.answeredLive()
		f.refuse(out, problemOf(err))
	}
	f.answeredLive()
	if err != nil {
		c.Err = callErr(err)
	}
	if err != nil && (f.callerGone(ctx) || errors.Is(err, errCallerGone)) {
		c.Err = parallax.CallErr{Kind: parallax.CallerGone, Text: errCallerGone.Error()}
		out.Abort()
	} else if err != nil && c.Response.Status != 0 {
		out.Abort() // the caller must see that the answer is not complete
		f.brokeOff(c)
	}
	if err == nil {
		_ = out.End() // the leg has answered, whether the caller is still there or not
	}
	done(at, c)
	f.count(l, r, c)
	return err
}

// tryAgain counts a request that is sent once more, so that nothing is asked
// twice silently, and begins the time of the next try.
func (f *flight) tryAgain(l *leg, r role, c *parallax.Call, err error) {
	try := parallax.Call{Start: c.Start, Done: f.since(), Err: callErr(err)}
	f.endpoint.counts.count(l.name, r, &try)
	c.Start = f.since()
}

// callContext is what a live call runs under. A caller that leaves ends it,
// unless the request is unsafe and complete: then the leg may have acted on it,
// and gets as long as it has for the head of an answer to finish. The end of a
// shutdown ends every call.
func (f *flight) callContext(ctx context.Context, l *leg) (context.Context, context.CancelFunc) {
	switch {
	case f.net != nil && f.endpoint.safe:
		return &netContext{ctx, f.net}, func() {}
	case f.endpoint.safe:
		return ctx, func() {}
	}
	legCtx, end := f.outlast(ctx, l)
	if f.net != nil {
		f.net.end = end // nobody else knows of it yet
	}
	return legCtx, end
}

// outlast is what a call of an unsafe request runs under.
func (f *flight) outlast(ctx context.Context, l *leg) (context.Context, context.CancelFunc) {
	legCtx := &outlastingContext{Context: f.m.lives, caller: ctx, body: f.body, rpc: f.rpc, timeout: l.timeout}
	f.outlasting = legCtx
	return legCtx, legCtx.over
}

// callerGone reports whether the caller left before a request was answered.
func (f *flight) callerGone(ctx context.Context) bool {
	return ctx.Err() != nil || f.body.brokeOff()
}

// pass streams an answer to the caller and copies it aside.
func (f *flight) pass(a *answer, out caller, c *parallax.Call) error {
	c.Response.Status, c.Response.Headers = a.Status, a.Headers
	if a.Conn != nil {
		return f.pipe(a, out)
	}
	defer a.Body.Close()
	f.begin(a)
	f.expectNames(c)
	if f.keepsLiveAnswer() {
		f.keepAnswer(f.live, a.Length)
	}
	if f.bodyless(a) {
		f.answeredLive()
	}
	out.Head(a.Status, f.named(a.Headers), a.Length, namesThat(unframed, a.TrailerNames), !f.body.sent())
	if err := f.copyAnswer(a, out, f.captures[f.live.name]); err != nil {
		return err
	}
	f.answeredLive()
	if trailers := fieldsThat(unframed, a.Trailers()); len(trailers) > 0 {
		c.Response.Trailers = trailers
		out.Trailers(trailers)
	}
	return nil
}

// keepsLiveAnswer reports whether the live answer is copied aside: it is compared, or it is
// of a write that a leg misses, which is paired with the leg's once that is caught up. Of a
// write that is dispatched, who has missed it is not known yet.
func (f *flight) keepsLiveAnswer() bool {
	if f.reason == "" {
		return true
	}
	if f.dispatched {
		return !f.endpoint.safe && f.rpc == nil
	}
	return f.missing != [parallax.Legs]*spool.Place{}
}

// begin is called with the head of the live answer.
func (f *flight) begin(a *answer) {
	f.told()
	switch {
	case f.rpc != nil:
		f.rpc.begun.Store(true)
		if !ofGRPC(a.Headers) {
			f.lose(parallax.UnmirroredRejected) // by something in between
		}
		return
	case isEventStream(a.Headers):
		f.lose(parallax.UnmirroredStream)
	}
	if !f.endpoint.safe {
		f.answered(a.Status)
	}
}

// answered is called with the live leg's status line of an unsafe request: now
// the other legs may get it.
func (f *flight) answered(status int) {
	switch {
	case f.reason != "":
	case status == 429, status == 503:
		f.lose(parallax.UnmirroredRejected)
	case f.body.sent():
		f.dispatch()
	}
}

// copyAnswer copies an answer's body to the caller and, unless keep is nil, into
// keep. What has come is sent on at once when more is to come. When the caller
// leaves, it reads on only for an unsafe request.
func (f *flight) copyAnswer(a *answer, out caller, keep *capture) error {
	if !a.ready() {
		_ = out.Flush() // the head does not wait for the body; if it fails, so will Write
	}
	buf := f.m.pool.get()
	defer f.m.pool.put(buf)
	var gone bool
	var passed int64
	for {
		n, err := a.Body.Read(*buf)
		if n > 0 {
			if passed += int64(n); passed == a.Length {
				f.answeredLive()
			}
			if f.rpc != nil && f.rpc.count((*buf)[:n]) {
				keep = f.stopKeeping(keep)
			}
			if keep != nil {
				keep.write((*buf)[:n])
			}
			if !gone && !send(out, (*buf)[:n], err == nil && !a.ready()) {
				gone = true
				if f.endpoint.safe || f.rpc.streams() {
					return errCallerGone
				}
				f.outlasting.nobodyTakes()
			}
		}
		if err == io.EOF {
			if keep != nil {
				keep.ended = true
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// send passes on a piece of an answer and reports whether the caller took it.
func send(out caller, p []byte, flush bool) bool {
	if _, err := out.Write(p); err != nil {
		return false
	}
	return !flush || out.Flush() == nil
}

// serveShadowCall passes on a call that another service's shadow leg made. It
// is not mirrored, and it stays a shadow: an unsafe one may reach the candidate
// alone, and that only if mirror.unsafe and its state allow it.
func (f *flight) serveShadowCall(ctx context.Context, out caller) {
	f.lose(parallax.UnmirroredShadowCall)
	l := f.live
	if !f.endpoint.safe || asksForAnotherMethod(f.in) {
		l = f.service.legs[parallax.Candidate]
		if l == nil || f.m.withheld(l) != "" || !f.mayTakeUnsafe(f.endpoint, l) {
			f.refuse(out, shadowRefused)
			return
		}
	}
	f.passUnmirrored(ctx, out, l, shadow)
}

// serveUpgrade passes a request to change protocols through to the live leg.
func (f *flight) serveUpgrade(ctx context.Context, out caller) {
	f.lose(parallax.UnmirroredUpgrade)
	f.passUnmirrored(ctx, out, f.live, live)
}

// passUnmirrored is a call that nothing is compared of.
func (f *flight) passUnmirrored(ctx context.Context, out caller, l *leg, r role) {
	legCtx, end := f.callContext(ctx, l)
	defer end()
	_ = f.passThrough(ctx, legCtx, out, l, r, f.newCall(l, r)) // the caller has been told
}

// count records the end of a call.
func (f *flight) count(l *leg, r role, c *parallax.Call) {
	f.countAside(l, r, c)
	if c.Err.Kind != parallax.NotAsked {
		f.endpoint.sight[l.name][r].count(r, c)
		if r == live {
			f.endpoint.sight[l.name][r].time(c)
		}
	}
}

// countAside records the end of a call that says nothing about the leg beside the other: it
// was made because of what that one had answered.
func (f *flight) countAside(l *leg, r role, c *parallax.Call) {
	if l.version != "" {
		c.Version = value(c.Response.Headers, l.version)
	}
	l.finished(c, f.start.Add(c.Done))
	if c.Err.Kind != parallax.NotAsked {
		f.endpoint.counts.count(l.name, r, c)
	}
}

// bufferPool holds the buffers that answers are copied through.
type bufferPool struct{ pool *sync.Pool }

const bufferSize = 32 << 10

func newBufferPool() bufferPool {
	return bufferPool{&sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}}
}

func (p bufferPool) get() *[]byte  { return p.pool.Get().(*[]byte) }
func (p bufferPool) put(b *[]byte) { p.pool.Put(b) }
