package upstream

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// MaxInstances bounds the instances of one leg. Whatever else is found is left
// out, logged and counted.
const MaxInstances = 256

// Config is what a set is made of.
type Config struct {
	Targets []Target
	Policy  Policy
	Eject   Eject
	Health  Health
	// Check asks an instance how it is; nil: nothing is checked. It ends with its
	// context.
	Check func(context.Context, *Instance) error
	// Gone is told of an instance that is no longer picked; may be nil.
	Gone func(*Instance)
	Log  *slog.Logger // nil: no log
}

// Target is one of the addresses of a leg as they are written down.
type Target struct {
	URL    *url.URL // scheme and host
	Weight int      // less than 1 counts as 1
	Find   Finder   // where its instances are found; nil: URL is the instance
	// StandIn says that URL is the instance until Find has found others.
	StandIn bool
}

// Set is the instances of one leg. All its methods may be called from many
// goroutines.
type Set struct {
	list   atomic.Pointer[list]
	turn   atomic.Uint64
	policy Policy
	eject  Eject
	health Health
	check  func(context.Context, *Instance) error
	onGone func(*Instance)
	log    *slog.Logger

	targets []Target
	checks  chan struct{} // one place for each health check under way
	running context.Context
	end     context.CancelFunc
	work    sync.WaitGroup

	mu        sync.Mutex // for what follows, and the state of instances
	found     [][]Address
	instances []*Instance
	ignored   int
	answered  chan struct{} // closed when all was looked up once; nil before Start
	closed    bool
}

// New returns a set with the instances that are known without looking. Nothing
// runs before Start.
func New(cfg Config) *Set {
	s := &Set{
		policy: cfg.Policy, eject: cfg.Eject, health: cfg.Health, check: cfg.Check, onGone: cfg.Gone, log: cfg.Log,
		targets: cfg.Targets, found: make([][]Address, len(cfg.Targets)), checks: make(chan struct{}, maxChecks),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.running, s.end = context.WithCancel(context.Background())
	for n, t := range cfg.Targets {
		if t.Find == nil || t.StandIn {
			s.found[n] = []Address{{Weight: t.Weight}}
		}
	}
	s.merge()
	return s
}

// firstAnswer is how long Start waits for instances to be found.
const firstAnswer = 2 * time.Second

// Start begins to look for instances and to check their health. It returns when
// every address has been looked up once, after two seconds at the latest, or when
// ctx ends. Another call waits as well, for what the first began.
func (s *Set) Start(ctx context.Context) {
	answered := s.begin()
	if answered == nil {
		return
	}
	late := time.NewTimer(firstAnswer)
	defer late.Stop()
	select {
	case <-answered:
	case <-late.C:
	case <-ctx.Done():
	}
}

// begin does what Start waits for, once. What it returns is closed when every
// address has been looked up; it is nil for a set that was closed before.
func (s *Set) begin() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answered != nil || s.closed {
		return s.answered
	}
	answered := make(chan struct{})
	s.answered = answered
	for _, i := range s.instances {
		s.beginChecks(i)
	}
	var asked sync.WaitGroup
	for n, t := range s.targets {
		if t.Find != nil {
			asked.Add(1)
			s.work.Go(func() { s.watch(n, sync.OnceFunc(asked.Done)) })
		}
	}
	s.work.Go(func() { asked.Wait(); close(answered) })
	return answered
}

// Close ends what Start began and waits for it. What was picked goes on.
func (s *Set) Close() {
	s.mu.Lock()
	s.closed = true
	for _, i := range s.instances {
		if i.ejection.timer != nil {
			i.ejection.timer.Stop()
		}
	}
	s.mu.Unlock()
	s.end()
	s.work.Wait()
}

// Size is how many instances there are, up or not.
func (s *Set) Size() int { return len(s.list.Load().all) }

// Ignored is how many addresses are left out, because there are more than
// [MaxInstances].
func (s *Set) Ignored() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ignored
}

// Status returns how the instances are doing, in their order.
func (s *Set) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Status, len(s.instances))
	for n, i := range s.instances {
		out[n] = Status{Name: i.name, Up: i.up(), InFlight: int(i.inFlight.Load())}
		switch {
		case i.unhealthy != "":
			out[n].Reason = "health check: " + i.unhealthy
		case !i.ejection.until.IsZero():
			out[n].Reason = "ejected until " + i.ejection.until.UTC().Format(time.TimeOnly) + " UTC, after failures in a row"
		}
	}
	return out
}

// update takes what was found for a target.
func (s *Set) update(n int, found []Address) {
	found = slices.Clone(found)
	slices.SortFunc(found, compareAddresses)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || slices.Equal(s.found[n], found) {
		return
	}
	s.found[n] = found
	s.merge()
}

// merge makes the instances those that were found. Who stays keeps its state.
func (s *Set) merge() {
	before := make(map[string]*Instance, len(s.instances))
	for _, i := range s.instances {
		before[i.name] = i
	}
	var now []*Instance
	seen := make(map[string]bool)
	ignored := 0
	for n, t := range s.targets {
		for _, a := range s.found[n] {
			name := a.name(t.URL)
			switch {
			case seen[name]:
				continue
			case len(now) == MaxInstances:
				ignored++
				continue
			}
			seen[name] = true
			i := before[name]
			if i == nil {
				i = s.add(t.URL, a, name)
			}
			i.weight, i.priority = uint64(max(a.Weight, 1)), a.Priority
			delete(before, name)
			now = append(now, i)
		}
	}
	if ignored > 0 && ignored != s.ignored {
		s.log.Warn("more instances than a leg may have; the rest is ignored", "limit", MaxInstances, "ignored", ignored)
	}
	s.instances, s.ignored = now, ignored
	s.rebuild()
	for _, i := range before {
		s.remove(i)
	}
}

func (s *Set) add(target *url.URL, a Address, name string) *Instance {
	i := &Instance{url: target, addr: a.Addr, name: name, hash: xxhash.Sum64String(name), set: s}
	if a.Name != "" {
		i.url = &url.URL{Scheme: target.Scheme, Host: a.Name}
	}
	if s.answered != nil {
		s.log.Info("instance found", "instance", name)
		s.beginChecks(i)
	}
	return i
}

// remove ends an instance that is not found any more and is not in the list.
func (s *Set) remove(i *Instance) {
	s.log.Info("instance gone", "instance", i.name)
	if i.stop != nil {
		i.stop()
	}
	if i.ejection.timer != nil {
		i.ejection.timer.Stop()
	}
	i.removed = true
	if s.onGone != nil {
		s.onGone(i)
	}
}

// rebuild makes a new list of those that are up.
func (s *Set) rebuild() {
	before := s.list.Load()
	l := newList(slices.Clone(s.instances))
	s.list.Store(l)
	if l.none && (before == nil || !before.none) {
		s.log.Warn("no instance is up; all of them are used")
	}
}

// jittered is a duration up to a tenth shorter or longer, so that many Parallaxes
// do not ask at the same time.
func jittered(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)*0.2*float64(d))
}

// sleep waits and reports whether it was for the whole time.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
