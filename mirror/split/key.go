package split

import (
	"fmt"
	"net/textproto"
	"strings"

	"parallax"
)

// Key says where a user's name stands in a request: in a header, in a cookie, in
// a token that stands in one of them, or in the address it came from. With the
// zero value users are unknown. Two keys that read the same are equal.
type Key struct {
	from  keyKind
	name  string
	claim string // of the token there; "": what is there is the name
}

type keyKind uint8

const (
	fromNowhere keyKind = iota
	fromHeader
	fromCookie
	fromAddress
)

// KeyHint says what keys look like, for faults.
const KeyHint = "write header:X-User, cookie:sid, jwt:sub or ip"

// ParseKey reads a key: header:NAME, cookie:NAME, jwt:CLAIM for a claim of the
// bearer token, jwt:CLAIM@header:NAME or jwt:CLAIM@cookie:NAME for one of a token
// elsewhere, ip, or nothing for the zero value.
func ParseKey(text string) (Key, error) {
	kind, name, _ := strings.Cut(text, ":")
	switch {
	case text == "":
		return Key{}, nil
	case text == "ip":
		return Key{from: fromAddress}, nil
	case kind == "header" && parallax.IsToken(name):
		return Key{from: fromHeader, name: textproto.CanonicalMIMEHeaderKey(name)}, nil
	case kind == "cookie" && parallax.IsToken(name):
		return Key{from: fromCookie, name: name}, nil
	case kind == "jwt":
		return parseClaim(text, name)
	}
	return Key{}, fmt.Errorf("cannot read %q as the key of users", text)
}

// User finds the user's name in a request, "" when it is unknown. The address
// is the peer's; what a caller writes into X-Forwarded-For does not count.
func (k Key) User(headers []parallax.Field, address string) string {
	var found string
	switch k.from {
	case fromAddress:
		return address
	case fromHeader:
		found = first(headers, k.name)
	case fromCookie:
		found = cookie(headers, k.name)
	}
	if k.claim != "" {
		return claimOf(found, k.claim)
	}
	return found
}

func first(headers []parallax.Field, name string) string {
	for _, h := range headers {
		if strings.EqualFold(h.Name, name) {
			return strings.TrimSpace(h.Value)
		}
	}
	return ""
}

// cookie finds a cookie by its name alone. A browser sends all that were ever set
// for the host, whoever set them; one with an odd value, or none, does not hide
// the others.
func cookie(headers []parallax.Field, name string) string {
	for _, h := range headers {
		if !strings.EqualFold(h.Name, "Cookie") {
			continue
		}
		for pair := range strings.SplitSeq(h.Value, ";") {
			found, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
			if ok && strings.TrimSpace(found) == name {
				return unquoted(strings.TrimSpace(value))
			}
		}
	}
	return ""
}

// unquoted takes off the quotes that may enclose a cookie's value (RFC 6265
// section 4.1.1).
func unquoted(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}
