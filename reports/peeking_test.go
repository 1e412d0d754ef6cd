package reports

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Whoever looks after each exchange and stops at the first promote is wrong at
// most alpha of the time. A point estimate would be wrong nearly always.
func TestPeekingAtTheThresholdPromotesAtMostAlpha(t *testing.T) {
	t.Parallel()
	const runs, length = 1000, 3000
	promoted := falsePromotions(rand.New(rand.NewPCG(7, 8)), 0.01, runs, length)
	// alpha is 50 of 1000; three standard deviations more would still be chance.
	if limit := 50 + 3*math.Sqrt(50*0.95); float64(promoted) > limit {
		t.Errorf("%d of %d runs at the threshold were promoted, want at most %.0f", promoted, runs, limit)
	}
	if promoted == 0 {
		t.Error("no run was promoted; the test is blind")
	}
}

// falsePromotions counts the runs at a true rate that are ever promoted. E- grows
// only when an exchange matches, and is looked at after each.
func falsePromotions(r *rand.Rand, rate float64, runs, length int) int {
	p := quick()
	// The smallest n that passes with k divergences says it all.
	var need []uint64
	promoted := 0
	for range runs {
		var k uint64
		for n := uint64(1); n <= uint64(length); n++ {
			if r.Float64() < rate {
				k++
			}
			for uint64(len(need)) <= k {
				need = append(need, SamplesNeeded(uint64(len(need)), p.MaxDivergenceRate, p.Alpha))
			}
			if n >= need[k] {
				promoted++
				break
			}
		}
	}
	return promoted
}

// A version exactly at the thresholds is rolled back at most beta of the time, on
// any of its endpoints, however often one looks.
func TestPeekingAtTheThresholdRollsBackAtMostBeta(t *testing.T) {
	t.Parallel()
	const runs, length = 100, 2000
	r := rand.New(rand.NewPCG(11, 12))
	rolledBack := 0
	for range runs {
		e := NewEvidence(quick())
		for i := range length {
			x := tick([]string{"GET /a", "GET /b", "GET /c"}[i%3], i, 1, 0)
			if r.Float64() < quick().MaxDivergenceRate {
				x.K = 1
				// Half of them are failures, of either side alike.
				x.B, x.C = uint64(r.IntN(2)), uint64(r.IntN(2))
			}
			e.Add(x)
		}
		if e.rollback != nil {
			rolledBack++
		}
	}
	// One run in ten with one rollback would still be chance; two are not.
	if rolledBack > 1 {
		t.Errorf("%d of %d runs at the threshold were rolled back; beta is %v", rolledBack, runs, quick().Beta)
	}
}

func BenchmarkPeekingAtTheThreshold(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 10))
	promoted, runs := 0, 0
	for b.Loop() {
		promoted += falsePromotions(r, 0.01, 10, 100_000)
		runs += 10
	}
	b.ReportMetric(float64(promoted)/float64(runs), "promoted/run")
}
