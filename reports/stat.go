package reports

import "math"

// The test of a rate. Of n exchanges k diverged; the threshold is p0. Both sides
// are mixtures of binomial likelihood ratios over a Jeffreys prior, Beta(1/2,
// 1/2), that is cut at p0: Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform,
// nonparametric, nonasymptotic confidence sequences", Annals of Statistics
// 49(2), 2021, propositions 6 and 7. With B the beta function and I the
// regularised incomplete beta function:
//
//	E2(k,n;p) = B(1/2+k, 1/2+n-k) / (B(1/2,1/2) p^k (1-p)^(n-k))
//	E-(k,n;p) = E2 * I_p(1/2+k, 1/2+n-k) / I_p(1/2,1/2)
//	E+(k,n;p) = E2 * (1 - I_p(1/2+k, 1/2+n-k)) / (1 - I_p(1/2,1/2))
//
// E- is a nonnegative supermartingale started at 1 whenever the true rate is at
// least p, E+ whenever it is at most p. By Ville's inequality the chance that it
// ever reaches 1/alpha is then at most alpha, however often one looks.

// LnE2 returns ln E2, the evidence against a rate of exactly p0.
//
// It is NaN unless 0 < p0 < 1 and k <= n, as are LnPass and LnFail. All three
// are good to about 1e-11 of their value, or of 1 where that is more, up to n =
// 10^8.
func LnE2(k, n uint64, p0 float64) float64 {
	s, ok := newShape(k, n, p0)
	if !ok {
		return math.NaN()
	}
	return s.lnE2()
}

// LnPass returns ln E-, the evidence that the rate is below p0. It passes at
// ln(1/alpha).
func LnPass(k, n uint64, p0 float64) float64 {
	s, ok := newShape(k, n, p0)
	if !ok {
		return math.NaN()
	}
	return s.lnPass()
}

// LnFail returns ln E+, the evidence that the rate is above p0. It fails at
// ln(1/beta).
func LnFail(k, n uint64, p0 float64) float64 {
	s, ok := newShape(k, n, p0)
	if !ok {
		return math.NaN()
	}
	return s.mirrored().lnPass()
}

// UpperLimit returns u_n = sup{p0 : E-(k,n;p0) < 1/alpha}. The limits at all n
// together are above the true rate with probability at least 1-alpha. It is 1
// where nothing matched, and NaN for k > n or an alpha outside (0,1).
func UpperLimit(k, n uint64, alpha float64) float64 {
	if k > n || !inside(alpha) {
		return math.NaN()
	}
	if k == n {
		return 1
	}
	p, _ := limit(float64(k)+0.5, float64(n-k)+0.5, alpha)
	return p
}

// LowerLimit returns l_n = inf{p0 : E+(k,n;p0) < 1/alpha}. The limits at all n
// together are below the true rate with probability at least 1-alpha. It is 0
// where nothing diverged, and NaN for k > n or an alpha outside (0,1).
func LowerLimit(k, n uint64, alpha float64) float64 {
	if k > n || !inside(alpha) {
		return math.NaN()
	}
	if k == 0 {
		return 0
	}
	// E+(k,n;p) = E-(n-k,n;1-p): the limit from the other side.
	_, q := limit(float64(n-k)+0.5, float64(k)+0.5, alpha)
	return q
}

// maxSamples is where SamplesNeeded stops looking: float64 counts no further.
const maxSamples = 1 << 53

// SamplesNeeded returns the smallest n at which k divergences pass a threshold
// of p0: E-(k,n;p0) >= 1/alpha. It is 0 if no n below 2^53 does, or if p0 or
// alpha is outside (0,1).
func SamplesNeeded(k uint64, p0, alpha float64) uint64 {
	if !inside(p0) || !inside(alpha) || k >= maxSamples {
		return 0
	}
	level := -math.Log(alpha)
	passes := func(n uint64) bool { return LnPass(k, n, p0) >= level }

	// Twice the divergences over the threshold is where to look first.
	low, high := k, k+1
	if guess := float64(k+1) / p0; guess < maxSamples {
		high = max(high, uint64(guess))
	}
	for !passes(high) {
		if high >= maxSamples {
			return 0
		}
		low, high = high, min(2*high, maxSamples)
	}
	for high-low > 1 {
		if mid := low + (high-low)/2; passes(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}

func inside(p float64) bool { return p > 0 && p < 1 }

// limit solves lnPass = ln(1/alpha) for p, by Newton's method on the log odds of
// p within a bracket, and returns p and 1-p. In log odds the slope is
//
//	d ln E- / d logit p = n p - k + (1/E- - 1) sqrt(p(1-p)) / (pi I_p(1/2,1/2))
//
// and both p and 1-p keep their relative precision.
func limit(a, b, alpha float64) (p, q float64) {
	level := -math.Log(alpha)
	m := a + b
	// E- is at most 1 up to k/n, so the limit is above it.
	low, high := math.Log(max(a-0.5, 1e-300)/(b-0.5)), math.Inf(1)
	// A first guess: the mean, and the deviation that costs as much as the level
	// and the price of mixing.
	reach := level + 0.5*math.Log(m)
	at := math.Log((a + reach + math.Sqrt(2*reach*a)) / b)
	for range 200 {
		p, q = odds(at)
		s := shape{a: a, b: b, p: p, q: q}
		value := s.lnPass()
		if value < level {
			low = at
		} else {
			high = at
		}
		share := math.Sqrt(p*q) / math.Pi / math.Exp(s.lnPrior())
		slope := 0.5 - p - s.excess() + share*math.Expm1(-value)
		next := at + (level-value)/slope
		if !(next > low && next < high) {
			next = between(low, high, at)
		}
		step := math.Abs(next - at)
		at = next
		if step <= 1e-12 {
			break // Newton squares the error: what is left is rounding
		}
	}
	return odds(at)
}

// between halves the bracket, or steps outward while it is open.
func between(low, high, at float64) float64 {
	if math.IsInf(high, 1) {
		return at + 1
	}
	return low + (high-low)/2
}

// odds returns p and 1-p for the log odds of p.
func odds(at float64) (p, q float64) {
	return 1 / (1 + math.Exp(-at)), 1 / (1 + math.Exp(at))
}
