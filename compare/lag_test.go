package compare

import (
	"testing"

	"parallax"
)

// What a leg whose state lacks writes answers says nothing, whether it agrees or not.
func TestALegThatLacksWritesIsNotComparable(t *testing.T) {
	t.Parallel()
	rules, faults := Compile(nil)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	answer := func(status int, body string) *parallax.Call {
		return &parallax.Call{Response: parallax.Response{Status: status, Body: parallax.Body{Bytes: []byte(body), Size: int64(len(body))}}}
	}
	f := func(lag, body string, outcome Outcome, reason string) {
		t.Helper()
		x := &parallax.Exchange{Endpoint: "GET /orders/{id}", Lag: lag}
		x.Legs[parallax.Primary], x.Legs[parallax.Candidate] = answer(200, "a"), answer(200, body)
		if got := Compare(x, Input{Rules: rules}); got.Outcome != outcome || got.Reason != reason {
			t.Errorf("%q, %q: %s %s, want %s %s", lag, body, got.Outcome, got.Reason, outcome, reason)
		}
	}
	f("", "a", Match, "")
	f("", "b", Diverged, "")
	for _, lag := range []string{"behind", "tainted"} {
		f(lag, "a", NotComparable, ReasonLag)
		f(lag, "b", NotComparable, ReasonLag)
	}
}
