package spool

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parallax"
)

// Key is a keyed hash: of a user, or of what a request is about. The zero Key as a lane
// is that of all whose users are not known.
type Key = [16]byte

// Entity is what a write is about. Below says that what lies below it is too.
type Entity struct {
	Key   Key
	Below bool
}

// Lag says how a leg's state is behind, as far as a request is concerned.
type Lag string

// The ways to be behind.
const (
	Level   Lag = ""        // it is not
	Behind  Lag = "behind"  // writes of its lane wait to be caught up
	Tainted Lag = "tainted" // a write of its user, or to what it is about, will never be
)

// Figures is what a spool holds.
type Figures struct {
	Waiting int   // writes that are to be caught up
	Bytes   int64 // that they take
	Tainted int   // users and entities
	All     bool  // the leg is tainted as a whole

	Lost   int       // writes that it will never get, though callers were told that they are done
	Oldest time.Time // since when the first has waited; zero for none
}

// maxUnwritten bounds the bytes on their way to disk.
const maxUnwritten = 64 << 20

// Spool holds what one leg of one service has missed. Its methods may be called
// from any goroutine; none but [Spool.Next] and those of [Write] waits for the disk.
type Spool struct {
	dir   string
	box   cipher.AEAD
	bound []byte
	now   func() time.Time
	log   *slog.Logger
	any   atomic.Bool // something lags; false lets requests through without the lock

	mu        sync.Mutex
	max       int64
	bytes     int64 // on disk, and on their way there
	unwritten int64
	number    uint64
	waiting   int
	lanes     map[Key]*lane
	ready     []*lane
	tainted   taints
	lost      lost
	own       *journal
	journals  []*journal // that have writes left
	jobs      []func()
	closed    bool

	hasReady chan struct{}
	hasJobs  chan struct{}
	over     chan struct{}
}

// lane is the writes of one user, the oldest first.
type lane struct {
	key    Key
	queue  []*Place
	busy   bool // its first write is being caught up
	listed bool // it is among those that are ready
}

// Place is the place of a write in its lane. Exactly one of its methods is to be called.
type Place struct {
	spool  *Spool
	lane   *lane
	about  Entity
	number uint64
	order  int64 // when the write came in, as Unix nanoseconds; its number, of one that cannot be decoded

	journal  *journal // nil: not on disk
	at, size int64
	tries    int
}

// Open returns the spool in a folder, which is made, with what earlier processes left
// there. secret is 32 bytes; name is that of the service and the leg.
func Open(dir, name string, secret []byte, max int64, now func() time.Time, log *slog.Logger) (*Spool, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("cannot open the spool of %s: %w", name, err)
	}
	box, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("cannot open the spool of %s: %w", name, err)
	}
	s := &Spool{
		dir: dir, box: box, bound: []byte(name), now: now, log: log, max: max, lanes: map[Key]*lane{},
		hasReady: make(chan struct{}, 1), hasJobs: make(chan struct{}, 1), over: make(chan struct{}),
	}
	if err := s.countLost(); err != nil {
		return nil, fmt.Errorf("cannot read which writes %s will never get: %w", name, err)
	}
	if err := s.TakeOver(); err != nil {
		return nil, fmt.Errorf("cannot read the writes that %s has missed, and do not guess what its state lacks: %w; move %q away and copy the leg's database anew", name, err, dir)
	}
	s.refresh()
	go s.work()
	return s, nil
}

// SetMax bounds the bytes on disk. What is there already stays.
func (s *Spool) SetMax(bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.max = bytes
}

// Lag says how the leg's state is behind as far as a request of a lane is concerned.
// about names what it is about: the first of them itself, then what lies above.
func (s *Spool) Lag(key Key, about []Entity) Lag {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.lanes[key] != nil:
		return Behind
	case s.tainted.holds(key, about):
		return Tainted
	}
	return Level
}

// Any reports whether anything was missed that the leg has not got, at no cost.
func (s *Spool) Any() bool { return s.any.Load() }

// Behind reports whether a write of a lane that came in at some time has to go behind others:
// those that came in before it.
func (s *Spool) Behind(key Key, received time.Time) bool {
	if !s.Any() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[key]
	return l != nil && slices.ContainsFunc(l.queue[:min(len(l.queue), 2)], func(p *Place) bool { return p.order <= received.UnixNano() })
}

// Figures returns what the spool holds.
func (s *Spool) Figures() Figures {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Figures{Waiting: s.waiting, Bytes: s.bytes, Tainted: s.tainted.count(), All: s.tainted.all, Lost: s.lost.writes, Oldest: s.oldest()}
}

// Reserve takes a place in a lane for a write that is about something, behind those that came in
// before it.
func (s *Spool) Reserve(key Key, about Entity, received time.Time) *Place {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number = max(s.number+1, uint64(s.now().UnixNano()))
	p := &Place{spool: s, about: about, number: s.number, order: received.UnixNano()}
	s.enqueue(key, p)
	return p
}

// enqueue puts a place into its lane, in the order in which writes came in. The lock is held.
func (s *Spool) enqueue(key Key, p *Place) {
	l := s.lanes[key]
	if l == nil {
		l = &lane{key: key}
		s.lanes[key] = l
	}
	p.lane = l
	i, _ := slices.BinarySearchFunc(l.queue, p, func(q, p *Place) int {
		return cmp.Or(cmp.Compare(q.order, p.order), cmp.Compare(q.number, p.number))
	})
	if l.busy {
		i = max(i, 1)
	}
	l.queue = slices.Insert(l.queue, i, p)
	s.waiting++
	s.refresh()
}

// refresh says whether anything lags. The lock is held.
func (s *Spool) refresh() {
	s.any.Store(len(s.lanes) > 0 || s.tainted.count() > 0)
}

// Keep puts the write into its place: an exchange with the caller's request as the
// leg's call. If there is no room it is tainted, and reported false.
func (p *Place) Keep(x *parallax.Exchange) bool {
	s, size := p.spool, weigh(x)
	s.mu.Lock()
	full := s.closed || s.bytes+size > s.max || s.unwritten+size > maxUnwritten || size > maxRecord
	if !full {
		s.bytes += size
		s.unwritten += size
		p.size = size
		s.do(func() { p.write(x, size) })
	}
	s.mu.Unlock()
	if full {
		p.Taint("no room in the spool")
	}
	return !full
}

// weigh is about how long the encoding of an exchange is.
func weigh(x *parallax.Exchange) int64 {
	size := int64(512)
	for _, c := range x.Legs {
		if c == nil {
			continue
		}
		size += int64(len(c.Request.Body.Bytes) + len(c.Response.Body.Bytes) + len(c.Request.Target) + 256)
		for _, fields := range [][]parallax.Field{c.Request.Headers, c.Response.Headers} {
			for _, f := range fields {
				size += int64(len(f.Name) + len(f.Value) + 8)
			}
		}
	}
	return size
}

// write puts the write on disk, in the spool's own goroutine.
func (p *Place) write(x *parallax.Exchange, guess int64) {
	s := p.spool
	content := append(append(append(make([]byte, 0, guess), p.lane.key[:]...), p.about.Key[:]...), 0)
	if p.about.Below {
		content[32] = 1
	}
	content = parallax.AppendExchange(content, x)
	s.mu.Lock()
	j, err := s.journal()
	s.mu.Unlock()
	var at, size int64
	if err == nil {
		at, size, err = j.append(s.box, s.bound, kept, p.number, content)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unwritten -= guess
	s.bytes -= guess
	if err != nil {
		s.log.Error("cannot keep a write that the leg has missed", "error", err)
		if j != nil {
			s.release(j)
		}
		p.size = 0
		s.taint(p.about, p.lane.key, "the disk would not take it")
		s.leave(p)
		return
	}
	s.bytes += size
	p.journal, p.at, p.size = j, at, size
	s.list(p.lane)
}

// journal returns the process's own, with one more write to come. The lock is held.
func (s *Spool) journal() (*journal, error) {
	if s.own == nil {
		if err := os.MkdirAll(s.dir, 0o700); err != nil {
			return nil, err
		}
		j, err := create(filepath.Join(s.dir, fmt.Sprintf("%d-%d.spool", s.now().UnixNano(), os.Getpid())))
		if err != nil {
			return nil, err
		}
		s.own = j
		s.journals = append(s.journals, j)
	}
	s.own.left++
	return s.own, nil
}

// release ends one write of a journal, which goes with its last. The lock is held.
func (s *Spool) release(j *journal) {
	if j.left--; j.left > 0 {
		return
	}
	if j == s.own {
		s.own = nil
	}
	s.journals = slices.DeleteFunc(s.journals, func(o *journal) bool { return o == j })
	s.do(func() {
		if err := j.remove(); err != nil {
			s.log.Error("cannot remove a spool whose writes are all over", "error", err)
		}
	})
}

// Drop gives the place back: the leg has not missed the write after all.
func (p *Place) Drop() {
	s := p.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(p)
}

// Taint gives the write up: the leg will never get it.
func (p *Place) Taint(why string) {
	s := p.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taint(p.about, p.lane.key, why)
	s.leave(p)
}

// taint notes that the state of a user, or what a write of nobody known is about, is
// another for good. The lock is held.
func (s *Spool) taint(about Entity, user Key, why string) {
	if user != (Key{}) {
		about = Entity{Key: user}
	}
	if fresh := s.tainted.add(about); !s.tainted.again.take(about.Key, s.tainted.all) && !fresh {
		return
	}
	text := line(about, s.tainted.all, s.now().UTC().Format(time.RFC3339)+" "+why)
	s.do(func() {
		if err := s.writeLine(s.taintsFile(), text); err != nil {
			s.log.Error("what the leg's state lacks would not outlive this process", "error", err)
		}
	})
}

// leave takes a place out of its lane. The lock is held.
func (s *Spool) leave(p *Place) {
	l := p.lane
	l.queue = slices.DeleteFunc(l.queue, func(q *Place) bool { return q == p })
	s.waiting--
	if p.journal != nil {
		s.bytes -= p.size
		s.release(p.journal)
	}
	if len(l.queue) == 0 {
		delete(s.lanes, l.key)
	}
	s.list(l)
	s.refresh()
}

// list puts a lane among those that are ready, if its first write is on disk and not
// being caught up. The lock is held.
func (s *Spool) list(l *lane) {
	if l.busy || l.listed || len(l.queue) == 0 || l.queue[0].journal == nil {
		return
	}
	l.listed = true
	s.ready = append(s.ready, l)
	signal(s.hasReady)
}

// do has the spool's goroutine do something, which takes no lock of the spool's once
// that is closed. The lock is held.
func (s *Spool) do(job func()) {
	if s.closed {
		job()
		return
	}
	s.jobs = append(s.jobs, job)
	signal(s.hasJobs)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// every is how often journals are synced and those of others looked for.
const every = time.Second

// work does the jobs until the spool is closed.
func (s *Spool) work() {
	defer close(s.over)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-s.hasJobs:
		case <-tick.C:
			s.sync()
			if err := s.TakeOver(); err != nil {
				s.log.Error("cannot take over the writes that another process left", "error", err)
			}
		}
		for job, closed := s.nextJob(); job != nil || closed; job, closed = s.nextJob() {
			if job == nil {
				s.sync()
				return
			}
			job()
		}
	}
}

func (s *Spool) nextJob() (job func(), closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.jobs) == 0 {
		return nil, s.closed
	}
	job = s.jobs[0]
	s.jobs = s.jobs[1:]
	return job, false
}

func (s *Spool) sync() {
	s.mu.Lock()
	all := slices.Clone(s.journals)
	s.mu.Unlock()
	for _, j := range all {
		if err := j.sync(); err != nil && !errors.Is(err, os.ErrClosed) {
			s.log.Error("cannot sync a spool", "error", err)
		}
	}
}

// Close writes what is on its way to disk and lets go of the journals, which the next
// process takes over. What is kept afterwards is tainted.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	signal(s.hasJobs)
	s.mu.Unlock()
	<-s.over
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for _, j := range s.journals {
		err = errors.Join(err, j.close())
	}
	return err
}
