package mirror

import (
	"hash/fnv"
	"sync/atomic"
	"time"

	"parallax"
	"parallax/mirror/spool"
)

// flight is one request on its way: what serve does for the caller, and what
// goes on for the other legs after the caller has the answer.
//
// The goroutine that serves the caller owns everything but what the shadow legs
// fill in: each its own capture and its own Call. pending says who is last.
type flight struct {
	m        *Mirror
	service  *service
	in       *incoming
	record   *record
	x        *parallax.Exchange // that of the record
	id       string
	start    time.Time
	endpoint *endpoint
	live     *leg                  // nil: the request is a copy that another proxy sent
	headers  []parallax.Field      // what every leg gets of the caller's
	baggage  string                // the caller's, without role marks
	marks    [roles]string         // role marks of requests to legs
	traces   [parallax.Legs]string // traceparents of requests to shadow legs
	from     mark                  // the mark it came with; zero for none
	hops     int                   // Parallaxes it came through in a row, this one counted
	minted   string                // the name its caller is given; "": it has one, or stays unknown
	upgrade  string                // protocol the caller wants to change to
	rpc      *rpc                  // nil: it is no gRPC call
	body     *tap                  // nil: the request has no body

	window *window // of the watchdog that the request fell into; nil for none
	timed  bool    // it counts there

	net *catcher // of a live candidate; nil: callers get what it gives

	shadows    []*leg         // legs to be asked besides the live one
	reason     parallax.Place // why the exchange will not be compared; "" while it will
	dispatched bool           // shadow legs are being asked, or will be once the copy is complete
	pending    atomic.Int32   // legs under way, of a dispatched exchange
	captures   [parallax.Legs]*capture
	inline     inline
	refined    *endpoint                      // what the body said the endpoint is; written before the exchange settles
	unfit      parallax.Place                 // why no leg was asked although the copy is complete; likewise
	outlasting *outlastingContext             // what an unsafe live call runs under
	lane       laneKey                        // its user, where users are kept in order; zero for nobody known
	missing    [parallax.Legs]*spool.Place    // what legs with databases of their own may have missed
	lag        atomic.Pointer[spool.Lag]      // how the state of a leg that was asked is behind; nil: it is not
	turns      *visit                         // its place in the lanes of its user; nil: it is not ordered
	where      whereabouts                    // of an exchange that is ordered
	owes       atomic.Bool                    // the other leg is still to get this write, of which the caller knows
	naming     naming                         // what it knows of identifiers
	rejected   atomic.Bool                    // the primary rejected a copy from another proxy
	abandoned  atomic.Bool                    // a shadow leg was given up by a shutdown
	broken     atomic.Bool                    // a shadow leg's goroutine panicked
	eras       [parallax.Legs]uint64          // of the gates that the shadow requests passed
	tries      [parallax.Legs]bool            // others wait for this request to try whether the leg's answers are shorter
	unasked    atomic.Pointer[parallax.Place] // why a leg that is compared was not asked; nil while it was
}

// inline is room for what most flights need, so that it is not allocated piece by
// piece (BenchmarkMirrored). What outlives a flight, with its exchange, is in record.
type inline struct {
	shadows  [parallax.Legs - 1]*leg
	captures [rooms]capture
	requests [rooms]outgoing
}

// record is an exchange with its first calls, in one piece.
type record struct {
	parallax.Exchange
	calls [rooms]parallax.Call
}

// rooms is how many legs a flight has room for: the live one and the first shadow.
const rooms = 2

// roomFor returns the room for one thing of a leg's, of what the flight has.
func roomFor[T any](f *flight, l *leg, of *[rooms]T) *T {
	switch {
	case l == f.live:
		return &of[0]
	case len(f.shadows) > 0 && l == f.shadows[0]:
		return &of[1]
	}
	return new(T)
}

// since is the time since the request was received.
func (f *flight) since() time.Duration { return f.m.deps.Now().Sub(f.start) }

// lose notes why the exchange will not be compared. The first reason stays.
func (f *flight) lose(why parallax.Place) {
	if f.reason == "" {
		f.reason = why
	}
}

// plan decides which legs get the request besides the live one, each on its
// own; with none, it notes why. From here on the body is copied aside.
func (f *flight) plan() {
	f.measure()
	f.findLane()
	switch {
	case f.m.lives.Err() != nil: // until then a leg with its own state would miss a write at each deploy
		f.lose(parallax.UnmirroredDraining)
	case !f.service.anywhere:
		f.lose(parallax.UnmirroredNoLeg)
	case f.in.Method == "TRACE":
		f.lose(parallax.UnmirroredUnsafe) // its answer repeats credentials
	case f.endpoint.never != "":
		f.lose(f.endpoint.never)
	case f.endpoint.off:
		f.lose(parallax.UnmirroredDeclared)
	case f.looksLikeAct():
		f.lose(parallax.UnmirroredSuspicious)
	}
	if f.reason != "" {
		return
	}
	var why parallax.Place
	f.shadows, why = f.legsFor(f.endpoint)
	f.lose(why)
	if f.reason == "" {
		f.lose(f.withhold())
	}
	if f.reason != "" {
		f.missAll()
		f.shadows = nil
		return
	}
	f.keepBody()
}

// keepBody has the request's body copied aside as it is read.
func (f *flight) keepBody() {
	if f.body != nil {
		c := f.newCapture(f.in.Length)
		f.body.copy = &c
	}
}

// legsFor returns the legs besides the live one that get the request, which is
// of an endpoint; with none, the reason.
func (f *flight) legsFor(e *endpoint) (legs []*leg, why parallax.Place) {
	legs = f.inline.shadows[:0]
	for _, l := range f.service.legs {
		if l == nil || l == f.live {
			continue
		}
		switch not := f.refuses(e, l); not {
		case "":
			legs = append(legs, l)
		case parallax.UnmirroredUnsafe:
			why = not
		default:
			if why == "" {
				why = not
			}
		}
	}
	if len(legs) > 0 {
		return legs, ""
	}
	return nil, why
}

// refuses returns why a leg does not get this request, which is of an endpoint,
// as a shadow; "" if it does.
func (f *flight) refuses(e *endpoint, l *leg) parallax.Place {
	if not := f.m.withheld(l); not != "" {
		return not
	}
	switch {
	case e.operations != nil:
		return "" // the body will tell
	case e.off:
		return parallax.UnmirroredDeclared
	case !e.safe && !f.mayTakeUnsafe(e, l):
		return parallax.UnmirroredUnsafe
	case !e.safe && f.mustGetAll(l):
		return "" // its database would miss a write
	case !inSample(f.x.ID, e.sample):
		return parallax.UnmirroredSample
	}
	return ""
}

// mayTakeUnsafe reports whether a leg may get unsafe requests as a shadow. What
// the candidate writes as the live leg is in the primary's database already,
// unless it has its own; so the primary's declaration alone does not count.
func (f *flight) mayTakeUnsafe(e *endpoint, l *leg) bool {
	if f.beside() {
		return e.unsafe && f.takesCopies(l)
	}
	return e.unsafe && l.state.TakesUnsafe() &&
		(l.name != parallax.Primary || f.live.state == Own)
}

// inSample reports whether an exchange is among the share that is mirrored. It
// depends on nothing but the id.
func inSample(id parallax.ID, share float64) bool {
	if share >= 1 {
		return true
	}
	h := fnv.New64a()
	h.Write(id[:])
	return float64(h.Sum64()>>11)/(1<<53) < share
}

func (f *flight) newCapture(length int64) capture {
	return capture{max: int64(f.service.options.MaxBody), budget: f.m.deps.Budget, hint: length}
}

// keepAnswer begins the copy of a leg's answer.
func (f *flight) keepAnswer(l *leg, length int64) *capture {
	c := roomFor(f, l, &f.inline.captures)
	*c = f.newCapture(length)
	f.captures[l.name] = c
	return c
}

// newCall begins the record of one leg's call.
func (f *flight) newCall(l *leg, r role) *parallax.Call {
	c := roomFor(f, l, &f.record.calls)
	c.Request = parallax.Request{
		Method: f.in.Method, Target: f.in.Target, Host: f.in.Host, Proto: "HTTP/1.1",
		Headers: f.headersFor(l, r),
	}
	f.rewrite(l, c)
	return c
}

// outgoing is the request of a call, without its body.
func (f *flight) outgoing(l *leg, c *parallax.Call) *outgoing {
	r := roomFor(f, l, &f.inline.requests)
	*r = outgoing{
		Method: c.Request.Method, Target: c.Request.Target, Host: c.Request.Host,
		Headers: c.Request.Headers, Length: f.in.Length, Continue: f.in.Continue,
		TrailerNames: namesThat(mayTrail, f.in.TrailerNames),
	}
	return r
}

// identify writes down by what the legs know the request: its id, the traceparent of
// its trace, one more for each shadow leg, and a role mark for each role. A shadow's
// own call keeps the origin that it came with. All of it is one string, in pieces
// (BenchmarkIdentify).
func (f *flight) identify(t parallax.Traceparent) (traceparent string) {
	var room [512]byte
	m := mark{service: f.service.name, exchange: f.x.ID, hops: f.hops}
	if f.isShadowCall() {
		m.service, m.exchange = f.from.service, f.from.exchange
	}
	signed := m.appendText(make([]byte, 0, maxMark))
	signature := f.m.fleet.both(signed)
	b := f.x.ID.Append(room[:0])
	id := len(b)
	b = t.Append(b)
	trace := len(b)
	var traces [parallax.Legs]int // where each leg's begins
	for _, l := range f.service.legs {
		if l != nil && l != f.live {
			traces[l.name] = len(b)
			b = t.ForShadow(f.x.ID, l.name).Append(b)
		}
	}
	marks := len(b)
	b = appendMark(b, live, signed, signature)
	mark := len(b)
	text := string(appendMark(b, shadow, signed, signature))
	f.id, f.marks[live], f.marks[shadow] = text[:id], text[marks:mark], text[mark:]
	for l, at := range traces {
		if at > 0 {
			f.traces[l] = text[at : at+trace-id]
		}
	}
	return text[id:trace]
}

// isShadowCall reports whether a shadow leg, of whatever service, made the
// request.
func (f *flight) isShadowCall() bool { return f.from.role == shadow }

// loops reports whether an address of a leg leads back here. A shadow's call to
// its own service shows it at once. Of live requests a service may well call
// itself, so that only their hops tell.
func (f *flight) loops() bool {
	return f.hops > maxHops || f.isShadowCall() && f.from.service == f.service.name
}

// leaveLive ends the caller's part: it says where the exchange goes from here.
// It also catches a defect in Parallax, so that it costs one answer and no more.
func (f *flight) leaveLive(out caller) {
	if v := recover(); v != nil {
		f.m.deps.Log.Error("defect while serving a request", "panic", v, "endpoint", f.x.Endpoint)
		f.reason = parallax.LostPanic
		out.Abort()
	}
	if f.body != nil {
		f.body.Close()
		f.lose(f.body.why())
	}
	f.liveNames()
	if !f.dispatched {
		f.noteGap(f.endpoint, f.reason)
	}
	if f.reason == "" {
		f.toShadows()
	} else {
		f.tellLived() // before it counts as over
		f.m.deps.Ledger.Move(f.x.Stamp(), parallax.InLive, f.reason)
	}
	if f.dispatched {
		f.leave() // settling never waits, so that the next request on the connection hardly does
		return
	}
	f.delivered()
	f.leaveLanes()
	f.releaseCopies()
	f.service.leaveAtOnce()
	f.in.over()
}

// leave is called once by each leg of a dispatched exchange, and by what asks
// the shadows; the last one settles it.
func (f *flight) leave() {
	if left := f.pending.Add(-1); left > 0 {
		if left == 1 {
			f.net.settle(foundNothing) // nothing but the live leg is under way
		}
		return
	}
	if f.naming.learner.Load() != nil {
		go f.settle() // what the answers make up is noted first, and that may take its time
		return
	}
	f.settle()
}

// settle hands a finished exchange to the queue.
func (f *flight) settle() {
	defer f.in.over()
	defer f.m.shadowing.leave()
	defer f.service.leaveAtOnce()
	defer f.releaseCopies()
	f.settleNames()
	f.leaveLanes()
	endpoint, why := f.endpoint, f.gaveUp()
	if f.refined != nil {
		endpoint = f.refined
	}
	f.noteGap(endpoint, why)
	f.delivered()
	if f.reason != "" {
		return // counted when the live leg was done
	}
	stamp, ledger := f.x.Stamp(), f.m.deps.Ledger
	if f.refined != nil {
		f.x.Endpoint = endpoint.name
		ledger.Refine(stamp, f.x.Stamp(), parallax.InShadow)
		stamp = f.x.Stamp()
	}
	if why != "" {
		f.tellLived()
		ledger.Move(stamp, parallax.InShadow, why)
		return
	}
	f.assemble()
	ledger.Move(stamp, parallax.InShadow, parallax.InQueue) // before a worker can take it on
	if !f.m.deps.Queue.Offer(f.x) {
		f.tellLived()
		ledger.Move(stamp, parallax.InQueue, parallax.LostQueueFull)
	}
}

// gaveUp returns why a dispatched exchange is not compared, "" if it is.
func (f *flight) gaveUp() parallax.Place {
	switch why := f.unasked.Load(); {
	case f.reason != "":
		return f.reason
	case f.unfit != "":
		return f.unfit
	case f.broken.Load():
		return parallax.LostPanic
	case why != nil:
		return *why
	case f.abandoned.Load():
		return parallax.LostShutdown
	case f.rejected.Load():
		return parallax.UnmirroredRejected
	case f.outlived():
		return parallax.UnmirroredStream
	}
	return ""
}

// assemble puts the copies into the exchange. The legs share one request body.
func (f *flight) assemble() {
	if lag := f.lag.Load(); lag != nil {
		f.x.Lag = string(*lag)
	}
	f.x.Safe = f.ending().safe && f.rpc == nil
	body := emptyBody
	var trailers []parallax.Field
	if f.body != nil {
		body, trailers = f.body.copy.body(), f.body.tail
	}
	for l, c := range f.x.Legs {
		if c == nil {
			continue
		}
		c.Request.Body, c.Request.Trailers = body, trailers
		if other, ok := f.otherBody(parallax.Leg(l)); ok {
			c.Request.Body = parallax.Body{Bytes: other, Size: int64(len(other))}
		}
		f.asTrailers(&c.Response)
		if f.captures[l] != nil {
			c.Response.Body = f.captures[l].body()
		}
	}
}

// releaseCopies gives the bytes of all copies back to the budget: from here on
// they are the queue's to account for, or nobody's.
func (f *flight) releaseCopies() {
	if f.body != nil {
		f.body.release()
	}
	for _, c := range f.captures {
		if c != nil {
			c.release()
		}
	}
	f.releaseNames()
}
