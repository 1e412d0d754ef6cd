package mirror

import (
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"parallax"
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
	urls    []*url.URL
	turn    atomic.Uint32
	senders [roles]sender
	holders atomic.Int64 // configurations that use it; the last closes it

	inFlight atomic.Int64 // requests under way, live and shadow
	slots    atomic.Int64 // shadow requests under way
	failure  atomic.Pointer[LegError]
}

func newLeg(name parallax.Leg, c LegConfig, o Options, log *slog.Logger) (*leg, error) {
	l := &leg{name: name, state: c.State.orShared(), timeout: c.Timeout}
	for _, text := range c.URLs {
		u, err := parseURL(text)
		if err != nil {
			return nil, err
		}
		l.urls = append(l.urls, u)
	}
	if l.timeout == 0 {
		l.timeout = defaultLiveTimeout
	}
	l.version, _ = parseVersion(c.Version)
	credentials, err := c.TLS.credentials(log.With("leg", name.String()))
	if err != nil {
		return nil, err
	}
	l.senders[live] = newSender(c.Protocol, credentials, l.timeout, 0)
	l.senders[shadow] = newSender(c.Protocol, credentials, 0, o.InFlight)
	return l, nil
}

// url returns the instance whose turn it is.
func (l *leg) url() *url.URL {
	if len(l.urls) == 1 {
		return l.urls[0]
	}
	return l.urls[int(l.turn.Add(1)-1)%len(l.urls)]
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
	l.inFlight.Add(-1)
	switch c.Err.Kind {
	case parallax.NoError, parallax.CallerGone, parallax.NotAsked: // not the leg's doing
	default:
		l.failure.Store(&LegError{At: at, Kind: c.Err.Kind, Text: c.Err.Text})
	}
}

func (l *leg) close() {
	for _, s := range l.senders {
		s.Close()
	}
}

// LegStatus is what is known of a leg while it is in use.
type LegStatus struct {
	Leg       parallax.Leg
	URLs      []string
	State     State
	InFlight  int       // requests under way, live and shadow
	LastError *LegError // the latest failure; nil when there was none
}

// LegError is one failure of a leg.
type LegError struct {
	At   time.Time
	Kind parallax.ErrKind
	Text string
}

func (l *leg) status() LegStatus {
	s := LegStatus{Leg: l.name, State: l.state, InFlight: int(l.inFlight.Load()), LastError: l.failure.Load()}
	for _, u := range l.urls {
		s.URLs = append(s.URLs, u.String())
	}
	return s
}
