package redisclient

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"io"
)

// answering is a Redis that answers every connection's first command with one text, and then waits.
func answering(t *testing.T, text string) Connection {
	t.Helper()
	at := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				asked := make([]byte, 4<<10)
				conn.Read(asked)
				io.WriteString(conn, "-ERR unknown command 'HELLO'\r\n")
				conn.Read(asked)
				io.WriteString(conn, text)
				io.Copy(io.Discard, conn)
			}()
		}
	}()
	return Connection{URL: "unix://" + at, Timeout: time.Second}
}

// TestAnswersThatNobodyAskedFor: whatever a Redis answers, it takes no memory to speak of and
// ends no process.
func TestAnswersThatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	f := func(name, text string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, err := answering(t, text).Open()
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := client.Eval(ctx, "return 1", nil).Err(); err == nil {
				t.Error("an answer")
			}
		})
	}
	for name, text := range map[string]string{
		"a list longer than memory":       "*4611686018427387904\r\n",
		"a text longer than memory":       "$9223372036854775807\r\n",
		"a text of a gigabyte":            "$1000000000\r\n",
		"a map longer than memory":        "%4611686018427387904\r\n",
		"lists in lists":                  strings.Repeat("*1\r\n", 1<<20),
		"a line without an end":           "+" + strings.Repeat("a", maxLine+1),
		"no Redis":                        "HTTP/1.1 400 Bad Request\r\n\r\n",
		"many lists":                      "*1000\r\n" + strings.Repeat("*10000\r\n", 1000),
		"a number that is none":           "*x\r\n",
		"a number below that of nothing":  "$-2\r\n",
		"a stream, which nobody asks for": "$?\r\n",
	} {
		f(name, text)
	}
}

// TestAnswersAreCounted reads answers whole and byte by byte.
func TestAnswersAreCounted(t *testing.T) {
	t.Parallel()
	f := func(text string, good bool) {
		t.Helper()
		for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text))} {
			a := newAnswers(maxAnswer)
			var err error
			for b := make([]byte, 64<<10); err == nil; {
				var n int
				var end error
				n, end = r.Read(b)
				if err = a.see(b[:n]); end != nil {
					break
				}
			}
			if good != (err == nil) || err != nil && !errors.Is(err, ErrAnswer) {
				t.Errorf("%.40q: %v", text, err)
			}
			if good && (a.left != maxAnswer || a.text != 0 || len(a.line)+len(a.lists) != 0) {
				t.Errorf("%.40q does not end: %+v", text, a)
			}
		}
	}
	f("+OK\r\n:1\r\n_\r\n,1.5\r\n#t\r\n(123\r\n-ERR no\r\n", true)
	f("$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n", true)
	f("*3\r\n$1\r\na\r\n*2\r\n:1\r\n*0\r\n~1\r\n=5\r\ntxt:a\r\n", true)
	f("%2\r\n+a\r\n:1\r\n+b\r\n%0\r\n>2\r\n+message\r\n$1\r\nx\r\n", true)
	f("*2\r\n|1\r\n+a\r\n:1\r\n+value\r\n:2\r\n", true)
	f("!3\r\nERR\r\n", true)
	f(strings.Repeat("$1000000\r\n"+strings.Repeat("x", 1_000_000)+"\r\n", 5), true) // each for itself
	f("*5\r\n"+strings.Repeat("$1000000\r\n"+strings.Repeat("x", 1_000_000)+"\r\n", 5), false)
	f("+"+strings.Repeat("a", maxLine-2)+"\r\n", true)
	f("+"+strings.Repeat("a", maxLine-1)+"\r\n", false)
	f("\r\n", false)
	f("$\r\n", false)
}

// TestClosedConnectionsAreSeen: the library asks the socket whether Redis has closed it before
// it sends anything there.
func TestClosedConnectionsAreSeen(t *testing.T) {
	t.Parallel()
	at := strings.TrimPrefix(answering(t, "").URL, "unix://")
	conn, err := dialer(nil, time.Second, maxAnswer)(t.Context(), "unix", at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, ok := conn.(syscall.Conn); !ok {
		t.Errorf("%T hides its socket", conn)
	}
}
