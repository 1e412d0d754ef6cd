package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/cmd/demoshop/shop"
	"parallax/cmd/demoshop/shoppers"
	"parallax/internal/rig"
	"parallax/reports"
)

// killedShops are both versions of the demo shop, each on a PostgreSQL server of its own,
// behind Parallax.
type killedShops struct {
	*rig.Parallax
	dir, config string
	old, new    *rig.PostgresServer
	shops       [2]string // their addresses

	mu       sync.Mutex
	answered map[string]string // by the primary, by the caller's number of the request
	asked    int64
	given    []given
}

// given is what a caller got.
type given struct {
	call, answer string
}

// callHeader numbers what callers send, so that what they get can be compared with what
// the primary answered.
const callHeader = "X-Call"

func startKilledShops(t *testing.T) *killedShops {
	t.Helper()
	k := &killedShops{old: rig.Postgres(t), new: rig.Postgres(t), answered: map[string]string{}}
	for i, o := range []shop.Options{
		{Version: shop.Old, DSN: k.old.DSN("postgres"), Data: shop.Own, IDs: shop.Own, Tag: true, Log: slog.New(slog.DiscardHandler)},
		{Version: shop.New, DSN: k.new.DSN("postgres"), Data: shop.Own, IDs: shop.Own, Tag: true, Log: slog.New(slog.DiscardHandler)},
	} {
		opened, err := shop.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(opened.Close)
		handler := http.Handler(opened)
		if o.Version == shop.Old {
			handler = k.noting(opened)
		}
		back := httptest.NewServer(handler)
		t.Cleanup(back.Close)
		k.shops[i] = back.URL
	}
	k.dir, k.config = t.TempDir(), twoShopsConfig(t, k.shops[0], k.shops[1], k.old.DSN("postgres"), k.new.DSN("postgres"), "tag")
	k.start(t)
	return k
}

// start starts Parallax, or the one after the one that was killed.
func (k *killedShops) start(t *testing.T) {
	t.Helper()
	k.Parallax = rig.StartIn(t, k.dir, k.config)
	untilRead(t, k.Parallax)
}

// noting notes what a shop answers.
func (k *killedShops) noting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own := httptest.NewRecorder()
		next.ServeHTTP(own, r)
		k.mu.Lock()
		k.answered[r.Header.Get(callHeader)] = fmt.Sprintf("%d %s", own.Code, own.Body)
		k.mu.Unlock()
		for name, values := range own.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(own.Code)
		_, _ = w.Write(own.Body.Bytes()) // the caller may have gone
	})
}

// RoundTrip sends a caller's request, and notes what came.
func (k *killedShops) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	k.mu.Lock()
	k.asked++
	call := fmt.Sprint(k.asked)
	k.mu.Unlock()
	r.Header.Set(callHeader, call)
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close() // it was read
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(text))
	k.mu.Lock()
	k.given = append(k.given, given{call, fmt.Sprintf("%d %s", answer.StatusCode, text)})
	k.mu.Unlock()
	return answer, nil
}

// visit sends shoppers who were never there before, count times each, or until ctx ends.
func (k *killedShops) visit(ctx context.Context, seed uint64, visits int) shoppers.Counts {
	return shoppers.Run(ctx, shoppers.Options{Base: k.Services["shop"], Count: 5, Visits: visits, Seed: seed, Rate: 60, HTTP: k})
}

// untilAsked waits until callers have sent some more.
func (k *killedShops) untilAsked(t *testing.T, more int64) {
	t.Helper()
	count := func() int64 { k.mu.Lock(); defer k.mu.Unlock(); return k.asked }
	until := count() + more
	rig.Eventually(t, "requests", func() error {
		if n := count(); n < until {
			return fmt.Errorf("%d of %d were sent", n, until)
		}
		return nil
	})
}

// answeredByPrimary reports every caller who got something else than the primary answered.
func (k *killedShops) answeredByPrimary(t *testing.T) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if int64(len(k.given)) != k.asked {
		t.Errorf("%d of %d callers got an answer", len(k.given), k.asked)
	}
	for _, g := range k.given {
		if d := cmp.Diff(k.answered[g.call], g.answer); d != "" {
			t.Errorf("a caller did not get what the primary answered (-primary +caller):\n%s", d)
		}
	}
}

// TestShopsWhoseDatabasesAreKilled kills the PostgreSQL server of each version under load, and
// starts it again: callers get what the primary answers, nothing diverges although the
// databases have parted, what was not read is unknown, and who comes later is compared
// again. No slot is left behind.
func TestShopsWhoseDatabasesAreKilled(t *testing.T) {
	t.Parallel()
	k := startKilledShops(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	came := make(chan shoppers.Counts, 1)
	go func() { came <- k.visit(ctx, 1, 0) }()
	for _, s := range []*rig.PostgresServer{k.new, k.old} {
		k.untilAsked(t, 50)
		s.Kill()
		k.untilAsked(t, 20)
		s.Start()
	}
	k.untilAsked(t, 50)
	stop()
	sent := (<-came).Sent
	r := settled(t, k.Parallax, sent)
	reasons := map[string]int64{}
	for _, e := range r.Endpoints {
		for reason, n := range e.NotComparableReasons {
			reasons[reason] += n
		}
	}
	c := r.Accounting.Compared
	t.Logf("%d sent: %v, %v, %v", sent, c, reasons, r.Accounting.Unmirrored)
	if c["diverged"] > 0 || reasons["effects_unknown"] == 0 || reasons["state_gap"] == 0 {
		t.Errorf("%v, %v; issues: %v", c, reasons, (&twoShops{Parallax: k.Parallax}).issues(t))
	}
	for seed := uint64(2); r.Accounting.Compared["match"] == c["match"]; seed++ { // Reading begins again after a while.
		sent += k.visit(t.Context(), seed, 1).Sent
		if r = settled(t, k.Parallax, sent); seed > 20 {
			t.Fatalf("nothing matches any more: %+v", r.Accounting)
		}
	}
	if n := r.Accounting.Compared["diverged"]; n > 0 {
		t.Errorf("%d of those that came later diverged: %v", n, (&twoShops{Parallax: k.Parallax}).issues(t))
	}
	k.answeredByPrimary(t)
	k.Kill()
	k.noSlots(t, k.old, k.new)
}

// untilOpen waits until no shop holds a connection any more to a database that was killed: it
// would be right to call an answer that is due to one a failure of that version.
func (k *killedShops) untilOpen(t *testing.T) {
	t.Helper()
	for _, url := range k.shops {
		rig.Eventually(t, "a shop with its database", func() error {
			errs := make(chan error)
			const together = 40 // more than it has connections
			for range together {
				go func() {
					answer, err := http.Get(url + "/products")
					if err == nil {
						err = errors.Join(answer.Body.Close(), wrong(answer.StatusCode))
					}
					errs <- err
				}()
			}
			var all error
			for range together {
				all = errors.Join(all, <-errs)
			}
			return all
		})
	}
}

func wrong(status int) error {
	if status != http.StatusOK {
		return fmt.Errorf("it answers %d", status)
	}
	return nil
}

// noSlots waits until no replication slot is left in databases that are there.
func (k *killedShops) noSlots(t *testing.T, servers ...*rig.PostgresServer) {
	t.Helper()
	for _, s := range servers {
		rig.Eventually(t, "the slots to end", func() error {
			if left := s.SQL("postgres", "SELECT * FROM pg_replication_slots"); left != "" {
				return fmt.Errorf("slots: %s", left)
			}
			return nil
		})
	}
}

// TestShopsWhoseParallaxIsKilled kills Parallax under load and in the same instant the
// database of one version, then that of the other, and starts them again. Callers see no
// more than that nobody is there; nothing diverges then or later, what is stored adds up, and
// no slot is left behind.
func TestShopsWhoseParallaxIsKilled(t *testing.T) {
	t.Parallel()
	k := startKilledShops(t)
	for seed, s := range []*rig.PostgresServer{k.old, k.new} {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		gone := make(chan shoppers.Counts, 1)
		go func() { gone <- k.visit(ctx, uint64(100+seed), 0) }()
		k.untilAsked(t, 100)
		k.Kill()
		s.Kill()
		stop()
		<-gone
		s.Start()
		k.noSlots(t, k.old, k.new)
		k.untilOpen(t)
		k.start(t)
	}
	var r reports.Report
	for seed := uint64(2); r.Accounting.Compared["match"] == 0; seed++ { // Reading begins again after a while.
		if seed > 20 {
			t.Fatalf("nothing matches any more: %+v", r.Accounting)
		}
		if counts := k.visit(t.Context(), seed, 1); counts.Errors > 0 {
			t.Errorf("%d of %d callers saw errors: %v", counts.Errors, counts.Sent, counts.Examples)
		}
		rig.Eventually(t, "settling", func() error {
			r = reports.Report{}
			if err := k.JSON("/api/v1/services/shop/report", &r); err != nil {
				return err
			}
			if a := r.Accounting; a.InFlight != 0 || a.Missing() != 0 {
				return fmt.Errorf("in flight or missing: %+v", a)
			}
			return nil
		})
	}
	if n := r.Accounting.Compared["diverged"]; n > 0 {
		t.Errorf("%d diverged: %v", n, (&twoShops{Parallax: k.Parallax}).issues(t))
	}
	var v reports.Verdict
	if err := k.JSON("/api/v1/services/shop/verdict", &v); err != nil || v.Decision != reports.Hold {
		t.Errorf("the verdict is %q (%v), want hold: there is little evidence", v.Decision, err)
	}
	k.Kill()
	k.noSlots(t, k.old, k.new)
}
