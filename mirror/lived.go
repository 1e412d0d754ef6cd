package mirror

import "parallax"

// tellLived tells of an exchange that its live leg answered and that is not compared, where
// somebody wants to know what it wrote: the candidate's, of which it is on no other record, and
// the primary's beside them. Of one that is compared, its effects say it.
func (f *flight) tellLived() {
	if f.m.deps.Lived == nil || f.live == nil || f.isShadowCall() {
		return
	}
	live := f.live.name
	if live != parallax.Candidate && (f.endpoint == nil || !f.endpoint.sight.unpaired()) {
		return
	}
	call := f.x.Legs[live]
	if call == nil {
		return // it was not asked
	}
	x := &parallax.Exchange{ID: f.x.ID, Service: f.x.Service, Endpoint: f.x.Endpoint, Source: f.x.Source, Received: f.x.Received, Live: f.x.Live}
	x.Legs[live] = &parallax.Call{
		Request: call.Request, Response: parallax.Response{Status: call.Response.Status},
		Err: call.Err, Start: call.Start, First: call.First, Done: call.Done,
	}
	x.Legs[live].Request.Body = parallax.Body{}
	f.m.deps.Lived(x)
}

// unpaired reports whether callers of an endpoint met the candidate, and nothing was ever sent
// to a shadow.
func (s *sight) unpaired() bool {
	for leg := range s {
		if s[leg][shadow].requests.Load() > 0 {
			return false
		}
	}
	return s[parallax.Candidate][live].requests.Load() > 0
}
