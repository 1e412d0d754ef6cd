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
	s := Service{Endpoints: []string{"GET /orders/{id}", "GET /verify", "GET /confirm", "GET /logout", "GET /cart/add", "POST /logout"}, Mirror: o}
	if diff := cmp.Diff([]Suspicious{{"GET /logout", "ends a session"}}, s.SuspiciousEndpoints()); diff != "" {
		t.Error(diff)
	}
}

func TestDeclarationsThatAreWrongOrNeverMatter(t *testing.T) {
	t.Parallel()
	f := func(state State, key string, e EndpointOptions, path, text string) {
		t.Helper()
		s := Service{
			Name: "shop", Mirror: DefaultOptions(), Endpoints: []string{"GET /years/2026"},
			Primary: LegConfig{URLs: LegURLs("http://127.0.0.1:1")}, Candidate: LegConfig{URLs: LegURLs("http://127.0.0.1:2"), State: state},
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
	f(Own, "GET /orders/17", EndpointOptions{Safe: new(true)}, "GET /orders/17", never+"no endpoint is called this")

	f(Own, "GET /x", EndpointOptions{Safe: new(false), Unsafe: UnsafeAllowed}, "", "")
	f(Dry, "POST /x", EndpointOptions{Unsafe: UnsafeAllowed, Sample: new(0.5)}, "", "")
	f(Own, "* /x", EndpointOptions{Unsafe: UnsafeAllowed, Sample: new(0.5)}, "", "")
	f(Own, "GET /years/2026", EndpointOptions{Mirror: new(false)}, "", "")
	f(Own, "GET /orders/17*", EndpointOptions{Mirror: new(false)}, "", "")
	f(Own, "POST /search", EndpointOptions{Safe: new(true), Sample: new(0.5)}, "", "")
}
