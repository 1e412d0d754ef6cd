package mirror

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parallax"
	"parallax/internal/ids"
	"parallax/mirror/split"
	"parallax/mirror/spool"
	"parallax/mirror/upstream"
)

// Queue takes exchanges towards the workers.
type Queue interface {
	// Offer reports whether the exchange was taken. It never blocks; false means
	// that there was no room. Nobody changes the exchange afterwards.
	Offer(*parallax.Exchange) bool
}

// Ledger counts where exchanges are. Its methods are called on the live path,
// so they do not block; they may be called from many goroutines.
type Ledger interface {
	// Enter counts an exchange as received and puts it into [parallax.InLive].
	Enter(parallax.Stamp)
	// Move takes an exchange from one place to another.
	Move(s parallax.Stamp, from, to parallax.Place)
	// Refine takes an exchange that is at a place in flight from one endpoint to
	// another, as if it had been received there. The stamps differ in nothing else.
	Refine(from, to parallax.Stamp, at parallax.Place)
}

// Keys are the secrets the mirror works with.
type Keys struct {
	User  []byte // HMAC key for users' names in exchanges
	Fleet []byte // HMAC key for role marks; the same in every Parallax of a fleet
}

// Deps is what a mirror is built on.
type Deps struct {
	Queue   Queue
	Ledger  Ledger
	Now     func() time.Time
	NewID   func() parallax.ID
	Keys    Keys
	Metrics *Metrics     // nil: counted, but not registered
	Log     *slog.Logger // nil: no log
	Budget  *Budget      // shared by all mirrors of a process; nil: DefaultBudget for this one
	Learned []string     // endpoints that were learned before, as [Mirror.Learned] names them; may be nil

	Resolver upstream.Resolver // looks up the names of legs; nil: the system's
	Catalog  upstream.Catalog  // for legs at consul+http://; nil: there are none

	// IDs returns where the pairs of a service's identifiers are kept. dropped is to
	// hear of what is not, with one of ids.DropReasons. nil: in this process, within
	// ids.DefaultLimits.
	IDs    func(service string, dropped func(reason string)) ids.Map
	Spools *Spools                  // where the writes are kept that legs with databases of their own have missed; nil: nowhere, they are only counted
	Lived  func(*parallax.Exchange) // is told of what the candidate answered as the live leg and nobody compares, with its call without bodies, and of what the primary did on endpoints without pairs that callers met the candidate on; must not block; may be nil
	IDsLag time.Duration            // how long what other mirrors learned takes to be there; a value that is not known is looked up again after it
}

// Mirror stands in front of one service.
type Mirror struct {
	deps        Deps
	name        string
	current     atomic.Pointer[service] // what a reload swaps
	pool        bufferPool
	oversize    allowance     // for what is read of shadow answers past max_body
	lanes       *lanes        // a reload keeps them
	handover    handover      // likewise
	strangers   atomic.Uint64 // values that the candidate made up as the live leg, and the primary did not
	crew        crew          // asks shadow legs
	askingAgain atomic.Int64  // exchanges that diverged and are being asked again
	ids         ids.Map       // what legs call the same thing; a reload keeps it
	learners    learners      // answers that may make up identifiers
	differing   differing     // guesses about identifiers that turned out wrong
	fleet       *macs         // with Keys.Fleet
	users       *macs         // with Keys.User
	pauses      pauses
	trips       tripwires
	copies      copies
	spools      [parallax.Legs]atomic.Pointer[spool.Spool] // what legs have missed; nil: it is not kept
	catching    catching
	parted      parted                 // whose state is another although every leg answered
	window      atomic.Pointer[window] // what the watchdog measures; nil: nothing

	swapping sync.Mutex        // one change of current at a time
	over     atomic.Bool       // the last one was let go of
	moves    chan net.Listener // where a running Serve is to go on
	leaving  sync.WaitGroup    // listeners that were left and still have connections, and the watchdog

	serving   tally           // requests and upgraded connections of callers
	shadowing tally           // exchanges whose shadow legs are under way, or that are being settled
	stopping  context.Context // ends when a shutdown begins
	stop      context.CancelFunc
	lives     context.Context // ends when callers' requests are given up
	cutOff    context.CancelFunc
	shadows   context.Context // ends when shadow requests are given up
	giveUp    context.CancelFunc
}

// service is the configuration of a mirror at work: router, rules and legs. It
// is one immutable value, but for the endpoints its router learns.
type service struct {
	name     string
	cfg      Service
	options  Options
	changes  changes
	mask     *mask // what the candidate does not see; nil: nothing is kept from it
	split    *split.Splitter
	order    split.Key // whose requests are kept in order
	ids      *ids.Set  // what legs make up by themselves
	router   *router
	legs     [parallax.Legs]*leg // nil: not configured
	anywhere bool                // a leg besides the primary is configured
	pace     *pacer              // nil: no mirror.max_rps
	again    bucket              // of mirror.ask_again
	since    time.Time           // when it was put in force; zero for the first
	told     atomic.Int32        // suspicious endpoints that the log has
	sights   *sights             // shared with those before and after it
	audience *audience           // likewise
	users    atomic.Int64        // flights, and one more until it is replaced
	tls      *credentials        // callers speak TLS; nil: they do not
}

// New returns a mirror for a service. With any fault there is no mirror; paths
// are seen from the service.
func New(cfg Service, deps Deps) (*Mirror, []parallax.Fault) {
	faults := cfg.Validate()
	if len(deps.Keys.Fleet) < 16 || len(deps.Keys.User) < 16 {
		faults = append(faults, parallax.Fault{Text: "the keys are shorter than 16 bytes", Hint: "delete the keys file, so that new ones are made"})
	}
	if len(faults) > 0 {
		return nil, faults
	}
	if deps.Metrics == nil {
		deps.Metrics = NewMetrics(nil)
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Budget == nil {
		deps.Budget = NewBudget(DefaultBudget)
	}
	m := &Mirror{deps: deps, name: cfg.Name, pool: newBufferPool(), fleet: newMACs(deps.Keys.Fleet), users: newMACs(deps.Keys.User)}
	m.deps.Log = deps.Log.With("service", cfg.Name)
	m.lanes = newLanes(deps.Metrics.lanesOf(cfg.Name))
	m.stopping, m.stop = context.WithCancel(context.Background())
	m.lives, m.cutOff = context.WithCancel(context.Background())
	m.shadows, m.giveUp = context.WithCancel(context.Background())
	m.moves = make(chan net.Listener)
	m.ids = m.deps.mapOf(cfg.Name)
	s, err := newService(cfg, m.deps, nil)
	if err != nil {
		return nil, []parallax.Fault{{Text: err.Error()}}
	}
	s.router.learned.remember(deps.Learned)
	m.current.Store(s)
	if err := m.openSpools(); err != nil {
		m.Close()
		return nil, []parallax.Fault{{Text: err.Error()}}
	}
	return m, nil
}

// newService builds a configuration, for its first user. What it can it takes over
// from the one before, nil for none.
func newService(cfg Service, deps Deps, before *service) (_ *service, err error) {
	orDefault(&cfg.Timeouts, DefaultTimeouts())
	s := &service{name: cfg.Name, cfg: cfg, options: cfg.Mirror, changes: newChanges(cfg.Mirror.Request.RequestChanges)}
	s.users.Store(1)
	if s.sights = new(sights); before != nil {
		s.sights = before.sights
	}
	s.audience = audienceOf(cfg, before, deps.Now())
	defer func() {
		if err != nil {
			s.leave()
		}
	}()
	var faults []parallax.Fault
	if before == nil {
		s.split, faults = split.New(cfg.Split)
	} else {
		s.split, faults = before.split.With(cfg.Split)
	}
	if len(faults) > 0 {
		return nil, faults[0]
	}
	s.order, _ = split.ParseKey(cfg.Mirror.OrderBy) // validated by New
	s.ids, _ = ids.Compile(cfg.Identifiers)         // likewise
	s.mask, _ = newMask(cfg.Mirror.Request.Mask, newMACs(deps.Keys.User))
	if s.tls, err = cfg.TLS.credentials(deps.Log); err != nil {
		return nil, err
	}
	for i := range parallax.Leg(parallax.Legs) {
		c := cfg.leg(i)
		if len(c.URLs) == 0 {
			continue
		}
		if s.legs[i], err = s.legFor(i, c, before, deps); err != nil {
			return nil, err
		}
		s.anywhere = s.anywhere || i != parallax.Primary
	}
	declared := cfg.Mirror.declarations()
	s.pace = newPacer(cfg.Mirror)
	s.again = newBucket(max(cfg.Mirror.AskAgain.MaxRPS, 1e-6))
	newEndpoint := func(name string, safe bool) *endpoint {
		e := &endpoint{name: name, endpointPolicy: policyOf(name, safe, cfg.Mirror, declared), counts: deps.Metrics.of(cfg.Name, name), sight: s.sights.of(name)}
		s.letLive(e)
		s.pace.add(e)
		return e
	}
	s.router, err = newRouter(append(slices.Clone(cfg.Endpoints), cfg.Documented...), DefaultEndpoints, newEndpoint)
	if err != nil {
		return nil, fmt.Errorf("cannot build the router: %w", err)
	}
	for _, d := range declared {
		s.router.declare(d)
	}
	for _, path := range cfg.GraphQL {
		o := newOperations(path, newEndpoint)
		s.letLive(o.post)
		s.router.graphql[path] = o
	}
	if before != nil {
		s.router.learned.remember(before.router.learned.born())
	}
	return s, nil
}

// letLive decides whether the candidate may be live for an endpoint.
func (s *service) letLive(e *endpoint) {
	candidate := s.legs[parallax.Candidate]
	group, allowed := s.split.Group(e.name)
	e.group = group
	may := func(safe bool) bool {
		return candidate != nil && candidate.state.MayBeLive(safe) && allowed
	}
	e.mayLive, e.actLive = may(e.safe), may(false)
	if s.partitioned() && e.unsafe && !e.off && e.never == "" { // the primary gets what is written on the candidate
		e.mayLive = candidate != nil && allowed
	}
}

// Split returns what moves the service's users between the legs.
func (m *Mirror) Split() *split.Splitter { return m.current.Load().split }

// Legs returns what is known of the service's legs, in the order primary,
// candidate, secondary, without those that are not configured.
func (m *Mirror) Legs() []LegStatus {
	var out []LegStatus
	for _, l := range m.current.Load().legs {
		if l != nil {
			status := l.status()
			status.Missed = m.missedBy(l)
			out = append(out, status)
		}
	}
	return out
}

// Learned returns the endpoints that were made of paths nobody declared, in the
// order in which they were. A mirror that is given them goes on with the same.
func (m *Mirror) Learned() []string { return m.current.Load().router.learned.born() }

// Identifiers returns what is known of the values that the service's legs make up.
func (m *Mirror) Identifiers() ids.Map { return m.ids }

// Budget returns the byte budget the mirror's copies live on.
func (m *Mirror) Budget() *Budget { return m.deps.Budget }

// serve is what happens to a request, in order. The caller's way is: head,
// live leg, answer. Whatever else happens here neither waits nor fails. The
// context ends when the caller leaves, or when requests are given up.
func (m *Mirror) serve(ctx context.Context, in *incoming, out caller) {
	m.serving.enter()
	defer m.serving.leave()

	f := m.receive(ctx, in)
	defer f.leaveLive(out)

	switch {
	case f.loops():
		f.lose(parallax.UnmirroredLoop)
		f.refuse(out, loopDetected)
	case in.Method == "CONNECT":
		f.lose(parallax.UnmirroredUnsafe)
		f.refuse(out, noTunnels)
	case f.beside():
		f.takeCopy(out)
	case f.isShadowCall():
		f.serveShadowCall(ctx, out)
	case f.upgrade != "":
		f.serveUpgrade(ctx, out)
	default:
		f.plan()      // which other legs may get it
		f.enterLane() // behind what its user did before
		f.spread()    // what catches a live candidate's failure
		if f.endpoint.safe && f.rpc == nil {
			f.dispatch() // before the live leg is asked; an unsafe one after its status line
		}
		f.askLive(ctx, out)
	}
}

// receive gives a request its identity: endpoint, id, user, live leg and the
// headers that all legs get. From here on it is accounted for.
func (m *Mirror) receive(ctx context.Context, in *incoming) *flight {
	s := m.enter()
	now := m.deps.Now()
	kept := &record{Exchange: parallax.Exchange{ID: m.deps.NewID(), Service: s.name, Source: parallax.FromProxy, Received: now.Round(0).UTC()}}
	f := &flight{m: m, service: s, in: in, start: now, record: kept, x: &kept.Exchange}
	f.endpoint = s.router.find(in.Method, in.Target)
	f.x.Endpoint = f.endpoint.name
	f.from, _ = findMark(m.fleet, in.Headers)
	f.hops = f.from.inARow(in.Headers) + 1
	if in.Body == nil && in.Proto != "HTTP/1.0" { // else it is ignored (RFC 9110 section 7.8)
		f.upgrade = upgrade(in.Headers)
	}
	user := f.findUser()
	f.x.User = m.nameOf(user)
	switch { // of copies no leg is live
	case in.Replayed != nil:
		f.x.Source = parallax.FromReplay
	case s.cfg.Tap:
		f.x.Source = parallax.FromTap
	default:
		if f.endpoint.mayLive && (f.endpoint.actLive || !f.looksLikeAct()) {
			f.x.Live = s.split.Pick(user, f.endpoint.group)
			f.gather(user, now)
		}
		if s.partitioned() && !f.isShadowCall() {
			f.x.Live = f.movesTo(ctx, f.x.Live)
		}
		f.live = s.legs[f.x.Live]
	}
	f.headers = f.forward()
	f.naming.before = m.learners.last.Load()
	if in.Body != nil {
		f.body = newTap(in)
		if f.rpc = newRPC(in); f.rpc != nil {
			f.body.messages = &f.rpc.asked
		}
	}
	m.deps.Ledger.Enter(f.x.Stamp())
	return f
}

// Serve looks for the legs' instances, accepts callers until the context ends, and
// then shuts down step by step: it stops accepting and lets requests finish, cuts off those that do not,
// then does the same with shadow requests, then closes the connections to the
// legs. Each step is bounded. It closes the listener, or the one that [Mirror.Move]
// put in its place. The error says why accepting failed, nil after the context
// ended.
func (m *Mirror) Serve(ctx context.Context, listener net.Listener) error {
	defer m.LeaveSpools()
	defer m.leaving.Wait()
	m.current.Load().start(ctx)
	m.startCatching()
	watching, stopWatching := context.WithCancel(ctx)
	m.leaving.Go(func() { m.watch(watching) })
	defer stopWatching()
	f := m.openFront(listener)
	for {
		select {
		case next := <-m.moves:
			before := f
			f = m.openFront(next)
			m.leaving.Add(1)
			go m.closeFront(before)
		case err := <-f.ended:
			m.drain(func(context.Context) error { return nil }, f.server.Close)
			return fmt.Errorf("cannot serve %s on %s: %w", m.name, f.listener.Addr(), err)
		case <-ctx.Done():
			m.drain(f.server.Shutdown, f.server.Close)
			<-f.ended
			return nil
		}
	}
}

// Bounds of the steps of a shutdown.
const (
	finishLiveWithin    = 20 * time.Second
	finishShadowsWithin = 10 * time.Second // or mirror.timeout, if that is shorter
	giveUpWithin        = time.Second      // for live and shadow requests that were cancelled, each
)

func (m *Mirror) drain(stop func(context.Context) error, abort func() error) {
	m.stop()
	m.step("finish live requests", finishLiveWithin, func(ctx context.Context) error {
		if err := stop(ctx); err != nil {
			return err
		}
		return m.serving.wait(ctx)
	})
	if err := abort(); err != nil {
		m.deps.Log.Warn("cannot close the callers' connections", "error", err)
	}
	m.cutOff()
	m.step("give up live requests", giveUpWithin, m.serving.wait)
	m.step("finish shadow requests", min(m.current.Load().options.Timeout, finishShadowsWithin), m.shadowing.wait)
	m.giveUp()
	m.step("give up shadow requests", giveUpWithin, m.shadowing.wait)
	m.end()
}

func (m *Mirror) step(name string, within time.Duration, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	began := m.deps.Now()
	err := do(ctx)
	if err != nil {
		m.deps.Log.Warn("shutdown: "+name, "took", m.deps.Now().Sub(began), "error", err)
		return
	}
	m.deps.Log.Info("shutdown: "+name, "took", m.deps.Now().Sub(began))
}
