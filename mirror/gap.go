package mirror

import "parallax"

// noteGap counts an unsafe request that the live leg took, or may have taken, and
// a leg with a database of its own did not: from then on that database lacks a
// write. why says why the exchange is not compared, "" if it is. A request counts
// once, by what the first such leg lacks it for. It is called once no leg is under
// way any more; e is the endpoint in the end.
func (f *flight) noteGap(e *endpoint, why parallax.Place) {
	counted := false
	for _, l := range f.service.legs {
		if l == nil || l == f.live && !f.gaveOn() || l.state != Own {
			continue
		}
		reason := ""
		if l == f.live {
			reason = gapCovered
		} else if !e.safe && e.never == "" && f.mayTakeUnsafe(e, l) {
			reason = f.missed(l, why)
		}
		if reason != "" && !counted {
			counted = true
			f.m.deps.Metrics.gap(f.service.name, reason)
		}
		f.keepMissed(l, reason)
	}
}

// gapCovered is that the live candidate failed a write that the primary did in its place.
const gapCovered = "covered"

// missed returns why a leg lacks a request, "" if it does not, or need not have it.
func (f *flight) missed(l *leg, why parallax.Place) string {
	c := f.x.Legs[l.name]
	switch {
	case c != nil && c.Response.Status != 0:
		return f.turnedDown(l, c)
	case c != nil && c.Err.Kind != parallax.NoError:
		return c.Err.Kind.String()
	}
	switch why {
	case parallax.UnmirroredShadowCall, parallax.UnmirroredLoop, parallax.UnmirroredUpgrade, parallax.UnmirroredNoLeg, parallax.UnmirroredUnsafe:
		return "" // nobody meant it to
	case parallax.UnmirroredRejected, parallax.UnmirroredUnfinished:
		if !f.mayHaveActed() {
			return ""
		}
	}
	return why.Reason()
}

// turnedDown returns why a leg lacks a request that it answered: it turned down what a caller
// was told is done. What the candidate turns down diverges, and that is all, unless users move
// to it once it has all that they wrote.
func (f *flight) turnedDown(l *leg, c *parallax.Call) string {
	live := f.x.Legs[f.x.Live]
	switch {
	case l.name != f.otherLeg(), l.name == parallax.Candidate && !f.service.partitioned():
		return ""
	case live == nil, live.Response.Status >= 400, c.Response.Status < 400:
		return ""
	}
	return parallax.UnmirroredRejected.Reason()
}

// mayHaveActed reports whether the live leg, or the primary beside another proxy,
// may have acted on a request that the others were not sent: it got the request
// and did not answer, or it answered before the body was there. A gRPC answer that
// is whole says itself that it rejects.
func (f *flight) mayHaveActed() bool {
	c := f.x.Legs[f.x.Live]
	if c == nil || f.rpc != nil && c.Err.Kind == parallax.NoError {
		return false
	}
	if status := c.Response.Status; status != 0 {
		return status < 400
	}
	return c.Err.Kind == parallax.Reset || c.Err.Kind == parallax.Timeout || c.Err.Kind == parallax.BadAnswer
}
