package h1

import (
	"bytes"
	"io"
	"sync"
	"time"

	"parallax"
)

// How the end of a body is told.
const (
	byLength uint8 = iota
	byChunks
	byClose
)

// body is the incoming body of one message. It may be read from a goroutine
// other than the connection's.
type body struct {
	mu     sync.Mutex
	link   *link
	how    uint8
	late   bool  // taken away, before its end, from who reads it
	left   int64 // of the body, or of the chunk under way; -1 between chunks
	chunk  chunks
	fields int           // most trailer lines
	stall  time.Duration // for the next bytes; 0 for no limit of its own
	begin  func() error  // before the first read; nil for nothing
	answer *Response     // whose body it is, to be told of the end; nil for a request's
	err    error         // sticky; io.EOF at the end
	tail   []parallax.Field
}

// Read implements io.Reader. The end comes together with the last bytes where it
// is known by then.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.late {
		return 0, ErrBodyLate
	}
	return b.next(p)
}

// next reads on; b.mu is held.
func (b *body) next(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	if b.begin != nil {
		begin := b.begin
		b.begin = nil
		if err := begin(); err != nil {
			return 0, b.finish(err)
		}
	}
	if b.stall > 0 {
		b.link.readDue.set(b.link.guard.in(b.stall))
		defer b.link.readDue.set(0)
	}
	n, err := b.read(p)
	if err != nil && err != errWouldBlock {
		err = b.finish(err)
	}
	return n, err
}

// ready reports whether next has something to return without waiting.
func (b *body) ready() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil && b.how == byChunks && b.left < 0 {
		if _, err := b.nextChunk(false); err != nil {
			_ = b.finish(err) // who reads on gets it
		}
	}
	return b.err != nil || len(b.link.buffered()) > 0 && (b.how != byChunks || b.left > 0)
}

func (b *body) finish(err error) error {
	b.err = err
	b.link.noWait = false // the connection may be another request's from here on
	if b.answer != nil {
		b.err = b.answer.release(err)
	}
	return b.err
}

func (b *body) read(p []byte) (int, error) {
	switch b.how {
	case byLength:
		n, err := b.link.read(p[:min(int64(len(p)), b.left)])
		if b.left -= int64(n); b.left == 0 {
			return n, io.EOF
		}
		return n, broken(err)
	case byClose:
		return b.link.read(p)
	}
	return b.readChunks(p)
}

// broken turns an end that came too early into an error.
func broken(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readChunks fills p from the chunks that are there. It waits only as long as it
// has nothing to return.
func (b *body) readChunks(p []byte) (n int, err error) {
	for n < len(p) {
		if b.left < 0 {
			done, err := b.nextChunk(n == 0)
			if done || err != nil {
				return n, err
			}
			if b.left < 0 {
				return n, nil
			}
		}
		if n > 0 && len(b.link.buffered()) == 0 {
			break
		}
		got, err := b.link.read(p[n:min(int64(len(p)), int64(n)+b.left)])
		n += got
		if b.left -= int64(got); b.left == 0 {
			b.left, b.chunk.stage = -1, afterData
		}
		if err != nil {
			return n, broken(err)
		}
	}
	return n, nil
}

// nextChunk goes on to the data of the next chunk, or through the trailers to
// the end. Without wait it goes only as far as what is in the buffer.
func (b *body) nextChunk(wait bool) (done bool, err error) {
	for {
		used, size, err := b.chunk.next(b.link.buffered())
		b.link.r += used
		switch {
		case err == errShort && !wait:
			return false, nil
		case err == errShort:
			if err := b.link.fill(); err != nil {
				return false, broken(err)
			}
		case err != nil:
			return false, err
		case size > 0:
			b.left = size
			return false, nil
		default:
			if b.tail, err = parseTrailers(b.chunk.trailers, b.fields); err != nil {
				return false, err
			}
			return true, io.EOF
		}
	}
}

// trailers returns what came after the body; nil before its end.
func (b *body) trailers() []parallax.Field {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tail
}

// discard reads up to most bytes and reports whether that was the rest. With
// noWait it takes only what has arrived.
func (b *body) discard(most int64, noWait bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.how == byLength && b.err == nil && b.left > most {
		return false
	}
	home := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(home)
	if b.err == nil {
		b.link.noWait = noWait
	}
	var err error
	for most > 0 && err == nil {
		var n int
		n, err = b.next(home[:])
		most -= int64(n)
	}
	if b.err == nil {
		b.link.noWait = false
	}
	return err == io.EOF
}

// Limits of chunked bodies, in bytes.
const (
	maxChunkLine  = 1 << 10 // size and extensions
	maxExtensions = 4 << 10 // of all chunks of a body
	maxTrailers   = 4 << 10 // net/http reads no longer ones
)

// Stages of a chunked body.
const (
	beforeSize uint8 = iota
	afterData
	inTrailers
)

// chunks reads what stands between the data of a chunked body (RFC 9112 section
// 7.1).
type chunks struct {
	stage      uint8
	extensions int    // bytes so far
	trailers   string // field lines, each with its CR LF
}

// errShort asks for more bytes.
var errShort = refuse(400, "incomplete chunk")

// next reads on in buf. It returns how much it used and, unless there is an
// error, the size of the chunk that begins there; 0 means the body and its
// trailers are at their end.
func (c *chunks) next(buf []byte) (used int, size int64, err error) {
	if c.stage == afterData {
		if len(buf) < 2 {
			return 0, 0, errShort
		}
		if buf[0] != '\r' || buf[1] != '\n' {
			return 0, 0, errBadChunk
		}
		c.stage, used = beforeSize, 2
	}
	if c.stage == beforeSize {
		n, size, err := c.size(buf[used:])
		used += n
		if err != nil || size > 0 {
			return used, size, err
		}
		c.stage = inTrailers
	}
	n, err := c.tail(buf[used:])
	return used + n, 0, err
}

// size reads the line with the size of a chunk.
func (c *chunks) size(buf []byte) (used int, size int64, err error) {
	digits := 0
	for digits < len(buf) && class[buf[digits]]&inHex != 0 {
		if digits == 16 || size > 1<<58 {
			return 0, 0, errBadChunk
		}
		size = size<<4 | int64(unhex(buf[digits]))
		digits++
	}
	line := buf[digits:]
	for i, b := range line {
		switch {
		case i+digits > maxChunkLine:
			return 0, 0, errBadChunk
		case b == '\r':
			return c.endOfLine(line, i, digits, size)
		case class[b]&inValue == 0, i == 0 && b != ';' && b != ' ' && b != '\t':
			return 0, 0, errBadChunk
		}
	}
	if digits == 0 && len(line) > 0 {
		return 0, 0, errBadChunk
	}
	return 0, 0, errShort
}

// endOfLine finishes a size line whose extensions are line[:at].
func (c *chunks) endOfLine(line []byte, at, digits int, size int64) (int, int64, error) {
	if len(line) < at+2 {
		return 0, 0, errShort
	}
	if c.extensions += at; digits == 0 || line[at+1] != '\n' || c.extensions > maxExtensions || !goodExtension(line[:at]) {
		return 0, 0, errBadChunk
	}
	return digits + at + 2, size, nil
}

// goodExtension reports whether there is nothing but padding before the first
// semicolon.
func goodExtension(s []byte) bool {
	for _, b := range s {
		if b == ';' {
			return true
		}
		if b != ' ' && b != '\t' {
			return false
		}
	}
	return true
}

func unhex(b byte) byte {
	switch {
	case b <= '9':
		return b - '0'
	case b <= 'F':
		return b - 'A' + 10
	}
	return b - 'a' + 10
}

// tail reads the trailer section and the empty line after it.
func (c *chunks) tail(buf []byte) (used int, err error) {
	if len(buf) >= 2 && buf[0] == '\r' && buf[1] == '\n' {
		return 2, nil
	}
	if end := bytes.Index(buf, crlfcrlf); end >= 0 && end+4 <= maxTrailers {
		c.trailers = string(buf[:end+2])
		return end + 4, nil
	}
	switch {
	case len(buf) >= maxTrailers:
		return 0, errLongTrailers
	case bareLF(buf, 0):
		return 0, errBareLF
	}
	return 0, errShort
}
