package reports

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// users is traffic that one look sees: how many requests each leg answers, and which share of
// them fails.
type users struct {
	candidate, primary           int
	candidateFails, primaryFails float64
}

func (u users) look(r *rand.Rand) []Sight {
	return []Sight{{
		Endpoint:  "GET /x",
		Candidate: Tally{uint64(u.candidate), divergencesIn(r, u.candidate, u.candidateFails)},
		Primary:   Tally{uint64(u.primary), divergencesIn(r, u.primary, u.primaryFails)},
	}}
}

// alarmAfter returns after how many requests to the candidate there is an alarm, 0 for none
// within so many.
func alarmAfter(r *rand.Rand, w *Watch, u users, most int) int {
	for n := 0; n < most; n += u.candidate {
		if alarm := w.See(u.look(r), DefaultPromotion()); alarm != nil {
			return n + u.candidate
		}
	}
	return 0
}

// TestWatchSeesFailures: how many requests of callers it takes, after thousands of good ones.
func TestWatchSeesFailures(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(41, 42))
	for _, c := range []struct {
		name string
		u    users
		most int // requests to the candidate, the median of runs
	}{
		{"all of them, at a quarter of the users", users{candidate: 5, primary: 20, candidateFails: 1}, 40},
		{"all of them, at half of the users", users{candidate: 5, primary: 10, candidateFails: 1}, 60},
		{"all of them, where the primary is not asked", users{candidate: 5, candidateFails: 1}, 10},
		{"one in ten, at half of the users", users{candidate: 5, primary: 10, candidateFails: 0.1}, 600},
		{"one in ten, where the primary is not asked", users{candidate: 5, candidateFails: 0.1}, 160},
	} {
		var delays []int
		for range 200 {
			var w Watch
			good := c.u
			good.candidateFails = 0
			for range 1000 {
				w.See(good.look(r), DefaultPromotion())
			}
			delays = append(delays, alarmAfter(r, &w, c.u, 100_000))
		}
		slices.Sort(delays)
		median := delays[len(delays)/2]
		t.Logf("%s: after %d requests", c.name, median)
		if median == 0 || median > c.most {
			t.Errorf("%s: median %d requests, want at most %d", c.name, median, c.most)
		}
	}
}

// TestWatchIsQuiet: no alarm about a candidate that keeps the limit, nor about one that fails
// as the primary does.
func TestWatchIsQuiet(t *testing.T) {
	t.Parallel()
	runs := statistics(3, 300)
	r := rand.New(rand.NewPCG(43, 44))
	for _, c := range []struct {
		name string
		u    users
		n    int
	}{
		{"half the limit", users{candidate: 50, primary: 50, candidateFails: 0.0005}, 1_000_000},
		{"half the limit, where the primary is not asked", users{candidate: 50, candidateFails: 0.0005}, 1_000_000},
		{"both fail", users{candidate: 50, primary: 150, candidateFails: 0.3, primaryFails: 0.3}, 100_000},
		{"both fail always", users{candidate: 50, primary: 5, candidateFails: 1, primaryFails: 1}, 100_000},
		{"both fail, the candidate half as often again", users{candidate: 50, primary: 100, candidateFails: 0.15, primaryFails: 0.1}, 100_000},
	} {
		for range runs {
			if n := alarmAfter(r, new(Watch), c.u, c.n); n > 0 {
				t.Errorf("%s: an alarm after %d requests", c.name, n)
			}
		}
	}
}

// TestWatchSeesWhatIsSpreadThinly: a failure on each of many endpoints is none of any one's.
func TestWatchSeesWhatIsSpreadThinly(t *testing.T) {
	t.Parallel()
	var w Watch
	var sights []Sight
	for i := range 30 {
		sights = append(sights, Sight{Endpoint: string(rune('a' + i)), Candidate: Tally{1, 1}, Primary: Tally{5, 0}})
	}
	for range 3 {
		if alarm := w.See(sights, DefaultPromotion()); alarm != nil {
			if alarm.Endpoint != everything || alarm.K < 30 {
				t.Errorf("alarm %+v", alarm)
			}
			return
		}
	}
	t.Error("no alarm when everything fails")
}

// TestWatchIsUneasy long before there is an alarm, and for a while.
func TestWatchIsUneasy(t *testing.T) {
	t.Parallel()
	var w Watch
	policy := DefaultPromotion()
	see := func(candidate Tally, want bool) {
		t.Helper()
		if alarm := w.See([]Sight{{Endpoint: "GET /x", Candidate: candidate}}, policy); alarm != nil {
			t.Fatalf("alarm %+v", alarm)
		}
		if endpoint, uneasy := w.Uneasy(policy); uneasy != want || uneasy && endpoint != "GET /x" {
			t.Errorf("after %+v: uneasy %t about %q", candidate, uneasy, endpoint)
		}
	}
	see(Tally{100, 0}, false)
	see(Tally{10, 2}, true)
	see(Tally{10, 0}, true)
	see(Tally{1000, 0}, false)
}

// TestWatchTakesAnyCounts: none makes it panic, or gives an alarm that is not a number.
func TestWatchTakesAnyCounts(t *testing.T) {
	t.Parallel()
	const huge = ^uint64(0)
	var w Watch
	for _, s := range []Sight{
		{}, {Candidate: Tally{0, 5}}, {Candidate: Tally{5, 50}, Primary: Tally{0, 5}}, {Candidate: Tally{huge, 0}, Primary: Tally{huge, huge}},
		{Candidate: Tally{huge, huge}, Primary: Tally{huge, 0}}, {Candidate: Tally{1, 0}},
	} {
		w.See([]Sight{s, s}, DefaultPromotion())
		for name, d := range w.detectors {
			if v := d.value(); v != v {
				t.Errorf("after %+v: %q is not a number", s, name)
			}
		}
	}
}
