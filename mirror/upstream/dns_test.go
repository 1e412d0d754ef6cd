package upstream_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/mirror/mirrortest"
	"parallax/mirror/upstream"
)

// eventually waits until the set has these instances.
func eventually(t *testing.T, what string, s *upstream.Set, want ...string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var got []string
	for range 1000 {
		got = nil
		for _, i := range s.Status() {
			got = append(got, i.Name)
		}
		if cmp.Equal(want, got) {
			return
		}
		<-tick.C
	}
	t.Fatalf("%s: (-want +got):\n%s", what, cmp.Diff(want, got))
}

func TestNamesAreLookedUpAgain(t *testing.T) {
	t.Parallel()
	dns := mirrortest.NewNameServer(t)
	dns.Set("shop.test. A", "127.0.0.1")
	target := upstream.Target{URL: &url.URL{Scheme: "http", Host: "shop.test:9001"}, StandIn: true}
	target.Find = upstream.Names(dns.Resolver(), "shop.test", "9001", 1, 20*time.Millisecond)
	s := upstream.New(upstream.Config{Targets: []upstream.Target{target}})
	s.Start(t.Context())
	defer s.Close()
	eventually(t, "at first", s, "http://shop.test:9001 127.0.0.1:9001")
	dns.Set("shop.test. A", "127.0.0.2", "127.0.0.3")
	eventually(t, "moved", s, "http://shop.test:9001 127.0.0.2:9001", "http://shop.test:9001 127.0.0.3:9001")
	dns.Fail(true)
	dns.WaitForQuestions(2)
	eventually(t, "the server fails", s, "http://shop.test:9001 127.0.0.2:9001", "http://shop.test:9001 127.0.0.3:9001")
	dns.Fail(false)
	dns.Set("shop.test. A")
	dns.Set("shop.test. AAAA", "::1")
	eventually(t, "IPv6", s, "http://shop.test:9001 [::1]:9001")
}

func TestServiceRecords(t *testing.T) {
	t.Parallel()
	dns := mirrortest.NewNameServer(t)
	dns.Set("_http._tcp.shop.test. SRV", "0 5 9001 a.test.", "0 1 9002 b.test.", "10 1 9003 c.test.", "0 1 9004 gone.test.")
	dns.Set("a.test. A", "127.0.0.1")
	dns.Set("b.test. A", "127.0.0.2")
	dns.Set("c.test. A", "127.0.0.3")
	target := upstream.Target{URL: &url.URL{Scheme: "http", Host: "_http._tcp.shop.test"}}
	target.Find = upstream.Services(dns.Resolver(), "_http._tcp.shop.test", 20*time.Millisecond)
	s := upstream.New(upstream.Config{Targets: []upstream.Target{target}, Policy: upstream.Weighted})
	s.Start(t.Context())
	defer s.Close()
	eventually(t, "at first", s, "http://a.test:9001 127.0.0.1:9001", "http://b.test:9002 127.0.0.2:9002", "http://c.test:9003 127.0.0.3:9003")
	shares := map[string]int{}
	for range 600 {
		i := s.Pick(0, nil)
		shares[i.URL().Host]++
		i.Done(upstream.Answered)
	}
	if a, b, c := shares["a.test:9001"], shares["b.test:9002"], shares["c.test:9003"]; a < 497 || a > 503 || a+b != 600 || c != 0 {
		t.Errorf("shares %v, want 5 to 1, and none of the second priority", shares)
	}
	dns.Set("_http._tcp.shop.test. SRV", "0 1 9009 b.test.")
	eventually(t, "moved", s, "http://b.test:9009 127.0.0.2:9009")
}
