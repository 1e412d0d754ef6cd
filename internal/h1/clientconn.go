package h1

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// clientConn is one connection to a leg's instance. It carries one request at a
// time.
type clientConn struct {
	link
	host   *host
	socket net.Conn // under TLS, or conn itself
	out    outbox
	closed sync.Once

	reused  bool
	parts   atomic.Int32 // of the request under way that are not finished: answer, upload
	spoiled atomic.Bool  // not to be used again
	idleDue limit

	mu    sync.Mutex      // for the four below
	ctx   context.Context // of the request under way, looked at every tick; nil for none
	turn  uint64          // counts requests, so that a late cancellation hits none that it was not meant for
	cause error           // why the request under way was cut short
	heard bool            // its answer has begun

	stage stage
	talk  func(fd uintptr) bool

	probe    func(fd uintptr)
	probed   bool // nothing was there to read
	one      [1]byte
	probeRaw syscall.RawConn
}

func newClientConn(h *host, conn net.Conn) *clientConn {
	c := &clientConn{host: h, socket: conn}
	c.open(conn, h.pool.guard)
	c.talk = c.talkOver
	if under, ok := conn.(interface{ NetConn() net.Conn }); ok {
		c.socket = under.NetConn()
	}
	if socket, ok := c.socket.(syscall.Conn); ok && socketReads {
		if raw, err := socket.SyscallConn(); err == nil {
			c.probeRaw, c.probe = raw, c.look
		}
	}
	h.pool.guard.add(c)
	return c
}

// check looks after the limits and the context of the request under way.
func (c *clientConn) check(now int64) {
	c.link.check(now)
	c.heed()
	if c.idleDue.over(now) {
		go c.expire()
	}
}

// heed cuts the request under way when its context has ended. To look every tick
// costs a request nothing; to be told, by context.AfterFunc, would cost it two
// locks that all requests share, and four allocations (BenchmarkMirrored in mirror).
func (c *clientConn) heed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx != nil && c.ctx.Err() != nil {
		c.interrupt(context.Cause(c.ctx))
		c.ctx = nil
	}
}

// expire closes a connection that nobody used for long.
func (c *clientConn) expire() {
	if c.host.forget(c) {
		c.close()
	}
}

// rest has the connection closed when it lies idle for long.
func (c *clientConn) rest() bool {
	return c.idleDue.set(c.guard.in(c.host.pool.IdleTimeout))
}

// wake ends the rest of an idle connection.
func (c *clientConn) wake() {
	c.idleDue.set(0)
	c.reused = true
}

// alive reports whether an idle connection can be used: open, with nothing to
// read. Whatever there is to read now is no answer to anything.
func (c *clientConn) alive() bool {
	if c.socket != c.conn && !c.nothingDecrypted() {
		return false
	}
	if c.probeRaw == nil {
		return true
	}
	c.probed = false
	return c.probeRaw.Control(c.probe) == nil && c.probed
}

// look notes whether there is nothing to read.
func (c *clientConn) look(fd uintptr) { c.probed = c.silent(fd) }

// silent reports whether there is nothing to read, not even an end.
func (c *clientConn) silent(fd uintptr) bool {
	_, err := readSocket(fd, c.one[:])
	return err == errWouldBlock
}

// close closes the connection for good.
func (c *clientConn) close() {
	c.closed.Do(func() {
		c.guard.remove(c)
		c.conn.Close()
		c.host.gave()
	})
}

// start begins a request that ends with a context at the latest.
func (c *clientConn) start(ctx context.Context, parts int32) (turn uint64) {
	c.parts.Store(parts)
	c.spoiled.Store(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn++
	c.ctx, c.cause, c.heard = ctx, nil, false
	return c.turn
}

// cut stops the request of a turn, if it is still under way: whoever reads or
// writes gets an error.
func (c *clientConn) cut(turn uint64, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turn == turn {
		c.interrupt(cause)
	}
}

// interrupt stops the request under way. c.mu is held.
func (c *clientConn) interrupt(cause error) {
	if c.cause == nil {
		c.cause = cause
	}
	c.spoiled.Store(true)
	c.socket.SetDeadline(longAgo)
}

// expect limits the wait for the head of the answer, now that the request is
// sent, unless it is there already.
func (c *clientConn) expect(deadline time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.heard {
		c.readDue.set(c.deadline(deadline, c.host.pool.HeadTimeout))
	}
}

// hear ends the wait for the head of the answer. It is false when that was too
// late.
func (c *clientConn) hear(deadline time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = true
	return c.readDue.set(c.deadline(deadline, 0))
}

// why returns what really ended the request: err is what its reader or writer
// saw of it.
func (c *clientConn) why(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return c.cause
	}
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// until sets the limit for reading and writing; 0 means none.
func (c *clientConn) until(due int64) bool {
	read, write := c.readDue.set(due), c.writeDue.set(due)
	return read && write
}

// done ends one part of a request. The last one gives the connection back, or
// closes it.
func (c *clientConn) done() {
	if c.parts.Add(-1) > 0 {
		return
	}
	c.over()
	clean := c.until(0) && !c.spoiled.Load() && len(c.buffered()) == 0
	c.drop() // whoever uses the connection next begins without a buffer
	if !clean {
		c.close()
		return
	}
	c.host.put(c)
}

// over ends the request under way: from here on nothing cuts it.
func (c *clientConn) over() {
	c.mu.Lock()
	c.turn++
	c.ctx = nil
	c.mu.Unlock()
}

// answered ends the answer's part. One that ended badly, or ends the connection,
// takes no more of the request.
func (c *clientConn) answered(good bool) {
	if !good {
		c.spoiled.Store(true)
		if c.parts.Load() > 1 {
			c.socket.SetDeadline(longAgo)
		}
	}
	c.done()
}

// deadline turns a point in time, and a time from now, into a limit.
func (c *clientConn) deadline(at time.Time, within time.Duration) int64 {
	due := c.guard.in(within)
	if !at.IsZero() {
		if absolute := c.guard.at(at); due == 0 || absolute < due {
			due = absolute
		}
	}
	return due
}

// nothingDecrypted reports whether a TLS connection holds no byte that was
// decrypted and not read. One that does was sent more than an answer, and the rest
// would be taken for the beginning of the next.
func (c *clientConn) nothingDecrypted() bool {
	var one [1]byte
	c.conn.SetReadDeadline(longAgo)
	n, err := c.conn.Read(one[:])
	c.conn.SetReadDeadline(time.Time{})
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}
