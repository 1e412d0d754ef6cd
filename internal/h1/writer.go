package h1

import (
	"io"
	"net"
	"sync"

	"parallax"
)

// Writer writes the answer to one request. It belongs to the goroutine of the
// handler and is not used after that has returned.
type Writer struct {
	c      *serverConn
	out    outbox
	pieces [3][]byte // for gather
	vector net.Buffers
	method string
	old    bool // the caller speaks HTTP/1.0
	keep   bool // the connection may serve another request

	begun    bool // the head is composed
	sent     bool // bytes of the answer have left
	ended    bool // nothing more may be written
	bodyless bool
	chunked  bool
	left     int64 // bytes of a declared length to come; -1 when none was
	err      error

	tunnel   *Tunnel
	switched bool

	// mu is taken for requests that wait for 100 Continue only: their body may be
	// read in another goroutine than the handler's.
	mu        sync.Mutex
	continues bool
}

func (w *Writer) reset(c *serverConn, method string, old, keep bool) {
	w.c, w.method, w.old, w.keep = c, method, old, keep
	w.begun, w.sent, w.ended, w.bodyless, w.chunked, w.left = false, false, false, false, false, -1
	w.err, w.tunnel, w.switched, w.continues = nil, nil, false, false
}

// proceed sends 100 Continue unless the answer has begun.
func (w *Writer) proceed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.continues {
		return nil
	}
	w.continues = false
	return w.c.write([]byte("HTTP/1.1 100 Continue\r\n\r\n"), w.c.server.writeTimeout())
}

// settle makes sure that no 100 Continue is sent from now on.
func (w *Writer) settle() {
	if w.c.req.Continue {
		w.mu.Lock()
		w.continues = false
		w.mu.Unlock()
	}
}

// Inform sends an informational answer (100 to 199, but for 101) at once. After
// 100 the body's first Read sends none. Callers that speak HTTP/1.0, and those
// who got the head already, get nothing.
func (w *Writer) Inform(status int, headers []parallax.Field) error {
	if w.old || w.begun || w.err != nil || status < 100 || status == 101 || status > 199 {
		return w.err
	}
	if status == 100 {
		if !w.c.req.Continue {
			return nil // nobody waits for it
		}
		return w.proceed()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out.open()
	b := appendStatus(w.out.buf[:0], status)
	for _, f := range headers {
		if k := kindOf(f.Name); (k == passed || k == ofDate) && goodField(f) {
			b = appendField(b, f.Name, f.Value)
		}
	}
	b = append(b, "\r\n"...)
	w.note(w.c.write(b, w.c.server.writeTimeout()))
	return w.err
}

// Head begins the answer. A length of -1 means that only the end of the body
// will tell; the body is then chunked, or ends with the connection for a caller
// that speaks HTTP/1.0. For HEAD and 304, length is what the body would have
// had. Headers are written in order; those that frame the message or are about
// the connection are left out and written from what is known here, as is a
// field that cannot be written safely. A Content-Length keeps its place. Date is
// added if it is missing, but for Server.NoDate. last says that the connection cannot serve another
// request. Only the first call counts.
func (w *Writer) Head(status int, headers []parallax.Field, length int64, trailers []string, last bool) {
	if w.begun || w.ended {
		return
	}
	w.settle()
	w.begun = true
	w.bodyless = bodyless(w.method, status)
	w.chunked = length < 0 && !w.bodyless && !w.old
	if !w.bodyless {
		w.left = length
	}
	if last || w.c.server.closing.Load() || length < 0 && w.old && !w.bodyless || w.c.unasked() {
		w.keep = false
	}
	announced := length < 0 || status == 204 || status < 200
	dated := false
	w.out.open()
	b := appendStatus(w.out.buf, status)
	for _, f := range headers {
		switch kindOf(f.Name) {
		case ofLength:
			if !announced && all(f.Name, inToken) {
				b, announced = appendLength(b, f.Name, length), true
			}
			continue
		case ofHop, ofUpgrade:
			continue
		case ofDate:
			dated = true
		}
		if goodField(f) {
			b = appendField(b, f.Name, f.Value)
		}
	}
	if !announced {
		b = appendLength(b, "Content-Length", length)
	}
	w.out.buf = w.endHead(b, dated, trailers)
	if w.bodyless || w.left == 0 {
		w.end()
	}
}

// endHead adds what this side says about the message and the connection.
func (w *Writer) endHead(b []byte, dated bool, trailers []string) []byte {
	if w.chunked {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		b = appendTrailerNames(b, trailers)
	}
	if line := w.c.server.date.line.Load(); !dated && !w.c.server.NoDate && line != nil {
		b = append(b, *line...)
	}
	switch {
	case !w.keep:
		b = append(b, "Connection: close\r\n"...)
	case w.old:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	return append(b, "\r\n"...)
}

// unasked reports whether the caller still waits to be asked for its body: it
// may send it after the answer or not, so the connection ends.
func (c *serverConn) unasked() bool {
	if !c.req.Continue || c.body == nil {
		return false
	}
	if !c.body.mu.TryLock() {
		return false // it is being read
	}
	defer c.body.mu.Unlock()
	return c.body.begin != nil
}

// Write passes on a piece of the body. It does not keep p. What is small waits
// for more until Flush, or the end of the body.
func (w *Writer) Write(p []byte) (int, error) {
	switch {
	case w.err != nil:
		return 0, w.err
	case !w.begun:
		return 0, ErrNoHead
	case w.bodyless:
		return len(p), nil
	case w.ended && len(p) > 0:
		return 0, ErrLength
	case len(p) == 0:
		return 0, nil
	}
	n := len(p)
	if w.left >= 0 {
		n = int(min(int64(n), w.left))
		w.left -= int64(n)
	}
	if !w.out.body(p[:n], w.chunked) {
		if w.gather(p[:n]); w.err != nil {
			return 0, w.err
		}
	}
	if w.left == 0 {
		w.end()
	}
	if n < len(p) && w.err == nil {
		return n, ErrLength
	}
	return n, w.err
}

var lineEnd = []byte("\r\n")

// gather writes what is collected and p in one go.
func (w *Writer) gather(p []byte) {
	if w.chunked {
		w.out.buf = appendChunkSize(w.out.buf, len(p))
	}
	w.pieces = [3][]byte{w.out.buf, p, lineEnd}
	w.vector = w.pieces[:3]
	if !w.chunked {
		w.vector = w.pieces[:2]
	}
	w.out.buf = w.out.buf[:0]
	w.c.writeDue.set(w.c.guard.in(w.c.server.writeTimeout()))
	_, err := w.vector.WriteTo(w.c.conn)
	w.c.writeDue.set(0)
	w.pieces, w.vector = [3][]byte{}, nil
	w.note(err)
}

func (w *Writer) note(err error) {
	w.sent = true
	if err != nil && w.err == nil {
		w.err, w.keep = err, false
	}
}

// Flush sends out at once what was written.
func (w *Writer) Flush() error {
	if len(w.out.buf) > 0 && w.err == nil {
		b := w.out.buf
		w.out.buf = b[:0]
		w.note(w.c.write(b, w.c.server.writeTimeout()))
	}
	return w.err
}

// end flushes the last of the answer.
func (w *Writer) end() {
	w.ended = true
	w.Flush()
}

// End ends the answer and sends it out. The handler may go on with other things;
// the next request is read when it returns.
func (w *Writer) End() error {
	w.Trailers(nil)
	return w.err
}

// Trailers ends the answer with trailer fields. They are left out where the body
// is not chunked, as are fields that must not be trailers.
func (w *Writer) Trailers(fields []parallax.Field) {
	switch {
	case w.ended || w.err != nil:
		return
	case !w.begun:
		return
	case w.left > 0:
		w.Abort()
		return
	}
	if w.chunked {
		w.out.buf = appendLastChunk(w.out.buf, fields)
	}
	w.end()
}

// Abort ends the answer so that the caller sees that it is not complete: what
// was written is sent, then the connection is closed, or reset where only its
// end tells that of the body.
func (w *Writer) Abort() {
	if w.ended {
		return
	}
	if w.settle(); w.begun {
		w.Flush()
	}
	w.ended, w.keep = true, false
	if w.err == nil {
		w.err = net.ErrClosed
	}
	w.out.buf = w.out.buf[:0]
	if socket, ok := w.c.socket.(*net.TCPConn); ok && w.begun && !w.chunked && w.left < 0 {
		socket.SetLinger(0)
	}
	w.c.socket.Close()
}

// complete ends the answer after the handler. It is false if the connection is
// of no use any more.
func (w *Writer) complete() bool {
	if !w.begun && w.err == nil && !w.ended {
		w.Head(500, nil, 0, nil, true)
	}
	w.Trailers(nil)
	return w.err == nil
}

func (w *Writer) free() { w.out.free() }

// Switch answers 101 and hands over the connection. Headers are written as they
// are, with Connection: Upgrade; they carry the Upgrade field. The connection
// counts as being handled until what is returned is closed; it is an error if
// the answer has begun or the caller did not ask for an upgrade.
func (w *Writer) Switch(headers []parallax.Field) (io.ReadWriteCloser, error) {
	switch {
	case w.err != nil:
		return nil, w.err
	case w.begun || w.ended || w.c.req.Upgrade == "" || w.old || w.c.body != nil:
		return nil, errSwitched
	}
	w.begun, w.ended = true, true
	w.out.open()
	b := append(appendStatus(w.out.buf, 101), "Connection: Upgrade\r\n"...)
	for _, f := range headers {
		if k := kindOf(f.Name); k != ofHop && k != ofLength && goodField(f) {
			b = appendField(b, f.Name, f.Value)
		}
	}
	w.out.buf = append(b, "\r\n"...)
	if err := w.Flush(); err != nil {
		return nil, err
	}
	w.switched, w.tunnel = true, newTunnel(&w.c.link)
	w.free()
	return w.tunnel, nil
}

// Tunnel is a connection after it changed its protocol. Reading, writing and
// closing may go on side by side.
type Tunnel struct {
	conn   net.Conn
	rest   []byte
	once   sync.Once
	closed chan struct{}
	after  func() // called when closed; may be nil
}

// newTunnel takes over a connection with what was read of it.
func newTunnel(l *link) *Tunnel {
	t := &Tunnel{conn: l.conn, rest: append([]byte(nil), l.buffered()...), closed: make(chan struct{})}
	l.drop()
	return t
}

// Read implements io.Reader.
func (t *Tunnel) Read(p []byte) (int, error) {
	if len(t.rest) > 0 {
		n := copy(p, t.rest)
		t.rest = t.rest[n:]
		return n, nil
	}
	return t.conn.Read(p)
}

// Write implements io.Writer.
func (t *Tunnel) Write(p []byte) (int, error) { return t.conn.Write(p) }

// CloseWrite says that nothing more will be written; reading goes on.
func (t *Tunnel) CloseWrite() error {
	if half, ok := t.conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close closes the connection. A second call does nothing.
func (t *Tunnel) Close() (err error) {
	t.once.Do(func() {
		err = t.conn.Close()
		close(t.closed)
		if t.after != nil {
			t.after()
		}
	})
	return err
}
