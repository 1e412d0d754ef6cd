package compare

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"parallax"
	"parallax/internal/body"
	"parallax/internal/ids"
)

// about returns the identifier whose values stand at a place, and the value; nil if
// there is none.
func (n *names) about(at *place, s side) (*ids.Identifier, string) {
	switch at.kind {
	case placeJSON:
		if roles := n.sheet.Body(at.steps, string(s.value())); len(roles) > 0 {
			return roles[0].Identifier, string(s.value())
		}
	case placeHeader:
		return n.inField(parallax.Field{Name: at.name, Value: string(s.text)})
	case placeCookie:
		return n.inField(parallax.Field{Name: "Set-Cookie", Value: at.name + "=" + string(s.text)})
	}
	return nil, ""
}

// places returns how many places of identifiers may be tried at a difference, on
// each side.
func (n *names) places() int {
	if n == nil {
		return 0
	}
	return n.sheet.Places()
}

// incomplete reports whether values were left untranslated because there are too many.
func (n *names) incomplete() bool { return n != nil && n.cut }

// inField returns the first identifier in a header field, and its value.
func (n *names) inField(f parallax.Field) (*ids.Identifier, string) {
	for _, s := range n.sheet.InAnswer(&parallax.Response{Headers: []parallax.Field{f}}) {
		return s.Identifier, s.Value(s.Key)
	}
	return nil, ""
}

// named is what a difference between two values of an identifier comes to.
type named struct {
	kind      Kind
	unknown   bool   // neither value has a partner: nobody can say
	candidate []byte // what stands there, with the candidate's own value
	own       string // that value
	why       string
}

// judge tells what a difference at a place of an identifier comes to; false if it is
// none of an identifier's.
func (n *names) judge(at *place, kind Kind, primary, candidate side) (named, bool) {
	if n == nil || kind != Changed && kind != Type {
		return named{}, false
	}
	id, meant := n.about(at, primary)
	other, now := n.about(at, candidate)
	if id == nil || id != other || meant == now && kind == Changed {
		return named{}, false
	}
	was, known := n.was[id.Name][now]
	if !known {
		if at.kind != placeJSON && !bytes.Equal(without(primary.text, meant), without(candidate.text, now)) {
			return named{}, false // More than the identifier differs in this header.
		}
		return n.unknown(id, meant, now, candidate), true
	}
	own := id.Value(was.Value)
	out := named{kind: Changed, candidate: bytes.Replace(candidate.text, []byte(now), []byte(own), 1), own: own}
	_, foreign := strings.CutSuffix(now, ownMark)
	now, number := strings.CutSuffix(now, numberMark)
	if number {
		out.candidate, kind = []byte(own), Type
	}
	switch {
	case foreign:
		out.why = fmt.Sprintf("%s %s of the candidate has no partner, and %[2]s of the primary stands for something else", id.Name, own)
	case meant == now:
		out.kind, out.why = kind, fmt.Sprintf("%s %s of the candidate stands for %s of the primary, but is of another type", id.Name, own, now)
	default:
		out.why = fmt.Sprintf("%s %s of the candidate stands for %s of the primary", id.Name, own, now)
	}
	return out, true
}

// unknown judges a value of the candidate that has no partner, or may be one of too
// many.
func (n *names) unknown(id *ids.Identifier, meant, now string, candidate side) named {
	ref := ids.Ref{Name: id.Name, Leg: parallax.Primary, Value: n.sheet.Key(id, meant)}
	if n.ids.View.Partner(ref, parallax.Candidate).State != ids.Paired && !id.Same || n.cut {
		return named{kind: Changed, unknown: true, candidate: candidate.text, why: id.Name + ": neither value has a partner on the other leg, so that nobody knows what they stand for"}
	}
	return named{kind: Changed, candidate: candidate.text, why: fmt.Sprintf("%s %s of the candidate stands for nothing known", id.Name, now)}
}

// without returns what stands around a value in a header.
func without(text []byte, value string) []byte {
	for _, spelled := range []string{value, url.PathEscape(value), url.QueryEscape(value)} {
		if before, after, ok := bytes.Cut(text, []byte(spelled)); ok {
			return slices.Concat(before, []byte{0}, after)
		}
	}
	return text
}

// numberMark follows a value that is no number where the leg has one that stands for
// it, so that the types differ.
const numberMark = " (a number)"

// written returns a value as it is put where a leg has its own.
func written(s ids.Spot, value string) string {
	if _, err := body.ParseDecimal([]byte(value)); err != nil && s.Span.Number() && !strings.HasSuffix(value, ownMark) {
		return value + numberMark
	}
	return value
}

// side is the candidate's side of a difference with its own value, which is what
// rules are asked about.
func (n *named) side(candidate side) side {
	if n.own != "" && candidate.whole != nil {
		candidate.whole = []byte(n.own)
	}
	return candidate
}

// own returns what the candidate itself has at a place where both sides agree once
// its values are translated.
func (n *names) own(at *place, s side) side {
	if n == nil {
		return s
	}
	id, meant := n.about(at, s)
	if id == nil {
		return s
	}
	was, known := n.was[id.Name][meant]
	if !known {
		return s
	}
	own := id.Value(was.Value)
	s.text = bytes.Replace(s.text, []byte(meant), []byte(own), 1)
	if s.whole != nil {
		s.whole = []byte(own)
	}
	return s
}
