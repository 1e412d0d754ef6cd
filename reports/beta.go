package reports

import "math"

// shape is a beta posterior seen from a threshold: a = 1/2+k, b = 1/2+n-k, the
// threshold p and q = 1-p, both to their own relative precision.
//
// Logarithms of beta functions are never subtracted from each other: at n = 10^8
// they are about 10^9 and would leave 7 digits. Every quantity is built from
// deviances (Loader, "Fast and accurate computation of binomial probabilities",
// 2000), which are small where the result is small.
type shape struct {
	a, b, p, q float64
}

// newShape is false for a count or a threshold that means nothing.
func newShape(k, n uint64, p float64) (shape, bool) {
	if k > n || !inside(p) {
		return shape{}, false
	}
	return shape{a: float64(k) + 0.5, b: float64(n-k) + 0.5, p: p, q: 1 - p}, true
}

// mirrored swaps what is counted with the rest.
func (s shape) mirrored() shape { return shape{a: s.b, b: s.a, p: s.q, q: s.p} }

// excess returns a - (a+b)p, by way of the smaller of p and q.
func (s shape) excess() float64 {
	m := s.a + s.b
	if s.p <= s.q {
		return math.FMA(-m, s.p, s.a)
	}
	return math.FMA(m, s.q, -s.b)
}

// lnE2 returns ln E2. With m = a+b = n+1, D the deviance and S the remainder of
// Stirling's formula,
//
//	ln E2 = D(a, mp) + D(b, mq) - (ln(a/mp) + ln(b/mq) + ln m - ln(2/pi))/2
//	        + S(a) + S(b) - S(m)
func (s shape) lnE2() float64 {
	m := s.a + s.b
	mp, mq, d := m*s.p, m*s.q, s.excess()
	mixing := (math.Log(s.a/mp) + math.Log(s.b/mq) + math.Log(m) - math.Log(2/math.Pi)) / 2
	return deviance(s.a, mp, d) + deviance(s.b, mq, -d) - mixing +
		stirling(s.a) + stirling(s.b) - stirling(m)
}

// lnPass returns ln E-.
//
// The density part of either tail of the posterior is sqrt(pq)/(pi E2). Where
// the lower tail is the smaller one, E2 cancels and only the continued fraction
// is left; where the upper one is, the lower is one minus it.
func (s shape) lnPass() float64 {
	lnDensity := 0.5*(math.Log(s.p)+math.Log(s.q)) - math.Log(math.Pi)
	if s.excess() >= 0 {
		return lnDensity + math.Log(s.fraction()) - s.lnPrior()
	}
	e2 := s.lnE2()
	upper := lnDensity - e2 + math.Log(s.mirrored().fraction())
	return e2 + math.Log1p(-math.Exp(upper)) - s.lnPrior()
}

// lnPrior returns ln I_p(1/2,1/2), the prior's mass below p, which is 2/pi *
// asin(sqrt p).
func (s shape) lnPrior() float64 {
	if s.p <= 0.5 {
		return math.Log(2 / math.Pi * math.Asin(math.Sqrt(s.p)))
	}
	return math.Log1p(-2 / math.Pi * math.Asin(math.Sqrt(s.q)))
}

// fraction returns I_p(a,b) B(a,b) / (p^a q^b) for p at most the mean a/(a+b):
// the even part of DLMF 8.17.22, which has half as many steps and no
// cancellation near the mean, by the modified Lentz method (Thompson and
// Barnett, 1986). It takes about sqrt(n) steps at worst.
func (s shape) fraction() float64 {
	const tiny, enough = 1e-300, 1e-16
	a, b, x, y := s.a, s.b, s.p, s.q
	base := s.excess() + 1
	f := a / (a + 1) * base
	if f == 0 {
		f = tiny
	}
	c, d := f, 0.0
	for j := 1.0; j < 1e7; j++ {
		odd := a + 2*j - 1
		w := j * (b - j) * x
		alpha := (a + j - 1) / odd * ((a + b + j - 1) / odd) * (w * x)
		beta := j + w/odd + (a+j)/(odd+2)*(base+j*(1+y))
		d = beta + alpha*d
		if d == 0 {
			d = tiny
		}
		c = beta + alpha/c
		if c == 0 {
			c = tiny
		}
		d = 1 / d
		step := c * d
		f *= step
		if math.Abs(step-1) < enough {
			break
		}
	}
	return 1 / f
}

// deviance returns x ln(x/mu) + mu - x, given d = x - mu to its own precision.
func deviance(x, mu, d float64) float64 {
	if math.Abs(d) >= 0.1*(x+mu) {
		return x*math.Log(x/mu) - d
	}
	// With v = d/(x+mu): ln(x/mu) = 2 atanh v, and the series starts at d*v.
	v := d / (x + mu)
	sum, term := d*v, 2*x*v
	for j := 3.0; ; j += 2 {
		term *= v * v
		next := sum + term/j
		if next == sum {
			return sum
		}
		sum = next
	}
}

// stirling returns ln Gamma(x) - ((x - 1/2) ln x - x + ln(2 pi)/2).
func stirling(x float64) float64 {
	if x < 16 {
		g, _ := math.Lgamma(x)
		return g - (x-0.5)*math.Log(x) + x - 0.5*math.Log(2*math.Pi)
	}
	// The terms are B_2i / (2i (2i-1) x^(2i-1)); the first one left out is below
	// 1e-17 from 16 on.
	r := 1 / (x * x)
	return (1.0/12 - r*(1.0/360-r*(1.0/1260-r*(1.0/1680-r*(1.0/1188-r*(691.0/360360-r*(1.0/156))))))) / x
}
