package reports

import (
	"fmt"
	"strings"
	"time"
)

// freeze is a time in which the policy raises no step: hours of every week, or days.
type freeze struct {
	hours    hourSet
	from, to time.Time // days: from the first moment to the one after the last; zero for hours
}

// parseFreeze reads what a policy writes, in UTC: hours as in [Promotion.Hours], a day
// such as 2026-12-24, or days such as 2026-12-20..2027-01-02, the last one included.
func parseFreeze(text string) (freeze, error) {
	text = strings.TrimSpace(text)
	if text == "" || text[0] < '0' || text[0] > '9' {
		set, err := parseHours(text)
		return freeze{hours: set}, err
	}
	first, last, ranged := strings.Cut(text, "..")
	if !ranged {
		last = first
	}
	from, err := time.Parse(time.DateOnly, strings.TrimSpace(first))
	to, also := time.Parse(time.DateOnly, strings.TrimSpace(last))
	switch {
	case err != nil || also != nil:
		return freeze{}, fmt.Errorf("cannot read the days of %.40q", text)
	case to.Before(from):
		return freeze{}, fmt.Errorf("%.40q ends before it begins", text)
	}
	return freeze{from: from, to: to.AddDate(0, 0, 1)}, nil
}

// holds reports whether a time is frozen, and until when at least.
func (f freeze) holds(at time.Time) (until time.Time, frozen bool) {
	if !f.from.IsZero() {
		return f.to, !at.Before(f.from) && at.Before(f.to)
	}
	return at.UTC().Truncate(time.Hour).Add(time.Hour), f.hours[hourAt(at)]
}

// frozenSteps bounds how far the end of a freeze is looked for: two weeks of hours.
// Behind that it is not told.
const frozenSteps = 2 * 7 * 24

// frozen reports whether a time is in one of the policy's freezes, and when the first
// moment after it is that is in none; zero when that is too far. What cannot be read is
// left out; [Promotion.Validate] refuses it.
func (p Promotion) frozen(now time.Time) (until time.Time, frozen bool) {
	var all []freeze
	for _, text := range p.Freeze {
		if f, err := parseFreeze(text); err == nil {
			all = append(all, f)
		}
	}
	at := now
	for range frozenSteps {
		next, held := firstThat(all, at)
		if !held {
			return at, at.After(now)
		}
		at = next
	}
	return time.Time{}, true
}

func firstThat(all []freeze, at time.Time) (until time.Time, holds bool) {
	for _, f := range all {
		if until, holds = f.holds(at); holds {
			return until, true
		}
	}
	return time.Time{}, false
}
