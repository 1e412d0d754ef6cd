package mirror

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"parallax"
)

func TestWaterLevel(t *testing.T) {
	t.Parallel()
	f := func(budget, want float64, wants ...float64) {
		t.Helper()
		if got := waterLevel(wants, budget); got != want {
			t.Errorf("budget %v among %v: level %v, want %v", budget, wants, got, want)
		}
	}
	f(10, math.Inf(1))
	f(10, math.Inf(1), 4, 6)
	f(10, 8, 100, 2)
	f(10, 5, 100, 100)
	f(12, 5, 5, 100, 2)
	f(1, 0.25, 9, 9, 9, 9)
}

// TestWaterLevelIsFair: what is poured is the budget, nobody gets more than the
// level or than wanted, and who gets less than wanted gets the level.
func TestWaterLevelIsFair(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		wants := make([]float64, 1+random.IntN(40))
		total := 0.0
		for i := range wants {
			wants[i] = math.Exp(random.NormFloat64() * 3)
			total += wants[i]
		}
		budget := total * random.Float64() * 1.2
		level := waterLevel(wants, budget)
		poured := 0.0
		for _, w := range wants {
			poured += min(w, level)
		}
		if want := min(budget, total); math.Abs(poured-want) > 1e-9*want {
			t.Fatalf("budget %v of %v: %v is poured at level %v", budget, total, poured, level)
		}
	}
}

// stream is the traffic of one endpoint in a simulation.
type stream struct {
	perSecond func(at time.Duration) float64
	owed      bool
	endpoint  *endpoint

	arrived, taken int
	since          time.Duration // from when on it is counted
}

// simulate sends the loads' traffic, Poisson in steps of a millisecond, through a
// pacer, and returns when exchanges were taken.
func simulate(t *testing.T, o Options, seed uint64, lasts time.Duration, loads ...*stream) []time.Duration {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 7))
	p := newPacer(o)
	for i, l := range loads {
		l.endpoint = &endpoint{name: fmt.Sprint("GET /", i), endpointPolicy: endpointPolicy{sample: 1}}
		p.add(l.endpoint)
	}
	start := time.Unix(1_795_000_000, 0)
	var taken []time.Duration
	for at := time.Duration(0); at < lasts; at += time.Millisecond {
		var now []*stream
		for _, l := range loads {
			for range poisson(random, l.perSecond(at)/1000) {
				now = append(now, l)
			}
		}
		random.Shuffle(len(now), func(i, j int) { now[i], now[j] = now[j], now[i] })
		for _, l := range now {
			var id parallax.ID
			for i := range id {
				id[i] = byte(random.Uint32())
			}
			ok := p.take(l.endpoint, id, l.owed, start.Add(at))
			if ok {
				taken = append(taken, at)
			}
			if at >= l.since {
				l.arrived++
				if ok {
					l.taken++
				}
			}
		}
	}
	return taken
}

// poisson draws how many of a mean come (Knuth's product of uniforms).
func poisson(random *rand.Rand, mean float64) int {
	n, limit := 0, math.Exp(-mean)
	for p := random.Float64(); p > limit; p *= random.Float64() {
		n++
	}
	return n
}

func steady(rate float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return rate }
}

// most returns the largest number of events within any span of this length.
func most(events []time.Duration, within time.Duration) int {
	out := 0
	for i, at := range events {
		j, _ := slices.BinarySearch(events, at+within)
		out = max(out, j-i)
	}
	return out
}

func TestBudgetIsKeptWhateverComes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 1))
		o := DefaultOptions()
		o.MaxRPS = math.Exp(random.Float64() * 7) // 1 to 1100
		o.Adaptive = seed%2 == 0
		var loads []*stream
		for range 1 + random.IntN(12) {
			rate, burst := math.Exp(random.Float64()*6), time.Duration(1+random.IntN(3))*time.Second
			loads = append(loads, &stream{perSecond: func(at time.Duration) float64 {
				if at/burst%2 == 0 {
					return rate
				}
				return rate * 5
			}})
		}
		taken := simulate(t, o, seed, 12*time.Second, loads...)
		for _, within := range []time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second} {
			if got, bound := most(taken, within), o.MaxRPS*(within.Seconds()+0.25)+3; float64(got) > bound {
				t.Errorf("seed %d, %.1f a second, adaptive %t: %d within %v, want at most %.1f", seed, o.MaxRPS, o.Adaptive, got, within, bound)
			}
		}
	}
}

func TestRareEndpointsAreMirroredWhole(t *testing.T) {
	t.Parallel()
	o := DefaultOptions()
	o.MaxRPS, o.Adaptive = 100, true
	warm := 5 * time.Second
	common := &stream{perSecond: steady(2000), since: warm}
	second := &stream{perSecond: steady(600), since: warm}
	rare := []*stream{{perSecond: steady(10), since: warm}, {perSecond: steady(3), since: warm}, {perSecond: steady(0.5), since: warm}}
	simulate(t, o, 3, 65*time.Second, append(rare, common, second)...)
	for _, l := range rare {
		if float64(l.taken) < 0.99*float64(l.arrived) {
			t.Errorf("of a rare endpoint %d of %d are mirrored, want all", l.taken, l.arrived)
		}
	}
	a, b := float64(common.taken), float64(second.taken)
	if a < 30*60 || b < 30*60 || math.Abs(a-b) > 0.2*(a+b)/2 {
		t.Errorf("two common endpoints got %v and %v in 60 s, want about 43 a second each", a, b)
	}
}

// TestNobodyStarves: with more endpoints than the budget has room for, each is
// still mirrored at times.
func TestNobodyStarves(t *testing.T) {
	t.Parallel()
	o := DefaultOptions()
	o.MaxRPS, o.Adaptive = 20, true
	var loads []*stream
	for i := range 60 {
		loads = append(loads, &stream{perSecond: steady(float64(1 + i))})
	}
	simulate(t, o, 5, 60*time.Second, loads...)
	fewest := slices.MinFunc(loads, func(a, b *stream) int { return cmp.Compare(a.taken, b.taken) })
	if fewest.taken < 5 { // a fair share is 20 in 60 s
		t.Errorf("an endpoint with %d arrivals was mirrored %d times in a minute", fewest.arrived, fewest.taken)
	}
}

// TestWhatIsOwedIsNeverLeftOut: writes a leg's own database must not miss use up
// the budget and leave some of it.
func TestWhatIsOwedIsNeverLeftOut(t *testing.T) {
	t.Parallel()
	o := DefaultOptions()
	o.MaxRPS, o.Adaptive = 100, true
	f := func(writes float64, least, most int) {
		t.Helper()
		owed, reads := &stream{perSecond: steady(writes), owed: true}, &stream{perSecond: steady(500), since: 5 * time.Second}
		simulate(t, o, 9, 35*time.Second, owed, reads)
		if owed.taken != owed.arrived || reads.taken < least || reads.taken > most {
			t.Errorf("beside %v writes a second: %d of %d writes and %d reads in 30 s, want all and %d to %d", writes, owed.taken, owed.arrived, reads.taken, least, most)
		}
	}
	f(0, 2500, 3000)
	f(60, 800, 1300)
	f(5, 2300, 2900)
}

func TestAnEndpointThatTurnsCommonIsThinnedAtOnce(t *testing.T) {
	t.Parallel()
	o := DefaultOptions()
	o.MaxRPS, o.Adaptive = 100, true
	surge := &stream{perSecond: func(at time.Duration) float64 {
		if at < 10*time.Second {
			return 5
		}
		return 1000
	}, since: 10 * time.Second}
	rare := &stream{perSecond: steady(20), since: 10 * time.Second}
	simulate(t, o, 11, 20*time.Second, surge, rare, &stream{perSecond: steady(200)})
	if surge.taken > 700 || float64(rare.taken) < 0.9*float64(rare.arrived) {
		t.Errorf("in the 10 s of a surge %d of it and %d of %d rare requests are mirrored, want at most 700 and nearly all", surge.taken, rare.taken, rare.arrived)
	}
}

func BenchmarkPace(b *testing.B) {
	f := func(name string, adaptive bool, endpoints int) {
		b.Run(name, func(b *testing.B) {
			o := DefaultOptions()
			o.MaxRPS, o.Adaptive = 1e6, adaptive
			p := newPacer(o)
			all := make([]*endpoint, endpoints)
			for i := range all {
				all[i] = &endpoint{name: fmt.Sprint("GET /", i), endpointPolicy: endpointPolicy{sample: 1}}
				p.add(all[i])
			}
			b.ReportAllocs()
			var id parallax.ID
			for i := 0; b.Loop(); i++ {
				p.take(all[i%endpoints], id, false, time.Now())
			}
		})
	}
	f("bound", false, 1)
	f("adaptive/300", true, 300)
}

// TestClockThatIsSet: a wall clock that jumps, either way, stops mirroring for no
// longer than a moment, and the shares are divided anew.
func TestClockThatIsSet(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{-time.Hour, time.Hour} {
		for _, adaptive := range []bool{false, true} {
			o := DefaultOptions()
			o.MaxRPS, o.Adaptive = 100, adaptive
			p := newPacer(o)
			e := &endpoint{name: "GET /", endpointPolicy: endpointPolicy{sample: 1}}
			p.add(e)
			at := time.Unix(1_795_000_000, 0)
			run := func(seconds, perSecond int) (taken int) {
				random := rand.New(rand.NewPCG(1, uint64(perSecond)))
				for range seconds * perSecond {
					at = at.Add(time.Second / time.Duration(perSecond))
					var id parallax.ID
					for i := range id {
						id[i] = byte(random.Uint32())
					}
					if p.take(e, id, false, at) {
						taken++
					}
				}
				return taken
			}
			run(3, 1000)
			at = at.Add(jump)
			if n := run(3, 1000); n < 200 || n > 330 {
				t.Errorf("a jump by %v, adaptive %t: %d exchanges in the 3 s after it, want about 300", jump, adaptive, n)
			}
			run(5, 50) // the means of the burst fade
			if n := run(5, 50); n < 200 {
				t.Errorf("a jump by %v, adaptive %t: %d of 250 exchanges within the budget, want nearly all", jump, adaptive, n)
			}
		}
	}
}

// TestABurstAfterIdleLeavesRoom: what comes in the first second after a pause is
// not known yet, and yet a burst of common requests does not use up everything.
func TestABurstAfterIdleLeavesRoom(t *testing.T) {
	t.Parallel()
	o := DefaultOptions()
	o.MaxRPS, o.Adaptive = 50, true
	only := func(rate float64) func(time.Duration) float64 {
		return func(at time.Duration) float64 {
			if at < time.Minute {
				return 0
			}
			return rate
		}
	}
	burst, rare := &stream{perSecond: only(3000)}, &stream{perSecond: only(10), since: time.Minute + 100*time.Millisecond}
	simulate(t, o, 13, time.Minute+time.Second, burst, rare)
	if rare.arrived < 5 || float64(rare.taken) < 0.8*float64(rare.arrived) {
		t.Errorf("in the first second %d of %d rare requests are mirrored beside a burst, want nearly all", rare.taken, rare.arrived)
	}
}

// TestOperationsAreNotSampledBeforeTheyAreKnown: the sample of a path of
// GraphQL's is that of its operations, which their bodies tell.
func TestOperationsAreNotSampledBeforeTheyAreKnown(t *testing.T) {
	t.Parallel()
	o := DefaultOptions()
	o.MaxRPS, o.Adaptive = 100, true
	p := newPacer(o)
	e := &endpoint{name: "POST /graphql", endpointPolicy: endpointPolicy{sample: 0}, operations: &operations{}}
	p.add(e)
	if !p.take(e, parallax.ID{1}, false, time.Unix(1_795_000_000, 0)) {
		t.Error("an operation was left out by a sample that may not be its own")
	}
}
