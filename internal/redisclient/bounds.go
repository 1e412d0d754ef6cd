package redisclient

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// Bounds of one answer, unless a Connection allows more. The library allocates what an answer announces before it comes, and
// panics where that is more than there can be.
const (
	maxAnswer = 4 << 20 // bytes, those of a list's places included
	maxLine   = 8 << 10 // bytes of one, such as an error, which is logged and shown
	maxDepth  = 16      // lists in lists
	place     = 16      // bytes that a list has for each element before it is there
)

// ErrAnswer is that Redis answered what nobody here asks for: too much, or no RESP.
var ErrAnswer = errors.New("redis answers what it was not asked for")

// bounded is a connection to a Redis that nobody trusts to keep to its protocol: no answer
// of it is passed on beyond the bounds. It reads along what the library reads.
type bounded struct {
	net.Conn
	answers answers
}

// newBounded keeps what the library needs to see that an idle connection was closed.
func newBounded(c net.Conn, most int) net.Conn {
	b := &bounded{Conn: c, answers: newAnswers(most)}
	if raw, ok := c.(syscall.Conn); ok {
		return struct {
			*bounded
			syscall.Conn
		}{b, raw}
	}
	return b
}

// Read implements net.Conn.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if wrong := b.answers.see(p[:n]); wrong != nil {
		return 0, wrong
	}
	return n, err
}

// answers is how far a stream of answers in RESP2 or RESP3 was read.
type answers struct {
	most  int    // bytes of one answer
	left  int    // bytes that the answer may still take
	text  int    // bytes of a text that are still to come, its end included
	line  []byte // that has not ended
	lists []int  // elements that are still to come, of each list in the one before it
}

func newAnswers(most int) answers { return answers{most: most, left: most} }

// see takes in what came, or says why it is not to be read. After an error nothing more may come.
func (a *answers) see(b []byte) error {
	for len(b) > 0 {
		if a.text > 0 {
			n := min(a.text, len(b))
			if a.text, b = a.text-n, b[n:]; a.text == 0 {
				a.end()
			}
			continue
		}
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		if err := a.take(len(line) + 1); err != nil {
			return err
		}
		if a.line = append(a.line, line...); len(a.line) > maxLine {
			return fmt.Errorf("%w: a line of more than %d bytes", ErrAnswer, maxLine)
		}
		if !whole {
			return nil
		}
		if err := a.head(bytes.TrimSuffix(a.line, []byte("\r"))); err != nil {
			return err
		}
		a.line, b = a.line[:0], rest
	}
	return nil
}

// take counts bytes of the answer.
func (a *answers) take(n int) error {
	if n > a.left {
		return fmt.Errorf("%w: more than %d bytes", ErrAnswer, a.most)
	}
	a.left -= n
	return nil
}

// head takes in the first line of a value.
func (a *answers) head(line []byte) error {
	if len(line) == 0 {
		return fmt.Errorf("%w: an empty line", ErrAnswer)
	}
	switch line[0] {
	case '$', '=', '!':
		return a.begin(line, 1, func(n int) { a.text = n + len("\r\n") })
	case '*', '~', '>':
		return a.begin(line, place, a.list)
	case '%':
		return a.begin(line, 2*place, func(n int) { a.list(2 * n) })
	case '|': // stands before a value and is none
		return a.begin(line, 2*place, func(n int) { a.list(2*n + 1) })
	}
	a.end()
	return nil
}

// begin takes in how much a value announces, each of it of a size, unless it is nothing.
func (a *answers) begin(line []byte, size int, then func(n int)) error {
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil || n < -1 {
		return fmt.Errorf("%w: %.20q", ErrAnswer, line)
	}
	if n == -1 {
		a.end()
		return nil
	}
	if n > a.most || len(a.lists) == maxDepth {
		return fmt.Errorf("%w: %.20q", ErrAnswer, line)
	}
	then(n)
	return a.take(n * size)
}

func (a *answers) list(elements int) {
	if elements == 0 {
		a.end()
		return
	}
	a.lists = append(a.lists, elements)
}

// end is that of a value, and of the lists that it is the last element of.
func (a *answers) end() {
	for len(a.lists) > 0 {
		last := len(a.lists) - 1
		if a.lists[last]--; a.lists[last] > 0 {
			return
		}
		a.lists = a.lists[:last]
	}
	a.left = a.most
}
