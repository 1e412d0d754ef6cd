package egress_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"parallax"
	"parallax/compare/effects/egress"
)

// candidate is the header that names that leg.
const candidate = "Proxy-Authorization: Basic Y2FuZGlkYXRlOg==\r\n"

// raw sends bytes to the proxy, and reads until it closes or says nothing for a while.
func raw(t *testing.T, r *rig, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Logf("it was closed while it was written to: %v", err)
	}
	got, _ := io.ReadAll(conn)
	return string(got)
}

// TestHostileRequests sends what no client does.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *egress.Config, _ *egress.Deps) {
		c.Allow = []egress.Allow{{Host: "mail.example", LiveOnly: true}}
	})
	f := func(want, text string) {
		t.Helper()
		if got := raw(t, r, text); !strings.HasPrefix(got, "HTTP/1.1 "+want) && !strings.HasPrefix(got, "HTTP/1.0 "+want) {
			t.Errorf("%.80q is answered %.80q, want %s", text, got, want)
		}
	}
	f("400", "GARBAGE\r\n\r\n")
	f("400", "GET http://mail.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n"+candidate+"\r\nabc")
	f("400", "GET / HTTP/1.1\r\nHost: mail.example\r\nConnection: close\r\n"+candidate+"\r\n")
	f("400", "GET ftp://mail.example/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+candidate+"\r\n")
	f("400", "GET http://ma%20il.example/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+candidate+"\r\n")
	f("400", "GET http://[fe80::1%25eth0]/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+candidate+"\r\n")
	f("400", "GET http://m\u00e4il.example/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+candidate+"\r\n")
	f("400", "CONNECT mail.example:99999 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+candidate+"\r\n")
	f("431", "GET http://mail.example/ HTTP/1.1\r\nHost: a\r\n"+candidate+"X: "+strings.Repeat("x", 100<<10)+"\r\n\r\n")
	f("407", "GET http://mail.example/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\nProxy-Authorization: Basic !!!\r\n\r\n")
	f("407", "GET http://mail.example/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\nProxy-Authorization: Bearer candidate\r\n\r\n")
	f("403", "GET http://user:secret@mail.example/ HTTP/1.0\r\n"+candidate+"\r\n")
	f("403", "GET http://MAIL.Example.:80/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+candidate+"\r\n")
	for n := range 2 {
		change := r.logs[parallax.Candidate].take(t, n).Changes[0]
		if got := columns(change.After); change.Table != "http:mail.example" || got["path"] != "/" || strings.Contains(fmt.Sprint(got), "secret") {
			t.Errorf("the call is %s %v", change.Table, got)
		}
	}
}

// TestUnfinishedBodiesAreNotCompared has a shadow leave in the middle of a body.
func TestUnfinishedBodiesAreNotCompared(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST http://mail.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n%s\r\nhello", candidate)
	conn.Close()
	if tx := r.logs[parallax.Candidate].take(t, 0); !tx.More {
		t.Errorf("half a body counts as a whole one: %+v", tx)
	}
}

// TestWhatIsHopByHopStays checks what a server outside gets and what comes back.
func TestWhatIsHopByHopStays(t *testing.T) {
	t.Parallel()
	mail, _ := outside(t)
	r := start(t, func(c *egress.Config, _ *egress.Deps) { c.Allow = []egress.Allow{{Host: hostport(mail, "127.0.0.1")}} })
	req, err := http.NewRequest("GET", mail.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Proxy-Connection", "keep-alive")
	req.Header.Set("Upgrade", "websocket")
	res, err := r.client("candidate", nil).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if leaked := res.Header.Get("X-Leaked"); leaked != "" || res.StatusCode != 202 {
		t.Errorf("outside got %s, and answered %d", leaked, res.StatusCode)
	}
}

// TestTunnelsKeepEveryByte sends before the tunnel is open, closes one way, and reads on.
func TestTunnelsKeepEveryByte(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		text, _ := io.ReadAll(conn) // until the other side has ended
		fmt.Fprintf(conn, "%d bytes\n", len(text))
	})
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { l.Close() })
	r := start(t, func(c *egress.Config, _ *egress.Deps) { c.Allow = []egress.Allow{{Host: l.Addr().String()}} })
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	early := strings.Repeat("early ", 100)
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: a\r\n%s\r\n%s", l.Addr(), candidate, early)
	later := strings.Repeat("later ", 100_000)
	if _, err := io.WriteString(conn, later); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got := bufio.NewReader(conn)
	for { // the head
		if line, err := got.ReadString('\n'); err != nil {
			t.Fatal(err)
		} else if line == "\r\n" {
			break
		}
	}
	if line, err := got.ReadString('\n'); line != fmt.Sprintf("%d bytes\n", len(early)+len(later)) {
		t.Errorf("the other side got %q, %v", line, err)
	}
}
