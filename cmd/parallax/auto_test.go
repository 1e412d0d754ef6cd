package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parallax/cmd/demoshop/shop"
	"parallax/cmd/demoshop/shoppers"
	"parallax/internal/rig"
	"parallax/mirror/split"
	"parallax/reports"
	"parallax/ui"
)

// flaky is a shop that works, until it answers nothing but errors.
type flaky struct {
	http.Handler
	spares   string // the method of requests that it always serves, empty for none
	broken   atomic.Bool
	failures atomic.Int64
	hundred  atomic.Int64 // when it was the hundredth, in Unix nanoseconds
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !f.broken.Load() || r.Method == f.spares {
		f.Handler.ServeHTTP(w, r)
		return
	}
	if f.failures.Add(1) == 100 {
		f.hundred.Store(time.Now().UnixNano())
	}
	http.Error(w, "out of stock", http.StatusInternalServerError)
}

// autoShops are two shops on one database, with a policy that moves the step by itself
// through few users. split and more are what their configuration has besides.
func autoShops(t *testing.T, name, steps, split, more string) (p *rig.Parallax, candidate *flaky, salt string) {
	t.Helper()
	server := rig.Postgres(t)
	server.SQL("postgres", "CREATE DATABASE "+name)
	var urls [2]string
	candidate, salt = &flaky{}, autoSalt(t)
	for i, version := range []string{shop.Old, shop.New} {
		opened, err := shop.Open(t.Context(), shop.Options{Version: version, DSN: server.DSN(name), Data: shop.Shared, IDs: shop.Given})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(opened.Close)
		var handler http.Handler = opened
		if version == shop.New {
			candidate.Handler, handler = opened, candidate
		}
		back := httptest.NewServer(handler)
		t.Cleanup(back.Close)
		urls[i] = back.URL
	}
	p = rig.Start(t, fmt.Sprintf(`
admin: { listen: "127.0.0.1:0" }
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: [%q], version: "header:X-Version" }
  candidate: { urls: [%q], version: "header:X-Version", state: shared }
  endpoints: ["POST /customers", "POST /sessions", "DELETE /sessions", "GET /products", "POST /orders", "GET /orders", "GET /orders/{id}", "PATCH /orders/{id}",
    "POST /orders/{id}/cancel", "POST /orders/{id}/pay"]
  split: { key: "header:X-User", salt: %q%s }
  promotion:
    auto: true
    steps: %s
    bake: 1s
    bake_requests: 5
    min_duration: 1s
    max_divergence_rate: 0.05
    max_error_rate: 0.05
    slower: { ratio: 100, plus: 5s, max_share: 0.5 }
%s`, urls[0], urls[1], salt, split, steps, more))
	return p, candidate, salt
}

// The shoppers of these tests.
const autoShoppers, autoSeed = 24, 11

func autoUser(n int) string { return fmt.Sprintf("shopper-%d-%d", autoSeed, n) }

// autoSalt returns a salt with which some shopper is in the first hundredth of buckets, and
// a few are in the first quarter.
func autoSalt(t *testing.T) string {
	t.Helper()
	for n := range 10_000 {
		salt, hundredth, quarter := fmt.Sprint("shop-", n), 0, 0
		for i := range autoShoppers {
			bucket := split.Bucket(salt, autoUser(i))
			hundredth += btoi(bucket < 100)
			quarter += btoi(bucket < 2500)
		}
		if hundredth == 1 && quarter == autoShoppers/4 {
			return salt
		}
	}
	t.Fatal("there is no such salt")
	return ""
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// shopUntil sends shoppers until stop is called, which returns what came of it.
func shopUntil(t *testing.T, p *rig.Parallax, seen func(shoppers.Answer)) (stop func() shoppers.Counts) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	transport := &http.Transport{MaxIdleConnsPerHost: autoShoppers}
	ended := make(chan shoppers.Counts, 1)
	go func() {
		ended <- shoppers.Run(ctx, shoppers.Options{Base: p.Services["shop"], Count: autoShoppers, Seed: autoSeed, Rate: 150, HTTP: transport, Seen: seen})
	}()
	t.Cleanup(cancel)
	return func() shoppers.Counts {
		cancel()
		defer transport.CloseIdleConnections()
		return <-ended
	}
}

// untilCounted waits until every read has been compared. What is written is never sent to
// a candidate that shares the database; that much is known of an endpoint after a minute, for
// which the verdict holds.
func untilCounted(t *testing.T, p *rig.Parallax) {
	t.Helper()
	rig.Eventually(t, "evidence on every read", func() error {
		var v reports.Verdict
		if err := p.JSON("/api/v1/services/shop/verdict", &v); err != nil {
			return err
		}
		for _, r := range v.Reasons {
			if strings.HasPrefix(r.Endpoint, "GET ") || v.Since.IsZero() || time.Since(v.Since) < 20*time.Second {
				return fmt.Errorf("%+v", v.Reasons)
			}
		}
		return nil
	})
}

// untilStep waits for a step that want is true of.
func untilStep(t *testing.T, p *rig.Parallax, what string, want func(stepAnswer) bool) stepAnswer {
	t.Helper()
	var s stepAnswer
	rig.Eventually(t, what, func() error {
		if err := p.JSON("/api/v1/services/shop/step", &s); err != nil {
			return err
		}
		if want(s) {
			return nil
		}
		var v reports.Verdict
		if err := p.JSON("/api/v1/services/shop/verdict", &v); err != nil {
			return err
		}
		return fmt.Errorf("the step is %d: %s The verdict is %s, %+v", s.Step, s.Course.Text, v.Decision, v.Reasons)
	})
	return s
}

type stepAnswer struct {
	Step        int
	Who, Reason string
	Paused      bool
	Course      struct {
		Code reports.Turn
		Text string
	}
	Users  *ui.Audience
	Groups []struct {
		Name string
		Step int
	}
}

// steps are those of the groups.
func (s stepAnswer) steps() (out []int) {
	for _, g := range s.Groups {
		out = append(out, g.Step)
	}
	return out
}

// TestCleanCandidateGoesLiveByItself: nobody says anything, and no shopper notices.
func TestCleanCandidateGoesLiveByItself(t *testing.T) {
	t.Parallel()
	p, _, _ := autoShops(t, "auto_clean", "[0, 100, 2500, 10000]", "", "")
	stop := shopUntil(t, p, nil)
	untilCounted(t, p)
	untilStep(t, p, "everybody on the candidate", func(s stepAnswer) bool { return s.Step == 10_000 })
	s := untilStep(t, p, "the end of the policy", func(s stepAnswer) bool { return s.Course.Code == reports.AtTheEnd })
	if s.Who != "policy" || s.Paused {
		t.Errorf("%+v, want a step of the policy's", s)
	}
	if counts := stop(); counts.Errors > 0 {
		t.Errorf("%d of %d shoppers saw errors: %v", counts.Errors, counts.Sent, counts.Examples)
	}
}

// TestCandidateThatTurnsBadIsTakenBack: at a quarter of the users it begins to fail. They
// are back on the primary soon, the others notice nothing, and the policy does not try again.
func TestCandidateThatTurnsBadIsTakenBack(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]string{"without_a_net": "", "with_one": "  net: { wait: 500ms, statuses: [500] }\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reads := turnsBad(t, "auto_bad_"+name, more)
			if caught := more != ""; (reads == 0) != caught {
				t.Errorf("%d reads failed; caught: %t", reads, caught)
			}
		})
	}
}

// turnsBad returns how many reads of shoppers failed.
func turnsBad(t *testing.T, name, more string) (reads int64) {
	t.Helper()
	p, candidate, salt := autoShops(t, name, "[0, 100, 2500]", "", more)
	var outside, inside, failed atomic.Int64
	stop := shopUntil(t, p, func(a shoppers.Answer) {
		switch {
		case a.Err == nil:
			return
		case split.Bucket(salt, autoUser(a.Shopper)) < 2500:
			inside.Add(1)
		default:
			outside.Add(1)
		}
		if a.Method == http.MethodGet {
			failed.Add(1)
		}
	})
	untilCounted(t, p)
	untilStep(t, p, "a quarter of users on the candidate", func(s stepAnswer) bool { return s.Step == 2500 })
	candidate.broken.Store(true)
	s := untilStep(t, p, "everybody on the primary", func(s stepAnswer) bool { return s.Step == 0 })
	back := time.Now()
	if hundred := candidate.hundred.Load(); hundred > 0 {
		t.Logf("step 0 came %v after the hundredth failure", back.Sub(time.Unix(0, hundred)).Round(10*time.Millisecond))
	} else {
		t.Logf("step 0 came after %d failures", candidate.failures.Load())
	}
	if s.Who != "policy" || !strings.HasPrefix(s.Reason, "Everybody belongs back on the primary: ") {
		t.Errorf("step 0 by %q: %q", s.Who, s.Reason)
	}
	untilStep(t, p, "the policy to know better", func(s stepAnswer) bool { return s.Course.Code == reports.Unproven })
	counts := stop()
	t.Logf("of %d requests %d failed", counts.Sent, counts.Errors)
	if outside.Load() > 0 || inside.Load() == 0 {
		t.Errorf("%d errors outside the split and %d inside: %v", outside.Load(), inside.Load(), counts.Examples)
	}
	s = untilStep(t, p, "the step", func(stepAnswer) bool { return true })
	if s.Step != 0 {
		t.Errorf("the step went back to %d", s.Step)
	}
	if u := s.Users; u == nil || u.Seen != autoShoppers || u.Step != 100 || u.WouldMeet != 1 { // as the salt was chosen
		t.Errorf("users %+v, want 1 of %d at step 100", u, autoShoppers)
	}
	return failed.Load()
}
