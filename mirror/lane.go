package mirror

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"parallax"
)

// Bounds of lanes. What does not fit is dropped and counted lost/lane.
const (
	maxLanes   = 1 << 16 // users of a service with a request under way
	laneDepth  = 64      // requests that wait in one lane
	lanesDepth = 4096    // requests that wait in all lanes of a leg
	laneUnits  = 4       // bytes of what waits in one lane, in units of mirror.max_body and a head
	lanesUnits = 64      // bytes of what waits in all lanes of a leg, in the same unit
	laneShards = 64      // locks that users share
)

// lanes keep the requests of each user in order on the shadow legs: what was
// answered on the live leg before a request came in is over on a shadow leg
// before that request goes there. Requests of one user that overlapped on the
// live leg may overlap again.
//
// A lane is one user on one leg, so that neither users nor legs hold each other
// up. It exists while something of the user is under way. Methods take a lock
// that few users share, and never block.
//
// What precedes a request is always a beginning of the list of its user's
// requests in the order of their live answers: whatever was answered before it
// came in. So a request needs to remember one number, and a lane how far that
// list is over.
type lanes struct {
	shards [laneShards]laneShard
	users  atomic.Int64
	all    [parallax.Legs]load
	depth  [parallax.Legs]prometheus.Gauge
}

type laneShard struct {
	mu    sync.Mutex
	users map[laneKey]*userLanes
}

// laneKey is the keyed hash of a user's name.
type laneKey = [16]byte

// userLanes are the lanes of one user. The shard's lock guards them.
type userLanes struct {
	visits int    // with something under way
	live   int    // of them, whose live leg has not answered
	alone  *visit // while live is not 0: the one of them that overlapped with nothing so far
	legs   [parallax.Legs]lane
}

// lane is one user on one leg. What it remembers of those that were answered is as
// short as what is under way, however many are dropped behind one that hangs.
type lane struct {
	answered []stretch // in the order of their live answers, from the first that is not over
	total    uint64    // how many were ever answered
	over     uint64    // how many of them have left the front of answered
	waiting  []*turn
	bytes    int64 // of what waits
}

// stretch is a turn that is not over, with those right behind it that are.
type stretch struct {
	turn  *turn
	turns uint64 // itself included
}

// load is what waits in all lanes of a leg.
type load struct{ requests, bytes atomic.Int64 }

// visit is one exchange in the lanes of its user. It refers to nothing of the
// exchange, so that what is remembered of it is small.
type visit struct {
	lanes      *lanes
	shard      *laneShard
	key        laneKey
	user       *userLanes
	unit       int64 // of the bounds in bytes
	live       bool  // the live leg has not answered
	overlapped bool
	closed     bool // nothing of it is under way any more
	turns      [parallax.Legs]turn
}

// turn is a visit's place in one lane.
type turn struct {
	phase phase
	after uint64    // it may go once so many of the answered are over
	bytes int64     // while waiting
	ready chan bool // tells a waiting turn that it may go, or that it was dropped
}

type phase uint8

const (
	turnOver    phase = iota // ended, or never to come: the leg is not asked
	turnAhead                // the leg is to be asked
	turnWaiting              // the leg is to be asked now, but something goes first
	turnTaken                // the leg is being asked
)

func newLanes(depth [parallax.Legs]prometheus.Gauge) *lanes {
	ls := &lanes{depth: depth}
	for i := range ls.shards {
		ls.shards[i].users = map[laneKey]*userLanes{}
	}
	return ls
}

// enter gives an exchange its place behind everything of its user that has been
// answered by now, in the lanes of the legs that are to be asked. It returns nil
// when there are too many lanes. unit is that of the bounds in bytes.
func (ls *lanes) enter(key laneKey, legs []*leg, unit int64) *visit {
	shard := &ls.shards[key[0]%laneShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	user := shard.users[key]
	if user == nil {
		if ls.users.Add(1) > maxLanes {
			ls.users.Add(-1)
			return nil
		}
		user = &userLanes{}
		shard.users[key] = user
	}
	v := &visit{lanes: ls, shard: shard, key: key, user: user, unit: unit, live: true}
	for _, l := range legs {
		at := &user.legs[l.name]
		v.turns[l.name] = turn{phase: turnAhead, after: at.total}
	}
	user.enter(v)
	return v
}

// enter notes what overlaps. Whoever came while another was live overlapped; so
// of those that are live, only one can still be alone.
func (u *userLanes) enter(v *visit) {
	switch {
	case u.live == 0:
		u.alone = v
	default:
		v.overlapped = true
		if u.alone != nil {
			u.alone.overlapped, u.alone = true, nil
		}
	}
	u.visits++
	u.live++
}

// answered says that the live leg's answer is complete: from here on, what the
// user sends comes after this exchange. It is to be called before the caller can
// know. bytes are what the exchange holds of the answer; if it waits, and a lane
// has no room for them, its turn there is dropped. Only the first call counts.
func (v *visit) answered(bytes int64) {
	v.shard.mu.Lock()
	defer v.shard.mu.Unlock()
	if !v.live {
		return
	}
	v.noLongerLive()
	for l := range v.turns {
		t := &v.turns[l]
		if t.phase == turnOver {
			continue
		}
		at := &v.user.legs[l]
		at.answered = append(at.answered, stretch{t, 1})
		at.total++
		if t.phase != turnWaiting {
			continue
		}
		if !v.fits(parallax.Leg(l), bytes) {
			t.ready <- false
			v.endTurn(parallax.Leg(l))
			continue
		}
		t.bytes += bytes
		at.bytes += bytes
		v.lanes.all[l].bytes.Add(bytes)
	}
	v.close()
}

// noLongerLive notes the end of the live part.
func (v *visit) noLongerLive() {
	v.live = false
	v.user.live--
}

// ask asks for the leg's turn. It is there at once: ready is nil, ok true; or it
// comes later, and ready then tells true, or false if it was dropped; or the
// lane has no room for another request that waits, of so many bytes: ok is
// false, and the turn over. A turn that was got is to be given back by end.
func (v *visit) ask(l parallax.Leg, bytes int64) (ready <-chan bool, ok bool) {
	v.shard.mu.Lock()
	defer v.shard.mu.Unlock()
	t, at, all := &v.turns[l], &v.user.legs[l], &v.lanes.all[l]
	if at.over >= t.after {
		t.phase = turnTaken
		return nil, true
	}
	if len(at.waiting) >= laneDepth || all.requests.Load() >= lanesDepth || !v.fits(l, bytes) {
		v.endTurn(l)
		v.close()
		return nil, false
	}
	t.phase, t.bytes, t.ready = turnWaiting, bytes, make(chan bool, 1)
	at.waiting = append(at.waiting, t)
	at.bytes += bytes
	all.requests.Add(1)
	all.bytes.Add(bytes)
	v.lanes.depth[l].Inc()
	return t.ready, true
}

// fits reports whether so many more bytes may wait for a leg. Users of other
// shards ask at the same time, so that the bound of all lanes is kept to within
// one request each.
func (v *visit) fits(l parallax.Leg, bytes int64) bool {
	return v.user.legs[l].bytes+bytes <= laneUnits*v.unit && v.lanes.all[l].bytes.Load()+bytes <= lanesUnits*v.unit
}

// end says that the leg has been asked and is done, or will not be asked. What
// waited for it gets its turn.
func (v *visit) end(l parallax.Leg) {
	v.shard.mu.Lock()
	defer v.shard.mu.Unlock()
	v.endTurn(l)
	v.close()
}

// leave ends whatever of the exchange is not over.
func (v *visit) leave() {
	v.shard.mu.Lock()
	defer v.shard.mu.Unlock()
	if v.live {
		v.noLongerLive()
	}
	for l := range v.turns {
		v.endTurn(parallax.Leg(l))
	}
	v.close()
}

// concurrent reports whether the exchange overlapped on the live leg with
// another one of its user.
func (v *visit) concurrent() bool {
	v.shard.mu.Lock()
	defer v.shard.mu.Unlock()
	return v.overlapped
}

// endTurn ends a turn and lets those go that waited for nothing else.
func (v *visit) endTurn(l parallax.Leg) {
	t, at := &v.turns[l], &v.user.legs[l]
	if t.phase == turnOver {
		return
	}
	if t.phase == turnWaiting {
		at.waiting = slices.DeleteFunc(at.waiting, func(w *turn) bool { return w == t })
		v.lanes.unload(l, at, t)
	}
	t.phase = turnOver
	i := slices.IndexFunc(at.answered, func(s stretch) bool { return s.turn == t })
	if i < 0 {
		return // it was never waited for
	}
	turns := at.answered[i].turns
	at.answered = slices.Delete(at.answered, i, i+1)
	if i > 0 {
		at.answered[i-1].turns += turns
		return
	}
	at.over += turns
	at.waiting = slices.DeleteFunc(at.waiting, func(w *turn) bool {
		if at.over < w.after {
			return false
		}
		v.lanes.unload(l, at, w)
		w.phase = turnTaken
		w.ready <- true
		return true
	})
}

// unload takes what no longer waits off the books.
func (ls *lanes) unload(l parallax.Leg, at *lane, t *turn) {
	at.bytes -= t.bytes
	ls.all[l].bytes.Add(-t.bytes)
	ls.all[l].requests.Add(-1)
	ls.depth[l].Dec()
}

// close forgets the visit once nothing of it is under way, and the user with the
// last one.
func (v *visit) close() {
	if v.closed || v.live {
		return
	}
	for l := range v.turns {
		if v.turns[l].phase != turnOver {
			return
		}
	}
	v.closed = true
	if v.user.visits--; v.user.visits == 0 {
		delete(v.shard.users, v.key)
		v.lanes.users.Add(-1)
	}
}
