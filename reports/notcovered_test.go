package reports

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
)

// TestWhatWasNotMirroredIsListed: the verdict says what it knows nothing of; that
// alone does not hold it.
func TestWhatWasNotMirroredIsListed(t *testing.T) {
	t.Parallel()
	e := fold(quick(), tick("GET /a", 1, 100_000, 0))
	v := e.Verdict(noon.Add(2*time.Second), Context{Accounting: divergence.Accounting{
		Unmirrored: map[string]int64{"unsafe": 40, "stream": 12_345, "sample": 7, "shadow_call": 3, "paused": 0}}})
	want := []string{"requests that were not mirrored (stream): 12 345", "requests that were not mirrored (unsafe): 40"}
	if diff := cmp.Diff(want, v.NotCovered); diff != "" || v.Decision != Promote {
		t.Errorf("%s; not covered (-want +got):\n%s", v.Decision, diff)
	}
}

// TestDeclaredEndpointsThatWereNotSeenAreListed: however their parameters are called.
func TestDeclaredEndpointsThatWereNotSeenAreListed(t *testing.T) {
	t.Parallel()
	e := fold(quick(), tick("GET /a/{id}", 1, 100_000, 0), tick("GET /b", 1, 100_000, 0), tick("POST /graphql query A", 1, 100_000, 0))
	declared := []string{"POST /a", "GET /a/{id}", "GET /a/{name}", "DELETE /a/{id}", "DELETE /a/{name}", "GET /b", "POST /graphql"}
	want := []string{"DELETE /a/{id}: declared, and without a request lately", "POST /a: declared, and without a request lately"}
	v := e.Verdict(noon.Add(2*time.Second), Context{Declared: declared})
	if diff := cmp.Diff(want, v.NotCovered); diff != "" || v.Decision != Promote {
		t.Errorf("%s; not covered (-want +got):\n%s", v.Decision, diff)
	}
	if got := len(e.neverSeen(declared, noon.Add(8*24*time.Hour))); got != 5 {
		t.Errorf("a week later %d are listed, want all 5", got)
	}
	many := make([]string, 1000)
	for i := range many {
		many[i] = fmt.Sprintf("GET /many/%d", i)
	}
	got := e.neverSeen(many, noon)
	if len(got) != maxNeverSeen+1 || got[maxNeverSeen] != "endpoints that are declared, and without a request lately: 950 more" {
		t.Errorf("%d of many are listed, at last %q", len(got), got[len(got)-1])
	}
}
