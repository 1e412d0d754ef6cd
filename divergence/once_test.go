package divergence

import (
	"context"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/compare"
)

// restless is traffic in which everything that records are filed under changes
// from one exchange to the next: days, rules that end with them, judges that
// follow each other, and versions of which there are more than are remembered.
type restless struct {
	random *rand.Rand
	judges []*Judge
	want   map[tickKey]Tick // what is counted of it
}

func newRestless(t *testing.T, seed uint64) *restless {
	f := &restless{random: rand.New(rand.NewPCG(seed, 0)), want: map[tickKey]Tick{}}
	today := noon.Format(time.DateOnly)
	for _, list := range [][]compare.Rule{
		nil,
		{{Path: "$.a", Ignore: true, Endpoint: "GET /0", Expires: today}},
		{{Path: "$.a", Ignore: true}, {Path: "header:date", Compare: true, Expires: today}},
	} {
		rules, faults := compare.Compile(list)
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		j := newJudge(t)
		j.Rules, j.Policy = rules, "p"+strconv.Itoa(len(list))
		f.judges = append(f.judges, j)
	}
	return f
}

// next returns an exchange and what it is judged by, and notes what it counts as.
func (f *restless) next(n int) (*parallax.Exchange, *Judge) {
	x, j := pair(n, "GET /"+strconv.Itoa(f.random.IntN(3)), 200, 200), f.judges[f.random.IntN(len(f.judges))]
	x.Received = noon.Add(24*time.Hour + time.Duration(f.random.IntN(4001)-2000)*time.Millisecond) // around midnight
	switch f.random.IntN(4) {
	case 0:
		x.Legs[parallax.Candidate].Response.Body = x.Legs[parallax.Primary].Response.Body
	case 1:
		x.Legs[parallax.Candidate] = nil
	default:
		x.Legs[parallax.Candidate].Version = strconv.Itoa(f.random.IntN(2 * maxFilings))
	}
	key := tickKey{service: "shop", endpoint: x.Endpoint, rules: j.Rules.HashAt(x.Endpoint, x.Received), policy: j.Policy, primary: "1.0"}
	if x.Legs[parallax.Candidate] != nil {
		key.candidate = x.Legs[parallax.Candidate].Version
	}
	tick := f.want[key]
	switch compare.Compare(x, compare.Input{Rules: j.Rules}).Outcome {
	case compare.NotComparable:
		tick.NotComparable++
	case compare.Diverged:
		tick.K++
		fallthrough
	default:
		tick.N++
	}
	f.want[key] = tick
	return x, j
}

// Whatever records are filed under, and however often a batch must be written
// again, each exchange is counted once, where it belongs.
func TestExchangesOfOneBatchAreCountedOnce(t *testing.T) {
	t.Parallel()
	f := newRestless(t, 1)
	down := rand.New(rand.NewPCG(2, 0))
	w := &standIn{fail: func(*batch, int) error {
		if down.IntN(3) == 0 {
			return errDown
		}
		return nil
	}}
	r := newRig(t, "i1", nil, w, Limits{BatchRows: 700})
	var judge *Judge
	worker := NewWorker(WorkerConfig{Source: &listSource{}, Recorder: r.Recorder, Ledger: r.ledger, Log: quiet, Judge: func(string) *Judge { return judge }})
	const exchanges = 20_000
	for n := range exchanges {
		var x *parallax.Exchange
		x, judge = f.next(n)
		r.ledger.Enter(x.Stamp())
		r.ledger.Move(x.Stamp(), parallax.InLive, parallax.InQueue)
		worker.all(t.Context(), []*parallax.Exchange{x})
		if n%300 == 0 {
			r.flushOnce(t)
		}
	}
	for r.flushOnce(t) {
	}
	f.check(t, w, r)
}

// flushOnce tries to write a batch, and reports whether there was one. With each
// that is written, what is stored adds up.
func (r rig) flushOnce(t *testing.T) bool {
	t.Helper()
	wrote, err := r.flush(t.Context())
	if err == nil {
		stored := newAccounting()
		for key, n := range r.totals {
			stored.add(key.place, n)
		}
		if n := stored.Missing(); n != 0 {
			t.Fatalf("after batch %d, %d exchanges are missing: %+v", r.seq, n, stored)
		}
	}
	return wrote || err != nil
}

// check compares what a store was given, and what the ledger says, with what came.
func (f *restless) check(t *testing.T, w *standIn, r rig) {
	t.Helper()
	got := map[tickKey]Tick{}
	counts := map[string]int64{}
	outcomes := map[string]int64{}
	for _, b := range w.sets {
		for _, tick := range b.ticks {
			key := tickKey{tick.Service, tick.Endpoint, tick.RulesHash, tick.PolicyHash, tick.PrimaryVersion, tick.CandidateVersion}
			sum := got[key]
			sum.N, sum.K, sum.NotComparable = sum.N+tick.N, sum.K+tick.K, sum.NotComparable+tick.NotComparable
			if sum.N+sum.NotComparable > 0 { // else it counts what came in or was lost
				got[key] = sum
			}
		}
		for _, c := range b.counts {
			counts[c.Reason] += c.N
		}
		for _, rec := range b.records {
			outcomes[rec.outcome.Place().Reason()]++
		}
	}
	if diff := cmp.Diff(f.want, got, cmp.Comparer(func(a, b tickKey) bool { return a == b })); diff != "" {
		t.Errorf("evidence (-want +got):\n%.4000s", diff)
	}
	totals := r.ledger.Totals("shop")
	if diff := cmp.Diff(totals.Compared, outcomes); diff != "" {
		t.Errorf("outcomes (-ledger +rows):\n%s", diff)
	}
	if totals.InFlight != 0 || totals.Missing() != 0 || counts["received"] != totals.Received {
		t.Errorf("%d counted as received; the ledger: %+v", counts["received"], totals)
	}
	if len(r.ledger.buckets) > 2 {
		t.Errorf("%d minutes wait for nothing", len(r.ledger.buckets))
	}
}

// Two workers at a day's turn, with more versions than are remembered, file every
// exchange by the rules of its own day.
func TestFilingsAtADaysTurn(t *testing.T) {
	t.Parallel()
	rules, faults := compare.Compile([]compare.Rule{{Path: "$.a", Ignore: true, Expires: noon.Format(time.DateOnly)}})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	j := newJudge(t)
	j.Rules = rules
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	faulty := make(chan string, 2)
	for seed := range uint64(2) {
		go func() {
			random := rand.New(rand.NewPCG(seed, 0))
			for i := 0; i < 20_000 && ctx.Err() == nil; i++ {
				x := pair(i, "GET /a", 200, 200)
				x.Received = noon.Add(24*time.Hour + time.Duration(random.IntN(3)-1)*time.Nanosecond)
				x.Legs[parallax.Candidate].Version = strconv.Itoa(random.IntN(3 * maxFilings))
				f := j.filing(x, nil, "")
				if f.rules != rules.HashAt("GET /a", x.Received) || f.versions[parallax.Candidate] != x.Legs[parallax.Candidate].Version || f.endpoint != "GET /a" {
					faulty <- x.Received.String()
					return
				}
			}
			faulty <- ""
		}()
	}
	for range 2 {
		if at := <-faulty; at != "" {
			t.Errorf("an exchange of %s is filed under another day's rules", at)
		}
	}
}
