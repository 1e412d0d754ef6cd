package h1

import (
	"net/http"
	"strconv"
	"strings"

	"parallax"
)

// statusLines holds the status line of every status that has a name.
var statusLines = func() (lines [600]string) {
	for status := range lines {
		if text := http.StatusText(status); text != "" {
			lines[status] = "HTTP/1.1 " + strconv.Itoa(status) + " " + text + "\r\n"
		}
	}
	return lines
}()

var plainText = []parallax.Field{{Name: "Content-Type", Value: "text/plain; charset=utf-8"}}

func appendStatus(b []byte, status int) []byte {
	if status >= 0 && status < len(statusLines) && statusLines[status] != "" {
		return append(b, statusLines[status]...)
	}
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	return append(b, " \r\n"...)
}

// goodField reports whether a field can be written without being taken for
// anything else.
func goodField(f parallax.Field) bool {
	return all(f.Name, inToken) && !endsLine(f.Value)
}

// endsLine reports whether s holds LF, CR or NUL.
func endsLine(s string) bool {
	// Fast path: eight bytes at a time, none of them below space, take three passes
	// of strings.IndexByte off every field written (BenchmarkCompose).
	for ; len(s) >= 8; s = s[8:] {
		const low, high = 0x0101010101010101, 0x8080808080808080
		x := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		if (x-' '*low)&^x&high != 0 && strings.ContainsAny(s[:8], "\n\r\x00") {
			return true
		}
	}
	for i := range len(s) {
		if s[i] == '\n' || s[i] == '\r' || s[i] == 0 {
			return true
		}
	}
	return false
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// Fields that this package writes itself, from what it knows of the message.
const (
	passed    uint8 = iota // none of them
	ofLength               // Content-Length: written at its place
	ofHop                  // dropped
	ofDate                 // passed, and noted
	ofHost                 // dropped from requests
	ofUpgrade              // dropped, but for a change of protocol
	ofExpect               // dropped from requests
)

// kindOf tells the fields about framing and the connection from others.
func kindOf(name string) uint8 {
	switch len(name) {
	case 4:
		switch {
		case strings.EqualFold(name, "Date"):
			return ofDate
		case strings.EqualFold(name, "Host"):
			return ofHost
		}
	case 6:
		if strings.EqualFold(name, "Expect") {
			return ofExpect
		}
	case 7:
		switch {
		case strings.EqualFold(name, "Trailer"):
			return ofHop
		case strings.EqualFold(name, "Upgrade"):
			return ofUpgrade
		}
	case 10:
		if strings.EqualFold(name, "Connection") || strings.EqualFold(name, "Keep-Alive") {
			return ofHop
		}
	case 14:
		if strings.EqualFold(name, "Content-Length") {
			return ofLength
		}
	case 16:
		if strings.EqualFold(name, "Proxy-Connection") {
			return ofHop
		}
	case 17:
		if strings.EqualFold(name, "Transfer-Encoding") {
			return ofHop
		}
	}
	return passed
}

func appendLength(b []byte, name string, n int64) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, "\r\n"...)
}

// appendTrailerNames writes the Trailer field, if any name may be in it.
func appendTrailerNames(b []byte, names []string) []byte {
	begin := len(b)
	for _, name := range names {
		if !all(name, inToken) || forbiddenTrailer(name) {
			continue
		}
		if len(b) == begin {
			b = append(b, "Trailer: "...)
		} else {
			b = append(b, ", "...)
		}
		b = append(b, name...)
	}
	if len(b) > begin {
		b = append(b, "\r\n"...)
	}
	return b
}

// appendLastChunk ends a chunked body.
func appendLastChunk(b []byte, trailers []parallax.Field) []byte {
	b = append(b, "0\r\n"...)
	for _, f := range trailers {
		if goodField(f) && !forbiddenTrailer(f.Name) {
			b = appendField(b, f.Name, f.Value)
		}
	}
	return append(b, "\r\n"...)
}

func appendChunkSize(b []byte, n int) []byte {
	b = strconv.AppendUint(b, uint64(n), 16)
	return append(b, "\r\n"...)
}

// outbox collects what is to be written, so that a head and a small body leave
// in one piece.
type outbox struct {
	home *[bufferSize]byte
	buf  []byte
}

func (o *outbox) open() {
	if o.home == nil {
		o.home = buffers.Get().(*[bufferSize]byte)
		o.buf = o.home[:0]
	}
}

func (o *outbox) free() {
	if o.home != nil {
		buffers.Put(o.home)
	}
	o.home, o.buf = nil, nil
}

// body adds p, as a chunk if chunked. It is false if there is no room.
func (o *outbox) body(p []byte, chunked bool) bool {
	const framing = 20 // size and two line ends
	if len(o.buf)+len(p)+framing > cap(o.buf) {
		return false
	}
	if chunked {
		o.buf = appendChunkSize(o.buf, len(p))
	}
	o.buf = append(o.buf, p...)
	if chunked {
		o.buf = append(o.buf, "\r\n"...)
	}
	return true
}
