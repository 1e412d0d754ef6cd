package consul_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"parallax/mirror/upstream"
	"parallax/mirror/upstream/consul"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// agent speaks what Consul documents of /v1/health/service: passing, index and
// wait, with X-Consul-Index. No Consul was at hand to hold it against.
type agent struct {
	mu      sync.Mutex
	index   uint64
	entries []map[string]any
	changed chan struct{}
	fail    bool
	waits   int // blocking queries that came
}

func startAgent(t *testing.T) (*agent, string) {
	a := &agent{index: 7, changed: make(chan struct{})}
	s := httptest.NewServer(a)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return a, s.Listener.Addr().String()
}

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.URL.Path != "/v1/health/service/shop" || q.Get("passing") != "1" {
		http.Error(w, "unexpected "+r.URL.String(), 400)
		return
	}
	a.mu.Lock()
	seen, _ := strconv.ParseUint(q.Get("index"), 10, 64)
	for seen >= a.index && !a.fail {
		a.waits++
		changed := a.changed
		a.mu.Unlock()
		wait, err := time.ParseDuration(q.Get("wait"))
		if err != nil {
			http.Error(w, "no wait", 400)
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		case <-time.After(wait):
		}
		a.mu.Lock()
	}
	defer a.mu.Unlock()
	if a.fail {
		http.Error(w, "No cluster leader", 500)
		return
	}
	w.Header().Set("X-Consul-Index", fmt.Sprint(a.index))
	_ = json.NewEncoder(w).Encode(a.entries)
}

// set changes the passing instances: node address, service address, port, weight.
func (a *agent) set(fail bool, entries ...[4]any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail = fail
	if !fail {
		a.entries = []map[string]any{}
		for _, e := range entries {
			a.entries = append(a.entries, map[string]any{
				"Node":    map[string]any{"Node": "n", "Address": e[0]},
				"Service": map[string]any{"Service": "shop", "Address": e[1], "Port": e[2], "Weights": map[string]int{"Passing": e[3].(int), "Warning": 1}},
			})
		}
	}
	a.index++
	close(a.changed)
	a.changed = make(chan struct{})
}

func names(t *testing.T, s *upstream.Set, what string, want ...string) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	var got []string
	for range 2000 {
		got = nil
		for _, i := range s.Status() {
			got = append(got, i.Name)
		}
		if cmp.Equal(want, got) {
			return
		}
		<-tick.C
	}
	t.Fatalf("%s (-want +got):\n%s", what, cmp.Diff(want, got))
}

func TestInstancesFromConsul(t *testing.T) {
	t.Parallel()
	a, addr := startAgent(t)
	a.set(false, [4]any{"10.0.0.1", "", 9001, 3}, [4]any{"10.0.0.1", "10.0.0.2", 9002, 1})
	target := upstream.Target{URL: &url.URL{Scheme: "http", Host: "shop"}, Find: upstream.Catalogued(new(consul.Catalog), addr, "shop")}
	s := upstream.New(upstream.Config{Targets: []upstream.Target{target}, Policy: upstream.Weighted})
	s.Start(t.Context())
	defer s.Close()
	names(t, s, "at first", "http://10.0.0.1:9001", "http://10.0.0.2:9002")
	shares := map[string]int{}
	for range 400 {
		i := s.Pick(0, nil)
		shares[i.URL().Host]++
		i.Done(upstream.Answered)
	}
	if n := shares["10.0.0.1:9001"]; n < 297 || n > 303 {
		t.Errorf("shares %v, want 3 to 1", shares)
	}
	a.set(false, [4]any{"10.0.0.1", "10.0.0.3", 9003, 1})
	names(t, s, "a change is heard of", "http://10.0.0.3:9003")
	a.set(true)
	names(t, s, "while Consul fails", "http://10.0.0.3:9003")
	a.set(false)
	names(t, s, "when none passes", "http://10.0.0.3:9003")
	a.set(false, [4]any{"10.0.0.4", "", 9004, 1})
	names(t, s, "it is back", "http://10.0.0.4:9004")
}

// TestEntriesThatLeadNowhere are left out: an empty address would be this machine.
func TestEntriesThatLeadNowhere(t *testing.T) {
	t.Parallel()
	a, addr := startAgent(t)
	a.set(false, [4]any{"", "", 9001, 1}, [4]any{"10.0.0.1", "", 0, 1}, [4]any{"10.0.0.1", "", 70000, 1}, [4]any{"10.0.0.2", "", 9002, 1})
	got, index, err := new(consul.Catalog).Passing(t.Context(), addr, "shop", 0)
	if diff := cmp.Diff([]upstream.Address{{Name: "10.0.0.2:9002", Weight: 1}}, got); diff != "" || index != 8 || err != nil {
		t.Errorf("index %d, error %v (-want +got):\n%s", index, err, diff)
	}
}

func TestCredentialsAreNotToldOf(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"http://ada:hunter2@127.0.0.1:1", "ada:hunter2@127.0.0.1:1", "ftp://ada:hunter2@127.0.0.1:1"} {
		if _, _, err := new(consul.Catalog).Passing(t.Context(), at, "shop", 0); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error is %v", err)
		}
	}
}
