package egress_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"parallax"
	"parallax/compare/effects"
	"parallax/compare/effects/egress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink keeps what a leg's log says.
type sink struct {
	mu   sync.Mutex
	list []effects.Transaction
	gaps []string
	last effects.Position
	more chan struct{} // closed and made anew with every change
}

func newSink() *sink { return &sink{more: make(chan struct{})} }

func (s *sink) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.more)
	s.more = make(chan struct{})
}

func (s *sink) Transaction(t effects.Transaction) { s.change(func() { s.list = append(s.list, t) }) }
func (s *sink) Passed(p effects.Position)         { s.change(func() { s.last = p }) }
func (s *sink) Gap(_, _ time.Time, why string)    { s.change(func() { s.gaps = append(s.gaps, why) }) }

// until waits until something holds of the sink.
func (s *sink) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		s.mu.Lock()
		ok, more := holds(), s.more
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("%s: not within 10 s; there are %d transactions and %d gaps", what, len(s.list), len(s.gaps))
		}
	}
}

// take waits for the transaction with a number, from 0.
func (s *sink) take(t *testing.T, n int) effects.Transaction {
	t.Helper()
	s.until(t, fmt.Sprintf("transaction %d", n), func() bool { return len(s.list) > n })
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list[n]
}

// rig is a proxy at work.
type rig struct {
	*egress.Proxy
	t    *testing.T
	addr string
	logs map[parallax.Leg]*sink
	stop func() error
}

// names are what the test's names resolve to.
type names map[string]string

func (n names) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	if a, ok := n[host]; ok {
		return []netip.Addr{netip.MustParseAddr(a)}, nil
	}
	return nil, fmt.Errorf("no such host")
}

// marks are texts that stand for role marks.
type marks map[string]egress.Mark

func (m marks) read(baggage []string) (egress.Mark, bool) {
	mark, ok := m[strings.Join(baggage, ",")]
	return mark, ok
}

var exchange = parallax.ID{1, 144, 3, 7, 7, 7, 0x70, 1, 0x80, 9, 9, 9, 9, 9, 9, 9}

// start starts a proxy of the service shop.
func start(t *testing.T, change func(*egress.Config, *egress.Deps)) *rig {
	t.Helper()
	cfg := egress.DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	deps := egress.Deps{
		Mark: marks{
			"live":   {Service: "shop", Exchange: exchange},
			"shadow": {Service: "shop", Exchange: exchange, Shadow: true},
			"other":  {Service: "other", Exchange: exchange},
		}.read,
		Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: egress.NewMetrics(prometheus.NewRegistry()),
		Lookup: names{"mail.example": "127.0.0.1", "api.pay.example": "127.0.0.1"}.lookup,
	}
	if change != nil {
		change(&cfg, &deps)
	}
	p, faults := egress.New("shop", cfg, deps)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Proxy: p, t: t, addr: l.Addr().String(), logs: map[parallax.Leg]*sink{}}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, leg := range []parallax.Leg{parallax.Primary, parallax.Candidate} {
		s := newSink()
		r.logs[leg] = s
		all.Go(func() {
			if err := p.Reader(leg).Run(ctx, s); err != nil {
				t.Error(err)
			}
		})
		s.until(t, "the log is read", func() bool { return len(s.gaps) == 1 })
	}
	served := make(chan error, 1)
	all.Go(func() { served <- p.Serve(ctx, l) })
	r.stop = sync.OnceValue(func() error {
		cancel()
		all.Wait()
		return <-served
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("the proxy ended with %v", err)
		}
	})
	return r
}

// client returns a client that a leg's service would have.
func (r *rig) client(user string, roots *x509.CertPool) *http.Client {
	proxy := &url.URL{Scheme: "http", Host: r.addr}
	if user != "" {
		proxy.User = url.User(user)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: roots}}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// do makes a call and returns its status and body.
func do(t *testing.T, c *http.Client, method, address, body string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// outside is a server that the legs call. It answers what it was asked.
func outside(t *testing.T) (_ *httptest.Server, asked *[]string) {
	t.Helper()
	var mu sync.Mutex
	asked = new([]string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		*asked = append(*asked, r.Method+" "+r.Host+r.URL.RequestURI()+" "+string(body))
		n := len(*asked)
		mu.Unlock()
		for name := range r.Header {
			if strings.HasPrefix(name, "Proxy-") {
				w.Header().Set("X-Leaked", name)
			}
		}
		w.Header().Set("X-N", fmt.Sprint(n))
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, "answer %d", n)
	}))
	t.Cleanup(s.Close)
	return s, asked
}

// columns writes an image as name=value.
func columns(e []parallax.Column) map[string]string {
	out := map[string]string{}
	for _, c := range e {
		out[c.Name] = *c.Value
	}
	return out
}

func at(s *httptest.Server, host string) string {
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return "http://" + host + ":" + port
}

func hostport(s *httptest.Server, host string) string {
	return strings.TrimPrefix(at(s, host), "http://")
}
