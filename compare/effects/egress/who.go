package egress

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"parallax"
)

// Mark is what a genuine role mark in baggage says of a call.
type Mark struct {
	Service  string // whose leg was asked
	Exchange parallax.ID
	Shadow   bool
}

// attribution says by what the exchange of a call is known.
type attribution string

// The values of the label by.
const (
	byMark   attribution = "mark"
	byHeader attribution = "header"
	byProxy  attribution = "proxy" // the password that the client gave the proxy
	byTrace  attribution = "trace"
	byNobody attribution = "none"
)

// who is the caller of a request.
type who struct {
	leg    parallax.Leg
	shadow bool
	by     attribution
	tag    string // what the joiner finds the exchange by; empty if nobody knows it
	cause  string // the same for the legs' calls of one exchange and no other, 32 hex digits; empty if nobody is sure
}

// identify says who calls; false if no leg is named.
func (p *Proxy) identify(r *http.Request) (who, bool) {
	user, password, ok := credentials(r.Header.Get("Proxy-Authorization"))
	if !ok {
		return who{}, false
	}
	w := who{by: byNobody}
	switch user {
	case "primary":
		w.leg = parallax.Primary
	case "candidate":
		w.leg = parallax.Candidate
	case "secondary":
		w.leg = parallax.Secondary
	default:
		return who{}, false
	}
	w.shadow = w.leg != parallax.Primary
	if mark, ok := p.deps.Mark(r.Header.Values("Baggage")); ok && mark.Service == p.service {
		w.shadow = mark.Shadow || w.leg == parallax.Secondary
		w.know(byMark, mark.Exchange)
	}
	if strings.EqualFold(r.Header.Get("X-Parallax-Role"), "shadow") {
		w.shadow = true
	}
	if id, err := parallax.ParseID(r.Header.Get("X-Parallax-Exchange")); w.by == byNobody && err == nil {
		w.know(byHeader, id)
	}
	if id, err := parallax.ParseID(password); w.by == byNobody && err == nil {
		w.know(byProxy, id)
	}
	if trace := r.Header.Get("Traceparent"); w.by == byNobody && isTrace(trace) {
		w.by, w.tag = byTrace, trace
		if p.begins(trace) {
			w.cause = trace[3:35]
		}
	}
	return w, true
}

// traceAge is how old an exchange may be whose calls are known by their trace alone.
const traceAge = 10 * time.Minute

// begins reports whether a trace began with an exchange, whose id it has then. A trace of
// the caller's may have several exchanges, and their answers are not each other's.
func (p *Proxy) begins(trace string) bool {
	var id parallax.ID
	_, err := hex.Decode(id[:], []byte(trace[3:35]))
	age := p.deps.Now().Sub(id.Time())
	return err == nil && id[6]>>4 == 7 && age < traceAge && age > -traceAge
}

// know notes the exchange. Its id is the trace id of a trace that begins with it.
func (w *who) know(by attribution, id parallax.ID) {
	w.by, w.tag, w.cause = by, id.String(), hex.EncodeToString(id[:])
}

// isTrace reports whether a traceparent has a trace id (W3C Trace Context).
func isTrace(s string) bool {
	if len(s) < 55 || len(s) > 128 || s[2] != '-' || s[35] != '-' || s[52] != '-' || strings.Trim(s[3:35], "0") == "" {
		return false
	}
	_, err := hex.DecodeString(s[3:35])
	return err == nil && strings.ToLower(s) == s
}

// credentials reads Basic credentials.
func credentials(header string) (user, password string, ok bool) {
	scheme, text, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(plain), ":")
}
