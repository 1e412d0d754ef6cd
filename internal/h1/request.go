package h1

import (
	"crypto/tls"
	"sync/atomic"

	"parallax"
)

// Request is a request whose head has been read. It is valid until the handler
// returns; its strings, its Headers and a Body may be kept, but such a Body
// gives ErrBodyLate from then on.
type Request struct {
	Method  string
	URI     string           // the request target as it stood on the request line
	Target  string           // path and query of it, unchanged; "*", or host:port for CONNECT
	Host    string           // of the target if it names one, else of the Host field
	Proto   string           // HTTP/1.1 or HTTP/1.0
	Headers []parallax.Field // in order, without Host

	Length       int64        // of the body: 0 for none, -1 when only its end will tell
	Body         *RequestBody // nil when Length is 0
	TrailerNames []string     // as announced, without those that cannot be trailers
	Continue     bool         // the caller waits for 100 before it sends the body
	Upgrade      string       // protocol it asks to change to; "" for none

	RemoteAddr string               // address and port of the peer
	RemoteIP   string               // address alone
	TLS        *tls.ConnectionState // nil without TLS

	left   atomic.Bool
	onGone atomic.Pointer[func()]
}

// Gone reports whether the caller has closed its connection. It is noticed within
// a quarter of a second at first and within a second later on, on Linux only.
func (r *Request) Gone() bool { return r.left.Load() }

// OnGone has f called once if the caller closes its connection before the
// handler returns, as soon as Gone says so. f must not block, and may be called
// just after the handler has returned.
func (r *Request) OnGone(f func()) {
	r.onGone.Store(&f)
	if r.left.Load() {
		r.tellGone()
	}
}

// tellGone calls what OnGone was given, once.
func (r *Request) tellGone() {
	if f := r.onGone.Swap(nil); f != nil {
		(*f)()
	}
}

// RequestBody is the body of a request. It may be read from any one goroutine
// while the handler runs.
type RequestBody struct{ body }

// Read implements io.Reader. It sends 100 Continue first, if the caller waits for
// it and nothing was answered yet. The end comes together with the last bytes
// where it is known by then. A malformed chunk is a *Refusal; a body that broke
// off is io.ErrUnexpectedEOF or an error of the connection; ErrBodyLate is what
// a body gives after its handler has returned.
func (b *RequestBody) Read(p []byte) (int, error) { return b.body.Read(p) }

// Ready reports whether the whole body has arrived, so that reading it never
// waits. It is asked before the first Read.
func (b *RequestBody) Ready() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err != nil || b.how == byLength && b.begin == nil && int64(len(b.link.buffered())) >= b.left
}

// Trailers returns the trailer fields, once Read has returned io.EOF. Those that
// must not stand in a trailer are left out.
func (b *RequestBody) Trailers() []parallax.Field { return b.trailers() }
