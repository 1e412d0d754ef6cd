package divergence

import (
	"strings"
	"testing"
	"time"

	"parallax"
	"parallax/compare"
)

// TestContrast: exchanges that show an issue stand against others of the endpoint that were
// answered alike, of an hour the first 25; what is suppressed is shown all the same; what has
// no bodies, cannot be compared or is of another endpoint is on neither side; and large bodies
// are left out.
func TestContrast(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	r := newRig(t, "a", s, s, Limits{})
	add := func(n int, endpoint string, status int, at time.Duration, kept bool, outcome compare.Outcome, found ...compare.Difference) {
		x := pair(n, endpoint, status, 200)
		x.Received = x.Received.Add(at)
		if n == 1 {
			x.Legs[parallax.Primary].Request.Body = parallax.Body{Bytes: []byte(strings.Repeat("x", maxSampledBody+1)), Size: maxSampledBody + 1}
		}
		r.record(x, compare.Comparison{Outcome: outcome, Differences: found}, kept)
	}
	shows, differs := difference("1-aa", "$.a", ""), difference("1-bb", "$.b", "")
	for n := range 30 {
		add(1+n, "GET /a", 200, 0, true, compare.Diverged, shows)
	}
	add(40, "GET /a", 200, time.Hour, true, compare.Match, difference("1-aa", "$.a", "rule"))
	add(41, "GET /a", 200, time.Hour, false, compare.Diverged, shows)
	for n := range 12 {
		add(50+n, "GET /a", 200, 0, true, compare.Match)
		add(70+n, "GET /a", 404, 0, true, compare.Match)
	}
	add(90, "GET /a", 200, 0, true, compare.Diverged, differs)
	add(91, "GET /b", 200, 0, true, compare.Match)
	add(92, "GET /a", 200, 0, false, compare.Match)
	add(93, "GET /a", 200, 0, true, compare.NotComparable)
	r.mustFlush(t)
	showing, others, err := s.Contrast(t.Context(), "shop", Issue{Fingerprint: "1-aa", Endpoint: "GET /a", Last: noon.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if len(showing) != 26 || showing[0].ID != testID(40).String() || len(others) != 13 || others[0].ID != testID(90).String() {
		t.Errorf("%d show it and %d do not; want 26, the latest of them %s, and 13", len(showing), len(others), testID(40))
	}
	for _, x := range others {
		if x.Call.Response.Status != 200 {
			t.Errorf("one of the others was answered with %d", x.Call.Response.Status)
		}
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
	showing, others, err = s.Contrast(t.Context(), "shop", Issue{Fingerprint: "1-bb", Endpoint: "GET /a", Last: noon})
	if err != nil || len(showing) != 1 || len(others) != 25 {
		t.Errorf("of the other issue there are %d and %d, %v", len(showing), len(others), err)
	}
}

// TestContrastWithoutTheStatus: where too few others were answered alike, all are others.
func TestContrastWithoutTheStatus(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	r := newRig(t, "a", s, s, Limits{})
	for n := range 8 {
		r.record(pair(1+n, "GET /a", 200, 500), compare.Comparison{Outcome: compare.Diverged, Differences: []compare.Difference{difference("1-aa", "status", "")}}, true)
		r.record(pair(20+n, "GET /a", 404, 404), compare.Comparison{Outcome: compare.Match}, true)
	}
	r.mustFlush(t)
	showing, others, err := s.Contrast(t.Context(), "shop", Issue{Fingerprint: "1-aa", Endpoint: "GET /a", Last: noon})
	if err != nil || len(showing) != 8 || len(others) != 8 {
		t.Errorf("%d show it and %d do not, %v; want 8 and 8", len(showing), len(others), err)
	}
}
