package mirror

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parallax"
)

// h2Call is one request on its way to a leg by HTTP/2, over as many tries as it
// takes to send it once.
type h2Call struct {
	out    *outgoing
	to     *url.URL
	cancel context.CancelCauseFunc
	late   *time.Timer // nil: no deadline

	sent atomic.Bool // the head is being written, or was
	body *upload     // of the present try; nil: there is none
}

// release ends what the call holds, when it is over.
func (c *h2Call) release() {
	if c.late != nil {
		c.late.Stop()
	}
	c.cancel(errAnswerClosed)
}

// giveUpWaiting ends a call of which nothing was sent.
func (c *h2Call) giveUpWaiting() {
	if !c.sent.Load() {
		c.cancel(os.ErrDeadlineExceeded)
	}
}

func (c *h2Call) closeBody() {
	if c.out.Body != nil {
		c.out.Body.Close()
	}
}

// try sends the request on a connection and returns with the head of the answer.
// Informational answers are passed on meanwhile.
func (c *h2Call) try(ctx context.Context, conn *http.ClientConn) (*http.Response, error) {
	informs := make(chan inform, maxInforms)
	c.sent.Store(false)
	req := c.request(httptrace.WithClientTrace(ctx, c.trace(informs)))
	if c.out.Inform == nil {
		res, err := conn.RoundTrip(req)
		return res, c.settle(err)
	}
	var res *http.Response
	var err error
	over := make(chan struct{})
	go func() {
		defer close(over)
		res, err = conn.RoundTrip(req)
	}()
	for {
		select {
		case i := <-informs:
			c.out.Inform(i.status, i.headers)
			continue
		case <-over:
		}
		for len(informs) > 0 {
			i := <-informs
			c.out.Inform(i.status, i.headers)
		}
		return res, c.settle(err)
	}
}

// settle lets go of the body after a try that got an answer; after another one
// it may be needed again.
func (c *h2Call) settle(err error) error {
	if err == nil && c.body != nil {
		c.body.letGo()
	}
	return err
}

// request is the request in the terms of net/http. The target is passed as it is.
func (c *h2Call) request(ctx context.Context) *http.Request {
	out, host := c.out, c.out.Host
	if host == "" {
		host = c.to.Host
	}
	req := (&http.Request{
		Method: out.Method, Host: host, Header: headerOf(out.Headers), ContentLength: out.Length,
		URL: &url.URL{Scheme: c.to.Scheme, Host: host, Opaque: out.Target},
	}).WithContext(ctx)
	if len(out.Target) > 1 && out.Target[:2] == "//" {
		req.URL.Opaque = "//" + host + out.Target // else its beginning would be taken for a host
	}
	if out.Continue {
		req.Header.Set("Expect", "100-continue")
	}
	c.body = nil
	if out.Body == nil {
		return req
	}
	c.body = &upload{src: out.Body}
	req.Body = c.body
	if len(out.TrailerNames) > 0 && out.Trailers != nil {
		req.Trailer = make(http.Header, len(out.TrailerNames))
		for _, name := range out.TrailerNames {
			req.Trailer[http.CanonicalHeaderKey(name)] = nil
		}
		c.body.ended = func() {
			for _, f := range out.Trailers() {
				if _, announced := req.Trailer[http.CanonicalHeaderKey(f.Name)]; announced {
					req.Trailer.Add(f.Name, f.Value)
				}
			}
		}
	}
	return req
}

// headerOf returns fields as a map, as far as they may stand in a head of HTTP/2.
func headerOf(fields []parallax.Field) http.Header {
	h := make(http.Header, len(fields)+2)
	for _, f := range fields {
		if name := http.CanonicalHeaderKey(f.Name); name == "Te" || !hopByHop(name) && name != "Content-Length" && name != "Host" && name != "Expect" {
			h[name] = append(h[name], f.Value)
		}
	}
	if len(h["User-Agent"]) == 0 {
		h["User-Agent"] = nil // so that none is made up
	}
	return h
}

// answer is what came, in the terms of the seam.
func (c *h2Call) answer(ctx context.Context, res *http.Response) *answer {
	body := res.Body
	if res.StatusCode == http.StatusNotModified || res.StatusCode == http.StatusNoContent {
		body.Close()
		body = http.NoBody // whatever length it declares
	}
	a := &answer{
		Status: res.StatusCode, Proto: "HTTP/2.0", Headers: endToEnd(fieldsOf(res.Header), 0), Length: res.ContentLength,
		TrailerNames: slices.Sorted(maps.Keys(res.Trailer)),
		Trailers:     func() []parallax.Field { return fieldsOf(res.Trailer) },
		Body:         &answerBodyH2{ReadCloser: body, call: c, ctx: ctx, none: res.ContentLength == 0 || body == http.NoBody},
	}
	if res.StatusCode == http.StatusNotModified && len(res.Header["Content-Length"]) == 0 {
		a.Length = -1 // that of what was not modified, which is not told
	}
	if len(a.TrailerNames) > 0 {
		a.Length = -1 // with a length, HTTP/1.1 has no room for trailers
	}
	return a
}

// upload is the body of a request in one try. The HTTP machinery closes it when
// a try fails; what is behind it stays open until that is the end. A leg that
// answers before it has taken the body gets no more of it; the rest is read all
// the same, as far as it comes while the call lasts, since other legs may want it.
type upload struct {
	src   io.ReadCloser
	ended func() // called at its end; may be nil

	reading sync.Mutex // held while src is read
	mu      sync.Mutex // for the rest
	read    bool       // reading has begun
	over    bool       // and has come to an end
	closed  bool       // by the machinery
	free    bool       // closing passes through
	err     error      // what reading it failed with
}

// Read implements io.Reader.
func (u *upload) Read(p []byte) (int, error) {
	u.reading.Lock()
	defer u.reading.Unlock()
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return 0, io.ErrClosedPipe
	}
	u.read = true
	u.mu.Unlock()
	n, err := u.src.Read(p)
	if err == io.EOF && u.ended != nil {
		u.ended()
	}
	if err != nil {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.over = true; err != io.EOF {
			u.err = err
		}
	}
	return n, err
}

// Close implements io.Closer.
func (u *upload) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.free && !u.closed {
		u.end()
	}
	u.closed = true
	return nil
}

// letGo has closing pass through from now on.
func (u *upload) letGo() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed && !u.free {
		u.end()
	}
	u.free = true
}

// end closes what is behind, once it is read. u.mu is held.
func (u *upload) end() {
	if u.over {
		u.src.Close()
		return
	}
	go func() { // ends with the call: then reading fails
		u.reading.Lock()
		defer u.reading.Unlock()
		_, _ = io.Copy(io.Discard, u.src) // its reader knows what came of it
		u.src.Close()
	}()
}

// touched reports whether reading has begun.
func (u *upload) touched() bool {
	if u == nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.read
}

// broken returns what reading failed with, which is the caller's doing.
func (u *upload) broken() error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// answerBodyH2 is the body of an answer. It fails with a *sendError.
type answerBodyH2 struct {
	io.ReadCloser
	call *h2Call
	ctx  context.Context
	none bool // there is nothing to read
}

// Ready reports whether the next Read surely returns without waiting for the leg.
func (b *answerBodyH2) Ready() bool { return b.none }

// Read implements io.Reader.
func (b *answerBodyH2) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		return n, nil
	}
	if err != io.EOF {
		err = b.call.failure(b.ctx, err, false)
	}
	b.call.release()
	return n, err
}

// Close implements io.Closer. A request whose answer has not come to its end is
// cut off.
func (b *answerBodyH2) Close() error {
	err := b.ReadCloser.Close()
	b.call.release()
	return err
}
