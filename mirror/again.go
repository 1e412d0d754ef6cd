package mirror

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"parallax"
	"parallax/mirror/upstream"
)

// AskAgain bounds how many diverging safe exchanges are asked again.
type AskAgain struct {
	Share  float64 `yaml:"share" doc:"share of diverging safe exchanges that are asked again on both legs, 0 to 1, by a hash of the exchange id; 0: none"`
	MaxRPS float64 `yaml:"max_rps" doc:"how many exchanges a second are asked again at most; each is one more request to the primary and one to the candidate; 0: none"`
}

// DefaultAskAgain is the ask_again block where it is silent.
func DefaultAskAgain() AskAgain { return AskAgain{Share: 1, MaxRPS: 1} }

// Validate returns everything that is wrong with the block.
func (a AskAgain) Validate() []parallax.Fault {
	var faults []parallax.Fault
	if !(a.Share >= 0 && a.Share <= 1) {
		faults = append(faults, parallax.Fault{Path: "share", Text: fmt.Sprintf("a share of %v", a.Share), Hint: "write a number from 0 to 1"})
	}
	if !(a.MaxRPS >= 0 && a.MaxRPS <= 1e6) {
		faults = append(faults, parallax.Fault{Path: "max_rps", Text: fmt.Sprintf("%v exchanges a second", a.MaxRPS), Hint: "write a number such as 1, or 0 for none"})
	}
	return faults
}

func (a AskAgain) off() bool { return a.Share == 0 || a.MaxRPS == 0 }

// maxAskedAgain is how many exchanges of one mirror are asked again at a time.
const maxAskedAgain = 16

// What became of a diverging safe exchange, as the metrics say it.
const (
	againAsked    = "asked"
	againOff      = "off"
	againReplayed = "replay"
	againUnfit    = "unfit"    // a copy of the request is not whole, a leg is gone, or a reload came in between
	againDraining = "draining" // a shutdown began
	againPaused   = "paused"
	againShare    = "share"
	againRate     = "rate"
	againBusy     = "busy" // maxAskedAgain are under way, or the leg has no room
	againBreaker  = "breaker_open"
)

// asking is one exchange that is asked again.
type asking struct {
	m       *Mirror
	service *service
	x       *parallax.Exchange
	legs    [2]*leg // the primary and the candidate
	eras    [2]uint64
	second  [parallax.Legs]*parallax.Call
	then    func(second [parallax.Legs]*parallax.Call)
}

// AskAgain is for a safe exchange that diverged: may both legs be asked once more?
// It returns nil if not: the exchange is none that may be repeated, over the budget of
// mirror.ask_again, mirroring is paused or shutting down, or a leg is in trouble. Else
// the function that it returns must be called, once: it takes the exchange from
// [parallax.InWorker] to [parallax.InAgain] and returns at once. Both legs then get the
// requests that they got before, as a shadow whoever was live, outside all lanes, and
// their answers are handed to then, with the exchange back in [parallax.InWorker]. Then
// is called in any case, and before [Mirror.Serve] returns; a leg that did not answer
// has its error.
func (m *Mirror) AskAgain(x *parallax.Exchange, then func(second [parallax.Legs]*parallax.Call)) (ask func()) {
	if !x.Safe {
		return nil
	}
	m.shadowing.enter() // before the look at stopping, so that a shutdown waits for it or it sees the shutdown
	a := &asking{m: m, service: m.enter(), x: x, then: then}
	why := a.admit()
	m.deps.Metrics.askedAgain(m.name, why)
	if why != againAsked {
		a.service.leaveAtOnce()
		m.shadowing.leave()
		return nil
	}
	return func() {
		m.deps.Ledger.Move(x.Stamp(), parallax.InWorker, parallax.InAgain)
		go a.run()
	}
}

// admit reserves what asking takes, or says why nobody is asked. The budget comes
// last: what is refused for another reason uses up none.
func (a *asking) admit() (why string) {
	m, s := a.m, a.service
	switch window := m.window.Load(); {
	case s.options.AskAgain.off():
		return againOff
	case a.x.Source == parallax.FromReplay:
		return againReplayed // whoever replays counts what the legs are sent
	case m.stopping.Err() != nil:
		return againDraining
	case m.pauses.inForce.Load() != nil, window != nil && window.off:
		return againPaused
	case !a.fit():
		return againUnfit
	case !inSample(otherHash(a.x.ID), s.options.AskAgain.Share):
		return againShare
	}
	for _, l := range a.legs {
		if m.withheld(l) != "" {
			return againPaused
		}
		if l.gate.open() {
			return againBreaker
		}
	}
	if m.askingAgain.Add(1) > maxAskedAgain {
		m.askingAgain.Add(-1)
		return againBusy
	}
	if why = a.admitLegs(); why != againAsked {
		m.askingAgain.Add(-1)
	}
	return why
}

// admitLegs takes a slot at both legs.
func (a *asking) admitLegs() (why string) {
	for i, l := range a.legs {
		era, refused := l.admit(a.service.options.InFlight)
		if refused != "" {
			a.giveBack(i)
			return againBusy
		}
		a.eras[i] = era
	}
	if !a.service.again.take(a.m.deps.Now(), a.service.again.ahead) {
		a.giveBack(len(a.legs))
		return againRate
	}
	return againAsked
}

func (a *asking) giveBack(n int) {
	for i, l := range a.legs[:n] {
		l.giveBack(a.eras[i])
	}
}

// fit finds the legs, and reports whether what they were sent can be sent once more.
// What was sent before a reload cannot: by now it may be unsafe, masked or another leg's.
func (a *asking) fit() bool {
	if a.x.Received.Before(a.service.since) {
		return false
	}
	for i, name := range []parallax.Leg{parallax.Primary, parallax.Candidate} {
		c := a.x.Legs[name]
		a.legs[i] = a.service.legs[name]
		if a.legs[i] == nil || c == nil || c.Request.Body.Cut {
			return false
		}
	}
	return true
}

// otherHash is an id by whose hash another share is chosen than by mirror.sample.
func otherHash(id parallax.ID) parallax.ID {
	slices.Reverse(id[:])
	return id
}

// run asks both legs at the same time, and hands on what they answer.
func (a *asking) run() {
	defer a.m.shadowing.leave()
	defer a.service.leaveAtOnce()
	defer a.m.askingAgain.Add(-1)
	var copies [2]capture
	var both sync.WaitGroup
	for i := range a.legs {
		copies[i] = capture{max: int64(a.service.options.MaxBody), budget: a.m.deps.Budget}
		both.Go(func() { a.ask(i, &copies[i]) })
	}
	both.Wait()
	defer func() {
		copies[0].release()
		copies[1].release()
	}()
	a.m.deps.Ledger.Move(a.x.Stamp(), parallax.InAgain, parallax.InWorker)
	a.then(a.second)
}

// ask asks one leg.
func (a *asking) ask(i int, keep *capture) {
	l := a.legs[i]
	c := &parallax.Call{Request: a.x.Legs[l.name].Request}
	a.second[l.name] = c
	c.Err.Kind = parallax.NotAsked // if a defect ends it
	defer l.freeSlot()
	defer func() { l.gate.passed(a.eras[i], c.Err.Kind) }()
	defer func() {
		if v := recover(); v != nil {
			a.m.deps.Log.Error("defect while asking a leg again", "panic", v, "endpoint", a.x.Endpoint)
		}
	}()
	c.Request.Headers = a.headers(l, c.Request.Headers)
	l.inFlight.Add(1)
	defer l.inFlight.Add(-1)
	c.Start = a.since()
	err := a.call(l, c, keep)
	c.Err = parallax.CallErr{}
	if err != nil {
		c.Err = callErr(err)
	}
	c.Done = a.since()
	c.Response.Body = keep.body()
	if l.version != "" {
		c.Version = value(c.Response.Headers, l.version)
	}
	l.finished(c, a.m.deps.Now())
	if c.Err.Kind != parallax.NotAsked {
		a.m.deps.Metrics.of(a.service.name, a.x.Endpoint).count(l.name, shadow, c)
	}
}

func (a *asking) since() time.Duration { return a.m.deps.Now().Sub(a.x.Received) }

// headers are those that the leg got before. The live leg gets them as a shadow
// now: with the changes of shadow requests and another role mark.
func (a *asking) headers(l *leg, before []parallax.Field) []parallax.Field {
	if value(before, headerRole) == shadow.String() {
		return before
	}
	from, _ := findMark(a.m.fleet, before)
	from.role, from.service, from.exchange = shadow, a.service.name, a.x.ID
	var baggage []string
	out := make([]parallax.Field, 0, len(before)+maxOwn)
	for _, h := range before {
		switch {
		case ours(h.Name):
		case sameName(h.Name, "Baggage"):
			baggage = append(baggage, h.Value)
		default:
			out = append(out, h)
		}
	}
	out = l.rewriting.headers.apply(a.service.changes.apply(out))
	return append(out,
		parallax.Field{Name: "Baggage", Value: join(withoutMarks(baggage), from.signed(a.m.fleet))},
		parallax.Field{Name: headerExchange, Value: a.x.ID.String()},
		parallax.Field{Name: headerLeg, Value: l.name.String()},
		parallax.Field{Name: headerRole, Value: shadow.String()},
	)
}

// call sends the request and reads the answer, as far as it is kept.
func (a *asking) call(l *leg, c *parallax.Call, keep *capture) (err error) {
	q := &c.Request
	at := l.pool.Pick(l.hashBy.of(&incoming{Method: q.Method, Target: q.Target, Host: q.Host, Headers: q.Headers}), nil)
	if at == nil {
		return errNoInstance
	}
	defer func() { at.Done(a.outcome(err)) }()
	out := &outgoing{
		Method: q.Method, Target: q.Target, Host: q.Host, Headers: q.Headers, Addr: at.Addr(), Length: q.Body.Size,
		Deadline: time.Now().Add(a.service.options.Timeout),
		Trailers: func() []parallax.Field { return q.Trailers },
	}
	for _, t := range q.Trailers {
		out.TrailerNames = append(out.TrailerNames, t.Name)
	}
	if q.Body.Size > 0 {
		out.Ready, out.Body = true, io.NopCloser(bytes.NewReader(q.Body.Bytes))
		if len(q.Trailers) > 0 {
			out.Length = -1
		}
	}
	answer, err := l.senders[shadow].Send(a.m.shadows, at.URL(), out)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	c.First, q.Proto = a.since(), answer.Proto
	c.Response.Status, c.Response.Headers = answer.Status, answer.Headers
	keep.hint = answer.Length
	if err := a.read(answer, keep); err != nil {
		return err
	}
	if keep.ended {
		c.Response.Trailers = fieldsThat(unframed, answer.Trailers())
	}
	return nil
}

// read keeps an answer up to mirror.max_body. One that is longer is given up with its
// connection: then nothing is said about it.
func (a *asking) read(from *answer, keep *capture) error {
	buf := a.m.pool.get()
	defer a.m.pool.put(buf)
	for keep.cut == "" {
		n, err := from.Body.Read(*buf)
		keep.write((*buf)[:n])
		if err == io.EOF {
			keep.ended = true
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// outcome is how the instance did.
func (a *asking) outcome(err error) upstream.Outcome {
	switch {
	case err == nil:
		return upstream.Answered
	case a.m.shadows.Err() != nil:
		return upstream.Neutral
	}
	return outcomeOf(callErr(err).Kind)
}
