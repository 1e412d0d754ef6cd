package mirror

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parallax"
)

// Limits of the callers' side where HTTP/2 is spoken.
const (
	maxStreams     = 250              // requests at a time on a connection; four times as many reset ones may wait for their end
	streamWindow   = 128 << 10        // bytes of a request body that arrived and were not read, per request
	connWindow     = 2 << 20          // the same, per connection
	pingAfter      = 30 * time.Second // without a frame the other side is asked whether it is there
	pingTimeout    = 15 * time.Second // then the connection is closed
	maxHeaderLines = 200              // of a request
)

// h2Server speaks HTTP/2 to callers, on connections that another server has
// accepted. It is net/http's: what that makes of a request is said in doc.go.
type h2Server struct {
	m        *Mirror
	server   *http.Server
	accepted *handedOver
	closing  atomic.Bool // answers say goodbye
}

// newH2Server starts a server that waits for connections. close ends it.
func (m *Mirror) newH2Server() *h2Server {
	s := &h2Server{m: m, accepted: newHandedOver()}
	limits := m.timeouts()
	var speaks http.Protocols
	speaks.SetHTTP2(true)
	speaks.SetUnencryptedHTTP2(true)
	s.server = &http.Server{
		Handler: http.HandlerFunc(s.serve), Protocols: &speaks,
		MaxHeaderBytes: 2 * maxRequestHead, // a head that is over the limit by less is refused here, and counted
		IdleTimeout:    limits.Idle,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerStream:     streamWindow,
			MaxReceiveBufferPerConnection: connWindow,
			SendPingTimeout:               pingAfter,
			PingTimeout:                   pingTimeout,
			WriteByteTimeout:              limits.Write,
		},
		BaseContext: func(net.Listener) context.Context { return m.lives },
		ConnState:   s.accepted.state,
		ErrorLog:    slog.NewLogLogger(m.deps.Log.Handler(), slog.LevelWarn),
	}
	go func() { _ = s.server.Serve(s.accepted) }() // ends when it is closed
	return s
}

// handedOver is a listener of connections that somebody else has accepted.
type handedOver struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once

	mu     sync.Mutex
	served map[net.Conn]chan struct{} // closed when the connection is
}

func newHandedOver() *handedOver {
	return &handedOver{conns: make(chan net.Conn), closed: make(chan struct{}), served: map[net.Conn]chan struct{}{}}
}

// handOver has a connection served and returns when that is over.
func (l *handedOver) handOver(conn net.Conn) {
	over := make(chan struct{})
	l.mu.Lock()
	l.served[conn] = over
	l.mu.Unlock()
	select {
	case l.conns <- conn:
		<-over
	case <-l.closed:
		conn.Close()
		l.state(conn, http.StateClosed)
	}
}

// state hears what becomes of a connection.
func (l *handedOver) state(conn net.Conn, state http.ConnState) {
	if state != http.StateClosed {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if over := l.served[conn]; over != nil {
		close(over)
		delete(l.served, conn)
	}
}

// Accept implements net.Listener.
func (l *handedOver) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *handedOver) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *handedOver) Addr() net.Addr { return &net.TCPAddr{} }

// serve answers one request, in a goroutine of its stream.
func (s *h2Server) serve(w http.ResponseWriter, r *http.Request) {
	out := &h2Caller{
		w: w, control: http.NewResponseController(w), closing: &s.closing,
		patience: &patience{limits: s.m.timeouts()},
	}
	defer out.patience.end()
	if status, why := checkHead(r); status != 0 {
		s.m.deps.Metrics.refuse(s.m.name, status)
		http.Error(w, why, status)
		return
	}
	s.m.serve(r.Context(), out.incoming(r), out)
	if out.aborted {
		panic(http.ErrAbortHandler) // how net/http is told to reset the stream
	}
}

// checkHead returns the status for a request that is too large, or that cannot be
// passed on as HTTP/1.1, and why; 0 for any other.
func checkHead(r *http.Request) (status int, why string) {
	size, lines := len(r.RequestURI)+len(r.Method)+len(r.Host), 0
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
			lines++
		}
	}
	switch {
	case size > maxRequestHead:
		return http.StatusRequestHeaderFieldsTooLarge, "head is too large"
	case lines > maxHeaderLines:
		return http.StatusRequestHeaderFieldsTooLarge, "too many field lines"
	}
	if why := ambiguous(r); why != "" {
		return http.StatusBadRequest, why
	}
	return checkLine(r.Method, r.RequestURI, r.Host)
}

// ambiguous says what can be read in two ways in a request although net/http lets
// it pass (RFC 9113 sections 8.1.1 and 8.3.1); "" for nothing.
func ambiguous(r *http.Request) string {
	for _, host := range r.Header["Host"] {
		if !strings.EqualFold(host, r.Host) {
			return "two hosts"
		}
	}
	lengths := r.Header["Content-Length"]
	if len(lengths) > 1 {
		return "two lengths"
	}
	for _, text := range lengths {
		if n, err := strconv.ParseInt(text, 10, 64); err != nil || n != r.ContentLength || text[0] == '+' {
			return "bad length"
		}
	}
	if target := r.RequestURI; r.Method != http.MethodConnect && !strings.HasPrefix(target, "/") && target != "*" {
		return "bad request target" // with a host of its own
	}
	return ""
}

// incoming is a request as net/http has it, in the terms of the seam.
func (c *h2Caller) incoming(r *http.Request) *incoming {
	delete(r.Header, "Host") // which is r.Host
	in := &incoming{
		Method: r.Method, Target: r.RequestURI, Host: r.Host, Proto: r.Proto,
		Headers: fieldsOf(r.Header), Length: r.ContentLength, TLS: r.TLS != nil,
	}
	in.RemoteIP, _, _ = net.SplitHostPort(r.RemoteAddr)
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		in.Length = 0
		return in
	}
	c.body = &h2Body{body: r.Body, caller: c, streams: ofGRPC(in.Headers)}
	in.Body = c.body
	if len(r.Trailer) > 0 {
		in.Length = -1 // with a length, HTTP/1.1 has no room for trailers
		in.TrailerNames = slices.Sorted(maps.Keys(r.Trailer))
	}
	in.Trailers = func() []parallax.Field { return fieldsOf(r.Trailer) }
	return in
}

// fieldsOf returns the fields of a map in an order that is always the same: by
// name, the values of one name as they came.
func fieldsOf(h http.Header) []parallax.Field {
	out := make([]parallax.Field, 0, len(h))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, v := range h[name] {
			out = append(out, parallax.Field{Name: name, Value: v})
		}
	}
	return out
}

// h2Body is the body of a caller's request. A caller who is silent for too long
// is cut off.
type h2Body struct {
	body    io.Reader
	caller  *h2Caller
	streams bool // of gRPC: it may be silent for as long as it likes
	ended   atomic.Bool
}

// Read implements io.Reader.
func (b *h2Body) Read(p []byte) (int, error) {
	if !b.streams {
		b.caller.patience.await(&b.caller.patience.reading, b.caller.patience.limits.Body, b.caller.control.SetReadDeadline)
		defer b.caller.patience.rest(&b.caller.patience.reading)
	}
	n, err := b.body.Read(p)
	if err != nil {
		b.ended.Store(true)
	}
	return n, err
}

// h2Caller is where the answer to a request over HTTP/2 goes. Fields are written
// as net/http does: names in lower case, sorted.
type h2Caller struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	closing  *atomic.Bool
	patience *patience
	body     *h2Body // nil: the request has none
	begun    bool
	aborted  bool
}

var _ caller = (*h2Caller)(nil)

// Inform implements caller. 100 is net/http's own: it sends it when the body is
// first read.
func (c *h2Caller) Inform(status int, headers []parallax.Field) error {
	if c.begun || status <= 101 || status > 199 {
		return nil
	}
	h := c.w.Header()
	setFields(h, headers)
	c.w.WriteHeader(status)
	clear(h)
	return nil
}

// Head implements caller. That the connection cannot serve another request means
// nothing here: the stream ends, and what is left of the request's body with it.
func (c *h2Caller) Head(status int, headers []parallax.Field, _ int64, trailers []string, _ bool) {
	if c.begun || c.aborted {
		return
	}
	c.begun = true
	h := c.w.Header()
	for _, made := range []string{"Content-Length", "Content-Type", "Date"} {
		h[made] = nil // not made up where the leg sent none
	}
	setFields(h, headers)
	for _, name := range trailers {
		h.Add("Trailer", name)
	}
	if c.closing.Load() {
		h.Set("Connection", "close") // which net/http turns into GOAWAY
	}
	c.w.WriteHeader(status)
	clear(h) // what is there at the end are trailers
}

// setFields adds what may stand in a head of HTTP/2.
func setFields(h http.Header, fields []parallax.Field) {
	for _, f := range fields {
		if !hopByHop(f.Name) && parallax.IsToken(f.Name) && parallax.IsFieldValue(f.Value) {
			h.Add(f.Name, f.Value)
		}
	}
}

// Write implements caller.
func (c *h2Caller) Write(p []byte) (int, error) {
	if c.aborted {
		return 0, net.ErrClosed
	}
	c.patience.await(&c.patience.writing, c.patience.limits.Write, c.control.SetWriteDeadline)
	defer c.patience.rest(&c.patience.writing)
	return c.w.Write(p)
}

// Flush implements caller.
func (c *h2Caller) Flush() error {
	if !c.begun || c.aborted {
		return nil
	}
	c.patience.await(&c.patience.writing, c.patience.limits.Write, c.control.SetWriteDeadline)
	defer c.patience.rest(&c.patience.writing)
	return c.control.Flush()
}

// Trailers implements caller. They need not have been announced.
func (c *h2Caller) Trailers(fields []parallax.Field) {
	h := c.w.Header()
	for _, f := range fields {
		if parallax.IsToken(f.Name) && parallax.IsFieldValue(f.Value) {
			h.Add(http.TrailerPrefix+f.Name, f.Value)
		}
	}
}

// End implements caller. The stream ends when the handler returns, which is at
// once but for a request whose body is still coming.
func (c *h2Caller) End() error {
	if c.body == nil || c.body.ended.Load() {
		return nil
	}
	return c.Flush()
}

// Abort implements caller. What was written is sent, then the stream is reset.
func (c *h2Caller) Abort() {
	if c.begun {
		_ = c.Flush()
	}
	c.aborted = true
}

// Switch implements caller. Extended CONNECT (RFC 8441) is not spoken.
func (c *h2Caller) Switch([]parallax.Field) (io.ReadWriteCloser, error) {
	return nil, http.ErrNotSupported
}

// patience cuts off a stream whose caller takes nothing, or sends nothing, for
// too long. A stream has one limit for each direction.
type patience struct {
	limits           Timeouts
	mu               sync.Mutex
	over             bool
	reading, writing *time.Timer
}

// await begins to wait, for so long; expire makes whoever waits see an error.
func (p *patience) await(limit **time.Timer, within time.Duration, expire func(time.Time) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if *limit != nil {
		(*limit).Reset(within)
		return
	}
	*limit = time.AfterFunc(within, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.over {
			_ = expire(time.Unix(1, 0)) // the past
		}
	})
}

// rest ends the wait.
func (p *patience) rest(limit **time.Timer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	(*limit).Stop()
}

// end is called before the stream is gone: it must not be touched afterwards.
func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	for _, limit := range []*time.Timer{p.reading, p.writing} {
		if limit != nil {
			limit.Stop()
		}
	}
}
