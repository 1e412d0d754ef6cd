package reports

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"parallax/divergence"
)

// `make statistics` measures what docs/verdict.md says of errors and delays; it is exact
// where that can be computed, and takes minutes. Every day a small part of it runs.

// statistics is how many of something are done: few, or all of them.
func statistics(few, all int) int {
	if n, err := strconv.Atoi(os.Getenv("STATISTICS")); err == nil && n > 0 {
		return all
	}
	return few
}

// everPromoted is the chance that an endpoint with a true rate is promoted at any of the
// first n exchanges, each of which is looked at. It is exact: a path is promoted at the
// first n that is enough for its k, and the chance of each k among those that are not is
// carried along.
func everPromoted(p0, alpha, rate float64, n int) (chance float64) {
	most := int(float64(n)*rate+12*math.Sqrt(float64(n)*rate)) + 30
	need := make([]uint64, most)
	for k := range need {
		need[k] = SamplesNeeded(uint64(k), p0, alpha)
	}
	at := make([]float64, most)
	at[0] = 1
	passes := 0 // k below it have enough
	for i := 1; i <= n; i++ {
		for k := most - 1; k > passes; k-- {
			at[k] = at[k]*(1-rate) + at[k-1]*rate
		}
		at[passes] *= 1 - rate // who was below it is promoted
		for passes < most && need[passes] != 0 && need[passes] <= uint64(i) {
			chance += at[passes]
			at[passes] = 0
			passes++
		}
	}
	return chance
}

// everFailed is the chance that an endpoint with a true rate is rolled back at any of the
// first n exchanges, likewise; its weight is that of the first endpoint.
func everFailed(p0, beta, rate float64, n int) (chance float64) {
	level := -math.Log(beta) - lnWeight(1)
	most := int(float64(n)*p0+12*math.Sqrt(float64(n)*p0)) + 60
	at := make([]float64, most)
	at[0] = 1
	fails := int(minDivergences) // the smallest k that is too many of i
	for i := 1; i <= n; i++ {
		for fails <= i && LnFail(uint64(fails), uint64(i), p0) < level { // of more exchanges more have to be
			fails++
		}
		for k := min(fails, i, most-1); k > 0; k-- {
			at[k] = at[k]*(1-rate) + at[k-1]*rate
		}
		at[0] *= 1 - rate
		for k := fails; k < min(i+1, most); k++ {
			chance += at[k]
			at[k] = 0
		}
	}
	return chance
}

// Whoever looks after each of 100 000 exchanges promotes a version exactly at the threshold
// with a chance of at most alpha, and rolls one back with at most beta.
func TestErrorsOfPeekingExactly(t *testing.T) {
	t.Parallel()
	n := statistics(5_000, 100_000)
	for _, c := range []struct{ p0, alpha float64 }{{0.001, 0.05}, {0.01, 0.05}, {0.01, 0.01}} {
		chance := everPromoted(c.p0, c.alpha, c.p0, n)
		if t.Logf("promoted at a threshold of %v, alpha %v, within %d: %.5f", c.p0, c.alpha, n, chance); chance > c.alpha || chance < c.alpha/100 {
			t.Errorf("promoted with a chance of %v at a threshold of %v, alpha %v", chance, c.p0, c.alpha)
		}
	}
	beta := DefaultPromotion().Beta
	for _, c := range []struct{ p0, rate float64 }{{0.001, 0.001}, {0.001, 0.0005}, {0.01, 0.01}, {0.01, 0.005}} {
		chance := everFailed(c.p0, beta, c.rate, n)
		if t.Logf("rolled back at a rate of %v and a threshold of %v within %d: %.3g", c.rate, c.p0, n, chance); chance > beta {
			t.Errorf("rolled back with a chance of %v at a rate of %v and a threshold of %v, beta %v", chance, c.rate, c.p0, beta)
		}
	}
}

// A failure of one in ten is seen soon, also after a million exchanges without any, and
// nothing is seen at half the threshold.
func TestCusumAfterAMillion(t *testing.T) {
	t.Parallel()
	p := DefaultPromotion()
	p.MaxDivergenceRate = 0.01
	r := rand.New(rand.NewPCG(21, 22))
	var clean cusum
	for range 100_000 {
		if clean.add(0, 10, p) {
			t.Fatal("an alarm without a divergence")
		}
	}
	var delays []int
	for range statistics(200, 2000) {
		c, n := clean, 1
		for ; !c.add(divergencesIn(r, 1, 0.1), 1, p); n++ {
		}
		delays = append(delays, n)
	}
	slices.Sort(delays)
	median := delays[len(delays)/2]
	if t.Logf("median delay after a million: %d", median); median >= 160 {
		t.Errorf("the median delay is %d exchanges", median)
	}
	alarms, runs := 0, statistics(2, 300)
	for range runs {
		var c cusum
		for range 100_000 {
			if c.add(divergencesIn(r, 10, p.MaxDivergenceRate/2), 10, p) {
				alarms++
				break
			}
		}
	}
	if t.Logf("alarms at half the threshold in %d runs of a million: %d", runs, alarms); alarms > 0 {
		t.Errorf("%d of %d runs at half the threshold ended in an alarm", alarms, runs)
	}
}

// release is a kind of release in the simulated year.
type release struct {
	name string
	good bool
	// tick fills in what a tick of n exchanges at an hour of the day shows.
	tick func(r *rand.Rand, x *divergence.Tick, endpoint string, n, hour int)
}

// diverging draws how many of a tick's exchanges diverge.
func diverging(r *rand.Rand, x *divergence.Tick, n int, rate float64) {
	x.K = divergencesIn(r, n, rate)
}

var releases = []release{
	{"without a fault", true, func(*rand.Rand, *divergence.Tick, string, int, int) {}},
	{"good: 2 in 100 000 diverge", true, func(r *rand.Rand, x *divergence.Tick, _ string, n, _ int) { diverging(r, x, n, 0.00002) }},
	{"exactly at the limit", false, func(r *rand.Rand, x *divergence.Tick, endpoint string, n, _ int) {
		diverging(r, x, n, yearly().of(endpoint).MaxDivergenceRate)
	}},
	{"slightly bad: twice the limit", false, func(r *rand.Rand, x *divergence.Tick, endpoint string, n, _ int) {
		diverging(r, x, n, 2*yearly().of(endpoint).MaxDivergenceRate)
	}},
	{"bad on one rare endpoint: 1 in 5", false, func(r *rand.Rand, x *divergence.Tick, endpoint string, n, _ int) {
		if endpoint == refunds {
			diverging(r, x, n, 0.2)
		}
	}},
	{"bad only at night: 1 in 20", false, func(r *rand.Rand, x *divergence.Tick, _ string, n, hour int) {
		if hour < 5 {
			diverging(r, x, n, 0.05)
		}
	}},
	{"slow: 3 in 10", false, func(r *rand.Rand, x *divergence.Tick, _ string, n, _ int) {
		x.SlowB, x.SlowC = divergencesIn(r, n, 0.3), divergencesIn(r, n, 0.02)
	}},
	{"noisy: 6 in 10 have noise", false, func(r *rand.Rand, x *divergence.Tick, _ string, n, _ int) { x.Noise = divergencesIn(r, n, 0.6) }},
}

// refunds is the endpoint with little traffic, and a limit of its own.
const refunds = "POST /refunds"

// traffic is how many exchanges an endpoint has by day in ten minutes; at night it is a
// tenth. Its order is that of the draws: a map's would be another each time.
var traffic = []struct {
	endpoint string
	n        int
}{{"GET /orders", 200}, {"GET /orders/{id}", 120}, {"POST /orders", 40}, {refunds, 1}}

func yearly() Promotion {
	p := DefaultPromotion()
	p.Endpoints = map[string]Waiver{refunds: {MaxDivergenceRate: 0.02, MaxErrorRate: 0.02}}
	return p
}

// week runs one release for a week, and looks every ten minutes. It returns the word that was
// latched first, and after how long; hold if there was none.
func (k release) week(r *rand.Rand) (Decision, time.Duration) {
	p := yearly()
	e, hash := NewEvidence(p), p.Hash()
	began := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC) // a Monday
	seq := uint64(0)
	for at := began; at.Before(began.AddDate(0, 0, 7)); at = at.Add(10 * time.Minute) {
		for _, each := range traffic {
			endpoint, n := each.endpoint, each.n
			if at.Hour() < 6 {
				if n = n / 10; n == 0 && r.IntN(10) == 0 {
					n = 1
				}
			}
			if n == 0 {
				continue
			}
			seq++
			x := divergence.Tick{
				At: at, Instance: "a", Seq: seq, Service: "shop", Endpoint: endpoint, RulesHash: "r", PolicyHash: hash, PrimaryVersion: "1", CandidateVersion: "2",
				Received: uint64(n), N: uint64(n), Timed: uint64(n),
			}
			k.tick(r, &x, endpoint, n, at.Hour())
			e.Add(x)
		}
		v := e.Verdict(at, Context{Service: "shop"})
		if v.Final {
			return v.Decision, at.Sub(began)
		}
	}
	return Hold, 0
}

// outcome is what came of the weeks of one kind of release.
type outcome struct {
	count map[Decision]int
	days  []float64 // until a decision, sorted
}

// weeks runs a release anew, so many times. The draws are the same each time.
func (k release) weeks(n int, seed uint64) outcome {
	r := rand.New(rand.NewPCG(31, seed))
	o := outcome{count: map[Decision]int{}}
	for range n {
		word, after := k.week(r)
		if o.count[word]++; word != Hold {
			o.days = append(o.days, after.Hours()/24)
		}
	}
	slices.Sort(o.days)
	return o
}

// row is a line of the table in docs/verdict.md.
func (o outcome) row(name string) string {
	median := ""
	if len(o.days) > 0 {
		median = fmt.Sprintf("%.1f ", o.days[len(o.days)/2])
	}
	return fmt.Sprintf("| %s | %d | %d | %d | %s|\n", name, o.count[Promote], o.count[Rollback], o.count[Hold], median)
}

// TestAYearOfReleases: a release of each kind a week. What is good is promoted, and what is bad
// is not, but for those exactly at the limit, of which alpha may be. A year is the table in
// docs/verdict.md; every day three weeks of it are held against what they were.
func TestAYearOfReleases(t *testing.T) {
	t.Parallel()
	const few, all = 3, 52
	n := statistics(few, all)
	table := &strings.Builder{}
	for i, k := range releases {
		o := k.weeks(n, uint64(i))
		table.WriteString(o.row(k.name))
		switch most := DefaultPromotion().Alpha * float64(n); {
		case k.good && o.count[Promote] < n:
			t.Errorf("%s: %d of %d were promoted", k.name, o.count[Promote], n)
		case !k.good && float64(o.count[Promote]) > most+3*math.Sqrt(most):
			t.Errorf("%s: %d of %d were promoted", k.name, o.count[Promote], n)
		case k.good && o.count[Rollback] > 0:
			t.Errorf("%s: %d were rolled back", k.name, o.count[Rollback])
		}
	}
	t.Log("\n" + table.String())
	if n == few {
		golden(t, "year.md", []byte(table.String()))
		return
	}
	text, err := os.ReadFile("../docs/verdict.md")
	if err != nil || !strings.Contains(string(text), "| ---: |\n"+table.String()+"\n") {
		t.Errorf("the table in docs/verdict.md is another, %v", err)
	}
}
