package h1

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// serverConn is one connection of a caller.
type serverConn struct {
	link
	server *Server
	socket net.Conn // under TLS, or conn itself
	ip     string
	addr   string

	req  Request
	res  Writer
	body *RequestBody // of the request under way

	mu       sync.Mutex   // for idle
	idle     bool         // nothing of a request has come
	handling atomic.Int64 // since when the handler runs; 0 when it does not
	polled   int64        // guard only: the handling that next is about
	next     int64        // guard only: when to ask again whether the caller left
	probe    syscall.RawConn
	left     bool // guard only
	ask      func(fd uintptr)
}

// Bounds on a connection's end.
const (
	maxDrain    = 256 << 10              // bytes of a body that nobody wanted, read to keep the connection
	lingerBytes = 256 << 10              // read after an answer that came before the request's end, so that it arrives
	lingerTime  = 500 * time.Millisecond // for the next bytes of such a rest, or for the caller to close
	pollMost    = time.Second
)

func newServerConn(s *Server, conn net.Conn) *serverConn {
	c := &serverConn{server: s, socket: conn}
	c.link.open(conn, s.guard)
	if under, ok := conn.(interface{ NetConn() net.Conn }); ok {
		c.socket = under.NetConn()
	}
	if socket, ok := c.socket.(syscall.Conn); ok {
		if raw, err := socket.SyscallConn(); err == nil {
			c.probe, c.ask = raw, func(fd uintptr) { c.left = peerLeft(fd) }
		}
	}
	if a := conn.RemoteAddr(); a != nil {
		c.addr = a.String()
		c.ip = c.addr
		if host, _, err := net.SplitHostPort(c.addr); err == nil {
			c.ip = host
		}
	}
	c.idle = true
	c.readDue.set(s.guard.in(s.headTimeout()))
	return c
}

// check looks after the limits and, while a handler takes long, whether the
// caller is still there.
func (c *serverConn) check(now int64) {
	c.link.check(now)
	since := c.handling.Load()
	if since == 0 || c.probe == nil || c.req.left.Load() {
		return
	}
	if c.polled != since {
		c.polled, c.next = since, since
	}
	if now < c.next {
		return
	}
	c.next = now + min(now-since, int64(pollMost))
	if c.probe.Control(c.ask) == nil && c.left {
		c.req.left.Store(true)
		c.req.tellGone()
	}
}

// wakeIdle makes an idle connection look whether it should close.
func (c *serverConn) wakeIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle {
		c.conn.SetReadDeadline(longAgo)
	}
}

// setIdle says whether wakeIdle may wake the connection from now on.
func (c *serverConn) setIdle(idle bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = idle
}

func (c *serverConn) serve() {
	defer c.end()
	if secured, ok := c.conn.(*tls.Conn); ok && !c.handshake(secured) {
		return
	}
	for first := true; c.await(first) && c.request(first); first = false {
	}
}

// end closes the connection. A handler that panics loses its connection, not
// the process; its buffers go to nobody, since they may be in use.
func (c *serverConn) end() {
	defer c.conn.Close()
	v := recover()
	if v == nil {
		c.drop()
		return
	}
	c.server.Log.Error("panic while a request was served; its connection is closed", "panic", v, "stack", string(debug.Stack()))
	c.handling.Store(0)
	c.req.onGone.Store(nil)
	if c.res.c != nil {
		c.res.Abort()
	}
}

// handshake finishes TLS. It is false when there is nothing to read requests
// from.
func (c *serverConn) handshake(secured *tls.Conn) bool {
	if secured.HandshakeContext(context.Background()) != nil {
		return false
	}
	state := secured.ConnectionState()
	c.req.TLS = &state
	if state.NegotiatedProtocol != "h2" {
		return true
	}
	if c.server.HandOver != nil {
		c.handOver()
	}
	return false
}

// handOver gives the connection away, with what was read of it.
func (c *serverConn) handOver() {
	c.setIdle(false)
	c.readDue.set(0)
	conn := c.conn
	if rest := c.buffered(); len(rest) > 0 {
		conn = &replayed{Conn: conn, rest: append([]byte(nil), rest...)}
	}
	c.drop()
	c.server.HandOver(conn)
}

// replayed is a connection of which the first bytes were read before.
type replayed struct {
	net.Conn
	rest []byte
}

// Read implements net.Conn.
func (c *replayed) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// await waits for the first byte of a request, and sets the limit for the rest
// of its head.
func (c *serverConn) await(first bool) bool {
	if len(c.buffered()) == 0 && !c.rest(first) {
		return false
	}
	return c.readDue.set(c.guard.in(c.server.headTimeout()))
}

// rest lies idle until something comes.
func (c *serverConn) rest(first bool) bool {
	c.release()
	c.setIdle(true)
	if !first {
		if c.server.closing.Load() && c.server.IdleGrace == 0 {
			return false
		}
		if !c.readDue.set(c.guard.in(c.server.idleTimeout())) {
			return false
		}
	}
	if c.server.woken.Load() { // went idle after the others were told
		c.conn.SetReadDeadline(longAgo)
	}
	err := c.fill()
	c.setIdle(false)
	if c.server.closing.Load() {
		c.conn.SetReadDeadline(time.Time{})
		if errors.Is(err, os.ErrDeadlineExceeded) { // a request may have come in the same moment
			c.noWait = true
			err = c.fill()
			c.noWait = false
		}
	}
	return err == nil
}

// request serves one request. It is true when there may be another.
func (c *serverConn) request(first bool) bool {
	begin := c.r
	text, err := c.readHead(c.server.MaxHead, "")
	var h head
	if err == nil {
		h, err = parseRequest(text, c.server.MaxFields)
	}
	switch {
	case err == errPreface && first && c.req.TLS == nil && c.server.HandOver != nil:
		c.r = begin
		c.handOver()
		return false
	case err != nil:
		c.refuse(err)
		return false
	}
	c.readDue.set(0)
	c.release() // a request may wait long for its answer
	c.begin(&h)
	c.handle()
	return c.finish()
}

// begin sets up request and answer.
func (c *serverConn) begin(h *head) {
	r := &c.req
	r.Method, r.URI, r.Target, r.Host, r.Proto, r.Headers = h.method, h.uri, h.target, h.host, h.proto, h.fields
	r.RemoteAddr, r.RemoteIP = c.addr, c.ip
	r.left.Store(false)
	r.TrailerNames, r.Upgrade, r.Length, r.Body = nil, "", max(h.length, 0), nil
	if h.upgrade {
		r.Upgrade = h.protocol
	}
	old := h.proto == "HTTP/1.0"
	c.res.reset(c, h.method, old, !h.close && (!old || h.keepAlive))
	if h.chunked {
		r.Length, r.TrailerNames = -1, h.trailers
	}
	r.Continue = h.expects && r.Length != 0
	if c.body = nil; r.Length != 0 {
		c.body = &RequestBody{body{link: &c.link, left: r.Length, fields: c.server.MaxFields, stall: c.server.bodyTimeout()}}
		if h.chunked {
			c.body.how = byChunks
		}
		if r.Continue {
			c.body.begin = c.res.proceed
			c.res.continues = true
		}
		r.Body = c.body
	}
}

// handle runs the handler.
func (c *serverConn) handle() {
	c.handling.Store(c.guard.now.Load())
	c.server.Handler(&c.req, &c.res)
	c.handling.Store(0)
	c.req.onGone.Store(nil)
}

// finish ends answer and request after the handler. It is true when the
// connection can serve another request.
func (c *serverConn) finish() bool {
	if c.res.switched {
		return c.abandon()
	}
	whole := c.res.complete()
	if c.body != nil && !c.endBody(whole) {
		whole = false
	}
	c.res.free()
	c.forget()
	return whole && c.res.keep
}

// forget lets go of the request, so that an idle connection does not hold it.
func (c *serverConn) forget() {
	r := &c.req
	r.Method, r.URI, r.Target, r.Host, r.Proto, r.Upgrade = "", "", "", "", "", ""
	r.Headers, r.TrailerNames, r.Body, c.body = nil, nil, nil, nil
}

// abandon forgets a connection that belongs to somebody else now.
func (c *serverConn) abandon() bool {
	<-c.res.tunnel.closed
	return false
}

// endBody takes the body out of the hands of whoever reads it, and reads what is
// left of it. It is false if the connection cannot be used any more.
func (c *serverConn) endBody(answered bool) bool {
	b, useful := c.body, answered
	if !b.mu.TryLock() {
		// Somebody waits for bytes that nobody wants any more.
		c.conn.SetReadDeadline(longAgo)
		b.mu.Lock()
		c.conn.SetReadDeadline(time.Time{})
		useful = false
	}
	ended, waiting := b.err == io.EOF, b.begin != nil
	b.stall = min(b.stall, lingerTime)
	b.late, b.begin = !ended, nil // what is discarded now must not look like an end to others
	b.mu.Unlock()
	if !ended && useful && c.res.keep && !waiting {
		ended = b.discard(maxDrain, false)
	}
	if !ended && answered {
		c.linger()
	}
	return ended
}

// linger closes our side and reads on for a moment: if the socket was closed
// with bytes unread, the kernel would reset the connection, and the caller might
// lose the answer.
func (c *serverConn) linger() {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.readDue.set(c.guard.in(lingerTime))
	home := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(home)
	for most := lingerBytes; most > 0; {
		n, err := c.conn.Read(home[:])
		if most -= n; err != nil {
			return
		}
	}
}

// refuse answers a request that could not be understood.
func (c *serverConn) refuse(err error) {
	var r *Refusal
	if !errors.As(err, &r) {
		if !errors.Is(err, os.ErrDeadlineExceeded) || len(c.buffered()) == 0 {
			return // the caller left
		}
		r = errSlowHead
	}
	if c.server.Refused != nil {
		c.server.Refused(r)
	}
	c.res.reset(c, "GET", false, false)
	c.res.Head(r.Status, plainText, int64(len(r.Text)+1), nil, true)
	c.res.Write([]byte(r.Text + "\n"))
	if c.res.err == nil {
		c.linger()
	}
	c.res.free()
}
