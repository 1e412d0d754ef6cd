package divergence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/compare"
	"parallax/divergence/embedded"
)

// channelSource is a queue as the mirror's, with a channel inside.
type channelSource chan *parallax.Exchange

func (s channelSource) Receive(ctx context.Context, _ int) ([]*parallax.Exchange, error) {
	select {
	case x, ok := <-s:
		if !ok {
			return nil, io.EOF
		}
		return []*parallax.Exchange{x}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (channelSource) Ack(context.Context, ...parallax.ID) error { return nil }

// traffic sends n exchanges of a few endpoints and minutes through the ledger as
// a mirror does: some are not mirrored, some find the queue full, the rest are
// queued. With a gate it waits there before each fifth of them.
func traffic(l *Ledger, queue channelSource, seed, n int, gate <-chan struct{}) {
	random := rand.New(rand.NewSource(int64(seed)))
	for i := range n {
		if gate != nil && i%(n/5) == 0 {
			<-gate
		}
		x := pair(seed<<20|i, fmt.Sprintf("GET /%d", random.Intn(4)), 200, 200+random.Intn(2))
		x.Received = noon.Add(time.Duration(random.Intn(180_000)) * time.Millisecond)
		if random.Intn(20) == 0 {
			x.Legs[1] = nil
		}
		s := x.Stamp()
		l.Enter(s)
		switch random.Intn(10) {
		case 0:
			l.Move(s, parallax.InLive, parallax.UnmirroredUnsafe)
			continue
		case 1:
			l.Move(s, parallax.InLive, parallax.InShadow)
			l.Move(s, parallax.InShadow, parallax.LostQueueFull)
			continue
		}
		l.Move(s, parallax.InLive, parallax.InQueue)
		queue <- x
	}
}

// load is traffic that flows through workers and a recorder; stop ends it in the
// order a process does.
type load struct {
	rig
	queue   channelSource
	senders sync.WaitGroup
	stop    func()
}

func startLoad(t *testing.T, r rig, senders, each int, gate <-chan struct{}) *load {
	t.Helper()
	l := &load{rig: r, queue: make(channelSource, 100)}
	judge := newJudge(t)
	worker := NewWorker(WorkerConfig{Source: l.queue, Recorder: r.Recorder, Ledger: r.ledger, Log: quiet, Judge: func(string) *Judge { return judge }})
	compared := make(chan error)
	go func() { compared <- worker.Run(context.Background()) }()
	stopRecorder := r.start(t)
	for seed := range senders {
		l.senders.Go(func() { traffic(r.ledger, l.queue, seed, each, gate) })
	}
	l.stop = func() {
		l.senders.Wait()
		close(l.queue)
		if err := <-compared; err != nil {
			t.Error(err)
		}
		stopRecorder()
	}
	return l
}

func TestEveryExchangeIsAccountedFor(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	r := newRig(t, "i1", s, s, Limits{Age: 20 * time.Millisecond, BatchRows: 1000, Stop: time.Minute})
	gate := make(chan struct{})
	l := startLoad(t, r, 4, 3000, gate)
	sent := make(chan struct{})
	go func() { l.senders.Wait(); close(sent) }()
	for running := true; running; {
		// Traffic flows on while the next reading is made.
		for range 4 {
			select {
			case gate <- struct{}{}:
			default:
			}
		}
		select {
		case <-sent:
			running = false
		default:
		}
		sum, err := r.Summary(t.Context(), "shop", Window{})
		if err != nil {
			t.Fatal(err)
		}
		checkSummary(t, sum)
	}
	l.stop()
	stored, err := s.Summary(t.Context(), "shop", Window{})
	if err != nil {
		t.Fatal(err)
	}
	checkSummary(t, stored)
	// The ledger counted moves; the store counts rows.
	if diff := cmp.Diff(withoutGauges(r.ledger.Totals("shop")), withoutGauges(stored.Accounting)); diff != "" {
		t.Errorf("(-ledger +store):\n%s", diff)
	}
	if stored.Accounting.Received != 12_000 || stored.Accounting.InFlight != 0 {
		t.Errorf("at the end: %+v", stored.Accounting)
	}
	var parts int64
	for minute := range 3 {
		part, err := s.Summary(t.Context(), "shop", Window{From: noon.Add(time.Duration(minute) * time.Minute), To: noon.Add(time.Duration(minute+1) * time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		checkSummary(t, part)
		parts += part.Accounting.Received
	}
	if parts != 12_000 {
		t.Errorf("the minutes add up to %d", parts)
	}
	totals, err := newRig(t, "next", s, s, Limits{}).Totals(t.Context(), "shop")
	if diff := cmp.Diff(withoutGauges(stored.Accounting), withoutGauges(totals)); diff != "" || err != nil {
		t.Errorf("%v (-rows +totals):\n%s", err, diff)
	}
	checkTicks(t, s, stored.Accounting)
}

// A process that is killed loses the exchanges it had in flight whole: what is
// stored adds up.
func TestKilledProcessLeavesABalance(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	r := newRig(t, "killed", s, s, Limits{BatchRows: 3})
	for i := range 5 {
		r.record(pair(i, "GET /a", 200, 200), matched, false)
	}
	r.ledger.Enter(pair(5, "GET /a", 200, 200).Stamp())
	refused := pair(6, "GET /a", 200, 200).Stamp()
	r.ledger.Enter(refused)
	r.ledger.Move(refused, parallax.InLive, parallax.LostQueueFull)
	if _, err := r.flush(t.Context()); err != nil { // and no more
		t.Fatal(err)
	}
	live, err := r.Summary(t.Context(), "shop", Window{})
	if err != nil {
		t.Fatal(err)
	}
	checkSummary(t, live)
	if live.Accounting.Received != 7 || live.Accounting.InFlight != 3 {
		t.Errorf("alive: %+v", live.Accounting)
	}
	next := newRig(t, "next", s, s, Limits{})
	after, err := next.Summary(t.Context(), "shop", Window{})
	if err != nil {
		t.Fatal(err)
	}
	checkSummary(t, after)
	totals, err := next.Totals(t.Context(), "shop")
	if diff := cmp.Diff(withoutGauges(after.Accounting), withoutGauges(totals)); diff != "" || err != nil {
		t.Errorf("%v (-rows +totals):\n%s", err, diff)
	}
	if after.Accounting.Received != 4 || after.Accounting.InFlight != 0 {
		t.Errorf("after the kill: %+v", after.Accounting)
	}
}

// withoutGauges returns the accounting in a form that can be compared: gauges
// that are 0 are not told apart from missing ones.
func withoutGauges(a Accounting) Accounting {
	a.At = nil
	return a
}

func checkSummary(t *testing.T, s Summary) {
	t.Helper()
	if n := s.Accounting.Missing(); n != 0 {
		t.Errorf("%d exchanges are missing: %+v", n, s.Accounting)
	}
	for place, n := range s.Accounting.At {
		if n < 0 {
			t.Errorf("%d exchanges in %s", n, place)
		}
	}
	var received int64
	for _, e := range s.Endpoints {
		received += e.Received
		if missing := e.Received - total(e.Unmirrored) - e.Compared - e.Lost - e.InFlight; missing != 0 {
			t.Errorf("%s: %d exchanges are missing: %+v", e.Endpoint, missing, e)
		}
	}
	if received != s.Accounting.Received {
		t.Errorf("endpoints received %d, together %d", received, s.Accounting.Received)
	}
}

// Whichever step of writing a batch a process is killed after, what is stored adds up: the
// batch is there, or it is not.
func TestKilledWriterLeavesABalance(t *testing.T) {
	t.Parallel()
	for step := range steps {
		t.Run(fmt.Sprintf("after step %d", step), func(t *testing.T) {
			t.Parallel()
			s := openShared(t)
			r := newRig(t, "killed", s, s, Limits{})
			for i := range 3 {
				r.record(pair(i, "GET /a", 200, 200), matched, false)
			}
			if _, err := r.flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i := range 5 {
				r.record(pair(3+i, "GET /a", 200, 200), matched, false)
			}
			refused := pair(8, "GET /b", 200, 200).Stamp()
			r.ledger.Enter(refused)
			r.ledger.Move(refused, parallax.InLive, parallax.LostQueueFull)
			b := r.seal()
			for done := range step + 1 {
				if err := s.write(t.Context(), b, done); err != nil {
					t.Fatal(err)
				}
			}
			sum, err := newRig(t, "next", s, s, Limits{}).Summary(t.Context(), "shop", Window{})
			if err != nil {
				t.Fatal(err)
			}
			checkSummary(t, sum)
			want := int64(3)
			if step >= writeComparisons {
				want = 9
			}
			if got := sum.Accounting.Received; got != want {
				t.Errorf("%d received, want %d", got, want)
			}
		})
	}
}

// checkTicks folds the evidence, which must tell the same as the rows.
func checkTicks(t *testing.T, s *Store, a Accounting) {
	t.Helper()
	var sum Tick
	for after := (Cursor{}); ; {
		list, err := s.Ticks(t.Context(), "shop", after, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		for _, tick := range list {
			sum.Received += tick.Received
			sum.Lost += tick.Lost
			sum.N += tick.N
			sum.K += tick.K
			sum.NotComparable += tick.NotComparable
		}
		after = list[len(list)-1].Cursor()
	}
	want := Tick{
		Received: uint64(a.Received), Lost: uint64(total(a.Lost)), K: uint64(a.Compared["diverged"]),
		N: uint64(a.Compared["match"] + a.Compared["diverged"]), NotComparable: uint64(a.Compared["not_comparable"]),
	}
	if diff := cmp.Diff(want, sum); diff != "" {
		t.Errorf("ticks (-rows +ticks):\n%s", diff)
	}
}

// deaf is a store whose engine is killed after each acknowledged step, once, so
// that the recorder has to try the step again without knowing.
type deaf struct {
	*Store
	engine *embedded.Engine
	killed map[int]bool
}

func (d *deaf) write(ctx context.Context, b *batch, step int) error {
	if err := d.Store.write(ctx, b, step); err != nil {
		return err
	}
	if d.killed[step] {
		return nil
	}
	d.killed[step] = true
	if err := kill(d.engine); err != nil {
		return err
	}
	return fmt.Errorf("%w: the answer did not come", ErrAway)
}

// What was written although its acknowledgement was lost with the engine is not
// written again, in any table, and reports never count it twice.
func TestKilledEngineCountsOnce(t *testing.T) {
	t.Parallel()
	e := startEngine(t)
	s := openStore(t, e.Options())
	w := &deaf{Store: s, engine: e, killed: map[int]bool{}}
	r := newRig(t, "i1", s, w, Limits{})
	for i := range 50 {
		c := compare.Comparison{Outcome: compare.Diverged, Divergences: 1, Differences: []compare.Difference{difference("1-aa", "$.a", "")}}
		r.record(pair(i, "GET /a", 200, 200), c, i < 5)
	}
	kills := 0
	for wrote := false; !wrote; {
		var err error
		wrote, err = r.flush(t.Context())
		if err != nil && !errors.Is(err, ErrAway) {
			t.Fatal(err)
		}
		if err == nil {
			break
		}
		kills++
		if kills > 60 {
			t.Fatalf("still away: %v", err)
		}
		awaitAnswer(t, e, s)
		sum, err := r.Summary(t.Context(), "shop", Window{})
		if err != nil {
			t.Fatal(err)
		}
		checkSummary(t, sum)
		if sum.Accounting.Received != 50 {
			t.Errorf("after %d kills: %+v", kills, sum.Accounting)
		}
	}
	if kills < steps {
		t.Errorf("%d kills, want one a step", kills)
	}
	for table, want := range map[string]uint64{"counts": 1, "divergences": 50, "bodies": 10, "comparisons": 50, "ticks": 1, "totals": 2} {
		var n uint64
		if err := s.conn.QueryRow(t.Context(), "SELECT count() FROM "+table).Scan(&n); err != nil || n != want {
			t.Errorf("%s has %d rows, want %d: %v", table, n, want, err)
		}
	}
}

// kill ends the engine's process as the system would, and returns once its
// supervisor has noticed.
func kill(e *embedded.Engine) error {
	pid := e.State().PID
	if pid <= 0 { // 0 would be our own group
		return fmt.Errorf("no engine to kill: %s", e.State())
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for e.State().PID == pid {
		<-look.C
	}
	return nil
}

// awaitAnswer waits until a killed engine answers again.
func awaitAnswer(t *testing.T, e *embedded.Engine, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for s.Ping(ctx) != nil {
		if err := e.Ready(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// An engine killed under load costs nobody an exchange: what could not be
// written waits and is written once.
func TestKilledEngineUnderLoad(t *testing.T) {
	t.Parallel()
	e := startEngine(t)
	s := openStore(t, e.Options())
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, "i1", s, s, Limits{Age: 10 * time.Millisecond, BatchRows: 200, Stop: time.Minute})
	l := startLoad(t, r, 2, 3000, nil)
	for range 2 {
		awaitAnswer(t, e, s)
		before := r.ledger.Totals("shop").Compared["match"]
		for r.ledger.Totals("shop").Compared["match"] == before && r.ledger.Totals("shop").Received < 6000 {
			awaitAnswer(t, e, s)
		}
		if err := kill(e); err != nil {
			t.Fatal(err)
		}
	}
	l.senders.Wait()
	awaitAnswer(t, e, s)
	l.stop()
	stored, err := s.Summary(t.Context(), "shop", Window{})
	if err != nil {
		t.Fatal(err)
	}
	checkSummary(t, stored)
	if diff := cmp.Diff(withoutGauges(r.ledger.Totals("shop")), withoutGauges(stored.Accounting)); diff != "" {
		t.Errorf("(-ledger +store):\n%s", diff)
	}
	if stored.Accounting.Received != 6000 || stored.Accounting.Lost["shutdown"]+stored.Accounting.Lost["store"] != 0 {
		t.Errorf("at the end: %+v", stored.Accounting)
	}
}

// Canary secrets stand in every part of an exchange that may hold one; none is
// found in any column of any table, or in the log.
func TestNoSecretIsStored(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r := newRig(t, "i1", s, s, Limits{})
	r.cfg.Log = logger
	x := pair(1, "POST /login", 200, 200)
	for leg, name := range []string{"primary", "candidate"} {
		c := x.Legs[leg]
		c.Request.Target = "/login?access_token=canary-query-secret"
		c.Request.Headers = []parallax.Field{
			{Name: "Authorization", Value: "Bearer canary-bearer-secret"}, {Name: "Cookie", Value: "sid=canary-cookie-secret"},
			{Name: "X-Api-Key", Value: "canary-apikey-secret"},
		}
		c.Request.Body.Bytes = []byte(`{"user":"ann","password":"canary-password-secret"}`)
		c.Response.Headers = append(c.Response.Headers, parallax.Field{Name: "Set-Cookie", Value: "sid=canary-setcookie-secret-" + name})
		c.Response.Body.Bytes = []byte(`{"token":"canary-token-secret-` + name + `","card":"4111111111111111","ok":"` + name + `"}`)
		c.Response.Body.Size = int64(len(c.Response.Body.Bytes))
	}
	queue := make(channelSource, 1)
	r.ledger.Enter(x.Stamp())
	r.ledger.Move(x.Stamp(), parallax.InLive, parallax.InQueue)
	queue <- x
	close(queue)
	judge := newJudge(t)
	worker := NewWorker(WorkerConfig{Source: queue, Recorder: r.Recorder, Ledger: r.ledger, Log: logger, Judge: func(string) *Judge { return judge }})
	if err := worker.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.mustFlush(t)
	dump := dumpAll(t, s) + log.String()
	for _, secret := range []string{"canary", "4111111111111111"} {
		if i := strings.Index(dump, secret); i >= 0 {
			t.Errorf("the store holds a secret: %.200s", dump[max(0, i-80):])
		}
	}
	detail, err := s.Exchange(t.Context(), "shop", x.ID)
	if err != nil {
		t.Fatal(err)
	}
	if detail.Exchange == nil || len(detail.Differences) == 0 || !strings.Contains(string(detail.Exchange.Legs[1].Response.Body.Bytes), `"ok":"candidate"`) {
		t.Errorf("the exchange was not kept with its differences: %+v", detail)
	}
}

// tablesOf returns the names of all tables, so that none is forgotten.
func tablesOf(t *testing.T, s *Store) []string {
	t.Helper()
	var names []string
	if err := s.conn.QueryRow(t.Context(), "SELECT groupArray(name) FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'").Scan(&names); err != nil {
		t.Fatal(err)
	}
	if len(names) < 10 {
		t.Fatalf("tables: %v", names)
	}
	return names
}

// dumpAll returns every row of every table as JSON.
func dumpAll(t *testing.T, s *Store) string {
	t.Helper()
	var dump strings.Builder
	for _, table := range tablesOf(t, s) {
		rows, err := s.conn.Query(t.Context(), "SELECT toJSONString(tuple(*)) FROM "+table, clickhouse.Named("unused", ""))
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			if !json.Valid([]byte(line)) {
				t.Errorf("%s: not JSON: %s", table, line)
			}
			dump.WriteString(line + "\n")
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		if dump.Len() == 0 {
			t.Errorf("%s is empty", table)
		}
	}
	return dump.String()
}
