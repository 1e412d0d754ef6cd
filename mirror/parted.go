package mirror

import (
	"maps"
	"strings"
	"sync"
	"time"

	"parallax"
	"parallax/mirror/split"
	"parallax/mirror/spool"
)

// maxParted bounds the users and paths of which is remembered here that the legs' states
// part; beyond it all of them do.
const maxParted = 1 << 16

// parted is whose state is another on the legs since this process began, although each
// leg answered. The spools keep it for the next one.
type parted struct {
	mu    sync.Mutex
	known map[spool.Key]part
	all   time.Time // when there was no room for another one; zero: there is
}

// part is since when a state is another, and whether what lies below is too.
type part struct {
	since time.Time
	below bool
}

// add notes what an exchange of a time was about.
func (p *parted) add(e spool.Entity, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, ok := p.known[e.Key]
	if !ok && len(p.known) >= maxParted {
		p.all = at
		return
	}
	if p.known == nil {
		p.known = map[spool.Key]part{}
	}
	p.known[e.Key] = part{at, e.Below || before.below}
}

// forgive forgets what was noted of exchanges before a time.
func (p *parted) forgive(before time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.known, func(_ spool.Key, each part) bool { return each.since.Before(before) })
	if p.all.Before(before) {
		p.all = time.Time{}
	}
}

// holds reports whether a user, or what a request is about, was noted: the first entity is
// the request's own, those that follow are above it.
func (p *parted) holds(user spool.Key, about []spool.Entity) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.known[user]; ok && user != (spool.Key{}) || !p.all.IsZero() {
		return true
	}
	for i, e := range about {
		if each, ok := p.known[e.Key]; ok && (i == 0 || each.below) {
			return true
		}
	}
	return false
}

// Parted notes that an exchange may have left another state on the legs, and that nobody
// counts it as a divergence: one of them failed and it is not known what it did to its
// database, or the primary failed, which is not compared. What is about the same user, or
// the same thing where no user is known, is tainted from then on. It does nothing unless a
// leg that was asked as a shadow has a database of its own.
func (m *Mirror) Parted(x *parallax.Exchange, why string) {
	target := targetOf(x)
	if target == "" {
		return
	}
	user, about := m.laneOf(x), spool.Entity{Key: m.entity(target), Below: strings.HasSuffix(x.Endpoint, "}")}
	for _, l := range m.current.Load().legs {
		if l == nil || l.state != Own || l.name == x.Live || x.Source == parallax.FromReplay {
			continue
		}
		noted := about
		if user != (spool.Key{}) {
			noted = spool.Entity{Key: user}
		}
		m.parted.add(noted, x.Received)
		if s := m.spools[l.name].Load(); s != nil {
			m.deps.Metrics.missed(m.name, l.name, missTainted)
			s.Reserve(user, about, m.deps.Now()).Taint(why)
		}
	}
}

// IsParted reports whether an exchange is about what [Mirror.Parted] was told of before.
func (m *Mirror) IsParted(x *parallax.Exchange) bool {
	return m.parted.holds(m.laneOf(x), m.aboutOf(targetOf(x)))
}

// laneOf returns whose lane an exchange was in; zero if users are not kept in order.
func (m *Mirror) laneOf(x *parallax.Exchange) spool.Key {
	if m.current.Load().order == (split.Key{}) {
		return spool.Key{}
	}
	return x.User
}

// targetOf returns what the caller of an exchange asked for, without the query.
func targetOf(x *parallax.Exchange) string {
	c := x.Legs[x.Live]
	if c == nil {
		c = x.Legs[parallax.Primary]
	}
	if c == nil {
		return ""
	}
	path, _, _ := strings.Cut(c.Request.Target, "?")
	return path
}
