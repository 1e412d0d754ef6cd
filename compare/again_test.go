package compare

import (
	"testing"

	"parallax"
)

// TestAgain: a second answer is compared with the first of the same leg in what counts:
// by the rules, but not by what was expected of or renamed for the candidate, and
// without what is known to be noise.
func TestAgain(t *testing.T) {
	t.Parallel()
	list, faults := ReadRules("test", []byte(`
- { path: $.at, ignore: true, reason: r, owner: o }
- { path: $.price, tolerance: { abs: 0.01 } }
- { path: $.v, expect: changed }
- { path: $.old, move: { to: $.new } }
`))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	rules := compiled(t, list...)
	answer := func(status int, text string) *parallax.Call {
		return &parallax.Call{Response: parallax.Response{Status: status,
			Headers: []parallax.Field{{Name: "Content-Type", Value: "application/json"}},
			Body:    parallax.Body{Bytes: []byte(text), Size: int64(len(text))}}}
	}
	f := func(first, second *parallax.Call, want Steadiness) {
		t.Helper()
		x := &parallax.Exchange{Endpoint: "GET /"}
		x.Legs[parallax.Primary] = first
		if got := Again(x, parallax.Primary, second, Input{Rules: rules}); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	whole := answer(200, `{"at":1,"price":9.99,"v":1,"old":5}`)
	f(whole, whole, Steady)
	f(whole, answer(200, `{"v":1, "old":5, "at":2,"price":10.00}`), Steady)
	f(whole, answer(200, `{"at":1,"price":9.99,"v":1,"old":6}`), Unsteady)
	f(whole, answer(200, `{"at":1,"price":10.99,"v":1,"old":5}`), Unsteady)
	f(whole, answer(200, `{"at":1,"price":9.99,"v":2,"old":5}`), Unsteady)
	f(whole, answer(404, `{"at":1,"price":9.99,"v":1,"old":5}`), Unsteady)
	f(whole, &parallax.Call{Err: parallax.CallErr{Kind: parallax.Timeout}}, Unknown)
	f(whole, nil, Unknown)
	f(nil, whole, Unknown)
	cut := answer(200, `{"at":1,"price":9.99,"v":1,"old":5}`)
	cut.Response.Body.Cut = true
	f(whole, cut, Unknown)
}

// TestTransient: only a whole second answer of the primary that is no failure makes a
// divergence transient, and no candidate that failed is excused by it.
func TestTransient(t *testing.T) {
	t.Parallel()
	call := func(status int) *parallax.Call { return &parallax.Call{Response: parallax.Response{Status: status}} }
	f := func(c Comparison, primary *parallax.Call, how Steadiness, want bool) {
		t.Helper()
		if got := Transient(&parallax.Exchange{}, c, primary, how, Input{}); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	diverged := Comparison{Outcome: Diverged, Divergences: 1, Differences: []Difference{{Path: "$.a"}, {Path: "$.b", Suppressed: Suppression{By: "rule"}}}}
	f(diverged, call(200), Unsteady, true)
	f(diverged, call(200), Steady, false)
	f(diverged, call(200), Unknown, false)
	f(diverged, call(503), Unsteady, false)
	f(Comparison{Outcome: Diverged, CandidateFailed: true}, call(200), Unsteady, false)
	f(Comparison{Outcome: Diverged, Divergences: 2, Written: 1}, call(200), Unsteady, false)
	f(Comparison{}, call(200), Unsteady, false)

	now := diverged.AsTransient()
	if now.Outcome != NotComparable || now.Reason != ReasonTransient || now.Divergences != 0 ||
		now.Differences[0].Suppressed.By != "transient" || now.Differences[1].Suppressed.By != "rule" || diverged.Differences[0].Suppressed.By != "" {
		t.Errorf("%+v of %+v", now, diverged)
	}
}
