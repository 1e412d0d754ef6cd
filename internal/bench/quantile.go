//go:build linux

package main

import (
	"cmp"
	"math"
	"slices"
)

// quantile returns the smallest value that at least the share q of the sorted
// values do not exceed (nearest rank), and the zero value when there are none.
func quantile[T cmp.Ordered](sorted []T, q float64) T {
	if len(sorted) == 0 {
		var none T
		return none
	}
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// median returns the middle of the values, the mean of the two middle ones when
// their number is even, and NaN when there are none. The order of the values is
// kept.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// medianOf is the median of one figure of many samples.
func medianOf[S any](samples []S, figure func(S) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = figure(s)
	}
	return median(values)
}

// medianRatio is the median over the rounds of a figure divided by the same
// figure of another subject in the same round. It is NaN without common rounds.
func medianRatio[S any](samples, others []S, figure func(S) float64) float64 {
	var ratios []float64
	for i := range min(len(samples), len(others)) {
		ratios = append(ratios, figure(samples[i])/figure(others[i]))
	}
	return median(ratios)
}
