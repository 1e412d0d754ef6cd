package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parallax/internal/redisclient"
	"parallax/internal/rig"
	"parallax/mirror/split"
	splitredis "parallax/mirror/split/redis"
	"parallax/mirror/split/splittest"
	"parallax/reports"
)

// trio is three Parallaxes in front of the same two backends, which share their steps.
type trio struct {
	redis   *rig.Redis
	dirs    [3]string
	config  string
	mirrors [3]*rig.Parallax
	last    atomic.Int64 // when the candidate was last given a live request, in Unix nanoseconds
}

func newTrio(t testing.TB) *trio {
	t.Helper()
	three := &trio{redis: rig.StartRedis(t)}
	leg := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if name == "candidate" && r.Header.Get("X-Parallax-Role") == "live" {
				three.last.Store(time.Now().UnixNano())
			}
			io.WriteString(w, name)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	three.config = fmt.Sprintf(`
admin: { listen: "127.0.0.1:0" }
steps: { redis: "unix://%s" }
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: [%q] }
  candidate: { urls: [%q], state: none }
  mirror: { sample: 0.01 }
  split: { key: "header:X-User", salt: orders }
`, three.redis.Socket, leg("primary"), leg("candidate"))
	for i := range three.mirrors {
		three.dirs[i] = t.TempDir()
		three.mirrors[i] = rig.StartIn(t, three.dirs[i], three.config)
	}
	three.met(t)
	return three
}

// sharedAnswer is what the API says of a step that is shared.
type sharedAnswer struct {
	Step   int
	Paused bool
	Shared struct {
		Version uint64
		Reached bool
		Owed    bool
		Mirrors int
		Behind  []string
	}
}

// each waits until something holds of what all mirrors say.
func (three *trio) each(t testing.TB, what string, holds func(sharedAnswer) bool) {
	t.Helper()
	rig.Eventually(t, what, func() error {
		for i, p := range three.mirrors {
			var s sharedAnswer
			if err := p.JSON("/api/v1/services/shop/step", &s); err != nil {
				return err
			}
			if !holds(s) {
				return fmt.Errorf("mirror %d: %+v", i, s)
			}
		}
		return nil
	})
}

// met waits until all mirrors know of each other.
func (three *trio) met(t testing.TB) {
	t.Helper()
	three.each(t, "mirrors that know of each other", func(s sharedAnswer) bool { return s.Shared.Reached && s.Shared.Mirrors == 2 })
}

// ask sends a mirror's API a word and returns its answer.
func (three *trio) ask(mirror int, method, target, body string) (int, string, error) {
	url := three.mirrors[mirror].Admin + "/api/v1/services/shop/" + target
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

// set sets a step at a mirror; 0 is a rollback.
func (three *trio) set(mirror, step int) error {
	method, target, body := "PUT", "step", fmt.Sprintf(`{"step":%d,"reason":"a test"}`, step)
	if step == 0 {
		method, target, body = "POST", "rollback", `{"reason":"a test"}`
	}
	status, text, err := three.ask(mirror, method, target, body)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%d %s", status, text)
	}
	return err
}

// wants asks a mirror for something and wants a status, and a text in the answer.
func (three *trio) wants(t *testing.T, mirror int, method, target, body string, status int, text string) {
	t.Helper()
	got, answer, err := three.ask(mirror, method, target, body)
	if err != nil || got != status || !strings.Contains(answer, text) {
		t.Errorf("%s %s: %d %s, %v; want %d and %q", method, target, got, answer, err, status, text)
	}
}

// TestUsersOfThreeMirrors have one step, whichever mirror they ask, and whoever moves it;
// 10 000 of them in BenchmarkUsersOfThreeMirrors.
func TestUsersOfThreeMirrors(t *testing.T) {
	t.Parallel()
	usersOfThree(t, 500)
}

func usersOfThree(t testing.TB, users int) splittest.Result {
	t.Helper()
	three := newTrio(t)
	asked := 0
	return splittest.Scenario{
		URL: three.mirrors[0].Services["shop"], Beside: []string{three.mirrors[1].Services["shop"], three.mirrors[2].Services["shop"]},
		Users: users, Connections: 16, Want: splittest.Shares("orders", users), Name: func(r *http.Request, user string) { r.Header.Set("X-User", user) },
		SetStep: func(_ context.Context, step int) error { asked++; return three.set(asked%3, step) },
	}.Run(t)
}

func BenchmarkUsersOfThreeMirrors(b *testing.B) {
	for b.Loop() {
		got := usersOfThree(b, splittest.Many)
		b.Logf("%+v", got)
		b.ReportMetric(float64(got.Slowest)/float64(time.Millisecond), "slowest-step-ms")
	}
}

// TestRedisOfSharedStepsIsKilled: each mirror keeps its word, a step is not raised, a rollback
// holds where it was asked for and, once Redis is back with nothing in it, everywhere.
func TestRedisOfSharedStepsIsKilled(t *testing.T) {
	t.Parallel()
	three := newTrio(t)
	if err := three.set(0, 2500); err != nil {
		t.Fatal(err)
	}
	three.each(t, "step 2500", func(s sharedAnswer) bool { return s.Step == 2500 })
	three.redis.Kill()
	three.each(t, "the outage", func(s sharedAnswer) bool { return s.Step == 2500 && !s.Shared.Reached })
	three.wants(t, 0, "PUT", "step", `{"step":5000,"reason":"more"}`, http.StatusConflict, "the other mirrors cannot be told")
	three.wants(t, 0, "POST", "promotion:pause", `{"reason":"a sale"}`, http.StatusConflict, "the other mirrors cannot be told")
	three.wants(t, 2, "POST", "rollback", `{"reason":"now"}`, http.StatusAccepted, `"owed":true`)
	three.wants(t, 2, "PUT", "step", `{"step":100,"reason":"again"}`, http.StatusConflict, "have not heard of the rollback")
	for i, want := range []int{2500, 2500, 0} {
		var s sharedAnswer
		if err := three.mirrors[i].JSON("/api/v1/services/shop/step", &s); err != nil || s.Step != want {
			t.Errorf("mirror %d: %+v, %v; want step %d", i, s, err, want)
		} else if owed := i == 2; s.Shared.Owed != owed || owed && len(s.Shared.Behind) != 2 {
			t.Errorf("mirror %d: %+v; who has not heard of the rollback is behind", i, s)
		}
	}
	if status, text := answerOf(t, "GET", three.mirrors[0].Admin+"/readyz", ""); status != http.StatusOK || !strings.Contains(text, "redis does not answer since") {
		t.Errorf("readyz: %d %s", status, text)
	}
	three.redis.Start()
	three.each(t, "the rollback everywhere", func(s sharedAnswer) bool { return s.Step == 0 && s.Paused && s.Shared.Reached && !s.Shared.Owed })
}

// TestAMirrorThatWasAwayHearsFirst: a step that was taken back while it was down holds before
// it answers anybody; and what Redis has lost, a mirror that has it brings back.
func TestAMirrorThatWasAwayHearsFirst(t *testing.T) {
	t.Parallel()
	three := newTrio(t)
	if err := three.set(0, 10_000); err != nil {
		t.Fatal(err)
	}
	three.mirrors[1].Kill()
	if err := three.set(0, 0); err != nil && !strings.Contains(err.Error(), "behind") { // it may not be gone for Redis yet
		t.Fatal(err)
	}
	three.mirrors[1] = rig.StartIn(t, three.dirs[1], three.config)
	if _, leg := answerOf(t, "GET", three.mirrors[1].Services["shop"]+"/", ""); leg != "primary" {
		t.Errorf("the first answer is the %s's", leg)
	}
	three.redis.Kill()
	three.redis.Start()
	three.each(t, "step 0", func(s sharedAnswer) bool { return s.Step == 0 && s.Shared.Reached })
	if err := three.set(1, 500); err != nil {
		t.Fatal(err)
	}
	three.wants(t, 2, "POST", "promotion:pause", `{"reason":"a sale"}`, http.StatusOK, "")
	three.each(t, "the pause everywhere", func(s sharedAnswer) bool { return s.Step == 500 && s.Paused })
	three.wants(t, 0, "POST", "promotion:resume", `{"reason":"it is over"}`, http.StatusOK, "")
	three.each(t, "the end of the pause", func(s sharedAnswer) bool { return s.Step == 500 && !s.Paused })
}

// TestARaiseThatIsNotTakenInIsSaidOnce: it is heard again every second.
func TestARaiseThatIsNotTakenInIsSaidOnce(t *testing.T) {
	t.Parallel()
	file, err := reports.OpenState(t.TempDir(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Update(func(s *reports.State) { s.Copy = &reports.LegCopy{} }); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	s := &stepper{service: "shop", file: file, log: slog.New(slog.NewTextHandler(&said, nil)), shared: &sharing{}}
	for _, version := range []uint64{1, 1, 1, 2, 2} {
		s.Hear(splitredis.Word{Version: version, Step: 100})
	}
	if n := strings.Count(said.String(), "level=ERROR"); n != 2 || file.State().Step != 0 {
		t.Errorf("step %d, said %d times:\n%s", file.State().Step, n, &said)
	}
}

// TestARollbackHoldsAgainstARaiseUnderWay: one that waits for Redis, or that another mirror said
// just before, does not come into force in between.
func TestARollbackHoldsAgainstARaiseUnderWay(t *testing.T) {
	t.Parallel()
	file, err := reports.OpenState(t.TempDir(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	splitter, faults := split.New(split.Config{})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	s := &stepper{service: "shop", file: file, split: splitter, now: time.Now, log: slog.New(slog.DiscardHandler)}
	s.mu.Lock() // as a raise that is under way
	s.force(reports.State{Step: 100})
	back := make(chan error, 1)
	go func() { back <- s.setBack(t.Context(), reports.State{Who: "ann"}) }()
	rig.Eventually(t, "the rollback in force", func() error {
		if step := s.step(); step != 0 {
			return fmt.Errorf("step %d", step)
		}
		return nil
	})
	s.force(reports.State{Step: 500})
	if step := s.step(); step != 0 {
		t.Errorf("step %d while a rollback waits", step)
	}
	s.mu.Unlock()
	if err := <-back; err != nil || s.step() != 0 {
		t.Errorf("step %d, %v", s.step(), err)
	}
	if s.force(reports.State{Step: 500}); s.step() != 500 {
		t.Errorf("step %d after the rollback", s.step())
	}
}

// TestAServiceThatIsAddedHearsFirst: one that comes with a reload answers nobody by a step that
// was taken back while it was not here.
func TestAServiceThatIsAddedHearsFirst(t *testing.T) {
	t.Parallel()
	server, dir := rig.StartRedis(t), t.TempDir()
	leg := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, name) }))
		t.Cleanup(s.Close)
		return s.URL
	}
	service := func(name string) string {
		return fmt.Sprintf("- { name: %s, listen: \"127.0.0.1:0\", primary: { urls: [%q] }, candidate: { urls: [%q], state: none } }\n", name, leg("primary"), leg("candidate"))
	}
	alone := fmt.Sprintf("admin: { listen: \"127.0.0.1:0\" }\nsteps: { redis: \"unix://%s\" }\nservices:\n%s", server.Socket, service("other"))
	both := alone + service("shop")
	p := rig.StartIn(t, dir, both)
	if status, text := answerOf(t, "PUT", p.Admin+"/api/v1/services/shop/step", `{"step":10000,"reason":"a test"}`); status != http.StatusOK {
		t.Fatal(text)
	}
	p.Stop()
	p = rig.StartIn(t, dir, alone)
	cfg := splitredis.DefaultConfig()
	cfg.URL = "unix://" + server.Socket
	store, err := splitredis.Open(cfg, "another")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Step("shop").Overrule(t.Context(), splitredis.Word{}); err != nil {
		t.Fatal(err)
	}
	client, err := redisclient.Connection{URL: cfg.URL, Timeout: time.Second}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	rewrite(t, dir, both)
	if err := client.Do(t.Context(), "CLIENT", "PAUSE", "500").Err(); err != nil { // so that who does not wait for it is too early
		t.Fatal(err)
	}
	changes := strings.Join(reload(t, p, http.StatusOK).Changes, "\n")
	_, at, _ := strings.Cut(changes, "service shop: added, on ")
	if _, leg := answerOf(t, "GET", "http://"+at+"/", ""); leg != "primary" {
		t.Errorf("the first answer is the %s's", leg)
	}
}

// BenchmarkRollbackOfThree sends 2 000 requests a second through three mirrors, half of them
// for the candidate, and rolls back at one. It reports how long after the call was sent the
// candidate was last given a live request, and after it returned, at most; below 0 is before.
func BenchmarkRollbackOfThree(b *testing.B) {
	three := newTrio(b)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	var failed atomic.Int64
	visit := func(n int) {
		request, err := http.NewRequest("GET", three.mirrors[n%3].Services["shop"]+"/orders/1", nil)
		if err != nil {
			b.Error(err)
			return
		}
		request.Header.Set("X-User", fmt.Sprintf("user-%d", n))
		answer, err := client.Do(request)
		if err != nil {
			failed.Add(1)
			return
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			failed.Add(1)
		}
	}
	afterCall, afterReturn := time.Duration(-1<<62), time.Duration(-1<<62)
	for b.Loop() {
		if err := three.set(0, 5000); err != nil {
			b.Fatal(err)
		}
		var sent sync.WaitGroup
		send := func(n int) {
			due := time.NewTicker(time.Second / 2000)
			defer due.Stop()
			for i := range n {
				<-due.C
				sent.Go(func() { visit(i) })
			}
		}
		send(1000)
		var called, returned time.Time
		back := make(chan error, 1)
		sent.Go(func() {
			called = time.Now()
			err := three.set(1, 0)
			returned = time.Now()
			back <- err
		})
		send(1000)
		sent.Wait()
		if err := <-back; err != nil {
			b.Fatal(err)
		}
		last := time.Unix(0, three.last.Load())
		afterCall, afterReturn = max(afterCall, last.Sub(called)), max(afterReturn, last.Sub(returned))
	}
	if failed.Load() > 0 {
		b.Errorf("%d requests failed", failed.Load())
	}
	b.ReportMetric(float64(afterCall)/float64(time.Millisecond), "worst-ms-after-call")
	b.ReportMetric(float64(afterReturn)/float64(time.Millisecond), "worst-ms-after-return")
}
