package reports

import (
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
