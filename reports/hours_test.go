package reports

import (
	"testing"
	"time"

	"parallax/divergence"
)

func TestHoursOfTheWeek(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		n           int
		first, last hourOfWeek
	}{
		"Mon-Fri 09-17": {40, 9, 4*24 + 16},
		"Mon":           {24, 0, 23},
		"Sat-Sun":       {48, 120, 167},
		"Sun 22-02":     {4, 0, 167},
		"Fri-Mon 00-01": {4, 0, 144},
		"Tue 23-24":     {1, 47, 47},
	} {
		set, err := parseHours(text)
		n, first, last := 0, hourOfWeek(-1), hourOfWeek(-1)
		for h, in := range set {
			if in {
				if n++; first < 0 {
					first = hourOfWeek(h)
				}
				last = hourOfWeek(h)
			}
		}
		if err != nil || n != want.n || first != want.first || last != want.last {
			t.Errorf("%s: %d hours from %v to %v, %v", text, n, first, last, err)
		}
	}
	for _, text := range []string{"", "09-17", "Mon 9", "Mon 09-25", "Mon 09-09", "Mon-", "Monday 09-17", "Mon a-b", "Mon -1-5"} {
		if _, err := parseHours(text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
	p := DefaultPromotion()
	p.Hours = []string{"Mon-Fri 09-17", "Mon 9"}
	if faults := p.Validate(); len(faults) != 1 || faults[0].Path != "hours[1]" {
		t.Errorf("faults: %+v", faults)
	}
}

// TestHoursThatWereNotSeenHold: a candidate that was compared at noon only is not
// known to be good in the evening; what starts new evidence starts its hours too.
func TestHoursThatWereNotSeenHold(t *testing.T) {
	t.Parallel()
	p := quick()
	p.Hours = []string{"Sat 12-14", "Sat 20-21"} // noon is on a Saturday
	on := func(after time.Duration, n uint64, version string) divergence.Tick {
		x := tick("GET /a", int(after.Seconds()), n, 0)
		x.PolicyHash, x.CandidateVersion = p.Hash(), version
		return x
	}
	e := fold(p, on(time.Second, 100_000, "2.0"))
	v := at(e, 2)
	is(t, v, Hold, "hours_missing ")
	if want, got := "Compared in 1 of the 3 hours of the week that the policy asks for; not in Sat 13:00, Sat 20:00 (UTC).", v.Reasons[0].Sentence(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	idle := on(time.Hour, 0, "2.0")
	idle.Received = 5
	e.Add(idle) // nothing was compared
	e.Add(on(8*time.Hour, 1, "2.0"))
	is(t, at(e, 8*3600+1), Hold, "hours_missing ")
	e.Add(on(7*24*time.Hour+time.Hour, 1, "2.0"))
	is(t, at(e, 7*24*3600+3601), Promote)
	e.Add(on(7*24*time.Hour+time.Hour+time.Minute, 100_000, "3.0"))
	is(t, at(e, 7*24*3600+3661), Hold, "hours_missing ")
}
