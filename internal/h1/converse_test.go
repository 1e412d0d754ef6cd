//go:build unix

package h1

import (
	"bufio"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
)

// TestBodyOutlivesADeadConnection has legs close connections that lie idle: the
// next request, whose body has been read by the time that shows, arrives whole on
// another connection, and once.
func TestBodyOutlivesADeadConnection(t *testing.T) {
	t.Parallel()
	bodies := make(chan string, 4)
	over := make(chan struct{})
	addr := scripted(t, func(conn net.Conn, r *bufio.Reader) {
		_, body, err := request(r)
		if err != nil {
			return
		}
		bodies <- body
		io.WriteString(conn, okAnswer)
		<-over
	})
	p := pool(t)
	if _, _, err := ask(t, p, addr, &Message{}); err != nil {
		t.Fatal(err)
	}
	c := p.hosts[address{"http", addr, ""}].idle[0]
	close(over)
	for !readable(t, c) {
	}
	want := strings.Repeat("body", 1000)
	_, got, err := ask(t, p, addr, &Message{Method: "POST", Length: int64(len(want)), Body: text(want), Ready: true})
	if err != nil || got != "ok" {
		t.Errorf("got %q, %v", got, err)
	}
	<-bodies
	equal(t, "body", <-bodies, want)
	equal(t, "further requests", len(bodies), 0)
}

// TestWhatTheKernelDoesNotTakeAtOnce sends more than the sockets hold, in one
// piece, to a leg that reads nothing before that shows.
func TestWhatTheKernelDoesNotTakeAtOnce(t *testing.T) {
	t.Parallel()
	const length = 31 << 10
	small := func(option int) func(_, _ string, c syscall.RawConn) error {
		return func(_, _ string, c syscall.RawConn) (err error) {
			_ = c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, option, 1) })
			return err
		}
	}
	l, err := (&net.ListenConfig{Control: small(syscall.SO_RCVBUF)}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := pool(t, func(p *Pool) { p.Dial = (&net.Dialer{Control: small(syscall.SO_SNDBUF)}).DialContext })
	p.prepare()
	waits := func() (waits bool) {
		p.guard.each(func(w watched) { waits = waits || w.(*clientConn).writeDue.due.Load() != 0 })
		return waits
	}
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for !waits() {
		}
		if _, body, err := request(bufio.NewReader(conn)); err == nil && body == strings.Repeat("x", length) {
			io.WriteString(conn, okAnswer)
		}
	}()
	_, got, err := ask(t, p, l.Addr().String(), &Message{Method: "POST", Length: length, Body: text(strings.Repeat("x", length)), Ready: true})
	if err != nil || got != "ok" {
		t.Errorf("got %q, %v", got, err)
	}
}
