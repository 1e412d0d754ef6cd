package ui

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"parallax"
	"parallax/divergence"
)

// maxText bounds a text in a query.
const maxText = 1000

// query reads the parameters of a request and collects what is wrong with them.
type query struct {
	values url.Values
	faults []string
}

func (q *query) fault(name, format string, args ...any) {
	q.faults = append(q.faults, name+": "+fmt.Sprintf(format, args...))
}

// err returns everything that is wrong; a parameter that is not known is.
func (q *query) err(known ...string) error {
	for _, name := range slices.Sorted(maps.Keys(q.values)) {
		switch {
		case !slices.Contains(known, name):
			q.fault(cut(name, 60), "is not a parameter of this call; there are %s", strings.Join(known, ", "))
		case len(q.values[name]) > 1:
			q.fault(name, "is given %d times", len(q.values[name]))
		}
	}
	if len(q.faults) == 0 {
		return nil
	}
	return badRequest(q.faults...)
}

func (q *query) text(name string) string {
	text := q.values.Get(name)
	if len(text) > maxText {
		q.fault(name, "is longer than %d bytes", maxText)
		return ""
	}
	return text
}

// number returns 0 when the parameter is not given.
func (q *query) number(name string, least, most int) int {
	text := q.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		q.fault(name, "want a whole number from %d to %d, found %.40q", least, most, text)
	}
	return n
}

func (q *query) flag(name string) bool {
	switch text := q.text(name); text {
	case "", "false", "0":
		return false
	case "true", "1":
		return true
	default:
		q.fault(name, "want true or false, found %.40q", text)
		return false
	}
}

// moment returns the zero time when the parameter is not given.
func (q *query) moment(name string) time.Time {
	text := q.text(name)
	if text == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Year() < 1970 || at.Year() > 2200 {
		q.fault(name, "want a time such as 2026-11-21T12:00:00Z, found %.40q", text)
		return time.Time{}
	}
	return at.UTC()
}

func (q *query) window() divergence.Window {
	w := divergence.Window{From: q.moment("from"), To: q.moment("to")}
	if !w.From.IsZero() && !w.To.IsZero() && !w.From.Before(w.To) {
		q.fault("to", "is not after from")
	}
	return w
}

func (q *query) exchangeFilter() divergence.ExchangeFilter {
	f := divergence.ExchangeFilter{
		Window: q.window(), Endpoint: q.text("endpoint"), Outcome: q.text("outcome"),
		Fingerprint: q.text("issue"), Kept: q.flag("kept"), Before: q.text("before"), Limit: q.number("limit", 1, 1000),
	}
	if f.Outcome != "" && f.Outcome != "match" && f.Outcome != "diverged" && f.Outcome != "not_comparable" {
		q.fault("outcome", "want match, diverged or not_comparable, found %.40q", f.Outcome)
	}
	if f.Fingerprint != "" && !isFingerprint(f.Fingerprint) {
		q.fault("issue", "%.60q is not a fingerprint; it looks like 1-0123456789abcdef", f.Fingerprint)
	}
	if f.Before != "" {
		if _, err := parallax.ParseID(f.Before); err != nil {
			q.fault("before", "%v", err)
		}
	}
	return f
}

// isFingerprint tells whether s is "1-" and 16 hex digits.
func isFingerprint(s string) bool {
	digits, ok := strings.CutPrefix(s, "1-")
	return ok && len(digits) == 16 && strings.Trim(digits, "0123456789abcdef") == ""
}
