package reports

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// hourOfWeek counts hours from Monday 00:00 UTC on, 0 to 167.
type hourOfWeek int

func hourAt(t time.Time) hourOfWeek {
	t = t.UTC()
	return hourOfWeek((int(t.Weekday())+6)%7*24 + t.Hour())
}

func (h hourOfWeek) String() string { return fmt.Sprintf("%s %02d:00", weekdays[h/24], h%24) }

var weekdays = []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}

// hourSet is a set of hours of the week.
type hourSet [7 * 24]bool

// parseHours reads hours as a policy writes them, in UTC: Mon-Fri 09-17 is from 9:00
// to 17:00 on five days, Sun 22-02 goes on into the next day, and Sat is all of it.
func parseHours(text string) (hourSet, error) {
	var out hourSet
	days, hours, some := strings.Cut(strings.TrimSpace(text), " ")
	from, to, _ := cutRange(days)
	first, last := slices.Index(weekdays, from), slices.Index(weekdays, to)
	if first < 0 || last < 0 {
		return out, fmt.Errorf("cannot read the days of %.40q", text)
	}
	begin, end := 0, 24
	if some {
		var err error
		if begin, end, err = parseSpan(strings.TrimSpace(hours)); err != nil {
			return out, fmt.Errorf("cannot read the hours of %.40q: %w", text, err)
		}
	}
	for day := first; ; day = (day + 1) % 7 {
		for hour := begin; hour < end; hour++ {
			out[(day*24+hour)%len(out)] = true
		}
		if day == last {
			return out, nil
		}
	}
}

// cutRange cuts a-b; a alone is a-a.
func cutRange(text string) (from, to string, ranged bool) {
	from, to, ranged = strings.Cut(text, "-")
	if !ranged {
		to = from
	}
	return from, to, ranged
}

// parseSpan reads 09-17 as 9 and 17, and 22-02 as 22 and 26.
func parseSpan(text string) (begin, end int, err error) {
	from, to, ranged := cutRange(text)
	begin, wrong := strconv.Atoi(from)
	end, also := strconv.Atoi(to)
	switch {
	case !ranged || errors.Join(wrong, also) != nil || begin < 0 || begin > 23 || end < 0 || end > 24:
		return 0, 0, errors.New("want two hours from 00 to 24")
	case begin == end:
		return 0, 0, errors.New("it is no time at all")
	case end < begin:
		end += 24
	}
	return begin, end, nil
}

// wanted returns the hours that a policy asks for. Those that cannot be read are left
// out; [Promotion.Validate] refuses them.
func (p Promotion) wanted() hourSet {
	var out hourSet
	for _, text := range p.Hours {
		set, err := parseHours(text)
		for h := range set {
			out[h] = out[h] || err == nil && set[h]
		}
	}
	return out
}

// hoursMissing says which of the hours that the policy asks for had nothing compared.
func (e *Evidence) hoursMissing() (Reason, bool) {
	r := Reason{Code: HoursMissing}
	var missing []string
	for h, want := range e.policy.wanted() {
		switch {
		case !want:
			continue
		case e.hours[h]:
			r.K++
		default:
			missing = append(missing, hourOfWeek(h).String())
		}
		r.N++
	}
	r.Detail = named(missing)
	return r, len(missing) > 0
}
