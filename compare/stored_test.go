package compare

import (
	"testing"

	"parallax"
)

// storedPair is an exchange of two JSON answers.
func storedPair(primary, candidate string) *parallax.Exchange {
	x := &parallax.Exchange{Endpoint: "GET /x", Received: lintDay}
	x.Legs[parallax.Primary], x.Legs[parallax.Candidate] = jsonCall(primary), jsonCall(candidate)
	return x
}

// TestStored: what was redacted is equal or not by its token; where a rule would
// weigh it, nothing is said.
func TestStored(t *testing.T) {
	t.Parallel()
	const one, two = `{"a":"redacted:1111111111111111","b":1}`, `{"a":"redacted:2222222222222222","b":1}`
	f := func(primary, candidate string, outcome Outcome, reason string, rules ...Rule) {
		t.Helper()
		compiled, faults := Compile(rules)
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		got := Compare(storedPair(primary, candidate), Input{Rules: compiled, Stored: true})
		if got.Outcome != outcome || got.Reason != reason || (reason != "") != (got.Unjudged > 0) {
			t.Errorf("%s and %s under %+v: %v %q, %d not judged", primary, candidate, rules, got.Outcome, got.Reason, got.Unjudged)
		}
	}
	near := Rule{Path: "$.a", Tolerance: &Tolerance{Abs: "1"}}
	f(one, one, Match, "")
	f(one, one, Match, "", near)
	f(one, two, Diverged, "")
	f(one, two, NotComparable, ReasonRedacted, near)
	f(one, two, Match, "", near, Rule{Path: "$.a", Ignore: true})
	f(one, two, Diverged, "", Rule{Path: "$", Tolerance: &Tolerance{Abs: "1"}}) // about the root alone
	f(one, `{"a":"redacted:2222222222222222","b":2}`, Diverged, "", Rule{Path: "$.a", Tolerance: &Tolerance{Abs: "1"}, Ignore: true})
	if got := Compare(storedPair(one, two), Input{}); got.Outcome != Diverged {
		t.Errorf("of live traffic: %v", got.Outcome)
	}
}

func TestRestored(t *testing.T) {
	t.Parallel()
	x := storedPair(`{}`, `{}`)
	x.Legs[1].Response.Headers = append(x.Legs[1].Response.Headers, parallax.Field{Name: wasEncoded, Value: "gzip"})
	if got := Compare(x, Input{Stored: true}); got.Outcome != Diverged {
		t.Errorf("the header passes: %v", got.Outcome)
	}
	restored, ok := Restored(x)
	if got := Compare(restored, Input{Stored: true}); !ok || got.Outcome != Match || len(x.Legs[1].Response.Headers) != 4 {
		t.Errorf("%v %v, %d headers are left", ok, got.Outcome, len(x.Legs[1].Response.Headers))
	}
	x.Legs[0].Response.Body.Bytes = []byte(removedNote)
	if _, ok := Restored(x); ok {
		t.Error("a body that is not there is compared")
	}
}
