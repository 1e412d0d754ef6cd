package divergence

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"parallax"
)

// received is the first counter of a cell; the places follow in the order of
// parallax.Places.
const received = 0

// placeIndex holds the counter of each place.
var placeIndex = func() map[parallax.Place]int {
	index := make(map[parallax.Place]int, len(parallax.Places))
	for i, p := range parallax.Places {
		index[p] = i + 1
	}
	return index
}()

// The counters of the places that most exchanges pass in this room.
var (
	inLive   = placeIndex[parallax.InLive]
	inQueue  = placeIndex[parallax.InQueue]
	inSpool  = placeIndex[parallax.InSpool]
	inWorker = placeIndex[parallax.InWorker]
	inBatch  = placeIndex[parallax.InBatch]
)

// Counters behind those of the places: exchanges that were handed to workers of other processes,
// and those that workers of this one fetched from there.
var (
	handed  = len(parallax.Places) + 1
	fetched = len(parallax.Places) + 2
)

// What handed and fetched are called in the tables counts and totals.
const (
	streamIn  parallax.Place = "stream/in"
	streamOut parallax.Place = "stream/out"
)

// InStream is between processes: a mirror has handed the exchange to the workers, and none of them
// has stored what came of it. No process knows how many there are: each mirror counts what it
// hands over and each worker what it is done with, and the store has the difference. So this is
// not among [parallax.Places].
const InStream parallax.Place = "in_flight/stream"

// counters is how many counters a cell has.
var counters = len(parallax.Places) + 3

// stored lists the counters that the table counts holds. Compared exchanges are
// rows of their own, and gauges live in memory only.
var stored = func() []int {
	list := []int{received}
	for i, p := range parallax.Places {
		if g := p.Group(); g == "unmirrored" || g == "lost" {
			list = append(list, i+1)
		}
	}
	return append(list, handed, fetched)
}()

// gauges lists the counters that say how much is in flight.
var gauges = func() []int {
	var list []int
	for i, p := range parallax.Places {
		if p.Group() == "in_flight" {
			list = append(list, i+1)
		}
	}
	return list
}()

// working lists the gauges of what a worker has in hand.
var working = []int{inWorker, placeIndex[parallax.InEffects], placeIndex[parallax.InAgain], inBatch}

// reasonOf is what a counter is called in the table counts.
func reasonOf(counter int) string {
	switch counter {
	case received:
		return "received"
	case handed:
		return string(streamIn)
	case fetched:
		return string(streamOut)
	}
	return string(parallax.Places[counter-1])
}

// OtherEndpoint is what the ledger files exchanges under whose endpoint has no
// room among its bounded cells.
const OtherEndpoint = "other"

const (
	maxEntries = 4096    // services times endpoints that have totals of their own
	maxCells   = 1 << 16 // minutes times entries; about 800 bytes each
)

// entry is one service and endpoint, with its totals since the process began, and
// what flushes took of them. Entries are never removed, so that an exchange finds
// the one it entered by.
type entry struct {
	service, endpoint string
	n, taken          []int64
}

// cell is one entry in one minute. taken is the part of n that a flush took;
// what remains is not in the store yet.
type cell struct {
	entry    *entry
	minute   int64 // Unix minutes
	n, taken []int64
	dirty    bool
}

// bucket is all cells of one minute. A coarse one has a single cell a service,
// because the ledger was full when its minute began.
type bucket struct {
	minute int64 // Unix minutes
	coarse bool
	cells  map[entryKey]*cell // by what their entries are called
	last   *cell              // Fast path: that of the move before; see BenchmarkLedger
}

type entryKey struct{ service, endpoint string }

// Ledger counts every exchange by where it is: double entry, each step of an
// exchange's way one move from a place to the next, called by the code that
// takes the step. It never blocks on anything but its own mutex, which nobody
// holds while waiting for I/O, and may be used by many goroutines.
//
// It keeps totals for Prometheus, and cells by the minute that a flush takes to
// the store. Both are bounded: endpoints beyond 4 096 are counted as
// [OtherEndpoint], and when the store was away for so long that 65 536 cells
// wait for it, new minutes keep one cell a service.
type Ledger struct {
	mu      sync.Mutex
	entries map[entryKey]*entry
	buckets map[int64]*bucket
	last    *bucket // Fast path: the bucket of the exchange before; see BenchmarkLedger
	cells   int
	dirty   []*cell // with counts that no flush took
	fetches bool    // workers here work for mirrors of other processes
}

// NewLedger returns an empty ledger.
func NewLedger() *Ledger {
	return &Ledger{entries: map[entryKey]*entry{}, buckets: map[int64]*bucket{}}
}

// Enter counts an exchange as received and puts it in parallax.InLive.
func (l *Ledger) Enter(s parallax.Stamp) {
	l.mu.Lock()
	c := l.cell(s)
	c.add(received, 1)
	c.add(inLive, 1)
	l.mu.Unlock()
}

// Move takes an exchange from one place to the next. Both must be listed in
// parallax.Places; Move panics otherwise.
func (l *Ledger) Move(s parallax.Stamp, from, to parallax.Place) {
	l.move(s, mustIndex(from), mustIndex(to), 1)
}

// move takes n exchanges of one cell from one counter to another.
func (l *Ledger) move(s parallax.Stamp, from, to int, n int64) {
	l.mu.Lock()
	c := l.cell(s)
	c.add(from, -n)
	c.add(to, n)
	if parallax.Places[to-1][0] != 'i' { // not in_flight: they have ended
		l.touch(c)
	}
	l.mu.Unlock()
}

// SetAside counts an exchange of the queue that waits on disk.
func (l *Ledger) SetAside(s parallax.Stamp) { l.move(s, inQueue, inSpool, 1) }

// Found counts an exchange that a process of before had left on disk, and that it does not count
// any more.
func (l *Ledger) Found(s parallax.Stamp) {
	l.mu.Lock()
	c := l.cell(s)
	c.add(received, 1)
	c.add(inSpool, 1)
	l.mu.Unlock()
}

// Hand counts an exchange that workers of other processes can fetch, from disk or from the queue.
func (l *Ledger) Hand(s parallax.Stamp, aside bool) {
	from := inQueue
	if aside {
		from = inSpool
	}
	l.mu.Lock()
	c := l.cell(s)
	c.add(from, -1)
	c.add(handed, 1)
	l.touch(c)
	l.mu.Unlock()
}

// Fetch counts an exchange of a mirror in another process, and puts it in parallax.InWorker.
func (l *Ledger) Fetch(s parallax.Stamp) {
	l.mu.Lock()
	l.fetches = true
	c := l.cell(s)
	c.add(fetched, 1)
	c.add(inWorker, 1)
	l.mu.Unlock()
}

// Refine takes an exchange that is at a place in flight from one endpoint to
// another, as if it had been received there. The stamps differ in nothing else.
func (l *Ledger) Refine(from, to parallax.Stamp, at parallax.Place) {
	i := mustIndex(at)
	l.mu.Lock()
	for _, c := range []struct {
		*cell
		d int64
	}{{l.cell(from), -1}, {l.cell(to), 1}} {
		c.add(received, c.d) // what is in flight is not among the received ones that a flush takes
		c.add(i, c.d)
	}
	l.mu.Unlock()
}

func mustIndex(p parallax.Place) int {
	i, ok := placeIndex[p]
	if !ok {
		panic(fmt.Sprintf("divergence: place %q is not listed in parallax.Places", p))
	}
	return i
}

func (c *cell) add(counter int, d int64) {
	c.n[counter] += d
	c.entry.n[counter] += d
}

// touch notes that the cell has counts to flush.
func (l *Ledger) touch(c *cell) {
	if !c.dirty {
		c.dirty = true
		l.dirty = append(l.dirty, c)
	}
}

// cell returns the cell an exchange is filed in. The answer for one stamp stays
// the same for as long as the exchange is in flight: entries are never removed,
// a bucket is not while one of its gauges is not zero, and whether it is coarse
// is settled when it is made.
func (l *Ledger) cell(s parallax.Stamp) *cell {
	b := l.bucket(s.Received)
	if c := b.last; c != nil && c.entry.endpoint == s.Endpoint && c.entry.service == s.Service {
		return c
	}
	c := b.cells[entryKey{s.Service, s.Endpoint}]
	if c == nil {
		c = l.find(b, s)
	}
	b.last = c
	return c
}

// find returns the cell of an exchange that has none under its own endpoint yet.
func (l *Ledger) find(b *bucket, s parallax.Stamp) *cell {
	e := l.entry(s.Service, s.Endpoint)
	if b.coarse {
		e = l.other(s.Service)
	}
	key := entryKey{e.service, e.endpoint}
	c := b.cells[key]
	if c == nil {
		n := make([]int64, 2*counters)
		c = &cell{entry: e, minute: b.minute, n: n[:counters], taken: n[counters:]}
		b.cells[key] = c
		l.cells++
	}
	return c
}

func (l *Ledger) bucket(received time.Time) *bucket {
	minute := received.Unix() / 60
	if l.last != nil && l.last.minute == minute {
		return l.last
	}
	b := l.buckets[minute]
	if b == nil {
		b = &bucket{minute: minute, coarse: l.cells >= maxCells, cells: map[entryKey]*cell{}}
		l.buckets[minute] = b
	}
	l.last = b
	return b
}

func (l *Ledger) entry(service, endpoint string) *entry {
	if e := l.entries[entryKey{service, endpoint}]; e != nil {
		return e
	}
	if len(l.entries) >= maxEntries {
		return l.other(service)
	}
	return l.newEntry(service, endpoint)
}

// other returns the entry for endpoints without room. Services come from the
// configuration, so these few may pass the cap.
func (l *Ledger) other(service string) *entry {
	if e := l.entries[entryKey{service, OtherEndpoint}]; e != nil {
		return e
	}
	return l.newEntry(service, OtherEndpoint)
}

func (l *Ledger) newEntry(service, endpoint string) *entry {
	e := &entry{service: strings.Clone(service), endpoint: strings.Clone(endpoint), n: make([]int64, counters), taken: make([]int64, counters)}
	l.entries[entryKey{e.service, e.endpoint}] = e
	return e
}

// Count is one row of the table counts: how often something happened to the
// exchanges of one endpoint that were received in one minute.
type Count struct {
	Minute            time.Time
	Service, Endpoint string
	Reason            string // "received", or the place: unmirrored/..., lost/...
	N                 int64
}

// take removes up to max counts from what is unflushed, and forgets minutes that
// have nothing left to say. The caller owns the counts until the store has them.
//
// An exchange is among the received ones that are taken once it has left flight
// or is one of those leaving with the same batch. So a process that is killed
// takes whole exchanges with it, and what is stored still adds up.
func (l *Ledger) take(max int, leaving []ending) []Count {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := map[*cell]int64{}
	for _, e := range leaving {
		c := l.cell(e.stamp())
		left[c] += e.n
		l.touch(c)
	}
	var out []Count
	done := 0
	for _, c := range l.dirty {
		if len(out) >= max {
			break
		}
		out = c.take(out, left[c], l.fetches)
		done++
	}
	l.dirty = slices.Delete(l.dirty, 0, done)
	l.retire()
	return out
}

// take appends the cell's unflushed counts. Of those in flight, so many are about
// to leave; where the workers fetch, they are among what was fetched.
func (c *cell) take(out []Count, leaving int64, fetches bool) []Count {
	c.dirty = false
	inHand := c.sum(working) - leaving
	waiting := c.sum(gauges) - c.sum(working)
	if !fetches {
		waiting, inHand = waiting+inHand, 0
	}
	for _, i := range stored {
		upTo := c.n[i]
		switch i {
		case received:
			upTo -= waiting
		case fetched:
			upTo -= inHand
		}
		if d := upTo - c.taken[i]; d != 0 {
			c.taken[i] += d
			c.entry.taken[i] += d
			out = append(out, c.count(i, d))
		}
	}
	return out
}

func (c *cell) sum(list []int) (n int64) {
	for _, i := range list {
		n += c.n[i]
	}
	return n
}

func (c *cell) count(counter int, n int64) Count {
	return Count{
		Minute:  time.Unix(c.minute*60, 0).UTC(),
		Service: c.entry.service, Endpoint: c.entry.endpoint,
		Reason: reasonOf(counter), N: n,
	}
}

// retire forgets the minutes, but the two newest, in which nothing is in flight
// or unflushed.
func (l *Ledger) retire() {
	if len(l.buckets) <= 2 {
		return
	}
	var newest int64
	for minute := range l.buckets {
		newest = max(newest, minute)
	}
	for minute, b := range l.buckets {
		if minute < newest-1 && b.settled() {
			l.cells -= len(b.cells)
			delete(l.buckets, minute)
			if l.last == b {
				l.last = nil
			}
		}
	}
}

func (b *bucket) settled() bool {
	for _, c := range b.cells {
		if c.dirty {
			return false
		}
		for _, i := range gauges {
			if c.n[i] != 0 {
				return false
			}
		}
	}
	return true
}

// Abandon moves everything that is still in flight to parallax.LostShutdown, but for what other
// processes go on with: what is on disk, and what workers here had fetched, are as if they had
// never been here. It is the last thing that happens to a ledger: call it when nobody moves
// exchanges any more.
func (l *Ledger) Abandon() {
	to := mustIndex(parallax.LostShutdown)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.buckets {
		for _, c := range b.cells {
			for _, i := range gauges {
				if n := c.n[i]; n != 0 {
					c.add(i, -n)
					c.leave(i, n, to, l.fetches)
					l.touch(c)
				}
			}
		}
	}
}

// leave counts what was at a gauge when the process ends.
func (c *cell) leave(gauge int, n int64, lost int, fetches bool) {
	switch {
	case gauge == inSpool:
		c.add(received, -n)
	case fetches && slices.Contains(working, gauge):
		c.add(fetched, -n)
	default:
		c.add(lost, n)
	}
}
