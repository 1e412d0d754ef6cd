package mirror

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestDeclarationsThatNameLessWin(t *testing.T) {
	t.Parallel()
	o := DefaultOptions()
	o.Endpoints = map[string]EndpointOptions{
		"* *":               {Sample: new(0.5)},
		"GET *":             {Sample: new(0.25)},
		"GET /admin/*":      {Sample: new(0.1), Safe: new(false)},
		"GET /admin/health": {Safe: new(true)},
		"POST /search":      {Safe: new(true)},
		"POST /orders":      {Unsafe: UnsafeAllowed, Mirror: new(false)},
	}
	declared := o.declarations()
	f := func(name string, want endpointPolicy) {
		t.Helper()
		method, _, _ := strings.Cut(name, " ")
		got := policyOf(name, safe(method), o, declared)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(endpointPolicy{}), cmpopts.IgnoreFields(endpointPolicy{}, "act")); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	f("PUT /x", endpointPolicy{sample: 0.5})
	f("GET /x", endpointPolicy{safe: true, sample: 0.25})
	f("GET /admin/x", endpointPolicy{sample: 0.1})
	f("GET /admin/health", endpointPolicy{safe: true, sample: 0.1})
	f("POST /search", endpointPolicy{safe: true, sample: 0.5})
	f("POST /orders", endpointPolicy{unsafe: true, sample: 0.5, off: true})
}

func TestDeclaredEndpointsAreNotSuspicious(t *testing.T) {
	t.Parallel()
	o := DefaultOptions()
	o.Endpoints = map[string]EndpointOptions{"GET /verify": {Safe: new(true)}, "GET /confirm": {Safe: new(false)}, "GET /cart/add": {Mirror: new(false)}}
	s := Service{Endpoints: []string{"GET /orders/{id}", "GET /verify", "GET /confirm", "GET /logout", "GET /cart/add", "POST /logout", "GET /{tenant}/logout"}, Mirror: o}
	if diff := cmp.Diff([]Suspicious{{"GET /logout", "ends a session"}, {"GET /{tenant}/logout", "ends a session"}}, s.SuspiciousEndpoints()); diff != "" {
		t.Error(diff)
	}
}

func TestDeclarationsThatAreWrongOrNeverMatter(t *testing.T) {
	t.Parallel()
	f := func(state State, key string, e EndpointOptions, path, text string) {
		t.Helper()
		s := Service{
			Name: "shop", Mirror: DefaultOptions(), Endpoints: []string{"GET /years/2026"},
			Primary: LegConfig{URLs: LegURLs("http://127.0.0.1:1")}, Candidate: LegConfig{URLs: LegURLs("http://127.0.0.1:2"), State: state, Outbound: OutboundContained, Jobs: JobsOff},
		}
		s.Mirror.Endpoints = map[string]EndpointOptions{key: e}
		faults := s.Validate()
		if path == "" {
			if len(faults) > 0 {
				t.Errorf("%s %+v: %v, want no fault", key, e, faults)
			}
			return
		}
		if len(faults) != 1 || faults[0].Path != "mirror.endpoints."+path || faults[0].Text != text || faults[0].Hint == "" {
			t.Errorf("%s %+v: %q, want %q at %s and a hint", key, e, faults, text, path)
		}
	}
	never := "it can never matter: "
	f(Own, "GET /orders", EndpointOptions{}, "GET /orders", "nothing is declared")
	f(Own, "get orders", EndpointOptions{Safe: new(true)}, "get orders", `cannot read endpoint pattern "get orders"`)
	f(Own, "GET /x", EndpointOptions{Sample: new(1.5)}, "GET /x.sample", "a share of 1.5")
	f(Own, "POST /x", EndpointOptions{Unsafe: "maybe"}, "POST /x.unsafe", `unknown value "maybe"`)
	f(Own, "GET /x", EndpointOptions{Mirror: new(false), Sample: new(0.5)}, "GET /x.sample", never+"mirror is false")
	f(Own, "POST /x", EndpointOptions{Mirror: new(false), Unsafe: UnsafeAllowed}, "POST /x.unsafe", never+"mirror is false")
	f(Own, "POST /x", EndpointOptions{Safe: new(true), Unsafe: UnsafeNever}, "POST /x.unsafe", never+"safe is true")
	f(Own, "GET /x", EndpointOptions{Unsafe: UnsafeAllowed}, "GET /x.unsafe", never+"requests with the method GET are safe")
	f(Shared, "POST /x", EndpointOptions{Unsafe: UnsafeAllowed}, "POST /x.unsafe", never+"no leg may get unsafe requests as a shadow")
	f(Own, "POST /x", EndpointOptions{Unsafe: UnsafeAllowed, Sample: new(0.5)}, "POST /x.sample", never+"unsafe requests are mirrored to legs whose state is own, and never left out there")
	f(Own, "GET /a/{b", EndpointOptions{Safe: new(true)}, "GET /a/{b", `cannot read segment "{b" of endpoint "GET /a/{b"`)
	f(Own, "GET /users/{userId}/*", EndpointOptions{Safe: new(true)}, "GET /users/{userId}/*", never+"no endpoint has a variable {userId} there")
	f(Own, "GET /users/{id}/*", EndpointOptions{Safe: new(false)}, "", "")
	f(Own, "GET /users/{userId}", EndpointOptions{Safe: new(false)}, "", "")
	f(Own, "GET /orders/17", EndpointOptions{Safe: new(true)}, "GET /orders/17", never+"no endpoint is called this")

	f(Own, "GET /x", EndpointOptions{Safe: new(false), Unsafe: UnsafeAllowed}, "", "")
	f(Dry, "POST /x", EndpointOptions{Unsafe: UnsafeAllowed, Sample: new(0.5)}, "", "")
	f(Own, "* /x", EndpointOptions{Unsafe: UnsafeAllowed, Sample: new(0.5)}, "", "")
	f(Own, "GET /years/2026", EndpointOptions{Mirror: new(false)}, "", "")
	f(Own, "GET /orders/17*", EndpointOptions{Mirror: new(false)}, "", "")
	f(Own, "POST /search", EndpointOptions{Safe: new(true), Sample: new(0.5)}, "", "")
}

// TestDeclarationsHoldWhateverIsLearned: a path that a key names never slips away
// from it because the learner calls it something else.
func TestDeclarationsHoldWhateverIsLearned(t *testing.T) {
	t.Parallel()
	o := DefaultOptions()
	o.Endpoints = map[string]EndpointOptions{"GET /seen": {Sample: new(0.5)}}
	for _, key := range []string{
		"GET /admin/*", "GET /report", "* /year2026/*", "GET /users/{userId}/ping", "GET /users/{id}/sync", "PURGE /cache/*", "GET /code123",
		"HEAD /seen", "GET /items/{id}/*",
	} {
		o.Endpoints[key] = EndpointOptions{Mirror: new(false)}
	}
	declared := o.declarations()
	flooded := func(paths int) *router {
		r, err := newRouter([]string{"GET /listed/{x}"}, DefaultEndpoints, func(name string, safe bool) *endpoint {
			return &endpoint{name: name, endpointPolicy: policyOf(name, safe, o, declared)}
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range declared {
			r.declare(d)
		}
		for i := range paths {
			word := strings.Repeat("x", i%40+1) + string(rune('a'+i/40%26)) + string(rune('a'+i/1040))
			r.find("GET", "/"+word)
			r.find("GET", "/"+word+"/"+word)
			r.find("GET", "/users/"+word)
		}
		return r
	}
	for _, paths := range []int{0, 60, 2000} {
		r := flooded(paths)
		off := func(method, path string, want bool) {
			t.Helper()
			if e := r.find(method, path); e.off != want || e.name == "" {
				t.Errorf("after %d paths %s %s is of %q, mirrored %t, want %t", paths, method, path, e.name, !e.off, !want)
			}
		}
		for _, deep := range []string{"/admin/users", "/admin/users/17/delete", "/admin/" + strings.Repeat("a/", 40), "/year2026/x"} {
			off("GET", deep, true)
			off("HEAD", deep, true)
		}
		off("POST", "/year2026/x", true)
		off("MADEUP", "/year2026/x", true)
		off("POST", "/admin/users", false)
		off("GET", "/administration", false)
		off("GET", "/report", true)
		off("HEAD", "/report", true)
		off("GET", "/report/17", false)
		off("GET", "/code123", true)
		off("GET", "/code124", false)
		off("GET", "/users/17/ping", true)
		off("HEAD", "/users/ann/ping", true)
		off("GET", "/users/17/sync", true)
		off("GET", "/users/ann/sync", false)
		off("GET", "/items/17/stock", true)
		off("GET", "/items/sold/stock", false)
		off("PURGE", "/cache/x", true)
		off("HEAD", "/seen", true)
		off("GET", "/seen", false)
		if e := r.find("GET", "/seen"); e.sample != 0.5 {
			t.Errorf("after %d paths GET /seen has the sample %v", paths, e.sample)
		}
	}
	r := flooded(0)
	for range 3 {
		for _, method := range []string{"A", "B", "C"} {
			if a, b := r.find(method, "/year2026/"+strings.Repeat("a/", 40)), r.find("OTHER", "/year2026/"+strings.Repeat("a/", 40)); a != b {
				t.Errorf("%s has an endpoint of its own, %q", method, a.name)
			}
		}
	}
}
