package h1

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"parallax"
)

// Pool keeps the connections to the instances of a leg and sends requests on
// them. Its fields are set before the first Do and not changed afterwards; a zero
// field means the default.
type Pool struct {
	// Dial opens a connection. Nil means a net.Dialer with DialTimeout. Names are
	// resolved at every call.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is used for https. Its ServerName is set to the host if it is empty.
	TLS *tls.Config
	// DialTLS opens a connection for https and agrees on TLS, with name as the
	// host's. Nil means Dial and TLS.
	DialTLS func(ctx context.Context, network, address, name string) (net.Conn, error)

	DialTimeout     time.Duration // for a connection with its TLS handshake; 5 s
	HeadTimeout     time.Duration // from the end of the request to the head of the answer; no bound
	IdleTimeout     time.Duration // then an unused connection is closed; 30 s
	ContinueTimeout time.Duration // then a body is sent without the leg's 100; 1 s
	WriteTimeout    time.Duration // for a leg to take what one write gives it; 1 min

	MaxIdle   int // unused connections kept per instance; 256
	MaxConns  int // connections per instance, further requests wait; no bound
	MaxHead   int // bytes of an answer's head; 1 MiB
	MaxFields int // header lines, and trailer lines; 1000

	once   sync.Once
	guard  *guard
	mu     sync.Mutex
	hosts  map[address]*host
	closed bool
}

// address is where a connection leads to, and under which name.
type address struct{ scheme, host, addr string }

// Longest wait between two looks at time limits.
const poolTick = 25 * time.Millisecond

func (p *Pool) prepare() {
	p.once.Do(func() {
		p.DialTimeout = or(p.DialTimeout, 5*time.Second)
		p.IdleTimeout = or(p.IdleTimeout, 30*time.Second)
		p.ContinueTimeout = or(p.ContinueTimeout, time.Second)
		p.WriteTimeout = or(p.WriteTimeout, time.Minute)
		p.MaxIdle = or(p.MaxIdle, 256)
		p.MaxHead = or(p.MaxHead, 1<<20)
		p.MaxFields = or(p.MaxFields, 1000)
		p.guard = newGuard(tickFor(poolTick, p.HeadTimeout, p.IdleTimeout), nil)
		p.hosts = make(map[address]*host)
		if p.Dial == nil {
			dialer := &net.Dialer{Timeout: p.DialTimeout}
			p.Dial = dialer.DialContext
		}
	})
}

// Close closes the connections that are not in use; the others are closed when
// their answer is at its end. Do fails from then on.
func (p *Pool) Close() {
	p.prepare()
	p.mu.Lock()
	p.closed = true
	hosts := slices.Collect(maps.Values(p.hosts))
	p.mu.Unlock()
	for _, h := range hosts {
		h.close()
	}
}

// CloseIdle closes the connections that are not in use, and goes on.
func (p *Pool) CloseIdle() {
	p.prepare()
	p.mu.Lock()
	hosts := slices.Collect(maps.Values(p.hosts))
	p.mu.Unlock()
	for _, h := range hosts {
		h.closeIdle()
	}
}

// Forget closes the connections to an instance that is no more: those in use at
// the end of their answers. addr is as in [Message].
func (p *Pool) Forget(to *url.URL, addr string) {
	p.prepare()
	p.mu.Lock()
	h := p.hosts[address{to.Scheme, to.Host, addr}]
	if h != nil {
		h.retire()
		delete(p.hosts, h.at)
	}
	p.mu.Unlock()
	if h != nil {
		h.closeIdle()
	}
}

// host returns the connections to an instance.
func (p *Pool) host(to *url.URL, addr string) (*host, error) {
	p.prepare()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	at := address{to.Scheme, to.Host, addr}
	h := p.hosts[at]
	if h == nil {
		h = &host{pool: p, at: at, name: to.Hostname(), addr: addr, secured: to.Scheme == "https"}
		port := to.Port()
		switch {
		case port == "" && h.secured:
			port = "443"
		case port == "":
			port = "80"
		}
		if addr == "" {
			h.addr = net.JoinHostPort(h.name, port)
		}
		p.hosts[at] = h
	}
	return h, nil
}

// tidy forgets an instance to which there is no connection any more, so that a
// pool holds no more of them than it uses.
func (p *Pool) tidy(h *host) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open == 0 && !h.retired {
		h.retired = true
		delete(p.hosts, h.at)
	}
}

// host holds the connections to one instance.
type host struct {
	pool    *Pool
	at      address
	addr    string // host and port
	name    string // for TLS
	secured bool

	mu      sync.Mutex
	idle    []*clientConn // the last one was used last
	open    int           // connections and those being dialled
	waiting []chan *clientConn
	closed  bool
	retired bool // no longer the pool's: takes no requests, keeps no connection
}

// errRetired says that the pool has forgotten a host meanwhile. It may be asked
// for again.
var errRetired = errors.New("instance was forgotten")

// get returns a connection to use: an idle one that is alive, the one used last
// first, or a new one. With unlooked, who uses it looks whether it is alive.
func (h *host) get(ctx context.Context, deadline time.Time, fresh, unlooked bool) (*clientConn, error) {
	for {
		c, wait, err := h.next(fresh)
		switch {
		case err != nil:
			return nil, err
		case wait != nil:
			if c, err = h.wait(ctx, deadline, wait); err != nil {
				return nil, err
			}
		}
		if c == nil {
			return h.dial(ctx, deadline)
		}
		if c.wake(); unlooked && c.raw != nil || c.alive() {
			return c, nil
		}
		c.close()
	}
}

// next takes an idle connection, or leave to dial when it returns nothing, or a
// place in the queue.
func (h *host) next(fresh bool) (*clientConn, chan *clientConn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, nil, ErrClosed
	case h.retired:
		return nil, nil, errRetired
	}
	if n := len(h.idle); n > 0 && !fresh {
		c := h.idle[n-1]
		h.idle[n-1] = nil
		h.idle = h.idle[:n-1]
		return c, nil, nil
	}
	if most := h.pool.MaxConns; most > 0 && h.open >= most {
		if n := len(h.idle); n > 0 { // fresh: one in place of another
			c := h.idle[0]
			h.idle = append(h.idle[:0], h.idle[1:]...)
			h.open++
			go c.close()
			return nil, nil, nil
		}
		wait := make(chan *clientConn, 1)
		h.waiting = append(h.waiting, wait)
		return nil, wait, nil
	}
	h.open++
	return nil, nil, nil
}

// wait waits for a connection of another request, or for leave to dial.
func (h *host) wait(ctx context.Context, deadline time.Time, turn chan *clientConn) (*clientConn, error) {
	var over <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		over = timer.C
	}
	var err error
	select {
	case c := <-turn:
		return c, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-over:
		err = os.ErrDeadlineExceeded
	}
	h.mu.Lock()
	for i, w := range h.waiting {
		if w == turn {
			h.waiting = append(h.waiting[:i], h.waiting[i+1:]...)
			h.mu.Unlock()
			return nil, err
		}
	}
	h.mu.Unlock()
	if c := <-turn; c != nil { // it came in the same moment
		h.put(c)
	} else {
		h.gave()
	}
	return nil, err
}

func (h *host) dial(ctx context.Context, deadline time.Time) (*clientConn, error) {
	limit := time.Now().Add(h.pool.DialTimeout)
	if !deadline.IsZero() && deadline.Before(limit) {
		limit = deadline
	}
	ctx, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	conn, err := h.connect(ctx)
	if err != nil {
		h.gave()
		return nil, &dialError{err}
	}
	return newClientConn(h, conn), nil
}

// connect opens a connection, with TLS where the scheme asks for it.
func (h *host) connect(ctx context.Context) (net.Conn, error) {
	if h.secured && h.pool.DialTLS != nil {
		return h.pool.DialTLS(ctx, "tcp", h.addr, h.name)
	}
	conn, err := h.pool.Dial(ctx, "tcp", h.addr)
	if err == nil && h.secured {
		conn, err = h.handshake(ctx, conn)
	}
	return conn, err
}

// dialError is a failure before there was a connection.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

func (h *host) handshake(ctx context.Context, conn net.Conn) (net.Conn, error) {
	config := h.pool.TLS.Clone()
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if config.ServerName == "" {
		config.ServerName = h.name
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("cannot agree on TLS: %w", err)
	}
	return secured, nil
}

// put takes a connection back that can serve another request.
func (h *host) put(c *clientConn) {
	h.mu.Lock()
	if len(h.waiting) > 0 {
		turn := h.waiting[0]
		h.waiting = h.waiting[1:]
		h.mu.Unlock()
		turn <- c
		return
	}
	if h.closed || h.retired || len(h.idle) >= h.pool.MaxIdle || !c.rest() {
		h.mu.Unlock()
		c.close()
		return
	}
	h.idle = append(h.idle, c)
	h.mu.Unlock()
}

// gave tells that there is one connection less.
func (h *host) gave() {
	h.mu.Lock()
	if len(h.waiting) > 0 {
		turn := h.waiting[0]
		h.waiting = h.waiting[1:]
		h.mu.Unlock()
		turn <- nil // dials in its place
		return
	}
	h.open--
	last := h.open == 0 && !h.retired
	h.mu.Unlock()
	if last {
		h.pool.tidy(h)
	}
}

// forget takes an idle connection out to close it. It is false if it is in use
// again.
func (h *host) forget(c *clientConn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.idle {
		if h.idle[i] == c {
			h.idle = append(h.idle[:i], h.idle[i+1:]...)
			return true
		}
	}
	return false
}

func (h *host) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.closeIdle()
}

func (h *host) retire() {
	h.mu.Lock()
	h.retired = true
	h.mu.Unlock()
}

func (h *host) closeIdle() {
	h.mu.Lock()
	idle := h.idle
	h.idle = nil
	h.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
}

// failure sorts an error into the kinds that an exchange knows.
func failure(addr string, sent, reused bool, err error) *Error {
	e := &Error{Kind: parallax.Reset, Addr: addr, Sent: sent, Reused: reused, Err: err}
	var refusal *Refusal
	var dial *dialError
	var own *ownError
	var timeout net.Error
	switch {
	case errors.As(err, &own):
		e.Kind, e.Err = own.kind, own.error
	case errors.As(err, &refusal):
		e.Kind = parallax.BadAnswer
	case errors.Is(err, context.Canceled):
	case errors.As(err, &dial) && !errors.Is(err, context.DeadlineExceeded):
		e.Kind = parallax.Refused
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e.Kind = parallax.Timeout
	}
	return e
}

// ownError is a failure of the request, not of the leg.
type ownError struct {
	kind parallax.ErrKind
	error
}
