package h1

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"slices"
	"time"

	"parallax"
)

// Message is a request to send. Do does not keep it, but what it refers to is used
// until the answer is at its end; its strings and Headers are only read.
type Message struct {
	Method, Target, Host string
	// Addr is where to connect, host and port; empty: what the URL says. The URL
	// still gives the name that TLS asks for.
	Addr string
	// Headers are written in order, after Host. Those that frame the message or
	// are about the connection (Connection, Content-Length, Expect, Host,
	// Keep-Alive, Proxy-Connection, Trailer, Transfer-Encoding, Upgrade) are
	// written from the other fields here, Content-Length at its place.
	Headers []parallax.Field
	// Length is that of the body: 0 for none, -1 when only its end will tell.
	Length int64
	// Body is read once, perhaps in another goroutine and after Do has returned,
	// and then closed. It is closed in any case. Nil when Length is 0.
	Body io.ReadCloser
	// Ready says that reading Body never waits, so that a small one is sent
	// together with the head, without a goroutine.
	Ready        bool
	TrailerNames []string                // announced, where Length is -1
	Trailers     func() []parallax.Field // asked for at the end of Body; may be nil
	Upgrade      string                  // protocol to change to; "" for none
	// Continue sends Expect: 100-continue and keeps Body back until the leg sends
	// 100, or nothing for Pool.ContinueTimeout.
	Continue bool
	// Deadline is when the answer must be complete. Zero means no bound. It costs
	// less than a context with a deadline.
	Deadline time.Time
	// Inform hears of informational answers, in order, before Do returns, in the
	// goroutine that called it. It may be nil.
	Inform func(status int, headers []parallax.Field)
}

// Response is an answer whose head has been read. It is its own body: it is read
// to its end or closed, by one goroutine.
type Response struct {
	Status  int
	Proto   string           // HTTP/1.1 or HTTP/1.0
	Headers []parallax.Field // in order
	// Length is that of the body, -1 when only its end will tell. For an answer
	// to HEAD and for 304 it is the declared one, -1 if there is none.
	Length       int64
	TrailerNames []string // as announced, without those that cannot be trailers
	Tunnel       *Tunnel  // the connection, after 101; the caller closes it

	body
	conn *clientConn
	keep bool
}

// Trailers returns the trailer fields, once Read has returned io.EOF. Those that
// must not stand in a trailer are left out.
func (r *Response) Trailers() []parallax.Field { return r.trailers() }

// Read implements io.Reader. An error other than io.EOF is an *Error. The
// connection goes back to the pool at the end of the body.
func (r *Response) Read(p []byte) (int, error) { return r.body.Read(p) }

// Ready reports whether the next Read returns without waiting for the leg.
func (r *Response) Ready() bool { return r.ready() }

// maxClosing is how much of an unread body Close takes in, if it is there
// already, to be able to use the connection again.
const maxClosing = 64 << 10

// Close ends the reading of the answer. What has arrived of the rest is
// discarded; if more is to come, the connection is closed. It never waits.
func (r *Response) Close() error {
	r.mu.Lock()
	over := r.err != nil
	r.mu.Unlock()
	if over || r.discard(maxClosing, true) {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.finish(ErrClosed)
	}
	return nil
}

// release gives the connection back at the end of the body. r.mu is held.
func (r *Response) release(err error) error {
	if err != io.EOF && err != ErrClosed {
		err = failure(r.conn.host.addr, true, r.conn.reused, r.conn.why(err))
	}
	r.conn.answered(err == io.EOF && r.keep)
	return err
}

// Do sends a request and returns when the head of its answer is there. An error
// is an *Error. A request of which a byte has left is never sent again; one that
// met a connection which the leg had closed meanwhile is sent on another. When
// ctx ends before the answer is at its end, the request is cut off within two
// ticks; its Err is asked every tick, and its Done only where a connection has to
// be waited for.
func (p *Pool) Do(ctx context.Context, to *url.URL, m *Message) (*Response, error) {
	r := new(Response)
	if err := p.DoInto(ctx, to, m, r); err != nil {
		return nil, err
	}
	return r, nil
}

// DoInto is Do with the answer in r, which was zero, so that who has more to say
// about an answer allocates all of it in one piece. After a failure r is of no use.
func (p *Pool) DoInto(ctx context.Context, to *url.URL, m *Message, r *Response) error {
	if err := m.check(); err != nil {
		m.closeBody()
		return failure(to.Host, false, false, err)
	}
	out, err := m.compose()
	if err != nil {
		m.closeBody()
		return failure(cmp.Or(m.Addr, to.Host), false, false, err)
	}
	for fresh := false; ; {
		c, err := p.connect(ctx, to, m, fresh)
		if err != nil {
			out.free()
			m.closeBody()
			return failure(cmp.Or(m.Addr, to.Host), false, false, err)
		}
		c.out = out
		call := call{conn: c, response: r}
		if err = call.run(ctx, m); err == nil {
			return nil
		}
		out, c.out = c.out, outbox{}
		switch unsent := c.reused && !call.sent && ctx.Err() == nil; {
		case unsent && call.stale: // try the next one
		case unsent && !fresh:
			fresh = true
		default:
			out.free()
			call.closeBody(m)
			return failure(c.host.addr, call.sent, c.reused, err)
		}
	}
}

// connect returns a connection to use.
func (p *Pool) connect(ctx context.Context, to *url.URL, m *Message, fresh bool) (*clientConn, error) {
	for {
		h, err := p.host(to, m.Addr)
		if err != nil {
			return nil, err
		}
		if c, err := h.get(ctx, m.Deadline, fresh, m.together()); err != errRetired {
			return c, err
		}
	}
}

// together reports whether the whole request is sent in one piece.
func (m *Message) together() bool {
	return m.Length == 0 || m.Ready && !m.Continue && m.Length > 0 && m.Length <= inline
}

// compose writes down what is sent in one piece: the head, with the body if it
// goes together with it.
func (m *Message) compose() (out outbox, err error) {
	out.open()
	out.buf = m.appendHead(out.buf)
	if m.Length <= 0 || !m.together() {
		return out, nil
	}
	at := len(out.buf)
	out.buf = slices.Grow(out.buf, int(m.Length))[:at+int(m.Length)]
	if n, err := io.ReadFull(m.Body, out.buf[at:]); int64(n) < m.Length {
		out.free()
		return out, &ownError{parallax.CallerGone, broken(err)}
	}
	return out, nil
}

// check refuses what cannot be written without being taken for something else.
func (m *Message) check() error {
	good := all(m.Method, inToken) && m.Method != "CONNECT" && all(m.Target, inTarget) && goodHost(m.Host)
	for i := range m.Headers {
		good = good && goodField(m.Headers[i])
	}
	if !good || m.Upgrade != "" && !all(m.Upgrade, inValue) {
		return &ownError{parallax.NotAsked, errUnwritable}
	}
	return nil
}

var errUnwritable = errors.New("request cannot be written: method, target, host or a header holds what must not stand there")

func (m *Message) closeBody() {
	if m.Body != nil {
		m.Body.Close()
	}
}

// appendHead writes the head of a request.
func (m *Message) appendHead(b []byte) []byte {
	b = append(b, m.Method...)
	b = append(b, ' ')
	b = append(b, m.Target...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = appendField(b, "Host", m.Host)
	announced := m.Length < 0
	for _, f := range m.Headers {
		switch kindOf(f.Name) {
		case ofLength:
			if !announced && (m.Length > 0 || needsLength(m.Method) || trim(f.Value) == "0") { // a caller's 0 stays
				b, announced = appendLength(b, f.Name, m.Length), true
			}
			continue
		case ofHop, ofHost, ofUpgrade, ofExpect:
			continue
		}
		b = appendField(b, f.Name, f.Value)
	}
	if !announced && (m.Length > 0 || needsLength(m.Method)) {
		b = appendLength(b, "Content-Length", m.Length)
	}
	if m.Length < 0 {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		b = appendTrailerNames(b, m.TrailerNames)
	}
	if m.Continue && m.Length != 0 {
		b = append(b, "Expect: 100-continue\r\n"...)
	}
	if m.Upgrade != "" {
		b = append(b, "Connection: Upgrade\r\n"...)
		b = appendField(b, "Upgrade", m.Upgrade)
	}
	return append(b, "\r\n"...)
}

// needsLength reports whether a request without a body says so, because its
// method usually comes with one (RFC 9110 section 8.6).
func needsLength(method string) bool {
	return method == "POST" || method == "PUT" || method == "PATCH"
}

// call is one request on one connection. Its message goes beside it, from hand to
// hand: a pointer in here would have every message on the heap (BenchmarkMirrored).
type call struct {
	conn     *clientConn
	response *Response
	sent     bool // a byte has left
	stale    bool // the connection was not one any more
	owned    bool // somebody else closes the body, or has done so
	upload   *upload
	turn     uint64
}

func (k *call) closeBody(m *Message) {
	if !k.owned {
		m.closeBody()
	}
}

// inline is the longest body that is sent with the head: what the kernel takes
// at once, so that sending it cannot keep us from seeing an early answer.
const inline = 32 << 10

// run sends the request and reads the head of the answer.
func (k *call) run(ctx context.Context, m *Message) error {
	c := k.conn
	together := m.together()
	parts := int32(2)
	if together {
		parts = 1
	}
	k.turn = c.start(ctx, parts)
	var err error
	if together && c.raw != nil {
		err = k.converse(m)
	} else {
		err = k.send(m, together)
	}
	if err != nil {
		if parts == 2 {
			c.parts.Add(-1) // the upload that was not started
		}
		err = c.why(err)
		c.answered(false)
		return err
	}
	if !together {
		k.owned = true
		k.upload = &upload{conn: c, message: *m, turn: k.turn, proceed: make(chan struct{})}
		if !m.Continue {
			k.upload.goOn()
		}
		go k.upload.run()
	}
	if err := k.receive(m); err != nil {
		k.upload.forgo()
		err = c.why(err)
		c.answered(false)
		return err
	}
	return nil
}

// send writes what was composed. The wait for the answer is limited from its end.
func (k *call) send(m *Message, whole bool) error {
	c := k.conn
	c.readDue.set(c.deadline(m.Deadline, 0))
	c.writeDue.set(c.deadline(m.Deadline, c.host.pool.WriteTimeout))
	n, err := c.conn.Write(c.out.buf)
	c.writeDue.set(0)
	k.sent = k.sent || n > 0 || err == nil
	if err != nil {
		return err
	}
	c.out.free()
	if whole {
		k.whole(m)
		c.expect(m.Deadline)
	}
	return nil
}

// whole notes that all of the request has left.
func (k *call) whole(m *Message) {
	m.closeBody()
	k.owned = true
}

// maxInforms bounds the informational answers before one answer.
const maxInforms = 32

// receive reads heads up to that of the answer.
func (k *call) receive(m *Message) error {
	c := k.conn
	for range maxInforms {
		text, err := c.readHead(c.host.pool.MaxHead, "HTTP/1.")
		if err != nil {
			return err
		}
		h, err := parseResponse(text, c.host.pool.MaxFields)
		if err != nil {
			return err
		}
		if h.status >= 200 || h.status == 101 {
			return k.answer(m, &h)
		}
		if h.status == 100 && k.upload != nil {
			k.upload.goOn()
		}
		if m.Inform != nil {
			m.Inform(h.status, h.fields)
		}
	}
	return errManyInforms
}

// answer sets up what the caller gets.
func (k *call) answer(m *Message, h *statusHead) error {
	c, r := k.conn, k.response
	r.Status, r.Proto, r.Headers, r.Length, r.conn = h.status, "HTTP/1.1", h.fields, h.length, c
	if h.old {
		r.Proto = "HTTP/1.0"
	}
	if h.status == 101 {
		return k.change(m, h)
	}
	k.upload.forgo()
	if !c.hear(m.Deadline) {
		return os.ErrDeadlineExceeded
	}
	r.keep = !h.close && (!h.old || h.keepAlive)
	r.body.link, r.body.fields, r.body.left = &c.link, c.host.pool.MaxFields, h.length
	switch {
	case bodyless(m.Method, h.status):
		if h.status == 204 {
			r.Length = 0
		}
		r.body.left = 0
	case h.chunked:
		r.how, r.left, r.TrailerNames = byChunks, -1, h.trailers
	case h.length < 0:
		r.how, r.keep = byClose, false
	}
	if r.how == byLength && r.left == 0 {
		r.err = io.EOF
		c.answered(r.keep)
		return nil
	}
	r.body.answer = r
	return nil
}

// change hands over the connection after 101.
func (k *call) change(m *Message, h *statusHead) error {
	c, r := k.conn, k.response
	if m.Upgrade == "" || !h.upgrade || h.protocol == "" || k.upload != nil {
		return errSwitched
	}
	c.over()
	if !c.until(0) || c.spoiled.Load() {
		return ErrClosed
	}
	r.Length, r.err = 0, io.EOF
	r.Tunnel = newTunnel(&c.link)
	r.Tunnel.after = c.close
	return nil
}
