package compare

import (
	"fmt"
	"strings"
	"testing"

	"parallax/internal/body"
)

// What is nested too deep, or has too many values, cannot be decoded: a divergence
// on one side, bytes on both.
func TestDepthAndNodeCaps(t *testing.T) {
	t.Parallel()
	f := func(p, c string, want Outcome, kind Kind, why string) {
		t.Helper()
		got := Bodies(JSON, []byte(p), []byte(c), "GET /", nil, testTime)
		if got.Outcome != want || len(got.Differences) != 1 || got.Differences[0].Kind != kind || !strings.Contains(got.Differences[0].Candidate, why) {
			t.Errorf("%v: %+v", got.Outcome, got.Differences)
		}
	}
	deep := func(n int, inside string) string { return nest("[", inside, "]", n) }
	f(deep(1000, "1"), deep(1000, "2"), Diverged, Changed, "2")
	f(deep(1000, "1"), deep(1001, "1"), Diverged, Undecoded, "nested more than 1000 deep")
	f(deep(1001, "1"), deep(1001, "2"), Diverged, Changed, "bytes, SHA-256")
	many := "[" + strings.Repeat("0,", body.DefaultLimits.Nodes-1) + "0]"
	f("[1]", many, Diverged, Undecoded, fmt.Sprintf("more than %d values", body.DefaultLimits.Nodes))
}

// Differences that count end a comparison at their bound; those that do not are
// looked through without end and hide none that counts.
func TestDifferenceCaps(t *testing.T) {
	t.Parallel()
	members := func(n int, value string) string {
		return repeat(n, func(i int) string { return fmt.Sprintf(`"m%d":%s`, i, value) })
	}
	for _, n := range []int{maxKept, maxKept + 1, 3 * maxKept} {
		p, c := "{"+members(n, "1")+`,"z":1}`, "{"+members(n, "2")+`,"z":2}`
		got := diffJSON(p, c, nil)
		if got.Outcome != Diverged || !got.Truncated || len(got.Differences) != maxKept {
			t.Errorf("%d differences and one: %v, %d kept, truncated is %t", n, got.Outcome, len(got.Differences), got.Truncated)
		}
		var ignored []Rule
		for i := range n {
			ignored = append(ignored, Rule{Path: fmt.Sprintf("$.m%d", i), Ignore: true})
		}
		got = diffJSON(p, c, compiled(t, ignored...))
		if got.Outcome != Diverged || got.Divergences != 1 || got.Ruled != n || got.Truncated != (n > maxKept) {
			t.Errorf("%d ignored and one that counts: %v, %d divergences, %d ruled, truncated is %t", n, got.Outcome, got.Divergences, got.Ruled, got.Truncated)
		}
	}
}
