package h1

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parallax"
)

// piped returns a pool whose connections lead to script, all within a bubble of
// synctest.
func piped(script func(net.Conn, *bufio.Reader)) *Pool {
	return &Pool{Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			script(theirs, bufio.NewReader(theirs))
		}()
		return ours, nil
	}}
}

// TestHeadTimeoutBeginsWithTheEndOfTheUpload has an upload that takes longer
// than an answer may.
func TestHeadTimeoutBeginsWithTheEndOfTheUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := piped(func(conn net.Conn, r *bufio.Reader) {
			request(r)
			time.Sleep(900 * time.Millisecond)
			io.WriteString(conn, okAnswer)
		})
		p.HeadTimeout = time.Second
		defer p.Close()
		body, rest := io.Pipe()
		go func() {
			for range 20 {
				time.Sleep(500 * time.Millisecond)
				rest.Write([]byte("x"))
			}
			rest.Close()
		}()
		begin := time.Now()
		if _, got, err := ask(t, p, "leg", &Message{Method: "POST", Length: 20, Body: body}); err != nil || got != "ok" {
			t.Errorf("got %q, %v", got, err)
		}
		equal(t, "time", time.Since(begin), 10*time.Second+900*time.Millisecond)
	})
}

func TestTimeLimitsOfAPool(t *testing.T) {
	hang := func(_ net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) }
	for _, c := range []struct {
		name   string
		limit  time.Duration
		script func(net.Conn, *bufio.Reader)
		set    func(*Pool, *Message)
		sent   bool
	}{
		{"head", time.Second, hang, func(p *Pool, _ *Message) { p.HeadTimeout = time.Second }, true},
		{"deadline", 2 * time.Second, hang, func(_ *Pool, m *Message) { m.Deadline = time.Now().Add(2 * time.Second) }, true},
		{"both", time.Second, hang, func(p *Pool, m *Message) {
			p.HeadTimeout, m.Deadline = time.Minute, time.Now().Add(time.Second)
		}, true},
		{"leg that takes nothing", 3 * time.Second, func(conn net.Conn, r *bufio.Reader) { time.Sleep(time.Minute) }, func(p *Pool, m *Message) {
			p.WriteTimeout = 3 * time.Second
			m.Method, m.Length, m.Body = "POST", 100_000, text(strings.Repeat("a", 100_000))
		}, false},
		{"leg that stops taking", 3 * time.Second, func(conn net.Conn, r *bufio.Reader) {
			request(bufio.NewReader(io.LimitReader(conn, 20_000)))
			time.Sleep(time.Minute)
		}, func(p *Pool, m *Message) {
			p.WriteTimeout = 3 * time.Second
			m.Method, m.Length, m.Body = "POST", 100_000, text(strings.Repeat("a", 100_000))
		}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := piped(c.script)
			m := &Message{}
			c.set(p, m)
			begin := time.Now()
			_, _, err := ask(t, p, "leg", m)
			wantKind(t, c.name, err, parallax.Timeout, c.sent)
			if took := time.Since(begin); took < c.limit || took > c.limit+100*time.Millisecond {
				t.Errorf("%s: took %v, want %v", c.name, took, c.limit)
			}
			p.Close()
			time.Sleep(time.Minute) // the scripts end
		})
	}
}

// TestCancellationComesTooLate has a context end after its answer did: the
// connection is another request's by then.
func TestCancellationComesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := piped(func(conn net.Conn, r *bufio.Reader) {
			for {
				if _, _, err := request(r); err != nil {
					return
				}
				time.Sleep(time.Second)
				io.WriteString(conn, okAnswer)
			}
		})
		defer p.Close()
		ctx, cancel := context.WithCancel(context.Background())
		res, err := p.Do(ctx, at("leg"), &Message{Method: "GET", Target: "/", Host: "a"})
		if err != nil {
			t.Fatal(err)
		}
		io.ReadAll(res)
		time.AfterFunc(500*time.Millisecond, cancel)
		if _, got, err := ask(t, p, "leg", &Message{}); err != nil || got != "ok" {
			t.Errorf("got %q, %v", got, err)
		}
		equal(t, "connections", openTo(p, "leg"), 1)
	})
}
