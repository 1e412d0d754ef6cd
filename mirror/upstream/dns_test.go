package upstream_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"parallax/mirror/upstream"
)

// nameServer is a real DNS server, over UDP, whose records change.
type nameServer struct {
	addr string
	mu   sync.Mutex
	zone map[string][]string // name and type to the data of records
	down bool
	asks int
	came *sync.Cond // with every question
}

func startNameServer(t testing.TB) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{addr: conn.LocalAddr().String(), zone: map[string][]string{}}
	s.came = sync.NewCond(&s.mu)
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(s.answer)}
	served := make(chan error, 1)
	ready := make(chan struct{})
	server.NotifyStartedFunc = func() { close(ready) }
	go func() { served <- server.ActivateAndServe() }()
	<-ready
	t.Cleanup(func() {
		server.Shutdown()
		<-served
	})
	return s
}

func (s *nameServer) answer(w dns.ResponseWriter, q *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asks++
	s.came.Broadcast()
	m := new(dns.Msg)
	m.SetReply(q)
	if s.down {
		m.Rcode = dns.RcodeServerFailure
		w.WriteMsg(m)
		return
	}
	name := q.Question[0].Name
	known := false
	for _, kind := range []string{"A", "AAAA", "SRV"} {
		records, ok := s.zone[name+" "+kind]
		known = known || ok
		if dns.StringToType[kind] != q.Question[0].Qtype {
			continue
		}
		for _, data := range records {
			rr, err := dns.NewRR(fmt.Sprintf("%s 1 IN %s %s", name, kind, data))
			if err != nil {
				panic(err)
			}
			m.Answer = append(m.Answer, rr)
		}
	}
	if !known {
		m.Rcode = dns.RcodeNameError
	}
	w.WriteMsg(m)
}

// set changes the records of a name, written like "shop.test. A".
func (s *nameServer) set(name string, records ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone[name] = records
}

func (s *nameServer) fail(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// resolver asks the server and nobody else.
func (s *nameServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", s.addr)
	}}
}

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
	dns := startNameServer(t)
	dns.set("shop.test. A", "127.0.0.1")
	target := upstream.Target{URL: &url.URL{Scheme: "http", Host: "shop.test:9001"}, StandIn: true}
	target.Find = upstream.Names(dns.resolver(), "shop.test", "9001", 1, 20*time.Millisecond)
	s := upstream.New(upstream.Config{Targets: []upstream.Target{target}})
	s.Start(t.Context())
	defer s.Close()
	eventually(t, "at first", s, "http://shop.test:9001 127.0.0.1:9001")
	dns.set("shop.test. A", "127.0.0.2", "127.0.0.3")
	eventually(t, "moved", s, "http://shop.test:9001 127.0.0.2:9001", "http://shop.test:9001 127.0.0.3:9001")
	dns.fail(true)
	dns.waitForQuestions(2)
	eventually(t, "the server fails", s, "http://shop.test:9001 127.0.0.2:9001", "http://shop.test:9001 127.0.0.3:9001")
	dns.fail(false)
	dns.set("shop.test. A")
	dns.set("shop.test. AAAA", "::1")
	eventually(t, "IPv6", s, "http://shop.test:9001 [::1]:9001")
}

// waitForQuestions waits until so many more have come.
func (s *nameServer) waitForQuestions(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n += s.asks; s.asks < n; {
		s.came.Wait()
	}
}

func TestServiceRecords(t *testing.T) {
	t.Parallel()
	dns := startNameServer(t)
	dns.set("_http._tcp.shop.test. SRV", "0 5 9001 a.test.", "0 1 9002 b.test.", "10 1 9003 c.test.", "0 1 9004 gone.test.")
	dns.set("a.test. A", "127.0.0.1")
	dns.set("b.test. A", "127.0.0.2")
	dns.set("c.test. A", "127.0.0.3")
	target := upstream.Target{URL: &url.URL{Scheme: "http", Host: "_http._tcp.shop.test"}}
	target.Find = upstream.Services(dns.resolver(), "_http._tcp.shop.test", 20*time.Millisecond)
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
	dns.set("_http._tcp.shop.test. SRV", "0 1 9009 b.test.")
	eventually(t, "moved", s, "http://b.test:9009 127.0.0.2:9009")
}
