//go:build unix

package h1

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestConnectionHandedOn has requests wait for the one connection, whose buffer the
// answer before has filled to its last byte.
func TestConnectionHandedOn(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x", 4*bufferSize)
	_, addr := start(t, func(_ *Request, w *Writer) {
		w.Head(200, nil, int64(len(body)), nil, false)
		io.WriteString(w, body)
	})
	p := pool(t, func(p *Pool) { p.MaxConns = 1 })
	p.prepare()
	results := make(chan error)
	for range 4 {
		go func() {
			for range 100 {
				res, err := p.Do(context.Background(), at(addr), &Message{Method: "GET", Target: "/", Host: "a"})
				if err != nil {
					results <- err
					return
				}
				var n int64
				for buf := make([]byte, 4*bufferSize); err == nil; {
					var got int
					got, err = res.Read(buf)
					n += int64(got)
				}
				if err != io.EOF || n != int64(len(body)) {
					t.Errorf("an answer of %d bytes, %v", n, err)
				}
			}
			results <- nil
		}()
	}
	for range 4 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// TestLegThatSpeaksFirst has a leg answer a connection before anything was asked on
// it, as one that is overloaded does, and say nothing more: the answer counts.
func TestLegThatSpeaksFirst(t *testing.T) {
	t.Parallel()
	const busy = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbusy"
	addr := scripted(t, func(conn net.Conn, r *bufio.Reader) {
		io.WriteString(conn, busy)
		conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, r)
	})
	p := pool(t, func(p *Pool) {
		p.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			for err == nil && !spoken(t, conn) {
			}
			return conn, err
		}
	})
	res, got, err := ask(t, p, addr, &Message{Deadline: time.Now().Add(5 * time.Second)})
	if err != nil || res.Status != 503 || got != "busy" {
		t.Errorf("got %q, %v", got, err)
	}
}

// spoken reports whether there is something to read, and leaves it there.
func spoken(t testing.TB, conn net.Conn) bool {
	t.Helper()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	_ = raw.Control(func(fd uintptr) { n, _, _ = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK) })
	return n > 0
}
