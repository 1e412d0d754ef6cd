package divergence

import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"weak"

	"parallax"
	"parallax/compare"
)

// newRecord returns the record of an exchange with a filing of its own.
func newRecord(x *parallax.Exchange, c compare.Comparison, repeats []issue, kept *parallax.Exchange) record {
	f := filingOf(x, c.Reason)
	return f.record(x, &c, repeats, kept)
}

// Records leave in the order they came, whole batches and parts of pages, and
// what was taken stays as it is while others come.
func TestWaiting(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var w waiting
	in, out := 0, 0
	var taken []*record
	for range 2000 {
		for range random.IntN(2 * pageRows) {
			w.add(record{id: testID(in)})
			in++
		}
		rows := 1 + random.IntN(3*pageRows)
		list, bytes := w.take(rows, 600*int64(1+random.IntN(3*pageRows)))
		if len(list) > rows || bytes != 600*int64(len(list)) || len(list) == 0 && in > out {
			t.Fatalf("%d of %d records of %d bytes taken, %d waited", len(list), rows, bytes, in-out)
		}
		taken, out = append(taken, list...), out+len(list)
		if w.n != in-out || len(w.pages) > w.n/pageRows+2 {
			t.Fatalf("%d records wait on %d pages, want %d records", w.n, len(w.pages), in-out)
		}
	}
	for i, r := range taken {
		if r.id != testID(i) {
			t.Fatalf("record %d is %s, want %s", i, r.id, testID(i))
		}
	}
}

// A record that is larger than a batch is taken alone.
func TestWaitingTakesAtLeastOne(t *testing.T) {
	t.Parallel()
	var w waiting
	for range 3 {
		w.add(record{})
	}
	if list, bytes := w.take(10, 100); len(list) != 1 || bytes != 600 || w.n != 2 {
		t.Errorf("%d records of %d bytes taken, %d left", len(list), bytes, w.n)
	}
	if list, _ := new(waiting).take(10, 100); len(list) != 0 {
		t.Errorf("%d records taken of none", len(list))
	}
}

// What was taken is gone once whoever took it has no more use for it, although
// others of its page still wait.
func TestWaitingLetsGoOfWhatWasTaken(t *testing.T) {
	t.Parallel()
	var w waiting
	f := func(what string, rows int) {
		t.Helper()
		found := &finds{}
		held := weak.Make(found)
		w.add(record{found: found})
		for range rows - 1 {
			w.add(record{})
		}
		if list, _ := w.take(1, 1<<20); len(list) != 1 || list[0].found != found {
			t.Fatalf("%s: %d records taken", what, len(list))
		}
		found = nil
		runtime.GC()
		if held.Value() != nil {
			t.Errorf("%s: what was taken stays in memory", what)
		}
		w.take(rows, 1<<20)
	}
	f("alone", 1)
	f("with others behind it", 2)
	f("with pages behind it", 2*pageRows)
	runtime.KeepAlive(&w)
}

// Exchanges that are filed alike share a filing, and however many versions a leg
// makes up, few filings are remembered.
func TestFilings(t *testing.T) {
	t.Parallel()
	j := newJudge(t)
	f := func(version string, at time.Time) *filing {
		x := pair(1, "GET /a", 200, 200)
		x.Legs[parallax.Candidate].Version, x.Received = version, at
		return j.filing(x, nil, "")
	}
	first := f("1", noon)
	if again := f("1", noon.Add(time.Minute)); again != first {
		t.Error("two exchanges that are filed alike have filings of their own")
	}
	if next := f("1", noon.Add(24*time.Hour)); next == first {
		t.Error("a filing of one day is used on the next, when other rules may be in force")
	}
	for i := range 3 * maxFilings {
		if got := f(strconv.Itoa(i), noon); got.versions[parallax.Candidate] != strconv.Itoa(i) || got.endpoint != "GET /a" || got.rules != first.rules {
			t.Fatalf("version %d is filed under %+v", i, got)
		}
	}
	if n := len(j.filings.Load().known); n > maxFilings {
		t.Errorf("%d filings are remembered, want at most %d", n, maxFilings)
	}
}

// A version is a text that a leg makes up. Little of it is kept, whatever its length.
func TestVersionsAreCut(t *testing.T) {
	t.Parallel()
	x := pair(1, "GET /a", 200, 200)
	x.Legs[parallax.Candidate].Version = strings.Repeat("v", 1<<20)
	if got, want := newJudge(t).filing(x, nil, "").versions[parallax.Candidate], strings.Repeat("v", maxVersion); got != want {
		t.Errorf("%d bytes of a version are kept, want %d", len(got), len(want))
	}
}

// BenchmarkWaiting is what 100 000 exchanges that matched cost while they wait for
// the store: the memory and the objects that each keeps alive, and how long the
// collector takes to look at all of them.
func BenchmarkWaiting(b *testing.B) {
	const exchanges = 100_000
	endpoints := make([]string, 50)
	for i := range endpoints {
		endpoints[i] = "GET /items/{id}/" + strconv.Itoa(i)
	}
	judge := newJudge(b)
	for b.Loop() {
		r := newRig(b, "bench", nil, &standIn{}, Limits{BufferRows: exchanges})
		w := NewWorker(WorkerConfig{
			Source: &listSource{}, Recorder: r.Recorder, Ledger: r.ledger, Log: quiet,
			Judge: func(string) *Judge { return judge },
		})
		before := live()
		for i := range exchanges {
			x := pair(i, endpoints[i%len(endpoints)], 200, 200)
			x.Legs[parallax.Candidate].Response.Body = x.Legs[parallax.Primary].Response.Body
			r.ledger.Enter(x.Stamp())
			r.ledger.Move(x.Stamp(), parallax.InLive, parallax.InQueue)
			w.all(b.Context(), []*parallax.Exchange{x})
		}
		after := live()
		b.ReportMetric(float64((after.cycle - before.cycle).Microseconds()), "us/cycle")
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/exchanges, "bytes/exchange")
		b.ReportMetric(float64(after.HeapObjects-before.HeapObjects)/exchanges, "objects/exchange")
		if n := r.ledger.InFlight("", parallax.InBatch); n != exchanges {
			b.Fatalf("%d exchanges wait", n)
		}
	}
}

// heap is what is in use, and how long the collector takes to find that out.
type heap struct {
	runtime.MemStats
	cycle time.Duration
}

func live() (h heap) {
	runtime.GC()
	began := time.Now()
	runtime.GC()
	h.cycle = time.Since(began)
	runtime.ReadMemStats(&h.MemStats)
	return h
}
