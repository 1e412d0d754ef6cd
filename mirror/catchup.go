package mirror

import (
	"bytes"
	"context"
	"sync"
	"time"

	"parallax"
	"parallax/mirror/spool"
)

// Bounds of catching up.
const (
	catchingUp    = 8                      // lanes of a leg at a time
	lookAgainIn   = 250 * time.Millisecond // after the leg was not there
	maxRejections = 5                      // of a write that the leg rejects with 429 or 503
)

// catching is the goroutines that send what legs have missed.
type catching struct {
	mu   sync.Mutex
	end  context.CancelFunc // nil: they are not at work
	over sync.WaitGroup
}

// startCatching begins to send what legs have missed.
func (m *Mirror) startCatching() {
	m.catching.mu.Lock()
	defer m.catching.mu.Unlock()
	if m.catching.end != nil || m.stopping.Err() != nil {
		return
	}
	ctx, end := context.WithCancel(m.stopping)
	m.catching.end = end
	for l := range m.spools {
		if s := m.spools[l].Load(); s != nil {
			m.catching.over.Go(func() { m.catchUp(ctx, parallax.Leg(l), s) })
		}
	}
}

// stopCatching ends it. What is being sent runs to its end.
func (m *Mirror) stopCatching() {
	m.catching.mu.Lock()
	defer m.catching.mu.Unlock()
	if m.catching.end != nil {
		m.catching.end()
		m.catching.over.Wait()
		m.catching.end = nil
	}
}

// catchUp sends a leg what it has missed, some lanes at a time, each in order.
func (m *Mirror) catchUp(ctx context.Context, l parallax.Leg, s *spool.Spool) {
	var under sync.WaitGroup
	defer under.Wait()
	room := make(chan struct{}, catchingUp)
	for {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		w, err := s.Next(ctx)
		if err != nil {
			return
		}
		under.Go(func() {
			defer func() { <-room }()
			m.sendMissed(ctx, l, w)
		})
	}
}

// sendMissed sends one write as soon as the leg may be asked.
func (m *Mirror) sendMissed(ctx context.Context, l parallax.Leg, w *spool.Write) {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-wait.C:
		case <-ctx.Done():
			w.Again()
			return
		}
		became, why := m.tryMissed(l, w)
		if became == "" {
			wait.Reset(lookAgainIn)
			continue
		}
		m.deps.Metrics.missed(m.name, l, became)
		if became == missTainted {
			m.deps.Log.Warn("a write that the leg has missed is given up", "leg", l.String(), "exchange", w.Exchange.ID.String(), "reason", why)
			if s := m.spools[l].Load(); s != nil && w.Exchange.Legs[w.Exchange.Live] != nil && w.Exchange.Legs[w.Exchange.Live].Response.Status < 400 {
				s.Lose(w.Exchange, why)
			}
			w.Taint(why)
		} else {
			w.Done()
		}
		return
	}
}

// tryMissed sends one write if the leg may be asked, and says what became of it: the leg has
// it, or why says that it never will, or that nobody knows. It is "" if it is to be tried again.
func (m *Mirror) tryMissed(name parallax.Leg, w *spool.Write) (became, why string) {
	s := m.enter()
	defer s.leaveAtOnce()
	l := s.legs[name]
	if l == nil || l.state != Own || m.withheld(l) != "" || m.pauses.inForce.Load() != nil {
		return "", ""
	}
	if m.handover.owes(w.Lane(), name) {
		return "", "" // what it had no room behind is still under way
	}
	f, ok := m.again(s, l, w.Exchange)
	defer f.releaseCopies()
	if !ok {
		return "", "" // no room in the byte budget for now
	}
	if has, later, unknown := f.inCopy(l); has {
		return missInCopy, ""
	} else if later {
		return "", ""
	} else if unknown {
		return missTainted, "nobody knows whether the copy that the leg's database was made from has it"
	}
	f.learn(f.reference()) // what the live answer made up waits for its partner again
	defer f.settleNames()
	unmapped, withhold, refused := f.rename(l)
	switch {
	case refused != "":
		return "", ""
	case withhold:
		return missTainted, notNamedText(unmapped)
	}
	era, refused := l.admit(s.options.InFlight)
	if refused != "" {
		return "", ""
	}
	if m.withheld(l) != "" { // meanwhile; see admit of a flight
		l.giveBack(era)
		return "", ""
	}
	if err := w.Begin(); err != nil {
		l.giveBack(era)
		m.deps.Log.Error("a write that the leg has missed is not sent", "error", err)
		return "", ""
	}
	f.eras[l.name] = era
	f.askShadow(l)
	return f.caughtUp(l, w)
}

// caughtUp says what the leg's answer to a write comes to.
func (f *flight) caughtUp(l *leg, w *spool.Write) (became, why string) {
	c, before := f.x.Legs[l.name], f.x.Legs[f.reference()].Response.Status
	switch status := c.Response.Status; {
	case c.Err.Kind == parallax.NotAsked, c.Err.Kind == parallax.Refused:
		return "", ""
	case status == 0 || c.Err.Kind != parallax.NoError:
		return missTainted, "nobody knows whether the leg has it: " + c.Err.Kind.String()
	case (status == 429 || status == 503) && w.Tries() < maxRejections:
		return "", ""
	case status == 429, status == 503:
		return missTainted, "the leg rejects it"
	case status/100 != before/100:
		return missTainted, "the leg answered otherwise than it would have to: another class of status"
	}
	return missCaughtUp, ""
}

// again is the flight of a write that a leg has missed. It is false if there is no
// room for its copies.
func (m *Mirror) again(s *service, l *leg, x *parallax.Exchange) (f *flight, ok bool) {
	missed := x.Legs[l.name].Request
	in := &incoming{Method: missed.Method, Target: missed.Target, Host: missed.Host, Proto: missed.Proto, Headers: missed.Headers, Length: int64(len(missed.Body.Bytes))}
	kept := &record{Exchange: *x}
	f = &flight{m: m, service: s, in: in, start: m.deps.Now(), record: kept, x: &kept.Exchange, hops: 1}
	f.x.Legs[l.name] = nil
	f.endpoint = s.router.find(in.Method, in.Target)
	if x.Source == parallax.FromProxy {
		f.live = s.legs[x.Live]
	}
	f.shadows = append(f.inline.shadows[:0], l)
	f.pending.Store(2) // it settles nothing
	for i, h := range missed.Headers {
		if sameName(h.Name, "Baggage") {
			f.baggage = h.Value
			f.headers = append(f.headers, missed.Headers[:i]...)
			f.headers = append(f.headers, missed.Headers[i+1:]...)
			break
		}
	}
	if f.headers == nil {
		f.headers = missed.Headers
	}
	trace, ok := parallax.ParseTraceparent(value(f.headers, "Traceparent"))
	if !ok {
		trace = parallax.TraceOf(x.ID)
	}
	f.identify(trace)
	if in.Length > 0 {
		in.Body, in.Ready = bytes.NewReader(missed.Body.Bytes), func() bool { return true }
		f.body = newTap(in)
		f.keepBody()
		f.takeBody()
	}
	answer := x.Legs[f.reference()].Response.Body
	keep := f.newCapture(int64(len(answer.Bytes)))
	keep.write(answer.Bytes)
	keep.ended = !answer.Cut
	f.captures[f.reference()] = &keep
	return f, keep.cut == "" && f.body.why() == ""
}
