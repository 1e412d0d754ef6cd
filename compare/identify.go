package compare

import (
	"bytes"
	"slices"
	"strings"

	"parallax"
	"parallax/internal/body"
	"parallax/internal/ids"
)

// Identifiers is what is known of values that each leg makes up by itself. Besides
// [Identifiers.Refs] nothing changes it: it may be shared by those who come later.
type Identifiers struct {
	Set     *ids.Set
	View    *ids.View               // of the values that [Identifiers.Refs] lists
	Origins [parallax.Legs][]string // scheme, host and port of each leg, such as http://10.0.0.7:9002

	looked *parallax.Exchange // whose answers Refs has looked into
	spots  [parallax.Legs][]ids.Spot
}

// identified is the class of a difference between two values of an identifier.
const identified = "identifier"

// maxTranslated bounds a body whose identifiers are translated, decoded, in bytes.
const maxTranslated = 8 << 20

// Refs lists the values at places of identifiers in all answers of an exchange. A
// view of them is all that comparing needs: each by its own leg, and what another
// leg has by the primary as well, since the same text may stand for something else
// there. What was found is remembered for comparing the exchange.
func (i *Identifiers) Refs(x *parallax.Exchange) []ids.Ref {
	i.looked, i.spots = nil, [parallax.Legs][]ids.Spot{}
	var refs []ids.Ref
	for leg := range parallax.Leg(parallax.Legs) {
		if !i.looksAt(x, leg) {
			continue
		}
		i.spots[leg] = i.inAnswer(x, leg)
		for _, s := range i.spots[leg] {
			refs = append(refs, s.Ref(leg))
			if leg != parallax.Primary {
				refs = append(refs, s.Ref(parallax.Primary))
			}
		}
	}
	i.looked = x
	return refs
}

// inAnswer returns the values of identifiers in a leg's answer.
func (i *Identifiers) inAnswer(x *parallax.Exchange, leg parallax.Leg) []ids.Spot {
	if i.looked == x {
		return i.spots[leg]
	}
	return i.sheet(x, leg).InAnswer(&x.Legs[leg].Response)
}

// looksAt reports whether a leg's answer may have identifiers. Those that are built
// in stand in Link, the only header of theirs that is compared, and in bodies where
// identifiers are declared.
func (i *Identifiers) looksAt(x *parallax.Exchange, leg parallax.Leg) bool {
	call := x.Legs[leg]
	if i == nil || call == nil || call.Err.Kind != parallax.NoError {
		return false
	}
	return i.Set.Declared() || HasLink(&call.Response)
}

// HasLink reports whether an answer has the header Link, in which cursors stand that
// need not be declared.
func HasLink(r *parallax.Response) bool {
	return slices.ContainsFunc(r.Headers, func(f parallax.Field) bool { return strings.EqualFold(f.Name, "Link") })
}

// sheet returns the places that hold for a leg's answer.
func (i *Identifiers) sheet(x *parallax.Exchange, leg parallax.Leg) *ids.Sheet {
	q := &x.Legs[leg].Request
	sheet := i.Set.On(leg, q.Method, q.Target)
	if live := x.Legs[x.Live]; live != nil {
		sheet.As(live.Request.Target)
	}
	return sheet
}

// names is what the finder knows of identifiers in one pair of answers, of which
// the candidate's was translated.
type names struct {
	ids   *Identifiers
	sheet *ids.Sheet                    // of the primary's answer
	was   map[string]map[string]ids.Ref // what a translated value was, by identifier
	cut   bool                          // an answer has more values than are translated
}

// translated returns the exchange as it would be had all legs made up the
// primary's values: what a value of another leg stands for is put in its place. A
// value that stands for nothing known stays, unless the primary calls something else
// by it. So a wrong reference differs and a renamed one does not, wherever it
// stands and however arrays are aligned.
func (i *Identifiers) translated(x *parallax.Exchange) (*parallax.Exchange, *names) {
	if i == nil {
		return x, nil
	}
	out := *x
	n := &names{ids: i, was: map[string]map[string]ids.Ref{}}
	for leg := range parallax.Leg(parallax.Legs) {
		if call := x.Legs[leg]; call == nil || call.Err.Kind != parallax.NoError {
			continue
		}
		if i.looksAt(x, leg) {
			if leg == parallax.Primary {
				n.sheet = i.sheet(x, leg)
			} else {
				out.Legs[leg] = i.call(x, leg, n)
			}
		}
		if origin := i.Origins[parallax.Primary]; len(origin) > 0 {
			out.Legs[leg] = withOrigin(out.Legs[leg], i.Origins[leg], origin[0])
		}
	}
	if n.sheet == nil {
		return &out, nil
	}
	return &out, n
}

// call translates a leg's answer.
func (i *Identifiers) call(x *parallax.Exchange, leg parallax.Leg, n *names) *parallax.Call {
	call := x.Legs[leg]
	spots := i.inAnswer(x, leg)
	if len(spots) == 0 {
		return call
	}
	n.cut = n.cut || len(spots) == ids.MaxSpots
	born := i.onlyBorn(x, spots)
	var edits []ids.Edit
	for _, s := range spots {
		to := i.meaning(s, leg, born)
		was, now := s.Value(s.Key), written(s, s.Value(to))
		if was == now || s.Span.Empty() { // What cannot be put in its place stays, and differs.
			continue
		}
		if leg == parallax.Candidate {
			n.note(s, now, leg)
		}
		edits = append(edits, ids.Edit{Span: s.Span, Value: now})
	}
	return edited(call, edits)
}

// note remembers what a value of the candidate was.
func (n *names) note(s ids.Spot, now string, leg parallax.Leg) {
	if n.was[s.Name] == nil {
		n.was[s.Name] = map[string]ids.Ref{}
	}
	n.was[s.Name][now] = s.Ref(leg)
}

// onlyBorn returns, by identifier, the value that the primary made up with its
// answer where both legs made up one only: they are a pair whether that was learned
// or not.
func (i *Identifiers) onlyBorn(x *parallax.Exchange, spots []ids.Spot) map[string]string {
	if !i.looksAt(x, parallax.Primary) {
		return nil
	}
	primary := bornOnce(i.inAnswer(x, parallax.Primary))
	other := bornOnce(spots)
	out := map[string]string{}
	for name, key := range primary {
		if other[name] != "" {
			out[name] = key
		}
	}
	return out
}

// bornOnce returns the keys of identifiers of which an answer makes up one value.
func bornOnce(spots []ids.Spot) map[string]string {
	out := map[string]string{}
	for _, s := range spots {
		if !s.Born {
			continue
		}
		if known, ok := out[s.Name]; ok && known != s.Key {
			out[s.Name] = ""
		} else {
			out[s.Name] = s.Key
		}
	}
	return out
}

// meaning returns the key of what the primary calls a leg's value.
func (i *Identifiers) meaning(s ids.Spot, leg parallax.Leg, born map[string]string) string {
	if p := i.View.Partner(s.Ref(leg), parallax.Primary); p.State == ids.Paired {
		return p.Value
	}
	if s.Born && born[s.Name] != "" {
		return born[s.Name]
	}
	if p := i.View.Partner(s.Ref(parallax.Primary), leg); p.State == ids.Paired && p.Value != s.Key {
		return s.Key + ownMark
	}
	return s.Key
}

// ownMark follows a value that is another's on the primary.
const ownMark = " (the leg's own)"

// edited returns a call whose answer has other values. Its body is stored decoded.
func edited(call *parallax.Call, edits []ids.Edit) *parallax.Call {
	if len(edits) == 0 {
		return call
	}
	out := *call
	r := &out.Response
	if plain, err := body.Decode(header(r.Headers, "content-encoding"), r.Body.Bytes, maxTranslated); err == nil && !r.Body.Cut {
		q := parallax.Request{Headers: r.Headers}
		setBody(r, ids.Rewrite(&q, plain, edits), q.Headers)
	} else {
		q := parallax.Request{Headers: r.Headers}
		ids.Rewrite(&q, nil, edits) // Of a body that cannot be read nothing was found.
		r.Headers = q.Headers
	}
	return &out
}

// setBody replaces an answer's body by one without coding.
func setBody(r *parallax.Response, text []byte, headers []parallax.Field) {
	r.Body = parallax.Body{Bytes: text, Size: int64(len(text))}
	r.Headers = slices.DeleteFunc(slices.Clone(headers), func(f parallax.Field) bool { return strings.EqualFold(f.Name, "Content-Encoding") })
}

// withOrigin returns a call in whose answer addresses of the leg itself are those
// of the primary: in the headers that lead somewhere, and in the body.
func withOrigin(call *parallax.Call, own []string, origin string) *parallax.Call {
	for _, o := range own {
		if o == origin {
			continue
		}
		call = replacedOrigin(call, o, origin)
	}
	return call
}

func replacedOrigin(call *parallax.Call, own, origin string) *parallax.Call {
	out := call
	change := func() *parallax.Response {
		if out == call {
			c := *call
			c.Response.Headers = slices.Clone(c.Response.Headers)
			out = &c
		}
		return &out.Response
	}
	for k, f := range call.Response.Headers {
		switch strings.ToLower(f.Name) {
		case "location", "content-location", "link", "refresh":
			if value := replaceOrigin([]byte(f.Value), own, origin); !bytes.Equal(value, []byte(f.Value)) {
				change().Headers[k].Value = string(value)
			}
		}
	}
	r := &call.Response
	if r.Body.Cut || !FormatOf(header(r.Headers, "content-type")).text() {
		return out
	}
	plain, err := body.Decode(header(r.Headers, "content-encoding"), r.Body.Bytes, maxTranslated)
	if err != nil {
		return out
	}
	text := replaceOrigin(plain, own, origin)
	text = replaceOrigin(text, strings.ReplaceAll(own, "/", `\/`), strings.ReplaceAll(origin, "/", `\/`))
	if !bytes.Equal(text, plain) {
		setBody(change(), text, out.Response.Headers)
	}
	return out
}

// replaceOrigin replaces an origin where it ends there: http://a:90 is not the
// beginning of http://a:9002 or http://a:90.example.
func replaceOrigin(text []byte, own, origin string) []byte {
	if !bytes.Contains(text, []byte(own)) {
		return text
	}
	var out []byte
	for {
		at := bytes.Index(text, []byte(own))
		if at < 0 {
			return append(out, text...)
		}
		end := at + len(own)
		out = append(out, text[:at]...)
		if end < len(text) && (nameByte(text[end]) || text[end] == ':') {
			out = append(out, own...)
		} else {
			out = append(out, origin...)
		}
		text = text[end:]
	}
}
