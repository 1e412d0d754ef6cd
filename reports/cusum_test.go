package reports

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestCusumIsQuietBelowTheThreshold(t *testing.T) {
	t.Parallel()
	p := DefaultPromotion()
	r := rand.New(rand.NewPCG(15, 16))
	var c cusum
	for i := range 50_000 {
		if c.add(divergencesIn(r, 10, p.MaxDivergenceRate/2), 10, p) {
			t.Fatalf("alarm after %d exchanges at half the threshold", 10*i)
		}
	}
}

// Alternatives of certainty and beyond mean nothing: with a threshold of a half
// there is none left, and no alarm.
func TestCusumWithHighThresholds(t *testing.T) {
	t.Parallel()
	p := DefaultPromotion()
	for threshold, want := range map[float64]bool{0.5: false, 0.3: true} {
		p.MaxDivergenceRate = threshold
		var c cusum
		if got := c.add(1000, 1000, p); got != want {
			t.Errorf("threshold %v, everything diverges: alarm %v, want %v", threshold, got, want)
		}
	}
}

func divergencesIn(r *rand.Rand, n int, rate float64) (k uint64) {
	for range n {
		if r.Float64() < rate {
			k++
		}
	}
	return k
}

// The median delay at a threshold of one percent is known from simulation: 147
// exchanges.
func TestCusumSeesAFailureOfOneInTen(t *testing.T) {
	t.Parallel()
	p := DefaultPromotion()
	p.MaxDivergenceRate = 0.01
	r := rand.New(rand.NewPCG(17, 18))
	var delays []int
	for range 2000 {
		delays = append(delays, delay(r, p, 0.1))
	}
	slices.Sort(delays)
	if median := delays[len(delays)/2]; median < 140 || median > 154 {
		t.Errorf("median delay %d exchanges, want about 147", median)
	}
}

// delay counts the exchanges at a rate until the alarm.
func delay(r *rand.Rand, p Promotion, rate float64) int {
	var c cusum
	n := 1
	for !c.add(divergencesIn(r, 1, rate), 1, p) {
		n++
	}
	return n
}

func BenchmarkCusum(b *testing.B) {
	p := DefaultPromotion()
	var c cusum
	for b.Loop() {
		c.add(0, 10, p)
	}
}
