package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"parallax/mirror/upstream"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parallax"
)

// Net is the safety net below a live candidate: an answer that fails before its first byte, or
// comes too late, is replaced by the primary's.
type Net struct {
	Wait     time.Duration `yaml:"wait" doc:"while the candidate is live, how much later than the primary's the head of its answer may come; then, and when there is no answer at all, callers of safe methods get the primary's, and of unsafe ones where that does nothing twice (docs/net.md); empty: callers get what the candidate gives"`
	Statuses []int         `yaml:"statuses" doc:"statuses of the candidate's, 500 to 599, in whose place callers get the primary's answer"`
}

// idleNet returns why a net has nothing to catch, which it must not look as if it had.
func (s Service) idleNet() []parallax.Fault {
	pinned := slices.Contains(slices.Collect(maps.Values(s.Split.Pin)), parallax.Candidate.String())
	switch {
	case s.Net.Wait <= 0:
		return nil
	case s.Tap:
		return []parallax.Fault{{Text: "with tap another proxy answers the callers", Hint: "take it out"}}
	case len(s.Candidate.URLs) == 0:
		return []parallax.Fault{{Text: "there is no candidate whose failures it could catch", Hint: "take it out, or write candidate.urls"}}
	case len(s.Split.Push) > 0 && !pinned:
		return []parallax.Fault{{Text: "with split.push whoever gets the candidate does not come through here, so it catches nothing", Hint: "take it out, or pin users to the candidate"}}
	}
	return nil
}

func (n Net) validate() []parallax.Fault {
	var faults []parallax.Fault
	fault := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	if n.Wait < 0 {
		fault("wait", "want no negative time", "write a duration such as 500ms")
	}
	if n.Wait == 0 && len(n.Statuses) > 0 {
		fault("wait", "statuses are listed, but nothing is caught without it", "write how much later than the primary's an answer may come, such as 500ms")
	}
	for i, status := range n.Statuses {
		if status < 500 || status > 599 {
			fault(fmt.Sprintf("statuses[%d]", i), fmt.Sprintf("%d is no failure", status), "list statuses from 500 to 599")
		}
	}
	return faults
}

// catches reports whether a status counts as a failure.
func (n Net) catches(status int) bool { return slices.Contains(n.Statuses, status) }

// catcher is what catches one request of a live candidate. The primary is asked for its answer as
// the shadow leg it is anyway; only where that was not, or its answer cannot be had whole, it is
// asked for this caller. The candidate's answer never waits for the primary's: only a failure does.
// A nil one catches nothing.
type catcher struct {
	Net
	asked atomic.Bool   // the primary is being asked as the shadow
	over  chan struct{} // closed when it is known what that has come to
	anew  bool          // the primary can be asked for this caller too
	held  *heldBody     // of the live call; nil: it has read none

	mu      sync.Mutex
	found   found
	settled bool        // over is closed
	decided bool        // the head of the candidate's answer is there, or it has failed: nothing is late any more
	late    bool        // the candidate's answer is not waited for any longer
	timer   *time.Timer // of the wait; nil: it has not begun
	told    context.Context
	end     context.CancelFunc
}

// found is what the primary's part as a shadow has come to.
type found uint8

const (
	foundNothing found = iota // it was not asked, or its answer is not kept: it can be asked for this caller
	foundFailure              // it gave no answer
	foundAnswer               // its whole answer is there
)

// spread puts a net below a request, if the service has one and the request is one that it can
// catch: it is safe, so that both legs may be asked, or one that the primary may be given although the candidate
// may have acted on it. Its body is kept for as long as it is under way, as that of one that is mirrored is anyway.
func (f *flight) spread() {
	if f.service.cfg.Net.Wait <= 0 || f.live == nil || f.live.name != parallax.Candidate || f.rpc != nil || f.looksLikeAct() || !f.endpoint.safe && !f.mayGiveOn() {
		return
	}
	f.net = &catcher{Net: f.service.cfg.Net, over: make(chan struct{}), anew: !f.service.ids.Declared()}
	if f.body != nil && f.body.copy == nil {
		f.keepBody()
	}
}

// asks is called when a leg is about to be asked as a shadow.
func (n *catcher) asks(l *leg) {
	if n != nil && l.name == parallax.Primary {
		n.asked.Store(true)
	}
}

// primaryBegan is called with the head of the primary's answer as a shadow. One that may
// never end, or is longer than what is kept, is not waited for; and of a stream of events the
// head is all that the candidate can be late behind.
func (f *flight) primaryBegan(l *leg, a *answer) {
	if f.net == nil || l.name != parallax.Primary {
		return
	}
	events := isEventStream(a.Headers)
	if events || !f.bodyless(a) && a.Length > int64(f.service.options.MaxBody) {
		f.net.settle(foundNothing)
	}
	if events && f.net.anew {
		f.net.await(a.Status)
	}
}

// primaryAnswered is called when the primary's part as a shadow is over. From then on the
// candidate has as long as the net waits, if there is an answer to replace its.
func (f *flight) primaryAnswered(l *leg, c *parallax.Call) {
	if f.net == nil || l.name != parallax.Primary {
		return
	}
	n, kept := f.net, f.captures[l.name]
	whole := kept != nil && kept.ended && kept.cut == "" && !f.service.changes.any()
	switch {
	case c.Err.Kind == parallax.NoError && whole:
		n.settle(foundAnswer)
		n.await(c.Response.Status)
	case c.Err.Kind == parallax.NoError:
		n.settle(foundNothing) // longer than what is kept, or to another question
		if n.anew {
			n.await(c.Response.Status)
		}
	case c.Err.Kind == parallax.Timeout && c.Response.Status != 0:
		n.settle(foundNothing) // it goes on for longer than a shadow may take
	default:
		n.settle(foundFailure)
	}
}

// primaryPassedOver is called when a leg is not asked as a shadow after all.
func (n *catcher) primaryPassedOver(l *leg) {
	if l.name == parallax.Primary {
		n.settle(foundNothing)
	}
}

// settle says what the primary's part as a shadow has come to. Only the first word counts.
func (n *catcher) settle(what found) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.settled {
		n.settled, n.found = true, what
		close(n.over)
	}
}

// await begins the wait for the candidate. A failure of the primary's is no reason to hurry
// it. Fast path: a candidate that was quicker needs no timer (BenchmarkNet).
func (n *catcher) await(status int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.timer == nil && !n.decided && status < 500 {
		n.timer = time.AfterFunc(n.Wait, n.expire)
	}
}

// expire gives the candidate's call up unless its answer has begun.
func (n *catcher) expire() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.decided {
		n.giveUp()
	}
}

// giveUp ends the candidate's call. n.mu is held.
func (n *catcher) giveUp() {
	n.late = true
	if n.end != nil {
		n.end()
	}
}

// decide is told what the candidate's call has come to, and says what it is to count as: from
// here on nothing is late.
func (n *catcher) decide(a *answer, err error) (*answer, error) {
	if n == nil {
		return a, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.decided = true
	if n.timer != nil {
		n.timer.Stop()
	}
	if !n.late {
		return a, err
	}
	if a != nil && a.Body != nil {
		a.Body.Close()
	}
	return nil, &sendError{kind: parallax.Timeout, err: fmt.Errorf("no answer within %v after the primary's", n.Wait)}
}

// fold ends what the net holds, once the caller has an answer.
func (n *catcher) fold() {
	if n == nil {
		return
	}
	n.held.letGo()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.decided = true
	if n.timer != nil {
		n.timer.Stop()
	}
	n.giveUp()
}

// netContext is what a live call runs under when there is a net. Fast path: as long as nobody
// asks for Done there is nothing to it (BenchmarkNet).
type netContext struct {
	context.Context // the caller's
	net             *catcher
}

// Err implements context.Context.
func (c *netContext) Err() error {
	c.net.mu.Lock()
	told, late := c.net.told, c.net.late
	c.net.mu.Unlock()
	switch {
	case told != nil: // else it could be over without an error, which package context takes for a defect
		return told.Err()
	case late:
		return context.Canceled
	}
	return c.Context.Err()
}

// Done implements context.Context.
func (c *netContext) Done() <-chan struct{} {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.net.told == nil {
		c.net.told, c.net.end = context.WithCancel(c.Context)
		if c.net.late {
			c.net.end()
		}
	}
	return c.net.told.Done()
}

// Why a failure of a live candidate's is not caught.
const (
	uncaughtBegun   = "begun"          // its answer had begun
	uncaughtPrimary = "primary_failed" // the primary failed too
	uncaughtNames   = "identifiers"    // it cannot be asked by the names that it knows
	uncaughtBody    = "request_body"   // there is no complete copy of the request's body
	uncaughtBehind  = "behind"         // the primary has not got all that the user was told is done
)

// failure is a live candidate's call that failed before its answer had begun.
type failure struct {
	c   *parallax.Call
	a   *answer            // one whose status is caught; nil: there is none
	at  *upstream.Instance // nil: none was asked
	err error              // nil with an answer
}

// caught gives the caller, whose request runs under ctx, the primary's answer if the candidate's
// call failed before its answer had begun, and reports whether it did. If not, nothing is written.
func (f *flight) caught(ctx context.Context, out caller, x failure) bool {
	if f.net == nil || x.err == nil && !f.net.catches(x.a.Status) || f.callerGone(ctx) {
		return false
	}
	x.c.Done = f.since() // whatever the caller gets instead takes
	why := f.replace(ctx, out, x)
	if why != "" && !f.callerGone(ctx) {
		f.endpoint.counts.uncover(why)
	}
	return why == ""
}

// replace gives the caller the primary's answer, or says why not.
func (f *flight) replace(ctx context.Context, out caller, x failure) (why string) {
	if !f.hasWholeBody() {
		return uncaughtBody
	}
	if f.service.partitioned() && !f.hasAll(parallax.Primary) && (f.endpoint.safe || !f.drained(ctx)) {
		return uncaughtBehind
	}
	if !f.endpoint.safe {
		return f.giveOn(ctx, out, x)
	}
	switch f.awaitPrimary(ctx) {
	case foundAnswer:
		return f.giveShadows(out, x)
	case foundFailure:
		return uncaughtPrimary
	}
	switch {
	case f.callerGone(ctx):
		return uncaughtPrimary // nobody hears of it
	case !f.net.anew:
		return uncaughtNames // the caller's may be another's there
	}
	return f.giveFresh(ctx, ctx, out, x)
}

// hasWholeBody reports whether there is a complete copy of the request's body. What the candidate's call has
// no more use for is read first; what is still being sent to it is hardly waited for.
func (f *flight) hasWholeBody() bool {
	if f.body == nil {
		return true
	}
	if f.net.held.leftWithin(lateBody, f.body.over) {
		buf := f.m.pool.get()
		defer f.m.pool.put(buf)
		f.body.readOn(*buf)
	}
	return f.body.isCopied()
}

// hold keeps the live call's body from being closed before the caller has an answer.
func (n *catcher) hold(h *heldBody) {
	if h != nil {
		h.left = make(chan struct{})
	}
	n.held = h
}

// leftWithin waits until nobody reads the body any more, and reports whether that is so. It
// waits no longer when the body is over.
func (h *heldBody) leftWithin(d time.Duration, over <-chan struct{}) bool {
	if h == nil {
		return true
	}
	h.mu.Lock()
	left := h.left
	h.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-left:
		return true
	case <-over:
	case <-timer.C:
	}
	return false
}

// awaitPrimary returns what the primary's part as a shadow has come to, and waits for that as
// long as a shadow may take, and at most twice as long. It waits for no turn: but for those
// that know the primary's names nobody has to.
func (f *flight) awaitPrimary(ctx context.Context) found {
	switch {
	case !f.dispatched || f.service.changes.any(): // what a shadow is asked otherwise is no answer to the caller
		return foundNothing
	case f.net.anew && (f.mayName() || f.turns != nil && !f.net.asked.Load()):
		return foundNothing
	}
	patience := time.NewTimer(laneWaits * f.service.options.Timeout) // a shadow's own deadline is a little late
	defer patience.Stop()
	select {
	case <-f.net.over:
		return f.net.found // not written any more
	case <-patience.C:
		return foundFailure
	case <-ctx.Done():
		return foundNothing
	}
}

// giveShadows gives the caller the answer that the primary has given as a shadow, unless that is a
// failure as much as the candidate's.
func (f *flight) giveShadows(out caller, x failure) (why string) {
	p, kept := f.x.Legs[parallax.Primary], f.captures[parallax.Primary]
	if x.a != nil && f.net.catches(p.Response.Status) {
		return uncaughtPrimary
	}
	f.giveWay(x)
	names := make([]string, len(p.Response.Trailers))
	for i, t := range p.Response.Trailers {
		names[i] = t.Name
	}
	out.Head(p.Response.Status, f.named(p.Response.Headers), kept.hint, names, !f.body.sent())
	if len(kept.bytes) > 0 {
		_, _ = out.Write(kept.bytes) // a caller that is gone needs no answer
	}
	if len(p.Response.Trailers) > 0 {
		out.Trailers(p.Response.Trailers)
	}
	_ = out.End()
	return ""
}

// giveFresh asks the primary for this caller and streams its answer, unless that is a failure
// as much as the candidate's. Nothing of this call is compared, unless it is of an unsafe request. ctx is the
// caller's, legCtx the call's.
func (f *flight) giveFresh(ctx, legCtx context.Context, out caller, x failure) (why string) {
	primary := f.service.legs[parallax.Primary]
	c := &parallax.Call{Request: parallax.Request{
		Method: f.in.Method, Target: f.in.Target, Host: f.in.Host, Proto: "HTTP/1.1", Headers: f.headersFor(primary, live),
	}}
	f.rewrite(primary, c)
	if unfit(c) != nil {
		return uncaughtPrimary
	}
	primary.inFlight.Add(1)
	defer primary.inFlight.Add(-1)
	c.Start = f.since()
	if !f.endpoint.safe {
		f.x.Legs[parallax.Primary] = c
	}
	a, at, err := f.askInstances(legCtx, primary, live, c, f.outgoingAgain(primary, c))
	why = uncaughtPrimary
	if err == nil {
		why, err = f.passFresh(a, out, c, x)
	}
	c.Done = f.since()
	switch {
	case err != nil && f.callerGone(ctx), errors.Is(err, errCallerGone):
		c.Err = parallax.CallErr{Kind: parallax.CallerGone, Text: errCallerGone.Error()}
	case err != nil:
		c.Err = callErr(err)
	}
	done(at, c)
	f.countAside(primary, live, c)
	return why
}

// outgoingAgain is the request of a further call, with the copy of its body.
func (f *flight) outgoingAgain(l *leg, c *parallax.Call) *outgoing {
	r := &outgoing{
		Method: c.Request.Method, Target: c.Request.Target, Host: c.Request.Host, Headers: c.Request.Headers, Length: f.in.Length,
		Again: func(err error) { f.tryAgain(l, live, c, err) },
	}
	if f.body != nil {
		r.Ready, r.Body = true, io.NopCloser(bytes.NewReader(f.body.copy.bytes))
		r.TrailerNames, r.Trailers = namesThat(mayTrail, f.in.TrailerNames), func() []parallax.Field { return f.body.tail }
	}
	return r
}

// passFresh streams the primary's answer to the caller. Once it has begun, its end is the caller's.
func (f *flight) passFresh(a *answer, out caller, c *parallax.Call, x failure) (why string, err error) {
	defer a.Body.Close()
	c.First, c.Request.Proto = f.since(), a.Proto
	c.Response.Status, c.Response.Headers = a.Status, a.Headers
	if x.a != nil && f.net.catches(a.Status) {
		return uncaughtPrimary, nil
	}
	f.giveWay(x)
	keep := f.pin(a)
	out.Head(a.Status, f.named(a.Headers), a.Length, namesThat(unframed, a.TrailerNames), !f.body.sent())
	if err := f.copyAnswer(a, out, keep); err != nil {
		out.Abort()
		return "", err
	}
	if trailers := fieldsThat(unframed, a.Trailers()); len(trailers) > 0 {
		c.Response.Trailers = trailers
		out.Trailers(trailers)
	}
	_ = out.End() // the leg has answered, whether the caller is still there or not
	return "", nil
}

// giveWay ends a failed call of the candidate's just before the caller gets the primary's answer. It counts
// from now on, however long that one takes.
func (f *flight) giveWay(x failure) {
	if x.err != nil {
		x.c.Err = callErr(x.err)
	} else {
		f.setAside(x.a, x.c)
	}
	f.answeredLive()
	done(x.at, x.c)
	f.count(f.live, live, x.c)
	f.x.Covered = true
	f.endpoint.counts.cover()
}

// setAside reads what is there of an answer that the caller does not get: it says what went
// wrong. The rest is hardly waited for, and no more of it is read than is kept.
func (f *flight) setAside(a *answer, c *parallax.Call) {
	defer a.Body.Close()
	c.Response.Status, c.Response.Headers = a.Status, a.Headers
	if f.reason != "" {
		return
	}
	patience := time.AfterFunc(lateBody, f.net.giveUpBody)
	err := f.readAside(a, c)
	switch inTime := patience.Stop(); {
	case err != nil && !inTime:
		c.Err = callErr(&sendError{kind: parallax.Timeout, err: fmt.Errorf("the rest of its answer did not come within %v", lateBody)})
	case err != nil:
		c.Err = callErr(err)
	}
}

// giveUpBody ends the candidate's call, whose answer has begun.
func (n *catcher) giveUpBody() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.giveUp()
}

// readAside reads an answer to its end, or as far as it is kept.
func (f *flight) readAside(a *answer, c *parallax.Call) error {
	keep := f.keepAnswer(f.live, a.Length)
	buf := f.m.pool.get()
	defer f.m.pool.put(buf)
	for keep.cut == "" {
		n, err := a.Body.Read(*buf)
		keep.write((*buf)[:n])
		if err == io.EOF {
			keep.ended, c.Response.Trailers = true, fieldsThat(unframed, a.Trailers())
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// brokeOff counts a failure that the caller sees because the answer had begun. That of a request
// which the net does not catch is none of its business.
func (f *flight) brokeOff(c *parallax.Call) {
	if f.net != nil && legFailed(c.Err.Kind) {
		f.endpoint.counts.uncover(uncaughtBegun)
	}
}
