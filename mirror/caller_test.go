package mirror

import (
	"testing"

	"parallax"
)

// TestCallers reads marks as egress does.
func TestCallers(t *testing.T) {
	t.Parallel()
	fleet, id := []byte("0123456789abcdef"), parallax.ID{1, 2, 3, 15: 9}
	key, read := newMACs(fleet), Callers(fleet)
	f := func(want Caller, ok bool, baggage ...string) {
		t.Helper()
		if got, found := read(baggage); got != want || found != ok {
			t.Errorf("%q is read as %+v, %t, want %+v, %t", baggage, got, found, want, ok)
		}
	}
	of := mark{role: shadow, service: "shop", exchange: id}
	f(Caller{"shop", id, true}, true, "a=1", "b=2,"+of.signed(key))
	of.role = live
	f(Caller{"shop", id, false}, true, of.signed(key))
	f(Caller{}, false, of.signed(newMACs([]byte("another key of it"))))
	f(Caller{}, false)
}
