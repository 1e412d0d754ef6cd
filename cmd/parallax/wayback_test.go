package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"parallax/cmd/demoshop/shop"
	"parallax/cmd/demoshop/shoppers"
	"parallax/internal/rig"
	"parallax/reports"
	"parallax/ui"
)

// ownShops are both versions of the demo shop, with a database each and the ids that they are
// given, behind a Parallax that may reverse their roles.
type ownShops struct {
	*rig.Parallax
	server    *rig.PostgresServer
	candidate *httptest.Server
	breaking  atomic.Bool // the candidate commits, and breaks the connection off
	broken    atomic.Int64

	mu        sync.Mutex
	exchanges map[string]string // by the caller's number of the request
	told      map[string]string // writes that callers were told are done, by that number
	asked     int64
	live      [2]int64 // requests to primary and candidate as the live leg
}

func startOwnShops(t *testing.T) *ownShops {
	t.Helper()
	o := &ownShops{server: rig.Postgres(t), exchanges: map[string]string{}, told: map[string]string{}}
	var urls [2]string
	for i, version := range []string{shop.Old, shop.New} {
		database := "way_back_" + version
		o.server.SQL("postgres", "CREATE DATABASE "+database)
		opened, err := shop.Open(t.Context(), shop.Options{Version: version, DSN: o.server.DSN(database), Data: shop.Own, IDs: shop.Given})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(opened.Close)
		back := httptest.NewServer(o.leg(i, opened))
		t.Cleanup(back.Close)
		urls[i], o.candidate = back.URL, back
	}
	o.Parallax = rig.Start(t, fmt.Sprintf(`
admin: { listen: "127.0.0.1:0" }
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: [%q], state: own, outbound: none, jobs: off }
  candidate: { urls: [%q], state: own, outbound: none, jobs: off }
  endpoints: ["POST /customers", "POST /sessions", "DELETE /sessions", "GET /products", "POST /orders", "GET /orders", "GET /orders/{id}", "PATCH /orders/{id}",
    "POST /orders/{id}/cancel", "POST /orders/{id}/pay"]
  mirror: { unsafe: allowed, order_by: "header:X-User", in_flight: 1024 }
  partitioned_by: split.key
  rules:
  - { path: "header:x-version", ignore: true, reason: "each says which it is" }
  split: { key: "header:X-User", salt: shop }
  promotion: { min_duration: 1s }
`, urls[0], urls[1]))
	return o
}

// leg notes which exchange a caller's request is, and who is asked for an answer to callers.
func (o *ownShops) leg(i int, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.exchanges[r.Header.Get(callHeader)] = r.Header.Get("X-Parallax-Exchange")
		if r.Header.Get("X-Parallax-Role") == "live" {
			o.live[i]++
		}
		o.mu.Unlock()
		if i == 1 && o.breaking.Load() && r.Method != "GET" {
			next.ServeHTTP(httptest.NewRecorder(), r)
			o.broken.Add(1)
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
	})
}

// RoundTrip sends a caller's request, and notes a write that it is told is done.
func (o *ownShops) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	o.mu.Lock()
	o.asked++
	call := fmt.Sprint(o.asked)
	o.mu.Unlock()
	r.Header.Set(callHeader, call)
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && r.Method != "GET" && answer.StatusCode < 400 {
		o.mu.Lock()
		o.told[call] = r.Method + " " + r.URL.Path
		o.mu.Unlock()
	}
	return answer, err
}

// until waits until something was counted so often.
func (o *ownShops) until(t *testing.T, what string, count func() int64, want int64) {
	t.Helper()
	rig.Eventually(t, what, func() error {
		o.mu.Lock()
		defer o.mu.Unlock()
		if n := count(); n < want {
			return fmt.Errorf("%d of %d", n, want)
		}
		return nil
	})
}

// wayBackAnswer is what the API says of the way back.
type wayBackAnswer struct {
	Step    int
	WayBack reports.WayBack `json:"way_back"`
}

// TestRollbackLosesNoAcknowledgedWrite: shoppers write through a live candidate with a database of its own,
// mirroring is paused for a while, the candidate is killed in the middle of writes, and
// everybody goes back. Every write that a shopper was told is done is in the primary's database
// then, or listed.
func TestRollbackLosesNoAcknowledgedWrite(t *testing.T) {
	t.Parallel()
	o := startOwnShops(t)
	finished := make(chan shoppers.Counts, 1)
	run := func(seed uint64) {
		finished <- shoppers.Run(t.Context(), shoppers.Options{Base: o.Services["shop"], Count: 16, Seed: seed, Visits: 12, Rate: 120, HTTP: o})
	}
	say := func(method, target, body string) {
		t.Helper()
		if status, text := setStep(t, o.Parallax, method, target, body); status/100 != 2 {
			t.Fatalf("%s %s: %d %s", method, target, status, text)
		}
	}
	say("PUT", "step", `{"step":5000,"reason":"half of them"}`)
	go run(1)
	o.until(t, "users on both", func() int64 { return min(o.live[0], o.live[1]) }, 60)
	say("PUT", "step", `{"step":10000,"reason":"all of them"}`)
	atLive := func(i int, more int64) {
		t.Helper()
		o.mu.Lock()
		want := o.live[i] + more
		o.mu.Unlock()
		o.until(t, "requests", func() int64 { return o.live[i] }, want)
	}
	atLive(1, 100)
	say("POST", "mirroring:pause", `{"reason":"the primary is to miss some"}`)
	rig.Eventually(t, "writes that the primary misses", func() error {
		var s wayBackAnswer
		if err := o.JSON("/api/v1/services/shop/step", &s); err != nil || s.WayBack.WritesMissing < 5 || s.WayBack.Lag <= 0 {
			return fmt.Errorf("%+v, %v", s, err)
		}
		return nil
	})
	say("POST", "mirroring:resume", `{"reason":"it has missed some"}`)
	o.breaking.Store(true)
	rig.Eventually(t, "writes that the candidate breaks off", func() error {
		if n := o.broken.Load(); n < 5 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	o.candidate.CloseClientConnections()
	o.candidate.Listener.Close()
	say("POST", "rollback", `{"reason":"the candidate is dead"}`)
	before := len(finished)
	atLive(0, 30)
	if before == 0 {
		<-finished // with errors: shoppers met a dead candidate
	}
	var missing struct{ Writes []ui.MissingWrite }
	rig.Eventually(t, "the primary catches up", func() error {
		if err := o.JSON("/api/v1/services/shop/missing", &missing); err != nil {
			return err
		}
		for _, w := range missing.Writes {
			if w.Why == "" {
				return fmt.Errorf("%d are missing, and %+v waits", len(missing.Writes), w)
			}
		}
		return nil
	})
	there := map[string]bool{}
	for _, id := range strings.Fields(o.server.SQL("way_back_"+shop.Old, "SELECT request_id FROM audit_log")) {
		there[id] = true
	}
	for _, w := range missing.Writes {
		there[w.Exchange] = true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for call, what := range o.told {
		if !there[o.exchanges[call]] {
			t.Errorf("%s (%s) was acknowledged, and is neither in the primary's database nor listed", what, o.exchanges[call])
		}
	}
	if len(o.told) < 200 || o.live[1] < 120 {
		t.Errorf("%d writes were acknowledged, and the candidate was asked %d times as the live leg", len(o.told), o.live[1])
	}
	t.Logf("%d writes were acknowledged, %d of all requests by the candidate; %d it broke off; %d are listed", len(o.told), o.live[1], o.broken.Load(), len(missing.Writes))
}
