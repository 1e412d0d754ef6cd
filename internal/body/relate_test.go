package body

import "testing"

func decimal(t *testing.T, text string) Decimal {
	t.Helper()
	d, err := ParseDecimal([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d
}

func TestHowNumbersRelate(t *testing.T) {
	t.Parallel()
	rounds := func(a, b string, places int64, want bool) {
		t.Helper()
		if got := decimal(t, a).RoundsTo(decimal(t, b), places); got != want {
			t.Errorf("%s rounds to %s at %d places: %v", a, b, places, got)
		}
	}
	rounds("1.2345", "1.23", 2, true)
	rounds("1.2345", "1.24", 2, true) // up
	rounds("1.2345", "1.25", 2, false)
	rounds("1.2999", "1.3", 2, true)
	rounds("-1.239", "-1.23", 2, true)
	rounds("1.23", "1.23", 2, false)
	rounds("1.23", "1.2", 2, false) // nothing to round
	rounds("0.004", "0", 2, true)
	rounds("0.5", "1", 0, true)
	rounds("9007199254740993.5", "9007199254740993", 0, true)
	rounds("9007199254740993.5", "9007199254740992", 0, false)
	rounds("1e-9999999", "0", 2, false) // too far apart to be subtracted

	neighbours := func(a, b string, want bool) {
		t.Helper()
		if got := decimal(t, a).Neighbours(decimal(t, b)); got != want {
			t.Errorf("%s and %s are neighbours: %v", a, b, got)
		}
	}
	neighbours("9007199254740993", "9007199254740992", true)
	neighbours("0", "-1", true)
	neighbours("10", "9", true)
	neighbours("1.5", "2.5", false)
	neighbours("1e99999999", "1", false)

	if d := decimal(t, "1500").Shift(-3); !d.Equal(decimal(t, "1.5")) {
		t.Error("1500 times 10^-3 is not 1.5")
	}
	if d := decimal(t, "0").Shift(5); !d.Equal(decimal(t, "0")) {
		t.Error("zero does not stay zero")
	}
	if !decimal(t, "5").Opposite(decimal(t, "-5.0")) || decimal(t, "0").Opposite(decimal(t, "-0")) {
		t.Error("opposites are not told")
	}
	if n := decimal(t, "1.250").Places(); n != 2 {
		t.Errorf("1.250 needs %d places", n)
	}
	if n := decimal(t, "1e3").Places(); n != 0 {
		t.Errorf("1e3 needs %d places", n)
	}
}
