package mirror_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

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

func TestPausedMirroringHurtsNoCaller(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	primary, candidate := mirrortest.NewBackend(t, mirrortest.Status(200)), mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own), func(d *mirror.Deps) { d.Metrics = mirror.NewMetrics(registry) })
	r.do("GET", "/orders", "")
	r.settled(1)

	r.Mirror.Pause(mirror.Pause{By: mirror.BySignal, Reason: "signal"})
	r.Mirror.Pause(mirror.Pause{By: mirror.ByPerson, Who: "ada", Reason: "the candidate pages people"})
	if p, ok := r.Mirror.Paused(); !ok || p.Who != "ada" {
		t.Errorf("paused by %+v, %t, want the person", p, ok)
	}
	for range 3 {
		if res, _ := r.do("POST", "/orders", "x"); res.StatusCode != 200 {
			t.Errorf("a paused mirror answers %d", res.StatusCode)
		}
	}
	if diff := cmp.Diff(map[parallax.Place]int{parallax.InQueue: 1, parallax.UnmirroredPaused: 3}, r.settled(4)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	const missed = `# HELP parallax_state_gaps_total Unsafe requests that the live leg took, or may have, and a leg with a database of its own was not sent or did not answer, by why.
# TYPE parallax_state_gaps_total counter
parallax_state_gaps_total{reason="paused",service="shop"} 3
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(missed), "parallax_state_gaps_total"); err != nil {
		t.Error(err)
	}

	if !r.Mirror.Resume(mirror.ByPerson) {
		t.Error("there was no pause to end")
	}
	if _, ok := r.Mirror.Paused(); !ok {
		t.Error("the signal's pause ended with the person's")
	}
	if !r.Mirror.Resume() || r.Mirror.Resume() {
		t.Error("resuming everything ends the pause that is left, once")
	}
	r.do("POST", "/orders", "x")
	if got := r.settled(5); got[parallax.InQueue] != 2 || primary.Count() != 5 || candidate.Count() != 2 {
		t.Errorf("after the pause: %v, %d at the primary, %d at the candidate", got, primary.Count(), candidate.Count())
	}
}

// TestPauseLetsWhatIsUnderWayFinish: a request that the shadow leg has is not
// given up by a pause.
func TestPauseLetsWhatIsUnderWayFinish(t *testing.T) {
	t.Parallel()
	r, _, candidate := twins(t, mirror.Own, func(*mirror.Service) {})
	release := make(chan struct{})
	candidate.Become(mirrortest.Held(release, mirrortest.Status(200)))
	r.do("POST", "/orders", "x")
	candidate.Wait(t, 1)
	r.Mirror.Pause(mirror.Pause{By: mirror.ByPerson})
	close(release)
	if diff := cmp.Diff(map[parallax.Place]int{parallax.InQueue: 1}, r.settled(1)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if x := r.next(); x.Legs[parallax.Candidate].Response.Status != 200 {
		t.Errorf("the candidate's answer is %+v", x.Legs[parallax.Candidate])
	}
}

func TestMaxRPS(t *testing.T) {
	t.Parallel()
	f := func(state mirror.State, method string, least, most int) {
		t.Helper()
		r, _, candidate := twins(t, state, func(cfg *mirror.Service) { cfg.Mirror.MaxRPS = 1e-3 })
		const n = 20
		for range n {
			r.do(method, "/orders", "")
		}
		places := r.settled(n)
		if got := places[parallax.InQueue]; got < least || got > most || got+places[parallax.UnmirroredRate] != n || candidate.Count() != got {
			t.Errorf("%s on a leg that is %q: %v, %d at the candidate, want %d to %d mirrored", method, state, places, candidate.Count(), least, most)
		}
	}
	f(mirror.Shared, "GET", 1, 3)
	f(mirror.Own, "GET", 1, 3)
	f(mirror.Dry, "POST", 1, 3)
	f(mirror.Own, "POST", 20, 20) // its database must not miss a write
}

// TestActsBehindSafeMethodsAreNoCandidatesToAnswer: what a candidate with a
// database of its own may not answer it does not answer in disguise either.
func TestActsBehindSafeMethodsAreNoCandidatesToAnswer(t *testing.T) {
	t.Parallel()
	r, primary, candidate := twins(t, mirror.Own, func(cfg *mirror.Service) {
		cfg.GraphQL = []string{"/graphql"}
		cfg.Mirror.Unsafe = mirror.UnsafeNever
		declare(cfg, "POST /graphql", mirror.EndpointOptions{Safe: new(true)})
		declare(cfg, "GET /verify", mirror.EndpointOptions{Safe: new(true)})
	})
	r.Mirror.Split().SetStep(10000)
	r.do("GET", "/orders/1/cancel", "")
	r.do("GET", "/orders/1", "", "X-HTTP-Method-Override: DELETE")
	r.do("POST", "/graphql", operation(t, "mutation Pay { pay }", ""), asJSON)
	r.settled(3)
	if p, c := primary.Count(), candidate.Count(); p != 3 || c != 0 {
		t.Errorf("acts: %d at the primary, %d at the candidate, want all at the primary", p, c)
	}
	r.do("GET", "/verify", "")
	r.do("GET", "/orders/1", "")
	r.settled(5)
	if x := r.next(); x.Live != parallax.Candidate || candidate.Count() != 2 {
		t.Errorf("live leg %v; the candidate got %d reads, want 2", x.Live, candidate.Count())
	}
}

func TestAnotherMethodInAHeaderIsNotMirrored(t *testing.T) {
	t.Parallel()
	r, _, candidate := twins(t, mirror.Shared, func(cfg *mirror.Service) {
		declare(cfg, "POST /search", mirror.EndpointOptions{Safe: new(true)})
	})
	r.do("GET", "/orders/1", "", "X-HTTP-Method-Override: DELETE")
	r.do("POST", "/search", "", "X-Method-Override: PUT")
	r.do("POST", "/search", "", "X-Method-Override: GET")
	if diff := cmp.Diff(map[parallax.Place]int{parallax.UnmirroredSuspicious: 2, parallax.InQueue: 1}, r.settled(3)); diff != "" || candidate.Count() != 1 {
		t.Errorf("the candidate got %d, places (-want +got)\n%s", candidate.Count(), diff)
	}
}
