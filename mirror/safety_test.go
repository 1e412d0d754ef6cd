package mirror_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// twins starts two backends that answer alike and a mirror in front of them.
func twins(t *testing.T, state mirror.State, change func(*mirror.Service)) (r *rig, primary, candidate *mirrortest.Backend) {
	t.Helper()
	primary = mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate = mirrortest.NewBackend(t, mirrortest.Status(200))
	cfg := pair(primary.URL, candidate.URL, state)
	change(&cfg)
	return start(t, cfg), primary, candidate
}

// declare adds what mirror.endpoints says of an endpoint.
func declare(cfg *mirror.Service, key string, o mirror.EndpointOptions) {
	if cfg.Mirror.Endpoints == nil {
		cfg.Mirror.Endpoints = map[string]mirror.EndpointOptions{}
	}
	cfg.Mirror.Endpoints[key] = o
}

func TestDeclaredEndpoints(t *testing.T) {
	t.Parallel()
	f := func(state mirror.State, method, target string, declared mirror.EndpointOptions, want parallax.Place) {
		t.Helper()
		r, primary, candidate := twins(t, state, func(cfg *mirror.Service) {
			if declared != (mirror.EndpointOptions{}) {
				declare(cfg, method+" /*", declared)
			}
		})
		if res, _ := r.do(method, target, ""); res.StatusCode != 200 {
			t.Errorf("%s %s is answered %d", method, target, res.StatusCode)
		}
		if diff := cmp.Diff(map[parallax.Place]int{want: 1}, r.settled(1)); diff != "" {
			t.Errorf("%s %s on a leg that is %q, declared as %+v (-want +got)\n%s", method, target, state, declared, diff)
		}
		copies := 0
		if want == parallax.InQueue {
			copies = 1
		}
		if primary.Count() != 1 || candidate.Count() != copies {
			t.Errorf("%s %s: %d requests at the primary, %d at the candidate, want 1 and %d", method, target, primary.Count(), candidate.Count(), copies)
		}
		r.Stop()
	}
	var none mirror.EndpointOptions
	f(mirror.Shared, "GET", "/orders", none, parallax.InQueue)
	f(mirror.Shared, "GET", "/logout", none, parallax.UnmirroredSuspicious)
	f(mirror.Own, "GET", "/logout", none, parallax.UnmirroredSuspicious)
	f(mirror.Shared, "GET", "/orders?token=abc", none, parallax.UnmirroredSuspicious)
	f(mirror.Shared, "GET", "/orders?token=abc", mirror.EndpointOptions{Safe: new(true)}, parallax.InQueue)
	f(mirror.Shared, "GET", "/logout", mirror.EndpointOptions{Safe: new(true)}, parallax.InQueue)
	f(mirror.Shared, "GET", "/logout", mirror.EndpointOptions{Safe: new(false)}, parallax.UnmirroredUnsafe)
	f(mirror.Own, "GET", "/logout", mirror.EndpointOptions{Safe: new(false)}, parallax.InQueue)
	f(mirror.Shared, "POST", "/search", none, parallax.UnmirroredUnsafe)
	f(mirror.Shared, "POST", "/search", mirror.EndpointOptions{Safe: new(true)}, parallax.InQueue)
	f(mirror.Own, "POST", "/orders", mirror.EndpointOptions{Unsafe: mirror.UnsafeNever}, parallax.UnmirroredUnsafe)
	f(mirror.Own, "POST", "/orders", mirror.EndpointOptions{Mirror: new(false)}, parallax.UnmirroredDeclared)
	f(mirror.Shared, "GET", "/orders", mirror.EndpointOptions{Mirror: new(false)}, parallax.UnmirroredDeclared)
	f(mirror.Shared, "GET", "/orders", mirror.EndpointOptions{Sample: new(0.0)}, parallax.UnmirroredSample)
	f(mirror.Dry, "POST", "/orders", mirror.EndpointOptions{Sample: new(0.0)}, parallax.UnmirroredSample)
}

// TestDeclaredUnsafeGetIsTreatedAsAnAct: everything that protects an unsafe
// request protects it too.
func TestDeclaredUnsafeGetIsTreatedAsAnAct(t *testing.T) {
	t.Parallel()
	r, primary, candidate := twins(t, mirror.Own, func(cfg *mirror.Service) {
		declare(cfg, "GET /logout", mirror.EndpointOptions{Safe: new(false)})
	})
	primary.Become(mirrortest.Status(503))
	r.do("GET", "/logout", "")
	if diff := cmp.Diff(map[parallax.Place]int{parallax.UnmirroredRejected: 1}, r.settled(1)); diff != "" || candidate.Count() != 0 {
		t.Errorf("rejected by the live leg: %d copies, places (-want +got)\n%s", candidate.Count(), diff)
	}
}
