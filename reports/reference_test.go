package reports

import (
	"math"
	"math/big"
	"math/rand/v2"
	"sync"
	"testing"
)

// The reference computes the same quantities with math/big, in another way: log
// gammas by Stirling's series, the incomplete beta function by its power series
// (DLMF 8.17.8, all terms positive). It has well over 60 digits left at n = 10^8.
const referenceBits = 512

func num(x float64) *big.Float { return new(big.Float).SetPrec(referenceBits).SetFloat64(x) }

func zero() *big.Float { return new(big.Float).SetPrec(referenceBits) }

// bigLn takes 40 square roots and sums the series of 2 atanh((y-1)/(y+1)).
func bigLn(x *big.Float) *big.Float {
	y := zero().Set(x)
	roots := 0
	for ; roots < 40 || y.Cmp(num(1.001)) > 0 || y.Cmp(num(0.999)) < 0; roots++ {
		y.Sqrt(y)
	}
	t := zero().Quo(zero().Sub(y, num(1)), zero().Add(y, num(1)))
	square := zero().Mul(t, t)
	sum, term := zero(), zero().Set(t)
	for j := 1.0; term.Sign() != 0 && term.MantExp(nil) > t.MantExp(nil)-referenceBits; j += 2 {
		sum.Add(sum, zero().Quo(term, num(j)))
		term.Mul(term, square)
	}
	return sum.SetMantExp(sum, roots+1)
}

// bigExp halves until its series is short, and squares back.
func bigExp(x *big.Float) *big.Float {
	halvings := max(x.MantExp(nil), 0) + 16
	y := zero().SetMantExp(x, -halvings)
	sum, term := num(1), num(1)
	for j := 1.0; term.Sign() != 0 && term.MantExp(nil) > -referenceBits; j++ {
		term.Mul(term, y).Quo(term, num(j))
		sum.Add(sum, term)
	}
	for range halvings {
		sum.Mul(sum, sum)
	}
	return sum
}

// bernoulli returns B_2, B_4, ... B_120.
var bernoulli = sync.OnceValue(func() []*big.Float {
	const last = 120
	b := make([]*big.Rat, last+1)
	b[0] = big.NewRat(1, 1)
	for m := int64(1); m <= last; m++ {
		sum := new(big.Rat)
		for j := int64(0); j < m; j++ {
			c := new(big.Rat).SetInt(new(big.Int).Binomial(m+1, j))
			sum.Add(sum, c.Mul(c, b[j]))
		}
		b[m] = sum.Mul(sum, big.NewRat(-1, m+1))
	}
	var out []*big.Float
	for m := 2; m <= last; m += 2 {
		out = append(out, zero().SetRat(b[m]))
	}
	return out
})

var ln2Pi = sync.OnceValue(func() *big.Float {
	return bigLn(zero().Mul(num(2), bigPi()))
})

// bigPi is Machin's 16 atan(1/5) - 4 atan(1/239).
var bigPi = sync.OnceValue(func() *big.Float {
	atanInverse := func(n float64) *big.Float {
		sum, term := zero(), zero().Quo(num(1), num(n))
		for j := 1.0; term.MantExp(nil) > -referenceBits; j += 2 {
			sum.Add(sum, zero().Quo(term, num(j)))
			term.Quo(term, num(-n*n))
		}
		return sum
	}
	a := zero().Mul(num(16), atanInverse(5))
	return a.Sub(a, zero().Mul(num(4), atanInverse(239)))
})

func bigLnGamma(x float64) *big.Float {
	product, y := num(1), num(x)
	for y.Cmp(num(150)) < 0 {
		product.Mul(product, y)
		y.Add(y, num(1))
	}
	sum := zero().Mul(zero().Sub(y, num(0.5)), bigLn(y))
	sum.Sub(sum, y).Add(sum, zero().Quo(ln2Pi(), num(2)))
	power, square := zero().Set(y), zero().Mul(y, y)
	for i, b := range bernoulli() {
		j := float64(2 * (i + 1))
		sum.Add(sum, zero().Quo(zero().Quo(b, num(j*(j-1))), power))
		power.Mul(power, square)
	}
	return sum.Sub(sum, bigLn(product))
}

func bigLnBeta(a, b float64) *big.Float {
	sum := zero().Add(bigLnGamma(a), bigLnGamma(b))
	return sum.Sub(sum, bigLnGamma(a+b))
}

// bigTails returns I_p(a,b) and the rest of it to 1.
func bigTails(a, b float64, p *big.Float) (lower, upper *big.Float) {
	q := zero().Sub(num(1), p)
	if p.Cmp(q) > 0 {
		upper, lower = bigTails(b, a, q)
		return lower, upper
	}
	front := zero().Mul(num(a), bigLn(p))
	front.Add(front, zero().Mul(num(b), bigLn(q)))
	front.Sub(front, bigLn(num(a))).Sub(front, bigLnBeta(a, b))
	sum, term := num(1), num(1)
	for j := 0.0; term.MantExp(nil) > sum.MantExp(nil)-referenceBits; j++ {
		term.Mul(term, p).Mul(term, num(a+b+j)).Quo(term, num(a+1+j))
		sum.Add(sum, term)
	}
	lower = sum.Mul(sum, bigExp(front))
	return lower, zero().Sub(num(1), lower)
}

// referencePassFail returns ln E- and ln E+. fail is false where the upper tail is
// too small for the precision.
func referencePassFail(k, n uint64, p *big.Float) (pass, fail *big.Float, ok bool) {
	a, b := float64(k)+0.5, float64(n-k)+0.5
	q := zero().Sub(num(1), p)
	e2 := zero().Sub(bigLnBeta(a, b), bigLnBeta(0.5, 0.5))
	e2.Sub(e2, zero().Mul(num(float64(k)), bigLn(p)))
	e2.Sub(e2, zero().Mul(num(float64(n-k)), bigLn(q)))
	lower, upper := bigTails(a, b, p)
	priorLower, priorUpper := bigTails(0.5, 0.5, p)
	with := func(tail, prior *big.Float) *big.Float {
		sum := zero().Add(e2, bigLn(tail))
		return sum.Sub(sum, bigLn(prior))
	}
	const lost = -referenceBits / 2
	if lower.Sign() <= 0 || lower.MantExp(nil) < lost || upper.Sign() <= 0 || upper.MantExp(nil) < lost {
		return nil, nil, false
	}
	return with(lower, priorLower), with(upper, priorUpper), true
}

// randomCounts draws n from 1 to most, evenly by magnitude, and k likewise, or 0.
func randomCounts(r *rand.Rand, most float64) (k, n uint64) {
	n = uint64(math.Exp(r.Float64() * math.Log(most)))
	switch r.IntN(4) {
	case 0:
		k = uint64(r.IntN(4))
	case 1:
		k = uint64(r.Float64() * float64(n))
	default:
		k = uint64(math.Exp(r.Float64() * math.Log(float64(n)+1)))
	}
	return min(k, n), n
}

func TestPassAndFailAgainstReference(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	checked := 0
	for range statistics(300, 10_000) {
		k, n := randomCounts(r, 1e5)
		// Thresholds around the rate, where the tests are decided.
		p0 := (float64(k) + 0.5) / float64(n+1) * math.Exp(2*r.NormFloat64())
		if !(p0 > 1e-12 && p0 < 0.999) {
			continue
		}
		pass, fail, ok := referencePassFail(k, n, num(p0))
		if !ok {
			continue
		}
		checked++
		for _, c := range []struct {
			name string
			got  float64
			want *big.Float
		}{{"LnPass", LnPass(k, n, p0), pass}, {"LnFail", LnFail(k, n, p0), fail}} {
			want, _ := c.want.Float64()
			near(t, c.name, k, n, p0, c.got, want, 1e-10*max(1, math.Abs(want)))
		}
	}
	if checked < 150 {
		t.Errorf("checked only %d points", checked)
	}
}

// A limit is right to 1e-9 if the reference crosses the level between 1e-9 below
// and 1e-9 above it.
func TestLimitsAgainstReference(t *testing.T) {
	t.Parallel()
	points, most := statistics(60, 10_000), 1e8
	if testing.Short() {
		points, most = 30, 1e5
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range points {
		k, n := randomCounts(r, most)
		alpha := math.Exp(-1 - 8*r.Float64())
		level := num(-math.Log(alpha))
		at := func(p, times float64) (pass, fail *big.Float) {
			pass, fail, ok := referencePassFail(k, n, zero().Mul(num(p), num(times)))
			if !ok {
				t.Fatalf("the reference has too few digits at k %d, n %d, p %v", k, n, p)
			}
			return pass, fail
		}
		if u := UpperLimit(k, n, alpha); k < n {
			if before, _ := at(u, 1-1e-9); before.Cmp(level) >= 0 {
				t.Errorf("UpperLimit(%d, %d, %v) = %v is too high", k, n, alpha, u)
			}
			if u*(1+1e-9) < 1 {
				if after, _ := at(u, 1+1e-9); after.Cmp(level) < 0 {
					t.Errorf("UpperLimit(%d, %d, %v) = %v is too low", k, n, alpha, u)
				}
			}
		}
		if l := LowerLimit(k, n, alpha); k > 0 {
			if _, before := at(l, 1-1e-9); before.Cmp(level) < 0 {
				t.Errorf("LowerLimit(%d, %d, %v) = %v is too high", k, n, alpha, l)
			}
			if l*(1+1e-9) < 1 {
				if _, after := at(l, 1+1e-9); after.Cmp(level) >= 0 {
					t.Errorf("LowerLimit(%d, %d, %v) = %v is too low", k, n, alpha, l)
				}
			}
		}
	}
}
