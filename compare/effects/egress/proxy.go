package egress

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"parallax"
	"parallax/compare/effects"
)

// Bounds that need no configuration.
const (
	maxHead      = 64 << 10 // bytes of a request's head
	maxAnswer    = 256 << 10
	headWithin   = 10 * time.Second
	idleFor      = 90 * time.Second // of a connection without a request
	maxConns     = 8192
	maxLive      = 4096             // calls and tunnels of the live leg at a time
	tunnelIdle   = 10 * time.Minute // of a tunnel in which nothing moves
	answerIdle   = 10 * time.Minute // of an answer's body in which nothing comes
	leaveWithin  = 10 * time.Second // for calls when the proxy is to end
	tunnelLeaves = time.Second      // for tunnels in which nothing moves then
	maxTold      = 256              // hosts that the log names as refused
)

// Deps are what a proxy is given. All but Roots and Lookup must be there.
type Deps struct {
	Mark    func(baggage []string) (Mark, bool) // reads a genuine role mark out of the lines of baggage
	Now     func() time.Time
	Log     *slog.Logger
	Metrics *Metrics
	Shared  time.Duration                                                // how long from now on another process may take calls of the same service; nobody here knows those
	Roots   *x509.CertPool                                               // what certificates are checked by; nil: those of the system
	Lookup  func(ctx context.Context, host string) ([]netip.Addr, error) // nil: the system's resolver
}

// Proxy is the forward proxy of one service.
type Proxy struct {
	service string
	deps    Deps
	policy  atomic.Pointer[policy]
	name    string // in Via
	logs    [parallax.Legs]*log
	answers *answers

	dialer    net.Dialer
	transport *http.Transport
	forward   *httputil.ReverseProxy
	server    *http.Server
	conns     atomic.Int64
	retired   atomic.Bool
	bytes     *budget         // of calls that are open
	room      [2]atomic.Int64 // calls that are open, of the live leg and of shadows
	failed    chan error      // of a listener; has room for one

	mu       sync.Mutex
	listener net.Listener
	tunnels  map[*tunnel]struct{} // at most maxLive and in_flight
	leaving  bool
	told     map[string]struct{} // at most maxTold
	accepts  sync.WaitGroup
	open     sync.WaitGroup // tunnels
}

// New returns the proxy of a service. Nothing runs before [Proxy.Serve].
func New(service string, cfg Config, deps Deps) (*Proxy, []parallax.Fault) {
	if faults := cfg.Validate(); len(faults) > 0 {
		return nil, faults
	}
	if deps.Lookup == nil {
		deps.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	p := &Proxy{
		service: service, deps: deps, name: "parallax-egress-" + rand.Text(), answers: newAnswers(deps.Now), bytes: newBudget(maxUnderWay), failed: make(chan error, 1),
		tunnels: map[*tunnel]struct{}{}, told: map[string]struct{}{},
	}
	p.policy.Store(newPolicy(cfg))
	for leg := range p.logs {
		p.logs[leg] = newLog(parallax.Leg(leg), fmt.Sprintf("%s-%s", p.name, parallax.Leg(leg)), deps.Now, deps.Now().Add(deps.Shared))
	}
	p.transport = newTransport(p.dial, deps.Roots)
	p.forward = &httputil.ReverseProxy{
		Rewrite: p.rewrite, Transport: p.transport, FlushInterval: -1, ModifyResponse: p.answered, ErrorHandler: p.unanswered,
		ErrorLog: stdlog.New(io.Discard, "", 0), // it tells of callers that leave
	}
	p.server = &http.Server{
		Handler: p, ReadHeaderTimeout: headWithin, IdleTimeout: idleFor, MaxHeaderBytes: maxHead, ConnState: p.count,
		ErrorLog: stdlog.New(io.Discard, "", 0),
	}
	return p, nil
}

// Set puts a configuration in force. Tunnels that it does not allow are closed; calls go
// on to their end. The address is for [Proxy.Move].
func (p *Proxy) Set(cfg Config) []parallax.Fault {
	if faults := cfg.Validate(); len(faults) > 0 {
		return faults
	}
	next := newPolicy(cfg)
	p.policy.Store(next)
	p.transport.CloseIdleConnections()
	p.mu.Lock()
	defer p.mu.Unlock()
	for t := range p.tunnels {
		if _, ok := next.allows(t.shadow, http.MethodConnect, t.to); !ok {
			t.cut()
		}
	}
	return nil
}

// Reader returns the calls of a leg as a log for the joiner.
func (p *Proxy) Reader(leg parallax.Leg) effects.Reader { return p.logs[leg] }

// Serve takes calls from a listener, nil for none yet, until ctx ends. Then calls may
// finish for 10 s, and tunnels as long as something moves in them; what is left is cut.
// It may be called once.
func (p *Proxy) Serve(ctx context.Context, l net.Listener) error {
	p.accept(l)
	var err error
	select {
	case <-ctx.Done():
	case err = <-p.failed:
	}
	return errors.Join(err, p.leave())
}

// accept takes calls from a listener beside the others.
func (p *Proxy) accept(l net.Listener) {
	p.mu.Lock()
	p.listener = l
	p.mu.Unlock()
	if l == nil {
		return
	}
	p.accepts.Go(func() {
		err := p.server.Serve(l)
		p.mu.Lock()
		moved := p.listener != l
		p.mu.Unlock()
		if moved || errors.Is(err, http.ErrServerClosed) {
			return
		}
		select {
		case p.failed <- fmt.Errorf("cannot take calls of service %q: %w", p.service, err):
		default:
		}
	})
}

// Move takes calls from another listener, nil for none, and closes the one before.
// Connections stay.
func (p *Proxy) Move(l net.Listener) error {
	p.mu.Lock()
	before := p.listener
	p.mu.Unlock()
	p.accept(l)
	if before == nil {
		return nil
	}
	return before.Close()
}

// Retire leaves further calls to another process that has the same listener: connections
// end with their next call, and none is closed under a call that is just being made. What
// calls there are from now on is not all in the logs, and the joiner is told so.
func (p *Proxy) Retire() error {
	for _, l := range p.logs {
		l.retire()
	}
	p.retired.Store(true)
	return p.Move(nil)
}

// leave ends the proxy.
func (p *Proxy) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
	defer cancel()
	p.mu.Lock()
	p.leaving = true
	for t := range p.tunnels {
		t.hurry(tunnelLeaves)
	}
	p.mu.Unlock()
	defer context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for t := range p.tunnels {
			t.cut()
		}
	})()
	err := p.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = p.server.Close()
	}
	p.open.Wait()
	p.accepts.Wait()
	p.transport.CloseIdleConnections()
	return err
}

// count counts connections, and closes what comes past the bound.
func (p *Proxy) count(conn net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		if p.conns.Add(1) > maxConns {
			conn.Close()
		}
	case http.StateClosed, http.StateHijacked:
		p.conns.Add(-1)
	}
}

// call is one request on its way.
type call struct {
	who
	p           *Proxy
	to          target
	method      string
	url         *url.URL
	contentType string
	table       string
	answered    bool // its status can be compared
	body        *capture
	keep        func(*answer) // where the answer goes for shadows; nil: nowhere
	headed      atomic.Bool   // the head of the answer was there
	once        sync.Once
}

// finish counts the call, and puts it into the leg's log. What comes after the first
// time is no news.
func (c *call) finish(r result, status int) {
	c.once.Do(func() {
		c.p.deps.Metrics.call(c.p.service, c.who, r)
		whole := c.method == http.MethodConnect || c.body.seen().whole
		if !c.p.logs[c.leg].add(c.tag, c.effect(status), !whole) {
			c.p.deps.Metrics.drop(c.p.service, c.leg)
		}
	})
}

// drain reads the body of a call that goes nowhere.
func (c *call) drain() {
	if c.method != http.MethodConnect { // behind that there is no body, but what the tunnel is for
		c.body.drain()
	}
}

// key is what a shadow's call and the live leg's have in common.
func (c *call) key() string {
	return c.cause + " " + c.method + " " + c.to.String() + c.url.RequestURI()
}

// ServeHTTP takes a call.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // that of the request before
	policy := p.policy.Load()
	c, ok := p.begin(policy, w, r)
	if !ok {
		return
	}
	if c.shadow && p.conns.Load() > maxConns/2 || p.retired.Load() {
		w.Header().Set("Connection", "close") // shadows do not take the live leg's room
	}
	leave, ok := p.enter(policy, c)
	if !ok {
		c.finish(resultBusy, 0)
		p.problem(w, http.StatusServiceUnavailable, "busy", "too many calls are open; egress.in_flight bounds those of shadows")
		return
	}
	defer leave()
	defer c.body.end()
	defer c.finish(resultFailed, 0)
	why, ok := policy.allows(c.shadow, c.method, c.to)
	recorded := c.shadow && policy.cfg.Answer == AnswerRecorded && c.method != http.MethodConnect
	if recorded && c.cause == "" {
		why += ", and nobody knows for which exchange it is"
	}
	switch {
	case !ok && recorded && c.cause != "":
		p.replay(w, r, c, policy.cfg.Wait)
	case !ok:
		p.refuse(w, c, why)
	case c.method == http.MethodConnect:
		p.tunnel(w, r, c)
	default:
		p.send(w, r, c, policy)
	}
}

// begin reads who calls whom; otherwise it has answered.
func (p *Proxy) begin(policy *policy, w http.ResponseWriter, r *http.Request) (*call, bool) {
	stranger := func(status int, why, text string) (*call, bool) {
		p.deps.Metrics.strangers.WithLabelValues(p.service, why).Inc()
		w.Header().Set("Connection", "close")
		p.problem(w, status, why, text)
		return nil, false
	}
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err != nil || !policy.welcome(from.Addr()) {
		return stranger(http.StatusForbidden, "elsewhere", "this address may not use the proxy; egress.from says who may")
	}
	caller, ok := p.identify(r)
	if !ok {
		w.Header().Set("Proxy-Authenticate", `Basic realm="name of the leg"`)
		return stranger(http.StatusProxyAuthRequired, "no_leg", "name the leg as the user of the proxy: http://candidate@HOST:PORT")
	}
	to, err := parseTarget(r)
	if err != nil {
		return stranger(http.StatusBadRequest, "unreadable", err.Error())
	}
	c := &call{
		who: caller, p: p, to: to, method: r.Method, url: r.URL, contentType: r.Header.Get("Content-Type"),
		table: policy.table(r.Method, to), answered: policy.answered(r.Method, to), body: newCapture(w, r, int64(policy.cfg.MaxBody), p.bytes),
	}
	return c, true
}

// enter takes a place among the calls of the role.
func (p *Proxy) enter(policy *policy, c *call) (leave func(), ok bool) {
	room, limit := &p.room[0], int64(maxLive)
	if c.shadow {
		room, limit = &p.room[1], int64(policy.cfg.InFlight)
	}
	gauge := p.deps.Metrics.inFlight.WithLabelValues(p.service, c.role())
	leave = func() { room.Add(-1); gauge.Dec() }
	gauge.Inc()
	if room.Add(1) > limit {
		leave()
		return nil, false
	}
	return leave, true
}

// refuse answers a call that is not allowed.
func (p *Proxy) refuse(w http.ResponseWriter, c *call, why string) {
	c.drain()
	c.finish(resultRefused, 0)
	p.tell(c, why)
	p.problem(w, http.StatusForbidden, "refused", fmt.Sprintf("%s %s is not let out: %s", c.method, c.to, why))
}

// tell logs the first refusal of each host.
func (p *Proxy) tell(c *call, why string) {
	at := c.leg.String() + " " + c.to.String()
	p.mu.Lock()
	_, known := p.told[at]
	if full := len(p.told) >= maxTold; known || full {
		p.mu.Unlock()
		return
	}
	p.told[at] = struct{}{}
	p.mu.Unlock()
	p.deps.Log.Warn("a call was not let out", "service", p.service, "leg", c.leg.String(), "role", c.role(), "method", c.method, "to", c.to.String(), "why", why)
}

// replay answers a shadow as the live leg was answered.
func (p *Proxy) replay(w http.ResponseWriter, r *http.Request, c *call, within time.Duration) {
	c.drain()
	ctx, cancel := context.WithTimeout(r.Context(), within)
	defer cancel()
	got := p.answers.wait(ctx, c.leg, c.key())
	switch {
	case got == nil:
		c.finish(resultUnanswered, http.StatusGatewayTimeout)
		p.problem(w, http.StatusGatewayTimeout, "unanswered", fmt.Sprintf("the live leg made no such call to %s for this exchange within %s", c.to, within))
		return
	case got.lost != "":
		c.finish(resultUnanswered, got.status)
		p.problem(w, http.StatusBadGateway, "unanswered", "the live leg's answer cannot be given again: "+got.lost)
		return
	}
	c.finish(resultRecorded, got.status)
	for name, values := range got.header {
		w.Header()[name] = values
	}
	w.WriteHeader(got.status)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(silence))
	_, _ = w.Write(got.body) // a caller that is gone needs no answer
}

// problem answers in the proxy's own name (RFC 9457).
func (p *Proxy) problem(w http.ResponseWriter, status int, kind, detail string) {
	text, _ := json.Marshal(map[string]any{ // texts and numbers always encode
		"type": "urn:parallax:problem:egress-" + kind, "title": http.StatusText(status), "status": status, "detail": "Parallax: " + detail,
	})
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(silence))
	_, _ = w.Write(append(text, '\n')) // a caller that is gone needs no answer
}
