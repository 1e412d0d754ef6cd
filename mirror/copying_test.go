package mirror_test

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/internal/ids"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// TestACopyIsCaughtUp: while a leg's database is made anew nothing reaches the leg; then it
// gets what the copy does not hold, in order, and nothing of what it does.
func TestACopyIsCaughtUp(t *testing.T) {
	t.Parallel()
	taken := &ledgerOf{}
	candidate := mirrortest.NewBackend(t, taken.answer)
	r := start(t, pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, candidate.URL, mirror.Own), keeping(t.TempDir()))
	copied := mirror.Copy{Leg: parallax.Candidate, Began: time.Now()}
	r.Mirror.SetCopy(copied)
	if err := r.Mirror.Quiet(t.Context(), parallax.Candidate); err != nil {
		t.Fatal(err)
	}
	posts(r, "before", 0, 3)
	if x := r.settled(3); x[parallax.UnmirroredCopying] != 3 {
		t.Errorf("places %v, want 3 that came while the database was copied", x)
	}
	copied.From = time.Now()
	during := posts(r, "during", 0, 4)
	copied.Until = time.Now()
	want := posts(r, "after", 0, 3)
	missed(t, r, 10, 0)
	// Of those that were under way the copy has every second; of the last nobody knows.
	n, asked := 0, map[parallax.ID]int{}
	copied.Holds = func(x *parallax.Exchange) mirror.InCopy {
		if asked[x.ID]++; asked[x.ID] == 1 {
			n++
			return mirror.InCopyLater
		}
		return []mirror.InCopy{mirror.InCopyUnknown, mirror.InCopyNothing, mirror.InCopyWhole, mirror.InCopyNothing}[n%4]
	}
	copied.Ended = time.Now()
	r.Mirror.SetCopy(copied)
	missed(t, r, 0, 1)
	if diff := cmp.Diff(append([]string{during[0], during[2]}, want...), taken.all()); diff != "" {
		t.Errorf("the leg took (-want +got)\n%s", diff)
	}
	if n != len(during) {
		t.Errorf("%d exchanges were asked about, want those %d that were under way", n, len(during))
	}
}

// TestQuietWaitsForWhatAReplacedLegWasSent: a reload that replaces the leg does not make what
// it was sent before unseen.
func TestQuietWaitsForWhatAReplacedLegWasSent(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	held := func(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
		<-release
		return mirrortest.Status(200)(b, conn, r)
	}
	candidate := mirrortest.NewBackend(t, held)
	cfg := pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, candidate.URL, mirror.Own)
	r := start(t, cfg, keeping(t.TempDir()))
	r.do("POST", "/orders", "{}")
	candidate.Wait(t, 1)
	cfg.Candidate.Timeout = time.Hour
	r.reload(cfg)
	r.Mirror.SetCopy(mirror.Copy{Leg: parallax.Candidate, Began: time.Now()})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Mirror.Quiet(ctx, parallax.Candidate); err == nil {
		t.Error("the leg is quiet while it works on a request")
	}
	close(release)
	if err := r.Mirror.Quiet(t.Context(), parallax.Candidate); err != nil {
		t.Error(err)
	}
}

// TestACopyThatIsDroppedIsAsIfItHadNotBegun: everything is caught up.
func TestACopyThatIsDroppedIsAsIfItHadNotBegun(t *testing.T) {
	t.Parallel()
	taken := &ledgerOf{}
	candidate := mirrortest.NewBackend(t, taken.answer)
	r := start(t, pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, candidate.URL, mirror.Own), keeping(t.TempDir()))
	r.Mirror.SetCopy(mirror.Copy{Leg: parallax.Candidate, Began: time.Now()})
	want := posts(r, "ann", 0, 5)
	missed(t, r, 5, 0)
	r.Mirror.DropCopy(parallax.Candidate, nil)
	missed(t, r, 0, 0)
	if diff := cmp.Diff(want, taken.all()); diff != "" {
		t.Errorf("the leg took (-want +got)\n%s", diff)
	}
}

// TestWhatACopyHasStandsForItself: an id that the live leg made up before the copy is the
// candidate's too.
func TestWhatACopyHasStandsForItself(t *testing.T) {
	t.Parallel()
	made := func(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
		if r.Method == "POST" {
			return mirrortest.Raw(mirrortest.Message(201, `{"id":"17"}`, "Content-Type: application/json"))(b, conn, r)
		}
		return mirrortest.Status(200)(b, conn, r)
	}
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	cfg := pair(mirrortest.NewBackend(t, made).URL, candidate.URL, mirror.Own)
	cfg.Identifiers = []ids.Config{{Name: "order", Unmapped: ids.UnmappedSame, From: ids.At("POST /orders $.id"), In: ids.At("path:/orders/{id}")}}
	r := start(t, cfg, keeping(t.TempDir()))
	copied := mirror.Copy{Leg: parallax.Candidate, Began: time.Now()}
	r.Mirror.SetCopy(copied)
	r.do("POST", "/orders", "{}")
	missed(t, r, 1, 0)
	copied.From = time.Now().Add(time.Hour)
	copied.Until, copied.Ended = copied.From, time.Now()
	if !r.Mirror.ForgetIdentifiers(time.Now()) {
		t.Fatal("the identifiers of this process were not forgotten")
	}
	r.Mirror.SetCopy(copied)
	missed(t, r, 0, 0)
	x := r.read("/orders/17", "ann")
	if seen := candidate.Wait(t, 1); len(x.Unmapped) > 0 || !slices.ContainsFunc(seen, func(s *mirrortest.Seen) bool { return s.Line == "GET /orders/17 HTTP/1.1" }) || len(seen) != 1 {
		t.Errorf("unmapped %v; the leg was asked %d times", x.Unmapped, len(seen))
	}
}
