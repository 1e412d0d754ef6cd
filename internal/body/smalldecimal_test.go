package body

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// Small numbers and big ones come to the same.
func TestSmallDecimalsAgreeWithBigOnes(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(12, 0))
	number := func() Decimal {
		text := fmt.Sprintf("%d.%0*d", r.IntN([]int{2, 1000, 1 << 40}[r.IntN(3)]), 1+r.IntN(6), r.IntN(10))
		if r.IntN(4) == 0 {
			text += fmt.Sprintf("e%d", r.IntN(40)-20)
		}
		if r.IntN(4) == 0 {
			text = "-" + text
		}
		d, err := ParseDecimal([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	small := 0
	for range 50000 {
		x, y, allowed := number(), number(), number()
		allowed.negative = false
		if r.IntN(2) == 0 {
			y = x
			y.digits = []byte(strings.TrimRight(string(x.digits)+fmt.Sprint(r.IntN(3)), "0"))
		}
		if within, known := smallWithinRel(x, y, allowed); known {
			small++
			if want := bigWithinRel(x, y, allowed); within != want {
				t.Fatalf("%v %v within a share of %v: %t, want %t", x, y, allowed, within, want)
			}
		}
		if got, want := withinAbs(x, y, allowed), bigWithinAbs(x, y, allowed); got != want {
			t.Fatalf("%v %v within %v: %t, want %t", x, y, allowed, got, want)
		}
	}
	if small < 10000 {
		t.Errorf("only %d of 50000 were small", small)
	}
}

func BenchmarkWithin(b *testing.B) {
	share, _ := ParseDecimal([]byte("0.001"))
	b.ReportAllocs()
	for b.Loop() {
		Within([]byte("1234.56"), []byte("1234.78"), nil, &share)
	}
}
