package divergence

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"parallax/compare"
)

// fillDays stores exchanges of several days, each with bodies that do not
// compress and with a difference.
func fillDays(t *testing.T, r rig, days, each int) {
	t.Helper()
	n := 0
	for day := range days {
		for i := range each {
			n++
			x := pair(n, "GET /a", 200, 200)
			x.Received = noon.AddDate(0, 0, day-days).Add(time.Duration(i) * time.Second)
			text := make([]byte, 4096)
			rand.Read(text)
			x.Legs[0].Response.Body.Bytes = text
			outcome := compare.Comparison{Outcome: compare.Match}
			if i%3 == 0 {
				outcome = compare.Comparison{Outcome: compare.Diverged, Divergences: 1, Differences: []compare.Difference{difference("1-aa", fmt.Sprintf("$.c%d", n), "")}}
			}
			r.record(x, outcome, true)
		}
		r.mustFlush(t)
	}
}

// newQuota keeps a store of at most max bytes.
func newQuota(t *testing.T, r rig, max int64) *Quota {
	t.Helper()
	return NewQuota(QuotaConfig{
		Store: r.cfg.Store, Recorder: r.Recorder, Dir: t.TempDir(), Max: max, Now: time.Now, Log: quiet, Registerer: prometheus.NewRegistry(),
	})
}

// shrink keeps the quota until nothing is left to do, and returns the size of the
// tables.
func shrink(t *testing.T, q *Quota) int64 {
	t.Helper()
	for range 200 {
		if err := q.keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		parts, _, err := q.measure(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var active int64
		for _, p := range parts {
			active += p.bytes
		}
		if active <= q.cfg.Max {
			return active
		}
		pause(t.Context(), 50*time.Millisecond) // the engine rewrites parts by itself
	}
	t.Fatal("the store does not shrink")
	return 0
}

func rowsOf(t *testing.T, s *Store, name string) (n uint64) {
	t.Helper()
	if err := s.each(t.Context(), "SELECT count() FROM "+name, nil, func(rows driver.Rows) error { return rows.Scan(&n) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestQuotaDropsTheOldestAndLosesNoCount shrinks a store step by step: bodies go
// before rows, and what is counted stays.
func TestQuotaDropsTheOldestAndLosesNoCount(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	r := newRig(t, "i1", s, s, Limits{})
	const days, each = 3, 300
	fillDays(t, r, days, each)
	whole, err := r.Summary(t.Context(), "shop", Window{})
	if err != nil {
		t.Fatal(err)
	}
	same := func(step string, dropped, bodies func(int64) bool) {
		t.Helper()
		got, err := r.Summary(t.Context(), "shop", Window{})
		if err != nil {
			t.Fatal(err)
		}
		a := got.Accounting
		if !dropped(a.Dropped) || !bodies(a.DroppedBodies) {
			t.Errorf("%s: %d rows and %d bodies are said to be dropped", step, a.Dropped, a.DroppedBodies)
		}
		if d := cmp.Diff(whole.Accounting, a, cmpopts.IgnoreFields(Accounting{}, "Dropped", "DroppedBodies"), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s: accounting (-before +after)\n%s", step, d)
		}
		if e, w := got.Endpoints[0], whole.Endpoints[0]; e.Diverged != w.Diverged || e.Matched != w.Matched || e.Received != w.Received {
			t.Errorf("%s: endpoint %+v, before %+v", step, e, w)
		}
		if n := rowsOf(t, s, "ticks"); n == 0 {
			t.Errorf("%s: the evidence is gone", step)
		}
	}
	none, some := func(n int64) bool { return n == 0 }, func(n int64) bool { return n > 0 }
	all := rowsOf(t, s, "bodies")
	if same("with room", none, none); shrink(t, newQuota(t, r, math.MaxInt64)) == 0 {
		t.Fatal("nothing is stored")
	}

	size := shrink(t, newQuota(t, r, 2<<20)) // of about 3.6 MB of bodies
	if bodies, rows := rowsOf(t, s, "bodies"), rowsOf(t, s, "comparisons"); bodies == 0 || bodies >= all || rows != days*each {
		t.Errorf("at %d bytes there are %d of %d bodies and %d rows", size, bodies, all, rows)
	}
	same("bodies in part", none, some)

	size = shrink(t, newQuota(t, r, 32<<10)) // more than the tables take that are never shortened
	if bodies, rows := rowsOf(t, s, "bodies"), rowsOf(t, s, "comparisons"); bodies != 0 || rows >= days*each {
		t.Errorf("at %d bytes there are %d bodies and %d rows", size, bodies, rows)
	}
	same("rows too", some, some)

	late := pair(9999, "GET /a", 200, 200) // older than what was dropped, and compared only now
	late.Received = noon.AddDate(0, 0, -days)
	r.record(late, compare.Comparison{Outcome: compare.Match}, false)
	r.mustFlush(t)
	whole.Accounting.Received++
	whole.Accounting.Compared["match"]++
	whole.Endpoints[0].Received++
	whole.Endpoints[0].Matched++
	same("a late one", some, some)
}

// TestQuotaCountsWhatCameLate drops rows, then what came late and lies before them,
// in part and twice: each is counted once.
func TestQuotaCountsWhatCameLate(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	r := newRig(t, "i1", s, s, Limits{})
	q := newQuota(t, r, 1)
	exchanges, want := 0, int64(0)
	add := func(at time.Time) {
		t.Helper()
		exchanges++
		x := pair(exchanges, "GET /a", 200, 200)
		x.Received = at
		r.record(x, compare.Comparison{Outcome: compare.Match}, true)
		r.mustFlush(t)
	}
	drop := func(before time.Time) {
		t.Helper()
		parts, _, err := q.measure(t.Context())
		for _, c := range []class{oldBodies, oldRows} {
			if err == nil {
				err = q.drop(t.Context(), before, c, parts)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Summary(t.Context(), "shop", Window{})
		if err != nil {
			t.Fatal(err)
		}
		if a := got.Accounting; a.Compared["match"] != int64(exchanges) || a.Dropped != want || a.DroppedBodies != 2*want || a.Missing() != 0 {
			t.Errorf("before %s: %+v, want %d exchanges and %d dropped with two bodies each", before.Format("15:04"), a, exchanges, want)
		}
	}
	add(noon)
	add(noon.Add(4 * time.Minute))
	want = 1
	drop(noon.Add(3 * time.Minute))
	drop(noon.Add(3 * time.Minute)) // the engine may not have removed them yet
	add(noon.Add(30 * time.Second))
	add(noon.Add(2 * time.Minute))
	want = 3
	drop(noon.Add(time.Minute))
	want = 4
	drop(noon.Add(5 * time.Minute))
}

// TestFullDiskStopsWriting wants more room than any disk has.
func TestFullDiskStopsWriting(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	r := newRig(t, "i1", s, s, Limits{BufferRows: 1})
	q := newQuota(t, r, 0)
	r.cfg.Full = q.Full
	q.cfg.MinFree = math.MaxUint64
	q.lookAtDisk()
	r.record(pair(1, "GET /a", 200, 200), compare.Comparison{Outcome: compare.Match}, false)
	_, err := r.flush(t.Context())
	if !errors.Is(err, ErrAway) || !strings.Contains(err.Error(), "make room") {
		t.Errorf("a batch was written: %v", err)
	}
	for i := 2; i <= 3; i++ { // the sealed batch, the buffer, and one too many
		r.record(pair(i, "GET /a", 200, 200), compare.Comparison{Outcome: compare.Match}, false)
	}
	if a := r.ledger.Totals("shop"); a.Lost["store"] != 1 {
		t.Errorf("accounting %+v, want one lost", a)
	}
	q.cfg.MinFree = 1
	q.lookAtDisk()
	r.mustFlush(t)
	if n := rowsOf(t, s, "comparisons"); n != 2 {
		t.Errorf("%d rows", n)
	}
	if a := r.ledger.Totals("shop"); a.InFlight != 0 || a.Missing() != 0 {
		t.Errorf("accounting %+v", a)
	}
}

// TestQuotaInWords: a size that grows by the byte is said in whole units.
func TestQuotaInWords(t *testing.T) {
	t.Parallel()
	f := func(used, most int64, want string) {
		t.Helper()
		q := Quota{cfg: QuotaConfig{Max: most}}
		q.used.Store(used)
		if got := q.String(); got != want {
			t.Errorf("%d of %d: %q, want %q", used, most, got, want)
		}
	}
	f(62706617, 10<<30, "59MiB of 10GiB on disk")
	f(3<<30, 0, "3GiB on disk")
	f(70_000, 0, "68KiB on disk")
	f(12, 0, "0B on disk")
}
