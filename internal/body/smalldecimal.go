package body

import (
	"math/bits"
	"strconv"
)

// maxSmallDigits is how many decimal digits always fit an int64.
const maxSmallDigits = 18

// smallScale is sameScale for up to three numbers of which each takes at most 18
// digits then, as most do; false if one takes more.
func smallScale(numbers ...Decimal) (out [3]int64, ok bool) {
	low, first := int64(0), true
	for i := range numbers {
		d := &numbers[i]
		if last := d.exp - int64(len(d.digits)); len(d.digits) > 0 && (first || last < low) {
			low, first = last, false
		}
	}
	for i := range numbers {
		d := &numbers[i]
		if len(d.digits) == 0 {
			continue
		}
		if len(d.digits) > maxSmallDigits || d.exp > low+maxSmallDigits {
			return out, false
		}
		n, _ := strconv.ParseInt(string(d.digits), 10, 64) // digits only, and few
		for range d.exp - int64(len(d.digits)) - low {
			n *= 10
		}
		if d.negative {
			n = -n
		}
		out[i] = n
	}
	return out, true
}

// smallWithinRel is withinRel for numbers that are small at one scale; known is
// false for others.
func smallWithinRel(x, y, rel Decimal) (within, known bool) {
	at, ok := smallScale(x, y)
	share, okRel := smallScale(rel, Decimal{digits: []byte("1"), exp: 1})
	if !ok || !okRel {
		return false, false
	}
	larger := max(magnitude(at[0]), magnitude(at[1]))
	high, low := bits.Mul64(magnitude(at[0]-at[1]), uint64(share[1]))
	mostHigh, mostLow := bits.Mul64(larger, uint64(share[0]))
	return high < mostHigh || high == mostHigh && low <= mostLow, true
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return uint64(-n)
	}
	return uint64(n)
}
