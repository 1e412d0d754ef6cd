package h1

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/url"
	"testing"
	"time"
)

// TestForgottenInstance asks an instance that is forgotten in the middle of an
// answer: the answer comes, nothing is kept, and a later request connects anew.
func TestForgottenInstance(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	closed := make(chan struct{}, 2)
	addr := scripted(t, func(conn net.Conn, r *bufio.Reader) {
		defer func() { closed <- struct{}{} }()
		for {
			if _, _, err := request(r); err != nil {
				return
			}
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
			<-goOn
			io.WriteString(conn, "k")
		}
	})
	p := pool(t, func(p *Pool) { p.IdleTimeout = time.Hour })
	res, err := p.Do(context.Background(), at(addr), &Message{Method: "GET", Target: "/", Host: "a"})
	if err != nil {
		t.Fatal(err)
	}
	p.Forget(at(addr), "")
	equal(t, "instances", len(p.hosts), 0)
	goOn <- struct{}{}
	if got, err := io.ReadAll(res); err != nil || string(got) != "ok" {
		t.Fatalf("got %q, %v", got, err)
	}
	<-closed // its answer was at its end
	go func() { goOn <- struct{}{} }()
	if _, got, err := ask(t, p, addr, &Message{}); err != nil || got != "ok" {
		t.Fatalf("asked again: %q, %v", got, err)
	}
	equal(t, "connections", openTo(p, addr), 1)
	p.Forget(at(addr), "")
	<-closed // though nothing was asked
	equal(t, "connections", openTo(p, addr), 0)
}

// TestPoolKeepsNoInstanceWithoutConnections asks many addresses, none of which
// stays in the pool once its connection is gone.
func TestPoolKeepsNoInstanceWithoutConnections(t *testing.T) {
	t.Parallel()
	addr := scripted(t, func(conn net.Conn, r *bufio.Reader) {
		if _, _, err := request(r); err == nil {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	p := pool(t)
	for _, name := range []string{"a", "b", "c"} {
		res, err := p.Do(context.Background(), &url.URL{Scheme: "http", Host: name}, &Message{Method: "GET", Target: "/", Host: name, Addr: addr})
		if err != nil {
			t.Fatal(err)
		}
		io.ReadAll(res)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	equal(t, "instances", len(p.hosts), 0)
}
