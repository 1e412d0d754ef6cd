package h1

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestEveryAnswerIsItsOwn sends requests of all sizes, from callers who leave, to a
// leg that closes, resets, answers early, in pieces and not at all: no answer is
// another request's, and no request arrives twice.
func TestEveryAnswerIsItsOwn(t *testing.T) {
	t.Parallel()
	for name, most := range map[string]int{"as many connections as needed": 0, "three connections": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			leg := &oddLeg{seen: map[string]int{}}
			addr := leg.listen(t)
			p := pool(t, func(p *Pool) { p.MaxConns, p.IdleTimeout = most, 30*time.Millisecond })
			var callers sync.WaitGroup
			var mu sync.Mutex
			answered := 0
			for caller := range 8 {
				callers.Go(func() {
					random := rand.New(rand.NewPCG(1, uint64(caller)))
					for i := range 200 {
						if oddRequest(t, p, addr, fmt.Sprintf("%d-%d", caller, i), random) {
							mu.Lock()
							answered++
							mu.Unlock()
						}
					}
				})
			}
			callers.Wait()
			if answered < 400 {
				t.Errorf("%d answers", answered)
			}
			p.Close()
			leg.close()
			for id, n := range leg.seen {
				if n > 1 {
					t.Errorf("request %s arrived %d times", id, n)
				}
			}
			for deadline := time.Now().Add(20 * time.Second); openTo(p, addr) > 0; runtime.Gosched() { // One that lay idle for long is closed on its own.
				if time.Now().After(deadline) {
					t.Fatalf("%d connections are still open", openTo(p, addr))
				}
			}
		})
	}
}

// oddRequest sends one request and reports whether it was answered whole.
func oddRequest(t *testing.T, p *Pool, addr, id string, random *rand.Rand) bool {
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	if random.IntN(10) == 0 {
		time.AfterFunc(time.Duration(random.IntN(5000))*time.Microsecond, leave)
	}
	m := &Message{Method: "GET", Target: "/" + id, Host: "a", Deadline: time.Now().Add(time.Second)}
	if random.IntN(2) == 0 {
		body := strings.Repeat("b", 1+random.IntN(100_000))
		m.Method, m.Length, m.Body, m.Ready = "POST", int64(len(body)), text(body), random.IntN(2) == 0
	}
	res, err := p.Do(ctx, at(addr), m)
	if err != nil {
		return false
	}
	defer res.Close()
	if random.IntN(10) == 0 {
		return false
	}
	b, err := io.ReadAll(res)
	switch {
	case err != nil:
		return false
	case !strings.HasPrefix(string(b), id+" "):
		t.Errorf("request %s was answered %.20q", id, b)
	}
	return true
}

// oddLeg is a leg that does everything but answer twice.
type oddLeg struct {
	listener net.Listener
	serving  sync.WaitGroup
	mu       sync.Mutex
	seen     map[string]int
}

func (l *oddLeg) listen(t *testing.T) (addr string) {
	t.Helper()
	var err error
	if l.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	l.serving.Go(func() {
		for n := uint64(0); ; n++ {
			conn, err := l.listener.Accept()
			if err != nil {
				return
			}
			l.serving.Go(func() { l.serve(conn, rand.New(rand.NewPCG(2, n))) })
		}
	})
	return l.listener.Addr().String()
}

func (l *oddLeg) close() {
	l.listener.Close()
	l.serving.Wait()
}

func (l *oddLeg) serve(conn net.Conn, random *rand.Rand) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(conn)
	for {
		line, err := r.Peek(16)
		if len(line) == 0 || err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return
		}
		if _, target, ok := strings.Cut(string(line), "/"); ok {
			id, _, _ := strings.Cut(target, " ")
			l.mu.Lock()
			l.seen[id]++
			l.mu.Unlock()
			if !l.answer(conn, r, id, random) {
				return
			}
			continue
		}
		return
	}
}

// answer reads a request and answers it, or not. It is false at the end of the
// connection.
func (l *oddLeg) answer(conn net.Conn, r *bufio.Reader, id string, random *rand.Rand) bool {
	body := id + " " + strings.Repeat("x", random.IntN(3*bufferSize))
	text := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	how := random.IntN(12)
	if how == 0 { // before it has read anything but the first bytes
		io.WriteString(conn, text)
		return false
	}
	if _, _, err := request(r); err != nil {
		return false
	}
	switch how {
	case 1:
		conn.(*net.TCPConn).SetLinger(0)
		return false
	case 2:
		return false
	case 3:
		io.WriteString(conn, text[:len(text)/2])
		return false
	case 4: // one byte too many
		io.WriteString(conn, text+"H")
		return true
	case 5:
		io.WriteString(conn, text)
		return false
	case 6:
		io.WriteString(conn, text[:10])
		io.WriteString(conn, text[10:])
		return true
	case 7:
		io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+text)
		return true
	}
	io.WriteString(conn, text)
	return true
}
