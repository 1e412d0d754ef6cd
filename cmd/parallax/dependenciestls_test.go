package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"parallax/internal/rig"
)

// TestDependenciesOverTLS: legs, Redis and the store take nobody without a certificate of an authority, and a Parallax that has
// one compares, keeps its queue and stores with them. The store is the engine of another process behind a proxy of TLS, where a
// ClickHouse server would be.
func TestDependenciesOverTLS(t *testing.T) {
	t.Parallel()
	a := rig.NewAuthority(t)
	demanding := func(h http.Handler) string {
		s := httptest.NewUnstartedServer(h)
		s.TLS = a.Demands()
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL
	}
	leg := func(price string) string {
		return demanding(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"price":%s}`, price)
		}))
	}
	address := rig.FreeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	cert, key := a.Issue("redis")
	server := rig.StartRedis(t, "--tls-port", port, "--bind", "127.0.0.1", "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", a.File)
	socket := filepath.Join(filepath.Dir(server.Socket), "engine") // a short name
	back := backend(t, "1.00")
	rig.Start(t, fmt.Sprintf("store: { socket: %q }\n", socket)+shopConfig(back, back, ""))
	engine := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "engine"}) },
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}},
	}
	mine, mineKey := a.Issue("parallax")
	files := fmt.Sprintf("ca: %q, cert: %q, key: %q", a.File, mine, mineKey)
	config := fmt.Sprintf(`
admin: { listen: "127.0.0.1:0" }
store: { clickhouse: "%[3]s/parallax", %[1]s }
queue: { redis: "rediss://%[2]s", %[1]s }
steps: { redis: "rediss://%[2]s", %[1]s }
identifiers: { redis: "rediss://%[2]s", timeout: 5s, %[1]s }
services:
- name: shop
  listen: "127.0.0.1:0"
  primary: { urls: [%[4]q], tls: { %[1]s } }
  candidate: { urls: [%[5]q], state: none, tls: { %[1]s } }
  endpoints: ["GET /orders/{id}"]
`, files, address, demanding(engine), leg("1.00"), leg("2.00"))
	p := rig.Start(t, config)
	for i := range 20 {
		if text := get(t, fmt.Sprintf("%s/orders/%d", p.Services["shop"], i)); text != `{"price":1.00}` {
			t.Fatalf("the caller got %s", text)
		}
	}
	if r := settled(t, p, 20); r.Accounting.Compared["diverged"] != 20 {
		t.Errorf("%+v", r.Accounting)
	}
	rig.Eventually(t, "every dependency", func() error {
		if text := get(t, p.Admin+"/readyz"); strings.Contains(text, `"ok":false`) {
			return fmt.Errorf("a dependency is away: %s", text)
		}
		return nil
	})
}
