package mirror

import (
	"crypto/hmac"
	"encoding/hex"
	"strconv"
	"strings"

	"parallax"
)

// A role mark travels in the baggage header (W3C Baggage) of every request to a
// leg, and on with every call that the leg makes. Another Parallax on the way
// learns from it whether the call is a shadow's. It is signed with the fleet key,
// so that a caller from outside cannot claim to be a shadow:
//
//	parallax-role=ROLE:SERVICE:EXCHANGE:HOPS:SIGNATURE
//
// ROLE is live or shadow; SERVICE and EXCHANGE say what the request to the leg
// was made for. HOPS counts the Parallaxes that the request came through in a
// row, with no service between them. SIGNATURE is half of an HMAC-SHA256 over
// SERVICE:EXCHANGE:HOPS, in hex: the first 16 bytes for live, the last 16 for
// shadow. So one computation signs both marks of a request, and who has one of
// them knows nothing of the other.
const markName = "parallax-role"

// maxHops is how many Parallaxes in a row a request may come through. Nobody
// builds such a chain: one that is longer leads in a circle.
//
// Only hops in a row count, because services may well call each other, and
// themselves, as often as they like, and pass the baggage on from job to job for
// days. What they do not pass on is X-Parallax-Leg: a request that has it was not
// made by a service, but comes from a leg's address as Parallax sent it.
const maxHops = 8

// mark is a verified role mark. The zero value stands for none.
type mark struct {
	role     role
	service  string // whose leg made the call
	exchange parallax.ID
	hops     int
}

// signed returns the mark as a member of baggage.
func (m mark) signed(key *macs) string {
	text := m.appendText(make([]byte, 0, maxMark))
	return string(appendMark(make([]byte, 0, maxMark), m.role, text, key.both(text)))
}

// maxMark is room enough for the mark of a service with a usual name, in bytes.
const maxMark = 192

// appendMark writes the mark of a role over what is signed, with the half of the
// signature that is the role's.
func appendMark(b []byte, r role, text []byte, signature [32]byte) []byte {
	b = append(append(append(b, markName...), '='), r.String()...)
	b = append(append(b, ':'), text...)
	return hex.AppendEncode(append(b, ':'), half(signature, r))
}

// appendText writes what is signed.
func (m mark) appendText(b []byte) []byte {
	b = append(append(b, m.service...), ':')
	b = append(m.exchange.Append(b), ':')
	return strconv.AppendInt(b, int64(m.hops), 10)
}

// half is the part of a signature that belongs to a role.
func half(signature [32]byte, r role) []byte {
	if r == shadow {
		return signature[16:]
	}
	return signature[:16]
}

// inARow is how many Parallaxes a request with this mark has come through since
// a service, or the caller, made it.
func (m mark) inARow(fields []parallax.Field) int {
	if value(fields, headerLeg) == "" {
		return 0
	}
	return m.hops
}

// findMark returns the genuine role mark in a request's headers, if there is one.
// Of several, a shadow's counts.
func findMark(key *macs, fields []parallax.Field) (found mark, ok bool) {
	for _, f := range fields {
		if !sameName(f.Name, "Baggage") {
			continue
		}
		for member := range strings.SplitSeq(f.Value, ",") {
			if m, genuine := readMark(key, member); genuine && (!ok || m.role == shadow) {
				found, ok = m, true
			}
		}
	}
	return found, ok
}

func readMark(key *macs, member string) (mark, bool) {
	text, ok := markText(member)
	if !ok {
		return mark{}, false
	}
	text, _, _ = strings.Cut(text, ";") // properties are not ours
	end := strings.LastIndexByte(text, ':')
	if end < 0 {
		return mark{}, false
	}
	parts := strings.Split(text[:end], ":")
	if len(parts) != 4 || (parts[0] != live.String() && parts[0] != shadow.String()) {
		return mark{}, false
	}
	m := mark{service: parts[1]}
	if parts[0] == shadow.String() {
		m.role = shadow
	}
	signature := key.both([]byte(text[len(parts[0])+1 : end]))
	if !hmac.Equal([]byte(text[end+1:]), hex.AppendEncode(nil, half(signature, m.role))) {
		return mark{}, false
	}
	var badID, badHops error
	m.exchange, badID = parallax.ParseID(parts[2])
	m.hops, badHops = strconv.Atoi(parts[3])
	return m, badID == nil && badHops == nil
}

// markText returns the value of a baggage member that claims to be a role mark.
func markText(member string) (string, bool) {
	name, text, ok := strings.Cut(strings.TrimSpace(member), "=")
	if !ok || strings.TrimSpace(name) != markName {
		return "", false
	}
	return strings.TrimSpace(text), true
}

// withoutMarks joins the lines of a baggage header and leaves out every role
// mark, genuine or not: a request that is passed on gets the mark that belongs
// to it, and no other.
func withoutMarks(lines []string) string {
	var out string
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			if _, claims := markText(member); claims || strings.TrimSpace(member) == "" {
				continue
			}
			out = join(out, strings.TrimSpace(member))
		}
	}
	return out
}
