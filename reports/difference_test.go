package reports

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// binomial returns the chance of each count.
func binomial(n int, p float64) []float64 {
	out := make([]float64, n+1)
	ln := func(v float64) float64 { l, _ := math.Lgamma(v + 1); return l }
	for k := range out {
		switch {
		case p == 0 || p == 1:
			if float64(k) == p*float64(n) {
				out[k] = 1
			}
		default:
			out[k] = math.Exp(ln(float64(n)) - ln(float64(k)) - ln(float64(n-k)) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
		}
	}
	return out
}

// expectation is that of both sides' factors over one block, computed exactly.
func expectation(n, m int, p, q, by float64) (below, above float64) {
	candidate, primary := binomial(n, p), binomial(m, q)
	for x, px := range candidate {
		for y, py := range primary {
			var d difference
			d.add(uint64(x), uint64(n), uint64(y), uint64(m))
			below += px * py * math.Exp(d.lnBelow(by))
			above += px * py * math.Exp(d.lnAbove(by))
		}
	}
	return below, above
}

// TestBlocksAreFairExactly: under each hypothesis a block is expected to multiply the evidence
// against it by 1 at most, whatever the primary's rate and the number of its users.
func TestBlocksAreFairExactly(t *testing.T) {
	t.Parallel()
	worst := 0.0
	for _, n := range []int{1, 3, 20, 60} {
		for _, m := range []int{0, 1, 2, 30, 100} {
			for _, q := range []float64{0, 0.001, 0.05, 0.5, 0.9} {
				for _, by := range []float64{0.001, 0.01, 0.05} {
					below, above := expectation(n, m, q+by, q, by)
					worst = max(worst, below, above)
					if below > 1+1e-9 || above > 1+1e-9 {
						t.Errorf("n %d, m %d, rates %v and %v, by %v: %v below, %v above", n, m, q+by, q, by, below, above)
					}
				}
			}
		}
	}
	t.Logf("at most %v", worst)
}

// blocks is a candidate and a primary, minute by minute: so many requests and a rate each.
type blocks struct {
	n, m    int
	p, q    float64
	minutes int
}

// run returns in which minute either side is decided, 0 for never, each looked at after every
// minute.
func (b blocks) run(random *rand.Rand, by, alpha, beta float64) (below, above int) {
	var d difference
	draw := func(n int, p float64) (k uint64) {
		for range n {
			if random.Float64() < p {
				k++
			}
		}
		return k
	}
	for minute := 1; minute <= b.minutes; minute++ {
		d.add(draw(b.n, b.p), uint64(b.n), draw(b.m, b.q), uint64(b.m))
		if below == 0 && d.lnBelow(by) >= -math.Log(alpha) {
			below = minute
		}
		if above == 0 && d.lnAbove(by) >= -math.Log(beta) {
			above = minute
		}
	}
	return below, above
}

// TestErrorsOfUnpairedTests: at the limit a version passes, or is found to be worse, hardly
// ever, in minutes with more users of either leg, and with a primary that fails too.
func TestErrorsOfUnpairedTests(t *testing.T) {
	t.Parallel()
	const by, alpha, beta = 0.01, 0.05, 0.001
	runs := statistics(100, 2000)
	random := rand.New(rand.NewPCG(5, 6))
	for _, b := range []blocks{
		{n: 5, m: 100, p: 0.01, q: 0}, {n: 50, m: 50, p: 0.03, q: 0.02}, {n: 100, m: 5, p: 0.11, q: 0.1}, {n: 20, m: 200, p: 0.41, q: 0.4}, {n: 50, m: 0, p: 0.01, q: 0},
	} {
		t.Run(fmt.Sprintf("%d of the candidate, %d of the primary, failing %v and %v", b.n, b.m, b.p, b.q), func(t *testing.T) {
			b.minutes = 200
			passed, worse := 0, 0
			for range runs {
				below, above := b.run(random, by, alpha, beta)
				passed += min(below, 1)
				worse += min(above, 1)
			}
			t.Logf("of %d runs %d passed, %d were found to be worse", runs, passed, worse)
			mean := alpha * float64(runs)
			if float64(passed) > mean+3*math.Sqrt(mean) || float64(worse) > 1+3*beta*float64(runs) {
				t.Errorf("of %d runs %d passed, %d were found to be worse", runs, passed, worse)
			}
		})
	}
}

// TestUnpairedTestsDecide: how long good and bad versions take, in requests of the candidate.
func TestUnpairedTestsDecide(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 8))
	median := func(b blocks, by float64, bad bool) int {
		var took []int
		for range 51 {
			below, above := b.run(random, by, 0.05, 0.001)
			if bad {
				below = above
			}
			if below == 0 {
				below = math.MaxInt32
			}
			took = append(took, below*b.n)
		}
		slices.Sort(took)
		return took[len(took)/2]
	}
	f := func(name string, b blocks, by float64, bad bool, most int) {
		t.Helper()
		got := median(b, by, bad)
		t.Logf("%s: %d requests", name, got)
		if got > most {
			t.Errorf("%s takes %d requests, want %d at most", name, got, most)
		}
	}
	f("clean, limit 0.1 %", blocks{n: 10, m: 1000, minutes: 800}, 0.001, false, 4800)
	f("clean, limit 1 %", blocks{n: 10, m: 1000, minutes: 80}, 0.01, false, 480)
	f("clean, no users on the primary", blocks{n: 10, m: 0, minutes: 800}, 0.001, false, 4800)
	f("1 in 10 fails", blocks{n: 5, m: 500, p: 0.1, q: 0.0005, minutes: 100}, 0.001, true, 80)
	f("1 in 10 fails, as many users on both", blocks{n: 5, m: 5, p: 0.1, q: 0.0005, minutes: 200}, 0.001, true, 200)
	f("all fail", blocks{n: 1, m: 100, p: 1, q: 0.0005, minutes: 50}, 0.001, true, 5)
	f("1 in 3 slower, 4 in 10 as a rule", blocks{n: 10, m: 1000, p: 0.6, q: 0.4, minutes: 200}, 0.05, true, 700)
}

// TestLimitsOfADifferenceMirrorTheTests: they are where the tests turn, and hold what is true.
func TestLimitsOfADifferenceMirrorTheTests(t *testing.T) {
	t.Parallel()
	var d difference
	if d.upper(0.05) != 1 || d.lower(0.05) != -1 {
		t.Errorf("of nothing: %v to %v", d.lower(0.05), d.upper(0.05))
	}
	for range 50 {
		d.add(3, 20, 20, 200)
	}
	low, high := d.lower(0.05), d.upper(0.05)
	if !(low < 0.05 && 0.05 < high && high-low < 0.12) {
		t.Errorf("at 15 %% and 10 %%: %v to %v", low, high)
	}
	near := func(name string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-6 {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	near("upper", d.lnBelow(high), -math.Log(0.05))
	near("lower", d.lnAbove(low), -math.Log(0.05))
}
