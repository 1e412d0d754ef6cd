package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parallax/internal/rig"
)

// balanced puts an HAProxy in front of the mirrors, which asks the other one when a connection
// breaks before there was an answer.
func (f *fleet) balanced(t testing.TB) (url string) {
	t.Helper()
	address := rig.FreeAddress(t)
	rig.StartHAProxy(t, t.TempDir(), fmt.Sprintf(`
global
  maxconn 4000
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server 30s
frontend callers
  bind %s
  default_backend mirrors
backend mirrors
  balance roundrobin
  option redispatch 1
  retries 3
  retry-on conn-failure empty-response response-timeout
  server one %s check inter 200ms
  server two %s check inter 200ms
`, address, f.listens[0], f.listens[1]), address)
	return "http://" + address
}

// fleetLoad sends requests at a rate for a time and counts those that failed.
type fleetLoad struct {
	sent, failed atomic.Int64
	first        atomic.Pointer[string]
}

// fleetCallers is how many callers there are.
const fleetCallers = 32

func (l *fleetLoad) run(url string, perSecond int, until time.Time) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: fleetCallers}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	var all sync.WaitGroup
	for i := range fleetCallers {
		all.Go(func() {
			pace := time.NewTicker(fleetCallers * time.Second / time.Duration(perSecond))
			defer pace.Stop()
			for n := i; time.Now().Before(until); n += fleetCallers {
				<-pace.C
				l.one(client, url, n)
			}
		})
	}
	all.Wait()
}

func (l *fleetLoad) one(client *http.Client, url string, n int) {
	path := fmt.Sprintf("/orders/%d", n)
	if n%5 == 0 {
		path = fmt.Sprintf("/prices?day=%d", n)
	}
	l.sent.Add(1)
	answer, err := client.Get(url + path)
	if err == nil {
		_, err = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", path, answer.Status)
	}
	if err != nil {
		text := err.Error()
		l.failed.Add(1)
		l.first.CompareAndSwap(nil, &text)
	}
}

// number reads one of the environment, for more than a test has time for.
func number(t testing.TB, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestEachProcessIsKilled: two mirrors behind an HAProxy, two workers, pages, the policy with the
// engine, and Redis are killed one after the other under load. No caller notices, and when all
// are back and the store was rebuilt every request is where the accounting says. FLEET_SECONDS
// and FLEET_RATE make it longer and harder (make soak-fleet).
func TestEachProcessIsKilled(t *testing.T) {
	t.Parallel()
	seconds, rate := number(t, "FLEET_SECONDS", 14), number(t, "FLEET_RATE", 200)
	f := newFleet(t)
	url := f.balanced(t)
	var l fleetLoad
	begun := time.Now()
	until := begun.Add(time.Duration(seconds) * time.Second)
	loading := make(chan struct{})
	go func() { defer close(loading); l.run(url, rate, until) }()
	kills := []func(){
		func() { f.workers[0].Kill(); f.workers[0] = f.part(t, "worker0", "compare") },
		func() { f.mirrors[1].Kill(); f.mirrors[1] = f.part(t, "mirror1", "mirror") },
		func() { f.redis.Kill(); f.redis.Start() },
		func() { f.policy.Kill(); f.policy = f.part(t, "policy", "policy") },
		func() { f.ui.Kill(); f.ui = f.part(t, "ui", "ui") },
	}
	for i, kill := range kills {
		time.Sleep(time.Until(begun.Add(time.Duration(i+1) * until.Sub(begun) / time.Duration(len(kills)+1))))
		kill()
	}
	<-loading
	if failed := l.failed.Load(); failed > 0 {
		t.Errorf("%d of %d callers failed, such as by %s", failed, l.sent.Load(), *l.first.Load())
	}
	f.settles(t, l.sent.Load())
}

// settles waits until nothing moves any more, rebuilds, and looks whether everything adds up.
func (f *fleet) settles(t testing.TB, sent int64) {
	t.Helper()
	var before fleetReport
	since := time.Now()
	rig.Eventually(t, "nothing moves", func() error {
		var now fleetReport
		if err := f.ui.JSON("/api/v1/services/shop/report", &now); err != nil {
			return err
		}
		if a, b := now.Accounting, before.Accounting; a.Received != b.Received || a.InFlight != b.InFlight || now.compared() != before.compared() {
			before, since = now, time.Now()
		}
		if still := time.Since(since); still < 8*time.Second { // longer than claim_after, and than a batch takes
			return fmt.Errorf("still for %v: %+v", still, now)
		}
		return nil
	})
	t.Logf("%d sent; before the rebuild %+v", sent, before.Accounting)
	for _, want := range []string{"", "everything adds up"} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"store", "rebuild", "-c", filepath.Join(f.dir, "ui", "parallax.yaml"), "--settle", "0s"}, os.Getenv, strings.NewReader(""), &out, &errs); code != exitGood {
			t.Fatalf("rebuild: %d, %s", code, errs.String())
		}
		t.Logf("rebuild: %s", out.String())
		if !strings.Contains(out.String(), want) && !strings.Contains(out.String(), "0 exchanges that are nowhere any more now count as lost{redis}, 0 that no mirror had counted as received; 0 counts of the stream were corrected, 0 rows") {
			t.Errorf("the second rebuild found more to do")
		}
	}
	var after fleetReport
	if err := f.ui.JSON("/api/v1/services/shop/report", &after); err != nil {
		t.Fatal(err)
	}
	a := after.Accounting
	t.Logf("after it %+v", a)
	if a.Received != after.compared()+after.lost() || a.InFlight != 0 || len(a.Unmirrored) > 0 {
		t.Errorf("it does not add up: %+v", a)
	}
	for reason, n := range a.Lost {
		if reason != "redis" && n > 0 {
			t.Errorf("%d lost for %s, which no kill explains", n, reason)
		}
	}
	if a.Received < sent*9/10 || a.Received > sent+fleetCallers {
		t.Errorf("%d received of %d that were sent", a.Received, sent)
	}
}
