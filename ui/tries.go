package ui

import (
	"maps"
	"net/netip"
	"sync"
	"time"
)

// How many logins may fail. The second bounds how many addresses there are to remember, too.
const (
	triesOfAddress = 10
	triesTime      = 10 * time.Minute
	triesOfAll     = 60
	triesOfAllTime = time.Minute
)

// tries counts the logins that failed, by address and of all. Each try counts before its token is looked at, so that
// many at once are no more than one after the other; one that succeeds is taken back.
type tries struct {
	mu  sync.Mutex // for all below
	of  map[netip.Addr]tally
	all tally
}

// tally is what was counted since a time.
type tally struct {
	since time.Time
	n     int
}

// at is a tally that begins anew when its time is over.
func (t tally) at(now time.Time, lasts time.Duration) tally {
	if t.n == 0 || now.Sub(t.since) >= lasts {
		return tally{since: now}
	}
	return t
}

// begin counts a try. One too many is not to be made: wait is after what time it may be.
func (t *tries) begin(from netip.Addr, now time.Time) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = map[netip.Addr]tally{}
	}
	from = network(from)
	own, all := t.of[from].at(now, triesTime), t.all.at(now, triesOfAllTime)
	if own.n >= triesOfAddress {
		return own.since.Add(triesTime).Sub(now)
	}
	if all.n >= triesOfAll {
		return all.since.Add(triesOfAllTime).Sub(now)
	}
	maps.DeleteFunc(t.of, func(_ netip.Addr, old tally) bool { return old.n == 0 || now.Sub(old.since) >= triesTime })
	own.n++
	all.n++
	t.of[from], t.all = own, all
	return 0
}

// succeeded takes a try back.
func (t *tries) succeeded(from netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	from = network(from)
	if own, there := t.of[from]; there && own.n > 0 {
		own.n--
		t.of[from] = own
	}
	t.all.n = max(t.all.n-1, 0)
}

// network is what one caller has of addresses: of IPv6, 64 bits are a caller's own.
func network(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); a.Is6() {
		p, _ := a.Prefix(64) // 64 bits are never too many
		return p.Addr()
	}
	return a
}

// addressOf is who a connection came from; the zero address where that is no address.
func addressOf(remote string) netip.Addr {
	a, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr()
}
