package h1

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestTLSRestIsNoAnswer has a leg that sends more than it announced, in one TLS
// record: the rest must not become the next request's answer.
func TestTLSRestIsNoAnswer(t *testing.T) {
	t.Parallel()
	ca := httptest.NewTLSServer(nil)
	defer ca.Close()
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate())
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := tls.NewListener(plain, &tls.Config{Certificates: ca.TLS.Certificates, DynamicRecordSizingDisabled: true})
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answerTooMuch(c)
		}
	}()
	p := &Pool{TLS: &tls.Config{RootCAs: roots}}
	defer p.Close()
	to := &url.URL{Scheme: "https", Host: plain.Addr().String()}
	for range 3 {
		r, err := p.Do(t.Context(), to, &Message{Method: "GET", Target: "/", Host: "a"})
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, 0, 1<<15)
		for {
			n, err := r.Read(body[len(body):cap(body)])
			body = body[:len(body)+n]
			if err != nil {
				break
			}
		}
		if strings.Trim(string(body), "x") != "" || len(body) != 10_000 {
			t.Fatalf("an answer of %d bytes, %.20q", len(body), body)
		}
	}
}

func answerTooMuch(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if line == "\r\n" {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
			io.WriteString(c, strings.Repeat("x", 10_000)+"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nPOISONED")
		}
	}
}

// TestCloseBeforeTheEnd closes answers that were not read, from many goroutines:
// whoever uses the connection next must not notice.
func TestCloseBeforeTheEnd(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Handler: func(_ *Request, w *Writer) {
		w.Head(200, nil, 3000, nil, false)
		w.Write(make([]byte, 3000))
	}}
	var serving sync.WaitGroup
	serving.Go(func() { s.Serve(context.Background(), l) })
	p := &Pool{MaxConns: 2}
	to := &url.URL{Scheme: "http", Host: l.Addr().String()}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 300 {
				r, err := p.Do(context.Background(), to, &Message{Method: "GET", Target: "/", Host: "a"})
				if err != nil {
					t.Error(err)
					return
				}
				r.Close()
			}
		})
	}
	all.Wait()
	p.Close()
	s.Close()
	serving.Wait()
}

// TestShutdownAfterALateAnswer has an answer that ends when the grace of idle
// connections is over.
func TestShutdownAfterALateAnswer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	begun, finish := make(chan struct{}), make(chan struct{})
	s := &Server{IdleGrace: time.Millisecond, Handler: func(_ *Request, w *Writer) {
		w.Head(200, nil, 2, nil, false)
		w.Flush()
		close(begun)
		<-finish
		w.Write([]byte("ok"))
	}}
	var serving sync.WaitGroup
	serving.Go(func() { s.Serve(context.Background(), l) })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-begun
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		ended <- s.Shutdown(ctx)
	}()
	for !s.woken.Load() { // the idle ones were told
		runtime.Gosched()
	}
	close(finish)
	if err := <-ended; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	serving.Wait()
}
