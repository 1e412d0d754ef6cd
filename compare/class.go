package compare

import (
	"bytes"
	"encoding/base64"
	"net/mail"
	"net/netip"
	"net/url"
	"time"

	"parallax/internal/body"
)

// class is a form of values that can be told by looking at one.
type class struct {
	name string
	has  func(text []byte) bool
}

// classes lists the value classes, from the closest to the widest.
var classes = []class{
	{"uuid", isUUID},
	{"timestamp", func(text []byte) bool { _, ok := readTime(text, "rfc3339", "http"); return ok }},
	{"date", func(text []byte) bool { _, err := time.Parse(time.DateOnly, string(text)); return err == nil }},
	{"jwt", isJWT},
	{"url", isURL},
	{"email", isEmail},
	{"ip", func(text []byte) bool { _, err := netip.ParseAddr(string(text)); return err == nil }},
	{"integer", isInteger},
	{"number", func(text []byte) bool { _, err := body.ParseDecimal(text); return err == nil }},
	{"hex", isHex},
	{"base64", isBase64},
}

// ClassNames lists the value classes a rule may name, from the closest to the
// widest: uuid (RFC 9562), timestamp (RFC 3339 or HTTP), date (2026-11-21), jwt,
// url (with scheme and host), email, ip, integer, number, hex (at least 2 digits,
// an even number of them) and base64 (at least 4 characters, either alphabet, with
// or without padding).
func ClassNames() []string {
	var names []string
	for _, c := range classes {
		names = append(names, c.name)
	}
	return names
}

// HasClass reports whether a value, without quotes, looks like a class of
// [ClassNames]. Values of more than 64 KiB are of no class.
func HasClass(name string, value []byte) bool {
	for _, c := range classes {
		if c.name == name {
			return len(value) <= maxMatched && c.has(value)
		}
	}
	return false
}

// maxMatched bounds the values, in bytes, that classes and expressions are tried
// on. Longer ones do not match.
const maxMatched = 64 << 10

// maxClassed bounds addresses, which are never as long as texts.
const maxClassed = 8 << 10

func isURL(text []byte) bool {
	if len(text) > maxClassed || !bytes.Contains(text, []byte("://")) {
		return false
	}
	u, err := url.Parse(string(text))
	return err == nil && u.Scheme != "" && u.Host != ""
}

func isEmail(text []byte) bool {
	if len(text) > 320 || bytes.IndexByte(text, '@') < 1 {
		return false
	}
	a, err := mail.ParseAddress(string(text))
	return err == nil && a.Name == "" && a.Address == string(text)
}

func isInteger(text []byte) bool {
	digits := bytes.TrimPrefix(text, []byte("-"))
	for _, c := range digits {
		if !isDigit(c) {
			return false
		}
	}
	return len(digits) > 0
}

func isHex(text []byte) bool {
	for _, c := range text {
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return len(text) >= 2 && len(text)%2 == 0
}

func isBase64(text []byte) bool {
	text = bytes.TrimRight(text, "=")
	if len(text) < 4 || len(text)%4 == 1 {
		return false
	}
	letters := 0
	for _, c := range text {
		switch {
		case c|0x20 >= 'a' && c|0x20 <= 'z', isDigit(c):
			letters++
		case c != '+' && c != '/' && c != '-' && c != '_':
			return false
		}
	}
	return letters > 0
}

// isJWT reports whether text is a JSON Web Token or another one in the compact
// form of RFC 7515: parts in base64url with dots between, the first a JSON object.
func isJWT(text []byte) bool {
	parts := bytes.Split(text, []byte("."))
	if len(parts) != 3 && len(parts) != 5 {
		return false
	}
	head, err := base64.RawURLEncoding.DecodeString(string(parts[0]))
	return err == nil && bytes.HasPrefix(head, []byte("{")) && bytes.HasSuffix(head, []byte("}"))
}
