package reports

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The values were computed with 60 digits, independently of this package.
func TestPassAndFailGolden(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		k, n       uint64
		p0         float64
		pass, fail float64
	}{
		{0, 376, 0.01, 2.987953227, -4.815650215},
		{0, 377, 0.01, 2.996742893, -4.818078928},
		{1, 663, 0.01, 2.996880714, -5.209662949},
		{3, 1000, 0.01, 2.466246471, -5.434649253},
		{5, 1436, 0.01, 2.996772080, -5.710909431},
		{25, 1000, 0.01, -3.475907697, 4.405888251},
		{26, 1000, 0.01, -3.534619837, 5.357778389},
		{30, 1000, 0.01, -3.741229776, 9.546471552},
		{0, 3787, 0.001, 2.996200651, -6.014352135},
		{3, 3, 0.01, -1.943677674, 12.718252288},
	} {
		near(t, "LnPass", c.k, c.n, c.p0, LnPass(c.k, c.n, c.p0), c.pass, 1e-9)
		near(t, "LnFail", c.k, c.n, c.p0, LnFail(c.k, c.n, c.p0), c.fail, 1e-9)
	}
	near(t, "LnFail", 20, 25, 0.5, LnFail(20, 25, 0.5), 3.661813496, 1e-9)
	near(t, "LnFail", 12, 15, 0.5, LnFail(12, 15, 0.5), 1.973180005, 1e-9)
}

func TestUpperLimitGolden(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		k, n      uint64
		want, rel float64
	}{
		{0, 100, 0.037153874, 1e-8},
		{0, 1000, 0.00378102738, 1e-8},
		{1, 1000, 0.00663819, 1e-6},
		{3, 1000, 0.0107860797, 1e-8},
		{10, 1000, 0.0222539, 3e-6},
		{0, 10000, 0.000378768, 2e-6},
		{10, 10000, 0.00223773202, 1e-8},
		{100, 10000, 0.0135668, 4e-6},
		{50, 1000000, 7.5617322e-05, 1e-8},
		{0, 210, 0.01787, 2e-4},
		{8, 308, 0.0615, 1e-3},
	} {
		near(t, "UpperLimit", c.k, c.n, 0.05, UpperLimit(c.k, c.n, 0.05), c.want, c.rel*c.want)
	}
}

func TestLowerLimitGolden(t *testing.T) {
	t.Parallel()
	near(t, "LowerLimit", 8, 308, 0.05, LowerLimit(8, 308, 0.05), 0.0056, 5e-5)
	near(t, "LowerLimit", 0, 210, 0.05, LowerLimit(0, 210, 0.05), 0, 0)
	near(t, "LowerLimit", 3, 3, 0.05, LowerLimit(3, 3, 0.05), 1-UpperLimit(0, 3, 0.05), 1e-15)
}

func TestSamplesNeededGolden(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		k         uint64
		p0, alpha float64
		want      uint64
	}{
		{0, 0.01, 0.05, 377}, {0, 0.001, 0.05, 3787}, {0, 0.0001, 0.05, 37883},
		{0, 0.01, 0.01, 556}, {0, 0.001, 0.01, 5585}, {0, 0.0001, 0.01, 55868},
		{1, 0.01, 0.05, 663}, {5, 0.01, 0.05, 1436},
		{0, 0.05, 0.05, 74}, {1, 0.05, 0.05, 131}, {2, 0.05, 0.05, 174},
		{0, 1, 0.05, 0}, {0, 0, 0.05, 0}, {0, 0.01, 0, 0}, {0, 1e-17, 0.05, 0},
	} {
		if got := SamplesNeeded(c.k, c.p0, c.alpha); got != c.want {
			t.Errorf("SamplesNeeded(%d, %v, %v) = %d, want %d", c.k, c.p0, c.alpha, got, c.want)
		}
	}
}

// Far out in either tail a plain 1-I is 0 and its logarithm fails.
func TestStatisticsAtTheEdges(t *testing.T) {
	t.Parallel()
	for _, v := range []float64{
		LnPass(10, 10000, 0.5), LnFail(10, 10000, 0.5), LnPass(9990, 10000, 0.5), LnFail(9990, 10000, 0.5),
		LnPass(1e8, 1e8, 1e-9), LnFail(0, 1e8, 1-1e-9), LnE2(5e7, 1e8, 0.5), LnPass(0, 1e8, 1e-12),
	} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Errorf("got %v, want a number", v)
		}
	}
	for _, v := range []float64{
		LnPass(2, 1, 0.5), LnFail(0, 1, 0), LnE2(0, 1, 1), LnPass(0, 1, math.NaN()),
		UpperLimit(2, 1, 0.05), LowerLimit(2, 1, 0.05), UpperLimit(0, 1, 0), LowerLimit(0, 1, 1),
	} {
		if !math.IsNaN(v) {
			t.Errorf("got %v, want NaN", v)
		}
	}
	near(t, "LnPass", 0, 0, 0.01, LnPass(0, 0, 0.01), 0, 1e-12)
	near(t, "LnFail", 0, 0, 0.01, LnFail(0, 0, 0.01), 0, 1e-12)
	near(t, "UpperLimit", 0, 0, 0.05, UpperLimit(0, 0, 0.05), 1, 0)
	near(t, "LowerLimit", 0, 0, 0.05, LowerLimit(0, 0, 0.05), 0, 0)
}

// The two-sided evidence is the average of both sides by the prior's mass, and
// the limits lie around the rate, mirrored when what counts is swapped.
func TestStatisticsHangTogether(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(13, 14))
	for range 2000 {
		k, n := randomCounts(r, 1e8)
		p0 := math.Exp(-18 * r.Float64())
		mass := 2 / math.Pi * math.Asin(math.Sqrt(p0))
		want := lnSum(math.Log(mass)+LnPass(k, n, p0), math.Log1p(-mass)+LnFail(k, n, p0))
		near(t, "LnE2", k, n, p0, LnE2(k, n, p0), want, 1e-9*max(1, math.Abs(want)))

		lower, rate, upper := LowerLimit(k, n, 0.05), float64(k)/float64(n), UpperLimit(k, n, 0.05)
		if !(0 <= lower && lower <= rate && rate <= upper && upper <= 1) {
			t.Errorf("limits of %d in %d: %v, %v, %v", k, n, lower, rate, upper)
		}
		near(t, "LowerLimit", k, n, 0.05, lower, 1-UpperLimit(n-k, n, 0.05), 1e-12)
		if more := UpperLimit(min(k+1, n), n, 0.05); more < upper {
			t.Errorf("UpperLimit(%d, %d) = %v is above that of one more, %v", k, n, upper, more)
		}
	}
}

func near(t *testing.T, f string, k, n uint64, x, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s(%d, %d, %v) = %.12g, want %.12g", f, k, n, x, got, want)
	}
}

func BenchmarkLnPass(b *testing.B) {
	for _, c := range []struct {
		name string
		k, n uint64
		p0   float64
	}{
		{"clean_n=3787", 0, 3787, 0.001},
		{"some_n=1e6", 500, 1e6, 0.001},
		{"at_the_mean_n=1e6", 1000, 1e6, 0.001},
		{"at_the_mean_n=1e8", 5e7, 1e8, 0.5},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				LnPass(c.k, c.n, c.p0)
			}
		})
	}
}

func BenchmarkUpperLimit(b *testing.B) {
	for _, c := range []struct {
		name string
		k, n uint64
	}{{"k=0_n=1e4", 0, 1e4}, {"k=1e3_n=1e6", 1e3, 1e6}, {"k=5e7_n=1e8", 5e7, 1e8}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				UpperLimit(c.k, c.n, 0.05)
			}
		})
	}
}

func BenchmarkSamplesNeeded(b *testing.B) {
	for b.Loop() {
		SamplesNeeded(3, 0.001, 0.05)
	}
}
