package mirror

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"parallax"
)

// A role mark travels in the baggage header (W3C Baggage) of a shadow request,
// and on with every call the shadow leg makes. Another Parallax on the way
// learns from it that the call is a shadow's. It is signed with the fleet key,
// so that a caller from outside cannot claim to be a shadow:
//
//	parallax-role=shadow:SERVICE:EXCHANGE:SIGNATURE
//
// SIGNATURE is the first 16 bytes, in hex, of HMAC-SHA256 over what stands
// before it.
const markName = "parallax-role"

// mark is a verified role mark.
type mark struct {
	service  string // whose shadow leg made the call
	exchange parallax.ID
}

func newMark(key []byte, service string, exchange string) string {
	text := "shadow:" + service + ":" + exchange
	return markName + "=" + text + ":" + sign(key, text)
}

// findMark looks for a genuine role mark in a request's headers.
func findMark(key []byte, fields []parallax.Field) (mark, bool) {
	for _, f := range fields {
		if !strings.EqualFold(f.Name, "Baggage") {
			continue
		}
		for member := range strings.SplitSeq(f.Value, ",") {
			if m, ok := readMark(key, member); ok {
				return m, true
			}
		}
	}
	return mark{}, false
}

func readMark(key []byte, member string) (mark, bool) {
	text, ok := markText(member)
	if !ok {
		return mark{}, false
	}
	text, _, _ = strings.Cut(text, ";") // properties are not ours
	end := strings.LastIndexByte(text, ':')
	if end < 0 || !hmac.Equal([]byte(text[end+1:]), []byte(sign(key, text[:end]))) {
		return mark{}, false
	}
	parts := strings.Split(text[:end], ":")
	if len(parts) != 3 || parts[0] != "shadow" {
		return mark{}, false
	}
	id, err := parallax.ParseID(parts[2])
	return mark{service: parts[1], exchange: id}, err == nil
}

// markText returns the value of a baggage member that claims to be a role mark.
func markText(member string) (string, bool) {
	name, text, ok := strings.Cut(strings.TrimSpace(member), "=")
	if !ok || strings.TrimSpace(name) != markName {
		return "", false
	}
	return strings.TrimSpace(text), true
}

func sign(key []byte, text string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("parallax role mark 1\n"))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil)[:16])
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

// newTraceparent makes the header of a trace that begins here (W3C Trace
// Context): the exchange id is the trace id. It says "not sampled", so that
// putting Parallax in front of a service never multiplies its spans.
func newTraceparent(id parallax.ID) string {
	var b [55]byte
	copy(b[:], "00-")
	hex.Encode(b[3:], id[:])
	b[35] = '-'
	hex.Encode(b[36:], id[8:])
	copy(b[52:], "-00")
	return string(b[:])
}

// validTraceparent reports whether a traceparent can be continued: a version
// other than ff, ids that are not all zeros, lower-case hex.
func validTraceparent(s string) bool {
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' || s[:2] == "ff" {
		return false
	}
	if (s[:2] == "00" && len(s) != 55) || (len(s) > 55 && s[55] != '-') {
		return false
	}
	trace, span := s[3:35], s[36:52]
	return lowerHex(s[:2]) && lowerHex(trace) && lowerHex(span) && lowerHex(s[53:55]) &&
		strings.Trim(trace, "0") != "" && strings.Trim(span, "0") != ""
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
