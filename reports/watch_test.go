package reports

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
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
		if alarm := w.See(friday, u.look(r), DefaultPromotion()); alarm != nil {
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
				w.See(friday, good.look(r), DefaultPromotion())
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

// TestWatchSeesFailuresBesideALonePrimary: at the last steps the primary is asked one write in
// twenty or fewer, and is not needed for a proof as sure as elsewhere.
func TestWatchSeesFailuresBesideALonePrimary(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(47, 48))
	for _, c := range []struct{ candidate, every int }{{19, 1}, {99, 1}, {5, 10}, {1, 36}} {
		asked, what := 0, users{candidate: c.candidate}
		alarm := lookFor(4_000, DefaultPromotion(), func(i int) []Sight {
			if what.candidateFails = 0; i >= 1000 {
				what.candidateFails = 1
			}
			if what.primary = 0; i%c.every == 0 {
				what.primary = 1
			}
			if i >= 1000 {
				asked += what.primary
			}
			return what.look(r)
		})
		if t.Logf("%d to one in %d looks: %+v, the primary was asked %d times", c.candidate, c.every, alarm, asked); alarm == nil || asked > 15 {
			t.Errorf("%+v after %d requests to the primary", alarm, asked)
		}
	}
}

// TestErrorsBesideALonePrimary: who fails exactly twice as often as the primary, far above the
// limit, is taken back with a probability of at most alpha.
func TestErrorsBesideALonePrimary(t *testing.T) {
	t.Parallel()
	runs := statistics(200, 4000)
	r := rand.New(rand.NewPCG(49, 50))
	for _, p := range []float64{0.05, 0.2, 0.5} {
		alarms := 0
		for range runs {
			u := users{candidate: 38, primary: 2, candidateFails: 2 * p, primaryFails: p}
			alarms += min(alarmAfter(r, new(Watch), u, 38_000), 1)
		}
		t.Logf("at %g: %d of %d", p, alarms, runs)
		if most := float64(runs) * 0.05; float64(alarms) > most+3*math.Sqrt(most) {
			t.Errorf("%d alarms in %d runs at %g", alarms, runs, p)
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
		{"both fail, at a step of 95 %", users{candidate: 95, primary: 5, candidateFails: 0.3, primaryFails: 0.3}, 100_000},
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
		if alarm := w.See(friday, sights, DefaultPromotion()); alarm != nil {
			if alarm.Endpoint != everything("") || alarm.K < 30 {
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
		if alarm := w.See(friday, []Sight{{Endpoint: "GET /x", Candidate: candidate}}, policy); alarm != nil {
			t.Fatalf("alarm %+v", alarm)
		}
		if endpoint, uneasy := w.Uneasy(friday, policy); uneasy != want || uneasy && endpoint != "GET /x" {
			t.Errorf("after %+v: uneasy %t about %q", candidate, uneasy, endpoint)
		}
	}
	for range aloneAfter {
		see(Tally{100, 0}, false)
	}
	see(Tally{10, 2}, true)
	see(Tally{10, 0}, true)
	if endpoint, uneasy := w.Uneasy(friday.Add(lately), policy); uneasy {
		t.Errorf("uneasy about %q an hour later", endpoint)
	}
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
		w.See(friday, []Sight{s, s}, DefaultPromotion())
		for name, d := range w.detectors {
			if v := d.value(); v != v {
				t.Errorf("after %+v: %q is not a number", s, name)
			}
		}
	}
}

// lookFor has a watch see what may change from look to look, and returns the first alarm.
func lookFor(looks int, policy Promotion, what func(look int) []Sight) *Reason {
	var w Watch
	for i := range looks {
		if alarm := w.See(friday.Add(time.Duration(i)*time.Second/4), what(i), policy); alarm != nil {
			return alarm
		}
	}
	return nil
}

// TestWatchWaitsForThePrimary: both have lost their database, and hardly any look has requests
// of both; or the primary's end seconds after the candidate's, in which nothing comes of it.
func TestWatchWaitsForThePrimary(t *testing.T) {
	t.Parallel()
	in := func(look, every, at int) Tally {
		if look%every == at {
			return Tally{1, 1}
		}
		return Tally{}
	}
	for name, what := range map[string]func(look int) []Sight{
		"by turns":           func(i int) []Sight { return []Sight{{"POST /x", "", in(i, 2, 0), in(i, 2, 1)}} },
		"once in seconds":    func(i int) []Sight { return []Sight{{"POST /x", "", in(i, 12, 0), in(i, 30, 7)}} },
		"the primary seldom": func(i int) []Sight { return []Sight{{"POST /x", "", Tally{3, 3}, in(i, 20, 5)}} },
		"the primary later": func(i int) []Sight {
			s := Sight{"POST /x", "", Tally{N: 10}, Tally{N: 10}}
			if i >= 20 {
				s.Candidate, s.Primary = Tally{10, 10}, Tally{}
			}
			if i >= 20+5*4 {
				s.Primary = Tally{10, 10}
			}
			return []Sight{s}
		},
	} {
		if alarm := lookFor(4_000, DefaultPromotion(), what); alarm != nil {
			t.Errorf("%s: %+v", name, alarm)
		}
	}
}

// TestWatchSeesFailuresByTurns: where a look has requests of one leg only, the candidate's
// failures show all the same.
func TestWatchSeesFailuresByTurns(t *testing.T) {
	t.Parallel()
	answered := 0
	alarm := lookFor(400, DefaultPromotion(), func(i int) []Sight {
		if i%2 == 0 {
			return []Sight{{"POST /x", "", Tally{}, Tally{N: 1}}}
		}
		answered++
		return []Sight{{"POST /x", "", Tally{1, 1}, Tally{}}}
	})
	if alarm == nil || answered > 60 {
		t.Errorf("%+v after %d failures", alarm, answered)
	}
}

// TestWatchStopsWaiting: a primary that is asked no more has nothing to say after ten seconds,
// and what it answered before is forgotten.
func TestWatchStopsWaiting(t *testing.T) {
	t.Parallel()
	last := 0
	alarm := lookFor(400, DefaultPromotion(), func(i int) []Sight {
		last = i
		if i < 100 {
			return []Sight{{"POST /x", "", Tally{N: 5}, Tally{N: 5}}}
		}
		return []Sight{{"POST /x", "", Tally{5, 5}, Tally{}}}
	})
	if alarm == nil || last != 100+aloneAfter-1 {
		t.Errorf("%+v at look %d, want one at %d", alarm, last, 100+aloneAfter-1)
	}
}

// TestWatchOfAnotherMix: reads fail in both versions, and are all that the candidate is live
// for; an endpoint with a limit of its own is within it; one is waived.
func TestWatchOfAnotherMix(t *testing.T) {
	t.Parallel()
	policy := DefaultPromotion()
	policy.Endpoints = map[string]Waiver{"GET /own": {MaxErrorRate: 0.1}, "GET /waived": {Waived: "2026-12-31 ann"}}
	r := rand.New(rand.NewPCG(45, 46))
	at := func(n int, rate float64) Tally { return Tally{uint64(n), divergencesIn(r, n, rate)} }
	for name, what := range map[string]func(int) []Sight{
		"reads alone": func(int) []Sight {
			return []Sight{{"GET /x", "", at(20, 0.02), at(30, 0.02)}, {"POST /x", "", Tally{}, at(200, 0)}}
		},
		"mostly writes": func(int) []Sight {
			return []Sight{{"GET /x", "", at(50, 0), at(50, 0)}, {"POST /x", "", at(50, 0.02), at(5, 0.02)}}
		},
		"a limit of its own": func(int) []Sight {
			return []Sight{{"GET /own", "", at(50, 0.04), at(50, 0)}, {"GET /x", "", at(50, 0), at(50, 0)}}
		},
		"waived": func(int) []Sight { return []Sight{{"GET /waived", "", at(50, 1), at(50, 0)}} },
	} {
		if alarm := lookFor(4_000, policy, what); alarm != nil {
			t.Errorf("%s: %+v", name, alarm)
		}
	}
}

// TestOddsAreFair: the mean of a pair's likelihood ratio, over all that may come of a few
// requests, is at most 1 for a candidate that fails at most twice as often.
func TestOddsAreFair(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 6; n++ {
		for m := 1; m <= 6; m++ {
			for _, p := range []float64{0.001, 0.05, 0.3, 0.5} {
				for _, times := range []float64{1, 2} {
					if most := slices.Max(meanOdds(n, m, times*p, p)); most > 1+1e-12 {
						t.Errorf("%d and %d requests, rates %g and %g: %g", n, m, times*p, p, most)
					}
				}
			}
		}
	}
}

// meanOdds is the mean of e^gain of each alternative.
func meanOdds(n, m int, candidate, primary float64) []float64 {
	out := make([]float64, len(cusumRates))
	for k := range n + 1 {
		for l := range m + 1 {
			p := binomial(n, candidate)[k] * binomial(m, primary)[l]
			for i, g := range againstPrimary(Tally{uint64(n), uint64(k)}, Tally{uint64(m), uint64(l)}) {
				out[i] += p * math.Exp(g)
			}
		}
	}
	return out
}

// TestEachGroupIsWatchedTogether: what all of its endpoints fail together accuses no other group.
func TestEachGroupIsWatchedTogether(t *testing.T) {
	t.Parallel()
	w, policy := Watch{}, DefaultPromotion()
	for i := range 100 {
		var sights []Sight
		for k := range 20 {
			read := Sight{Endpoint: fmt.Sprint("GET /", k), Group: "reads", Candidate: Tally{N: 20}, Primary: Tally{N: 20}}
			write := Sight{Endpoint: fmt.Sprint("POST /", k), Group: "writes", Candidate: Tally{N: 1}, Primary: Tally{N: 1}}
			if k == i%20 {
				write.Candidate.Failed = 1
			}
			sights = append(sights, read, write)
		}
		if alarm := w.See(friday, sights, policy); alarm != nil {
			if alarm.Endpoint != "group writes" || readsFirst.about("reads", alarm.Endpoint) || !readsFirst.about("writes", alarm.Endpoint) {
				t.Errorf("alarm of %q", alarm.Endpoint)
			}
			return
		}
	}
	t.Error("no alarm")
}
