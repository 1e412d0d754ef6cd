package h1

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"parallax"
)

// upload sends a request's body while the answer may come already.
type upload struct {
	conn    *clientConn
	message Message
	turn    uint64
	once    sync.Once
	proceed chan struct{} // closed when the body may be sent, or never will
	refused bool          // set before proceed is closed: it never will
}

// goOn lets the body be sent.
func (u *upload) goOn() { u.once.Do(func() { close(u.proceed) }) }

// forgo keeps a body back that the leg has answered without asking for it. A
// body that is being sent goes on.
func (u *upload) forgo() {
	if u != nil {
		u.once.Do(func() {
			u.refused = true
			close(u.proceed)
		})
	}
}

var uploads = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func (u *upload) run() {
	c := u.conn
	defer c.done()
	defer u.message.Body.Close()
	if u.message.Continue && !u.asked() {
		c.spoiled.Store(true) // the leg may still wait for it
		return
	}
	err := u.send()
	var own *ownError
	switch {
	case err == nil:
		c.expect(u.message.Deadline)
	case errors.As(err, &own):
		c.cut(u.turn, own)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.cut(u.turn, err)
	default:
		c.spoiled.Store(true) // the answer may be there all the same
		c.expect(u.message.Deadline)
	}
}

// asked waits for the leg to ask for the body, or to keep silent for long.
func (u *upload) asked() bool {
	timer := time.NewTimer(u.conn.host.pool.ContinueTimeout)
	defer timer.Stop()
	select {
	case <-u.proceed:
		return !u.refused
	case <-timer.C:
		u.goOn()
		<-u.proceed
		return !u.refused
	}
}

// room before the data of a chunk for its size.
const sizeRoom = 10

func (u *upload) send() error {
	home := uploads.Get().(*[32 << 10]byte)
	defer uploads.Put(home)
	chunked, left := u.message.Length < 0, u.message.Length
	for {
		n, err := u.message.Body.Read(home[sizeRoom : len(home)-2])
		if !chunked {
			if left -= int64(n); left < 0 || left > 0 && err == io.EOF {
				return &ownError{parallax.CallerGone, ErrLength}
			}
		}
		if err != nil && err != io.EOF {
			return &ownError{parallax.CallerGone, err}
		}
		if n > 0 {
			if err := u.write(u.piece(home[:], n, chunked)); err != nil {
				return err
			}
		}
		switch {
		case chunked && err == io.EOF:
			return u.last()
		case !chunked && left == 0:
			return nil
		}
	}
}

// piece frames n bytes that stand after the room for the size.
func (u *upload) piece(b []byte, n int, chunked bool) []byte {
	if !chunked {
		return b[sizeRoom : sizeRoom+n]
	}
	var size [sizeRoom]byte
	line := appendChunkSize(size[:0], n)
	begin := sizeRoom - len(line)
	copy(b[begin:], line)
	copy(b[sizeRoom+n:], lineEnd)
	return b[begin : sizeRoom+n+2]
}

func (u *upload) last() error {
	var trailers []parallax.Field
	if u.message.Trailers != nil {
		trailers = u.message.Trailers()
	}
	return u.write(appendLastChunk(nil, trailers))
}

func (u *upload) write(p []byte) error {
	c := u.conn
	c.writeDue.set(c.deadline(u.message.Deadline, c.host.pool.WriteTimeout))
	_, err := c.conn.Write(p)
	if !c.writeDue.set(0) && err == nil {
		err = os.ErrDeadlineExceeded
	}
	return err
}
