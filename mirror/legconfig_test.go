package mirror

import (
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"parallax"
	"parallax/internal/yamlstrict"
	"parallax/mirror/mirrortest"
	"parallax/mirror/upstream"
)

func TestLegURLForms(t *testing.T) {
	t.Parallel()
	f := func(text string, want []LegURL) {
		t.Helper()
		leg := DefaultLeg()
		_, faults := yamlstrict.Decode("c.yaml", []byte(text), &leg)
		if (len(faults) > 0) != (want == nil) {
			t.Errorf("%s: %v", text, faults)
			return
		}
		if want == nil {
			return
		}
		if diff := cmp.Diff(want, leg.URLs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
		written, err := yaml.Marshal(leg.URLs)
		if err != nil {
			t.Fatal(err)
		}
		var back []LegURL
		if err := yaml.Unmarshal(written, &back); err != nil || !reflect.DeepEqual(back, leg.URLs) {
			t.Errorf("%s is written as %q, which reads %v, %v", text, written, back, err)
		}
	}
	f(`urls: ["http://a:1"]`, LegURLs("http://a:1"))
	f(`urls: ["http://a:1", {url: "http://b:1", weight: 3}]`, []LegURL{{URL: "http://a:1"}, {URL: "http://b:1", Weight: 3}})
	f(`urls: [{url: "http://b:1"}]`, LegURLs("http://b:1"))
	f(`urls: [{address: "http://b:1"}]`, nil)
	f(`urls: [{url: "http://b:1", weight: heavy}]`, nil)
	f(`urls: [["http://b:1"]]`, nil)
}

func TestPoolFaults(t *testing.T) {
	t.Parallel()
	f := func(change func(*LegConfig), want ...string) {
		t.Helper()
		c := DefaultLeg()
		c.URLs = LegURLs("http://a:1", "http://b:1")
		change(&c)
		var got []string
		for _, f := range c.Validate() {
			got = append(got, f.Path)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c, diff)
		}
	}
	f(func(c *LegConfig) {})
	f(func(c *LegConfig) {
		*c = LegConfig{URLs: LegURLs("srv+https://_shop._tcp.example", "consul+http://shop")}
	})
	f(func(c *LegConfig) { c.URLs[1].URL = "http://a:1" }, "urls[1]")
	f(func(c *LegConfig) { c.URLs[1].Weight = 3 }, "urls[1]")
	f(func(c *LegConfig) { c.URLs[1].Weight, c.Balance = 3, upstream.Weighted })
	f(func(c *LegConfig) { c.URLs[1].Weight, c.Balance = -3, upstream.Weighted }, "urls[1]")
	f(func(c *LegConfig) { c.URLs = LegURLs("srv+http://name:80", "consul+ftp://x") }, "urls[0]", "urls[1]")
	f(func(c *LegConfig) { c.Balance = "random" }, "balance")
	f(func(c *LegConfig) { c.Balance = upstream.Hash }, "hash_by")
	f(func(c *LegConfig) { c.Balance, c.HashBy = upstream.Hash, "header:X-User" })
	f(func(c *LegConfig) { c.HashBy = "path" }, "hash_by")
	f(func(c *LegConfig) { c.Balance, c.HashBy = upstream.Hash, "body" }, "hash_by")
	f(func(c *LegConfig) { c.MaxRPS, c.Resolve = -1, 1 }, "max_rps", "resolve")
	f(func(c *LegConfig) { c.Consul = "http://ada:hunter2@127.0.0.1:8500" }, "consul")
	f(func(c *LegConfig) { c.Connections.Max = -1 }, "connections.max")
	f(func(c *LegConfig) { c.Connections = Connections{Max: 1} }, "connections.idle", "connections.idle_timeout")
	f(func(c *LegConfig) { c.Health.Path = "healthz" }, "health.path")
	f(func(c *LegConfig) { c.Eject.MaxShare = 2 }, "eject.max_share")
	f(func(c *LegConfig) { c.Breaker = Breaker{Failures: 5, Of: 3} }, "breaker.of", "breaker.open_for", "breaker.half_open")
	f(func(c *LegConfig) { c.Breaker.Failures = -1 }, "breaker.failures")
	f(func(c *LegConfig) {
		c.URLs = nil
		for n := range upstream.MaxInstances + 1 {
			c.URLs = append(c.URLs, LegURL{URL: fmt.Sprintf("http://a:%d", n+1)})
		}
	}, "urls")
}

func TestHashKey(t *testing.T) {
	t.Parallel()
	in := &incoming{Target: "/orders/1?x=2", RemoteIP: "10.0.0.9", Headers: []parallax.Field{{Name: "x-user", Value: "alice"}, {Name: "Cookie", Value: "sid=s1"}}}
	f := func(text, want string) {
		t.Helper()
		k, err := newHashKey(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.of(in); got != upstream.KeyOf(want) {
			t.Errorf("%s: another key than that of %q", text, want)
		}
	}
	f("header:X-User", "alice")
	f("header:X-Other", "")
	f("cookie:sid", "s1")
	f("ip", "10.0.0.9")
	f("path", "/orders/1")
	f("", "")
}

// TestAddressBesideTheName connects to an address and asks for another name, by
// either protocol.
func TestAddressBesideTheName(t *testing.T) {
	t.Parallel()
	backend := mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
	s := newHTTPSender(0, DefaultConnections())
	defer s.Close()
	u := mustURL(t, backend.URL)
	name := mustURL(t, "http://shop.invalid:"+u.Port())
	a, err := s.Send(t.Context(), name, &outgoing{Method: "GET", Target: "/", Addr: u.Host})
	if err != nil {
		t.Fatal(err)
	}
	a.Body.Close()
	if got := backend.Wait(t, 1)[0].Header.Get("Host"); got != name.Host {
		t.Errorf("Host is %q, want %q", got, name.Host)
	}
}

func TestAddressBesideTheNameByTLS(t *testing.T) {
	t.Parallel()
	conns := make(chan http.ConnState, 100)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.TLS.ServerName, " ", r.Proto)
	}))
	server.EnableHTTP2 = true
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) { conns <- s }
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct {
		protocol Protocol
		want     string
	}{{ProtocolHTTP1, "HTTP/1.1"}, {ProtocolHTTP2, "HTTP/2.0"}, {ProtocolAuto, "HTTP/2.0"}} {
		credentials, err := LegTLS{CA: ca}.credentials(slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		s := newSender(p.protocol, credentials, 0, DefaultConnections())
		defer s.Close()
		addr := server.Listener.Addr().String()
		_, port, _ := net.SplitHostPort(addr)
		name := mustURL(t, "https://example.com:"+port)
		a, err := s.Send(t.Context(), name, &outgoing{Method: "GET", Target: "/", Host: "example.com", Addr: addr})
		if err != nil {
			t.Fatalf("%s: %v", p.protocol, err)
		}
		got, _ := io.ReadAll(a.Body)
		a.Body.Close()
		if want := "example.com " + p.want; string(got) != want {
			t.Errorf("%s: got %q, want %q", p.protocol, got, want)
		}
		s.Forget(name, addr)
		for state := range conns {
			if state == http.StateClosed {
				break
			}
		}
	}
}
