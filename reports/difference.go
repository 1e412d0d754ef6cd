package reports

import "math"

// difference is the evidence on how much more often the candidate's requests show something
// than the primary's of the same time, where the two are of other users. It is folded over
// blocks: n requests of the candidate of which x show it, and m of the primary of which y do,
// with rates p and q that may be others in each block.
//
// For independent requests E exp(-ax) <= exp(-n p A) with A = 1-exp(-a), and
// E exp(by) <= exp(m q (exp(b)-1)), since 1+t <= exp(t). With b = ln(1 + nA/m) both have the
// same weight nA, and
//
//	exp(nA d - ax + by) has an expectation of at most exp(nA (d - (p-q))),
//
// which is at most 1 where the candidate's rate is d or more above the primary's: a product of
// such factors over blocks, whose a is settled before, is an e-process, whatever q is and
// however it moves. Likewise exp(ax - by - nG d), with G = exp(a)-1 and b = -ln(1 - nG/m), where
// it is d or less above it. Each is the mean over several a, since which one is best depends on
// the rates. (E-processes: Ramdas, Grunwald, Vovk and Shafer, Statistical Science 38(4), 2023.)
//
// Blocks in which the primary was asked nothing tell that the candidate's rate is low, not that
// it is high: the primary's might have been as high.
type difference struct {
	below [len(belowBets)]bet
	above [len(aboveBets)]bet
}

// bet is one a: sum is what the outcomes came to, and weight how many requests stand behind it.
type bet struct{ sum, weight float64 }

// The a of both sides. Large ones are best where hardly anything shows it, small ones where
// much does on both legs.
var (
	belowBets = [...]float64{0.01, 0.05, 0.25, 1, 4}
	aboveBets = [...]float64{0.05, 0.25, 1, 3}
)

// add takes in a block: x of n, beside y of m.
func (d *difference) add(x, n, y, m uint64) {
	if n == 0 {
		return
	}
	c, p := float64(n), float64(m)
	for i, a := range belowBets {
		weight := -c * math.Expm1(-a)
		d.below[i].weight += weight
		d.below[i].sum += a * float64(x)
		if m > 0 {
			d.below[i].sum -= math.Log1p(weight/p) * float64(y)
		}
	}
	if m == 0 {
		return
	}
	for i, a := range aboveBets {
		g := min(math.Expm1(a), p/(2*c)) // more than p/c cannot be weighed up
		d.above[i].weight += c * g
		d.above[i].sum += math.Log1p(g)*float64(x) + math.Log1p(-c*g/p)*float64(y)
	}
}

// lnBelow is the evidence, in logarithms, that the candidate's rate is less than so much above
// the primary's.
func (d *difference) lnBelow(by float64) float64 {
	var w [len(belowBets)]float64
	for i, b := range d.below {
		w[i] = by*b.weight - b.sum
	}
	return mean(w[:])
}

// lnAbove is the evidence that it is more than so much above it.
func (d *difference) lnAbove(by float64) float64 {
	var w [len(aboveBets)]float64
	for i, b := range d.above {
		w[i] = b.sum - by*b.weight
	}
	return mean(w[:])
}

// upper and lower are the limits of the difference of both rates, between -1 and 1; each holds
// with probability 1-alpha at all moments together.
func (d *difference) upper(alpha float64) float64 {
	return bisect(func(by float64) bool { return d.lnBelow(by) >= -math.Log(alpha) }, 1)
}

func (d *difference) lower(alpha float64) float64 {
	return -bisect(func(by float64) bool { return d.lnAbove(-by) >= -math.Log(alpha) }, 1)
}

// bisect returns the smallest value from -1 to 1 that is enough, and otherwise what is said.
func bisect(enough func(float64) bool, otherwise float64) float64 {
	low, high := -1.0, 1.0
	if !enough(high) {
		return otherwise
	}
	for range 60 {
		if middle := (low + high) / 2; enough(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}
