package divergence

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"parallax"
	"parallax/compare"
)

// listSource hands out a list, then fails once, then is closed.
type listSource struct {
	mu     sync.Mutex
	list   []*parallax.Exchange
	failed bool
	acked  []parallax.ID
}

func (s *listSource) Receive(_ context.Context, max int) ([]*parallax.Exchange, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(max, len(s.list))
	if n == 0 && !s.failed {
		s.failed = true
		return nil, errors.New("connection lost")
	}
	if n == 0 {
		return nil, io.EOF
	}
	out := s.list[:n]
	s.list = s.list[n:]
	return out, nil
}

func (s *listSource) Ack(_ context.Context, ids ...parallax.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = append(s.acked, ids...)
	return nil
}

func newJudge(t testing.TB) *Judge {
	t.Helper()
	redactor, faults := compare.NewRedactor([]byte("a key of thirty-two bytes, for tests"), compare.RedactConfig{})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	rules, faults := compare.Compile(nil)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return &Judge{Rules: rules, Noise: &compare.NoiseModel{}, Redactor: redactor, Policy: "p1", Slower: Slower{Ratio: 1.1, Plus: time.Millisecond / 2}}
}

func TestWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &standIn{}
		r := newRig(t, "i1", nil, w, Limits{})
		source := &listSource{}
		for i := range 100 {
			x := pair(i, "GET /a", 200, 200)
			switch {
			case i == 7:
				x.Service = "unknown"
			case i == 8:
				x.Service = "broken"
			case i%2 == 0:
				x.Legs[1].Response.Body = x.Legs[0].Response.Body
			}
			r.ledger.Enter(x.Stamp())
			r.ledger.Move(x.Stamp(), parallax.InLive, parallax.InQueue)
			source.list = append(source.list, x)
		}
		var log strings.Builder
		judge := newJudge(t)
		worker := NewWorker(WorkerConfig{
			Source: source, Recorder: r.Recorder, Ledger: r.ledger, Goroutines: 3, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Judge: func(service string) *Judge {
				switch service {
				case "shop":
					return judge
				case "broken":
					panic("a defect")
				}
				return nil
			},
		})
		if err := worker.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		all := r.ledger.Totals("")
		if all.At["batch"] != 98 || all.Lost["panic"] != 2 || all.Missing() != 0 {
			t.Errorf("accounting: %+v", all)
		}
		if len(source.acked) != 100 {
			t.Errorf("%d exchanges acknowledged, want all 100", len(source.acked))
		}
		if n := strings.Count(log.String(), "lost to a defect"); n != 1 {
			t.Errorf("a defect is logged %d times, want once:\n%s", n, log.String())
		}
		if !strings.Contains(log.String(), "connection lost") {
			t.Errorf("a failed source is not logged:\n%s", log.String())
		}
		r.mustFlush(t)
		tick := w.sets[1].ticks[0]
		if tick.N != 98 || tick.K != 49 || tick.Timed != 98 || tick.SlowB != 98 || tick.SlowC != 0 {
			t.Errorf("evidence: %+v", tick)
		}
		if tick.RulesHash != judge.Rules.Hash("GET /a") || tick.PolicyHash != "p1" {
			t.Errorf("hashes: %+v", tick)
		}
	})
}

// With an Acker the worker acknowledges only what is lost; the rest is when it is
// stored.
func TestWorkerLeavesAcksToTheRecorder(t *testing.T) {
	t.Parallel()
	var acks ackList
	r := newRig(t, "i1", nil, &standIn{}, Limits{BufferRows: 3})
	r.cfg.Acker = &acks
	source := &listSource{failed: true}
	for i := range 5 {
		source.list = append(source.list, pair(i, "GET /a", 200, 200))
	}
	source.list[1].Service = "unknown"
	judge := newJudge(t)
	worker := NewWorker(WorkerConfig{Source: source, Recorder: r.Recorder, Ledger: r.ledger, Goroutines: 1, Log: quiet, Judge: func(service string) *Judge {
		if service == "shop" {
			return judge
		}
		return nil
	}})
	if err := worker.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]parallax.ID{testID(1), testID(4)}, source.acked); diff != "" {
		t.Errorf("acknowledged as lost (-want +got):\n%s", diff)
	}
	r.mustFlush(t)
	if diff := cmp.Diff(ackList{testID(0), testID(2), testID(3)}, acks); diff != "" {
		t.Errorf("acknowledged as stored (-want +got):\n%s", diff)
	}
}

// blockedSource waits for its context.
type blockedSource struct{ listSource }

func (*blockedSource) Receive(ctx context.Context, _ int) ([]*parallax.Exchange, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestWorkerStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	l := NewLedger()
	worker := NewWorker(WorkerConfig{Source: &blockedSource{}, Ledger: l, Log: quiet, Recorder: NewRecorder(RecorderConfig{Ledger: l, Metrics: NewMetrics(prometheus.NewRegistry(), l)})})
	done := make(chan error)
	go func() { done <- worker.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSlower(t *testing.T) {
	t.Parallel()
	s := Slower{Ratio: 1.1, Plus: 2 * time.Millisecond}
	f := func(primary, candidate time.Duration, want timing) {
		t.Helper()
		x := pair(1, "GET /a", 200, 200)
		x.Legs[0].First, x.Legs[1].First = 0, 0
		if primary > 0 {
			x.Legs[0].First = x.Legs[0].Start + primary
		}
		if candidate > 0 {
			x.Legs[1].First = x.Legs[1].Start + candidate
		}
		if got := s.timing(x); got != want {
			t.Errorf("%s against %s: got %+v, want %+v", primary, candidate, got, want)
		}
	}
	ms := time.Millisecond
	f(10*ms, 13*ms, timing{both: true}) // 11 + 2: at the limit
	f(10*ms, 13*ms+1, timing{both: true, slowCandidate: true})
	f(14*ms, 10*ms, timing{both: true, slowPrimary: true})
	f(0, 10*ms, timing{})
	f(10*ms, 0, timing{})
	failed := pair(1, "GET /a", 200, 200)
	failed.Legs[1].Err.Kind = parallax.Reset
	if got := s.timing(failed); got != (timing{}) {
		t.Errorf("a broken answer is timed: %+v", got)
	}
}

func TestKeeper(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	count := func(n int, x *parallax.Exchange, c compare.Comparison) int {
		kept := 0
		for range n {
			if k.keep(x, c) {
				kept++
			}
		}
		return kept
	}
	f := func(name string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d kept, want %d", name, got, want)
		}
	}
	x := pair(1, "GET /a", 200, 200)
	diverged := compare.Comparison{Outcome: compare.Diverged, Differences: []compare.Difference{difference("1-aa", "$.a", ""), difference("1-aa", "$.b", "")}}
	ruled := compare.Comparison{Outcome: compare.Match, Differences: []compare.Difference{difference("1-cc", "$.a", "rule")}}
	f("diverging", count(100, x, diverged), keepDiverged)
	f("another issue", count(100, x, compare.Comparison{Outcome: compare.Diverged, Differences: []compare.Difference{difference("1-bb", "$.a", "")}}), keepDiverged)
	f("matching", count(100, x, compare.Comparison{}), keepMatched)
	f("suppressed", count(100, x, ruled), keepSuppressed)
	f("not comparable", count(100, x, compare.Comparison{Outcome: compare.NotComparable, Reason: "truncated"}), keepIncomparable)
	later := pair(1, "GET /a", 200, 200)
	later.Received = later.Received.Add(time.Hour)
	f("an hour later", count(100, later, compare.Comparison{}), keepMatched)
	f("late ones of the hour before", count(100, x, compare.Comparison{}), 0)
	ahead := pair(1, "GET /a", 200, 200)
	ahead.Received = later.Received.Add(1000 * time.Hour)
	f("with a clock that is ahead", count(100, ahead, compare.Comparison{}), keepMatched)
	f("when it is set back", count(100, later, compare.Comparison{}), keepMatched)
	big := pair(2, "GET /big", 200, 200)
	big.Legs[0].Response.Body.Bytes = make([]byte, keepBytes/4+1)
	f("more than there is room for", count(5, big, compare.Comparison{}), 3)
}
