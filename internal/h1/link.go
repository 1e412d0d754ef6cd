package h1

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// bufferSize is what a connection holds for reading, and for writing, while a
// message is under way; an idle connection holds none. It takes a usual head
// with a body of 4 KiB.
const bufferSize = 8 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

var (
	errWouldBlock = errors.New("nothing to read yet")
	crlfcrlf      = []byte("\r\n\r\n")
	longAgo       = time.Unix(1, 0)
)

// link is one connection, its read buffer and its limits. Reading belongs to
// one goroutine at a time, as does writing.
type link struct {
	conn  net.Conn
	raw   syscall.RawConn // nil when bytes of the connection are not those of the socket
	guard *guard

	home     *[bufferSize]byte // leased while there is something to hold
	data     []byte
	r, w     int // data[r:w] is read but not used
	noWait   bool
	readDue  limit
	writeDue limit

	take    func(fd uintptr) bool
	taken   int
	takeErr error

	give   func(fd uintptr)
	giving []byte // what is being written
	given  int    // how much of it the kernel took at once
}

// open sets up the link in place.
func (l *link) open(conn net.Conn, g *guard) {
	l.conn, l.guard = conn, g
	if _, secured := conn.(*tls.Conn); secured {
		return
	}
	if socket, ok := conn.(syscall.Conn); ok && socketReads {
		if raw, err := socket.SyscallConn(); err == nil {
			l.raw, l.take, l.give = raw, l.takeFrom, l.giveTo
		}
	}
}

// check cuts what has passed its limit: the goroutine that reads or writes gets
// os.ErrDeadlineExceeded.
func (l *link) check(now int64) {
	if l.readDue.over(now) {
		l.conn.SetReadDeadline(longAgo)
	}
	if l.writeDue.over(now) {
		l.conn.SetWriteDeadline(longAgo)
	}
}

func (l *link) lease() {
	l.home = buffers.Get().(*[bufferSize]byte)
	l.data, l.r, l.w = l.home[:], 0, 0
}

// release gives an empty read buffer back.
func (l *link) release() {
	if l.data == nil || l.r < l.w {
		return
	}
	l.drop()
}

// drop gives the read buffer back with what is in it.
func (l *link) drop() {
	if l.home != nil {
		buffers.Put(l.home)
	}
	l.home, l.data, l.r, l.w = nil, nil, 0, 0
}

// fill reads more. It waits without a buffer, so that an idle connection costs
// little more than its goroutine.
func (l *link) fill() error {
	if err := l.makeRoom(); err != nil {
		return err
	}
	switch {
	case l.raw != nil:
		if err := l.raw.Read(l.take); err != nil {
			return err
		}
		return l.takeErr
	case l.noWait:
		return errWouldBlock
	case l.data == nil:
		return l.fillFirst()
	}
	n, err := l.conn.Read(l.data[l.w:])
	l.w += n
	if n > 0 {
		return nil
	}
	return err
}

// fillFirst waits with one byte of room.
func (l *link) fillFirst() error {
	var one [1]byte
	n, err := l.conn.Read(one[:])
	if n == 0 {
		return err
	}
	l.lease()
	l.data[0], l.w = one[0], 1
	return nil
}

// takeFrom reads from the socket if there is something to read; else it has the
// runtime wait and call again.
func (l *link) takeFrom(fd uintptr) bool {
	leased := l.data == nil
	if leased {
		l.lease()
	}
	l.taken, l.takeErr = readSocket(fd, l.data[l.w:])
	if l.takeErr == nil && l.taken > 0 {
		l.w += l.taken
		return true
	}
	if leased {
		l.drop()
	}
	if l.takeErr == errWouldBlock {
		return l.noWait
	}
	if l.takeErr == nil {
		l.takeErr = io.EOF
	}
	return true
}

// makeRoom lets at least one more byte in. A head that outgrows the buffer gets
// a bigger one, up to twice the bound that its reader keeps.
func (l *link) makeRoom() error {
	switch {
	case l.data == nil || l.w < len(l.data):
		return nil
	case l.r == l.w:
		l.r, l.w = 0, 0
	case l.r > 0:
		l.w = copy(l.data, l.data[l.r:l.w])
		l.r = 0
	default:
		bigger := make([]byte, 2*len(l.data))
		copy(bigger, l.data)
		if l.home != nil {
			buffers.Put(l.home)
		}
		l.home, l.data = nil, bigger
	}
	return nil
}

// read moves bytes of a body to p: those in the buffer, else straight from the
// connection.
func (l *link) read(p []byte) (int, error) {
	if l.r == l.w {
		if l.noWait || len(p) < bufferSize {
			if err := l.fill(); err != nil {
				return 0, err
			}
		} else {
			return l.conn.Read(p)
		}
	}
	n := copy(p, l.data[l.r:l.w])
	l.r += n
	return n, nil
}

// buffered returns what was read but not used.
func (l *link) buffered() []byte { return l.data[l.r:l.w] }

// readHead reads up to the empty line and returns the lines before it, each with
// its CR LF, as one string. A line that ends with LF alone, and a beginning other
// than prefix, are refused at once, not when the empty line fails to come.
func (l *link) readHead(most int, prefix string) (string, error) {
	for seen := 0; ; {
		in := l.buffered()
		if end := bytes.Index(in[max(0, seen-3):], crlfcrlf); end >= 0 {
			end += max(0, seen-3) + 2
			if end+2 > most {
				return "", errLongHead
			}
			if bareLF(in[:end], min(seen, end)) {
				return "", errBareLF
			}
			text := string(in[:end])
			l.r += end + 2
			return text, nil
		}
		known := min(len(in), len(prefix))
		switch {
		case string(in[:known]) != prefix[:known]:
			return "", errBadStatus
		case bareLF(in, seen):
			return "", errBareLF
		case len(in) >= most:
			return "", errLongHead
		}
		seen = len(in)
		if err := l.fill(); err != nil {
			if err == io.EOF && len(in) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
	}
}

// bareLF reports whether an LF at or after from does not follow a CR.
func bareLF(b []byte, from int) bool {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return false
		}
		if i += from; i == 0 || b[i-1] != '\r' {
			return true
		}
		from = i + 1
	}
}

// giveTo writes what the socket takes at once. What went wrong shows when the rest
// is written.
func (l *link) giveTo(fd uintptr) { l.given, _ = writeSocket(fd, l.giving) }

// write sends p, or cuts the connection when the peer takes nothing for long.
func (l *link) write(p []byte, timeout time.Duration) error {
	// Fast path: the kernel takes all of it at once (BenchmarkMirrored).
	if l.raw != nil {
		l.giving, l.given = p, 0
		err := l.raw.Control(l.give)
		p, l.giving = p[l.given:], nil
		if err == nil && len(p) == 0 {
			return nil
		}
	}
	l.writeDue.set(l.guard.in(timeout))
	_, err := l.conn.Write(p)
	l.writeDue.set(0)
	return err
}
