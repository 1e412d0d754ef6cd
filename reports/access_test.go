package reports

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// audited runs an audit while a test does something, and returns where it is.
func audited(t *testing.T, dir string, do func(l *AccessLog)) string {
	t.Helper()
	l := NewAccessLog(dir, time.Now, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	do(l)
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return AccessPath(dir)
}

func viewed(id string) Access {
	return Access{Deed: Viewed, Who: "ann", Role: "reviewer", From: "10.0.0.7", Route: "GET /services/:service/exchanges/:id", Service: "shop", Object: id, Status: 200}
}

func asked(t *testing.T, path string, f AccessFilter) Accesses {
	t.Helper()
	out, err := ReadAccesses(t.Context(), path, f)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAccessesAreKeptInAChain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 2 { // a restart goes on
		audited(t, dir, func(l *AccessLog) {
			l.Note(viewed("1"))
			l.Note(Access{Deed: Changed, Who: "bob", Role: "admin", Route: "PUT /api/v1/services/:service/step", Service: "cart", Status: 200})
		})
	}
	path := AccessPath(dir)
	all := asked(t, path, AccessFilter{})
	if len(all.Records) != 4 || all.More || all.Broken != "" || all.Records[0].Seq != 4 || all.Records[3].At.IsZero() {
		t.Fatalf("%+v", all)
	}
	if diff := cmp.Diff(viewed("1"), all.Records[3].Access); diff != "" {
		t.Errorf("(-noted +kept)\n%s", diff)
	}
	f := func(filter AccessFilter, want ...uint64) {
		t.Helper()
		var got []uint64
		for _, r := range asked(t, path, filter).Records {
			got = append(got, r.Seq)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%+v (-want +got)\n%s", filter, diff)
		}
	}
	f(AccessFilter{Who: "ann"}, 3, 1)
	f(AccessFilter{Service: "cart"}, 4, 2)
	f(AccessFilter{Deed: Changed, Limit: 1}, 4)
	f(AccessFilter{Object: "1", Limit: 2}, 3, 1)
	f(AccessFilter{From: time.Now().Add(time.Hour)})
	f(AccessFilter{To: time.Now().Add(-time.Hour)})
	if some := asked(t, path, AccessFilter{Limit: 3}); len(some.Records) != 3 || !some.More {
		t.Errorf("%+v, want three and more", some)
	}

	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), `"who":"bob"`, `"who":"eve"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if changed := asked(t, path, AccessFilter{}); len(changed.Records) != 1 || !strings.HasPrefix(changed.Broken, "admin.access, line 2: the record was changed") {
		t.Errorf("what somebody changed is not told: %+v", changed)
	}
}

func TestNoAuditIsEmpty(t *testing.T) {
	t.Parallel()
	if all := asked(t, filepath.Join(t.TempDir(), "nowhere", "admin.access"), AccessFilter{}); len(all.Records) != 0 || all.More || all.Broken != "" {
		t.Errorf("%+v", all)
	}
}

// TestAnAuditGoesOnInTheNextFile fills several files.
func TestAnAuditGoesOnInTheNextFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := audited(t, dir, func(l *AccessLog) {
		l.chain.most = 1 << 10
		for i := range 600 {
			l.Note(viewed(fmt.Sprint(i)))
		}
	})
	files, err := ChainFiles(path)
	if err != nil || len(files) < 2 || len(files) > maxChainFiles+1 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	latest := asked(t, path, AccessFilter{Limit: 300})
	if len(latest.Records) != 300 || !latest.More || latest.Broken != "" {
		t.Fatalf("%d records, %v, %s", len(latest.Records), latest.More, latest.Broken)
	}
	for i, r := range latest.Records {
		if want := fmt.Sprint(599 - i); r.Object != want {
			t.Fatalf("record %d is of %s, want %s", i, r.Object, want)
		}
	}
}

// TestALostAccessIsTold: while nothing can be written nobody waits, nothing grows, and what is lost is counted and told in the
// file afterwards.
func TestALostAccessIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "state")
		if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where the folder should be
			t.Fatal(err)
		}
		audited(t, dir, func(l *AccessLog) {
			l.Note(viewed("first"))
			synctest.Wait()
			if l.Err() == nil {
				t.Fatal("nothing can be written, and nobody says so")
			}
			began := time.Now()
			for i := range accessesWaiting + 7 {
				l.Note(viewed(fmt.Sprint(i)))
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("a page waited %v for an audit that cannot be written", took)
			}
			if l.Lost() != 7 {
				t.Errorf("%d are lost, want 7", l.Lost())
			}
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
			time.Sleep(accessRetry)
			synctest.Wait()
			if err := l.Err(); err != nil {
				t.Errorf("it goes on: %v", err)
			}
		})
		all := asked(t, AccessPath(dir), AccessFilter{})
		if len(all.Records) != 1+accessesWaiting {
			t.Errorf("%d records, want %d", len(all.Records), 1+accessesWaiting)
		}
		text, err := os.ReadFile(AccessPath(dir))
		if err != nil || strings.Count(string(text), `"kind":"lost","note":"7 accesses were not kept"`) != 1 {
			t.Errorf("the loss is not told in the file, once: %v", err)
		}
	})
}

// TestAnAccessWaitsForRoomNotForLong: nobody writes, and what finds no room within a second is lost.
func TestAnAccessWaitsForRoomNotForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewAccessLog(t.TempDir(), time.Now, slog.New(slog.DiscardHandler))
		for range accessesWaiting {
			l.Note(viewed("1"))
		}
		began := time.Now()
		l.Note(viewed("2"))
		if took := time.Since(began); took != accessPatience || l.Lost() != 1 {
			t.Errorf("it took %v and %d were lost", took, l.Lost())
		}
	})
}

// TestAnAccessIsShort: what callers send does not fill the file.
func TestAnAccessIsShort(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	path := audited(t, t.TempDir(), func(l *AccessLog) {
		l.Note(Access{Deed: Viewed, Who: long, Role: long, From: long, Route: long, Service: long, Object: long})
	})
	if info, err := os.Stat(path); err != nil || info.Size() > 2000 {
		t.Errorf("%v, %v", info, err)
	}
}
