package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// journal is a log that tests read.
type journal struct {
	mu    sync.Mutex
	lines strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines.Write(p)
}

func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.lines.String(), text)
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// up returns the last digits of the instances that are up.
func up(s *Set) string {
	var out strings.Builder
	for _, i := range s.Status() {
		if i.Up {
			host, _, _ := strings.Cut(strings.TrimPrefix(i.Name, "http://10.0.0."), ":")
			out.WriteString(host)
		}
	}
	return out.String()
}

// fail lets an instance fail so many requests in a row.
func fail(s *Set, host string, n int) {
	for range n {
		for _, i := range s.list.Load().all {
			if i.URL().Host == host {
				i.inFlight.Add(1)
				i.Done(Failed)
			}
		}
	}
}

func TestEjection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &journal{}
		s := New(Config{Targets: targets(1, 1, 1, 1), Eject: Eject{Failures: 3, For: 10 * time.Second, MaxFor: 30 * time.Second, MaxShare: 0.5}, Log: log.logger()})
		s.Start(t.Context())
		defer s.Close()
		want := func(what, want string) {
			t.Helper()
			if got := up(s); got != want {
				t.Errorf("%s: %q are up, want %q", what, got, want)
			}
		}
		fail(s, "10.0.0.1:80", 2)
		want("two failures", "1234")
		fail(s, "10.0.0.1:80", 1)
		want("three failures", "234")
		if got := shares(s, 300); got["10.0.0.1:80"] != 0 || got["10.0.0.2:80"] != 100 {
			t.Errorf("shares %v", got)
		}
		fail(s, "10.0.0.2:80", 3)
		fail(s, "10.0.0.3:80", 30)
		want("half is the most", "34")
		time.Sleep(10*time.Second + 1)
		want("10 s later", "1234")
		fail(s, "10.0.0.1:80", 1)
		want("one failure after the return", "234")
		time.Sleep(19 * time.Second)
		want("the second time takes longer", "234")
		time.Sleep(time.Second + 1)
		want("20 s later", "1234")
		fail(s, "10.0.0.1:80", 1)
		time.Sleep(29 * time.Second)
		want("no more than the cap, but that", "234")
		time.Sleep(time.Second + 1)
		want("30 s later", "1234")
		time.Sleep(time.Hour)
		fail(s, "10.0.0.1:80", 1)
		time.Sleep(10*time.Second + 1)
		want("good for long: like the first time", "1234")
		s.Pick(0, nil).Done(Answered)
		if n := log.count("instance ejected"); n != 5 {
			t.Errorf("%d ejections were logged, want 5", n)
		}
		if n := log.count("used again"); n != 5 {
			t.Errorf("%d returns were logged, want 5", n)
		}
	})
}

func TestTheLastIsNeverEjected(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 5; n++ {
		s := New(Config{Targets: targets(make([]int, n)...), Eject: Eject{Failures: 1, For: time.Hour, MaxFor: time.Hour, MaxShare: 1}})
		for k := range n {
			fail(s, fmt.Sprintf("10.0.0.%d:80", k+1), 10)
		}
		if got, want := up(s), fmt.Sprint(n); got != want {
			t.Errorf("of %d: %q are up, want %q", n, got, want)
		}
		s.Close()
	}
}

func TestHealthChecks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &journal{}
		var mu sync.Mutex
		down := map[string]bool{}
		set := func(hosts ...string) {
			mu.Lock()
			defer mu.Unlock()
			clear(down)
			for _, h := range hosts {
				down[h] = true
			}
		}
		check := func(ctx context.Context, i *Instance) error {
			mu.Lock()
			defer mu.Unlock()
			if down[i.URL().Host] {
				return errors.New("answered 503")
			}
			return nil
		}
		h := Health{Interval: time.Second, Timeout: time.Second, Healthy: 2, Unhealthy: 3}
		s := New(Config{Targets: targets(1, 1, 1), Health: h, Check: check, Log: log.logger()})
		s.Start(t.Context())
		defer s.Close()
		synctest.Wait()
		want := func(what, want string) {
			t.Helper()
			synctest.Wait()
			if got := up(s); got != want {
				t.Errorf("%s: %q are up, want %q", what, got, want)
			}
		}
		want("at first", "123")
		set("10.0.0.2:80")
		time.Sleep(1500 * time.Millisecond)
		want("one bad check", "123")
		time.Sleep(2500 * time.Millisecond)
		want("three bad checks", "13")
		wanted := []Status{{Name: "http://10.0.0.1:80", Up: true}, {Name: "http://10.0.0.2:80", Reason: "health check: answered 503"}, {Name: "http://10.0.0.3:80", Up: true}}
		if diff := cmp.Diff(wanted, s.Status()); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
		set("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
		time.Sleep(4 * time.Second)
		want("all bad", "")
		if got := shares(s, 300); got["10.0.0.1:80"] != 100 {
			t.Errorf("with none up all are used, got %v", got)
		}
		set()
		time.Sleep(4 * time.Second)
		want("good again", "123")
		for text, n := range map[string]int{"instance is not healthy": 3, "instance is healthy": 3, "no instance is up": 1} {
			if got := log.count(text); got != n {
				t.Errorf("%q was logged %d times, want %d", text, got, n)
			}
		}
	})
}

func TestHealthChecksAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var under, most int
		check := func(ctx context.Context, _ *Instance) error {
			mu.Lock()
			under++
			most = max(most, under)
			mu.Unlock()
			<-ctx.Done()
			mu.Lock()
			under--
			mu.Unlock()
			return ctx.Err()
		}
		s := New(Config{Targets: targets(make([]int, 100)...), Health: DefaultHealth(), Check: check})
		s.Start(t.Context())
		time.Sleep(time.Minute)
		s.Close()
		if most != maxChecks {
			t.Errorf("%d checks at a time, want %d", most, maxChecks)
		}
	})
}

// script is a finder that tests write.
type script chan any // []Address or error

func (f script) Next(ctx context.Context) ([]Address, error) {
	select {
	case next := <-f:
		if err, failed := next.(error); failed {
			return nil, err
		}
		return next.([]Address), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func found(hosts ...string) []Address {
	out := make([]Address, len(hosts))
	for n, h := range hosts {
		out[n] = Address{Addr: h + ":80"}
	}
	return out
}

func names(s *Set) []string {
	var out []string
	for _, i := range s.Status() {
		out = append(out, i.Name)
	}
	return out
}

func TestInstancesComeAndGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, f := &journal{}, make(script)
		var gone []string
		target := targets(1)[0]
		target.URL.Host, target.Find, target.StandIn = "shop:80", f, true
		s := New(Config{
			Targets: []Target{target}, Eject: Eject{Failures: 1, For: time.Hour, MaxFor: time.Hour, MaxShare: 1},
			Gone: func(i *Instance) { gone = append(gone, i.Addr()) }, Log: log.logger(),
		})
		want := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			if diff := cmp.Diff(want, names(s)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		want("before it was looked up, the name itself", "http://shop:80")
		go func() { f <- found("10.0.0.2", "10.0.0.1") }()
		s.Start(t.Context())
		defer s.Close()
		want("found", "http://shop:80 10.0.0.1:80", "http://shop:80 10.0.0.2:80")
		for _, i := range s.list.Load().all {
			if i.Addr() == "10.0.0.1:80" {
				i.inFlight.Add(1)
				i.Done(Failed)
			}
		}
		f <- errors.New("no such host")
		want("a failure keeps the last list", "http://shop:80 10.0.0.1:80", "http://shop:80 10.0.0.2:80")
		f <- []Address{}
		want("and so does an empty answer", "http://shop:80 10.0.0.1:80", "http://shop:80 10.0.0.2:80")
		f <- found("10.0.0.1", "10.0.0.3")
		want("one went, one came", "http://shop:80 10.0.0.1:80", "http://shop:80 10.0.0.3:80")
		if st := s.Status(); st[0].Up || !strings.HasPrefix(st[0].Reason, "ejected until ") || !st[1].Up {
			t.Errorf("who stays keeps its state, got %+v", st)
		}
		if diff := cmp.Diff([]string{"", "10.0.0.2:80"}, gone); diff != "" {
			t.Errorf("gone (-want +got):\n%s", diff)
		}
		if n := log.count("cannot find instances"); n != 1 {
			t.Errorf("two failures in a row were logged %d times, want once", n)
		}
		if n := log.count("found again"); n != 1 {
			t.Errorf("their end was logged %d times, want once", n)
		}
	})
}

func TestInstancesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, f := &journal{}, make(script)
		target := targets(1)[0]
		target.Find = f
		s := New(Config{Targets: []Target{target}, Log: log.logger()})
		var many []string
		for n := range MaxInstances + 44 {
			many = append(many, fmt.Sprintf("10.0.%d.%d", n/250, n%250))
		}
		go func() { f <- found(many...) }()
		s.Start(t.Context())
		defer s.Close()
		synctest.Wait()
		if s.Size() != MaxInstances || s.Ignored() != 44 {
			t.Errorf("%d instances and %d ignored, want %d and 44", s.Size(), s.Ignored(), MaxInstances)
		}
		if n := log.count("more instances than a leg may have"); n != 1 {
			t.Errorf("it was logged %d times, want once", n)
		}
	})
}

func TestStartDoesNotWaitForever(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		target := targets(1)[0]
		target.Find = make(script)
		s := New(Config{Targets: []Target{target}})
		began := time.Now()
		s.Start(t.Context())
		if waited := time.Since(began); waited != firstAnswer {
			t.Errorf("waited %s, want %s", waited, firstAnswer)
		}
		if s.Pick(0, nil) != nil {
			t.Error("there is an instance, though none was found")
		}
		s.Close()
	})
}

// Whoever starts a set that another has begun to start waits for what that one
// looks up: a configuration may take a leg over before it was looked for once.
func TestEveryStartWaitsForInstances(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		found := make(script)
		target := targets(1)[0]
		target.Find = found
		s := New(Config{Targets: []Target{target}})
		defer s.Close()
		over := make(chan bool, 2)
		for range 2 {
			go func() {
				s.Start(t.Context())
				over <- s.Pick(0, nil) != nil
			}()
		}
		synctest.Wait()
		if n := len(over); n > 0 {
			t.Errorf("%d of 2 have not waited", n)
		}
		found <- []Address{{Addr: "10.0.0.1:80"}}
		for range 2 {
			if !<-over {
				t.Error("there is no instance, though one was found")
			}
		}
	})
}

func TestPriorities(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := make(script)
		target := targets(1)[0]
		target.Find = f
		s := New(Config{Targets: []Target{target}, Eject: Eject{Failures: 1, For: time.Hour, MaxFor: time.Hour, MaxShare: 1}})
		go func() {
			f <- []Address{{Name: "10.0.0.1:80"}, {Name: "10.0.0.2:80", Priority: 10}, {Name: "10.0.0.3:80", Priority: 20}}
		}()
		s.Start(t.Context())
		defer s.Close()
		for _, host := range []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"} {
			if got := shares(s, 10); got[host] != 10 {
				t.Errorf("shares %v, want all for %s", got, host)
			}
			fail(s, host, 1)
		}
	})
}

func TestConfigFaults(t *testing.T) {
	t.Parallel()
	f := func(want string, got int) {
		t.Helper()
		if got != len(strings.Fields(want)) {
			t.Errorf("%d faults, want %s", got, want)
		}
	}
	f("", len(DefaultHealth().Validate())+len(DefaultEject().Validate()))
	f("path interval timeout healthy unhealthy status", len(Health{Path: "healthz", Status: "ok"}.Validate()))
	f("for max_for max_share", len(Eject{For: -1, MaxFor: -2, MaxShare: 2}.Validate()))
	f("status", len(Health{Path: "/", Interval: time.Second, Timeout: 1, Healthy: 1, Unhealthy: 1, Status: "100-700"}.Validate()))
	h := Health{Status: "200-299, 404"}
	for status, want := range map[int]bool{200: true, 299: true, 300: false, 404: true, 503: false} {
		if h.Good(status) != want {
			t.Errorf("status %d: %t", status, !want)
		}
	}
}
