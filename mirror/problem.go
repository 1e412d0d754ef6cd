package mirror

import (
	"errors"
	"fmt"
	"strconv"

	"parallax"
)

// problem is an answer of Parallax itself (RFC 9457). It names no address.
type problem struct {
	status        int
	kind          string
	title, detail string
}

var (
	loopDetected  = problem{508, "loop", "Loop detected", "This request came back to the service it was made for. An address of one of its legs leads to Parallax itself."}
	shadowRefused = problem{403, "shadow-refused", "Refused to a shadow", "This unsafe request was made on behalf of a shadow. No leg of this service may take it."}
	noTunnels     = problem{501, "no-tunnels", "Not implemented", "Parallax stands in front of one service and opens no tunnels."}
	legDown       = problem{502, "leg-down", "Bad gateway", "The service behind Parallax gave no answer."}
	notRewritten  = problem{502, "not-rewritten", "Not rewritten", "The rewriting that is configured for the service behind Parallax makes no valid request of this one, so it was not sent."}
	legTooOld     = problem{502, "leg-http1", "Bad gateway", "gRPC needs HTTP/2, and the service behind Parallax is spoken to by HTTP/1.1. Its leg wants protocol: http2."}
	legLate       = problem{504, "leg-late", "Gateway timeout", "The service behind Parallax did not answer in time."}
)

func problemOf(err error) problem {
	switch {
	case errors.Is(err, errNeedsHTTP2):
		return legTooOld
	case callErr(err).Kind == parallax.Timeout:
		return legLate
	}
	return legDown
}

// refuse answers the caller in Parallax's own name.
func (f *flight) refuse(out caller, p problem) {
	if f.rpc != nil {
		f.refuseRPC(out, p)
		return
	}
	body := fmt.Sprintf(`{"type":"urn:parallax:problem:%s","title":%q,"status":%d,"detail":%q,"instance":"urn:uuid:%s"}`+"\n",
		p.kind, p.title, p.status, p.detail, f.id)
	out.Head(p.status, []parallax.Field{
		{Name: "Content-Type", Value: "application/problem+json"},
		{Name: "Content-Length", Value: strconv.Itoa(len(body))},
		{Name: "Cache-Control", Value: "no-store"},
	}, int64(len(body)), nil, !f.body.sent())
	_, _ = out.Write([]byte(body)) // a caller that is gone needs no answer
}
