package reports

import (
	"math/rand/v2"
	"strings"
	"testing"

	"parallax/divergence"
)

// wrote is a tick in which requests of either leg wrote to POST /a's tables.
func wrote(minute int, list ...divergence.LiveWrite) divergence.Tick {
	t := lived(minute, served(10, 0, 0), served(100, 0, 0))
	t.LiveCandidate.Read, t.LivePrimary.Read, t.LivePrimary.Unread = 10, 100, 2
	t.LiveWrites = list
	return t
}

// TestACandidateThatWritesOtherwiseHolds: none where the primary writes, some where it does not,
// and another number; it is never rolled back for it.
func TestACandidateThatWritesOtherwiseHolds(t *testing.T) {
	t.Parallel()
	f := func(name string, candidate, primary divergence.Wrote, want string) {
		t.Helper()
		e, since := fold(quick(), beside(0)), 0
		for minute := 1; minute < 30; minute++ {
			e.Add(wrote(minute, divergence.LiveWrite{Table: "orders", Op: "insert", Candidate: candidate, Primary: primary}))
			if v := at(e, 60*minute); since == 0 && len(v.Reasons) > 0 && v.Reasons[0].Code == LiveEffects {
				since = minute
			}
		}
		e.Add(beside(30))
		v := at(e, 60*30)
		if v.Decision == Rollback || len(v.Unpaired) != 1 {
			t.Fatalf("%s: %s, %+v", name, v.Decision, v.Unpaired)
		}
		if !strings.Contains(v.NotCovered[0], "by how much was written; what 56 requests wrote is not known") {
			t.Errorf("%s: not covered %q", name, v.NotCovered)
		}
		if want == "" {
			is(t, v, Promote)
			return
		}
		is(t, v, Hold, "live_effects POST /a")
		if got := v.Reasons[0].Sentence(); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", name, got, want)
		}
		t.Logf("%s: held after %d requests: %s", name, 10*(since-1), v.Reasons[0].Sentence())
		if since == 0 || since > 4 {
			t.Errorf("%s: held in minute %d", name, since)
		}
	}
	n := func(n, none, sized, other uint64) divergence.Wrote {
		return divergence.Wrote{N: n, None: none, Sized: sized, Other: other}
	}
	f("alike", n(10, 3, 7, 1), n(100, 30, 70, 10), "")
	f("no row", n(10, 10, 0, 0), n(100, 0, 100, 0), "the candidate made no insert of orders that is known to be its in 280 of 280 requests and the primary 0 of 2800")
	f("twice as many", n(10, 0, 10, 10), n(100, 0, 100, 1), "the candidate made another number of inserts of orders than usual in 280 of 280")
	f("a table of its own", n(10, 0, 0, 0), n(100, 100, 0, 0), "the candidate made some insert of orders in 280 of 280")
	f("nobody on the primary", n(10, 10, 0, 0), n(0, 0, 0, 0), "")
	f("counts that cannot be", n(10, 99, 9, 9), n(100, 0, 0, 700), "the candidate made no insert of orders")
}

// TestKindsOfChangesAreBounded: whatever a store holds.
func TestKindsOfChangesAreBounded(t *testing.T) {
	t.Parallel()
	var a alone
	for i := range 1000 {
		a.addWrites([]divergence.LiveWrite{{Table: strings.Repeat("t", i), Op: "insert"}})
	}
	if len(a.writes) != maxWrites {
		t.Errorf("%d kinds", len(a.writes))
	}
}

// TestErrorsOfUnpairedWrites: a version whose requests write like those of the primary, at rates
// that differ by what is allowed, is hardly ever held, though it is looked at every minute.
func TestErrorsOfUnpairedWrites(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(11, 12))
	draw := func(n uint64, rate float64) (k uint64) {
		for range n {
			if random.Float64() < rate {
				k++
			}
		}
		return k
	}
	sample := func(n uint64, none, other float64) divergence.Wrote {
		w := divergence.Wrote{N: n, None: draw(n, none)}
		w.Sized = n - w.None
		w.Other = draw(w.Sized, other)
		return w
	}
	runs, held := statistics(60, 1000), 0
	for range runs {
		var a alone
		was := false
		for range 100 {
			a.addWrites([]divergence.LiveWrite{
				{Table: "orders", Op: "insert", Candidate: sample(20, 0.05, 0.15), Primary: sample(100, 0, 0.1)},
				{Table: "items", Op: "insert", Candidate: sample(20, 0.45, 0.5), Primary: sample(100, 0.4, 0.45)},
				{Table: "audit", Op: "update", Candidate: sample(20, 0.9, 0.05), Primary: sample(100, 0.95, 0)},
			})
			a.closeWrites()
			was = was || len((&Unpaired{Writes: a.judgeWrites(0.05)}).writesReasons()) > 0
		}
		if was {
			held++
		}
	}
	t.Logf("of %d runs %d were held at some time", runs, held)
	if float64(held) > 0.05*float64(runs)+3 {
		t.Errorf("of %d runs %d were held at some time", runs, held)
	}
}
