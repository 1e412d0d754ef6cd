package compare

import "parallax"

// unread says that nobody can judge a difference any more: a rule would weigh its
// values, and one of them was redacted before it was stored.
func (f *finder) unread(at *place, primary, candidate side) Suppression {
	if !f.stored || !IsRedacted(primary.value()) && !IsRedacted(candidate.value()) {
		return Suppression{}
	}
	for _, r := range f.rules {
		if r.source.weighs() && r.covers(at) && (r.place != placeJSON || r.path.Matches(at.steps)) {
			return Suppression{By: "redacted", Detail: "it was redacted before it was stored, and cannot be weighed by " + r.text}
		}
	}
	return Suppression{}
}

// Restored returns a stored exchange as it can be compared: without what
// redaction wrote into headers. It reports false when an answer's body was taken
// out whole, so that nothing can be said of it. x is not changed.
func Restored(x *parallax.Exchange) (*parallax.Exchange, bool) {
	out := *x
	for leg, call := range x.Legs {
		if call == nil {
			continue
		}
		if string(call.Response.Body.Bytes) == removedNote {
			return nil, false
		}
		answer := *call
		answer.Response.Headers = withoutHeader(call.Response.Headers, wasEncoded)
		out.Legs[leg] = &answer
	}
	return &out, true
}
