package mirror

import (
	"bytes"
	"math"
	"testing"
	"time"

	"parallax"
)

func TestMessagesAreCountedHoweverTheyAreCut(t *testing.T) {
	t.Parallel()
	message := func(n int) []byte {
		return append([]byte{0, 0, byte(n >> 16), byte(n >> 8), byte(n)}, bytes.Repeat([]byte{7}, n)...)
	}
	f := func(body []byte, n int, whole bool) {
		t.Helper()
		for _, piece := range []int{1, 2, 5, 7, 1 << 20} {
			var m messages
			for rest := body; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
				m.count(rest[:min(piece, len(rest))])
			}
			if m.n != n || m.whole() != whole {
				t.Errorf("%d bytes in pieces of %d: %d messages, whole %t, want %d, %t", len(body), piece, m.n, m.whole(), n, whole)
			}
		}
	}
	f(nil, 0, true)
	f(message(0), 1, true)
	f(message(300), 1, true)
	f(message(70000), 1, true)
	f(message(300)[:200], 1, false)
	f(message(300)[:3], 1, false)
	f(append(message(0), message(0)...), 2, true)
	f(append(message(9), message(300)...), 2, true)
	f(append(message(9), 0), 2, false)
}

func TestOfGRPC(t *testing.T) {
	t.Parallel()
	f := func(kind string, want bool) {
		t.Helper()
		if got := ofGRPC([]parallax.Field{{Name: "content-type", Value: kind}}); got != want {
			t.Errorf("ofGRPC(%q) = %t", kind, got)
		}
	}
	f("application/grpc", true)
	f("application/grpc+proto", true)
	f("application/grpc;charset=utf-8", true)
	f("Application/GRPC+json", true)
	f("application/grpc-web", false)
	f("application/grpc-web+proto", false)
	f("application/json", false)
	f("", false)
}

func TestParseGRPCTimeout(t *testing.T) {
	t.Parallel()
	f := func(text string, want time.Duration, ok bool) {
		t.Helper()
		if got, good := parseGRPCTimeout(text); got != want || good != ok {
			t.Errorf("parseGRPCTimeout(%q) = %s, %t, want %s, %t", text, got, good, want, ok)
		}
	}
	f("100m", 100*time.Millisecond, true)
	f("99874u", 99874*time.Microsecond, true)
	f("2S", 2*time.Second, true)
	f("99999999H", math.MaxInt64, true)
	f("7n", 7, true)
	f("", 0, false)
	f("S", 0, false)
	f("-1S", 0, false)
	f("1s", 0, false)
	f("123456789S", 0, false)
}
