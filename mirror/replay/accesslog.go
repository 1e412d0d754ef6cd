package replay

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"parallax"
	"parallax/mirror"
)

// combined is a line of the combined format, or of the common one, which lacks
// the last two: address, identity, user, time, request line, status, bytes,
// referrer, agent. What follows is passed over.
var combined = regexp.MustCompile(`^(\S+) \S+ (\S+) \[([^\]]+)\] "((?:[^"\\]|\\.)*)" \d{3} (?:\d+|-)(?: "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)")?(?: .*)?$`)

const logTime = "02/Jan/2006:15:04:05 -0700"

// parseAccessLog reads a line of an access log. Logs have no bodies, so that
// only methods that have none are replayed.
func parseAccessLog(where string, line []byte) (Request, error) {
	m := combined.FindStringSubmatch(string(line))
	if m == nil {
		return Request{}, &Skip{Malformed, where, errors.New(`it is not a line of the combined format, such as 192.0.2.7 - - [21/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8"`)}
	}
	at, err := time.Parse(logTime, m[3])
	if err != nil {
		return Request{}, &Skip{Malformed, where, fmt.Errorf("cannot read the time %q", m[3])}
	}
	parts := strings.Split(unescape(m[4]), " ")
	if len(parts) != 3 || !strings.HasPrefix(parts[2], "HTTP/") {
		return Request{}, &Skip{Malformed, where, fmt.Errorf("cannot read the request line %.80q", m[4])}
	}
	switch parts[0] {
	case "GET", "HEAD", "OPTIONS":
	default:
		return Request{}, &Skip{NoBody, where, fmt.Errorf("the log has no body of this %.20s; record HAR or JSON lines to replay it", parts[0])}
	}
	r := Request{Time: at, Where: where, Recorded: mirror.Recorded{Method: parts[0], Target: parts[1], User: unlessDash(m[2]), RemoteIP: m[1]}}
	for i, name := range []string{"Referer", "User-Agent"} {
		if v := unlessDash(unescape(m[5+i])); v != "" {
			r.Headers = append(r.Headers, parallax.Field{Name: name, Value: v})
		}
	}
	return r.checked(nil)
}

func unlessDash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

var escapes = regexp.MustCompile(`\\(x[0-9A-Fa-f]{2}|.)`)

// unescape takes back what servers do to quotes, backslashes and other bytes.
func unescape(s string) string {
	return escapes.ReplaceAllStringFunc(s, func(e string) string {
		if len(e) == 4 {
			if b, err := strconv.ParseUint(e[2:], 16, 8); err == nil {
				return string([]byte{byte(b)})
			}
		}
		switch e[1] {
		case 't':
			return "\t"
		case 'n':
			return "\n"
		case 'r':
			return "\r"
		}
		return e[1:]
	})
}
