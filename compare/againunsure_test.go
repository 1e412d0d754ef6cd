package compare

import (
	"fmt"
	"testing"
	"time"

	"parallax"
	"parallax/internal/ids"
)

// primaryAgain says what Again makes of a primary's two answers, of which the second
// came after a while.
func primaryAgain(first, second *parallax.Call, later time.Duration, in Input) Steadiness {
	x := exchange(first, jsonAnswer(`{}`))
	second.Start, second.Done = later, later
	return Again(x, parallax.Primary, second, in)
}

// TestTimeGoesOnUntilAskedAgain: a time that follows the clock lies as much later in the
// second answer as that was asked for later. It does not say that the state moved.
func TestTimeGoesOnUntilAskedAgain(t *testing.T) {
	t.Parallel()
	f := func(rule Rule, first, second string, later time.Duration, want Steadiness) {
		t.Helper()
		rule.Path, rule.Reason, rule.Owner = "$.at", "r", "o"
		body := func(at string) *parallax.Call { return jsonAnswer(fmt.Sprintf(`{"at":%q}`, at)) }
		if got := primaryAgain(body(first), body(second), later, Input{Rules: compiled(t, rule)}); got != want {
			t.Errorf("%s, %s later %s: %s, want %s", first, later, second, got, want)
		}
	}
	at := func(after time.Duration) string {
		return exchange(nil, nil).Received.Add(after).Format(time.RFC3339)
	}
	within := Rule{Time: &Time{Within: time.Second}}
	near := Rule{Time: &Time{Within: time.Second, Near: "request"}}
	for _, rule := range []Rule{within, near} {
		f(rule, at(0), at(time.Second), 0, Steady)
		f(rule, at(0), at(30*time.Second), 30*time.Second, Steady)
		f(rule, at(0), at(time.Hour), 30*time.Second, Unsteady)
	}
}

// TestBlameIsTheCandidatesAlone: where two instances of the primary are known to differ,
// its two answers may, also after a candidate was found to differ there more often.
func TestBlameIsTheCandidatesAlone(t *testing.T) {
	t.Parallel()
	model := &NoiseModel{}
	place := "$.n changed number"
	for range 40 {
		x := exchange(jsonAnswer(`{"n":1}`), jsonAnswer(`{"n":1}`))
		x.Legs[parallax.Secondary] = jsonAnswer(`{"n":2}`)
		s := Compare(x, Input{Noise: model}).Sample
		place = s.Secondary[0]
		s.SecondaryAlone, s.CandidateAlone = nil, []string{place}
		model.Add(s)
	}
	if p := model.Places(exchange(nil, nil).Endpoint); len(p) != 1 || !p[0].Blamed {
		t.Fatalf("the candidate is not blamed: %+v", p)
	}
	if got := primaryAgain(jsonAnswer(`{"n":1}`), jsonAnswer(`{"n":7}`), 0, Input{Noise: model}); got != Steady {
		t.Errorf("the primary is %s where it is known to differ from itself", got)
	}
	if got := primaryAgain(jsonAnswer(`{"n":1,"v":1}`), jsonAnswer(`{"n":7,"v":2}`), 0, Input{Noise: model}); got != Unsteady {
		t.Errorf("%s", got)
	}
}

// TestASecondaryTellsAtOnce: where the secondary differs in this very exchange the
// primary is no steadier than the two of them, also before that is known as noise.
func TestASecondaryTellsAtOnce(t *testing.T) {
	t.Parallel()
	x := exchange(jsonAnswer(`{"n":1,"v":1}`), jsonAnswer(`{"n":2,"v":9}`))
	x.Legs[parallax.Secondary] = jsonAnswer(`{"n":3,"v":1}`)
	f := func(second string, want Steadiness) {
		t.Helper()
		if got := Again(x, parallax.Primary, jsonAnswer(second), Input{}); got != want {
			t.Errorf("%s: %s, want %s", second, got, want)
		}
	}
	f(`{"n":4,"v":1}`, Steady)
	f(`{"n":1,"v":1}`, Steady)
	f(`{"n":4,"v":2}`, Unsteady)
	f(`{"n":"no","v":1}`, Unsteady)
}

// TestASecondAnswerThatSaysNothing: whoever is asked too often, or is another version by
// now, has not said that its state moved.
func TestASecondAnswerThatSaysNothing(t *testing.T) {
	t.Parallel()
	f := func(before, now int, version string, want Steadiness) {
		t.Helper()
		first, second := jsonAnswer(`{"n":1}`), jsonAnswer(`{"n":2}`)
		first.Response.Status, second.Response.Status = before, now
		first.Version, second.Version = "1.0", version
		if got := primaryAgain(first, second, 0, Input{}); got != want {
			t.Errorf("%d, then %d by version %q: %s, want %s", before, now, version, got, want)
		}
	}
	f(200, 200, "1.0", Unsteady)
	f(200, 200, "", Unsteady)
	f(200, 200, "1.1", Unknown)
	f(200, 404, "1.0", Unsteady)
	for _, status := range []int{408, 425, 429, 503} {
		f(200, status, "1.0", Unknown)
		f(status, status, "1.0", Unsteady)
	}
}

// TestAgainWithIdentifiers: a value that a leg makes up anew with its second answer is
// none that moved, and another reference is one.
func TestAgainWithIdentifiers(t *testing.T) {
	t.Parallel()
	set, faults := ids.Compile([]ids.Config{{Name: "order", From: ids.At("GET /new $.id"), In: ids.At("$.order")}})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	f := func(target, first, second string, want Steadiness) {
		t.Helper()
		for _, leg := range []parallax.Leg{parallax.Primary, parallax.Candidate} {
			x := exchange(jsonAnswer(first), jsonAnswer(first))
			for _, call := range x.Legs[:2] {
				call.Request.Method, call.Request.Target = "GET", target
			}
			if got := Again(x, leg, jsonAnswer(second), Input{IDs: &Identifiers{Set: set, View: ids.NewView(nil)}}); got != want {
				t.Errorf("%s, %s: %s, then %s: %s, want %s", leg, target, first, second, got, want)
			}
		}
	}
	f("/new", `{"id":17,"n":1}`, `{"id":18,"n":1}`, Steady)
	f("/new", `{"id":17,"n":1}`, `{"id":18,"n":2}`, Unsteady)
	f("/new", `{"id":17,"order":17}`, `{"id":18,"order":18}`, Steady)
	f("/new", `{"id":17,"order":17}`, `{"id":18,"order":17}`, Unsteady)
	f("/new", `{"id":17}`, `{"id":null}`, Unsteady)
	f("/orders/1", `{"order":17}`, `{"order":18}`, Unsteady)
	f("/orders/1", `{"order":17}`, `{"order":17}`, Steady)
}
