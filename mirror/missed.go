package mirror

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"parallax"
	"parallax/mirror/spool"
)

// This file is about writes that a leg with a database of its own has missed: which
// they are, and what follows for other requests. catchup.go sends them later.

// Spools says where such writes are kept. What is under Dir is encrypted with Key, of
// 32 bytes.
type Spools struct {
	Dir string
	Key []byte
}

// of opens the spool of a leg.
func (d Deps) spoolOf(service string, l parallax.Leg, max parallax.Size) (*spool.Spool, error) {
	name := service + "/" + l.String()
	dir := filepath.Join(d.Spools.Dir, url.PathEscape(service), l.String())
	return spool.Open(dir, name, d.Spools.Key, int64(max), d.Now, d.Log.With("leg", l.String()))
}

// openSpools opens the spools of all legs: whichever has a database of its own may be
// changed by a reload.
func (m *Mirror) openSpools() error {
	if m.deps.Spools == nil {
		return nil
	}
	for l := range parallax.Leg(parallax.Legs) {
		s, err := m.deps.spoolOf(m.name, l, m.current.Load().options.MaxSpool)
		if err != nil {
			m.closeSpools()
			return err
		}
		m.spools[l].Store(s)
		m.taintAnew(l)
	}
	return nil
}

// closeSpools has everything on disk. What is missed afterwards is tainted.
func (m *Mirror) closeSpools() {
	for l := range m.spools {
		if s := m.spools[l].Load(); s != nil {
			if err := s.Close(); err != nil {
				m.deps.Log.Error("cannot close the writes that a leg has missed", "leg", parallax.Leg(l).String(), "error", err)
			}
		}
	}
}

// spoolFor returns where the writes that a leg misses are kept; nil for a leg that need
// not get all, and where nothing is kept.
func (f *flight) spoolFor(l *leg) *spool.Spool {
	if l.state != Own || l == f.live || f.x.Source == parallax.FromReplay {
		return nil
	}
	return f.m.spools[l.name].Load()
}

// writes reports whether the request is one that a leg with a database of its own has to
// get, as far as is known by now.
func (f *flight) writes(l *leg) bool {
	e := f.ending()
	return !e.safe && e.never == "" && !e.off && f.mayTakeUnsafe(e, l)
}

// miss takes the request's place among what a leg has missed, before whatever comes after
// it in its lane can be sent. Whether it was missed is settled by noteGap.
func (f *flight) miss(l *leg) {
	if s := f.spoolFor(l); s != nil && f.missing[l.name] == nil && f.writes(l) {
		f.missing[l.name] = s.Reserve(f.lane, f.about(), f.x.Received)
	}
}

// missAll is miss for all legs, of a request that is not mirrored for now. The copy of
// its body is kept.
func (f *flight) missAll() {
	any := false
	for _, l := range f.service.legs {
		if l != nil {
			f.miss(l)
			any = any || f.missing[l.name] != nil
		}
	}
	if any {
		f.keepBody()
	}
}

// keepMissed settles the request's place: it is kept to be caught up, given up if nobody
// can send it or it may have been executed, or dropped. why is that of noteGap, "" if
// the leg has not missed it.
func (f *flight) keepMissed(l *leg, why string) {
	p := f.missing[l.name]
	f.missing[l.name] = nil
	if why != "" && p == nil && f.writes(l) {
		if s := f.spoolFor(l); s != nil {
			p = s.Reserve(f.lane, f.about(), f.x.Received)
		}
	}
	metrics := f.m.deps.Metrics
	switch {
	case p == nil:
	case why == "" || !f.writes(l):
		p.Drop()
	case !f.mayBeSent(l):
		metrics.missed(f.service.name, l.name, missTainted)
		f.lost(l, why)
		p.Taint(why)
	case p.Keep(f.asMissed(l)):
		metrics.missed(f.service.name, l.name, missSpooled)
	default:
		metrics.missed(f.service.name, l.name, missTainted)
		f.lost(l, "no room in the spool")
	}
}

// lost lists a write that a leg will never get, if a caller was told that it is done.
func (f *flight) lost(l *leg, why string) {
	if told := f.x.Legs[f.answerer()]; told != nil && told.Response.Status != 0 && told.Response.Status < 400 {
		f.m.spools[l.name].Load().Lose(f.x, why)
	}
}

// mayBeSent reports whether a request that a leg has missed is there to be sent, and
// surely has not been executed by it, while it surely has been by the live leg.
func (f *flight) mayBeSent(l *leg) bool {
	if f.rpc != nil || !f.body.sent() || f.body.why() != "" || f.body != nil && (f.body.copy == nil || len(f.body.tail) > 0) {
		return false
	}
	reference := f.x.Legs[f.answerer()]
	if reference == nil || reference.Response.Status == 0 || f.upgrade != "" {
		return false
	}
	c := f.x.Legs[l.name]
	if c != nil && (c.Response.Status == 429 || c.Response.Status == 503) && c.Err.Kind == parallax.NoError {
		return true // it says that it has not
	}
	return c == nil || c.Err.Kind == parallax.NotAsked || c.Err.Kind == parallax.Refused
}

// asMissed is an exchange with the caller's request as the leg's, and with the answer
// that it had.
func (f *flight) asMissed(l *leg) *parallax.Exchange {
	x := &parallax.Exchange{
		ID: f.x.ID, Service: f.x.Service, Endpoint: f.x.Endpoint, Source: f.x.Source,
		User: f.x.User, Received: f.x.Received, Live: f.x.Live,
	}
	headers := f.headers
	if f.baggage != "" {
		headers = append(headers[:len(headers):len(headers)], parallax.Field{Name: "Baggage", Value: f.baggage})
	}
	request := parallax.Request{Method: f.in.Method, Target: f.in.Target, Host: f.in.Host, Proto: f.in.Proto, Headers: headers}
	if f.body != nil {
		request.Body, request.Trailers = f.body.copy.body(), f.body.tail
	}
	x.Legs[l.name] = &parallax.Call{Request: request}
	ref := f.answerer()
	answered := *f.x.Legs[ref]
	answered.Request.Body, answered.Request.Trailers = parallax.Body{}, nil
	answered.Response.Headers = append([]parallax.Field(nil), answered.Response.Headers...)
	if keep := f.captures[ref]; keep != nil {
		answered.Response.Body = keep.body()
	}
	x.Legs[ref] = &answered
	return x
}

// about is what a write is about, where its user is not known: the path, and what lies
// below it if the path ends with the name of one thing.
func (f *flight) about() spool.Entity {
	path, _, _ := strings.Cut(f.in.Target, "?")
	return spool.Entity{Key: f.m.entity(path), Below: strings.HasSuffix(f.endpoint.name, "}")}
}

// isAbout returns what a request is about: its path, then the paths above it.
func (f *flight) isAbout() []spool.Entity {
	path, _, _ := strings.Cut(f.in.Target, "?")
	return f.m.aboutOf(path)
}

// aboutOf returns what a request for a path is about.
func (m *Mirror) aboutOf(path string) []spool.Entity {
	var out []spool.Entity
	for len(path) > 1 && len(out) < maxAbove {
		out = append(out, spool.Entity{Key: m.entity(path)})
		path = path[:strings.LastIndexByte(path, '/')+1]
		path = strings.TrimSuffix(path, "/")
	}
	return out
}

// maxAbove bounds the paths above a request's that are looked at.
const maxAbove = 32

// entity is the keyed hash of a path.
func (m *Mirror) entity(path string) spool.Key { return m.users.sum("path " + path) }

// behind reports whether a write has to wait behind others that the leg has missed.
func (f *flight) behind(l *leg) bool {
	s := f.spoolFor(l)
	return s != nil && f.writes(l) && s.Behind(f.lane, f.x.Received)
}

// noteLag notes that a leg's state is behind where the request is about it.
func (f *flight) noteLag(l *leg) {
	s := f.spoolFor(l)
	if s == nil || !s.Any() { // Fast path: nothing was missed (BenchmarkMirrored)
		return
	}
	if lag := s.Lag(f.lane, f.isAbout()); lag != spool.Level {
		f.lag.Store(&lag)
	}
}

// Missed is what a leg with a database of its own has missed so far.
type Missed = spool.Figures

// missedBy returns what a leg has missed.
func (m *Mirror) missedBy(l *leg) Missed {
	if s := m.spools[l.name].Load(); s != nil {
		return s.Figures()
	}
	return Missed{}
}

// What becomes of a write that a leg missed, as a label.
const (
	missSpooled  = "spooled"
	missCaughtUp = "caught_up"
	missInCopy   = "in_copy" // the copy that the leg's database was made from has it
	missTainted  = "tainted"
)

// OpenSpools takes up again what [Mirror.LeaveSpools] has left.
func (m *Mirror) OpenSpools() error {
	if err := m.openSpools(); err != nil {
		return fmt.Errorf("cannot keep what legs of %s miss: %w", m.name, err)
	}
	m.startCatching()
	return nil
}

// LeaveSpools stops catching up and leaves what legs have missed to another process, which
// takes it over. What this one's last requests miss from here on is tainted.
func (m *Mirror) LeaveSpools() {
	m.stopCatching()
	m.closeSpools()
}

// TakeOverSpools takes in at once what another process has left.
func (m *Mirror) TakeOverSpools() error {
	for l := range m.spools {
		if s := m.spools[l].Load(); s != nil {
			if err := s.TakeOver(); err != nil {
				return fmt.Errorf("cannot take over what the %s of %s has missed: %w", parallax.Leg(l), m.name, err)
			}
		}
	}
	return nil
}
