package debezium

import (
	"net/url"
	"strings"
)

// traceparent returns the traceparent that a statement carries in a comment, as
// sqlcommenter writes it: /*traceparent='00-..-..-01'*/. Empty if there is none. What
// stands in a text or a name of the statement is no comment.
func traceparent(statement string) string {
	for rest := statement; rest != ""; {
		i := strings.IndexAny(rest, "'\"`/-#")
		if i < 0 {
			return ""
		}
		mark := rest[i]
		rest = rest[i+1:]
		switch {
		case mark == '\'' || mark == '"' || mark == '`':
			rest = afterQuote(rest, mark)
		case mark == '#', mark == '-' && strings.HasPrefix(rest, "-"):
			_, rest, _ = strings.Cut(rest, "\n")
		case mark == '/' && strings.HasPrefix(rest, "*"):
			var comment string
			comment, rest, _ = strings.Cut(rest[1:], "*/")
			if found := commented(comment); found != "" {
				return found
			}
		}
	}
	return ""
}

// afterQuote returns what stands behind the quote that closes; a doubled one opens
// again.
func afterQuote(s string, quote byte) string {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quote != '`':
			i++
		case s[i] == quote:
			return s[i+1:]
		}
	}
	return ""
}

// commented returns the traceparent among the pairs of a comment.
func commented(comment string) string {
	for pair := range strings.SplitSeq(comment, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if name != "traceparent" || len(value) < 2 || value[0] != '\'' || value[len(value)-1] != '\'' {
			continue
		}
		if plain, err := url.PathUnescape(value[1 : len(value)-1]); err == nil && isTraceparent(plain) {
			return plain
		}
	}
	return ""
}

// isTraceparent reports whether s is a traceparent of W3C Trace Context: version, trace
// id, parent id, flags.
func isTraceparent(s string) bool {
	if len(s) != 55 {
		return false
	}
	for i := range len(s) {
		switch i {
		case 2, 35, 52:
			if s[i] != '-' {
				return false
			}
		default:
			if !strings.ContainsRune("0123456789abcdef", rune(s[i])) {
				return false
			}
		}
	}
	return true
}
