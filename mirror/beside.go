package mirror

import (
	"slices"

	"parallax"
)

// This file is for a service with tap: another proxy serves its callers and
// sends Parallax copies; and for requests that were recorded
// (replay.go). There
// is no live leg. Every leg is a shadow, the primary too, which has answered each
// request before.

// beside reports whether the request is a copy, not a caller's.
func (f *flight) beside() bool { return f.x.Source != parallax.FromProxy }

// takeCopy takes in a copy, answers it before any leg is asked, and then asks all
// legs. A proxy may hold its caller's connection until it has the answer, so
// that neither a leg nor a bound ever stands before it; what is not mirrored is
// answered the same.
func (f *flight) takeCopy(out caller) {
	switch {
	case f.isShadowCall():
		f.lose(parallax.UnmirroredShadowCall)
	case f.upgrade != "":
		f.lose(parallax.UnmirroredUpgrade)
	default:
		f.plan()
		f.comparable()
		f.enterLane()
		f.expectNamesOfCopy()
	}
	f.takeBody()
	f.answeredLive()
	out.Head(202, []parallax.Field{{Name: "Content-Length", Value: "0"}}, 0, nil, !f.body.sent())
	_ = out.End() // what is asked of the legs does not depend on it
	if f.body.sent() {
		f.dispatch()
	}
}

// comparable gives up an exchange unless both legs that are compared would be
// asked; they are the first two.
func (f *flight) comparable() {
	if f.reason != "" || f.bothCompared() {
		return
	}
	for _, l := range f.service.legs {
		if l != nil {
			f.lose(f.m.withheld(l))
		}
	}
	if f.endpoint.safe {
		f.lose(parallax.UnmirroredNoLeg)
	}
	f.lose(parallax.UnmirroredUnsafe)
}

// bothCompared reports whether both legs that are compared would be asked.
func (f *flight) bothCompared() bool {
	return len(f.shadows) > 1 && f.shadows[0].name == parallax.Primary && f.shadows[1].name == parallax.Candidate
}

// takeBody reads the body, whether it is kept or not, so that the other proxy's
// connection can be used again. It stops where a copy would be too long.
func (f *flight) takeBody() {
	if f.body == nil {
		return
	}
	buf := f.m.pool.get()
	defer f.m.pool.put(buf)
	left := int64(f.service.options.MaxBody) + 1
	for left > 0 && !f.body.sent() && f.body.why() == "" {
		n, err := f.body.Read((*buf)[:min(int64(len(*buf)), left)])
		if err != nil {
			return
		}
		left -= int64(n)
	}
}

// takesCopies reports whether a leg may get unsafe copies. The primary executes
// each a second time, so it needs a database of its own, or none, as much as the
// others; and where it may not get one, nothing is compared.
func (f *flight) takesCopies(l *leg) bool {
	return f.service.legs[parallax.Primary].state.takesAgain() && l.state.takesAgain()
}

// mustGetAll reports whether an unsafe request is mirrored whatever the sample: a
// database that lives on copies would miss a write.
func (f *flight) mustGetAll(l *leg) bool {
	if !f.beside() {
		return l.state == Own
	}
	return slices.ContainsFunc(f.service.legs[:], func(l *leg) bool { return l != nil && l.state == Own })
}

// firstLegs returns the legs to begin with, of those that get the request: of an
// unsafe copy the primary alone.
func (f *flight) firstLegs() []*leg {
	if f.beside() && !f.endpoint.safe {
		return f.shadows[:1]
	}
	return f.shadows
}

// askOthers is called when a leg of a mirrored exchange is done. An unsafe copy
// goes to the other legs once the primary has answered, unless it rejected it: as
// an unsafe request goes on once the live leg has.
func (f *flight) askOthers(after *leg, c *parallax.Call) {
	if !f.beside() || f.endpoint.safe || after != f.shadows[0] {
		return
	}
	if f.rejects(c) {
		f.rejected.Store(true)
		return
	}
	f.pending.Add(1)
	f.askShadows(f.shadows[1:])
}

// rejects reports whether the primary did not act on an unsafe copy.
func (f *flight) rejects(c *parallax.Call) bool {
	switch c.Response.Status {
	case 0, 429, 503:
		return true
	}
	if f.rpc == nil {
		return false
	}
	status := value(c.Response.Trailers, "Grpc-Status")
	if status == "" {
		status = value(c.Response.Headers, "Grpc-Status")
	}
	return status == "" || status == grpcExhausted || status == grpcUnavailable
}
