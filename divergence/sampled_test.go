package divergence

import (
	"strings"
	"testing"
	"time"

	"parallax"
	"parallax/compare"
)

// TestContrast: exchanges that show an issue stand against those that match, of an hour
// the first ten; what is suppressed is shown all the same and is on one side only; what
// has no bodies, or is of another endpoint, is on none; and large bodies are left out.
func TestContrast(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	r := newRig(t, "a", s, s, Limits{})
	add := func(n int, endpoint string, at time.Duration, kept bool, outcome compare.Outcome, found ...compare.Difference) {
		x := pair(n, endpoint, 200, 200)
		x.Received = x.Received.Add(at)
		if n == 1 {
			x.Legs[parallax.Primary].Request.Body = parallax.Body{Bytes: []byte(strings.Repeat("x", maxSampledBody+1)), Size: maxSampledBody + 1}
		}
		r.record(x, compare.Comparison{Outcome: outcome, Differences: found}, kept)
	}
	shows := difference("1-aa", "$.a", "")
	for n := range 15 {
		add(1+n, "GET /a", 0, true, compare.Diverged, shows)
	}
	add(20, "GET /a", time.Hour, true, compare.Match, difference("1-aa", "$.a", "rule"))
	add(21, "GET /a", time.Hour, false, compare.Diverged, shows)
	for n := range 12 {
		add(30+n, "GET /a", 0, true, compare.Match)
	}
	add(50, "GET /a", 0, true, compare.Diverged, difference("1-bb", "$.b", ""))
	add(51, "GET /b", 0, true, compare.Match)
	add(52, "GET /a", 0, false, compare.Match)
	r.mustFlush(t)
	showing, matching, err := s.Contrast(t.Context(), "shop", Issue{Fingerprint: "1-aa", Endpoint: "GET /a", Last: noon.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if len(showing) != 11 || showing[0].ID != testID(20).String() || len(matching) != 10 {
		t.Errorf("%d show it, the latest of them %s, and %d match; want 11, %s and 10", len(showing), showing[0].ID, len(matching), testID(20))
	}
	for _, x := range showing {
		if x.ID == testID(1).String() && (len(x.Call.Request.Body.Bytes) > 0 || x.Call.Request.Body.Size != maxSampledBody+1) {
			t.Errorf("a body of %d bytes came with %d", x.Call.Request.Body.Size, len(x.Call.Request.Body.Bytes))
		}
		if x.Call.Request.Target != "/orders/1?x=%20" || string(x.Call.Response.Body.Bytes) != `{"a":1}` {
			t.Errorf("got %+v", x.Call)
		}
	}
	none, others, err := s.Contrast(t.Context(), "shop", Issue{Fingerprint: "1-cc", Endpoint: "GET /a", Last: noon})
	if err != nil || len(none)+len(others) > 0 {
		t.Errorf("of an issue that nothing shows there are %d and %d, %v", len(none), len(others), err)
	}
}
