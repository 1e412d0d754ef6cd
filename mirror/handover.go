package mirror

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"parallax"
	"parallax/internal/ids"
	"parallax/mirror/split"
	"parallax/mirror/spool"
)

// Where both versions have a database of their own, a user's data is as the live leg left it,
// and the other leg's database gets there a little later. So a user moves from one leg to the
// other only once that one has got all that the user was told is done: to the candidate by
// staying where it is until then, back to the primary by waiting, which is bounded.

// PartitionedBySplitKey is that users of split.key share no data.
const PartitionedBySplitKey = "split.key"

// DrainWithin bounds how long a request waits for the primary to get what its user wrote on
// the candidate. Then it is served all the same.
const DrainWithin = time.Second

// parts returns what is wrong with partitioned_by.
func (s Service) parts() []parallax.Fault {
	var faults []parallax.Fault
	fault := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	switch s.PartitionedBy {
	case "":
		return nil
	case PartitionedBySplitKey:
	default:
		fault("partitioned_by", fmt.Sprintf("unknown value %q", s.PartitionedBy), "write split.key, or leave it out")
		return faults
	}
	for _, l := range []struct {
		name string
		LegConfig
	}{{"primary", s.Primary}, {"candidate", s.Candidate}} {
		if l.State != Own {
			fault(l.name+".state", fmt.Sprintf("with partitioned_by it has to be own, and is %s", l.State.orShared()), "write own if it has a database of its own, or leave partitioned_by out")
		}
	}
	if s.Mirror.Unsafe != UnsafeAllowed {
		fault("mirror.unsafe", "with partitioned_by each leg has to get what is written on the other", "write allowed")
	}
	key, err := split.ParseKey(s.Split.Key)
	order, wrong := split.ParseKey(s.Mirror.OrderBy)
	if err != nil || wrong != nil {
		return faults // said elsewhere
	}
	if s.Split.Key == "" {
		fault("split.key", "partitioned_by says that users share no data, but this does not say who a user is", "write where the user's name stands, such as header:X-User")
	} else if key != order {
		fault("mirror.order_by", "with partitioned_by the writes of a user have to arrive in their order, and this tells users by another key than split.key", fmt.Sprintf("write %q", s.Split.Key))
	}
	return faults
}

// handover counts the writes whose callers know that they are done, and which the other leg
// has not got yet, by the user whose lane they are in. One that is to be caught up goes behind them.
type handover struct {
	shards [laneShards]handoverShard
}

type handoverShard struct {
	mu    sync.Mutex
	users map[laneKey]*[parallax.Legs]int // by the leg that is to get them; as many as requests under way
}

// owe adds so many writes to those that a leg is to get.
func (h *handover) owe(user laneKey, l parallax.Leg, more int) {
	shard := &h.shards[user[0]%laneShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.users == nil {
		shard.users = map[laneKey]*[parallax.Legs]int{}
	}
	owed := shard.users[user]
	if owed == nil {
		owed = new([parallax.Legs]int)
		shard.users[user] = owed
	}
	if owed[l] += more; *owed == [parallax.Legs]int{} {
		delete(shard.users, user)
	}
}

// owes reports whether a leg is still to get writes of a user's.
func (h *handover) owes(user laneKey, l parallax.Leg) bool {
	shard := &h.shards[user[0]%laneShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	owed := shard.users[user]
	return owed != nil && owed[l] > 0
}

// under returns how many writes a leg is to get.
func (h *handover) under(l parallax.Leg) (n int) {
	for i := range h.shards {
		shard := &h.shards[i]
		shard.mu.Lock()
		for _, owed := range shard.users {
			n += owed[l]
		}
		shard.mu.Unlock()
	}
	return n
}

// partitioned reports whether users share no data, and each leg gets what is written on the
// other.
func (s *service) partitioned() bool { return s.cfg.PartitionedBy != "" }

// movesTo returns the leg that answers a user whom the step gives a leg. Who is not known, and
// what nobody can repeat on another leg, stays on the primary.
func (f *flight) movesTo(ctx context.Context, wanted parallax.Leg) parallax.Leg {
	if f.x.User == (laneKey{}) || f.upgrade != "" {
		return parallax.Primary
	}
	if f.hasAll(wanted) {
		return wanted // Fast path
	}
	if wanted != parallax.Candidate || !f.hasAll(parallax.Primary) {
		f.drained(ctx)
	}
	return parallax.Primary
}

// drained waits until the primary has all that the user was told is done, and reports whether it has. It waits for [DrainWithin]
// at most, and no longer than the caller.
func (f *flight) drained(ctx context.Context) bool {
	until := f.m.deps.Now().Add(DrainWithin)
	look := time.NewTimer(0)
	defer look.Stop()
	for pause := time.Millisecond; f.m.deps.Now().Before(until); pause = min(2*pause, 16*time.Millisecond) {
		select {
		case <-look.C:
		case <-ctx.Done():
			return false
		}
		if f.hasAll(parallax.Primary) {
			return true
		}
		look.Reset(pause)
	}
	return false
}

// hasAll reports whether a leg has all that the user was told is done. What the primary will
// never get is listed, and keeps nobody from it.
func (f *flight) hasAll(l parallax.Leg) bool {
	if f.m.handover.owes(f.x.User, l) {
		return false
	}
	s := f.m.spools[l].Load()
	switch {
	case s == nil || !s.Any():
		return true
	case l == parallax.Primary:
		return !s.Behind(f.x.User, f.x.Received)
	}
	return s.Lag(f.x.User, f.isAbout()) == spool.Level
}

// told is called before the caller can know that a write is done. With partitioned_by the lane
// is the user's.
func (f *flight) told() {
	l := f.service.legs[f.otherLeg()]
	if l == nil || l.state != Own || f.endpoint.safe || f.lane == (laneKey{}) || !f.mayTakeUnsafe(f.endpoint, l) {
		return
	}
	if !f.owes.Swap(true) {
		f.m.handover.owe(f.lane, l.name, 1)
	}
}

// delivered is called when the other leg has answered a write, or it is among what that one
// has missed.
func (f *flight) delivered() {
	if f.owes.Swap(false) {
		f.m.handover.owe(f.lane, f.otherLeg(), -1)
	}
}

// otherLeg is the one of primary and candidate that is not live.
func (f *flight) otherLeg() parallax.Leg {
	if f.x.Live == parallax.Primary {
		return parallax.Candidate
	}
	return parallax.Primary
}

// countStrangers counts the values that the live candidate made up with a write, and the primary
// did not: whoever holds one means nothing to the primary.
func (f *flight) countStrangers(facts []ids.Fact) {
	if f.x.Live != parallax.Candidate || f.endpoint.safe {
		return
	}
	for _, fact := range facts {
		declared := slices.ContainsFunc(f.service.cfg.Identifiers, func(c ids.Config) bool { return c.Name == fact.Name })
		if declared && fact.State == ids.Failed && fact.To == parallax.Primary {
			f.m.strangers.Add(1)
		}
	}
}

// Missing is a write that a caller was told is done, and that a leg does not have.
type Missing = spool.Missing

// Missing lists the writes that a leg does not have, up to limit: those that it will never get, as
// far as anybody knows, then those that it is still to get.
func (m *Mirror) Missing(l parallax.Leg, limit int) ([]Missing, error) {
	s := m.spools[l].Load()
	if s == nil {
		return nil, nil
	}
	return s.List(limit)
}

// WayBack is what the primary lacks of what callers were told by the candidate.
type WayBack struct {
	WritesMissing int       // that it does not have, Waiting included
	Waiting       int       // that it is still to get
	Oldest        time.Time // since when the first of these has waited; zero for none
	Unknown       uint64    // values that the candidate made up and the primary did not, since this process began
}

// WayBack says what would be missing if everybody went back to the primary now.
func (m *Mirror) WayBack() WayBack {
	under := m.handover.under(parallax.Primary)
	back := WayBack{WritesMissing: under, Waiting: under, Unknown: m.strangers.Load()}
	if s := m.spools[parallax.Primary].Load(); s != nil {
		f := s.Figures()
		back.Waiting += f.Waiting
		back.WritesMissing += f.Waiting + f.Lost
		back.Oldest = f.Oldest
	}
	return back
}
