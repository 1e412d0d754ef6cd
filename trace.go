package parallax

import "encoding/hex"

// Traceparent is what a traceparent header, or a comment that carries one, says
// (W3C Trace Context): the trace, and the span that what carries it belongs to.
type Traceparent struct {
	Trace  [16]byte
	Parent [8]byte
	Flags  byte
}

// traceparentSize is the length of a traceparent of version 00.
const traceparentSize = 55

// ParseTraceparent reads a traceparent of any version but ff, of which it takes what
// version 00 has. It is false for what cannot be continued: ids that are all zeros,
// hex digits in upper case, another length.
func ParseTraceparent(s string) (t Traceparent, ok bool) {
	if len(s) < traceparentSize || s[2] != '-' || s[35] != '-' || s[52] != '-' || s[:2] == "ff" {
		return t, false
	}
	if s[:2] == "00" && len(s) != traceparentSize || len(s) > traceparentSize && s[traceparentSize] != '-' {
		return t, false
	}
	var version, flags [1]byte
	ok = lowerHex(version[:], s[:2]) && lowerHex(t.Trace[:], s[3:35]) && lowerHex(t.Parent[:], s[36:52]) && lowerHex(flags[:], s[53:55])
	t.Flags = flags[0]
	return t, ok && t.Trace != [16]byte{} && t.Parent != [8]byte{}
}

// Append appends the header's value, of version 00, to b and returns the extended
// slice.
func (t Traceparent) Append(b []byte) []byte {
	b = append(hex.AppendEncode(append(b, "00-"...), t.Trace[:]), '-')
	b = append(hex.AppendEncode(b, t.Parent[:]), '-')
	return hex.AppendEncode(b, []byte{t.Flags})
}

// String returns the header's value, of version 00.
func (t Traceparent) String() string { return string(t.Append(make([]byte, 0, traceparentSize))) }

// TraceOf returns the traceparent of a trace that begins with an exchange: the id is
// the trace id. It says "not sampled", so that putting Parallax in front of a
// service never multiplies its spans.
func TraceOf(id ID) Traceparent { return Traceparent{Trace: id, Parent: id.Tail()} }

// Tail returns the last eight bytes of the id: 62 random bits behind the two that are
// 10 in every id. It names the exchange among those of some hours.
func (id ID) Tail() [8]byte { return [8]byte(id[8:]) }

// ForShadow returns the traceparent that a leg gets as a shadow in place of the one that
// the live leg gets: the same trace, and as the parent the tail of the exchange's id,
// whose first two bits say which leg it is: 11 the primary, 00 the candidate, 01 the
// secondary. [Traceparent.Shadow] reads it back. The zero parent, which W3C does not
// allow, takes 62 zero bits of randomness.
func (t Traceparent) ForShadow(id ID, l Leg) Traceparent {
	t.Parent = id.Tail()
	t.Parent[0] ^= byte(l+1) << 6
	return t
}

// Shadow tells for which shadow leg of which exchange [Traceparent.ForShadow] made
// a traceparent: the exchange's id has this tail. It is false for a traceparent that
// begins with an exchange, which is the live leg's. Of one that Parallax did not make,
// such as that of a span which the leg itself began, the tail is any eight bytes,
// those of no exchange.
func (t Traceparent) Shadow() (tail [8]byte, l Leg, ok bool) {
	which := t.Parent[0]>>6 ^ 0b10
	if which == 0 {
		return tail, l, false
	}
	t.Parent[0] = t.Parent[0]&0x3f | 0x80
	return t.Parent, Leg(which - 1), true
}

// lowerHex decodes hex digits in lower case that fill dst.
func lowerHex(dst []byte, s string) bool {
	for i := range dst {
		high, low := digit(s[2*i]), digit(s[2*i+1])
		if high > 15 || low > 15 {
			return false
		}
		dst[i] = high<<4 | low
	}
	return true
}

func digit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}
