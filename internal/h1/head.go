package h1

import (
	"net/url"
	"strings"

	"parallax"
)

// maxTarget bounds a request target, in bytes. It is what other servers take.
const maxTarget = 32 << 10

// preface starts every HTTP/2 connection (RFC 9113 section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// head is a request head that was understood.
type head struct {
	method, uri, target, proto string
	fields                     []parallax.Field // without Host
	framing
}

// parseRequest reads a request head: request line and field lines, each with its
// CR LF, without the empty line. Everything in the result points into s.
func parseRequest(s string, most int) (h head, err error) {
	end := strings.IndexByte(s, '\n')
	if end < 1 || s[end-1] != '\r' {
		return h, errBareLF
	}
	if h.method, h.uri, h.proto, err = parseRequestLine(s[:end-1]); err != nil {
		return h, err
	}
	var authority string
	if h.target, authority, err = parseTarget(h.method, h.uri); err != nil {
		return h, err
	}
	if h.fields, err = parseFields(s[end+1:], most); err != nil {
		return h, err
	}
	if h.framing, err = frame(h.fields); err != nil {
		return h, err
	}
	if err := h.checkHost(authority); err != nil {
		return h, err
	}
	if h.proto == "HTTP/1.0" {
		if h.chunked {
			return h, errOldChunked
		}
		h.expects = false // RFC 9110 section 10.1.1
	}
	if h.expects && !strings.EqualFold(h.expect, "100-continue") {
		return h, errExpectation
	}
	return h, nil
}

func parseRequestLine(line string) (method, uri, proto string, err error) {
	method, rest, _ := strings.Cut(line, " ")
	uri, proto, _ = strings.Cut(rest, " ")
	switch {
	case len(uri) > maxTarget:
		return "", "", "", errLongTarget
	case !all(method, inToken) || !all(uri, inTarget):
		return "", "", "", errBadLine
	case proto == "HTTP/1.1" || proto == "HTTP/1.0":
		return method, uri, proto, nil
	case line == "PRI * HTTP/2.0":
		return "", "", "", errPreface
	case strings.HasPrefix(proto, "HTTP/"):
		return "", "", "", errBadVersion
	}
	return "", "", "", errBadLine
}

// CheckLine reports what is wrong with the method, target and host of a request
// that came by another version of HTTP, by the rules of this one: nil means that
// it can be passed on as HTTP/1.1 and be read in one way only. An empty host is
// none.
func CheckLine(method, target, host string) *Refusal {
	switch {
	case len(target) > maxTarget:
		return errLongTarget
	case !all(method, inToken) || !all(target, inTarget):
		return errBadLine
	case host != "" && !goodHost(host):
		return errBadHost
	}
	if _, _, err := parseTarget(method, target); err != nil {
		return errBadTarget
	}
	return nil
}

// parseTarget returns path and query of a request target, and its authority if
// it has one (RFC 9112 section 3.2).
func parseTarget(method, uri string) (target, authority string, err error) {
	switch {
	case method == "CONNECT":
		if u, err := url.ParseRequestURI("http://" + uri); err != nil || u.Host != uri || !all(uri, inHost) {
			return "", "", errBadTarget
		}
		return uri, uri, nil
	case uri[0] == '/':
		if !goodPath(uri) {
			return "", "", errBadTarget
		}
		return uri, "", nil
	case uri == "*" && method == "OPTIONS":
		return uri, "", nil
	}
	return parseAbsolute(method, uri)
}

// goodPath reports whether every escape before the query is one. A fragment has
// no place in a target.
func goodPath(uri string) bool {
	if strings.IndexByte(uri, '#') >= 0 {
		return false
	}
	path, _, _ := strings.Cut(uri, "?")
	for {
		escape := strings.IndexByte(path, '%')
		if escape < 0 {
			return true
		}
		if len(path) < escape+3 || class[path[escape+1]]&inHex == 0 || class[path[escape+2]]&inHex == 0 {
			return false
		}
		path = path[escape+3:]
	}
}

func parseAbsolute(method, uri string) (target, authority string, err error) {
	u, err := url.ParseRequestURI(uri)
	if err != nil || u.User != nil || u.Opaque != "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", "", errBadTarget
	}
	_, rest, _ := strings.Cut(uri, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, target = rest[:end], rest[end:]
	if authority != u.Host || !all(authority, inHost) {
		return "", "", errBadTarget
	}
	switch {
	case target == "" && method == "OPTIONS":
		target = "*"
	case target == "" || target[0] == '?':
		target = "/" + target
	}
	if !goodPath(target) {
		return "", "", errBadTarget
	}
	return target, authority, nil
}

// checkHost settles the host: an authority in the target wins, but there must
// be one good Host field all the same, but for HTTP/1.0, where there may be
// none (RFC 9112 section 3.2). The field is taken out.
func (h *head) checkHost(authority string) error {
	if h.hosts > 1 || h.hosts == 0 && h.proto == "HTTP/1.1" || h.hosts == 1 && !goodHost(h.host) {
		return errBadHost
	}
	if h.hosts == 1 {
		for i := range h.fields {
			if strings.EqualFold(h.fields[i].Name, "Host") {
				h.fields = append(h.fields[:i], h.fields[i+1:]...)
				break
			}
		}
	}
	if authority != "" {
		h.host = authority
	}
	return nil
}

// goodHost reports whether s is a host with an optional port.
func goodHost(s string) bool {
	if !all(s, inHost) {
		return false
	}
	host, port := s, ""
	if literal := strings.LastIndexByte(s, ']'); literal >= 0 {
		if s[0] != '[' || literal < 3 {
			return false
		}
		host, port = s[1:literal], s[literal+1:]
		if port != "" && port[0] != ':' {
			return false
		}
		port = strings.TrimPrefix(port, ":")
	} else if strings.IndexByte(s, ':') >= 0 {
		if host, port, _ = strings.Cut(s, ":"); host == "" || strings.IndexByte(port, ':') >= 0 {
			return false
		}
	}
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' {
			return false
		}
	}
	return strings.IndexByte(host, '[') < 0 && strings.IndexByte(host, ']') < 0
}

// statusHead is a response head that was understood.
type statusHead struct {
	status int
	old    bool // HTTP/1.0
	fields []parallax.Field
	framing
}

// parseResponse reads a response head: status line and field lines, each with
// its CR LF, without the empty line.
func parseResponse(s string, most int) (h statusHead, err error) {
	end := strings.IndexByte(s, '\n')
	if end < 1 || s[end-1] != '\r' {
		return h, errBareLF
	}
	line := s[:end-1]
	if len(line) < len("HTTP/1.1 200") || line[:7] != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' {
		return h, errBadStatus
	}
	h.old = line[7] == '0'
	for _, digit := range []byte(line[9:12]) {
		if digit < '0' || digit > '9' {
			return h, errBadStatus
		}
		h.status = h.status*10 + int(digit-'0')
	}
	if reason := line[12:]; h.status < 100 || reason != "" && (reason[0] != ' ' || !all(reason, inValue)) {
		return h, errBadStatus
	}
	if h.fields, err = parseFields(s[end+1:], most); err != nil {
		return h, err
	}
	if h.framing, err = frame(h.fields); err != nil {
		return h, err
	}
	if h.old && h.chunked {
		return h, errOldChunked
	}
	return h, nil
}

// bodyless reports whether an answer ends with its head, whatever its fields say
// (RFC 9112 section 6.3).
func bodyless(method string, status int) bool {
	return method == "HEAD" || status < 200 || status == 204 || status == 304
}
