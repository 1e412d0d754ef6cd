package main

import (
	"parallax"
	"parallax/mirror/spool"
)

// notePart marks an exchange whose user, or thing, may have another state on the legs since
// an earlier one that nobody counts as a divergence, and notes if it is such a one. It is
// told of exchanges in the order in which their answers were complete.
func (svc *service) notePart(x *parallax.Exchange) {
	if x.Lag == "" && svc.mirror.IsParted(x) {
		x.Lag = string(spool.Tainted)
	}
	if why := parted(x); why != "" {
		svc.mirror.Parted(x, why)
	}
}

// parted says why an exchange that is not comparable may have left another state on the
// legs, "" if it has not.
func parted(x *parallax.Exchange) string {
	p, c := x.Legs[parallax.Primary], x.Legs[parallax.Candidate]
	if x.Safe || p == nil || c == nil {
		return ""
	}
	a, b := class(p), class(c)
	switch unread := p.Unread != "" || c.Unread != ""; {
	case unread && (a != b || a == failedClass):
		return "effects_unknown"
	case !unread && a == failedClass && (len(p.Effects) == 0) != (len(c.Effects) == 0):
		return "primary_failed"
	}
	return ""
}

// failedClass stands for an answer that does not say whether anything was done.
const failedClass = 5

// class is the first digit of an answer's status; no answer is a failed one.
func class(c *parallax.Call) int {
	if c.Err.Kind != parallax.NoError {
		return failedClass
	}
	return c.Response.Status / 100
}
