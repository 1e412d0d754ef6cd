package body

import "math/big"

// Shift returns the number times ten to the power of n. It is exact and costs
// nothing: the digits stay.
func (d Decimal) Shift(n int64) Decimal {
	if len(d.digits) > 0 {
		d.exp += n
	}
	return d
}

// Opposite reports whether one number is the other with the sign changed. Zero is
// nobody's opposite.
func (d Decimal) Opposite(e Decimal) bool {
	e.negative = !e.negative
	return len(d.digits) > 0 && d.Equal(e)
}

// Zero reports whether the number is zero.
func (d Decimal) Zero() bool { return len(d.digits) == 0 }

// BelowOne reports whether the number lies between -1 and 1.
func (d Decimal) BelowOne() bool { return len(d.digits) == 0 || d.exp <= 0 }

// Places returns how many digits behind the point the number needs: 2 for 1.25
// and 1.250, 0 for 100.
func (d Decimal) Places() int64 {
	return max(int64(len(d.digits))-d.exp, 0)
}

// RoundsTo reports whether e is d brought to at most so many places behind the
// point, up, down or to the nearest; a number is not what it was rounded to.
// Numbers that are too long or too far apart to be subtracted are not.
func (d Decimal) RoundsTo(e Decimal, places int64) bool {
	return d.Places() > places && e.Places() <= places && d.closer(e, places)
}

// closer reports whether two numbers are less than one unit of the last of so many
// places apart.
func (d Decimal) closer(e Decimal, places int64) bool {
	unit := PowerOfTen(-places)
	if small, ok := smallScale(d, e, unit); ok {
		return magnitude(small[0]-small[1]) < magnitude(small[2])
	}
	scaled, ok := sameScale(d, e, unit)
	return ok && new(big.Int).Sub(scaled[0], scaled[1]).CmpAbs(scaled[2]) < 0
}

// Neighbours reports whether two numbers are whole and one apart.
func (d Decimal) Neighbours(e Decimal) bool {
	if d.Places() > 0 || e.Places() > 0 {
		return false
	}
	if small, ok := smallScale(d, e); ok {
		return magnitude(small[0]-small[1]) == 1
	}
	scaled, ok := sameScale(d, e, PowerOfTen(0))
	return ok && new(big.Int).Sub(scaled[0], scaled[1]).CmpAbs(scaled[2]) == 0
}

// Close reports whether two numbers differ by at most a share of the larger
// magnitude.
func (d Decimal) Close(e, share Decimal) bool { return withinRel(d, e, share) }

// PowerOfTen returns ten to the power of n.
func PowerOfTen(n int64) Decimal { return Decimal{digits: []byte("1"), exp: n + 1} }
