package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// tunnel is two connections whose bytes go from one to the other.
type tunnel struct {
	shadow bool
	to     target
	ends   [2]net.Conn
	idle   atomic.Int64 // how long nothing may move, in nanoseconds
	moved  atomic.Int64 // when something did last, in nanoseconds of Unix time
}

// tunnel opens a tunnel, and returns when it is closed.
func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request, c *call) {
	ctx, cancel := context.WithTimeout(r.Context(), dialWithin)
	defer cancel()
	far, err := p.dial(ctx, "tcp", c.to.String())
	if err != nil {
		p.unanswered(w, r.WithContext(context.WithValue(r.Context(), callKey{}, c)), err)
		return
	}
	defer far.Close()
	near, rest, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.problem(w, http.StatusHTTPVersionNotSupported, "unreadable", "CONNECT needs HTTP/1.1")
		return
	}
	defer near.Close()
	t := &tunnel{shadow: c.shadow, to: c.to, ends: [2]net.Conn{near, far}}
	t.idle.Store(int64(tunnelIdle))
	if !p.opened(t) {
		return
	}
	defer p.closed(t)
	c.finish(resultTunnel, http.StatusOK)
	_ = near.SetDeadline(time.Now().Add(headWithin)) // the write says what is wrong
	if _, err := fmt.Fprint(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	early, _ := rest.Reader.Peek(rest.Reader.Buffered()) // no more than what is there
	if _, err := far.Write(early); err != nil {
		return
	}
	_ = near.SetDeadline(time.Time{})
	t.run()
}

// opened notes a tunnel; false if the proxy is about to end.
func (p *Proxy) opened(t *tunnel) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leaving {
		return false
	}
	p.tunnels[t] = struct{}{}
	p.open.Add(1)
	return true
}

func (p *Proxy) closed(t *tunnel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.tunnels, t)
	p.open.Done()
}

// cut closes both ends.
func (t *tunnel) cut() {
	for _, end := range t.ends {
		end.Close()
	}
}

// hurry makes the tunnel end soon when nothing moves in it.
func (t *tunnel) hurry(idle time.Duration) {
	t.idle.Store(int64(idle))
	for _, end := range t.ends {
		_ = end.SetReadDeadline(time.Now().Add(idle)) // one that is closed has no need of it
	}
}

// run moves bytes both ways until both have ended, one has failed, or nothing moves.
func (t *tunnel) run() {
	t.moved.Store(time.Now().UnixNano())
	var both sync.WaitGroup
	for i := range t.ends {
		from, to := t.ends[i], t.ends[1-i]
		both.Go(func() {
			if t.move(to, from) != nil {
				t.cut()
			}
		})
	}
	both.Wait()
}

// move moves bytes one way. At their end the other side is told.
func (t *tunnel) move(to, from net.Conn) error {
	buffer := make([]byte, 32<<10)
	for {
		idle := time.Duration(t.idle.Load())
		_ = from.SetReadDeadline(time.Now().Add(idle)) // the read says what is wrong
		n, err := from.Read(buffer)
		if n > 0 {
			t.moved.Store(time.Now().UnixNano())
			_ = to.SetWriteDeadline(time.Now().Add(silence)) // the write says what is wrong
			if _, err := to.Write(buffer[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			if half, ok := to.(interface{ CloseWrite() error }); ok {
				return half.CloseWrite()
			}
			return err
		case errors.Is(err, os.ErrDeadlineExceeded) && time.Since(time.Unix(0, t.moved.Load())) < time.Duration(t.idle.Load()):
		case err != nil:
			return err
		}
	}
}
