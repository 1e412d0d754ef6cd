package mirrortest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// NameServer is a real DNS server, over UDP, whose records change.
type NameServer struct {
	addr string
	mu   sync.Mutex
	zone map[string][]string // name and type to the data of records
	down bool
	asks int
	came *sync.Cond // with every question
}

// NewNameServer starts a server that knows no name. It stops when the test ends.
func NewNameServer(t testing.TB) *NameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &NameServer{addr: conn.LocalAddr().String(), zone: map[string][]string{}}
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

func (s *NameServer) answer(w dns.ResponseWriter, q *dns.Msg) {
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

// Set changes the records of a name, written like "shop.test. A".
func (s *NameServer) Set(name string, records ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone[name] = records
}

// Fail makes the server answer SERVFAIL to everything, or stop doing so.
func (s *NameServer) Fail(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// Resolver asks the server and nobody else.
func (s *NameServer) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", s.addr)
	}}
}

// WaitForQuestions waits until so many more have come.
func (s *NameServer) WaitForQuestions(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n += s.asks; s.asks < n; {
		s.came.Wait()
	}
}
