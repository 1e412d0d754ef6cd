package mirror

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// closing counts how often it is closed.
type closing struct {
	io.Reader
	closed int
}

func (c *closing) Close() error { c.closed++; return nil }

func TestHeldBody(t *testing.T) {
	t.Parallel()
	f := func(what string, ready bool, size, readFirst int, again bool) {
		t.Helper()
		text := strings.Repeat("0123456789", size/10)
		src := &closing{Reader: iotest.OneByteReader(strings.NewReader(text))}
		out := &outgoing{Body: src, Ready: ready}
		h := holdBody(out, true)
		if got, err := io.ReadAll(io.LimitReader(out.Body, int64(readFirst))); err != nil || string(got) != text[:readFirst] {
			t.Errorf("%s: first try read %d bytes, %v", what, len(got), err)
		}
		out.Body.Close()
		if got := h.again(); got != again {
			t.Errorf("%s: can be sent again: %t", what, got)
		}
		if want := map[bool]int{true: 0, false: 1}[again]; src.closed != want {
			t.Errorf("%s: closed %d times before the end", what, src.closed)
		}
		if again {
			if got, err := io.ReadAll(out.Body); err != nil || string(got) != text {
				t.Errorf("%s: second try read %d bytes of %d, %v", what, len(got), len(text), err)
			}
			out.Body.Close()
		}
		h.letGo()
		if src.closed != 1 {
			t.Errorf("%s: closed %d times", what, src.closed)
		}
	}
	f("nothing read", true, 1000, 0, true)
	f("some read", true, 1000, 500, true)
	f("all read", true, 1000, 1000, true)
	f("as much as is kept", true, keptBody/10*10, keptBody/10*10, true)
	f("more than is kept", true, 2*keptBody/10*10, keptBody+1, false)
	f("nothing read of one that is still coming", false, 1000, 0, true)
	f("some read of one that is still coming", false, 1000, 1, false)
	if h := holdBody(&outgoing{}, true); !h.again() {
		t.Error("no body cannot be sent again")
	}
	src := &closing{Reader: strings.NewReader("x")}
	if h := holdBody(&outgoing{Body: src}, false); h.again() {
		t.Error("a body that nobody holds can be sent again")
	}
}
