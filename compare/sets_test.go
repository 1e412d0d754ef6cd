package compare

import (
	"strings"
	"testing"
)

// TestSetComparesEachOfOneHash has elements of one hash that are not equal: their
// members of one name stand in another order.
func TestSetComparesEachOfOneHash(t *testing.T) {
	t.Parallel()
	rules := compiled(t, Rule{Path: "$.a", Array: Array{Mode: Set}})
	for candidate, want := range map[string]Outcome{
		`{"a":[{"k":1,"k":2},{"k":1,"k":2}]}`: Match,
		`{"a":[{"k":1,"k":2},{"k":2,"k":1}]}`: Diverged,
	} {
		if got := Compare(exchange(jsonAnswer(`{"a":[{"k":1,"k":2}]}`), jsonAnswer(candidate)), Input{Rules: rules}); got.Outcome != want {
			t.Errorf("%s: %v %v, want %v", candidate, got.Outcome, got.Differences, want)
		}
	}
}

// TestTextOfTooManyLines compares texts whose lines are too many to be kept one by one.
func TestTextOfTooManyLines(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("\n", maxLines+1)
	p, c := answer(200, text, "Content-Type", "text/plain"), answer(200, text+"x", "Content-Type", "text/plain")
	got := Compare(exchange(p, c), Input{})
	if got.Outcome != Diverged || len(got.Differences) != 1 || got.Differences[0].Path != "text" {
		t.Errorf("%v %v", got.Outcome, got.Differences)
	}
}

// TestFilterThatGivesUp has a rule that asks something of equal values behind a filter
// which takes more looks than it may.
func TestFilterThatGivesUp(t *testing.T) {
	t.Parallel()
	rules := compiled(t, Rule{Path: "$[?!(" + strings.Repeat("@..zz || ", 40) + "@..zz)].id", Class: "uuid"})
	same := `[` + strings.Repeat(`{"a":[1,2,3,4,5,6,7,8]},`, 500) + `{"id":"x"}]`
	got := Compare(exchange(jsonAnswer(same), jsonAnswer(same)), Input{Rules: rules})
	if got.Outcome != NotComparable || got.Reason != ReasonTruncated {
		t.Errorf("%v %q: what a rule asks was not looked at to the end", got.Outcome, got.Reason)
	}
}

// TestTimesAreWrittenInFull refuses times that are written otherwise than the layouts.
func TestTimesAreWrittenInFull(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"2026-11-21T10:00:00Z": true, "2026-11-21 10:00:00.5+02:00": true, "2026-11-21t10:00:00z": true, "2026-11-21T10:00:00": true,
		"2026-11-21T1:00:00Z": false, "2026-11-21T10:00:00,5Z": false, "2026-11-21T10:00:00+2:00": false, "2026-11-21T10:00:00+99:00": false,
		"2026-11-21T24:00:00Z": false, "2026-02-30T10:00:00Z": false, "Sat, 21 Nov 2026 10:00:00 GMT": true, "Sat, 21 Nov 2026 1:00:00 GMT": false,
	} {
		if HasClass("timestamp", []byte(text)) != want {
			t.Errorf("%s: want %v", text, want)
		}
	}
}
