package body

import (
	"bytes"
	"errors"
	"math/big"
	"strconv"
)

// Decimal is the exact value of a decimal number: 0.DIGITS times ten to the
// power of exp, with neither leading nor trailing zeros in digits; zero has no
// digits. Nothing is computed when it is read, so that 1e999999999 takes no more
// memory than it is long.
type Decimal struct {
	negative bool
	digits   []byte
	exp      int64
}

var errNumber = errors.New("not a JSON number")

// errExponent is returned for exponents of more than 17 digits.
var errExponent = errors.New("the exponent has too many digits")

// ParseDecimal reads a number as JSON writes it. It fails for other text and for
// exponents of more than 17 digits.
func ParseDecimal(text []byte) (Decimal, error) {
	if n := numberLen(text); n == 0 || n != len(text) {
		return Decimal{}, errNumber
	}
	return decimalOf(text)
}

// decimalOf is ParseDecimal for text known to be a number.
func decimalOf(text []byte) (Decimal, error) {
	var d Decimal
	if text[0] == '-' {
		d.negative, text = true, text[1:]
	}
	mantissa, exponent := text, []byte(nil)
	if i := bytes.IndexAny(text, "eE"); i >= 0 {
		mantissa, exponent = text[:i], text[i+1:]
	}
	whole, fraction, _ := bytes.Cut(mantissa, []byte("."))
	digits := whole
	if len(fraction) > 0 {
		digits = append(append(make([]byte, 0, len(mantissa)), whole...), fraction...)
	}
	significant := bytes.TrimLeft(digits, "0")
	leading := len(digits) - len(significant)
	d.digits = bytes.TrimRight(significant, "0")
	if len(d.digits) == 0 {
		return Decimal{}, nil // -0 and 0e9 are 0
	}
	exp, err := parseExponent(exponent)
	d.exp = exp + int64(len(whole)-leading)
	return d, err
}

func parseExponent(text []byte) (int64, error) {
	negative := false
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		negative, text = text[0] == '-', text[1:]
	}
	text = bytes.TrimLeft(text, "0")
	if len(text) > 17 {
		return 0, errExponent
	}
	var n int64
	for _, c := range text {
		n = n*10 + int64(c-'0')
	}
	if negative {
		n = -n
	}
	return n, nil
}

// Negative reports whether the number is below zero.
func (d Decimal) Negative() bool { return d.negative }

// Equal reports whether two numbers have the same value.
func (d Decimal) Equal(e Decimal) bool {
	return d.negative == e.negative && d.exp == e.exp && bytes.Equal(d.digits, e.digits)
}

// less reports whether a number is below another.
func (d Decimal) less(e Decimal) bool {
	if d.sign() != e.sign() {
		return d.sign() < e.sign()
	}
	if d.negative {
		d, e = e, d
	}
	if d.exp != e.exp {
		return len(d.digits) > 0 && d.exp < e.exp
	}
	return bytes.Compare(d.digits, e.digits) < 0
}

func (d Decimal) sign() int {
	switch {
	case len(d.digits) == 0:
		return 0
	case d.negative:
		return -1
	}
	return 1
}

// EqualNumbers reports whether two JSON numbers have the same exact value: 1,
// 1.0 and 1e0 are equal, so are -0 and 0; 0.1 and 0.10000000000000001 are not.
// Numbers with exponents of more than 17 digits are equal if they are spelled
// alike.
func EqualNumbers(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if plainInteger(a) && plainInteger(b) {
		return false
	}
	x, errX := decimalOf(a)
	y, errY := decimalOf(b)
	return errX == nil && errY == nil && x.Equal(y)
}

// plainInteger reports whether a number is written with digits only and is not
// zero; two of them are equal only if they are spelled alike.
func plainInteger(text []byte) bool {
	if text[0] == '-' {
		text = text[1:]
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return text[0] != '0'
}

// Bounds of the arithmetic for tolerances.
const (
	maxToleranceDigits = 4096
	maxToleranceScale  = 4096 // powers of ten between the numbers
)

// Within reports whether the numbers a and b differ by at most abs, or by at most
// rel times the larger magnitude; nil is no such allowance. The arithmetic is
// exact. Numbers of more than 4096 digits, or further apart than 4096 powers of
// ten, are not within any tolerance unless they are equal.
func Within(a, b []byte, abs, rel *Decimal) bool {
	x, errX := ParseDecimal(a)
	y, errY := ParseDecimal(b)
	if errX != nil || errY != nil {
		return bytes.Equal(a, b)
	}
	if x.Equal(y) {
		return true
	}
	return abs != nil && withinAbs(x, y, *abs) || rel != nil && withinRel(x, y, *rel)
}

func withinAbs(x, y, abs Decimal) bool {
	if small, ok := smallScale(x, y, abs); ok {
		return magnitude(small[0]-small[1]) <= magnitude(small[2])
	}
	return bigWithinAbs(x, y, abs)
}

func bigWithinAbs(x, y, abs Decimal) bool {
	scaled, ok := sameScale(x, y, abs)
	if !ok {
		return false
	}
	diff := scaled[0].Sub(scaled[0], scaled[1])
	return diff.CmpAbs(scaled[2]) <= 0
}

func withinRel(x, y, rel Decimal) bool {
	// Fast path: no big numbers are made (BenchmarkWithin).
	if within, known := smallWithinRel(x, y, rel); known {
		return within
	}
	return bigWithinRel(x, y, rel)
}

func bigWithinRel(x, y, rel Decimal) bool {
	scaled, ok := sameScale(x, y)
	share, okRel := sameScale(rel, Decimal{digits: []byte("1"), exp: 1})
	if !ok || !okRel {
		return false
	}
	larger := scaled[0]
	if scaled[1].CmpAbs(larger) > 0 {
		larger = scaled[1]
	}
	allowed := new(big.Int).Mul(new(big.Int).Abs(larger), share[0])
	diff := new(big.Int).Sub(scaled[0], scaled[1])
	return diff.Mul(diff, share[1]).CmpAbs(allowed) <= 0
}

// sameScale returns the numbers as integers, all multiplied by the same power of
// ten; false if that would take too many digits.
func sameScale(numbers ...Decimal) ([]*big.Int, bool) {
	low, high := int64(0), int64(0)
	first := true
	for _, d := range numbers {
		if len(d.digits) == 0 {
			continue
		}
		if len(d.digits) > maxToleranceDigits {
			return nil, false
		}
		last := d.exp - int64(len(d.digits))
		if first || last < low {
			low = last
		}
		if first || d.exp > high {
			high = d.exp
		}
		first = false
	}
	if high-low > maxToleranceScale+maxToleranceDigits {
		return nil, false
	}
	out := make([]*big.Int, len(numbers))
	for i, d := range numbers {
		out[i] = new(big.Int)
		if len(d.digits) == 0 {
			continue
		}
		out[i].SetString(string(d.digits), 10)
		shift := d.exp - int64(len(d.digits)) - low
		out[i].Mul(out[i], new(big.Int).Exp(big.NewInt(10), big.NewInt(shift), nil))
		if d.negative {
			out[i].Neg(out[i])
		}
	}
	return out, true
}

// numberLen returns the length of the JSON number that text begins with, 0 if it
// begins with none.
func numberLen(text []byte) int {
	i := 0
	if i < len(text) && text[i] == '-' {
		i++
	}
	switch {
	case i < len(text) && text[i] == '0':
		i++
	case i < len(text) && text[i] >= '1' && text[i] <= '9':
		i = digitsEnd(text, i)
	default:
		return 0
	}
	if i < len(text) && text[i] == '.' {
		end := digitsEnd(text, i+1)
		if end == i+1 {
			return 0
		}
		i = end
	}
	if i < len(text) && text[i]|0x20 == 'e' {
		j := i + 1
		if j < len(text) && (text[j] == '+' || text[j] == '-') {
			j++
		}
		end := digitsEnd(text, j)
		if end == j {
			return 0
		}
		i = end
	}
	return i
}

func digitsEnd(text []byte, i int) int {
	for i < len(text) && text[i] >= '0' && text[i] <= '9' {
		i++
	}
	return i
}

// CanonicalNumber returns a text that equal numbers share, and only they.
func CanonicalNumber(text []byte) []byte {
	if plainInteger(text) && text[len(text)-1] != '0' {
		// Fast path: this is the canonical spelling of most numbers.
		return text
	}
	d, err := decimalOf(text)
	switch {
	case err != nil:
		return append([]byte("as written "), text...)
	case len(d.digits) == 0:
		return []byte("0")
	case d.exp == int64(len(d.digits)):
		return signed(d, nil)
	}
	return signed(d, strconv.AppendInt([]byte("e"), d.exp, 10))
}

func signed(d Decimal, exponent []byte) []byte {
	out := make([]byte, 0, 1+len(d.digits)+len(exponent))
	if d.negative {
		out = append(out, '-')
	}
	return append(append(out, d.digits...), exponent...)
}
