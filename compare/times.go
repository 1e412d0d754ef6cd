package compare

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// within reports whether two values are times that lie within the rule's window
// of each other, and of when the request came if the rule asks for that. The window
// is longer by what the second answer is later by.
func (t *Time) within(p, c []byte, received time.Time, later time.Duration) bool {
	a, okA := t.read(p)
	b, okB := t.read(c)
	window := t.Within + later
	if !okA || !okB || a.Sub(b).Abs() > window {
		return false
	}
	return t.Near == "" || a.Sub(received).Abs() <= window && b.Sub(received).Abs() <= window
}

// read reads a time written in one of the rule's layouts.
func (t *Time) read(text []byte) (time.Time, bool) {
	if len(t.As) > 0 {
		return readTime(text, t.As...)
	}
	return readTime(text, timeLayouts[:2]...)
}

// readTime reads a time written in one of the layouts.
func readTime(text []byte, layouts ...string) (time.Time, bool) {
	if len(text) > 64 {
		return time.Time{}, false
	}
	for _, layout := range layouts {
		var at time.Time
		var ok bool
		switch layout {
		case "rfc3339":
			at, ok = readRFC3339(string(text))
		case "http":
			at, ok = readHTTPDate(string(text))
		case "unix":
			at, ok = readUnix(text, 9)
		case "unix_ms":
			at, ok = readUnix(text, 6)
		}
		if ok {
			return at, true
		}
	}
	return time.Time{}, false
}

// readHTTPDate reads the three formats of RFC 9110, section 5.6.7.
func readHTTPDate(text string) (time.Time, bool) {
	for _, layout := range []string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC} {
		if at, err := time.Parse(layout, text); err == nil && at.Format(layout) == text {
			return at, true
		}
	}
	return time.Time{}, false
}

// readRFC3339 also takes a blank for the T, and no zone for UTC.
func readRFC3339(text string) (time.Time, bool) {
	if len(text) > 10 && (text[10] == ' ' || text[10] == 't') {
		text = text[:10] + "T" + text[11:]
	}
	text = strings.TrimSuffix(text, "z")
	if len(text) < 19 || text[13] != ':' || len(text) > 19 && text[19] == ',' {
		return time.Time{}, false // The time package is not as strict as RFC 3339.
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// readUnix reads a number of seconds (9 digits more make nanoseconds) or
// milliseconds (6) since 1970, perhaps with a fraction.
func readUnix(text []byte, digits int) (time.Time, bool) {
	whole, fraction, _ := bytes.Cut(text, []byte("."))
	if len(fraction) > digits {
		fraction = fraction[:digits]
	}
	if !isInteger(whole) || len(fraction) > 0 && !isInteger(fraction) {
		return time.Time{}, false
	}
	padded := string(whole) + string(fraction) + strings.Repeat("0", digits-len(fraction))
	nanos, err := strconv.ParseInt(padded, 10, 64)
	return time.Unix(0, nanos), err == nil
}
