package egress_test

import (
	"bufio"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"parallax"
	"parallax/compare/effects/egress"
)

// TestShadowsAreDeniedByDefault has both legs make one call. The live leg's goes out,
// the shadow's does not, and both are effects that can be compared.
func TestShadowsAreDeniedByDefault(t *testing.T) {
	t.Parallel()
	mail, asked := outside(t)
	r := start(t, func(c *egress.Config, _ *egress.Deps) {
		c.Allow = []egress.Allow{{Host: hostport(mail, "mail.example"), Local: true, LiveOnly: true}}
	})
	to, body := at(mail, "mail.example")+"/send?to=ann&cc=x&cc=y", `{"subject":"order 7"}`
	header := []string{"X-Parallax-Exchange", exchange.String(), "Content-Type", "application/json"}
	if status, text := do(t, r.client("primary", nil), "POST", to, body, header...); status != 202 || text != "answer 1" {
		t.Errorf("the live leg got %d %q", status, text)
	}
	status, text := do(t, r.client("candidate", nil), "POST", to, body, header...)
	if status != 403 || !strings.Contains(text, "for the live leg only") {
		t.Errorf("the shadow got %d %q", status, text)
	}
	if want := []string{"POST " + hostport(mail, "mail.example") + "/send?to=ann&cc=x&cc=y " + body}; !cmp.Equal(*asked, want) {
		t.Errorf("outside was asked %q, want %q", *asked, want)
	}
	want := map[string]string{"method": "POST", "path": "/send", "query": `{"cc":["x","y"],"to":"ann"}`, "body": body}
	for leg, s := range r.logs {
		tx := s.take(t, 0)
		if d := cmp.Diff(want, columns(tx.Changes[0].After)); d != "" {
			t.Errorf("%s: effect (-want +got):\n%s", leg, d)
		}
		if !cmp.Equal(tx.Tags, []string{exchange.String()}) || tx.More || tx.Changes[0].Op != parallax.Emit || tx.Changes[0].Table != "http:"+hostport(mail, "mail.example") {
			t.Errorf("%s: transaction %+v", leg, tx)
		}
		s.until(t, "passed", func() bool { return s.last == 1 })
	}
}

// TestAllowedCallsGoOn has a shadow call where it may, and compares what it was answered.
func TestAllowedCallsGoOn(t *testing.T) {
	t.Parallel()
	stock, asked := outside(t)
	r := start(t, func(c *egress.Config, _ *egress.Deps) {
		c.Allow = []egress.Allow{{Host: hostport(stock, "127.0.0.1"), Methods: []string{"GET"}, As: "stock"}}
	})
	c := r.client("candidate", nil)
	if status, text := do(t, c, "GET", stock.URL+"/items/1", ""); status != 202 || text != "answer 1" {
		t.Errorf("got %d %q", status, text)
	}
	if status, _ := do(t, c, "DELETE", stock.URL+"/items/1", ""); status != 403 {
		t.Errorf("a method that is not listed got %d", status)
	}
	if len(*asked) != 1 {
		t.Errorf("outside was asked %q", *asked)
	}
	first := r.logs[parallax.Candidate].take(t, 0)
	if d := cmp.Diff(map[string]string{"method": "GET", "path": "/items/1", "status": "202"}, columns(first.Changes[0].After)); d != "" || first.Changes[0].Table != "stock" {
		t.Errorf("effect of %s (-want +got):\n%s", first.Changes[0].Table, d)
	}
	if second := r.logs[parallax.Candidate].take(t, 1).Changes[0]; second.Table != "stock" || columns(second.After)["status"] != "" {
		t.Errorf("a refused call is %+v", second)
	}
}

// TestTunnels goes through CONNECT with TLS, as clients do for https.
func TestTunnels(t *testing.T) {
	t.Parallel()
	pay := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "paid") }))
	t.Cleanup(pay.Close)
	roots := x509.NewCertPool()
	roots.AddCert(pay.Certificate())
	r := start(t, func(c *egress.Config, _ *egress.Deps) {
		c.Allow = []egress.Allow{{Host: hostport(pay, "127.0.0.1"), LiveOnly: true}}
	})
	if status, text := do(t, r.client("primary", roots), "POST", pay.URL, "x"); status != 200 || text != "paid" {
		t.Errorf("the live leg got %d %q", status, text)
	}
	if res, err := r.client("candidate", roots).Get(pay.URL); err == nil {
		res.Body.Close()
		t.Error("a shadow got through")
	} else if !strings.Contains(err.Error(), "Forbidden") {
		t.Errorf("a shadow got %v", err)
	}
	for leg, s := range r.logs {
		if d := cmp.Diff(map[string]string{"method": "CONNECT"}, columns(s.take(t, 0).Changes[0].After)); d != "" {
			t.Errorf("%s (-want +got):\n%s", leg, d)
		}
	}
}

// TestTunnelPorts lists the ports that tunnels may go to.
func TestTunnelPorts(t *testing.T) {
	t.Parallel()
	other, _ := outside(t)
	r := start(t, func(c *egress.Config, _ *egress.Deps) {
		c.Allow = []egress.Allow{{Host: hostport(other, "mail.example"), Methods: []string{"GET"}}}
	})
	for to, want := range map[string]string{
		hostport(other, "mail.example"): "egress.connect", // only GET is listed
		"mail.example:22":               "egress.connect",
		"mail.example:0":                "port is not",
		"mail.example":                  "needs a port",
	} {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Basic cHJpbWFyeTo=\r\nConnection: close\r\n\r\n", to, to)
		text, _ := io.ReadAll(conn)
		conn.Close()
		if !strings.Contains(string(text), want) || strings.Contains(string(text), "200 ") {
			t.Errorf("CONNECT %s: %q has no %q", to, text, want)
		}
	}
}

// TestTLSForTheService has the proxy speak TLS, so that what is called can be compared.
func TestTLSForTheService(t *testing.T) {
	t.Parallel()
	pay := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) }))
	t.Cleanup(pay.Close)
	r := start(t, func(c *egress.Config, d *egress.Deps) {
		c.Allow = []egress.Allow{{Host: hostport(pay, "127.0.0.1"), TLS: true}}
		d.Roots = x509.NewCertPool()
		d.Roots.AddCert(pay.Certificate())
	})
	if status, text := do(t, r.client("candidate", nil), "POST", at(pay, "127.0.0.1")+"/pay", "amount=1&to=x", "Content-Type", "application/x-www-form-urlencoded"); status != 200 || text != "/pay" {
		t.Errorf("got %d %q", status, text)
	}
	want := map[string]string{"method": "POST", "path": "/pay", "body": `{"amount":"1","to":"x"}`, "status": "200"}
	if d := cmp.Diff(want, columns(r.logs[parallax.Candidate].take(t, 0).Changes[0].After)); d != "" {
		t.Errorf("effect (-want +got):\n%s", d)
	}
}

// TestProtectedAddresses has names that resolve to this machine.
func TestProtectedAddresses(t *testing.T) {
	t.Parallel()
	inside, asked := outside(t)
	r := start(t, func(c *egress.Config, d *egress.Deps) {
		_, port, _ := net.SplitHostPort(inside.Listener.Addr().String())
		c.Allow = []egress.Allow{{Host: "*:" + port}}
		d.Lookup = names{"rebound.example": "127.0.0.1", "mapped.example": "::ffff:127.0.0.1", "meta.example": "169.254.169.254"}.lookup
	})
	for _, user := range []string{"primary", "candidate"} {
		for _, host := range []string{"rebound.example", "mapped.example", "meta.example", "127.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"} {
			if status, text := do(t, r.client(user, nil), "POST", at(inside, host), "x"); status != 403 || !strings.Contains(text, "allow it by its address") {
				t.Errorf("%s to %s: %d %q", user, host, status, text)
			}
		}
	}
	if len(*asked) > 0 {
		t.Errorf("this machine was asked %q", *asked)
	}
	if tx := r.logs[parallax.Candidate].take(t, 0); tx.More || columns(tx.Changes[0].After)["body"] != "x" {
		t.Errorf("the effect is %+v", tx)
	}
}

// TestNoLoops calls the proxy through itself.
func TestNoLoops(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *egress.Config, _ *egress.Deps) { c.Allow = []egress.Allow{{Host: "*:1"}, {Host: "127.0.0.1:1"}} })
	cfg := egress.DefaultConfig()
	cfg.Listen, cfg.Allow = "127.0.0.1:0", []egress.Allow{{Host: r.addr}}
	if faults := r.Set(cfg); len(faults) > 0 {
		t.Fatal(faults)
	}
	if status, text := do(t, r.client("primary", nil), "GET", "http://"+r.addr+"/", ""); status != 508 {
		t.Errorf("got %d %q", status, text)
	}
}

// TestStrangers use the proxy in ways that are refused before anything else.
func TestStrangers(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	if status, _ := do(t, r.client("", nil), "GET", "http://mail.example/", ""); status != 407 {
		t.Errorf("without a leg: %d", status)
	}
	if status, _ := do(t, r.client("somebody", nil), "GET", "http://mail.example/", ""); status != 407 {
		t.Errorf("with a leg that is none: %d", status)
	}
	res, err := http.Get("http://" + r.addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 407 {
		t.Errorf("as a server: %d", res.StatusCode)
	}
	elsewhere := start(t, func(c *egress.Config, _ *egress.Deps) { c.From = []string{"192.0.2.0/24"} })
	if status, text := do(t, elsewhere.client("primary", nil), "GET", "http://mail.example/", ""); status != 403 || !strings.Contains(text, "egress.from") {
		t.Errorf("from elsewhere: %d %q", status, text)
	}
}

// TestRoles tells who calls.
func TestRoles(t *testing.T) {
	t.Parallel()
	mail, _ := outside(t)
	r := start(t, func(c *egress.Config, _ *egress.Deps) {
		c.Allow = []egress.Allow{{Host: hostport(mail, "127.0.0.1"), LiveOnly: true}}
	})
	trace := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	seen := map[string]int{}
	f := func(user string, status int, tag string, header ...string) {
		t.Helper()
		if got, text := do(t, r.client(user, nil), "GET", mail.URL, "", header...); got != status {
			t.Errorf("%s %q: %d %s, want %d", user, header, got, text, status)
		}
		leg := map[string]parallax.Leg{"primary": parallax.Primary, "candidate": parallax.Candidate}[user]
		if got := strings.Join(r.logs[leg].take(t, seen[user]).Tags, " "); got != tag {
			t.Errorf("%s %q: tag %q, want %q", user, header, got, tag)
		}
		seen[user]++
	}
	id := exchange.String()
	f("primary", 202, "")
	f("primary", 202, id, "Baggage", "live")
	f("primary", 403, id, "Baggage", "shadow")
	f("primary", 202, "", "Baggage", "other")
	f("primary", 403, "", "X-Parallax-Role", "shadow")
	f("candidate", 403, "")
	f("candidate", 202, id, "Baggage", "live")
	f("candidate", 403, "", "X-Parallax-Role", "live")
	f("candidate", 403, id, "X-Parallax-Exchange", id, "Traceparent", trace)
	f("candidate", 403, trace, "Traceparent", trace)
	f("candidate", 403, "", "Traceparent", "00-nonsense", "X-Parallax-Exchange", "7")
}

// TestThePasswordNamesTheExchange is for clients that choose a proxy for each call.
func TestThePasswordNamesTheExchange(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: r.addr, User: url.UserPassword("candidate", exchange.String())})}
	t.Cleanup(transport.CloseIdleConnections)
	if _, err := (&http.Client{Transport: transport}).Get("https://mail.example/"); err == nil {
		t.Error("a shadow got through")
	}
	if tags := r.logs[parallax.Candidate].take(t, 0).Tags; !cmp.Equal(tags, []string{exchange.String()}) {
		t.Errorf("tags %q", tags)
	}
}

// TestShadowsTakeNoRoomOfTheLive has as many shadows as may be hang.
func TestShadowsTakeNoRoomOfTheLive(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}, 2), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- struct{}{}
			<-release
		}
	}))
	t.Cleanup(slow.Close)
	r := start(t, func(c *egress.Config, _ *egress.Deps) {
		c.InFlight, c.Allow = 2, []egress.Allow{{Host: hostport(slow, "127.0.0.1")}}
	})
	var both sync.WaitGroup
	shadow := r.client("candidate", nil)
	for range 2 {
		both.Go(func() { do(t, shadow, "GET", slow.URL+"/slow", "") })
	}
	<-arrived
	<-arrived
	if status, _ := do(t, shadow, "GET", slow.URL, ""); status != 503 {
		t.Errorf("a third shadow got %d", status)
	}
	if status, _ := do(t, r.client("primary", nil), "GET", slow.URL, ""); status != 200 {
		t.Errorf("the live leg got %d", status)
	}
	close(release)
	both.Wait()
}

// TestBodiesAreBounded compares long ones by their hash.
func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	mail, asked := outside(t)
	r := start(t, func(c *egress.Config, _ *egress.Deps) {
		c.MaxBody, c.Allow = 1000, []egress.Allow{{Host: hostport(mail, "127.0.0.1"), LiveOnly: true}}
	})
	long := strings.Repeat("long ", 100_000)
	do(t, r.client("primary", nil), "PUT", mail.URL, long)
	do(t, r.client("candidate", nil), "PUT", mail.URL, long)
	if len(*asked) != 1 || !strings.HasSuffix((*asked)[0], long) {
		t.Error("outside did not get the body")
	}
	p, c := r.logs[parallax.Primary].take(t, 0), r.logs[parallax.Candidate].take(t, 0)
	if d := cmp.Diff(columns(p.Changes[0].After), columns(c.Changes[0].After)); d != "" || p.More || c.More {
		t.Errorf("effects differ:\n%s", d)
	}
	if got := columns(p.Changes[0].After); got["body_size"] != "500000" || len(got["body_sha256"]) != 64 || got["body"] != "" {
		t.Errorf("effect %q", got)
	}
}

// TestAnswersAreStreamed has an answer come in two parts.
func TestAnswersAreStreamed(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	events := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "one")
		w.(http.Flusher).Flush()
		<-release
		fmt.Fprintln(w, "two")
	}))
	t.Cleanup(events.Close)
	r := start(t, func(c *egress.Config, _ *egress.Deps) {
		c.Allow = []egress.Allow{{Host: hostport(events, "127.0.0.1")}}
	})
	res, err := r.client("primary", nil).Get(events.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	if !lines.Scan() || lines.Text() != "one" {
		t.Fatal("no first line")
	}
	r.logs[parallax.Primary].take(t, 0)
	close(release)
	if !lines.Scan() || lines.Text() != "two" {
		t.Error("no second line")
	}
}

// TestLateAnswers waits for a head that does not come.
func TestLateAnswers(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(slow.Close)
	defer close(release)
	r := start(t, func(c *egress.Config, _ *egress.Deps) {
		c.Timeout, c.Allow = time.Second, []egress.Allow{{Host: hostport(slow, "127.0.0.1")}}
	})
	if status, text := do(t, r.client("candidate", nil), "POST", slow.URL, "x"); status != 504 {
		t.Errorf("got %d %q", status, text)
	}
}

// TestReload takes away what a tunnel needs, and moves the listener.
func TestReload(t *testing.T) {
	t.Parallel()
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var echoing sync.WaitGroup
	echoing.Go(func() {
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			echoing.Go(func() { defer conn.Close(); _, _ = io.Copy(conn, conn) })
		}
	})
	t.Cleanup(echoing.Wait)
	t.Cleanup(func() { echo.Close() })
	r := start(t, func(c *egress.Config, _ *egress.Deps) { c.Allow = []egress.Allow{{Host: echo.Addr().String()}} })

	conn := connect(t, r.addr, echo.Addr().String())
	fmt.Fprintln(conn, "hello")
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "hello\n" {
		t.Fatalf("read %q, %v", line, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Move(l); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", r.addr); err == nil {
		t.Error("the old address takes calls")
	}
	second := connect(t, l.Addr().String(), echo.Addr().String())
	cfg := egress.DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	if faults := r.Set(cfg); len(faults) > 0 {
		t.Fatal(faults)
	}
	for _, c := range []net.Conn{conn, second} {
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("a tunnel that is not allowed any more goes on: read %d bytes", n)
		}
	}
	r.addr = l.Addr().String()
	if status, _ := do(t, r.client("candidate", nil), "GET", "http://"+echo.Addr().String(), ""); status != 403 {
		t.Errorf("got %d", status)
	}
}

// connect opens a tunnel as the candidate.
func connect(t *testing.T, proxy, to string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", proxy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Basic Y2FuZGlkYXRlOg==\r\n\r\n", to, to)
	head := make([]byte, len("HTTP/1.1 200 Connection established\r\n\r\n"))
	if _, err := io.ReadFull(conn, head); err != nil || !strings.Contains(string(head), " 200 ") {
		t.Fatalf("tunnel: %q %v", head, err)
	}
	return conn
}

// TestShutdownEndsIdleTunnels leaves a tunnel open in which nothing moves.
func TestShutdownEndsIdleTunnels(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	r := start(t, func(c *egress.Config, _ *egress.Deps) { c.Allow = []egress.Allow{{Host: silent.Addr().String()}} })
	conn := connect(t, r.addr, silent.Addr().String())
	began := time.Now()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the tunnel is open")
	}
}

// TestMetricsNameNoHost reads what is counted.
func TestMetricsNameNoHost(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	r := start(t, func(_ *egress.Config, d *egress.Deps) { d.Metrics = egress.NewMetrics(reg) })
	do(t, r.client("candidate", nil), "GET", "http://mail.example/", "", "Baggage", "shadow")
	do(t, r.client("", nil), "GET", "http://mail.example/", "")
	const want = `
# HELP parallax_egress_attributed_total The same, by what told their exchange.
# TYPE parallax_egress_attributed_total counter
parallax_egress_attributed_total{by="mark",leg="candidate",service="shop"} 1
# HELP parallax_egress_calls_total Calls that legs made through the proxy, by what became of them.
# TYPE parallax_egress_calls_total counter
parallax_egress_calls_total{leg="candidate",result="refused",role="shadow",service="shop"} 1
# HELP parallax_egress_strangers_total Requests to the proxy that named no leg, came from elsewhere than egress.from, or could not be read.
# TYPE parallax_egress_strangers_total counter
parallax_egress_strangers_total{service="shop",why="no_leg"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "parallax_egress_calls_total", "parallax_egress_attributed_total", "parallax_egress_strangers_total"); err != nil {
		t.Error(err)
	}
}
