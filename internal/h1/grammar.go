package h1

import (
	"strings"

	"parallax"
)

// Classes of bytes (RFC 9110 section 5.6, RFC 9112 section 3).
const (
	inToken  uint8 = 1 << iota // methods and field names
	inValue                    // field values: visible, space, tab and obs-text
	inTarget                   // request targets: visible and obs-text
	inHost                     // host and port, IP literals included
	inHex
)

var class = classes()

func classes() (table [256]uint8) {
	for b := range 256 {
		switch {
		case b == '\t' || b == ' ':
			table[b] |= inValue
		case b > ' ' && b != 0x7f:
			table[b] |= inValue | inTarget
		}
	}
	mark := func(bytes string, as uint8) {
		for i := range len(bytes) {
			table[bytes[i]] |= as
		}
	}
	const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	mark(alphanumeric+"!#$%&'*+-.^_`|~", inToken)
	mark(alphanumeric+"-._~!$&'()*+,;=:[]", inHost)
	mark("0123456789ABCDEFabcdef", inHex)
	return table
}

// all reports whether s is not empty and every byte of it is of one class.
func all(s string, of uint8) bool {
	for i := range len(s) {
		if class[s[i]]&of == 0 {
			return false
		}
	}
	return s != ""
}

// trim removes the spaces and tabs around a field value.
func trim(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// parseFields reads field lines, each ended by CR LF, up to the end of s. The
// fields point into s.
func parseFields(s string, most int) ([]parallax.Field, error) {
	if s == "" {
		return nil, nil
	}
	count := strings.Count(s, "\n")
	if count > most {
		return nil, errManyFields
	}
	fields := make([]parallax.Field, 0, count)
	for s != "" {
		colon := 0
		for colon < len(s) && class[s[colon]]&inToken != 0 {
			colon++
		}
		if colon == 0 || colon == len(s) || s[colon] != ':' {
			return nil, badName(s[colon:])
		}
		end := colon + 1
		for end < len(s) && class[s[end]]&inValue != 0 {
			end++
		}
		if !strings.HasPrefix(s[end:], "\r\n") {
			return nil, errBadValue
		}
		fields = append(fields, parallax.Field{Name: s[:colon], Value: trim(s[colon+1 : end])})
		s = s[end+2:]
	}
	return fields, nil
}

// badName says what is wrong with a field line that stops being a name at rest.
func badName(rest string) error {
	if rest != "" && (rest[0] == ' ' || rest[0] == '\t') {
		return errFold
	}
	return errBadName
}

// eachToken calls f with every element of a comma-separated value.
func eachToken(value string, f func(token string)) {
	for value != "" {
		token, rest, _ := strings.Cut(value, ",")
		if token = trim(token); token != "" {
			f(token)
		}
		value = rest
	}
}

// framing is what the fields of a head say about the message's length and the
// connection.
type framing struct {
	length    int64 // declared; -1 when none was
	chunked   bool
	close     bool // Connection: close
	keepAlive bool // Connection: keep-alive
	upgrade   bool // Connection: upgrade
	protocol  string
	host      string
	hosts     int
	expect    string
	expects   bool
	trailers  []string
}

// frame reads the fields that decide about framing and refuses what two readers
// could take for different messages.
func frame(fields []parallax.Field) (framing, error) {
	fr := framing{length: -1}
	for i := range fields {
		var err error
		name, value := fields[i].Name, fields[i].Value
		switch len(name) {
		case 4:
			if strings.EqualFold(name, "Host") {
				fr.host, fr.hosts = value, fr.hosts+1
			}
		case 6:
			if strings.EqualFold(name, "Expect") {
				if fr.expects {
					fr.expect += ","
				}
				fr.expect, fr.expects = fr.expect+value, true
			}
		case 7:
			switch {
			case strings.EqualFold(name, "Trailer"):
				err = fr.announce(value)
			case strings.EqualFold(name, "Upgrade"):
				fr.protocol = value
			}
		case 10:
			if strings.EqualFold(name, "Connection") {
				eachToken(value, fr.connection)
			}
		case 14:
			if strings.EqualFold(name, "Content-Length") {
				err = fr.declare(value)
			}
		case 17:
			if strings.EqualFold(name, "Transfer-Encoding") {
				err = fr.encode(value)
			}
		}
		if err != nil {
			return fr, err
		}
	}
	if fr.chunked && fr.length >= 0 {
		return fr, errBothLengths
	}
	return fr, nil
}

func (fr *framing) connection(token string) {
	switch {
	case strings.EqualFold(token, "close"):
		fr.close = true
	case strings.EqualFold(token, "keep-alive"):
		fr.keepAlive = true
	case strings.EqualFold(token, "upgrade"):
		fr.upgrade = true
	}
}

// declare takes a Content-Length. A second one is refused even if it is equal.
func (fr *framing) declare(value string) error {
	if fr.length >= 0 {
		return errTwoLengths
	}
	if value == "" || len(value) > 18 {
		return errBadLength
	}
	var n int64
	for i := range len(value) {
		d := value[i] - '0'
		if d > 9 {
			return errBadLength
		}
		n = n*10 + int64(d)
	}
	fr.length = n
	return nil
}

// encode takes a Transfer-Encoding. Only one chunked is understood.
func (fr *framing) encode(value string) error {
	if fr.chunked || !strings.EqualFold(value, "chunked") {
		return errBadCoding
	}
	fr.chunked = true
	return nil
}

// announce takes a Trailer field.
func (fr *framing) announce(value string) (err error) {
	eachToken(value, func(name string) {
		switch {
		case framesMessage(name):
			err = errBadTrailer
		case !all(name, inToken):
			err = errBadTrailer
		case !forbiddenTrailer(name):
			fr.trailers = append(fr.trailers, name)
		}
	})
	return err
}

// framesMessage reports whether a field frames the message that it stands in,
// so that nobody may announce it for after the body.
func framesMessage(name string) bool {
	return strings.EqualFold(name, "Content-Length") || strings.EqualFold(name, "Transfer-Encoding") ||
		strings.EqualFold(name, "Trailer")
}

// notInTrailers are the fields that change how a message is framed, routed,
// authenticated or read, and so come too late after its body (RFC 9110 section
// 6.5.1).
var notInTrailers = []string{
	"Authorization", "Cache-Control", "Connection", "Content-Encoding", "Content-Length", "Content-Range", "Content-Type",
	"Cookie", "Expect", "Host", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since",
	"Keep-Alive", "Max-Forwards", "Pragma", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Range",
	"Set-Cookie", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "WWW-Authenticate",
}

func forbiddenTrailer(name string) bool {
	for _, forbidden := range notInTrailers {
		if strings.EqualFold(name, forbidden) {
			return true
		}
	}
	return false
}

// parseTrailers reads the trailer section and leaves out what must not stand in
// one.
func parseTrailers(s string, most int) ([]parallax.Field, error) {
	fields, err := parseFields(s, most)
	if err != nil {
		return nil, err
	}
	kept := fields[:0]
	for _, f := range fields {
		if !forbiddenTrailer(f.Name) {
			kept = append(kept, f)
		}
	}
	return kept, nil
}
