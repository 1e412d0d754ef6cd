package upstream

import (
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// Policy says how requests are shared out among the instances.
type Policy string

// The policies. The zero value means RoundRobin.
const (
	RoundRobin    Policy = "round_robin"     // in turn
	LeastInFlight Policy = "least_in_flight" // the one with the fewest requests under way
	Weighted      Policy = "weighted"        // in turn, in proportion to weights
	Hash          Policy = "hash"            // the same key to the same instance
)

// KeyOf turns the text that Hash goes by into a key for [Set.Pick]. It is the same in
// every process; "" becomes 0, which stands for no key.
func KeyOf(text string) uint64 {
	if text == "" {
		return 0
	}
	return xxhash.Sum64String(text)
}

// list is what Pick looks at. It is not changed.
type list struct {
	all  []*Instance
	use  []*Instance // to pick from
	sums []uint64    // weights of use, each with those before
	none bool        // none is up
}

// newList picks those that are up, of the lowest priority that has any; if none
// is up, all of the lowest priority.
func newList(all []*Instance) *list {
	l := &list{all: all}
	take := func(good func(*Instance) bool) {
		for _, i := range all {
			switch {
			case !good(i), len(l.use) > 0 && i.priority > l.use[0].priority:
				continue
			case len(l.use) > 0 && i.priority < l.use[0].priority:
				l.use = l.use[:0]
			}
			l.use = append(l.use, i)
		}
	}
	if take((*Instance).up); len(l.use) == 0 {
		l.none = len(all) > 0
		take(func(*Instance) bool { return true })
	}
	var sum uint64
	for _, i := range l.use {
		sum += i.weight
		l.sums = append(l.sums, sum)
	}
	return l
}

// Pick returns the instance that a request goes to, nil when there is none. key
// is read by [Hash] alone: requests with the same key go to the same instance, and when
// instances come and go only the requests of those that came or went move. With
// key 0 they take turns.
//
// With not, another instance is wanted than that one: the one with the fewest
// failures in a row, so that a request which is tried once more finds one that
// works. Nil says that there is no other.
func (s *Set) Pick(key uint64, not *Instance) *Instance {
	l := s.list.Load()
	var i *Instance
	switch {
	case len(l.use) == 0:
		return nil
	case not != nil:
		i = s.other(l, key, not)
	case len(l.use) == 1:
		i = l.use[0]
	default:
		i = s.pick(l, key)
	}
	if i != nil {
		i.inFlight.Add(1)
	}
	return i
}

// goldenRatio is 2^64 divided by the golden ratio. Its multiples, modulo 2^64, are
// spread evenly at every length, so that weighted turns need no schedule.
const goldenRatio = 0x9e3779b97f4a7c15

func (s *Set) pick(l *list, key uint64) *Instance {
	switch {
	case s.policy == Hash && key != 0:
		return l.byScore(key)
	case s.policy == LeastInFlight:
		return l.leastBusy(s.turn.Add(1))
	case s.policy == Weighted:
		point, _ := bits.Mul64(s.turn.Add(1)*goldenRatio, l.sums[len(l.sums)-1])
		return l.use[search(l.sums, point)]
	}
	return l.use[(s.turn.Add(1)-1)%uint64(len(l.use))]
}

// search returns the first index whose sum is beyond point.
func search(sums []uint64, point uint64) int {
	low, high := 0, len(sums)-1
	for low < high {
		if mid := (low + high) / 2; sums[mid] > point {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}

// byScore is rendezvous hashing: every instance has a score with the key, and the
// highest wins.
func (l *list) byScore(key uint64) *Instance {
	best := l.use[0]
	most := score(best, key)
	for _, i := range l.use[1:] {
		if n := score(i, key); n > most {
			best, most = i, n
		}
	}
	return best
}

// score mixes a key and an instance (the finalizer of MurmurHash3).
func score(i *Instance, key uint64) uint64 {
	x := key ^ i.hash
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// leastBusy returns the instance with the fewest requests under way; of several,
// the first from where the turn has come to.
func (l *list) leastBusy(turn uint64) *Instance {
	n := uint64(len(l.use))
	best := l.use[turn%n]
	least := best.inFlight.Load()
	for k := uint64(1); k < n && least > 0; k++ {
		i := l.use[(turn+k)%n]
		if busy := i.inFlight.Load(); busy < least {
			best, least = i, busy
		}
	}
	return best
}

// other returns an instance besides not: of those with the fewest failures in a
// row, the one that the key or the turn leads to.
func (s *Set) other(l *list, key uint64, not *Instance) *Instance {
	var best *Instance
	var fewest int32
	var most uint64
	if s.policy != Hash || key == 0 {
		key = s.turn.Add(1) * goldenRatio
	}
	for _, i := range l.use {
		if i == not {
			continue
		}
		failures, n := i.failures.Load(), score(i, key)
		if best == nil || failures < fewest || failures == fewest && n > most {
			best, fewest, most = i, failures, n
		}
	}
	return best
}
