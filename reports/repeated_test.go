package reports

import (
	"testing"

	"parallax/divergence"
)

// TestRepeatsAreNoEvidence: however many there are, and the verdict says that there are.
func TestRepeatsAreNoEvidence(t *testing.T) {
	t.Parallel()
	repeated := func(n, repeated uint64) divergence.Tick {
		x := tick("GET /a", 1, n, 0)
		x.Received, x.Repeated = n+repeated, repeated
		return x
	}
	is(t, at(fold(quick(), repeated(20, 1_000_000)), 1), Hold, "insufficient_samples GET /a", "repeated GET /a")
	is(t, at(fold(quick(), repeated(20, 10)), 1), Hold, "insufficient_samples GET /a")
	is(t, at(fold(quick(), repeated(1000, 1_000_000)), 1), Promote)

	// Lost exchanges are a share of all that were mirrored.
	x := repeated(1000, 1000)
	x.Lost = 15
	is(t, at(fold(quick(), x), 1), Promote)

	// Traffic of nothing else keeps a verdict from being stale.
	e := fold(quick(), tick("GET /a", 1, 1000, 0))
	late := repeated(0, 5)
	late.At = late.At.Add(StaleAfter)
	e.Add(late)
	is(t, e.Verdict(late.At.Add(StaleAfter), Context{Service: "shop"}), Promote)
}

// TestRepeatsThatAreWorseHold: a request that is most of the traffic and hardly any of the
// evidence holds by its share of all exchanges, whoever signed the endpoint.
func TestRepeatsThatAreWorseHold(t *testing.T) {
	t.Parallel()
	repeats := func(n, k, b uint64) divergence.Tick {
		x := tick("GET /a", 1, 1000, 0)
		x.Received, x.Repeated, x.RepeatedK, x.RepeatedB = 1000+n, n, k, b
		return x
	}
	is(t, at(fold(quick(), repeats(9000, 0, 0)), 1), Promote)
	is(t, at(fold(quick(), repeats(9000, 100, 0)), 1), Promote) // exactly 1 %
	is(t, at(fold(quick(), repeats(9000, 101, 0)), 1), Hold, "repeated GET /a")
	is(t, at(fold(quick(), repeats(9000, 0, 101)), 1), Hold, "repeated GET /a")
	is(t, at(fold(quick(), repeats(9000, 101, 101)), 1), Hold, "repeated GET /a", "repeated GET /a")

	// It ends with the share, and what cannot be counts for no more than there was.
	is(t, at(fold(quick(), repeats(9000, 101, 0), repeats(9000, 0, 0)), 1), Promote)
	is(t, at(fold(quick(), repeats(0, 101, 101)), 1), Promote)

	r := Reason{Code: Repeated, Endpoint: "GET /a", Test: DivergenceTest, K: 101, N: 10_000, Threshold: 0.01}
	if r.rated() || r.unpaired() {
		t.Error("a person could sign it away")
	}
	if want := "GET /a: with requests that are sent over and over, 101 of 10 000 exchanges diverge; at most 1 % is allowed."; r.Sentence() != want {
		t.Errorf("%s\nwant %s", r.Sentence(), want)
	}
}
