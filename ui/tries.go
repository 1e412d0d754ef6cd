package ui

import (
	"maps"
	"net/netip"
	"sync"
	"time"
)

// How many logins, and how many tokens of programs, may fail. Those of all bound how many addresses there are to
// remember, too.
const (
	triesOfAddress   = 10
	triesOfAll       = 60
	bearersOfAddress = 300
	bearersOfAll     = 1000
	triesTime        = 10 * time.Minute // for those of an address
	triesOfAllTime   = time.Minute
)

// tries counts what failed, by address and of all. Each try counts before its token is looked at, so that many at once
// are no more than one after the other; one that succeeds is taken back.
type tries struct {
	ofAddress, ofAll int // that may fail

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
	if wait := t.left(from, now); wait > 0 {
		return wait
	}
	maps.DeleteFunc(t.of, func(_ netip.Addr, old tally) bool { return old.n == 0 || now.Sub(old.since) >= triesTime })
	own, all := t.of[from].at(now, triesTime), t.all.at(now, triesOfAllTime)
	own.n++
	all.n++
	t.of[from], t.all = own, all
	return 0
}

// wait is after what time an address may try again; 0 says now.
func (t *tries) wait(from netip.Addr, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.left(network(from), now)
}

// left is the same for whoever holds the lock.
func (t *tries) left(from netip.Addr, now time.Time) time.Duration {
	own, all := t.of[from].at(now, triesTime), t.all.at(now, triesOfAllTime)
	switch {
	case own.n >= t.ofAddress:
		return own.since.Add(triesTime).Sub(now)
	case all.n >= t.ofAll:
		return all.since.Add(triesOfAllTime).Sub(now)
	}
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
