package mirror

import (
	"strings"
	"testing"
)

// routerOf returns a router with declared routes.
func routerOf(t testing.TB, routes ...string) *router {
	t.Helper()
	r, err := newRouter(routes, DefaultEndpoints, func(name string, safe bool) *endpoint {
		return &endpoint{name: name, endpointPolicy: endpointPolicy{safe: safe}}
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEndpointOf(t *testing.T) {
	t.Parallel()
	r := routerOf(t,
		"GET /orders/{id}", "GET /orders/recent", "POST /orders", "GET /files/{rest...}", "GET /", "GET /orders/{id}/items/{n}",
		"GET /reports/{id}.csv", "GET /reports/{id}", "POST /jobs/{id}:cancel", "GET /orders/{other}",
	)
	f := func(method, target, want string) {
		t.Helper()
		if got := r.find(method, target); got.name != want || got.safe != safe(method) {
			t.Errorf("%s %s is %q (safe %t), want %q", method, target, got.name, got.safe, want)
		}
	}
	f("GET", "/orders/17", "GET /orders/{id}")
	f("GET", "/orders/17?x=/a/b", "GET /orders/{id}")
	f("GET", "/orders/recent", "GET /orders/recent")
	f("GET", "/orders/17/items/2", "GET /orders/{id}/items/{n}")
	f("GET", "/orders/recent/items/2", "GET /orders/{id}/items/{n}")
	f("GET", "/orders/", "GET /orders/")
	f("POST", "/orders", "POST /orders")
	f("GET", "/files/a/b/c", "GET /files/{rest...}")
	f("GET", "/files/", "GET /files/{rest...}")
	f("GET", "/", "GET /")
	f("GET", "/reports/7.csv", "GET /reports/{id}.csv")
	f("GET", "/reports/.csv", "GET /reports/{id}")
	f("GET", "/reports/7.txt", "GET /reports/{id}")
	f("POST", "/jobs/9:cancel", "POST /jobs/{id}:cancel")
	// Not listed.
	f("POST", "/orders/17", "POST /orders/{id}")
	f("GET", "/users/0190a3c4-7f9e-7abc-8def-0123456789ab/x", "GET /users/{uuid}/x")
	f("GET", "/on/2026-11-21", "GET /on/{date}")
	f("GET", "/blob/9f86d081884c7d65", "GET /blob/{hash}")
	f("GET", "/facade", "GET /facade")
	f("GET", "/t/eyJhbGciOiJIUzI1NiJ9abc123", "GET /t/{token}")
	f("GET", "/on/2026-11-21T10:00:00Z", "GET /on/{date}")
	f("GET", "/of/ann@example.com", "GET /of/{email}")
	f("GET", "/release/1.22.3", "GET /release/{version}")
	f("GET", "/v2/oauth2/me", "GET /v2/oauth2/me")
	f("GET", "/shop/en-US/cart", "GET /shop/{locale}/cart")
	f("GET", "/blog/ten-ways-to-leave", "GET /blog/{slug}")
	f("GET", "/parts/AB-1020", "GET /parts/{code}")
	f("GET", "/pay/cus_NffrFeUfNV2Hib", "GET /pay/{token}")
	f("GET", "/@ann", "GET /@ann")
	f("POST", "/shop.v1.Orders/Get", "POST /shop.v1.Orders/Get")
	f("POST", "/shop.v1.Orders1234/Get5678", "POST /shop.v1.Orders1234/Get5678")
	f("GET", "/caf%C3%A9/x", "GET /{text}/x")
	f("GET", "/caf\xe9", "GET /{text}")
	f("PURGE", "/cache", "OTHER /cache")
	f("OPTIONS", "*", "OPTIONS other")
	f("GET", "/"+strings.Repeat("a/", 200), "GET other")
}

func TestRoutesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "GET", "get /x", "GET x", "GET /{rest...}/x", "GET /{id", "GET /{}", "GET /a b", "GET /x?y", "GET /{a}{b}", "GET /x-{rest...}"} {
		if r, err := parseRoute(text); err == nil {
			t.Errorf("parseRoute(%q) = %v, want an error", text, r)
		}
	}
}

func BenchmarkFindEndpoint(b *testing.B) {
	r := routerOf(b, "GET /orders/{id}")
	for i := range 100 {
		r.find("GET", "/blog/"+word(i)) // until there is a variable
	}
	for _, target := range []string{"/orders/17?a=b", "/users/0190a3c4-7f9e-7abc-8def-0123456789ab/x", "/blog/something/comments"} {
		b.Run(strings.Split(target, "/")[1], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.find("GET", target)
			}
		})
	}
}
