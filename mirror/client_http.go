package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"parallax"
)

// Connections to a leg.
const (
	dialTimeout      = 5 * time.Second
	idleConnections  = 256             // kept per instance
	idleTimeout      = 4 * time.Second // then an idle connection is closed; before the 5 s after which many servers close theirs
	maxAnswerHead    = 1 << 20         // bytes
	expectContinueIn = time.Second     // then a body is sent without a leg's 100
)

// httpSender speaks HTTP/1.1 to a leg with net/http.
type httpSender struct {
	transport *http.Transport
}

var _ sender = (*httpSender)(nil)

// newHTTPSender returns a sender with a connection pool of its own. headTimeout
// bounds the wait for an answer's head, connections those to one instance; zero
// means no bound.
func newHTTPSender(headTimeout time.Duration, connections int, pool bufferPool) *httpSender {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	return &httpSender{transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &countedConn{Conn: conn, pool: pool}, nil
		},
		DisableCompression:     true, // bodies pass as they are
		ForceAttemptHTTP2:      false,
		MaxIdleConnsPerHost:    idleConnections,
		MaxConnsPerHost:        connections,
		IdleConnTimeout:        idleTimeout,
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  headTimeout,
		ExpectContinueTimeout:  expectContinueIn,
		MaxResponseHeaderBytes: maxAnswerHead,
	}}
}

// Close closes the connections that are not in use.
func (s *httpSender) Close() { s.transport.CloseIdleConnections() }

// Send sends a request. It tries a second connection only when the first one
// turned out to be closed before a byte was written to it.
func (s *httpSender) Send(ctx context.Context, to *url.URL, out *outgoing) (*answer, error) {
	for first := true; ; first = false {
		body := newSentBody(out)
		conn := &usedConn{}
		res, err := s.transport.RoundTrip(request(conn.trace(ctx), to, out, body))
		if err == nil {
			body.commit()
			return checked(res, out)
		}
		unread := body.revoke()
		if first && ctx.Err() == nil && unread && conn.unwritten() {
			continue
		}
		if out.Body != nil {
			out.Body.Close()
		}
		return nil, conn.failure(out, err)
	}
}

// request builds what net/http sends. Nothing of it is shared with another
// request.
func request(ctx context.Context, to *url.URL, out *outgoing, body *sentBody) *http.Request {
	req := &http.Request{
		Method: out.Method, Host: out.Host,
		URL:   &url.URL{Scheme: to.Scheme, Host: to.Host},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        make(http.Header, len(out.Headers)+2),
		Body:          body,
		ContentLength: out.Length,
	}
	setTarget(req.URL, out.Target)
	for _, f := range out.Headers {
		req.Header.Add(f.Name, f.Value)
	}
	if _, ok := req.Header["User-Agent"]; !ok {
		req.Header["User-Agent"] = []string{""} // else net/http makes one up
	}
	if out.Upgrade != "" {
		req.Header["Connection"], req.Header["Upgrade"] = []string{"Upgrade"}, []string{out.Upgrade}
	}
	if out.Length == 0 {
		bodyless(req)
	}
	if _, ok := req.Header["Expect"]; ok {
		// A leg that answers instead of agreeing does not get the body. Transport
		// sends it all the same, unless the connection is to be closed.
		req.Close = true
	}
	if len(out.TrailerNames) > 0 {
		req.Trailer = make(http.Header, len(out.TrailerNames))
		for _, name := range out.TrailerNames {
			req.Trailer[textproto.CanonicalMIMEHeaderKey(name)] = nil
		}
		body.atEnd = func() { addAll(req.Trailer, out.Trailers()) }
	}
	return req.WithContext(ctx)
}

// setTarget makes net/http write the request target as it is given.
func setTarget(u *url.URL, target string) {
	if !strings.HasPrefix(target, "//") {
		u.Opaque = target
		return
	}
	// A target like //a would be taken for a host if it was opaque.
	path, query, hasQuery := strings.Cut(target, "?")
	u.RawPath, u.RawQuery, u.ForceQuery = path, query, hasQuery
	u.Path, _ = url.PathUnescape(path)
}

// bodyless makes a request without a body one that net/http sends once.
// Transport repeats a request that it takes for repeatable when a connection
// that it had used before breaks; the leg may have acted on it by then. It takes
// a request for repeatable if it has no body and either a safe method or an
// Idempotency-Key.
func bodyless(req *http.Request) {
	if safe(req.Method) {
		// A body that is empty but not known to be keeps it from repeating, and
		// "identity" from announcing a body.
		req.Body = emptyBody{}
		req.TransferEncoding = []string{"identity"}
		return
	}
	req.Body = http.NoBody
	for _, key := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if v, ok := req.Header[key]; ok {
			// The same header to the leg, another one to Transport, which looks
			// for the canonical spelling.
			delete(req.Header, key)
			req.Header[strings.ToLower(key)] = v
		}
	}
}

type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }
func (emptyBody) Close() error             { return nil }

// sentBody is a request body in the hands of net/http. Until its first byte was
// asked for it can be taken back and sent on another connection.
type sentBody struct {
	src    io.ReadCloser
	atEnd  func()
	state  atomic.Uint32
	closed atomic.Bool
}

const (
	untouched uint32 = iota
	reading
	revoked
)

func newSentBody(out *outgoing) *sentBody {
	if out.Body == nil {
		return &sentBody{src: emptyBody{}}
	}
	return &sentBody{src: out.Body}
}

// Read implements io.Reader.
func (b *sentBody) Read(p []byte) (int, error) {
	if !b.state.CompareAndSwap(untouched, reading) && b.state.Load() == revoked {
		return 0, net.ErrClosed
	}
	n, err := b.src.Read(p)
	if err == io.EOF && b.atEnd != nil {
		b.atEnd()
		b.atEnd = nil
	}
	return n, err
}

// Close implements io.Closer. An untouched body stays open: it may go out on
// another connection.
func (b *sentBody) Close() error {
	b.closed.Store(true)
	if b.state.Load() == reading {
		return b.src.Close()
	}
	return nil
}

// commit says that the body will not go out on another connection.
func (b *sentBody) commit() {
	if b.state.CompareAndSwap(untouched, reading) && b.closed.Load() {
		_ = b.src.Close() // its error is nobody's: the answer has come
	}
}

// revoke takes the body back and reports whether no byte of it was asked for.
func (b *sentBody) revoke() bool { return b.state.CompareAndSwap(untouched, revoked) }

// countedConn knows how many bytes were written to it.
type countedConn struct {
	net.Conn
	pool    bufferPool
	written atomic.Int64
}

// ReadFrom implements io.ReaderFrom, so that net/http does not allocate a buffer
// for every body it sends.
func (c *countedConn) ReadFrom(r io.Reader) (int64, error) {
	buf := c.pool.get()
	defer c.pool.put(buf)
	return io.CopyBuffer(struct{ io.Writer }{c}, r, *buf)
}

// Write implements net.Conn.
func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// usedConn finds out on what connection a request went out, and whether anything
// of it was written if that had been used before.
type usedConn struct {
	got    atomic.Bool                 // there was a connection
	conn   atomic.Pointer[countedConn] // if it had been used before
	before atomic.Int64
}

func (u *usedConn) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		u.got.Store(true)
		conn := info.Conn
		if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
			conn = secured.NetConn()
		}
		if counted, ok := conn.(*countedConn); ok && info.Reused {
			u.before.Store(counted.written.Load())
			u.conn.Store(counted)
		}
	}})
}

func (u *usedConn) unwritten() bool {
	conn := u.conn.Load()
	return conn != nil && conn.written.Load() == u.before.Load()
}

// What is said of answers that cannot be read. What net/http says of them repeats
// their bytes.
var (
	errBadHead = errors.New("what the leg answered is not HTTP/1.1, or its head is longer than 1 MiB")
	errBadBody = errors.New("the body of the leg's answer does not have the form that its head announced")
)

// failure is why there is no answer.
func (u *usedConn) failure(out *outgoing, err error) *sendError {
	e := &sendError{kind: kindOf(err), reused: u.conn.Load() != nil, err: err}
	switch {
	case e.kind != parallax.BadAnswer:
	case u.got.Load():
		e.err = errBadHead
	case out.fault() != nil:
		e.kind, e.err = parallax.NotAsked, out.fault()
	default:
		e.kind = parallax.Refused // such as a certificate that nobody trusts
	}
	return e
}

// answerBody is the body of an answer. It fails with a *sendError.
type answerBody struct{ io.ReadCloser }

// Read implements io.Reader.
func (b answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil || err == io.EOF {
		return n, err
	}
	e := &sendError{kind: kindOf(err), err: err}
	switch e.kind {
	case parallax.Refused:
		e.kind = parallax.Reset // the answer had begun
	case parallax.BadAnswer:
		e.err = errBadBody
	}
	return n, e
}

// checked refuses what net/http lets through and a caller cannot be given.
func checked(res *http.Response, out *outgoing) (*answer, error) {
	switched := res.StatusCode == http.StatusSwitchingProtocols
	if (switched && out.Upgrade != "") || (res.StatusCode >= 200 && res.StatusCode <= 999) {
		return newAnswer(res), nil
	}
	res.Body.Close()
	return nil, &sendError{kind: parallax.BadAnswer, err: fmt.Errorf("answered with status %d, which nobody asked for", res.StatusCode)}
}

func newAnswer(res *http.Response) *answer {
	a := &answer{Status: res.StatusCode, Headers: fieldsOf(res.Header), Length: res.ContentLength, Body: answerBody{res.Body}}
	if res.StatusCode == http.StatusSwitchingProtocols {
		a.Conn, _ = res.Body.(io.ReadWriteCloser)
		return a
	}
	a.Headers = endToEnd(a.Headers, 0)
	for name := range res.Trailer {
		a.TrailerNames = append(a.TrailerNames, name)
	}
	slices.Sort(a.TrailerNames)
	a.Trailers = func() []parallax.Field { return fieldsOf(res.Trailer) }
	return a
}

// fieldsOf turns net/http's map into fields, sorted by name: their order on the
// wire is lost in it.
func fieldsOf(h http.Header) []parallax.Field {
	if len(h) == 0 {
		return nil
	}
	fields := make([]parallax.Field, 0, len(h)+2)
	for name, values := range h {
		for _, v := range values {
			fields = append(fields, parallax.Field{Name: name, Value: v})
		}
	}
	slices.SortStableFunc(fields, func(a, b parallax.Field) int { return strings.Compare(a.Name, b.Name) })
	return fields
}

func addAll(h http.Header, fields []parallax.Field) {
	for _, f := range fields {
		h.Add(f.Name, f.Value)
	}
}

// kindOf sorts a failure of net/http's client or of reading an answer's body.
func kindOf(err error) parallax.ErrKind {
	var op *net.OpError
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return parallax.Timeout
	case errors.As(err, &op) && op.Op == "dial":
		return parallax.Refused
	case errors.As(err, &timeout) && timeout.Timeout():
		return parallax.Timeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, context.Canceled), errors.As(err, &op):
		return parallax.Reset
	case closedIdle(err):
		return parallax.Reset
	}
	return parallax.BadAnswer
}

// closedIdle reports whether a leg closed the connection before a request came
// on it. net/http exports no name for that error.
func closedIdle(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if err.Error() == "http: server closed idle connection" {
			return true
		}
	}
	return false
}
