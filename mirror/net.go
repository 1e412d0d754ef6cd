package mirror

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parallax"
)

// Net is the safety net below a live candidate: an answer that fails before its first byte, or
// comes too late, is replaced by the primary's.
type Net struct {
	Wait     time.Duration `yaml:"wait" doc:"while the candidate is live, how much later than the primary's the head of its answer may come; then, and when there is no answer at all, callers of safe methods get the primary's; empty: callers get what the candidate gives"`
	Statuses []int         `yaml:"statuses" doc:"statuses of the candidate's, 500 to 599, in whose place callers of safe methods get the primary's answer"`
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

// catcher is what catches one request of a live candidate. The primary is asked for its answer as
// the shadow leg it is anyway; only where that was not, or its answer is not whole, it is
// asked for this caller.
type catcher struct {
	Net
	ctx   context.Context // the candidate's; ends with the caller's, or when it is too late
	end   context.CancelFunc
	state atomic.Int32 // who was first: the head of the candidate's answer, or the wait
	once  sync.Once
	timer atomic.Pointer[time.Timer] // of the wait; nil: it has not begun
	over  chan struct{}              // closed when the primary has answered as a shadow, or failed
}

// The states of a catcher.
const (
	undecided int32 = iota
	inTime
	tooLate
)

// spread puts a net below a request, if the service has one and the request is one that it can
// catch: it is safe, so that both legs may be asked, and has no body that may be gone.
func (f *flight) spread(ctx context.Context) {
	if f.service.cfg.Net.Wait <= 0 || f.live == nil || f.live.name != parallax.Candidate || !f.endpoint.safe || f.body != nil || f.looksLikeAct() {
		return
	}
	n := &catcher{Net: f.service.cfg.Net, over: make(chan struct{})}
	n.ctx, n.end = context.WithCancel(ctx)
	f.net = n
}

// primaryAnswered is called when the primary's part as a shadow is over. From then on the
// candidate has as long as the net waits.
func (n *catcher) primaryAnswered(c *parallax.Call) {
	if n == nil {
		return
	}
	n.once.Do(func() {
		if c.Err.Kind == parallax.NoError && n.state.Load() == undecided {
			n.timer.Store(time.AfterFunc(n.Wait, n.giveUp))
		}
		close(n.over)
	})
}

// nobodyElse is called when no shadow is under way any more: the primary has answered, or was not
// asked and will not be.
func (n *catcher) nobodyElse() {
	if n != nil {
		n.once.Do(func() { close(n.over) })
	}
}

// giveUp ends the candidate's call unless its answer has begun.
func (n *catcher) giveUp() {
	if n.state.CompareAndSwap(undecided, tooLate) {
		n.end()
	}
}

// holds reports whether what the candidate gave is kept from the caller: nothing, or a
// status that is caught. Nil holds nothing.
func (n *catcher) holds(a *answer, err error) bool {
	switch {
	case n == nil:
		return false
	case err != nil:
		return true
	case !n.state.CompareAndSwap(undecided, inTime):
		return true
	}
	return slices.Contains(n.Statuses, a.Status)
}

// late says how the candidate failed if it was given up.
func (n *catcher) late(err error) error {
	if n != nil && n.state.Load() == tooLate {
		return &sendError{kind: parallax.Timeout, err: fmt.Errorf("no answer within %v after the primary's", n.Wait)}
	}
	return err
}

// fold ends what the net holds, once the caller has an answer.
func (n *catcher) fold() {
	if n != nil {
		n.state.CompareAndSwap(undecided, inTime)
		if timer := n.timer.Load(); timer != nil { // one that is only just begun ends by itself
			timer.Stop()
		}
		n.end()
	}
}

// setAside reads an answer that the caller does not get, for the comparison, and for the
// caller after all if the primary has none. It takes no longer than the net waits.
func (f *flight) setAside(a *answer, c *parallax.Call) error {
	defer a.Body.Close()
	c.Response.Status, c.Response.Headers = a.Status, a.Headers
	patience := time.AfterFunc(f.net.Wait, f.net.end)
	defer patience.Stop()
	keep := f.keepAnswer(f.live, a.Length)
	if err := f.drain(f.live, a, keep); err != nil {
		if !patience.Stop() {
			return &sendError{kind: parallax.Timeout, err: fmt.Errorf("its answer was not complete within %v", f.net.Wait)}
		}
		return err
	}
	if keep.ended {
		c.Response.Trailers = fieldsThat(unframed, a.Trailers())
	}
	return nil
}

// catch gives the caller the primary's answer in place of the candidate's, which failed as
// its call says; or that, if the primary has none either.
func (f *flight) catch(ctx context.Context, out caller, c *parallax.Call, err error) {
	primary := f.service.legs[parallax.Primary]
	gave, failed := f.giveShadows(ctx, out, primary)
	if gave || !failed && f.giveFresh(ctx, out, primary) {
		f.x.Covered = true
		f.endpoint.counts.cover()
		return
	}
	gone := f.callerGone(ctx)
	if !gone {
		f.endpoint.counts.uncover(f.whyUncaught(primary))
	}
	switch {
	case gone:
		out.Abort()
	case c.Err.Kind == parallax.NoError && isWhole(f.captures[f.live.name]):
		f.give(out, c, f.captures[f.live.name])
	default:
		f.refuse(out, problemOf(err))
		_ = out.End()
	}
}

// giveShadows gives the answer that the primary has given as a shadow, and reports whether
// there is one, and whether the primary failed, so that it need not be asked once more. It
// waits for it for as long as a shadow may take, and at most twice as long.
func (f *flight) giveShadows(ctx context.Context, out caller, primary *leg) (gave, failed bool) {
	named := f.service.ids.Declared() // by their names on the primary: the caller's may be another's there
	if !f.asksAsShadow(primary) || !named && (f.turns != nil || f.mayName()) {
		return false, named // it was not asked, or not for this caller's very request, or will be in its turn
	}
	patience := time.NewTimer(laneWaits * f.service.options.Timeout) // a shadow's own deadline is a little late
	defer patience.Stop()
	select {
	case <-f.net.over:
	case <-patience.C:
		return false, true
	case <-ctx.Done():
		return false, true
	}
	c, kept := f.x.Legs[parallax.Primary], f.captures[parallax.Primary]
	if c != nil && c.Err.Kind == parallax.Timeout && c.Response.Status != 0 {
		return false, named // it goes on for longer than a shadow may take, as streams of events do
	}
	if c == nil || c.Err.Kind != parallax.NoError {
		return false, true
	}
	if !isWhole(kept) {
		return false, named // longer than what is kept
	}
	f.give(out, c, kept)
	return true, false
}

// asksAsShadow reports whether a leg was asked as a shadow, or will be.
func (f *flight) asksAsShadow(l *leg) bool {
	return f.dispatched && f.reason == "" && f.endpoint.operations == nil && slices.Contains(f.shadows, l)
}

// Why a failure of a live candidate's is not caught.
const (
	uncaughtBegun   = "begun"          // its answer had begun
	uncaughtPrimary = "primary_failed" // the primary has no answer either
	uncaughtNames   = "identifiers"    // it was not asked by the names that it knows
	uncaughtBody    = "request_body"   // the request has a body, which may be gone
)

// whyUncaught says why the primary gave no answer in place of the candidate's.
func (f *flight) whyUncaught(primary *leg) string {
	if f.service.ids.Declared() && !f.asksAsShadow(primary) {
		return uncaughtNames
	}
	return uncaughtPrimary
}

// noteUncaught counts a live call that went to the caller as it was, if it failed and there is a
// net. Acts, and what is no plain request, are none of its business.
func (f *flight) noteUncaught(r role, c *parallax.Call) {
	n := f.service.cfg.Net
	if r != live || n.Wait <= 0 || f.live == nil || f.live.name != parallax.Candidate || !f.endpoint.safe || f.rpc != nil || f.upgrade != "" {
		return
	}
	switch broke := legFailed(c.Err.Kind); {
	case broke && f.net != nil:
		f.endpoint.counts.uncover(uncaughtBegun)
	case f.body != nil && (broke || slices.Contains(n.Statuses, c.Response.Status)):
		f.endpoint.counts.uncover(uncaughtBody)
	}
}

func isWhole(c *capture) bool { return c != nil && c.ended && c.cut == "" }

// give sends an answer that was kept.
func (f *flight) give(out caller, c *parallax.Call, kept *capture) {
	names := make([]string, len(c.Response.Trailers))
	for i, t := range c.Response.Trailers {
		names[i] = t.Name
	}
	out.Head(c.Response.Status, f.named(c.Response.Headers), kept.hint, names, false)
	_, err := out.Write(kept.bytes)
	if len(c.Response.Trailers) > 0 {
		out.Trailers(c.Response.Trailers)
	}
	if err == nil {
		_ = out.End() // a caller that is gone needs no answer
	}
}

// giveFresh asks the primary for this caller, and reports whether it gave an answer.
func (f *flight) giveFresh(ctx context.Context, out caller, primary *leg) bool {
	c := &parallax.Call{Request: parallax.Request{
		Method: f.in.Method, Target: f.in.Target, Host: f.in.Host, Proto: "HTTP/1.1", Headers: f.headersFor(primary, live),
	}}
	f.rewrite(primary, c)
	if unfit(c) != nil {
		return false
	}
	primary.inFlight.Add(1)
	defer primary.inFlight.Add(-1)
	c.Start = f.since()
	a, at, err := f.askInstances(ctx, primary, live, c, &outgoing{
		Method: c.Request.Method, Target: c.Request.Target, Host: c.Request.Host, Headers: c.Request.Headers, Length: f.in.Length,
		Again: func(err error) { f.tryAgain(primary, live, c, err) },
	})
	began := err == nil
	if began {
		err = f.passFresh(a, out, c)
	}
	if c.Done = f.since(); err != nil {
		c.Err = callErr(err)
		if f.callerGone(ctx) {
			c.Err = parallax.CallErr{Kind: parallax.CallerGone, Text: errCallerGone.Error()}
		}
	}
	done(at, c)
	f.count(primary, live, c)
	return began
}

// passFresh streams the primary's answer to the caller.
func (f *flight) passFresh(a *answer, out caller, c *parallax.Call) error {
	defer a.Body.Close()
	c.First, c.Request.Proto = f.since(), a.Proto
	c.Response.Status, c.Response.Headers = a.Status, a.Headers
	out.Head(a.Status, f.named(a.Headers), a.Length, namesThat(unframed, a.TrailerNames), false)
	if err := f.copyAnswer(a, out, nil); err != nil {
		out.Abort()
		return err
	}
	if trailers := fieldsThat(unframed, a.Trailers()); len(trailers) > 0 {
		out.Trailers(trailers)
	}
	_ = out.End() // the leg has answered, whether the caller is still there or not
	return nil
}
