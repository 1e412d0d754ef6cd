package mirror

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"parallax"
)

// Connections over which HTTP/2 is spoken to a leg.
const (
	maxH2Connections = 8                // to one instance; requests beyond what they take wait for their turn
	h2IdleTimeout    = 90 * time.Second // then an unused connection is closed
	answerWindow     = 128 << 10        // bytes of an answer that arrived and were not read, per request
	legPingAfter     = 10 * time.Second // without a frame a leg is asked whether it is there
	legPingTimeout   = 5 * time.Second  // then the connection is closed
	settingsWithin   = time.Second      // then a new connection is used without the leg's settings
	maxInforms       = 32               // informational answers to one request
	maxH2Waits       = 32               // connections that a request sees opened and gone before one takes it
)

// h2Sender speaks HTTP/2 to a leg: by TLS to https addresses, in the clear with
// prior knowledge to http. It uses net/http's client connections one by one, not
// its Transport, which asks again as it likes.
type h2Sender struct {
	transport *http.Transport
	secure    func(ctx context.Context, conn net.Conn, name string) (net.Conn, error) // agrees on TLS
	turn      time.Duration                                                           // within which a request must have been begun to be sent; zero for no bound
	stop      context.CancelFunc                                                      // ends what is being dialled
	stopped   context.Context

	mu     sync.Mutex
	hosts  map[h2Address]*h2Host
	closed bool
}

// h2Address is where connections lead to, and under which name.
type h2Address struct{ scheme, host, addr string }

func h2AddressOf(to *url.URL, addr string) h2Address { return h2Address{to.Scheme, to.Host, addr} }

// h2Host is the connections to one instance. All is guarded by h2Sender.mu.
type h2Host struct {
	conns     []*http.ClientConn
	dialing   *h2Dial // nil: none is being opened
	forgotten bool
}

// h2Dial is a connection that is being opened, for whoever waits for one.
type h2Dial struct {
	over chan struct{}
	err  error // once over is closed
}

var _ sender = (*h2Sender)(nil)

// newH2Sender returns a sender with connections of its own. headTimeout bounds
// the wait for the turn of a request, and then that for its answer's head; zero
// means no bound.
func newH2Sender(headTimeout time.Duration, secure func(ctx context.Context, conn net.Conn, name string) (net.Conn, error)) *h2Sender {
	var speaks http.Protocols
	speaks.SetHTTP2(true)
	speaks.SetUnencryptedHTTP2(true)
	s := &h2Sender{secure: secure, turn: headTimeout, hosts: map[h2Address]*h2Host{}}
	s.stopped, s.stop = context.WithCancel(context.Background())
	s.transport = &http.Transport{
		Protocols: &speaks, DisableCompression: true,
		IdleConnTimeout: h2IdleTimeout, ResponseHeaderTimeout: headTimeout,
		ExpectContinueTimeout: expectContinueIn, MaxResponseHeaderBytes: maxAnswerHead,
		DialContext: dialled, DialTLSContext: dialled,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream: answerWindow,
			SendPingTimeout:           legPingAfter, PingTimeout: legPingTimeout, WriteByteTimeout: silence,
		},
	}
	return s
}

// Close implements sender.
func (s *h2Sender) Close() {
	s.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, h := range s.hosts {
		for _, c := range h.conns {
			c.SetStateHook(closeWhenIdle)
			closeWhenIdle(c)
		}
	}
	clear(s.hosts)
}

// Forget implements sender.
func (s *h2Sender) Forget(to *url.URL, addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := h2AddressOf(to, addr)
	if h := s.hosts[at]; h != nil {
		h.forgotten = true
		for _, c := range h.conns {
			c.SetStateHook(closeWhenIdle)
			closeWhenIdle(c)
		}
		delete(s.hosts, at)
	}
}

// closeWhenIdle closes a connection that nothing is under way on.
func closeWhenIdle(c *http.ClientConn) {
	if c.InFlight() == 0 {
		c.Close()
	}
}

// Failures of having a connection.
var (
	errSenderClosed = errors.New("the connections to the leg are closed")
	errLostAtOnce   = errors.New("the leg closes connections as soon as they are open")
)

// Send implements sender. With errOnlyHTTP1 the body is not closed: nothing was
// touched.
func (s *h2Sender) Send(ctx context.Context, to *url.URL, out *outgoing) (*answer, error) {
	if err := out.fault(); err != nil {
		return nil, out.refuse(err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	c := &h2Call{out: out, to: to, cancel: cancel}
	if !out.Deadline.IsZero() {
		c.late = time.AfterFunc(time.Until(out.Deadline), func() { cancel(os.ErrDeadlineExceeded) })
	}
	if s.turn > 0 { // a leg may allow no streams at all
		defer time.AfterFunc(s.turn, c.giveUpWaiting).Stop()
	}
	// A request is tried again when nothing of it was written, since its connection
	// is closed or closing, and once when the leg says that it has not looked at it.
	asked := false
	for tries := 1; ; tries++ {
		conn, err := s.conn(ctx, to, out.Addr)
		if err != nil {
			c.release()
			if errors.Is(err, errOnlyHTTP1) {
				return nil, err
			}
			c.closeBody()
			return nil, c.failure(ctx, err, true)
		}
		res, err := c.try(ctx, conn)
		if err == nil {
			if err = fault(res); err == nil {
				return c.answer(ctx, res), nil
			}
			res.Body.Close() // and with it that of the request
			c.release()
			return nil, c.failure(ctx, err, false)
		}
		again := ctx.Err() == nil && !c.body.touched()
		switch {
		case again && !c.sent.Load() && unusable(err) && tries <= maxH2Connections+1:
			s.drop(h2AddressOf(to, out.Addr), conn)
			continue
		case again && unprocessed(err) && !asked:
			asked = true
			if out.Again != nil {
				out.Again(c.failure(ctx, err, false))
			}
			continue
		}
		c.release()
		c.closeBody()
		return nil, c.failure(ctx, err, false)
	}
}

// conn returns a connection to an instance with room for a request, which is
// reserved; when there are as many connections as there may be, the one with the
// least to do, where the request waits for its turn.
func (s *h2Sender) conn(ctx context.Context, to *url.URL, addr string) (*http.ClientConn, error) {
	for range maxH2Waits {
		conn, dial, err := s.next(to, addr)
		if conn != nil || err != nil {
			return conn, err
		}
		select {
		case <-dial.over:
			if dial.err != nil {
				return nil, dial.err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return nil, errLostAtOnce
}

// next returns a connection, or the dial to wait for.
func (s *h2Sender) next(to *url.URL, addr string) (*http.ClientConn, *h2Dial, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, errSenderClosed
	}
	key := h2AddressOf(to, addr)
	h := s.hosts[key]
	if h == nil {
		s.prune()
		h = &h2Host{}
		s.hosts[key] = h
	}
	h.conns = slices.DeleteFunc(h.conns, func(c *http.ClientConn) bool { return c.Err() != nil })
	slices.SortFunc(h.conns, func(a, b *http.ClientConn) int { return cmp.Compare(a.InFlight(), b.InFlight()) })
	for _, c := range h.conns {
		if c.Reserve() == nil {
			return c, nil, nil
		}
	}
	if len(h.conns) >= maxH2Connections {
		return h.conns[0], nil, nil
	}
	if h.dialing == nil {
		h.dialing = &h2Dial{over: make(chan struct{})}
		go s.dial(to, addr, h, h.dialing)
	}
	return nil, h.dialing, nil
}

// drop takes out a connection that takes no more requests. It closes itself when
// those on it are at their end.
func (s *h2Sender) drop(at h2Address, conn *http.ClientConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.hosts[at]; h != nil {
		h.conns = slices.DeleteFunc(h.conns, func(c *http.ClientConn) bool { return c == conn })
	}
}

// prune forgets instances without a connection. s.mu is held.
func (s *h2Sender) prune() {
	maps.DeleteFunc(s.hosts, func(_ h2Address, h *h2Host) bool {
		return h.dialing == nil && !slices.ContainsFunc(h.conns, func(c *http.ClientConn) bool { return c.Err() == nil })
	})
}

// dial opens a connection, whoever leaves while it does.
func (s *h2Sender) dial(to *url.URL, addr string, h *h2Host, d *h2Dial) {
	ctx, cancel := context.WithTimeout(s.stopped, dialTimeout)
	defer cancel()
	conn, err := s.open(ctx, to, addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		d.err = err
	case s.closed, h.forgotten:
		conn.Close()
		d.err = errSenderClosed
	default:
		h.conns = append(h.conns, conn)
	}
	h.dialing = nil
	close(d.over)
}

// open opens a connection, to addr unless it is empty, and waits a while for the
// leg's settings: before they are known, more streams would be opened than the leg
// may take.
func (s *h2Sender) open(ctx context.Context, to *url.URL, addr string) (*http.ClientConn, error) {
	address := net.JoinHostPort(to.Hostname(), portOf(to))
	plain, err := (&net.Dialer{}).DialContext(ctx, "tcp", cmp.Or(addr, address))
	if err != nil {
		return nil, err
	}
	first := &settling{Conn: plain, settled: make(chan struct{})}
	var conn net.Conn = first
	if to.Scheme == "https" {
		first.writes.Store(math.MinInt32) // a handshake's do not count
		if conn, err = s.secure(ctx, first, to.Hostname()); err != nil {
			return nil, err
		}
		first.writes.Store(0)
	}
	out, err := s.transport.NewClientConn(context.WithValue(ctx, dialledKey{}, conn), to.Scheme, address)
	if err != nil {
		conn.Close()
		return nil, err
	}
	late := time.NewTimer(settingsWithin)
	defer late.Stop()
	select {
	case <-first.settled:
	case <-late.C:
	case <-ctx.Done():
	}
	if first.lost.Load() {
		out.Close()
		return nil, errLostAtOnce
	}
	return out, nil
}

// dialledKey finds a connection in the context that net/http dials with.
type dialledKey struct{}

// dialled gives net/http the connection that was opened for it.
func dialled(ctx context.Context, _, _ string) (net.Conn, error) {
	return ctx.Value(dialledKey{}).(net.Conn), nil
}

// settling is a connection that tells when the leg's settings were taken in. A
// client writes its preface first, and then that it has the settings.
type settling struct {
	net.Conn
	writes  atomic.Int32
	lost    atomic.Bool // the leg closed it
	once    sync.Once
	settled chan struct{} // closed when the leg's settings were taken in, or never will be
}

// Write implements net.Conn.
func (s *settling) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	if s.writes.Add(1) == 2 { // and again after 2^32 more
		s.settle()
	}
	return n, err
}

// Read implements net.Conn.
func (s *settling) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if err != nil {
		s.lost.Store(true)
		s.settle()
	}
	return n, err
}

func (s *settling) settle() { s.once.Do(func() { close(s.settled) }) }

// fault says why an answer that net/http lets pass is none; nil if it is one.
func fault(res *http.Response) error {
	if res.StatusCode < 200 || res.StatusCode > 999 {
		return errors.New("malformed status")
	}
	lengths := res.Header["Content-Length"]
	if len(lengths) > 1 {
		return errors.New("malformed answer: it has two lengths")
	}
	for _, text := range lengths {
		if _, err := strconv.ParseUint(text, 10, 63); err != nil {
			return errors.New("malformed length")
		}
	}
	return nil
}

// unprocessed reports whether a failure proves that the leg has not looked at the
// request: it refused the stream, or said goodbye before it (RFC 9113 section
// 8.7).
func unprocessed(err error) bool {
	var reset http2.StreamError
	if errors.As(err, &reset) {
		return reset.Code == http2.ErrCodeRefusedStream && fromPeer(reset)
	}
	return strings.HasSuffix(err.Error(), saidGoodbye)
}

// unusable reports whether a request was not sent because its connection is
// closed or closing.
func unusable(err error) bool { return strings.Contains(err.Error(), connGone) }

// What net/http says without a type that could be asked for.
const (
	saidGoodbye = "http2: Transport received Server's graceful shutdown GOAWAY"
	connGone    = "http2: client conn"
	peersReset  = "received from peer"
)

func fromPeer(e http2.StreamError) bool { return e.Cause != nil && e.Cause.Error() == peersReset }

// badAnswers are what net/http says of an answer that is not HTTP/2, in part.
var badAnswers = []string{"malformed", "connection error: ", "header list larger", "frame too large", "unexpected frame", "too many informational answers", "HTTP/1.x"}

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// withoutQuotes returns an error of net/http without the leg's own words, which
// may repeat the request.
func withoutQuotes(err error) error {
	if text := err.Error(); quoted.MatchString(text) {
		return errors.New(quoted.ReplaceAllString(text, `"..."`))
	}
	return err
}

// failure turns an error of net/http into one of the seam. dialling says that
// there was no connection.
func (c *h2Call) failure(ctx context.Context, err error, dialling bool) *sendError {
	e := &sendError{kind: parallax.Reset, err: err}
	if !dialling {
		e.err = withoutQuotes(err)
	}
	var reset http2.StreamError
	var timeout net.Error
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, os.ErrDeadlineExceeded), errors.Is(cause, context.DeadlineExceeded):
		e.kind, e.err = parallax.Timeout, os.ErrDeadlineExceeded
	case cause != nil && !errors.Is(cause, errAnswerClosed):
		e.err = cause
	case c.body.broken() != nil:
		e.kind, e.err = parallax.CallerGone, c.body.broken()
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		e.kind = parallax.Timeout
	case dialling:
		e.kind = parallax.Refused
	case errors.As(err, &reset):
		if !fromPeer(reset) {
			e.kind = parallax.BadAnswer
		}
	case slices.ContainsFunc(badAnswers, func(text string) bool { return strings.Contains(err.Error(), text) }):
		e.kind = parallax.BadAnswer
	case !c.sent.Load():
		e.kind = parallax.NotAsked
	}
	e.unsent = dialling || !c.sent.Load()
	return e
}

var (
	errAnswerClosed = errors.New("nobody reads the answer on")
	errManyInforms  = errors.New("too many informational answers")
)

// inform is an informational answer on its way.
type inform struct {
	status  int
	headers []parallax.Field
}

// trace hears of what happens to a request before its answer.
func (c *h2Call) trace(informs chan<- inform) *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		WroteHeaderField: func(string, []string) { c.sent.Store(true) },
		Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
			select { // never waits: it would hold up the whole connection
			case informs <- inform{status, fieldsOf(http.Header(header))}:
				return nil
			default:
				return errManyInforms
			}
		},
	}
}
