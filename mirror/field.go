package mirror

import (
	"slices"
	"strings"

	"parallax"
)

// Headers that Parallax sets on every request it passes on. A caller's own
// headers with this prefix are dropped.
const (
	headerPrefix   = "X-Parallax-"
	headerExchange = "X-Parallax-Exchange"
	headerLeg      = "X-Parallax-Leg"
	headerRole     = "X-Parallax-Role"
)

// role says whether a leg answers the caller or a copy.
type role uint8

const (
	live role = iota
	shadow
	roles
)

func (r role) String() string {
	if r == shadow {
		return "shadow"
	}
	return "live"
}

// ours reports whether a header name is reserved for Parallax.
func ours(name string) bool {
	return len(name) >= len(headerPrefix) && strings.EqualFold(name[:len(headerPrefix)], headerPrefix)
}

// hopByHop reports whether a header is about one connection only and is never
// passed on (RFC 9110 section 7.6.1).
func hopByHop(name string) bool {
	switch len(name) {
	case 2:
		return strings.EqualFold(name, "Te")
	case 7:
		return strings.EqualFold(name, "Trailer") || strings.EqualFold(name, "Upgrade")
	case 10:
		return strings.EqualFold(name, "Connection") || strings.EqualFold(name, "Keep-Alive")
	case 16:
		return strings.EqualFold(name, "Proxy-Connection")
	case 17:
		return strings.EqualFold(name, "Transfer-Encoding")
	case 18:
		return strings.EqualFold(name, "Proxy-Authenticate")
	case 19:
		return strings.EqualFold(name, "Proxy-Authorization")
	}
	return false
}

// sameName reports whether two names of headers are the same. Names are ASCII, so
// that most others are told apart by their length, without a call.
func sameName(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }

// value returns the first value of a header, "" when it is absent.
func value(fields []parallax.Field, name string) string {
	for _, f := range fields {
		if sameName(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// tokens splits a header of comma-separated tokens, over all its lines.
func tokens(fields []parallax.Field, name string) []string {
	var out []string
	for _, f := range fields {
		if !sameName(f.Name, name) {
			continue
		}
		for token := range strings.SplitSeq(f.Value, ",") {
			if token = strings.TrimSpace(token); token != "" {
				out = append(out, token)
			}
		}
	}
	return out
}

func contains(tokens []string, token string) bool {
	for _, t := range tokens {
		if strings.EqualFold(t, token) {
			return true
		}
	}
	return false
}

// endToEnd returns the fields that are not about one connection: neither
// hop-by-hop by name nor named in Connection. The input is not changed; without
// room asked for, it is returned itself if all of it passes.
func endToEnd(fields []parallax.Field, extra int) []parallax.Field {
	named := tokens(fields, "Connection")
	if extra == 0 && !slices.ContainsFunc(fields, func(f parallax.Field) bool { return hopByHop(f.Name) || contains(named, f.Name) }) {
		return fields
	}
	out := make([]parallax.Field, 0, len(fields)+extra)
	for _, f := range fields {
		if hopByHop(f.Name) || contains(named, f.Name) {
			continue
		}
		out = append(out, f)
	}
	return out
}

// unframed reports whether a trailer may be passed on: it is neither about one
// connection nor about where a message goes or ends (RFC 9110 section 6.5.1).
func unframed(name string) bool {
	return !hopByHop(name) && !strings.EqualFold(name, "Host") && !strings.EqualFold(name, "Content-Length")
}

// mayTrail reports whether a caller's trailer may be passed on: one that would
// also be when it stood among the headers.
func mayTrail(name string) bool {
	return unframed(name) && !ours(name) && !strings.EqualFold(name, "Baggage") && !strings.EqualFold(name, "Traceparent")
}

// namesThat returns the names that pass. The input is not changed.
func namesThat(pass func(string) bool, names []string) []string {
	var out []string
	for _, name := range names {
		if pass(name) {
			out = append(out, name)
		}
	}
	return out
}

// fieldsThat returns the fields whose names pass. The input is not changed.
func fieldsThat(pass func(string) bool, fields []parallax.Field) []parallax.Field {
	var out []parallax.Field
	for _, f := range fields {
		if pass(f.Name) {
			out = append(out, f)
		}
	}
	return out
}

// upgrade returns the protocol a request asks to change to, "" for none. h2c is
// none: a leg that understood it would leave HTTP/1.1 under our feet, and
// ignoring it is what the protocol asks of a server that does not want it.
func upgrade(fields []parallax.Field) string {
	if !contains(tokens(fields, "Connection"), "upgrade") {
		return ""
	}
	protocol := value(fields, "Upgrade")
	if strings.EqualFold(protocol, "h2c") {
		return ""
	}
	return protocol
}

// forward returns what every leg gets of a caller's headers: end to end, without
// those reserved for Parallax, with the caller's address and scheme noted, a
// trace to belong to, and no role mark. The result is shared
// by all legs and not changed afterwards.
func (f *flight) forward() []parallax.Field {
	in := f.in
	out := endToEnd(in.Headers, maxForwarded+maxOwn)
	keep := out[:0]
	var forwardedFor, forwarded, baggage []string
	var proto, host, traced bool
	var trace parallax.Traceparent
	for _, h := range out {
		switch {
		case ours(h.Name):
			continue
		case sameName(h.Name, "X-Forwarded-For"):
			forwardedFor = append(forwardedFor, h.Value)
			continue
		case sameName(h.Name, "Forwarded"):
			forwarded = append(forwarded, h.Value)
			continue
		case sameName(h.Name, "Baggage"):
			baggage = append(baggage, h.Value)
			continue
		case sameName(h.Name, "Traceparent"):
			t, valid := parallax.ParseTraceparent(h.Value)
			if traced || !valid {
				continue
			}
			trace, traced = t, true
		case sameName(h.Name, "X-Forwarded-Proto"):
			proto = true
		case sameName(h.Name, "X-Forwarded-Host"):
			host = true
		}
		keep = append(keep, h)
	}
	if contains(tokens(in.Headers, "Te"), "trailers") {
		keep = append(keep, parallax.Field{Name: "Te", Value: "trailers"})
	}
	if len(forwardedFor) > 0 || in.RemoteIP != "" { // a recording may not have told
		keep = append(keep, parallax.Field{Name: "X-Forwarded-For", Value: joinAll(forwardedFor, in.RemoteIP)})
	}
	if len(forwarded) > 0 {
		keep = append(keep, parallax.Field{Name: "Forwarded", Value: forwardedBy(forwarded, in)})
	}
	if !proto {
		keep = append(keep, parallax.Field{Name: "X-Forwarded-Proto", Value: in.scheme()})
	}
	if !host && in.Host != "" {
		keep = append(keep, parallax.Field{Name: "X-Forwarded-Host", Value: in.Host})
	}
	if !traced {
		trace = parallax.TraceOf(f.x.ID)
	}
	if traceparent := f.identify(trace); !traced {
		keep = append(keep, parallax.Field{Name: "Traceparent", Value: traceparent})
	}
	f.baggage = withoutMarks(baggage)
	return keep
}

// Most fields that are added to a caller's, so that there is room for them.
const (
	maxForwarded = 6 // by forward: Te, X-Forwarded-For, Forwarded, X-Forwarded-Proto, X-Forwarded-Host, Traceparent
	maxOwn       = 4 // by headersFor: Baggage and X-Parallax-...
)

// headersFor returns a request's headers as one leg gets them in a role. Fast path:
// the live call, of which there is one at most, gets the room behind those that
// all legs share, the others a copy (BenchmarkMirrored).
func (f *flight) headersFor(l *leg, r role) []parallax.Field {
	out := f.headers
	if r == shadow || l != f.live || l.rewriting.headers.any() {
		out = append(make([]parallax.Field, 0, len(out)+maxOwn), out...)
	}
	if r == shadow && !f.isShadowCall() {
		f.traceShadow(l, out)
		out = f.service.changes.apply(out)
	}
	out = l.rewriting.headers.apply(out)
	return append(out,
		parallax.Field{Name: "Baggage", Value: join(f.baggage, f.marks[r])},
		parallax.Field{Name: headerExchange, Value: f.id},
		parallax.Field{Name: headerLeg, Value: l.name.String()},
		parallax.Field{Name: headerRole, Value: r.String()},
	)
}

// traceShadow puts the leg's own traceparent in the place of the one that all legs
// share, so that what the leg does as a shadow can be told from what the live leg
// does, in one database too.
func (f *flight) traceShadow(l *leg, fields []parallax.Field) {
	for i := range fields {
		if sameName(fields[i].Name, "Traceparent") {
			fields[i].Value = f.traces[l.name]
			return
		}
	}
}

// changes are the declared header changes of shadow requests, in a fixed order.
type changes struct {
	remove []string
	set    []parallax.Field
}

// any reports whether there are any.
func (c changes) any() bool { return len(c.remove) > 0 || len(c.set) > 0 }

// apply changes fields in place and returns them.
func (c changes) apply(fields []parallax.Field) []parallax.Field {
	if !c.any() {
		return fields
	}
	keep := fields[:0]
	for _, f := range fields {
		if !contains(c.remove, f.Name) && !c.sets(f.Name) {
			keep = append(keep, f)
		}
	}
	return append(keep, c.set...)
}

func (c changes) sets(name string) bool {
	for _, f := range c.set {
		if sameName(f.Name, name) {
			return true
		}
	}
	return false
}

func join(list, member string) string {
	if list == "" {
		return member
	}
	return list + "," + member
}

// joinAll joins the lines of a list header and what is added to it, if anything.
func joinAll(lines []string, added string) string {
	switch {
	case len(lines) == 0:
		return added
	case added != "":
		lines = append(lines, added)
	}
	return strings.Join(lines, ", ")
}
