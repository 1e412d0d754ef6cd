package mirror

import "parallax"

// tellLived tells of an exchange that the candidate answered as the live leg and that is not
// compared: what it wrote is on no other record. Of one that is, its effects say it.
func (f *flight) tellLived() {
	if f.m.deps.Lived == nil || f.live == nil || f.live.name != parallax.Candidate || f.isShadowCall() {
		return
	}
	call := f.x.Legs[parallax.Candidate]
	if call == nil {
		return // it was not asked
	}
	x := &parallax.Exchange{ID: f.x.ID, Service: f.x.Service, Endpoint: f.x.Endpoint, Source: f.x.Source, Received: f.x.Received, Live: f.x.Live}
	x.Legs[parallax.Candidate] = &parallax.Call{
		Request: call.Request, Response: parallax.Response{Status: call.Response.Status},
		Err: call.Err, Start: call.Start, First: call.First, Done: call.Done,
	}
	x.Legs[parallax.Candidate].Request.Body = parallax.Body{}
	f.m.deps.Lived(x)
}
