package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"
)

func newTransport(dial func(context.Context, string, string) (net.Conn, error), roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		DialContext: dial, ForceAttemptHTTP2: true, DisableCompression: true, TLSClientConfig: &tls.Config{RootCAs: roots},
		TLSHandshakeTimeout: dialWithin, MaxIdleConns: 256, MaxIdleConnsPerHost: 32, IdleConnTimeout: idleFor, MaxResponseHeaderBytes: maxAnswer,
	}
}

// callKey finds the call in a request's context.
type callKey struct{}

// send passes a call on.
func (p *Proxy) send(w http.ResponseWriter, r *http.Request, c *call, policy *policy) {
	if p.came(r) {
		c.drain()
		c.finish(resultLoop, http.StatusLoopDetected)
		p.problem(w, http.StatusLoopDetected, "loop", "the call came back to the proxy that it went through")
		return
	}
	if !c.shadow && policy.cfg.Answer == AnswerRecorded && c.cause != "" {
		c.keep = p.answers.begin(c.key())
	}
	if rule := policy.rule(c.method, c.to); rule != nil && rule.TLS && r.URL.Scheme == "http" {
		secure := *r.URL
		secure.Scheme = "https"
		if c.to.port == 80 {
			secure.Host = target{c.to.host, 443}.String()
		}
		r.URL = &secure
	}
	if r.Body != http.NoBody {
		r.Body = c.body
	}
	ctx, cancel := context.WithCancelCause(context.WithValue(r.Context(), callKey{}, c))
	defer cancel(nil)
	patience := time.AfterFunc(policy.cfg.Timeout, func() { cancel(errLate) })
	defer patience.Stop()
	c.body.moving = func(ended bool) {
		switch {
		case c.headed.Load():
		case ended:
			patience.Reset(policy.cfg.Timeout)
		default:
			patience.Reset(answerIdle)
		}
	}
	p.forward.ServeHTTP(&writer{ResponseWriter: w, patience: patience}, r.WithContext(ctx))
}

var errLate = errors.New("no answer in time")

// came reports whether a request went through this proxy before.
func (p *Proxy) came(r *http.Request) bool {
	for _, line := range r.Header.Values("Via") {
		if strings.Contains(line, p.name) {
			return true
		}
	}
	return false
}

// rewrite makes the request that goes on of the one that came. What the caller said of
// itself stays: it is no client of ours.
func (p *Proxy) rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.User, r.Out.URL.RawQuery = nil, r.In.URL.RawQuery
	r.Out.Host = r.Out.URL.Host
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values := r.In.Header.Values(name); len(values) > 0 {
			r.Out.Header[name] = values
		}
	}
	for _, name := range []string{"Upgrade", "Connection"} { // what is upgraded goes through a tunnel
		r.Out.Header.Del(name)
	}
	r.Out.Header.Add("Via", fmt.Sprintf("%d.%d %s", r.In.ProtoMajor, r.In.ProtoMinor, p.name))
}

// answered takes the head of an answer.
func (p *Proxy) answered(res *http.Response) error {
	c := res.Request.Context().Value(callKey{}).(*call)
	if res.StatusCode == http.StatusSwitchingProtocols {
		return errors.New("the answer changes protocols, which nobody asked for")
	}
	c.headed.Store(true)
	c.finish(resultSent, res.StatusCode)
	if c.keep != nil {
		res.Body = &recording{ReadCloser: res.Body, keep: c.keep, room: p.bytes, limit: int(p.policy.Load().cfg.MaxBody), got: answer{status: res.StatusCode, header: endToEnd(res.Header)}}
	}
	return nil
}

// unanswered answers a call that got no answer.
func (p *Proxy) unanswered(w http.ResponseWriter, r *http.Request, err error) {
	c := r.Context().Value(callKey{}).(*call)
	status, kind, outcome, text := http.StatusBadGateway, "failed", resultFailed, "there was no answer"
	switch {
	case errors.Is(err, errProtected):
		status, kind, outcome, text = http.StatusForbidden, "protected", resultProtected, "its "+errProtected.Error()+"; allow it by its address, or with local: true"
		p.tell(c, text)
	case errors.Is(err, errLoop):
		status, kind, outcome, text = http.StatusLoopDetected, "loop", resultLoop, errLoop.Error()
	case errors.Is(context.Cause(r.Context()), errLate):
		status, kind, text = http.StatusGatewayTimeout, "late", "the head of the answer did not come in time"
	}
	if c.keep != nil {
		c.keep(&answer{status: status, lost: text})
		c.keep = nil
	}
	c.drain()
	c.finish(outcome, status)
	p.problem(w, status, kind, fmt.Sprintf("%s %s: %s", c.method, c.to, text))
}

// writer is an answer on its way to the caller.
type writer struct {
	http.ResponseWriter
	patience *time.Timer // ends the call; from the head on, when nothing moves any more
}

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	if status >= 200 {
		w.patience.Reset(answerIdle)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *writer) Write(b []byte) (int, error) {
	w.patience.Reset(answerIdle)
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(silence)) // the write says what is wrong
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// endToEnd returns the headers of an answer that are not only for this connection.
func endToEnd(h http.Header) http.Header {
	out := h.Clone()
	for _, line := range h.Values("Connection") {
		for name := range strings.SplitSeq(line, ",") {
			out.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		out.Del(name)
	}
	return out
}

// recording keeps an answer for shadows while it is read.
type recording struct {
	io.ReadCloser
	keep  func(*answer)
	room  *budget
	limit int
	got   answer
	done  bool
}

// Read implements io.Reader.
func (r *recording) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	switch {
	case !r.done && len(r.got.body)+n > r.limit:
		r.end("it is longer than egress.max_body")
	case r.done:
	case !r.room.take(n):
		r.end("too many answers were under way")
	default:
		r.got.body = append(r.got.body, b[:n]...)
	}
	if err == io.EOF {
		r.end("")
	} else if err != nil {
		r.end("it broke off")
	}
	return n, err
}

// Close implements io.Closer.
func (r *recording) Close() error {
	r.end("it was not read to its end")
	return r.ReadCloser.Close()
}

// end hands the answer over, once.
func (r *recording) end(lost string) {
	if r.done {
		return
	}
	r.done = true
	got := r.got
	r.room.give(len(got.body))
	r.got.body = nil
	if got.lost = lost; lost != "" {
		got.body = nil
	}
	r.keep(&got)
}
