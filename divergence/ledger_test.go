package divergence

import (
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"parallax"
	"parallax/compare"
)

func stamp(endpoint string, minute int) parallax.Stamp {
	return parallax.Stamp{Service: "shop", Endpoint: endpoint, Received: noon.Add(time.Duration(minute) * time.Minute)}
}

func TestLedgerMoves(t *testing.T) {
	t.Parallel()
	l := NewLedger()
	a, b := stamp("GET /a", 0), stamp("GET /b", 1)
	l.Enter(a)
	l.Enter(a)
	l.Enter(b)
	l.Move(a, parallax.InLive, parallax.UnmirroredSample)
	l.Move(b, parallax.InLive, parallax.InQueue)
	want := Balance{
		"GET /a": {Received: 2, parallax.InLive: 1, parallax.UnmirroredSample: 1},
		"GET /b": {Received: 1, parallax.InQueue: 1},
	}
	holds := func(when string, want Balance) {
		t.Helper()
		for _, w := range []Window{{}, {From: noon.Add(-time.Hour)}} { // by totals, and by minutes
			if diff := cmp.Diff(want, l.Unflushed("shop", w)); diff != "" {
				t.Errorf("%s, window %v (-want +got):\n%s", when, w, diff)
			}
		}
	}
	holds("before a flush", want)
	second := Balance{"GET /b": {Received: 1, parallax.InQueue: 1}}
	if diff := cmp.Diff(second, l.Unflushed("shop", Window{From: noon.Add(90 * time.Second)})); diff != "" {
		t.Errorf("a window (-want +got):\n%s", diff)
	}
	if got := l.Unflushed("other", Window{}); len(got) != 0 {
		t.Errorf("another service has %v", got)
	}
	if n := l.InFlight("", parallax.InQueue); n != 1 {
		t.Errorf("%d in the queue, want 1", n)
	}
	counts := l.take(100, nil)
	if len(counts) != 2 || counts[0].N != 1 || counts[1].N != 1 {
		t.Errorf("took %+v, want one received and one not in the sample", counts)
	}
	gauges := Balance{"GET /a": {Received: 1, parallax.InLive: 1}, "GET /b": {Received: 1, parallax.InQueue: 1}}
	holds("after a flush", gauges)
	if again := l.take(100, nil); len(again) != 0 {
		t.Errorf("took %+v twice", again)
	}
}

// A random walk of many exchanges keeps the equation at every moment, and what
// flushes took adds up to what happened.
func TestLedgerBalances(t *testing.T) {
	t.Parallel()
	l := NewLedger()
	var all sync.WaitGroup
	for seed := range 4 {
		all.Go(func() {
			random := rand.New(rand.NewSource(int64(seed)))
			for range 5000 {
				s := stamp("GET /"+strconv.Itoa(random.Intn(5)), random.Intn(6))
				l.Enter(s)
				at := parallax.InLive
				for at.Group() == "in_flight" {
					next := parallax.Places[random.Intn(len(parallax.Places))]
					l.Move(s, at, next)
					at = next
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	taken := newAccounting()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if n := l.Totals("shop").Missing(); n != 0 {
			t.Errorf("%d exchanges are missing on the way", n)
		}
		for _, c := range l.take(7, nil) {
			taken.add(parallax.Place(c.Reason), c.N)
		}
	}
	for counts := l.take(100, nil); len(counts) > 0; counts = l.take(100, nil) {
		for _, c := range counts {
			taken.add(parallax.Place(c.Reason), c.N)
		}
	}
	total := l.Totals("shop")
	if total.Received != 20_000 || total.InFlight != 0 {
		t.Errorf("totals: %+v", total)
	}
	taken.Compared, taken.At = total.Compared, total.At
	if diff := cmp.Diff(total, taken); diff != "" {
		t.Errorf("flushed (-happened +taken):\n%s", diff)
	}
	if len(l.buckets) > 2 {
		t.Errorf("%d minutes are kept although all but two are settled", len(l.buckets))
	}
}

func TestLedgerKeepsMinutesInFlight(t *testing.T) {
	t.Parallel()
	l := NewLedger()
	old := stamp("GET /slow", 0)
	l.Enter(old)
	for minute := range 10 {
		s := stamp("GET /a", minute)
		l.Enter(s)
		l.Move(s, parallax.InLive, parallax.UnmirroredSample)
		l.take(100, nil)
	}
	l.Move(old, parallax.InLive, parallax.LostStore)
	counts := l.take(100, nil)
	slow := Count{Minute: noon, Service: "shop", Endpoint: "GET /slow", Reason: "received", N: 1}
	lost := slow
	lost.Reason = "lost/store"
	if diff := cmp.Diff([]Count{slow, lost}, counts); diff != "" {
		t.Errorf("taken at its end (-want +got):\n%s", diff)
	}
}

func TestLedgerIsBounded(t *testing.T) {
	t.Parallel()
	l := NewLedger()
	for i := range maxEntries + 500 {
		s := stamp("GET /"+strconv.Itoa(i), 0)
		l.Enter(s)
		l.Move(s, parallax.InLive, parallax.InQueue)
	}
	if len(l.entries) > maxEntries+1 {
		t.Errorf("%d entries", len(l.entries))
	}
	b := l.Unflushed("shop", Window{})
	if got := b[OtherEndpoint][Received]; got != 500 {
		t.Errorf("%d exchanges under %q, want 500", got, OtherEndpoint)
	}
	for minute := 1; minute < 100; minute++ { // the store is away
		for i := range maxEntries {
			l.Enter(stamp("GET /"+strconv.Itoa(i), minute))
		}
	}
	if l.cells > maxCells+maxEntries+100 {
		t.Errorf("%d cells, the bound is %d and one bucket", l.cells, maxCells)
	}
	if n := l.Totals("shop").Missing(); n != 0 {
		t.Errorf("%d exchanges are missing", n)
	}
}

func TestLedgerAbandon(t *testing.T) {
	t.Parallel()
	l := NewLedger()
	l.Enter(stamp("GET /a", 0))
	l.Abandon()
	got := l.Totals("")
	if got.InFlight != 0 || got.Lost["shutdown"] != 1 || got.Missing() != 0 {
		t.Errorf("after the end: %+v", got)
	}
	if counts := l.take(10, nil); len(counts) != 2 {
		t.Errorf("took %+v, want received and lost/shutdown", counts)
	}
}

func TestLedgerRefusesUnknownPlaces(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("an unlisted place is accepted")
		}
	}()
	NewLedger().Move(stamp("GET /a", 0), parallax.InLive, "lost/nowhere")
}

// Move panics on a place that is not listed, so every constant has to be.
func TestEveryPlaceIsListed(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "../account.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, p := range parallax.Places {
		listed[string(p)] = true
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			value, _ := strconv.Unquote(lit.Value)
			if _, reason, ok := strings.Cut(value, "/"); ok && reason != "" {
				found++
				if !listed[value] {
					t.Errorf("parallax.Places lacks %q", value)
				}
			}
		}
		return true
	})
	if found < len(listed) {
		t.Errorf("found %d places in account.go, %d are listed", found, len(listed))
	}
}

// TestLedgersOfSeveralProcesses: whatever a mirror and two workers have stored by a time adds up,
// what a killed worker had comes again, and what a worker that ends had fetched is not lost.
func TestLedgersOfSeveralProcesses(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewSource(1))
	mirror := NewLedger()
	workers := []*Ledger{NewLedger(), NewLedger()}
	sums := newAccounting()
	stores := func(list []Count, compared int64) {
		for _, c := range list {
			sums.add(parallax.Place(c.Reason), c.N)
		}
		sums.add(parallax.ComparedMatch, compared)
	}
	holds := func(when string) {
		t.Helper()
		total := sums.InFlight
		for _, m := range []map[string]int64{sums.Unmirrored, sums.Compared, sums.Lost} {
			for _, n := range m {
				total += n
			}
		}
		if sums.Received != total {
			t.Fatalf("%s: %d received, %d elsewhere: %+v", when, sums.Received, total, sums)
		}
	}
	var stream []parallax.Stamp
	for i := range 3000 {
		s := stamp("GET /"+strconv.Itoa(rnd.Intn(5)), rnd.Intn(3))
		mirror.Enter(s)
		switch rnd.Intn(6) {
		case 0:
			mirror.Move(s, parallax.InLive, parallax.UnmirroredSample)
		case 1:
			mirror.Move(s, parallax.InLive, parallax.InQueue)
			mirror.SetAside(s)
			if rnd.Intn(2) == 0 {
				mirror.Hand(s, true)
				stream = append(stream, s)
			}
		case 2: // still in flight
		default:
			mirror.Move(s, parallax.InLive, parallax.InQueue)
			mirror.Hand(s, false)
			stream = append(stream, s)
		}
		for len(stream) > 10 {
			s, w := stream[0], workers[rnd.Intn(2)]
			stream = stream[1:]
			w.Fetch(s)
			if rnd.Intn(10) == 0 {
				w.Move(s, parallax.InWorker, parallax.LostPanic)
				continue
			}
			w.Move(s, parallax.InWorker, parallax.InBatch)
			if rnd.Intn(3) > 0 {
				e := []ending{{endingKey: endingKey{&filing{service: s.Service, endpoint: s.Endpoint}, s.Received.Unix() / 60, compare.Match}, n: 1}}
				stores(w.take(1000, e), 1)
				w.move(s, inBatch, placeIndex[parallax.ComparedMatch], 1)
			}
		}
		if i%7 == 0 {
			stores(mirror.take(1000, nil), 0)
		}
		holds("after " + strconv.Itoa(i))
	}
	before := sums.Lost["shutdown"]
	for _, w := range workers {
		w.Abandon()
		stores(w.take(1000, nil), 0)
	}
	if sums.Lost["shutdown"] != before {
		t.Errorf("a worker that ended lost %d exchanges that come again", sums.Lost["shutdown"]-before)
	}
	mirror.Abandon()
	stores(mirror.take(1000, nil), 0)
	holds("at the end")
	if sums.Lost["shutdown"] == 0 || sums.InFlight == 0 || sums.At["stream"] != sums.InFlight {
		t.Errorf("at the end %+v: want some lost with the mirror, and others in the stream", sums)
	}
}

// Whoever sees a reason in a report finds out what it means.
func TestEveryPlaceIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/accounting.md")
	if err != nil {
		t.Fatal(err)
	}
	section := map[string]string{}
	for group, from := range map[string]string{"unmirrored": "**Unmirrored**", "lost": "**Lost**", "compared": "**Compared**", "in_flight": "**In flight**"} {
		_, text, found := strings.Cut(string(page), "\n"+from)
		if !found {
			t.Fatalf("docs/accounting.md has no %s", from)
		}
		section[group], _, _ = strings.Cut(text, "\n**")
	}
	for _, p := range parallax.Places {
		if !strings.Contains(section[p.Group()], "`"+p.Reason()+"`") {
			t.Errorf("docs/accounting.md does not say what %s means", p)
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	l := NewLedger()
	reg := prometheus.NewPedanticRegistry()
	NewMetrics(reg, l)
	for i, to := range []parallax.Place{parallax.ComparedMatch, parallax.ComparedMatch, parallax.ComparedDiverged, parallax.LostQueueFull, parallax.UnmirroredUnsafe, parallax.InQueue} {
		s := stamp("GET /"+strconv.Itoa(i%2), 0)
		l.Enter(s)
		l.Move(s, parallax.InLive, to)
	}
	nameless := parallax.Stamp{Service: "shop", Received: noon}
	l.Enter(nameless)
	l.Move(nameless, parallax.InLive, parallax.ComparedMatch)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			if v := m.GetCounter().GetValue() + m.GetGauge().GetValue(); v != 0 {
				got[name] = v
			}
		}
	}
	want := map[string]float64{
		"parallax_exchanges_total  match shop":          1,
		"parallax_exchanges_total GET /0 match shop":    1,
		"parallax_exchanges_total GET /1 match shop":    1,
		"parallax_exchanges_total GET /0 diverged shop": 1,
		"parallax_lost_total queue_full shop":           1,
		"parallax_unmirrored_total unsafe shop":         1,
		"parallax_queue_depth shop":                     1,
		"parallax_in_flight queue shop":                 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// BenchmarkUnflushed is how long a report holds up those who count, after the
// store was away for two hours with 300 endpoints.
func BenchmarkUnflushed(b *testing.B) {
	l := NewLedger()
	for minute := range 120 {
		for i := range 300 {
			l.Enter(stamp("GET /"+strconv.Itoa(i), minute))
		}
	}
	for name, w := range map[string]Window{"all": {}, "hour": {From: noon.Add(time.Hour)}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				l.sumCells("shop", w)
			}
		})
	}
}

// BenchmarkLedger is the way of one exchange through five places.
func BenchmarkLedger(b *testing.B) {
	l := NewLedger()
	endpoints := make([]string, 300)
	for i := range endpoints {
		endpoints[i] = "GET /endpoint/{id}/" + strconv.Itoa(i)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			s := stamp(endpoints[i%len(endpoints)], 0)
			l.Enter(s)
			l.Move(s, parallax.InLive, parallax.InShadow)
			l.Move(s, parallax.InShadow, parallax.InQueue)
			l.Move(s, parallax.InQueue, parallax.InWorker)
			l.Move(s, parallax.InWorker, parallax.ComparedMatch)
		}
	})
}

// TestLedgerRefines takes exchanges to another endpoint, also around a flush and
// where the ledger has no cells left.
func TestLedgerRefines(t *testing.T) {
	t.Parallel()
	l := NewLedger()
	a, b := stamp("POST /graphql", 0), stamp("POST /graphql query Get", 0)
	for range 3 {
		l.Enter(a)
		l.Move(a, parallax.InLive, parallax.InShadow)
	}
	l.Move(a, parallax.InShadow, parallax.LostShutdown) // not refined
	l.Refine(a, b, parallax.InShadow)
	first := l.take(100, nil)
	l.Refine(a, b, parallax.InShadow)
	l.Move(b, parallax.InShadow, parallax.UnmirroredUnsafe)
	l.Move(b, parallax.InShadow, parallax.LostPanic)
	stored := map[string]int64{}
	for _, c := range append(first, l.take(100, nil)...) {
		if c.N < 0 {
			t.Errorf("a negative count: %+v", c)
		}
		stored[c.Endpoint+" "+c.Reason] += c.N
	}
	want := map[string]int64{
		"POST /graphql received": 1, "POST /graphql lost/shutdown": 1,
		"POST /graphql query Get received": 2, "POST /graphql query Get unmirrored/unsafe": 1, "POST /graphql query Get lost/panic": 1,
	}
	if diff := cmp.Diff(want, stored); diff != "" {
		t.Errorf("stored counts (-want +got):\n%s", diff)
	}
}
