package h1

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestHandOver(t *testing.T) {
	t.Parallel()
	for _, rest := range []string{"", "and frames"} {
		got := make(chan string, 1)
		_, addr := start(t, echo, func(s *Server) {
			s.HandOver = func(conn net.Conn) {
				defer conn.Close()
				b := make([]byte, len(preface+rest))
				io.ReadFull(conn, b)
				got <- string(b)
			}
		})
		raw(t, addr, preface+rest)
		equal(t, "bytes", <-got, preface+rest)
	}
	_, addr := start(t, echo, func(s *Server) { s.HandOver = func(net.Conn) { t.Error("handed over in mid-connection") } })
	if got := raw(t, addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"+preface); !strings.Contains(got, "HTTP/1.1 505 ") {
		t.Errorf("got %q", got)
	}
}

func TestOnGone(t *testing.T) {
	t.Parallel()
	handling, gone := make(chan struct{}), make(chan struct{})
	_, addr := start(t, func(r *Request, w *Writer) {
		r.OnGone(func() { close(gone) })
		close(handling)
		<-gone
	}, func(s *Server) { s.Timeouts = func() Timeouts { return Timeouts{Head: 40 * time.Millisecond} } }) // makes it look often
	conn := dial(t, addr)
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /unread HTTP/1.1\r\nHost: a\r\n\r\n")
	<-handling
	conn.Close()
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		close(gone)
		t.Error("nobody noticed that the caller left")
	}
}

func TestServerLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, request, want string
		limits              Timeouts
	}{
		{"head that does not come", "", "", Timeouts{Head: 20 * time.Millisecond}},
		{"head that stalls", "GET / HT", "HTTP/1.1 408 ", Timeouts{Head: 20 * time.Millisecond}},
		{"idle", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 ", Timeouts{Idle: 20 * time.Millisecond}},
		{"body that stalls", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n1", "HTTP/1.1 200 ", Timeouts{Body: 20 * time.Millisecond}},
		{"caller that does not read", "GET /much HTTP/1.1\r\nHost: a\r\n\r\n", "", Timeouts{Write: 20 * time.Millisecond}},
	} {
		ended := make(chan error, 1)
		_, addr := start(t, func(r *Request, w *Writer) {
			if r.Target == "/much" {
				w.Head(200, nil, -1, nil, false)
				var err error
				for b := make([]byte, 1<<20); err == nil; {
					_, err = w.Write(b)
				}
				ended <- err
				return
			}
			echo(r, w)
		}, func(s *Server) { s.Timeouts = func() Timeouts { return c.limits } })
		conn := dial(t, addr)
		io.WriteString(conn, c.request)
		if strings.Contains(c.request, "/much") {
			if err := <-ended; err == nil {
				t.Errorf("%s: it was waited for", c.name)
			}
			continue
		}
		got, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(got), c.want) {
			t.Errorf("%s: got %q, %v", c.name, got, err)
		}
	}
}

func TestMaxConns(t *testing.T) {
	t.Parallel()
	_, addr := start(t, echo, func(s *Server) { s.MaxConns = 1 })
	first, second := dial(t, addr), dial(t, addr)
	io.WriteString(first, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	io.WriteString(second, bye)
	in := bufio.NewReader(first)
	if _, err := http.ReadResponse(in, nil); err != nil {
		t.Fatal(err)
	}
	first.Close() // makes room
	if got, err := io.ReadAll(second); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 200 ") {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestShutdownFinishesWhatIsBeingHandled(t *testing.T) {
	t.Parallel()
	handling, goOn := make(chan struct{}), make(chan struct{})
	s := &Server{Handler: func(r *Request, w *Writer) {
		if r.Target == "/slow" {
			close(handling)
			<-goOn
		}
		echo(r, w)
	}}
	addr := serve(t, s)
	idle, busy := dial(t, addr), dial(t, addr)
	io.WriteString(idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	in := bufio.NewReader(idle)
	if _, err := http.ReadResponse(in, nil); err != nil {
		t.Fatal(err)
	}
	io.WriteString(busy, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	<-handling
	over := make(chan error, 1)
	go func() { over <- s.Shutdown(context.Background()) }()
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("idle connection: %v", err)
	}
	select {
	case err := <-over:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	close(goOn)
	got, _ := io.ReadAll(busy)
	if !strings.HasPrefix(string(got), "HTTP/1.1 200 ") || !strings.Contains(string(got), "Connection: close\r\n") {
		t.Errorf("got %q", got)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
}

func TestShutdownLeavesGraceToIdleConnections(t *testing.T) {
	t.Parallel()
	s := &Server{Handler: echo, IdleGrace: 10 * time.Second}
	addr := serve(t, s)
	conn := dial(t, addr)
	in := bufio.NewReader(conn)
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if _, err := http.ReadResponse(in, nil); err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() { over <- s.Shutdown(context.Background()) }()
	for !s.closing.Load() {
	}
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	res, err := http.ReadResponse(in, nil)
	if err != nil || !res.Close {
		t.Fatalf("got %v, %v", res, err)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
}

func TestShutdownCutsOffWhenItsTimeIsUp(t *testing.T) {
	t.Parallel()
	handling, wrote := make(chan struct{}), make(chan error, 1)
	s := &Server{Handler: func(r *Request, w *Writer) {
		close(handling)
		_, err := r.Body.Read(make([]byte, 1))
		wrote <- err
	}}
	addr := serve(t, s)
	conn := dial(t, addr)
	io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n")
	<-handling
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); err != context.Canceled {
		t.Errorf("got %v", err)
	}
	if err := <-wrote; err == nil {
		t.Error("the handler was not cut off")
	}
}
