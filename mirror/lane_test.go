package mirror

import (
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"parallax"
)

func testLanes() *lanes { return newLanes(NewMetrics(nil).lanesOf("shop")) }

func legsNamed(names ...parallax.Leg) (legs []*leg) {
	for _, name := range names {
		legs = append(legs, &leg{name: name})
	}
	return legs
}

// empty fails the test unless nothing is left of what was under way.
func (ls *lanes) empty(t *testing.T) {
	t.Helper()
	for i := range ls.shards {
		if n := len(ls.shards[i].users); n != 0 {
			t.Errorf("shard %d remembers %d users", i, n)
		}
	}
	if n := ls.users.Load(); n != 0 {
		t.Errorf("%d users are counted", n)
	}
	for l := range ls.all {
		if r, b := ls.all[l].requests.Load(), ls.all[l].bytes.Load(); r != 0 || b != 0 || testutil.ToFloat64(ls.depth[l]) != 0 {
			t.Errorf("%s: %d requests, %d bytes, depth %v", parallax.Leg(l), r, b, testutil.ToFloat64(ls.depth[l]))
		}
	}
}

// modelled is an exchange as the brute-force check sees it: when things happened,
// in steps of a clock, 0 for not yet.
type modelled struct {
	v                 *visit
	user              int
	entered, answered int
	legs              []parallax.Leg
	asked, over       [parallax.Legs]int
	ready             [parallax.Legs]<-chan bool
	granted           [parallax.Legs]bool
}

// model runs random steps on lanes and checks after each what the definition of
// happened-before says, with all pairs.
type model struct {
	t      *testing.T
	random *rand.Rand
	lanes  *lanes
	clock  int
	all    []*modelled
}

func TestLanesKeepWhatHappenedBefore(t *testing.T) {
	t.Parallel()
	for seed := range int64(60) {
		m := &model{t: t, random: rand.New(rand.NewSource(seed)), lanes: testLanes()}
		for range 400 {
			m.clock++
			m.step()
			m.check()
			if t.Failed() {
				t.Fatalf("seed %d, step %d", seed, m.clock)
			}
		}
		for _, x := range m.all {
			x.v.leave()
		}
		m.lanes.empty(t)
	}
}

func (m *model) step() {
	open := slices.DeleteFunc(slices.Clone(m.all), func(x *modelled) bool { return x.v.closed })
	if m.random.Intn(8+len(open)) < 8 {
		m.enter()
		return
	}
	x := open[m.random.Intn(len(open))]
	l := x.legs[m.random.Intn(len(x.legs))]
	switch m.random.Intn(7) {
	case 0, 1:
		if x.answered == 0 {
			x.answered = m.clock
		}
		x.v.answered(0)
	case 2, 3, 4:
		if x.asked[l] == 0 && x.over[l] == 0 {
			m.ask(x, l)
		}
	case 5:
		if x.over[l] == 0 {
			x.over[l] = m.clock
		}
		x.v.end(l)
	case 6:
		if m.random.Intn(5) == 0 {
			m.leave(x)
		}
	}
}

func (m *model) enter() {
	x := &modelled{user: m.random.Intn(3), entered: m.clock, legs: []parallax.Leg{parallax.Candidate}}
	if m.random.Intn(2) == 0 {
		x.legs = append(x.legs, parallax.Secondary)
	}
	if x.v = m.lanes.enter(laneKey{0: byte(x.user)}, legsNamed(x.legs...), 1<<20); x.v == nil {
		m.t.Fatal("there is no lane")
	}
	m.all = append(m.all, x)
}

func (m *model) ask(x *modelled, l parallax.Leg) {
	ready, ok := x.v.ask(l, 1)
	if !ok {
		x.over[l] = m.clock
		return
	}
	x.asked[l], x.ready[l], x.granted[l] = m.clock, ready, ready == nil
}

func (m *model) leave(x *modelled) {
	if x.answered == 0 {
		x.answered = m.clock
	}
	for _, l := range x.legs {
		if x.over[l] == 0 {
			x.over[l] = m.clock
		}
	}
	x.v.leave()
}

// check compares all pairs: who may go, and who overlapped.
func (m *model) check() {
	for _, b := range m.all {
		overlapped := false
		for _, a := range m.all {
			if a != b && a.user == b.user && (a.answered == 0 || a.answered > b.entered) && (b.answered == 0 || b.answered > a.entered) {
				overlapped = true
			}
		}
		if got := b.v.concurrent(); got != overlapped {
			m.t.Errorf("exchange of step %d: concurrent %t, want %t", b.entered, got, overlapped)
		}
		for _, l := range b.legs {
			m.checkTurn(b, l)
		}
	}
}

func (m *model) checkTurn(b *modelled, l parallax.Leg) {
	if b.asked[l] == 0 || b.over[l] != 0 {
		return
	}
	if b.ready[l] != nil && !b.granted[l] {
		select {
		case b.granted[l] = <-b.ready[l]:
		default:
		}
	}
	first := true
	for _, a := range m.all {
		if a.user == b.user && a.on(l) && a.answered != 0 && a.answered < b.entered && a.over[l] == 0 {
			first = false
		}
	}
	if b.granted[l] != first {
		m.t.Errorf("exchange of step %d on the %s: goes %t, want %t", b.entered, l, b.granted[l], first)
	}
}

func (x *modelled) on(l parallax.Leg) bool { return slices.Contains(x.legs, l) }

// Many users at once, each with overlapping requests, all on real goroutines: no
// request goes before one that was answered before it came is over.
func TestLanesUnderConcurrency(t *testing.T) {
	t.Parallel()
	const users, workers, each = 8, 4, 150
	ls := testLanes()
	var clock, dropped atomic.Int64
	var all sync.WaitGroup
	for u := range users {
		var mu sync.Mutex
		answered := map[int]int64{} // exchange to when it was answered
		ended := map[int]bool{}
		var next int
		for w := range workers {
			random := rand.New(rand.NewSource(int64(u*workers + w)))
			all.Go(func() {
				for range each {
					mu.Lock()
					id := next
					next++
					mu.Unlock()
					came := clock.Add(1)
					v := ls.enter(laneKey{0: byte(u), 1: 7}, legsNamed(parallax.Candidate), 1<<20)
					if random.Intn(2) == 0 {
						v.answered(0)
						mu.Lock()
						answered[id] = clock.Add(1)
						mu.Unlock()
					}
					ready, ok := v.ask(parallax.Candidate, 10)
					if ok && ready != nil {
						ok = <-ready
					}
					mu.Lock()
					for a, at := range answered {
						if ok && at < came && !ended[a] {
							t.Errorf("user %d: exchange %d, which came at %d, goes before %d, answered at %d, is over", u, id, came, a, at)
						}
					}
					if !ok {
						dropped.Add(1)
					}
					ended[id] = true
					mu.Unlock()
					v.end(parallax.Candidate)
					v.leave()
				}
			})
		}
	}
	all.Wait()
	ls.empty(t)
	if dropped.Load() > 0 {
		t.Errorf("%d turns were dropped, with %d requests at once", dropped.Load(), workers)
	}
}

// A lane that falls behind drops, and no other lane pays for it.
func TestLanesAreBounded(t *testing.T) {
	t.Parallel()
	const unit = 1000
	candidate := legsNamed(parallax.Candidate)
	behind := func(ls *lanes, user byte) *visit {
		v := ls.enter(laneKey{0: user, 1: user}, candidate, unit)
		if _, ok := v.ask(parallax.Candidate, 0); !ok {
			t.Fatal("the first of a lane has to wait")
		}
		v.answered(0)
		return v
	}
	t.Run("requests of one user", func(t *testing.T) {
		t.Parallel()
		ls := testLanes()
		first := behind(ls, 1)
		var dropped int
		var visits []*visit
		for range laneDepth + 10 {
			v := ls.enter(laneKey{1, 1}, candidate, unit)
			if _, ok := v.ask(parallax.Candidate, 1); !ok {
				dropped++
			}
			v.answered(1)
			visits = append(visits, v)
		}
		if dropped != 10 || testutil.ToFloat64(ls.depth[parallax.Candidate]) != laneDepth {
			t.Errorf("%d dropped, %v wait", dropped, testutil.ToFloat64(ls.depth[parallax.Candidate]))
		}
		other := behind(ls, 2)
		other.leave()
		first.leave()
		for _, v := range visits {
			v.leave()
		}
		ls.empty(t)
	})
	t.Run("what is remembered of the dropped", func(t *testing.T) {
		t.Parallel()
		ls := testLanes()
		first := behind(ls, 1)
		var waiting []*visit
		for range laneDepth {
			v := ls.enter(laneKey{1, 1}, candidate, unit)
			v.ask(parallax.Candidate, 1)
			v.answered(0)
			waiting = append(waiting, v)
		}
		for range 10_000 { // as copies from another proxy are: answered, and then asked for
			v := ls.enter(laneKey{1, 1}, candidate, unit)
			v.answered(0)
			if _, ok := v.ask(parallax.Candidate, 1); ok {
				t.Fatal("there is room for more than may wait")
			}
		}
		if n := len(first.user.legs[parallax.Candidate].answered); n > 1+laneDepth {
			t.Errorf("%d turns are remembered, %d are not over", n, 1+laneDepth)
		}
		for _, v := range append(waiting, first) {
			v.leave()
		}
		ls.empty(t)
	})
	t.Run("bytes", func(t *testing.T) {
		t.Parallel()
		ls := testLanes()
		first := behind(ls, 1)
		a := ls.enter(laneKey{1, 1}, candidate, unit)
		ready, ok := a.ask(parallax.Candidate, 3*unit)
		b := ls.enter(laneKey{1, 1}, candidate, unit)
		if _, fits := b.ask(parallax.Candidate, 2*unit); !ok || fits {
			t.Errorf("room for the first: %t, for the second: %t", ok, fits)
		}
		a.answered(2 * unit) // its answer is too long to be kept for so long
		if granted := <-ready; granted {
			t.Error("a turn that had no room for its answer is granted")
		}
		for _, v := range []*visit{first, a, b} {
			v.leave()
		}
		ls.empty(t)
	})
	t.Run("all users together", func(t *testing.T) {
		t.Parallel()
		ls := testLanes()
		var visits []*visit
		waiting := 0
		for user := 0; waiting < lanesDepth; user++ {
			key := laneKey{byte(user), byte(user >> 8)}
			for i := range 1 + laneDepth {
				v := ls.enter(key, candidate, 1<<20)
				if _, ok := v.ask(parallax.Candidate, 1); !ok {
					t.Fatalf("user %d, request %d: no room", user, i)
				}
				v.answered(0)
				visits = append(visits, v)
			}
			waiting += laneDepth
		}
		late := behind(ls, 255)
		v := ls.enter(laneKey{255, 255}, candidate, 1<<20)
		if _, ok := v.ask(parallax.Candidate, 1); ok {
			t.Errorf("%d wait, and there is room for another", waiting)
		}
		for _, v := range append(visits, late, v) {
			v.leave()
		}
		ls.empty(t)
	})
	t.Run("users", func(t *testing.T) {
		t.Parallel()
		ls := testLanes()
		var visits []*visit
		for i := range maxLanes {
			visits = append(visits, ls.enter(laneKey{byte(i), byte(i >> 8), byte(i >> 16)}, candidate, unit))
		}
		if v := ls.enter(laneKey{15: 1}, candidate, unit); v != nil {
			t.Errorf("there is a lane beyond %d", maxLanes)
		}
		if v := ls.enter(laneKey{}, candidate, unit); v == nil {
			t.Error("a user who has lanes finds none")
		} else {
			v.leave()
		}
		for _, v := range visits {
			v.leave()
		}
		ls.empty(t)
	})
}

// What is kept in order costs an exchange one turn a leg, and others nothing.
func BenchmarkLanes(b *testing.B) {
	for _, users := range []int{1, 1000} {
		b.Run(fmt.Sprint(users), func(b *testing.B) {
			ls, legs := testLanes(), legsNamed(parallax.Candidate)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				v := ls.enter(laneKey{byte(i % users), byte(i % users >> 8)}, legs, 1<<20)
				v.ask(parallax.Candidate, 1)
				v.answered(1)
				v.end(parallax.Candidate)
			}
		})
	}
}
