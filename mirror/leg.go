package mirror

import (
	"sync/atomic"
	"time"

	"parallax"
	"parallax/mirror/upstream"
)

// defaultLiveTimeout is how long a live leg may take to begin its answer when
// nothing is configured.
const defaultLiveTimeout = time.Minute

// leg is one leg of a service: where it is and how it is spoken to. Its two
// senders keep connections apart, so that a shadow request never waits for, or
// breaks, a connection that callers need.
type leg struct {
	name    parallax.Leg
	state   State
	version string // answer header that names the version; "" for none
	timeout time.Duration
	urls    []string // as they are written down
	pool    *upstream.Set
	hashBy  hashKey
	gate    *gate // for shadow requests
	senders [roles]sender
	prober  sender       // for health checks
	files   digest       // of its TLS files when it was made
	holders atomic.Int64 // configurations that use it; the last closes it

	rewriting *rewriting // declared changes of its requests

	inFlight atomic.Int64  // requests under way, live and shadow
	slots    *atomic.Int64 // shadow requests under way, those to the leg as it was configured before too
	failure  atomic.Pointer[LegError]
}

// newLeg returns a leg. Nothing of it runs before its pool is started.
func newLeg(name parallax.Leg, c LegConfig, o Options, deps Deps) (*leg, error) {
	c = c.orDefaults()
	l := &leg{name: name, files: c.TLS.digest(), state: c.State.orShared(), timeout: c.Timeout, slots: new(atomic.Int64)}
	if l.timeout == 0 {
		l.timeout = defaultLiveTimeout
	}
	l.version, _ = parseVersion(c.Version)
	for _, u := range c.URLs {
		l.urls = append(l.urls, u.URL)
	}
	var err error
	if l.rewriting, err = newRewriting(c); err != nil {
		return nil, err
	}
	log := deps.Log.With("leg", name.String())
	credentials, err := c.TLS.credentials(log)
	if err != nil {
		return nil, err
	}
	if l.hashBy, err = newHashKey(c.HashBy); err != nil {
		return nil, err
	}
	if l.pool, err = newPool(l, c, deps, log); err != nil {
		return nil, err
	}
	l.gate = newGate(c, log)
	l.senders[live] = newSender(c.Protocol, credentials, l.timeout, c.Connections)
	l.senders[shadow] = newSender(c.Protocol, credentials, 0, c.Connections.forShadows(o.InFlight))
	l.prober = newSender(c.Protocol, credentials, 0, c.Connections)
	return l, nil
}

// admit lets one more shadow request through, of at most max under way, or says
// why not. One that was let through gives its slot back with freeSlot and tells
// the gate how it ended, with the era.
func (l *leg) admit(max int) (era uint64, why parallax.Place) {
	if !l.takeSlot(max) {
		return 0, parallax.UnmirroredConcurrency
	}
	if era, why = l.gate.pass(); why != "" {
		l.freeSlot()
	}
	return era, why
}

// giveBack undoes admit for a request that is not sent after all.
func (l *leg) giveBack(era uint64) {
	l.gate.passed(era, parallax.NotAsked)
	l.freeSlot()
}

// takeSlot reports whether one more shadow request may be under way, of at most
// max. If so, the slot is to be given back with freeSlot.
func (l *leg) takeSlot(max int) bool {
	if l.slots.Add(1) <= int64(max) {
		return true
	}
	l.slots.Add(-1)
	return false
}

func (l *leg) freeSlot() { l.slots.Add(-1) }

// finished notes how a call went, for the pages.
func (l *leg) finished(c *parallax.Call, at time.Time) {
	switch c.Err.Kind {
	case parallax.NoError, parallax.CallerGone, parallax.NotAsked: // not the leg's doing
	default:
		l.failure.Store(&LegError{At: at, Kind: c.Err.Kind, Text: c.Err.Text})
	}
}

func (l *leg) close() {
	l.pool.Close()
	for _, s := range l.senders {
		s.Close()
	}
	l.prober.Close()
}

// LegStatus is what is known of a leg while it is in use.
type LegStatus struct {
	Leg       parallax.Leg
	URLs      []string
	State     State
	InFlight  int       // requests under way, live and shadow
	LastError *LegError // the latest failure; nil when there was none

	Instances   []InstanceStatus
	Ignored     int  // addresses that were found and are more than a leg may have
	BreakerOpen bool // the leg is not asked as a shadow, or only tried

	Missed Missed // writes that it has yet to get, and what it lacks for good
}

// LegError is one failure of a leg.
type LegError struct {
	At   time.Time
	Kind parallax.ErrKind
	Text string
}

func (l *leg) status() LegStatus {
	return LegStatus{
		Leg: l.name, URLs: l.urls, State: l.state, InFlight: int(l.inFlight.Load()), LastError: l.failure.Load(),
		Instances: l.instances(), Ignored: l.pool.Ignored(), BreakerOpen: l.gate.open(),
	}
}
