package ids_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/internal/ids"
)

// TestConditionalHeadersHoldTagsOrTimes: If-Range has either, and the comma in a time
// does not make its day a tag.
func TestConditionalHeadersHoldTagsOrTimes(t *testing.T) {
	t.Parallel()
	set := compile(t)
	f := func(header, value string, want ...string) {
		t.Helper()
		r := parallax.Request{Method: "GET", Target: "/o", Headers: []parallax.Field{{Name: header, Value: value}}}
		var got []string
		for _, s := range set.On(parallax.Candidate, "GET", "/o").InRequest(&r, nil) {
			got = append(got, s.Name+" "+s.Value(s.Key))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s: %s", header, value, diff)
		}
	}
	f("If-Range", "Mon, 23 Nov 2026 01:00:00 GMT", "last_modified Mon, 23 Nov 2026 01:00:00 GMT")
	f("If-Range", `"a, b"`, `etag "a, b"`)
	f("If-Range", `W/"7"`, `etag W/"7"`)
	f("If-None-Match", `"1", unquoted , "3"`, `etag "1"`, "etag unquoted", `etag "3"`)
	f("If-None-Match", "*")
}

// TestTypesWithBadParametersAreRead: what compares bodies reads them too.
func TestTypesWithBadParametersAreRead(t *testing.T) {
	t.Parallel()
	set := compile(t, shop...)
	for _, kind := range []string{"application/json; charset", "application/json; charset=utf-8; charset=utf-8", "Application/JSON;", "application/problem+json; =x"} {
		if _, got, _ := rewritten(set, "POST", "/orders", kind, `{"order_id":17}`); got != `{"order_id":9017}` {
			t.Errorf("%s: %s", kind, got)
		}
	}
}

// TestForgottenSidesOfAPair: what is known of one side of a pair says all of the
// other one, which may have been forgotten sooner.
func TestForgottenSidesOfAPair(t *testing.T) {
	t.Parallel()
	f := func(known []ids.Known, ref ids.Ref, to parallax.Leg, want ids.Partner) {
		t.Helper()
		if got := ids.NewView(known).Partner(ref, to); got != want {
			t.Errorf("%v: %v, want %v", ref, got, want)
		}
	}
	forth := func(p, c string) ids.Known {
		return ids.Known{Name: "order", Value: p, To: parallax.Candidate, State: ids.Paired, Partner: c}
	}
	back := func(c, p string) ids.Known {
		return ids.Known{Name: "order", Leg: parallax.Candidate, Value: c, To: parallax.Primary, State: ids.Paired, Partner: p}
	}
	ref := ids.Ref{Name: "order", Leg: parallax.Candidate, Value: "9017"}
	f([]ids.Known{forth("17", "9017")}, ref, parallax.Primary, ids.Partner{State: ids.Paired, Value: "17"})
	f([]ids.Known{forth("17", "9017"), back("9017", "18")}, ref, parallax.Primary, ids.Partner{State: ids.Paired, Value: "18"})
	f([]ids.Known{forth("17", "9017"), forth("18", "9017")}, ref, parallax.Primary, ids.Partner{})
	f([]ids.Known{back("9017", "17")}, ids.Ref{Name: "order", Value: "17"}, parallax.Candidate, ids.Partner{State: ids.Paired, Value: "9017"})
}
