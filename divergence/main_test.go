package divergence

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"parallax"
	"parallax/compare"
	"parallax/divergence/embedded"
)

func TestMain(m *testing.M) {
	embedded.Child()
	shared.stop = func() {}
	code := m.Run()
	shared.stop()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// shared is the engine that tests without a wish of their own run against,
// started by the first that needs it.
var shared struct {
	once sync.Once
	opts *clickhouse.Options
	err  error
	stop func()
}

// openShared returns an empty, migrated store in a database of its own: in the
// engine, or on the server that PARALLAX_TEST_CLICKHOUSE names by its DSN.
func openShared(t testing.TB) *Store {
	t.Helper()
	shared.once.Do(startShared)
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	opts := *shared.opts
	opts.Auth.Database = "test_" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, t.Name())
	s := openStore(t, &opts)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.conn.Exec(context.Background(), "DROP DATABASE "+quoteName(s.database)); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openStore(t testing.TB, opts *clickhouse.Options) *Store {
	t.Helper()
	s, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func startShared() {
	if dsn := os.Getenv("PARALLAX_TEST_CLICKHOUSE"); dsn != "" {
		shared.opts, shared.err = clickhouse.ParseDSN(dsn)
		return
	}
	dir, err := os.MkdirTemp("", "parallax-divergence-")
	if err != nil {
		shared.err = err
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e, err := embedded.Start(ctx, embedded.Config{Dir: dir})
	if err != nil {
		shared.err = err
		return
	}
	shared.stop = func() {
		_ = e.Close()
		_ = os.RemoveAll(dir)
	}
	shared.opts, shared.err = e.Options(), e.Ready(ctx)
}

// startEngine starts an engine of its own for a test that hurts it.
func startEngine(t testing.TB) *embedded.Engine {
	t.Helper()
	e, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	awaitReady(t, e)
	return e
}

func awaitReady(t testing.TB, e *embedded.Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := e.Ready(ctx); err != nil {
		t.Fatal(err)
	}
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// noon is when the exchanges of tests are received; today, so that no TTL takes
// them.
var noon = time.Now().UTC().Truncate(24 * time.Hour)

// testID returns a valid, distinct id.
func testID(n int) parallax.ID {
	var id parallax.ID
	ms := noon.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6], id[8] = 0x70, 0x80
	for i := range 4 {
		id[12+i] = byte(n >> (24 - 8*i))
	}
	return id
}

// pair returns an exchange that both legs answered with a status.
func pair(n int, endpoint string, primary, candidate int) *parallax.Exchange {
	return &parallax.Exchange{
		ID: testID(n), Service: "shop", Endpoint: endpoint, Received: noon.Add(time.Duration(n) * time.Millisecond),
		Legs: [parallax.Legs]*parallax.Call{
			answer(primary, 2*time.Millisecond, `{"a":1}`),
			answer(candidate, 3*time.Millisecond, `{"a":2}`),
		},
	}
}

func answer(status int, took time.Duration, text string) *parallax.Call {
	return &parallax.Call{
		Request: parallax.Request{
			Method: "GET", Target: "/orders/1?x=%20", Host: "shop.test", Proto: "HTTP/1.1",
			Headers: []parallax.Field{{Name: "Accept", Value: "*/*"}, {Name: "accept", Value: "text/html"}},
		},
		Response: parallax.Response{
			Status:   status,
			Headers:  []parallax.Field{{Name: "Content-Type", Value: "application/json"}},
			Body:     parallax.Body{Bytes: []byte(text), Size: int64(len(text)), SHA256: [32]byte{1, 2, 3}},
			Trailers: []parallax.Field{{Name: "X-End", Value: "1"}},
		},
		Start: time.Millisecond, First: time.Millisecond + took, Done: 2*time.Millisecond + took, Version: "1.0",
	}
}

// difference returns a difference that counts, or one that was suppressed.
func difference(fingerprint, path, by string) compare.Difference {
	return compare.Difference{
		Path: path, Normal: path, Kind: compare.Changed, Primary: "1", Candidate: "2", Class: "number",
		Fingerprint: fingerprint, Cause: "cause-" + fingerprint, Suppressed: compare.Suppression{By: by},
	}
}

// rig is a ledger and a recorder on a store or a stand-in for one.
type rig struct {
	*Recorder
	ledger *Ledger
}

func newRig(t testing.TB, instance string, s *Store, w writer, limits Limits) rig {
	t.Helper()
	l := NewLedger()
	r := newRecorder(RecorderConfig{
		Store: s, Ledger: l, Metrics: NewMetrics(prometheus.NewRegistry(), l),
		Instance: instance, Now: time.Now, Log: quiet, Limits: limits,
	}, w)
	return rig{r, l}
}

// record enters an exchange and hands it to the recorder as compared.
func (r rig) record(x *parallax.Exchange, c compare.Comparison, kept bool) {
	r.ledger.Enter(x.Stamp())
	r.ledger.Move(x.Stamp(), parallax.InLive, parallax.InWorker)
	var bodies *parallax.Exchange
	if kept {
		bodies = x
	}
	rec := newRecord(x, c, nil, bodies)
	rec.rules, rec.policy = "r1", "p1"
	rec.timing = Slower{Ratio: 1.1, Plus: 2 * time.Millisecond}.timing(x)
	r.add(rec)
}

// mustFlush writes everything that waits.
func (r rig) mustFlush(t testing.TB) {
	t.Helper()
	for {
		wrote, err := r.flush(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !wrote {
			return
		}
	}
}
