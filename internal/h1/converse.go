package h1

import "errors"

// errStale says that there was something to read on a connection before anything
// was asked on it.
var errStale = errors.New("connection was closed, or answered, while it lay idle")

// converse writes what was composed and waits for the first of the answer.
//
// Fast path: looking whether an idle connection is still one, writing, and waiting
// are one call of the runtime, which the poller wakes when there is something to
// read. Apart, each would look at the socket again (BenchmarkMirrored; two reads
// less for each leg).
func (k *call) converse(m *Message) error {
	c := k.conn
	c.expect(m.Deadline)
	c.stage, c.takeErr = unasked, nil
	err := c.raw.Read(c.talk)
	k.sent = c.stage == asked || c.stage == begun
	switch {
	case err != nil:
		return err
	case c.takeErr != nil:
		return c.takeErr
	case c.stage == stale:
		k.stale = true
		return errStale
	case c.stage == asked:
		k.whole(m)
		return nil
	}
	return k.send(m, true) // the kernel takes no more at once
}

// stage is how far a request has come that is sent in one piece.
type stage uint8

const (
	unasked stage = iota
	stale         // there was something to read before
	begun         // the kernel took only some of it
	asked         // it has left
)

// talkOver is what converse has the runtime call, until it is true: first to
// write, and again whenever there may be something to read.
func (c *clientConn) talkOver(fd uintptr) bool {
	if c.stage == asked {
		return c.takeFrom(fd)
	}
	if c.reused && !c.silent(fd) {
		c.stage = stale
		return true
	}
	n, err := writeSocket(fd, c.out.buf)
	switch {
	case n == len(c.out.buf):
		c.stage = asked
		c.out.free()
		// What a leg said on a new connection before this turn began wakes nobody.
		return !c.reused && c.takeFrom(fd)
	case n > 0:
		c.stage, c.out.buf = begun, c.out.buf[n:]
	case err != errWouldBlock:
		c.takeErr = err
	}
	return true
}
