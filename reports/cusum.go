package reports

import "math"

// cusum looks for a rate that rises after it was found low. Long good traffic
// hides a late regression from a test over all of it: 117 860 more samples to
// see a 10 % failure after a million clean ones.
//
// It is the mean of e^W over four alternatives q, with
//
//	W_q <- max(W_q, 0) + k ln(q/p0) + (n-k) ln((1-q)/(1-p0))
//
// for a tick of n exchanges with k divergences: Page's CUSUM as an e-detector
// (Shin, Ramdas and Rinaldo, "E-detectors", 2023).
type cusum struct {
	w    [4]float64
	used int // alternatives below 1, the first of them
}

// cusumRates are the alternatives in units of the threshold.
var cusumRates = [4]float64{2, 5, 10, 50}

// bakeSamples is for how many exchanges the error probability beta of an alarm
// is meant.
const bakeSamples = 1e6

// add folds one tick and tells whether it raises the alarm: the statistic has
// reached bakeSamples/beta.
func (c *cusum) add(k, n uint64, policy Promotion) bool {
	return c.over(k, n, policy.MaxDivergenceRate) >= math.Log(bakeSamples/policy.Beta)
}

// over folds one tick against the threshold p0, and returns the statistic in logarithms.
// Alternatives of 1 or more are left out.
func (c *cusum) over(k, n uint64, p0 float64) float64 {
	k, c.used = min(k, n), 0
	for _, times := range cusumRates {
		q := times * p0
		if q >= 1 {
			break // they ascend
		}
		c.w[c.used] = max(c.w[c.used], 0) + float64(k)*math.Log(times) + float64(n-k)*(math.Log1p(-q)-math.Log1p(-p0))
		c.used++
	}
	return c.value()
}

// value is the statistic in logarithms; -Inf before anything was folded, or without an
// alternative.
func (c *cusum) value() float64 {
	if c.used == 0 {
		return math.Inf(-1)
	}
	return mean(c.w[:c.used])
}
