package demo

import (
	"math"
	"time"
)

// histogram counts durations in buckets that grow by a twentieth each, from 10
// microseconds to about 10 minutes: quantiles are exact to 5 %.
type histogram struct {
	buckets [370]int64
	n       int64
}

const (
	shortest = 10 * time.Microsecond
	growth   = 1.05
)

func (h *histogram) add(d time.Duration) {
	i := 0
	if d > shortest {
		i = int(math.Log(float64(d)/float64(shortest))/math.Log(growth)) + 1
	}
	h.buckets[min(i, len(h.buckets)-1)]++
	h.n++
}

// quantile returns the upper end of the bucket that holds the quantile q, and 0
// when nothing was counted.
func (h *histogram) quantile(q float64) time.Duration {
	rank := int64(math.Ceil(q * float64(h.n)))
	var below int64
	for i, n := range h.buckets {
		below += n
		if n > 0 && below >= rank {
			return time.Duration(float64(shortest) * math.Pow(growth, float64(i)))
		}
	}
	return 0
}
