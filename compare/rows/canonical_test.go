package rows

import (
	"testing"

	"parallax"
)

func TestCanonicalNumbersAreNumbers(t *testing.T) {
	t.Parallel()
	f := func(text, want string) {
		t.Helper()
		got := canonical(&parallax.Column{Type: parallax.NumberColumn, Value: &text})
		if got != want {
			t.Errorf("%s is written %s, want %s", text, got, want)
		}
	}
	f("10", "10")
	f("9000", "9000")
	f("-100", "-100")
	f("10.00", "10")
	f("10.50", "10.5")
	f("0.00", "0")
	f("-0.0", "0")
	f("NaN", "NaN")
}
