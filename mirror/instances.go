package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"parallax"
	"parallax/mirror/upstream"
)

// newPool returns the instances of a leg.
func newPool(l *leg, c LegConfig, deps Deps, log *slog.Logger) (*upstream.Set, error) {
	targets, err := newTargets(c, deps)
	if err != nil {
		return nil, err
	}
	cfg := upstream.Config{
		Targets: targets, Policy: c.Balance, Eject: c.Eject, Health: c.Health, Log: log,
		Gone: func(i *upstream.Instance) {
			for _, s := range l.senders {
				s.Forget(i.URL(), i.Addr())
			}
			l.prober.Forget(i.URL(), i.Addr())
		},
	}
	if c.Health.Path != "" {
		cfg.Check = func(ctx context.Context, i *upstream.Instance) error { return l.check(ctx, i, c.Health) }
	}
	return upstream.New(cfg), nil
}

// newTargets turns the addresses of a leg into where its instances are found.
func newTargets(c LegConfig, deps Deps) ([]upstream.Target, error) {
	resolver := deps.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	targets := make([]upstream.Target, len(c.URLs))
	for n, text := range c.URLs {
		how, u, err := parseAddress(text.URL)
		if err != nil {
			return nil, err
		}
		t := upstream.Target{URL: u, Weight: text.Weight}
		switch {
		case how == byService:
			t.Find = upstream.Services(resolver, u.Hostname(), c.Resolve)
		case how == byCatalog && deps.Catalog == nil:
			return nil, fmt.Errorf("cannot look up %q: there is no Consul client", u.Hostname())
		case how == byCatalog:
			t.Find = upstream.Catalogued(deps.Catalog, c.Consul, u.Hostname())
		case !isLiteral(u.Hostname()):
			t.Find, t.StandIn = upstream.Names(resolver, u.Hostname(), portOf(u), text.Weight, c.Resolve), true
		}
		targets[n] = t
	}
	return targets, nil
}

// check asks an instance how it is, on a connection of its own.
func (l *leg) check(ctx context.Context, i *upstream.Instance, h upstream.Health) error {
	out := &outgoing{
		Method: "GET", Target: h.Path, Host: i.URL().Host, Addr: i.Addr(),
		Headers: []parallax.Field{{Name: "User-Agent", Value: "Parallax health check"}, {Name: "Accept", Value: "*/*"}},
	}
	out.Deadline, _ = ctx.Deadline()
	a, err := l.prober.Send(ctx, i.URL(), out)
	if err != nil {
		return errors.New(callErr(err).Text)
	}
	if a.Body != nil {
		a.Body.Close()
	}
	if !h.Good(a.Status) {
		return fmt.Errorf("GET %s is answered %d", h.Path, a.Status)
	}
	return nil
}

// errNoInstance is the failure of a leg of which no instance is known.
var errNoInstance = &sendError{kind: parallax.Refused, err: errors.New("no instance of the leg is known")}

// Bounds of the tries of one request.
const (
	maxTries = 4 // instances it is tried on
	maxAsked = 2 // that may have seen something of it, besides the last one
)

// askInstances sends a request to an instance of a leg, and to others in its
// place as long as that asks nobody twice: when the connection could not be made,
// or broke before an answer to a safe request. Every try is counted. The instance
// is to be told how it ended; it is nil when there is none.
func (f *flight) askInstances(ctx context.Context, l *leg, r role, c *parallax.Call, request *outgoing) (*answer, *upstream.Instance, error) {
	caught := f.net != nil && l == f.live
	held := holdBody(request, l.pool.Size() > 1 || caught)
	if caught {
		f.net.hold(held)
	} else {
		defer held.letGo()
	}
	key := l.hashBy.of(f.in)
	at := l.pool.Pick(key, nil)
	if at == nil {
		if request.Body != nil {
			request.Body.Close()
		}
		return nil, nil, errNoInstance
	}
	asked := 0 // tries of which the leg may have seen something
	for try := 1; ; try++ {
		request.Addr = at.Addr()
		a, err := l.senders[live].Send(ctx, at.URL(), request)
		if err == nil || ctx.Err() != nil || r != live || try == maxTries {
			return a, at, err
		}
		next := f.nextInstance(l, key, at, held, err, &asked)
		if next == nil {
			return nil, at, err
		}
		f.tryAgain(l, r, c, err)
		at.Done(outcomeOf(callErr(err).Kind))
		at = next
	}
}

// nextInstance returns where a request is tried once more, nil when it is not.
// Nothing of it has left: on another instance. It was sent, is safe and has no
// body, and the connection broke before an answer: on another instance too, up to
// twice, so that two that die in the same moment cost no caller an answer, and a
// request that breaks whoever it is sent to breaks three at most. For want of
// another one: once, on a new connection in place of one that had served others;
// legs close idle connections as they like, and a caller should not pay for that.
// What looks like an act is not sent twice, whatever its method.
func (f *flight) nextInstance(l *leg, key uint64, at *upstream.Instance, held *heldBody, err error, asked *int) *upstream.Instance {
	e, ok := errors.AsType[*sendError](err)
	switch {
	case !ok || !legFailed(e.kind):
		return nil
	case e.unsent && held.again():
		next := l.pool.Pick(key, at)
		if next == nil {
			held.stay()
		}
		return next
	case e.kind != parallax.Reset || !f.endpoint.safe || f.body != nil || f.upgrade != "" || *asked >= max(1, min(maxAsked, l.pool.Size()-1)):
		return nil
	case f.endpoint.act.of(f.in.Target) != "":
		return nil
	}
	*asked++
	next := l.pool.Pick(key, at)
	if next == nil && e.reused && *asked == 1 {
		next = l.pool.Pick(key, nil)
	}
	return next
}

// outcomeOf is what the end of a call says about the instance.
func outcomeOf(kind parallax.ErrKind) upstream.Outcome {
	switch {
	case kind == parallax.NoError:
		return upstream.Answered
	case legFailed(kind):
		return upstream.Failed
	}
	return upstream.Neutral
}

// done tells an instance, if there was one, how a call to it ended.
func done(at *upstream.Instance, c *parallax.Call) {
	if at != nil {
		at.Done(outcomeOf(c.Err.Kind))
	}
}

// shadowOutcome is what the end of a shadow call says about the instance: nothing
// when a shutdown gave it up.
func (f *flight) shadowOutcome(c *parallax.Call, err error) upstream.Outcome {
	switch {
	case err == nil, streamCut(c, callErr(err).Kind):
		return upstream.Answered
	case f.m.shadows.Err() != nil:
		return upstream.Neutral
	}
	return outcomeOf(callErr(err).Kind)
}

// keptBody bounds what is kept of a live request's body for another try, in bytes:
// as much as goes out together with a head. Of a body that goes out after its head
// nothing is kept: once it is read, something of the request has left.
const keptBody = 32 << 10

// heldBody is a request's body that can be sent once more as long as little of it
// was read: that is kept, and closing is put off. Nil stands for no body. It is
// read by one try at a time.
type heldBody struct {
	body io.ReadCloser

	mu      sync.Mutex
	most    int    // how much is kept
	kept    []byte // what was read, while it can be read again
	at      int    // how much of that the present try has read
	end     error  // what reading ended with, behind kept
	gone    bool   // more was read than is kept
	free    bool   // there will be no other try
	pending bool   // to be closed when it is let go

	left chan struct{} // closed when it is pending; nil: nobody asks
}

// holdBody puts a held body in place of a request's own, if it may be tried again.
func holdBody(request *outgoing, again bool) *heldBody {
	if request.Body == nil {
		return nil
	}
	h := &heldBody{body: request.Body, gone: !again}
	if again {
		request.Body = h
	}
	if request.Ready {
		h.most = keptBody
	}
	return h
}

// Read implements io.Reader.
func (h *heldBody) Read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at < len(h.kept) {
		n := copy(p, h.kept[h.at:])
		h.at += n
		return n, nil
	}
	if h.end != nil {
		return 0, h.end
	}
	h.mu.Unlock()
	n, err := h.body.Read(p)
	h.mu.Lock()
	h.keep(p[:n])
	h.end = err
	return n, err
}

// keep keeps what was read. h.mu is held.
func (h *heldBody) keep(p []byte) {
	switch {
	case h.gone || h.free:
	case len(h.kept)+len(p) > h.most:
		h.gone, h.kept, h.at = true, nil, 0
	default:
		h.kept = append(h.kept, p...)
		h.at = len(h.kept)
	}
}

// Close implements io.Closer.
func (h *heldBody) Close() error {
	h.mu.Lock()
	if h.left != nil && !h.pending {
		close(h.left)
	}
	h.pending = true
	now := h.gone || h.free
	h.mu.Unlock()
	if now {
		return h.body.Close()
	}
	return nil
}

// again makes the body ready to be sent as if for the first time, and reports
// whether that can be.
func (h *heldBody) again() bool {
	if h == nil {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone {
		return false
	}
	if h.left != nil && h.pending {
		h.left = make(chan struct{})
	}
	h.at, h.pending = 0, false
	return true
}

// stay takes again back: there is no further try.
func (h *heldBody) stay() {
	if h != nil {
		_ = h.Close() // it only takes note
	}
}

// letGo says that there will be no other try.
func (h *heldBody) letGo() {
	if h == nil {
		return
	}
	h.mu.Lock()
	now := h.pending && !h.gone && !h.free
	h.free = true
	h.mu.Unlock()
	if now {
		_ = h.body.Close() // it only takes note
	}
}

// InstanceStatus is what is known of one instance of a leg.
type InstanceStatus struct {
	Name     string // its URL and, if that was looked up, the address
	Up       bool
	Reason   string // why it is not up
	InFlight int    // requests under way, live and shadow
}

// instances returns how the instances of the leg are doing.
func (l *leg) instances() []InstanceStatus {
	var out []InstanceStatus
	for _, s := range l.pool.Status() {
		out = append(out, InstanceStatus(s))
	}
	return out
}

// startWithin bounds how long a mirror waits for the instances of its legs to be
// found before it serves callers.
const startWithin = 3 * time.Second

// start begins to look for the legs' instances and to check their health. It
// returns when they were looked for once, or soon.
func (s *service) start(ctx context.Context) {
	ctx, end := context.WithTimeout(ctx, startWithin)
	defer end()
	var all sync.WaitGroup
	for _, l := range s.legs {
		if l != nil {
			all.Go(func() { l.pool.Start(ctx) })
		}
	}
	all.Wait()
}
