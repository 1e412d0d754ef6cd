package compare

import (
	"testing"
	"time"
)

func accepted(d Difference, endpoint string, until time.Time) Acceptance {
	return Acceptance{Fingerprint: d.Fingerprint, Endpoint: endpoint, By: ByAcceptance, Who: "alice", Note: "known", At: testTime, Until: until}
}

func TestAcceptedDifferenceStaysVisibleAndDoesNotCount(t *testing.T) {
	t.Parallel()
	x := exchange(jsonAnswer(`{"a":null,"b":1}`), jsonAnswer(`{"a":[],"b":1}`))
	found := Compare(x, Input{}).Differences[0]
	in := Input{Accepted: NewAcceptances([]Acceptance{accepted(found, x.Endpoint, testTime.Add(time.Hour))})}

	c := Compare(x, in)
	if c.Outcome != Match || c.Divergences != 0 || c.Accepted != 1 {
		t.Errorf("it came to %v, %d divergences, %d accepted", c.Outcome, c.Divergences, c.Accepted)
	}
	want := Suppression{By: ByAcceptance, Detail: "alice, until 2026-11-21: known"}
	if got := c.Differences[0].Suppressed; got.By != want.By || got.Detail == "" {
		t.Errorf("it says %+v", got)
	}

	more := exchange(jsonAnswer(`{"a":null,"b":1}`), jsonAnswer(`{"a":[],"b":2}`))
	if c := Compare(more, in); c.Outcome != Diverged || c.Divergences != 1 || c.Accepted != 1 {
		t.Errorf("beside another difference it came to %v, %d divergences", c.Outcome, c.Divergences)
	}
	other := exchange(jsonAnswer(`{"a":null}`), jsonAnswer(`{"a":[]}`))
	other.Endpoint = "GET /other"
	if c := Compare(other, in); c.Outcome != Diverged {
		t.Error("it holds for another endpoint")
	}
	late := exchange(jsonAnswer(`{"a":null}`), jsonAnswer(`{"a":[]}`))
	late.Received = testTime.Add(time.Hour)
	if c := Compare(late, in); c.Outcome != Diverged {
		t.Error("it holds after its end")
	}
}

func TestNobodyAcceptsThatThereIsNoAnswer(t *testing.T) {
	t.Parallel()
	x := exchange(jsonAnswer(`{}`), failure(t, "timeout"))
	found := Compare(x, Input{}).Differences[0]
	c := Compare(x, Input{Accepted: NewAcceptances([]Acceptance{accepted(found, x.Endpoint, testTime.Add(time.Hour))})})
	if c.Outcome != Diverged || !c.CandidateFailed {
		t.Errorf("it came to %v", c.Outcome)
	}
}

func TestAcceptedDifferencesNeverHideOneThatCounts(t *testing.T) {
	t.Parallel()
	p, c := `{"z":1,"list":[0`, `{"z":2,"list":[1`
	for range 3 * maxKept {
		p, c = p+",100", c+",200"
	}
	x := exchange(jsonAnswer(p+`]}`), jsonAnswer(c+`]}`))
	var list []Acceptance
	for _, d := range Compare(x, Input{}).Differences {
		if d.Normal == "$.list[*]" {
			list = append(list, accepted(d, x.Endpoint, testTime.Add(time.Hour)))
		}
	}
	if got := Compare(x, Input{Accepted: NewAcceptances(list)}); got.Divergences != 1 || !got.Truncated {
		t.Errorf("%d count, truncated %v", got.Divergences, got.Truncated)
	}
}

func TestAcceptancesAreInTheHash(t *testing.T) {
	t.Parallel()
	a := Acceptance{Fingerprint: "1-0123456789abcdef", Endpoint: "GET /a", By: ByAcceptance, At: testTime, Until: testTime.Add(time.Hour)}
	set := NewAcceptances([]Acceptance{a})
	hash := set.HashAt("b3c1", "GET /a", testTime)
	later := a
	later.At = testTime.Add(time.Second)
	noise := a
	noise.By = ByDeclaredNoise
	for name, got := range map[string]struct {
		hash string
		same bool
	}{
		"none":             {(*Acceptances)(nil).HashAt("b3c1", "GET /a", testTime), false},
		"another endpoint": {set.HashAt("b3c1", "GET /b", testTime), false},
		"expired":          {set.HashAt("b3c1", "GET /a", testTime.Add(time.Hour)), false},
		"said anew":        {NewAcceptances([]Acceptance{a, later}).HashAt("b3c1", "GET /a", testTime), false},
		"as noise":         {NewAcceptances([]Acceptance{noise}).HashAt("b3c1", "GET /a", testTime), false},
		"once more":        {NewAcceptances([]Acceptance{a}).HashAt("b3c1", "GET /a", testTime.Add(time.Minute)), true},
	} {
		if (got.hash == hash) != got.same {
			t.Errorf("%s: %s against %s", name, got.hash, hash)
		}
	}
	for _, none := range []string{set.HashAt("b3c1", "GET /b", testTime), set.HashAt("b3c1", "GET /a", testTime.Add(time.Hour))} {
		if none != "b3c1" {
			t.Errorf("without an acceptance the hash is %q", none)
		}
	}
}
