package mirror_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parallax/mirror"
	"parallax/mirror/mirrortest"
	"parallax/mirror/split"
	"parallax/mirror/split/splittest"
)

// splitting is a service between two backends that answer with their leg's name.
func splitting(t testing.TB) *rig {
	t.Helper()
	primary := mirrortest.NewBackend(t, mirrortest.Raw(mirrortest.Message(200, "primary"))).Forget()
	candidate := mirrortest.NewBackend(t, mirrortest.Raw(mirrortest.Message(200, "candidate"))).Forget()
	cfg := pair(primary.URL, candidate.URL, mirror.None)
	cfg.Split = split.Config{Key: "cookie:px", Salt: "orders"}
	cfg.Mirror.Sample = 0.01 // what is mirrored is not the question here
	return start(t, cfg)
}

func named(r *http.Request, user string) { r.AddCookie(&http.Cookie{Name: "px", Value: user}) }

// scenario takes users with sticky cookies through the steps, on connections that are
// kept alive.
func scenario(r *rig, users int) splittest.Scenario {
	return splittest.Scenario{
		URL: r.URL + "/orders/1", Users: users, Connections: 16, Want: splittest.Shares("orders", users), Name: named,
		SetStep: func(_ context.Context, step int) error { r.Mirror.Split().SetStep(step); return nil },
	}
}

func TestUsersThroughTheSteps(t *testing.T) {
	t.Parallel()
	scenario(splitting(t), splittest.Few).Run(t)
}

func BenchmarkUsersThroughTheSteps(b *testing.B) { scenario(splitting(b), splittest.Many).Bench(b) }

// BenchmarkRollback sends 2 000 requests a second, half of them for the candidate,
// and rolls back. It reports how long after the call returned the candidate was
// last given a live request, at most; below 0 is before.
func BenchmarkRollback(b *testing.B) {
	const each, before, after = time.Second / 2000, 400, 200
	zero := time.Now()
	var last atomic.Int64 // when the candidate got a live request, since zero
	primary := mirrortest.NewBackend(b, mirrortest.Raw(mirrortest.Message(200, "primary"))).Forget()
	answer := mirrortest.Raw(mirrortest.Message(200, "candidate"))
	candidate := mirrortest.NewBackend(b, func(to *mirrortest.Backend, conn net.Conn, seen *mirrortest.Seen) bool {
		if seen.Header.Get("X-Parallax-Role") == "live" {
			last.Store(int64(time.Since(zero)))
		}
		return answer(to, conn, seen)
	}).Forget()
	cfg := pair(primary.URL, candidate.URL, mirror.None)
	cfg.Split = split.Config{Key: "cookie:px", Salt: "orders"}
	r := start(b, cfg)
	var failed atomic.Int64
	worst := time.Duration(-1 << 62)
	for b.Loop() {
		r.Mirror.Split().SetStep(5000)
		var wg sync.WaitGroup
		send := func(n int) {
			due := time.NewTicker(each)
			defer due.Stop()
			for i := range n {
				<-due.C
				wg.Go(func() {
					if !visit(r, fmt.Sprintf("user-%d", i)) {
						failed.Add(1)
					}
				})
			}
		}
		send(before)
		r.Mirror.Split().SetStep(0)
		returned := time.Since(zero)
		send(after)
		wg.Wait()
		worst = max(worst, time.Duration(last.Load())-returned)
	}
	if failed.Load() > 0 {
		b.Errorf("%d requests failed", failed.Load())
	}
	b.ReportMetric(float64(worst)/float64(time.Millisecond), "worst-ms-after")
}

// visit asks once for a user and reports whether there was an answer.
func visit(r *rig, user string) bool {
	req, err := http.NewRequest("GET", r.URL+"/orders/1", nil)
	if err != nil {
		return false
	}
	named(req, user)
	res, err := r.Client.Do(req)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return err == nil && res.StatusCode == 200
}
