package mirror

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"parallax"
)

// rpc is what a flight knows of a gRPC call. Only one with one message each way
// is mirrored, and what it was is known at its end; so the other legs get it once
// the live leg's trailers are there.
type rpc struct {
	asked    messages // by whoever reads the request's body, under the tap's lock
	answered messages
	begun    atomic.Bool // the head of the live answer is there
}

// ofGRPC reports whether a message is one of gRPC. gRPC-Web is not: it is made to
// pass as ordinary HTTP.
func ofGRPC(headers []parallax.Field) bool {
	kind := value(headers, "Content-Type")
	const grpc = "application/grpc"
	if len(kind) < len(grpc) || !strings.EqualFold(kind[:len(grpc)], grpc) {
		return false
	}
	rest := kind[len(grpc):]
	return rest == "" || rest[0] == '+' || rest[0] == ';'
}

// newRPC returns what is to be known of a request if it is a gRPC call, else nil.
func newRPC(in *incoming) *rpc {
	if in.Method != "POST" || !ofGRPC(in.Headers) {
		return nil
	}
	return new(rpc)
}

// streams reports whether the call's answer has begun. Whoever leaves then ends
// the call: what has acted on one message has ended by that time.
func (r *rpc) streams() bool { return r != nil && r.begun.Load() }

// prefix is what comes before each message: a flag, and the length in four bytes
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
const prefix = 5

// messages counts the messages of a gRPC body that streams by.
type messages struct {
	n    int // begun
	head [prefix]byte
	have int    // bytes of head
	left uint32 // bytes of the present message to come
}

// count takes the next bytes of the body.
func (m *messages) count(p []byte) {
	for len(p) > 0 {
		if m.left > 0 {
			n := min(uint64(len(p)), uint64(m.left))
			m.left -= uint32(n)
			p = p[n:]
			continue
		}
		if m.have == 0 {
			m.n++
		}
		n := copy(m.head[m.have:], p)
		m.have += n
		p = p[n:]
		if m.have == prefix {
			m.have, m.left = 0, binary.BigEndian.Uint32(m.head[1:])
		}
	}
}

// whole reports whether the last message has come to its end.
func (m *messages) whole() bool { return m.have == 0 && m.left == 0 }

// count takes the next bytes of the answer, and reports whether there is more than
// one message.
func (r *rpc) count(p []byte) (stream bool) {
	r.answered.count(p)
	return r.answered.n > 1
}

// stopKeeping gives up the copies of a call that turns out to be a stream. It
// returns nil, for no copy.
func (f *flight) stopKeeping(keep *capture) *capture {
	f.lose(parallax.UnmirroredStream)
	f.body.giveUp(parallax.UnmirroredStream)
	if keep != nil {
		keep.drop()
	}
	return nil
}

// Codes of grpc-status that Parallax knows.
const (
	grpcOK          = "0"
	grpcExhausted   = "8"
	grpcUnavailable = "14"
)

// endRPC decides, when the live leg's answer is at its end, whether the other
// legs get a gRPC call.
func (f *flight) endRPC(c *parallax.Call, err error) {
	f.asTrailers(&c.Response)
	if why := f.unlike(c, err); why != "" {
		f.lose(why)
	}
	if f.reason == "" {
		f.dispatch()
	}
}

// unlike returns why a gRPC call is not mirrored; "" if it is.
func (f *flight) unlike(c *parallax.Call, err error) parallax.Place {
	status := value(c.Response.Trailers, "Grpc-Status")
	switch {
	case err != nil && f.body.brokeOff():
		return parallax.UnmirroredUnfinished
	case err != nil:
		return parallax.UnmirroredRejected
	case !f.body.sent():
		return parallax.UnmirroredUnfinished
	case !f.rpc.unary(status):
		return parallax.UnmirroredStream
	case status == "", status == grpcExhausted, status == grpcUnavailable:
		return parallax.UnmirroredRejected
	}
	return ""
}

// unary reports whether one message went each way, or one was answered with an
// error.
func (r *rpc) unary(status string) bool {
	answers := 0
	if status == grpcOK {
		answers = 1
	}
	return r.asked.n == 1 && r.asked.whole() && r.answered.n == answers && r.answered.whole()
}

// asTrailers puts the status of a gRPC answer that has no body where those of
// others have it: such an answer is one head, which is both.
func (f *flight) asTrailers(r *parallax.Response) {
	if f.rpc == nil || len(r.Trailers) > 0 {
		return
	}
	ofStatus := func(name string) bool {
		return len(name) > 5 && strings.EqualFold(name[:5], "Grpc-") && !strings.EqualFold(name, "Grpc-Encoding") && !strings.EqualFold(name, "Grpc-Accept-Encoding")
	}
	r.Trailers = fieldsThat(ofStatus, r.Headers)
	if len(r.Trailers) > 0 {
		r.Headers = fieldsThat(func(name string) bool { return !ofStatus(name) }, r.Headers)
	}
}

// refuseRPC answers a gRPC call in Parallax's own name: a head that is its
// trailers too. A call whose time is over is answered so, since its leg may have
// dropped it for that.
func (f *flight) refuseRPC(out caller, p problem) {
	status := grpcStatusOf(p.status)
	if within, ok := parseGRPCTimeout(value(f.in.Headers, "Grpc-Timeout")); ok && f.since() >= within {
		status = grpcLate
	}
	out.Head(200, []parallax.Field{
		{Name: "Content-Type", Value: "application/grpc"},
		{Name: "Grpc-Status", Value: strconv.Itoa(status)},
		{Name: "Grpc-Message", Value: p.detail},
	}, 0, nil, !f.body.sent())
}

const grpcLate = 4 // DEADLINE_EXCEEDED

// parseGRPCTimeout reads a grpc-timeout: up to eight digits and a unit.
func parseGRPCTimeout(text string) (time.Duration, bool) {
	if len(text) < 2 || len(text) > 9 {
		return 0, false
	}
	units := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second,
		'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	unit, known := units[text[len(text)-1]]
	if err != nil || !known {
		return 0, false
	}
	if n > uint64(math.MaxInt64/unit) {
		return math.MaxInt64, true
	}
	return time.Duration(n) * unit, true
}

// grpcStatusOf translates a status of HTTP
// (https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md).
func grpcStatusOf(status int) int {
	switch status {
	case 400:
		return 13 // INTERNAL
	case 401:
		return 16 // UNAUTHENTICATED
	case 403:
		return 7 // PERMISSION_DENIED
	case 404, 501:
		return 12 // UNIMPLEMENTED
	case 429, 502, 503, 504:
		return 14 // UNAVAILABLE
	}
	return 2 // UNKNOWN
}
