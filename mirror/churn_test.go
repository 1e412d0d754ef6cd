package mirror_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parallax/mirror"
	"parallax/mirror/mirrortest"
	"parallax/mirror/upstream"
)

// TestThousandsOfReloads puts one configuration after the other in force, each
// with pools of its own that look names up and check health, under callers. None
// of them notices, and nothing is left of what was replaced. It runs alone: it
// counts goroutines.
func TestReloadAfterReload(t *testing.T) {
	b := mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
	dns := mirrortest.NewNameServer(t)
	dns.Set("shop.test. A", "127.0.0.1")
	port := b.URL[strings.LastIndex(b.URL, ":"):]
	cfg := pair("http://shop.test"+port, "http://shop.test"+port, mirror.Own)
	cfg.Primary.Health = upstream.DefaultHealth()
	cfg.Primary.Health.Path = "/healthz"
	cfg.Mirror.MaxRPS, cfg.Mirror.Adaptive = 1000, true
	r := start(t, cfg, func(d *mirror.Deps) { d.Resolver = dns.Resolver() })
	var callers sync.WaitGroup
	var over atomic.Bool
	for range 2 {
		callers.Go(func() {
			for n := 0; !over.Load(); n++ {
				res, err := r.Client.Get(fmt.Sprint(r.URL, "/orders/", n%10))
				if err != nil {
					t.Errorf("a caller got no answer: %v", err)
					return
				}
				if res.Body.Close(); res.StatusCode != http.StatusOK {
					t.Errorf("a caller got %d", res.StatusCode)
					return
				}
			}
		})
	}
	before := 0
	for n := range 500 { // 2000 leave no more behind
		cfg.Mirror.Timeout = time.Second + time.Duration(n) // both legs are new ones
		r.reload(cfg)
		if n == 100 {
			before = runtime.NumGoroutine()
		}
	}
	over.Store(true)
	callers.Wait()
	waitFor(t, "what was replaced to end", func() bool { return runtime.NumGoroutine() <= before })
	waitFor(t, "connections of what was replaced to close", func() bool { _, open := b.Connections(); return open <= 8 })
}
