package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"parallax/divergence"
	"parallax/internal/rig"
)

// fleet is a Parallax of several processes: two mirrors, two workers, pages and a policy, which
// keeps the engine.
type fleet struct {
	redis   *rig.Redis
	dir     string
	listens [2]string // of the mirrors
	legs    [2]string
	mirrors [2]*rig.Parallax
	workers [2]*rig.Parallax
	ui      *rig.Parallax
	policy  *rig.Parallax
}

// part starts one process, in a folder of its own.
func (f *fleet) part(t testing.TB, name, roles string) *rig.Parallax {
	t.Helper()
	dir := filepath.Join(f.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	store := fmt.Sprintf("{ clickhouse: %q }", "unix://"+filepath.Join(f.dir, "engine"))
	if name == "policy" {
		store = fmt.Sprintf("{ dir: %q, socket: %q }", filepath.Join(f.dir, "data"), filepath.Join(f.dir, "engine"))
	}
	listen := "127.0.0.1:0"
	for i, address := range f.listens {
		if name == fmt.Sprintf("mirror%d", i) {
			listen = address
		}
	}
	return rig.StartRoles(t, dir, fmt.Sprintf(`
admin: { listen: "127.0.0.1:0" }
store: %s
keys: %q
queue: { redis: "unix://%s", claim_after: 3s }
steps: { redis: "unix://%s" }
services:
- name: shop
  listen: %q
  primary: { urls: [%q] }
  candidate: { urls: [%q], state: none }
  endpoints: ["GET /orders/{id}", "GET /prices"]
  split: { key: "header:X-User", salt: orders }
  promotion: { min_duration: 0s, max_divergence_rate: 0.2, auto: true, steps: [0, 5000, 10000], bake: 1s, bake_requests: 20 }
`, store, filepath.Join(f.dir, "keys"), f.redis.Socket, f.redis.Socket, listen, f.legs[0], f.legs[1]), roles)
}

func newFleet(t testing.TB) *fleet {
	t.Helper()
	dir, err := os.MkdirTemp("", "fleet") // short, for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := &fleet{redis: rig.StartRedis(t), dir: dir}
	for i, name := range []string{"primary", "candidate"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("X-Leg", name)
			if r.URL.Path == "/prices" && strings.HasSuffix(r.URL.RawQuery, "7") {
				fmt.Fprintf(w, `{"of":%q}`, name)
				return
			}
			io.WriteString(w, `{"id":1}`)
		}))
		t.Cleanup(s.Close)
		f.legs[i] = s.URL
	}
	for i := range f.listens {
		f.listens[i] = rig.FreeAddress(t)
	}
	f.policy = f.part(t, "policy", "policy")
	for i := range f.workers {
		f.workers[i] = f.part(t, fmt.Sprintf("worker%d", i), "compare")
	}
	for i := range f.mirrors {
		f.mirrors[i] = f.part(t, fmt.Sprintf("mirror%d", i), "mirror")
	}
	f.ui = f.part(t, "ui", "ui")
	return f
}

// ask sends n requests of as many users through a mirror, each for another page, and returns
// how many the candidate answered.
func (f *fleet) ask(t testing.TB, mirror, from, n int) (candidate int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		path := fmt.Sprintf("/orders/%d", i)
		if i%5 == 0 {
			path = fmt.Sprintf("/prices?day=%d", i)
		}
		request, err := http.NewRequest(http.MethodGet, f.mirrors[mirror].Services["shop"]+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-User", fmt.Sprint(i))
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %s", path, answer.Status)
		}
		if answer.Header.Get("X-Leg") == "candidate" {
			candidate++
		}
	}
	return candidate
}

type fleetReport struct {
	Accounting struct {
		Received   int64
		Unmirrored map[string]int64
		Compared   map[string]int64
		Lost       map[string]int64
		InFlight   int64 `json:"in_flight"`
	}
}

func (r fleetReport) compared() (n int64) {
	for _, k := range r.Accounting.Compared {
		n += k
	}
	return n
}

func (r fleetReport) lost() (n int64) {
	for _, k := range r.Accounting.Lost {
		n += k
	}
	return n
}

// TestProcessesWithRoles: what two mirrors get is compared by two workers, shown by a fifth process
// and acted on by a sixth.
func TestProcessesWithRoles(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var all sync.WaitGroup
	for i := range f.mirrors {
		all.Go(func() { f.ask(t, i, 1000*i, 150) })
	}
	all.Wait()
	rig.Eventually(t, "everything is compared", func() error {
		var r fleetReport
		if err := f.ui.JSON("/api/v1/services/shop/report", &r); err != nil {
			return err
		}
		if r.Accounting.Received != 300 || r.compared() != 300 || r.Accounting.InFlight != 0 || r.Accounting.Compared["diverged"] == 0 {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	var v struct {
		Accounting struct{ Received int64 }
		Verdict    string
	}
	rig.Eventually(t, "a verdict on it", func() error {
		if err := f.ui.JSON("/api/v1/services/shop/verdict", &v); err != nil {
			return err
		}
		if v.Accounting.Received != 300 {
			return fmt.Errorf("%+v", v)
		}
		return nil
	})
	if answer, err := http.Get(f.workers[0].Admin + "/"); err != nil || answer.StatusCode != http.StatusNotFound {
		t.Errorf("a worker's page: %v, %v", answer, err)
	}
	if answer, err := http.Get(f.ui.Admin + "/services/shop"); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("the page: %v, %v", answer, err)
	}

	f.savesRules(t)
	put, err := http.NewRequest(http.MethodPut, f.ui.Admin+"/api/v1/services/shop/step", strings.NewReader(`{"step":10000,"reason":"a test"}`))
	if err != nil {
		t.Fatal(err)
	}
	put.Header.Set("Content-Type", "application/json")
	if answer, err := http.DefaultClient.Do(put); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("the step: %v, %v", answer, err)
	}
	for i := range f.mirrors {
		if n := f.ask(t, i, 5000, 20); n != 20 {
			t.Errorf("mirror %d gave the candidate %d of 20", i, n)
		}
	}
	if answer, err := http.Post(f.ui.Admin+"/api/v1/services/shop/rollback", "application/json", strings.NewReader(`{"reason":"a test"}`)); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("the rollback: %v, %v", answer, err)
	}
	for i := range f.mirrors {
		if n := f.ask(t, i, 6000, 20); n != 0 {
			t.Errorf("mirror %d gave the candidate %d of 20 after the rollback", i, n)
		}
	}
	f.pauses(t)
}

// pauses pauses mirroring in the process with the pages: no mirror copies anything once that was
// answered, and the policy knows.
func (f *fleet) pauses(t *testing.T) {
	t.Helper()
	paused := func() (n int64) {
		var r fleetReport
		if err := f.ui.JSON("/api/v1/services/shop/report", &r); err != nil {
			t.Fatal(err)
		}
		return r.Accounting.Unmirrored["paused"]
	}
	if n := paused(); n != 0 {
		t.Errorf("%d requests were not mirrored before anybody asked for that", n)
	}
	ask(t, f.ui, "POST", "/api/v1/services/shop/mirroring:pause", `{"reason":"a test"}`, http.StatusOK)
	for i := range f.mirrors {
		f.ask(t, i, 7000, 20)
	}
	rig.Eventually(t, "no copies", func() error {
		if n := paused(); n != 40 {
			return fmt.Errorf("of 40 requests %d were not mirrored", n)
		}
		return nil
	})
	rig.Eventually(t, "a policy that knows", func() error {
		var s pauseAnswer
		if err := f.policy.JSON("/api/v1/services/shop/mirroring", &s); err != nil || !s.Paused {
			return fmt.Errorf("%v %+v", err, s)
		}
		return nil
	})
}

// savesRules saves rules in the process with the pages: the workers compare by them, the policy
// judges what was compared by them.
func (f *fleet) savesRules(t *testing.T) {
	t.Helper()
	rules := fmt.Sprintf(`{"version":%q,"text":"- {path: $.of, ignore: true, reason: r, owner: o}","reason":"a test"}`, divergence.NewSavedRules("").Version)
	ask(t, f.ui, "PUT", "/api/v1/services/shop/rules", rules, http.StatusOK)
	var want ruleState
	if err := f.ui.JSON("/api/v1/services/shop/rules", &want); err != nil || want.Saved == nil {
		t.Fatalf("%v %+v", err, want)
	}
	for _, p := range []*rig.Parallax{f.workers[0], f.workers[1], f.policy, f.mirrors[0], f.mirrors[1]} {
		rig.Eventually(t, "the rules in another process", func() error {
			var got ruleState
			if err := p.JSON("/api/v1/services/shop/rules", &got); err != nil || got.RulesVersion != want.RulesVersion {
				return fmt.Errorf("%v, version %s, want %s", err, got.RulesVersion, want.RulesVersion)
			}
			return nil
		})
	}
}
