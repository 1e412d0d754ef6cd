package divergence

import (
	"time"

	"parallax"
)

// Balance is what the ledger holds and the store does not: counts that no flush
// took, and what is in flight, of one service by endpoint.
type Balance map[string]map[parallax.Place]int64

// Received is the key of a Balance for exchanges received.
const Received parallax.Place = "received"

func (b Balance) add(endpoint string, p parallax.Place, n int64) {
	if n == 0 {
		return
	}
	m := b[endpoint]
	if m == nil {
		m = map[parallax.Place]int64{}
		b[endpoint] = m
	}
	m[p] += n
}

// Unflushed returns the balance of a service in a window, read at one instant.
func (l *Ledger) Unflushed(service string, w Window) Balance {
	out := Balance{}
	for e, sums := range l.sumCells(service, w.minutes()) {
		for _, i := range stored {
			out.add(e.endpoint, parallax.Place(reasonOf(i)), sums[i])
		}
		for _, i := range gauges {
			out.add(e.endpoint, parallax.Places[i-1], sums[i])
		}
	}
	return out
}

// sumCells adds up n - taken of the cells in a window. It does no more than that
// under the lock, which callers wait for.
func (l *Ledger) sumCells(service string, w Window) map[*entry][]int64 {
	out := map[*entry][]int64{}
	add := func(e *entry, n, taken []int64) {
		sums := out[e]
		if sums == nil {
			sums = make([]int64, counters)
			out[e] = sums
		}
		for i := range sums {
			sums[i] += n[i] - taken[i]
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if w == (Window{}) { // Fast path: totals, however many minutes wait; see BenchmarkUnflushed
		for _, e := range l.entries {
			if e.service == service {
				add(e, e.n, e.taken)
			}
		}
		return out
	}
	for _, b := range l.buckets {
		if !w.holds(time.Unix(b.minute*60, 0)) {
			continue
		}
		for _, c := range b.cells {
			if c.entry.service == service {
				add(c.entry, c.n, c.taken)
			}
		}
	}
	return out
}

// Totals returns the accounting of a service since the process began, from
// memory alone; it is there while the store is away. An empty service means all.
func (l *Ledger) Totals(service string) Accounting {
	sums := make([]int64, counters)
	l.mu.Lock()
	for _, e := range l.entries {
		if service != "" && e.service != service {
			continue
		}
		for i, n := range e.n {
			sums[i] += n
		}
	}
	l.mu.Unlock()
	a := newAccounting()
	a.add(Received, sums[received])
	for i, p := range parallax.Places {
		if n := sums[i+1]; n != 0 {
			a.add(p, n)
		}
	}
	a.add(streamIn, sums[handed])
	a.add(streamOut, sums[fetched])
	return a
}

// InFlight returns how many exchanges of a service are in a place; an empty
// service means all.
func (l *Ledger) InFlight(service string, p parallax.Place) int64 {
	i := mustIndex(p)
	var n int64
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if service == "" || e.service == service {
			n += e.n[i]
		}
	}
	return n
}

func newAccounting() Accounting {
	return Accounting{
		Unmirrored: map[string]int64{},
		Compared: map[string]int64{
			parallax.ComparedMatch.Reason():         0,
			parallax.ComparedDiverged.Reason():      0,
			parallax.ComparedNotComparable.Reason(): 0,
		},
		Lost: map[string]int64{},
		At:   map[string]int64{},
	}
}

// add files n exchanges under a place.
func (a *Accounting) add(p parallax.Place, n int64) {
	switch {
	case p == Received:
		a.Received += n
	case p.Group() == "unmirrored":
		a.Unmirrored[p.Reason()] += n
	case p.Group() == "compared":
		a.Compared[p.Reason()] += n
	case p.Group() == "lost":
		a.Lost[p.Reason()] += n
	case p == streamIn:
		a.add(InStream, n)
	case p == streamOut:
		a.add(InStream, -n)
	case p.Group() == "in_flight" && n != 0:
		a.InFlight += n
		a.At[p.Reason()] += n
	}
}
