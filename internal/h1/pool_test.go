package h1

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parallax"
)

func TestTunnel(t *testing.T) {
	t.Parallel()
	addr := scripted(t, func(conn net.Conn, r *bufio.Reader) {
		head, _, _ := request(r)
		if !strings.Contains(head, "Connection: Upgrade\r\nUpgrade: echo\r\n") {
			t.Errorf("got %q", head)
		}
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nahead ")
		io.Copy(conn, r)
	})
	p := pool(t)
	res, err := p.Do(context.Background(), at(addr), &Message{Method: "GET", Target: "/", Host: "a", Upgrade: "echo"})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Tunnel.Close()
	io.WriteString(res.Tunnel, "said")
	res.Tunnel.CloseWrite()
	got, err := io.ReadAll(res.Tunnel)
	if err != nil || string(got) != "ahead said" {
		t.Errorf("got %q, %v", got, err)
	}
	res.Tunnel.Close()
	equal(t, "connections", openTo(p, addr), 0)
}

func TestCloseKeepsTheConnectionIfTheRestIsThere(t *testing.T) {
	t.Parallel()
	sent := make(chan struct{})
	var connections atomic.Int32
	addr := scripted(t, func(conn net.Conn, r *bufio.Reader) {
		connections.Add(1)
		for {
			if head, _, err := request(r); err != nil {
				return
			} else if strings.HasPrefix(head, "GET /slow") {
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
				continue
			}
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
			sent <- struct{}{}
		}
	})
	p := &Pool{}
	for range 3 {
		go func() { <-sent }()
		res, err := p.Do(context.Background(), at(addr), &Message{Method: "GET", Target: "/", Host: "a"})
		if err != nil {
			t.Fatal(err)
		}
		res.Close()
	}
	equal(t, "connections", int(connections.Load()), 1)
	res, err := p.Do(context.Background(), at(addr), &Message{Method: "GET", Target: "/slow", Host: "a"})
	if err != nil {
		t.Fatal(err)
	}
	res.Close()
	if _, err := res.Read(make([]byte, 1)); err != ErrClosed {
		t.Errorf("read after Close: %v", err)
	}
	equal(t, "connections", openTo(p, addr), 0)
	p.Close()
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	var handling atomic.Int32
	_, addr := start(t, func(r *Request, w *Writer) {
		if n := handling.Add(1); n > 1 {
			t.Errorf("%d requests at a time", n)
		}
		<-goOn
		handling.Add(-1)
		w.Head(200, nil, 0, nil, r.Target == "/last")
	})
	p := pool(t, func(p *Pool) { p.MaxConns = 1 })
	results := make(chan error)
	for _, target := range []string{"/", "/last", "/"} {
		go func() {
			_, _, err := ask(t, p, addr, &Message{Target: target})
			results <- err
		}()
	}
	goOn <- struct{}{}
	h, _ := p.host(at(addr), "")
	for waiting := 0; waiting == 0; {
		h.mu.Lock()
		waiting = len(h.waiting)
		h.mu.Unlock()
	}
	_, _, err := ask(t, p, addr, &Message{Deadline: time.Now().Add(10 * time.Millisecond)})
	wantKind(t, "waiting for a connection", err, parallax.Timeout, false)
	close(goOn)
	for range 3 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	addr := scripted(t, func(conn net.Conn, r *bufio.Reader) {
		request(r)
		io.WriteString(conn, okAnswer)
		r.ReadByte()
		close(closed)
	})
	if _, _, err := ask(t, pool(t, func(p *Pool) { p.IdleTimeout = 20 * time.Millisecond }), addr, &Message{}); err != nil {
		t.Fatal(err)
	}
	<-closed
}

func TestTLS(t *testing.T) {
	t.Parallel()
	certs := httptest.NewUnstartedServer(nil)
	certs.StartTLS()
	defer certs.Close()
	handed := make(chan struct{}, 1)
	s := &Server{HandOver: func(conn net.Conn) {
		handed <- struct{}{}
		conn.Close()
	}}
	s.Handler = func(r *Request, w *Writer) {
		if r.TLS == nil {
			t.Error("TLS is not told of")
		}
		echo(r, w)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := certs.TLS.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	go s.Serve(context.Background(), tls.NewListener(l, config))
	defer s.Shutdown(context.Background())
	trust := certs.Client().Transport.(*http.Transport).TLSClientConfig
	p := pool(t, func(p *Pool) { p.TLS = &tls.Config{RootCAs: trust.RootCAs} })
	to := at(l.Addr().String())
	to.Scheme = "https"
	for range 3 {
		res, err := p.Do(context.Background(), to, &Message{Method: "POST", Target: "/", Host: "a", Length: 100_000, Body: text(strings.Repeat("a", 100_000))})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(res); err != nil || len(b) != 100_000 {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
	}
	conn, err := tls.Dial("tcp", to.Host, &tls.Config{RootCAs: trust.RootCAs, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	<-handed
	_, err = pool(t).Do(context.Background(), to, &Message{Method: "GET", Target: "/", Host: "a"})
	wantKind(t, "unknown authority", err, parallax.Refused, false)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}
