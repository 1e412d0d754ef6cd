package mirror

import (
	"sync"
	"time"

	"parallax"
	"parallax/mirror/split"
)

// laneWaits is how long a request may wait for its turn at a leg, in units of
// mirror.timeout: longer than one request before it can take.
const laneWaits = 2

// whereabouts say at which place in flight an exchange that is ordered stands:
// it is in its lane for as long as one of its legs is.
type whereabouts struct {
	mu       sync.Mutex
	answered bool // the live part is over
	waiting  int  // legs whose turn has not come
}

func (w *whereabouts) place() parallax.Place {
	if w.waiting > 0 {
		return parallax.InLane
	}
	return parallax.InShadow
}

// nameOf is what stands for a user in exchanges and lanes; zero for nobody.
func (m *Mirror) nameOf(user string) [16]byte {
	if user == "" {
		return [16]byte{}
	}
	return m.users.sum(user)
}

// findLane finds out whose lane a request belongs to, if the service keeps users'
// requests in order.
func (f *flight) findLane() {
	if f.service.order == (split.Key{}) {
		return
	}
	user := f.userBy(f.service.order)
	if r := f.in.Replayed; r != nil && r.User != "" {
		user = r.User
	}
	f.lane = f.m.nameOf(user)
}

// enterLane gives an exchange that is to be mirrored its place in the lanes of
// its user, if the service keeps users' requests in order and the user is known.
func (f *flight) enterLane() {
	key := f.lane
	if key == (laneKey{}) || f.reason != "" {
		return
	}
	if f.x.User == [16]byte{} {
		f.x.User = key
	}
	f.turns = f.m.lanes.enter(key, f.shadows, int64(f.service.options.MaxBody)+maxRequestHead)
	if f.turns == nil {
		f.lose(parallax.LostLane)
	}
}

// answeredLive is called just before the caller can know the end of its answer:
// what its user sends from now on comes after this exchange.
func (f *flight) answeredLive() {
	if f.turns == nil || !f.turns.live {
		return
	}
	var bytes int64
	if f.live != nil {
		bytes = weigh(f.x.Legs[f.live.name].Response.Headers)
		if keep := f.captures[f.live.name]; keep != nil {
			bytes += int64(cap(keep.bytes))
		}
	}
	f.turns.answered(bytes)
}

// weigh returns the bytes of the names and values of fields.
func weigh(fields []parallax.Field) (bytes int64) {
	for _, f := range fields {
		bytes += int64(len(f.Name) + len(f.Value))
	}
	return bytes
}

// askInOrder asks each shadow leg when the exchange's turn there has come.
func (f *flight) askInOrder(legs []*leg) {
	bytes := weigh(f.headers) + int64(len(f.in.Target))
	if f.body != nil {
		bytes += int64(cap(f.body.copy.bytes))
	}
	for _, l := range legs {
		ready, ok := f.turns.ask(l.name, bytes)
		switch {
		case !ok:
			f.passOver(l, parallax.LostLane)
		case ready == nil:
			f.takeTurn(l)
		default:
			f.pending.Add(1)
			f.wait(+1)
			go f.awaitTurn(l, ready)
		}
	}
}

// awaitTurn waits for the turn at a leg and takes it. Whoever shuts the mirror
// down ends the wait.
func (f *flight) awaitTurn(l *leg, ready <-chan bool) {
	defer f.leave()
	defer f.noteDefect()
	timer := time.NewTimer(laneWaits * f.service.options.Timeout)
	defer timer.Stop()
	mine, why := false, parallax.LostLane
	select {
	case mine = <-ready:
	case <-timer.C:
	case <-f.m.shadows.Done():
		why = parallax.LostShutdown
	}
	f.wait(-1)
	if !mine {
		f.passOver(l, why)
		return
	}
	f.takeTurn(l)
}

// takeTurn asks a leg now, or as soon as it is known what the leg calls what the
// request names.
func (f *flight) takeTurn(l *leg) {
	if l.name != f.reference() && f.mayName() {
		f.pending.Add(1)
		go f.nameAndAsk(l)
		return
	}
	f.askNow(l)
}

// askNow asks a leg if it has room and is let through, and else gives the turn back.
func (f *flight) askNow(l *leg) {
	era, why := f.admit(l)
	if why != "" {
		f.passOver(l, why)
		return
	}
	f.eras[l.name] = era
	f.pending.Add(1)
	f.m.crew.ask(f, l)
}

// passOver gives back the turn at a leg that is not asked, and notes why. Without
// the secondary only the measure of noise is missing.
func (f *flight) passOver(l *leg, why parallax.Place) {
	f.net.primaryPassedOver(l)
	f.miss(l)
	f.endTurn(l)
	if f.needs(l) {
		f.giveUp(why)
		return
	}
	f.x.Legs[l.name] = f.notAsked(l, notAskedText(why))
}

// needs reports whether there is nothing to compare without a leg.
func (f *flight) needs(l *leg) bool {
	return l.name != parallax.Secondary || len(f.shadows) == 1
}

// endTurn gives back the turn at a leg.
func (f *flight) endTurn(l *leg) {
	if f.turns != nil {
		f.turns.end(l.name)
	}
}

// leaveLanes ends whatever turns are left, and takes over what the lanes know.
func (f *flight) leaveLanes() {
	if f.turns != nil {
		f.turns.leave()
		f.x.Concurrent = f.turns.concurrent()
	}
}

// toShadows moves an exchange whose live part is over on.
func (f *flight) toShadows() {
	to := parallax.InShadow
	if f.turns != nil {
		f.where.mu.Lock()
		defer f.where.mu.Unlock()
		f.where.answered = true
		to = f.where.place()
	}
	f.m.deps.Ledger.Move(f.x.Stamp(), parallax.InLive, to)
}

// wait notes that a leg of an exchange began to wait for its turn, or stopped.
func (f *flight) wait(legs int) {
	f.where.mu.Lock()
	defer f.where.mu.Unlock()
	from := f.where.place()
	f.where.waiting += legs
	if to := f.where.place(); f.where.answered && to != from {
		f.m.deps.Ledger.Move(f.x.Stamp(), from, to)
	}
}
