package parallax_test

import (
	"crypto/rand"
	"testing"
	"time"

	"parallax"
)

func TestTraceparentsAreRead(t *testing.T) {
	t.Parallel()
	f := func(s string, want bool) {
		t.Helper()
		got, ok := parallax.ParseTraceparent(s)
		if ok != want {
			t.Errorf("ParseTraceparent(%q) = %t, want %t", s, ok, want)
		}
		if ok && s[:2] == "00" && got.String() != s {
			t.Errorf("%q becomes %q", s, got)
		}
	}
	f("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true)
	f("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", true)
	f("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", false)
	f("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false)
	f("00-00000000000000000000000000000000-b7ad6b7169203331-01", false)
	f("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false)
	f("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false)
	f("0x-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false)
	f("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0", false)
	f("", false)
}

// Who reads a shadow's traceparent knows the exchange and the leg, whoever began the
// trace; and the live leg's is never taken for a shadow's.
func TestShadowsTraceparentTellsExchangeAndLeg(t *testing.T) {
	t.Parallel()
	newID := parallax.NewIDSource(time.Now, rand.Reader)
	callers, _ := parallax.ParseTraceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	for range 1000 {
		id := newID()
		for _, from := range []parallax.Traceparent{callers, parallax.TraceOf(id)} {
			for leg := range parallax.Leg(parallax.Legs) {
				made, ok := parallax.ParseTraceparent(from.ForShadow(id, leg).String())
				if !ok || made.Trace != from.Trace || made.Flags != from.Flags {
					t.Fatalf("%s: the %s gets %s", from, leg, made)
				}
				if tail, of, ok := made.Shadow(); !ok || tail != id.Tail() || of != leg {
					t.Fatalf("%s of %s's %s is taken for %x, %s, %t", made, id, leg, tail, of, ok)
				}
			}
		}
		if _, leg, ok := parallax.TraceOf(id).Shadow(); ok {
			t.Fatalf("what the live leg of %s gets is taken for the %s's", id, leg)
		}
	}
}
