package mirror_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// operation is the body of a GraphQL request.
func operation(t *testing.T, query, name string) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "operationName": name})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func graphQLPair(primary, candidate string, state mirror.State) mirror.Service {
	cfg := pair(primary, candidate, state)
	cfg.GraphQL = []string{"/graphql"}
	return cfg
}

const asJSON = "Content-Type: application/json"

// TestGraphQLIsCountedByOperation sends every kind of operation to legs that
// share a database, so that queries alone may be mirrored.
func TestGraphQLIsCountedByOperation(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{"data":{}}`)), mirrortest.NewBackend(t, mirrortest.JSON(`{"data":{}}`))
	cfg := graphQLPair(primary.URL, candidate.URL, mirror.Shared)
	never := false
	cfg.Mirror.Endpoints = map[string]mirror.EndpointOptions{"POST /graphql query Secret": {Mirror: &never}}
	r := start(t, cfg)
	post := func(query, name string) {
		t.Helper()
		r.do("POST", "/graphql", operation(t, query, name), asJSON)
	}
	post("query GetOrders { orders { id } }", "")
	post("query GetOrders { orders { id total } }", "GetOrders")
	post("{ orders { id } }", "")
	post("mutation Pay { pay }", "")
	post("query A { a } mutation B { b }", "B")
	post("query A { a } mutation B { b }", "A")
	post("query A { a } mutation B { b }", "")
	post("subscription Ticks { tick }", "")
	post("query Secret { a }", "")
	r.do("POST", "/graphql", `[{"query":"{a}"},{"query":"{b}"}]`, asJSON)
	r.do("POST", "/graphql", `[{"query":"{a}"},{"query":"mutation{b}"}]`, asJSON)
	r.do("POST", "/graphql", operation(t, "{ a }", ""), asJSON, "Content-Encoding: gzip")
	r.do("POST", "/graphql", "", asJSON)
	r.do("GET", "/graphql?query="+url.QueryEscape("query GetOrders { orders { id } }"), "")
	r.do("GET", "/graphql?query="+url.QueryEscape("mutation Pay { pay }"), "")
	r.do("GET", "/graphql", "")
	r.settled(16)

	compared := map[string]int{"received": 1, "in_flight/queue": 1}
	unsafe := map[string]int{"received": 1, "unmirrored/unsafe": 1}
	want := map[string]map[string]int{
		"POST /graphql query GetOrders":    {"received": 2, "in_flight/queue": 2},
		"POST /graphql query":              compared,
		"POST /graphql query A":            compared,
		"POST /graphql batch query":        compared,
		"GET /graphql query GetOrders":     compared,
		"GET /graphql":                     compared,
		"POST /graphql mutation Pay":       unsafe,
		"POST /graphql mutation B":         unsafe,
		"GET /graphql mutation Pay":        unsafe,
		"POST /graphql batch unclear":      unsafe,
		"POST /graphql unclear":            {"received": 3, "unmirrored/unsafe": 3},
		"POST /graphql subscription Ticks": {"received": 1, "unmirrored/stream": 1},
		"POST /graphql query Secret":       {"received": 1, "unmirrored/declared": 1},
	}
	if diff := cmp.Diff(want, r.Ledger.Endpoints()); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	for _, seen := range candidate.Seen() {
		if strings.Contains(string(seen.Body), "mutation") && !strings.Contains(string(seen.Body), `"operationName":"A"`) ||
			strings.Contains(string(seen.Body), "subscription") || strings.Contains(seen.Target, "mutation") {
			t.Errorf("the candidate got %s %s", seen.Target, seen.Body)
		}
	}
	if n := candidate.Count(); n != 7 {
		t.Errorf("the candidate got %d requests, want 7", n)
	}
	for range 7 {
		if x := r.next(); !strings.Contains(x.Endpoint, "query") && x.Endpoint != "GET /graphql" {
			t.Errorf("%q was compared", x.Endpoint)
		}
	}
}

// TestGraphQLMutationsFollowTheState sends a mutation to a leg with a database of
// its own, after the live leg has accepted it and not when it has not.
func TestGraphQLMutationsFollowTheState(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	primary := mirrortest.NewBackend(t, mirrortest.Held(release, mirrortest.JSON(`{"data":{}}`)))
	candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{"data":{}}`))
	r := start(t, graphQLPair(primary.URL, candidate.URL, mirror.Own))
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.do("POST", "/graphql", operation(t, "mutation Pay { pay }", ""), asJSON)
		r.do("POST", "/graphql", operation(t, "query Get { a }", ""), asJSON)
	}()
	primary.Wait(t, 1)
	if n := candidate.Count(); n != 0 {
		t.Errorf("the candidate got %d requests before the live leg had answered", n)
	}
	close(release)
	<-done
	r.settled(2)
	primary.Become(mirrortest.Status(503))
	r.do("POST", "/graphql", operation(t, "query Get { a }", ""), asJSON)
	r.settled(3)
	want := map[string]map[string]int{
		"POST /graphql mutation Pay": {"received": 1, "in_flight/queue": 1},
		"POST /graphql query Get":    {"received": 1, "in_flight/queue": 1},
		"POST /graphql":              {"received": 1, "unmirrored/rejected": 1},
	}
	if diff := cmp.Diff(want, r.Ledger.Endpoints()); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
}

// TestGraphQLOperationsAreCapped has many callers make up more names than there
// is room for. An operation is found once its caller has the answer, so which of
// them have a name of their own is not known, but how many.
func TestGraphQLOperationsAreCapped(t *testing.T) {
	t.Parallel()
	b := mirrortest.NewBackend(t, mirrortest.JSON(`{}`)).Forget()
	r := start(t, graphQLPair(b.URL, b.URL, mirror.Shared))
	const callers, each = 10, 26
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				kind := []string{"query", "mutation"}[i%2]
				r.do("POST", "/graphql", operation(t, fmt.Sprintf("%s Op%d_%d { a }", kind, c, i), ""), asJSON)
			}
		})
	}
	wg.Wait()
	const n = callers * each
	r.settled(n)
	endpoints := r.Ledger.Endpoints()
	if len(endpoints) != 102 {
		t.Errorf("%d endpoints, want 100 and two others", len(endpoints))
	}
	got := map[string]int{}
	for name, places := range endpoints {
		if strings.HasSuffix(name, " other") {
			got["other"] += places["received"]
		}
		if strings.HasPrefix(name, "POST /graphql query ") {
			got["queries"] += places["in_flight/queue"]
		}
		if strings.HasPrefix(name, "POST /graphql mutation ") {
			got["mutations"] += places["unmirrored/unsafe"]
		}
	}
	if diff := cmp.Diff(map[string]int{"other": n - 100, "queries": n / 2, "mutations": n / 2}, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// TestLiveAnswerNeverWaitsForAnOperation sends documents that take long to read.
func TestLiveAnswerNeverWaitsForAnOperation(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{}`)), mirrortest.NewBackend(t, mirrortest.Hang)
	cfg := graphQLPair(primary.URL, candidate.URL, mirror.Shared)
	cfg.Mirror.Timeout = 50 * time.Millisecond
	r := start(t, cfg)
	body := operation(t, "query Get { "+strings.Repeat("a ", 19_000)+"}", "")
	for range 20 {
		if res, got := r.do("POST", "/graphql", body, asJSON); res.StatusCode != 200 || got != "{}" {
			t.Fatalf("%d %s", res.StatusCode, got)
		}
	}
	r.settled(20)
	x := r.next()
	if x.Endpoint != "POST /graphql query Get" || x.Legs[parallax.Candidate].Err.Kind != parallax.Timeout {
		t.Errorf("%q, %+v", x.Endpoint, x.Legs[parallax.Candidate].Err)
	}
}

func TestPathsOfGraphQLThatCannotBeRead(t *testing.T) {
	t.Parallel()
	cfg := graphQLPair("http://127.0.0.1:1", "http://127.0.0.1:2", mirror.Shared)
	cfg.GraphQL = []string{"/graphql", "graphql", "/g/{id}", "/g?x", "/graphql"}
	var got []string
	for _, f := range cfg.Validate() {
		got = append(got, f.Path)
	}
	if diff := cmp.Diff([]string{"graphql[1]", "graphql[2]", "graphql[3]", "graphql[4]"}, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

// TestGraphQLInOrder keeps one user's queries in order past mutations that the
// leg does not get.
func TestGraphQLInOrder(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{}`)), mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
	cfg := graphQLPair(primary.URL, candidate.URL, mirror.Shared)
	cfg.Mirror.OrderBy = "header:X-User"
	r := start(t, cfg)
	const n = 60
	for i := range n {
		kind := []string{"query", "mutation"}[i%2]
		r.do("POST", "/graphql", operation(t, fmt.Sprintf("%s Op%d { a }", kind, i), ""), asJSON, "X-User: ann")
	}
	r.settled(n)
	for i, seen := range candidate.Wait(t, n/2) {
		if want := fmt.Sprintf("query Op%d ", 2*i); !strings.Contains(string(seen.Body), want) {
			t.Errorf("request %d is %s, want %s", i, seen.Body, want)
		}
	}
	if got := r.Ledger.Places(); got[parallax.UnmirroredUnsafe] != n/2 || got[parallax.InQueue] != n/2 {
		t.Errorf("places %v", got)
	}
}

// TestGraphQLBesideAnotherProxy is told what to mirror by copies: a query goes to
// both legs, a mutation to none while the primary has no database of its own.
func TestGraphQLBesideAnotherProxy(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{}`)), mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
	cfg := graphQLPair(primary.URL, candidate.URL, mirror.Own)
	cfg.Tap = true
	r := start(t, cfg)
	r.do("POST", "/graphql", operation(t, "query Get { a }", ""), asJSON)
	r.do("POST", "/graphql", operation(t, "mutation Pay { a }", ""), asJSON)
	r.settled(2)
	want := map[string]map[string]int{
		"POST /graphql query Get":    {"received": 1, "in_flight/queue": 1},
		"POST /graphql mutation Pay": {"received": 1, "unmirrored/unsafe": 1},
	}
	if diff := cmp.Diff(want, r.Ledger.Endpoints()); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	if p, c := primary.Count(), candidate.Count(); p != 1 || c != 1 {
		t.Errorf("the legs got %d and %d requests, want the query", p, c)
	}
}
