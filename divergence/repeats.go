package divergence

import (
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"parallax"
	"parallax/compare"
)

// Which differences get a row of their own. Of one exchange those that count
// first; in each hour so many rows of every issue, and besides all of an exchange
// whose bodies are kept. What gets no row is counted in the table repeats, so that
// an issue is in as many exchanges as before.
const (
	maxCounting   = 200
	maxSuppressed = 50
	maxIssueRows  = 200
)

// issue is what a repeated difference is counted under.
type issue struct {
	fingerprint, cause, normal, kind, class, by string
}

func issueOf(d *compare.Difference) issue {
	return issue{d.Fingerprint, d.Cause, d.Normal, string(d.Kind), d.Class, d.Suppressed.By}
}

// parted is what becomes of the differences of an exchange.
type parted struct {
	rows    []compare.Difference // that get rows
	counted []issue              // that are only counted
	rest    []compare.Difference // to be counted, when they are redacted: nobody knows yet how their places are shown
}

// part divides the differences of an exchange, which are not redacted yet, into those that
// get a row and the issues that are only counted, and leaves nothing else of them in
// memory. An issue whose first difference has a row needs no count: exchanges are counted
// by their rows.
func (k *keeper) part(x *parallax.Exchange, all []compare.Difference, kept bool) (out parted) {
	if len(all) == 0 {
		return out
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.turnTo(x.Received)
	stored := map[keepKey]bool{}
	room := map[bool]int{true: maxCounting, false: maxSuppressed} // by whether it counts
	out.rows = all[:0]
	for i := range all {
		d := all[i]
		counts := d.Suppressed.By == ""
		key := keepKey{x.Service, d.Fingerprint, d.Suppressed.By}
		store, seen := stored[key]
		if !seen {
			store = room[counts] > 0 && (kept || k.wantsRow(key))
			stored[key] = store
			if normal, said := k.said[key]; !store && said {
				d.Normal = normal
				out.counted = append(out.counted, issueOf(&d))
			} else if !store {
				out.rest = append(out.rest, d)
			}
		}
		if store && room[counts] > 0 {
			room[counts]--
			if len(k.rows) < keepKeys || k.rows[key] > 0 {
				k.rows[key]++
			}
			out.rows = append(out.rows, d)
		}
	}
	if len(out.rows) < len(all) {
		out.rows = slices.Clone(out.rows)
	}
	return out
}

// say remembers how the places of differences are shown that are redacted.
func (k *keeper) say(service string, redacted []compare.Difference) {
	if len(redacted) == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range redacted {
		d := &redacted[i]
		key := keepKey{service, d.Fingerprint, d.Suppressed.By}
		if _, said := k.said[key]; !said && len(k.said) < keepKeys {
			k.said[key] = strings.Clone(d.Normal)
		}
	}
}

func (k *keeper) wantsRow(key keepKey) bool {
	n := k.rows[key]
	return n < maxIssueRows && (n > 0 || len(k.rows) < keepKeys)
}

// repeat is a row of the table repeats.
type repeat struct {
	repeatKey
	first, last time.Time
	n           uint64
}

type repeatKey struct {
	minute            int64 // Unix minutes
	service, endpoint string
	issue             issue
}

// repeatRows adds up what the exchanges of a batch show without rows, in the order
// of first sight.
func repeatRows(records []*record) []*repeat {
	var out []*repeat
	byKey := map[repeatKey]*repeat{}
	for _, r := range records {
		at := r.at()
		for _, i := range r.finds().repeats {
			key := repeatKey{at.Unix() / 60, r.service, r.endpoint, i}
			row := byKey[key]
			if row == nil {
				row = &repeat{repeatKey: key, first: at, last: at}
				byKey[key] = row
				out = append(out, row)
			}
			row.n++
			if at.Before(row.first) {
				row.first = at
			}
			if at.After(row.last) {
				row.last = at
			}
		}
	}
	return out
}

func (r *repeat) append(b driver.Batch) error {
	return b.Append(time.Unix(r.minute*60, 0).UTC(), r.service, r.endpoint, r.issue.fingerprint, r.issue.cause,
		r.issue.normal, r.issue.kind, r.issue.class, r.issue.by, r.first, r.last, r.n)
}
