package mirror

import (
	"context"
	"io"
	"sync"
	"time"
)

// pipe connects a caller and a leg that have changed protocols. A side that says
// it will send no more has that passed on, and the other may go on; it ends when
// both have, when a connection breaks, when nothing comes for a minute from the
// side that is left, or when Parallax shuts down.
func (f *flight) pipe(a *answer, out caller) error {
	defer a.Conn.Close()
	conn, err := out.Switch(f.named(a.Headers))
	if err != nil {
		return errCallerGone
	}
	t := &tunnel{}
	t.end = sync.OnceFunc(func() {
		a.Conn.Close()
		conn.Close()
	})
	defer t.end()
	defer context.AfterFunc(f.m.stopping, t.end)()
	up := make(chan struct{})
	go func() {
		defer close(up)
		t.pass(a.Conn, conn)
	}()
	t.pass(conn, a.Conn)
	<-up
	t.done()
	return nil
}

// tunnel is two connections that are one.
type tunnel struct {
	end func() // closes both

	mu   sync.Mutex
	half *time.Timer // runs once one side has ended; nil before
}

// pass copies what one side says to the other, to its end.
func (t *tunnel) pass(to io.Writer, from io.Reader) {
	if _, err := io.Copy(to, heard{from, t}); err != nil {
		t.end()
		return
	}
	half, ok := to.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		t.end()
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.half == nil {
		t.half = time.AfterFunc(silence, t.end)
	}
}

// done is called when both sides have ended.
func (t *tunnel) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.half != nil {
		t.half.Stop()
	}
}

// heard is a side of a tunnel; what it says puts off the end of a half-closed one.
type heard struct {
	io.Reader
	t *tunnel
}

// Read implements io.Reader.
func (h heard) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	h.t.mu.Lock()
	defer h.t.mu.Unlock()
	if n > 0 && h.t.half != nil {
		h.t.half.Reset(silence)
	}
	return n, err
}
