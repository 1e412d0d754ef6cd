package mirror

import (
	"bytes"
	"io"
	"time"

	"parallax"
)

// dispatch starts the calls to the shadow legs, in goroutines of their own, once
// the request's copy is complete. It never waits.
func (f *flight) dispatch() {
	f.lose(f.body.why())
	if f.reason != "" {
		return
	}
	f.m.shadowing.enter()
	f.dispatched = true
	f.pending.Store(2) // the live leg, and what asks the others
	if f.endpoint.operations != nil {
		go f.refineAndAsk() // nobody waits for the body to be read
		return
	}
	if f.body.sent() {
		f.askShadows(f.firstLegs())
		if why := f.unasked.Load(); why != nil {
			f.lose(*why)
		}
		return
	}
	go func() {
		if f.body.wait() == "" {
			f.askShadows(f.firstLegs())
			return
		}
		f.leave() // leaveLive says why
	}()
}

// askShadows starts a call to each shadow leg that has room for one and lets it
// through. The copy is complete, so that no caller holds a slot by sending slowly.
// Without the secondary, noise is not measured this time; without a leg that is
// compared, the exchange is given up.
func (f *flight) askShadows(legs []*leg) {
	defer f.leave()
	defer f.noteDefect()
	if f.turns != nil {
		f.askInOrder(legs)
		return
	}
	if f.mayName() {
		for _, l := range legs {
			f.takeTurn(l)
		}
		return
	}
	var with [parallax.Legs]*leg
	room := with[:0]
	for _, l := range legs {
		switch era, why := f.admit(l); {
		case why == "":
			f.eras[l.name] = era
			room = append(room, l)
		case l.name == parallax.Secondary && len(room) > 0: // it is the last of the legs
			f.miss(l)
			f.x.Legs[l.name] = f.notAsked(l, notAskedText(why))
		default:
			f.giveUp(why)
			for _, l := range legs {
				f.miss(l)
			}
			for _, l := range room {
				l.giveBack(f.eras[l.name])
				f.tried(l, tryNext)
			}
			return
		}
	}
	f.pending.Add(int32(len(room)))
	for _, l := range room {
		f.m.crew.ask(f, l)
	}
}

// giveUp notes why a leg that is compared was not asked.
func (f *flight) giveUp(why parallax.Place) { f.unasked.Store(&why) }

// admit lets the request through to a shadow leg, or says why not. A write that a
// database of the leg's own must not miss is not kept from it for the sake of
// long answers.
func (f *flight) admit(l *leg) (era uint64, why parallax.Place) {
	if why = f.m.withheld(l); why != "" { // while it waited
		return 0, why
	}
	if f.behind(l) {
		return 0, parallax.LostBehind
	}
	if (f.endpoint.safe || l.state != Own) && f.leavesAlone(l) {
		return 0, parallax.LostAnswerSize
	}
	if era, why = l.admit(f.service.options.InFlight); why != "" {
		f.tried(l, tryNext)
		return 0, why
	}
	if why = f.m.withheld(l); why != "" { // Once it is, whoever waits for the leg to be quiet sees all that it was asked.
		l.giveBack(era)
		return 0, why
	}
	return era, ""
}

// leavesAlone reports whether the leg is not to be asked yet. A time further off
// than any wait is one before the clock was set back. When the wait is over, one
// request at a time tries whether answers are shorter now: a dozen of long ones at
// once would cost callers what the wait has saved.
func (f *flight) leavesAlone(l *leg) bool {
	alone := &f.endpoint.alone[l.name]
	until := alone.Load()
	if until == 0 {
		return false
	}
	now := f.m.deps.Now()
	if left := time.Duration(max(until, -until) - now.UnixNano()); left > 0 && left <= maxAlone {
		return true
	}
	f.tries[l.name] = alone.CompareAndSwap(until, -now.Add(tryAlone).UnixNano())
	return !f.tries[l.name]
}

// leaveAlone keeps the endpoint's requests from a shadow leg for as long as the
// allowance takes to grow by so many bytes. Even an answer of which nothing is
// read costs both sides a connection and all that was in its buffers.
func (f *flight) leaveAlone(l *leg, bytes int64) {
	wait := time.Duration(float64(bytes) / oversizePerSecond * float64(time.Second))
	f.endpoint.alone[l.name].Store(f.m.deps.Now().Add(min(wait, maxAlone)).UnixNano())
}

// What a request that was to try leaves of the wait.
const (
	askAgain int64 = iota // nothing
	tryNext               // a moment long past: the next one tries
)

// tried ends the wait for this request if it was one to try, however it ended: what
// is short, or no answer, is to be compared. After an answer that was too long again,
// of whichever request, the wait stays. Another one may have begun to try meanwhile,
// where answers take longer than others wait; it is not waited for either.
func (f *flight) tried(l *leg, then int64) {
	alone := &f.endpoint.alone[l.name]
	if until := alone.Load(); f.tries[l.name] && until < 0 {
		alone.CompareAndSwap(until, then)
	}
}

// noteDefect is deferred where shadow legs are asked: a defect in Parallax costs
// a comparison and no more.
func (f *flight) noteDefect() {
	if v := recover(); v != nil {
		f.m.deps.Log.Error("defect while asking a shadow leg", "panic", v, "endpoint", f.x.Endpoint)
		f.broken.Store(true)
	}
}

// notAsked is the call of a leg that was not asked, and why.
func (f *flight) notAsked(l *leg, why string) *parallax.Call {
	c := f.newCall(l, shadow)
	c.Err = parallax.CallErr{Kind: parallax.NotAsked, Text: why}
	c.Start = f.since()
	c.Done = c.Start
	return c
}

// askShadow sends the copy to one shadow leg.
func (f *flight) askShadow(l *leg) {
	defer f.leave()
	defer f.endTurn(l)
	defer l.freeSlot() // a live answer that streams on holds none
	defer f.noteDefect()
	ended := parallax.NotAsked // if a defect ends it
	defer func() { l.gate.passed(f.eras[l.name], ended) }()
	c := f.newCall(l, shadow)
	n := f.conceal(l, c, f.putNames(l, c))
	f.x.Legs[l.name] = c
	l.inFlight.Add(1)
	defer l.inFlight.Add(-1)
	f.noteLag(l)
	c.Start = f.since()
	if err := f.shadowCall(l, c, n); err != nil {
		c.Err = callErr(err)
		f.miss(l)
		if f.m.shadows.Err() != nil {
			f.abandoned.Store(true)
		}
	}
	f.tried(l, askAgain)
	c.Done = f.since()
	if ended = c.Err.Kind; streamCut(c, ended) {
		ended = parallax.NoError
	}
	f.count(l, shadow, c)
	f.primaryAnswered(l, c)
	if l.name == f.otherLeg() && c.Response.Status != 0 && f.owes.Load() && f.turnedDown(l, c) == "" {
		f.delivered() // what it turned down is listed, or caught up, when the exchange settles
	}
	f.shadowNames(l)
	f.askOthers(l, c)
}

// shadowCall asks a leg. n is the request with other values than the caller's; nil:
// there are none.
func (f *flight) shadowCall(l *leg, c *parallax.Call, n *renamed) (err error) {
	if err := unfit(c); err != nil {
		return err
	}
	at := l.pool.Pick(l.hashBy.of(f.in), nil)
	if at == nil {
		return errNoInstance
	}
	defer func() { at.Done(f.shadowOutcome(c, err)) }()
	r := f.outgoing(l, c)
	r.Addr = at.Addr()
	r.Deadline = time.Now().Add(f.service.options.Timeout)
	r.Again = func(err error) { f.tryAgain(l, shadow, c, err) }
	if f.body != nil {
		r.Ready = true
		content := f.body.copy.bytes
		if n != nil && n.other {
			content = n.body
			if r.Length >= 0 {
				r.Length = int64(len(content))
			}
		}
		r.Body = io.NopCloser(bytes.NewReader(content))
		r.Trailers = func() []parallax.Field { return f.body.tail }
	}
	a, err := l.senders[shadow].Send(f.m.shadows, at.URL(), r)
	if err != nil {
		return err
	}
	c.First, c.Request.Proto = f.since(), a.Proto
	c.Response.Status, c.Response.Headers = a.Status, a.Headers
	defer a.Body.Close()
	f.primaryBegan(l, a)
	keep := f.keepAnswer(l, a.Length)
	if err := f.drain(l, a, keep); err != nil {
		return err
	}
	if keep.ended {
		c.Response.Trailers = fieldsThat(unframed, a.Trailers())
	}
	return nil
}

// bodyless reports whether an answer has no body, whatever length it tells.
func (f *flight) bodyless(a *answer) bool {
	return a.Length == 0 || a.Status == 204 || a.Status == 304 || f.in.Method == "HEAD"
}

// drain reads an answer to its end. One that is longer than what is kept is read
// on only as far as the allowance goes; otherwise it is given up, with its
// connection, and its hash stays unknown; the leg is then left alone for a while on
// this endpoint.
func (f *flight) drain(l *leg, a *answer, keep *capture) error {
	over := &f.m.oversize
	if !f.bodyless(a) && a.Length > keep.max && !over.take(a.Length, f.m.deps.Now()) {
		keep.giveUp(a.Length)
		f.leaveAlone(l, a.Length)
		return nil
	}
	buf := f.m.pool.get()
	defer f.m.pool.put(buf)
	for {
		n, err := a.Body.Read(*buf)
		keep.write((*buf)[:n])
		if err == io.EOF {
			keep.ended = true
			return nil
		}
		if err != nil {
			return err
		}
		if a.Length < 0 && keep.cut != "" && !over.take(int64(n), f.m.deps.Now()) {
			keep.giveUp(keep.size)
			f.leaveAlone(l, oversizePerSecond) // its length is not known
			return nil
		}
	}
}
