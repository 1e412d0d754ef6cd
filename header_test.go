package parallax_test

import (
	"testing"

	"parallax"
)

func TestIsToken(t *testing.T) {
	t.Parallel()
	f := func(s string, want bool) {
		t.Helper()
		if got := parallax.IsToken(s); got != want {
			t.Errorf("IsToken(%q) = %t", s, got)
		}
	}
	f("X-Shadow", true)
	f("a1!#$%&'*+-.^_`|~", true)
	f("", false)
	f("X Shadow", false)
	f("X-Shadow:", false)
	f("X\r\nY", false)
	f("caf\u00e9", false)
}

func TestIsFieldValue(t *testing.T) {
	t.Parallel()
	f := func(s string, want bool) {
		t.Helper()
		if got := parallax.IsFieldValue(s); got != want {
			t.Errorf("IsFieldValue(%q) = %t", s, got)
		}
	}
	f("", true)
	f("a b\tc, \"d\"; \u00e9", true)
	f("x\ny", false)
	f("x\ry", false)
	f("x\x00", false)
	f("x\x7f", false)
}
