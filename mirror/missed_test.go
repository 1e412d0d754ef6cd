package mirror_test

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/internal/ids"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// keeping has a mirror keep what legs miss, in a folder.
func keeping(dir string) func(*mirror.Deps) {
	return func(d *mirror.Deps) { d.Spools = &mirror.Spools{Dir: dir, Key: []byte(strings.Repeat("k", 32))} }
}

// ledgerOf is a backend that writes down the writes that it took, in order.
type ledgerOf struct {
	mu    sync.Mutex
	taken []string
	down  atomic.Bool // it rejects with 503
	hang  atomic.Bool // it breaks the connection off, having taken the request
}

func (l *ledgerOf) answer(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
	if r.Method != "GET" {
		if l.hang.Load() {
			return false
		}
		if l.down.Load() {
			return mirrortest.Status(503)(b, conn, r)
		}
		l.mu.Lock()
		l.taken = append(l.taken, string(r.Body))
		l.mu.Unlock()
	}
	return mirrortest.Status(200)(b, conn, r)
}

func (l *ledgerOf) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.taken...)
}

// missed waits until the candidate has missed so many writes.
func missed(t *testing.T, r *rig, waiting, tainted int) {
	t.Helper()
	var last mirror.Missed
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		for _, l := range r.Mirror.Legs() {
			if l.Leg == parallax.Candidate {
				last = l.Missed
			}
		}
		if last.Waiting == waiting && last.Tainted == tainted {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatalf("the candidate's state: %+v, want %d waiting and %d tainted", last, waiting, tainted)
}

func posts(r *rig, user string, from, to int) (want []string) {
	for i := from; i < to; i++ {
		body := fmt.Sprintf("%s-%d", user, i)
		r.do("POST", "/orders", body, "X-User: "+user)
		want = append(want, body)
	}
	return want
}

// TestWhatWasMissedIsCaughtUpInOrder: while mirroring is paused nothing reaches the leg;
// then it gets all of it, in order, and what comes meanwhile goes behind it.
func TestWhatWasMissedIsCaughtUpInOrder(t *testing.T) {
	t.Parallel()
	for _, orderBy := range []string{"", "header:X-User"} {
		taken := &ledgerOf{}
		candidate := mirrortest.NewBackend(t, taken.answer)
		cfg := pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, candidate.URL, mirror.Own)
		cfg.Mirror.OrderBy = orderBy
		r := start(t, cfg, keeping(t.TempDir()))
		r.Mirror.Pause(mirror.Pause{By: mirror.ByPerson})
		want := posts(r, "ann", 0, 20)
		missed(t, r, 20, 0)
		if n := len(taken.all()); n > 0 {
			t.Fatalf("%d writes reached the leg during the pause", n)
		}
		r.Mirror.Resume()
		want = append(want, posts(r, "ann", 20, 40)...)
		r.settled(40)
		missed(t, r, 0, 0)
		if diff := cmp.Diff(want, taken.all()); diff != "" {
			t.Errorf("order_by %q: the leg took (-want +got)\n%s", orderBy, diff)
		}
		if x := r.read("/orders/7", "ann"); x.Lag != "" {
			t.Errorf("order_by %q: caught up, and its state is still %q", orderBy, x.Lag)
		}
	}
}

// read asks for something and returns the exchange that was compared.
func (r *rig) read(target, user string) *parallax.Exchange {
	r.t.Helper()
	r.do("GET", target, "", "X-User: "+user)
	for {
		x := r.next()
		if q := x.Legs[parallax.Primary].Request; q.Method == "GET" && q.Target == target {
			return x
		}
	}
}

// TestOnlyTheUserWhoseWritesAreMissingIsNotComparable: a read of hers is marked, that of
// another is not.
func TestOnlyTheUserWhoseWritesAreMissingIsNotComparable(t *testing.T) {
	t.Parallel()
	taken := &ledgerOf{}
	candidate := mirrortest.NewBackend(t, taken.answer)
	cfg := pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, candidate.URL, mirror.Own)
	cfg.Mirror.OrderBy = "header:X-User"
	r := start(t, cfg, keeping(t.TempDir()))
	taken.hang.Store(true) // nobody knows whether it has these
	posts(r, "ann", 0, 1)
	missed(t, r, 0, 1)
	taken.hang.Store(false)
	for user, want := range map[string]string{"ann": "tainted", "bob": ""} {
		if x := r.read("/orders/1", user); x.Lag != want {
			t.Errorf("a read of %s: %q, want %q", user, x.Lag, want)
		}
	}
	if n := len(taken.all()); n != 0 {
		t.Errorf("a write that the leg may have had was sent again: %d", n)
	}
}

// Without users it is the thing that the write was about, and what lies below it.
func TestWhatAWriteWasAboutIsNotComparable(t *testing.T) {
	t.Parallel()
	taken := &ledgerOf{}
	cfg := pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, mirrortest.NewBackend(t, taken.answer).URL, mirror.Own)
	cfg.Endpoints = append(cfg.Endpoints, "PUT /orders/{id}")
	dir := t.TempDir()
	r := start(t, cfg, keeping(dir))
	taken.hang.Store(true)
	r.do("PUT", "/orders/17", "x")
	missed(t, r, 0, 1)
	taken.hang.Store(false)
	check := func(r *rig) {
		t.Helper()
		for path, want := range map[string]string{"/orders/17": "tainted", "/orders/17/items": "tainted", "/orders/18": "", "/orders": ""} {
			if x := r.read(path, "ann"); x.Lag != want {
				t.Errorf("GET %s: %q, want %q", path, x.Lag, want)
			}
		}
	}
	check(r)
	r.Stop()
	check(start(t, cfg, keeping(dir))) // that outlives the process
}

// TestAMissedWriteIsTriedUntilTheLegTakesIt: a leg that is not there, and one that
// rejects it at first, get it in the end.
func TestAMissedWriteIsTriedUntilTheLegTakesIt(t *testing.T) {
	t.Parallel()
	taken := &ledgerOf{}
	candidate := mirrortest.NewBackend(t, taken.answer)
	cfg := pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, mirrortest.Refused(t), mirror.Own)
	cfg.Candidate.Breaker = mirror.Breaker{Failures: 1, Of: 1, OpenFor: 50 * time.Millisecond, HalfOpen: 1}
	cfg.Mirror.OrderBy = "header:X-User"
	r := start(t, cfg, keeping(t.TempDir()))
	want := posts(r, "ann", 0, 3)
	missed(t, r, 3, 0)
	taken.down.Store(true)
	cfg.Candidate = at(candidate.URL, mirror.Own)
	change, faults := r.Mirror.Prepare(cfg)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	change.Commit()
	candidate.Wait(t, 1)
	taken.down.Store(false)
	missed(t, r, 0, 0)
	if diff := cmp.Diff(want, taken.all()); diff != "" {
		t.Errorf("the leg took (-want +got)\n%s", diff)
	}
}

// TestAPoisonedWriteIsGivenUp: one that the leg keeps rejecting, or answers otherwise
// than it should, taints its user and lets what is behind it go on.
func TestAPoisonedWriteIsGivenUp(t *testing.T) {
	t.Parallel()
	answer := func(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
		if string(r.Body) == "ann-1" {
			return mirrortest.Status(400)(b, conn, r)
		}
		return mirrortest.Status(200)(b, conn, r)
	}
	candidate := mirrortest.NewBackend(t, answer)
	cfg := pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, candidate.URL, mirror.Own)
	cfg.Mirror.OrderBy = "header:X-User"
	r := start(t, cfg, keeping(t.TempDir()))
	r.Mirror.Pause(mirror.Pause{By: mirror.ByPerson})
	posts(r, "ann", 0, 3)
	posts(r, "bob", 0, 1)
	missed(t, r, 4, 0)
	r.Mirror.Resume()
	missed(t, r, 0, 1)
	if n := candidate.Count(); n != 4 {
		t.Errorf("the leg was asked %d times, want each write once", n)
	}
}

// TestMissedWritesOutliveTheProcess, encrypted.
func TestMissedWritesOutliveTheProcess(t *testing.T) {
	t.Parallel()
	taken, dir := &ledgerOf{}, t.TempDir()
	candidate := mirrortest.NewBackend(t, taken.answer)
	cfg := pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, candidate.URL, mirror.Own)
	r := start(t, cfg, keeping(dir))
	r.Mirror.Pause(mirror.Pause{By: mirror.ByPerson})
	want := posts(r, "canary", 0, 5)
	missed(t, r, 5, 0)
	r.Stop()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), "canary") {
			t.Errorf("%s holds a body in the clear", path)
		}
		return err
	})
	if err != nil || files == 0 {
		t.Fatalf("%d files, %v", files, err)
	}
	r = start(t, cfg, keeping(dir))
	missed(t, r, 0, 0)
	if diff := cmp.Diff(want, taken.all()); diff != "" {
		t.Errorf("the leg took (-want +got)\n%s", diff)
	}
}

// What does not fit is tainted.
func TestASpoolThatIsFullTaints(t *testing.T) {
	t.Parallel()
	cfg := pair(mirrortest.NewBackend(t, mirrortest.Status(200)).URL, mirrortest.NewBackend(t, mirrortest.Status(200)).URL, mirror.Own)
	cfg.Mirror.OrderBy, cfg.Mirror.MaxSpool = "header:X-User", 8<<10
	r := start(t, cfg, keeping(t.TempDir()))
	r.Mirror.Pause(mirror.Pause{By: mirror.ByPerson})
	r.do("POST", "/orders", strings.Repeat("x", 4<<10), "X-User: ann")
	missed(t, r, 1, 0)
	r.do("POST", "/orders", strings.Repeat("x", 4<<10), "X-User: bob")
	missed(t, r, 1, 1)
}

// TestCaughtUpWritesPairIdentifiers: what the leg makes up when it is caught up is
// known afterwards, and what names it goes by it.
func TestCaughtUpWritesPairIdentifiers(t *testing.T) {
	t.Parallel()
	made := func(id string) mirrortest.Answer {
		return func(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
			if r.Method == "POST" {
				return mirrortest.Raw(mirrortest.Message(201, `{"id":"`+id+`"}`, "Content-Type: application/json"))(b, conn, r)
			}
			return mirrortest.Status(200)(b, conn, r)
		}
	}
	candidate := mirrortest.NewBackend(t, made("9017"))
	cfg := pair(mirrortest.NewBackend(t, made("17")).URL, candidate.URL, mirror.Own)
	cfg.Endpoints = append(cfg.Endpoints, "PUT /orders/{id}")
	cfg.Identifiers = []ids.Config{{Name: "order", From: ids.At("POST /orders $.id"), In: ids.At("path:/orders/{id}")}}
	cfg.Mirror.OrderBy = "header:X-User"
	r := start(t, cfg, keeping(t.TempDir()))
	r.Mirror.Pause(mirror.Pause{By: mirror.ByPerson})
	r.do("POST", "/orders", "{}", "X-User: ann")
	r.do("PUT", "/orders/17", "{}", "X-User: ann")
	missed(t, r, 2, 0)
	r.Mirror.Resume()
	missed(t, r, 0, 0)
	x := r.read("/orders/17", "ann")
	var got []string
	for _, seen := range candidate.Wait(t, 3) {
		got = append(got, seen.Line)
	}
	want := []string{"POST /orders HTTP/1.1", "PUT /orders/9017 HTTP/1.1", "GET /orders/9017 HTTP/1.1"}
	if diff := cmp.Diff(want, got); diff != "" || len(x.Unmapped) > 0 || x.Lag != "" {
		t.Errorf("unmapped %v, state %q, the leg was asked (-want +got)\n%s", x.Unmapped, x.Lag, diff)
	}
}

// TestAWriteThatIsMissedAsItIsDispatchedPairsIdentifiers: a lane that is full turns a write
// away before the first byte of its answer is passed on, and what the answer made up is
// known all the same once it is caught up.
func TestAWriteThatIsMissedAsItIsDispatchedPairsIdentifiers(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	made := func(above int, post func()) mirrortest.Answer {
		return func(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
			if r.Method != "POST" {
				return mirrortest.Status(200)(b, conn, r)
			}
			post()
			n, err := strconv.Atoi(string(r.Body))
			if err != nil {
				t.Errorf("cannot read the order: %v", err)
			}
			return mirrortest.Raw(mirrortest.Message(201, fmt.Sprintf(`{"id":%d}`, above+n), "Content-Type: application/json"))(b, conn, r)
		}
	}
	candidate := mirrortest.NewBackend(t, made(9000, func() { <-release }))
	cfg := pair(mirrortest.NewBackend(t, made(0, func() {})).URL, candidate.URL, mirror.Own)
	cfg.Identifiers = []ids.Config{{Name: "order", From: ids.At("POST /orders $.id"), In: ids.At("path:/orders/{id}")}}
	cfg.Mirror.OrderBy = "header:X-User"
	r := start(t, cfg, keeping(t.TempDir()))
	const full = 1 + 64 // one at the leg, and a lane of those that wait for it
	for n := range full + 1 {
		r.do("POST", "/orders", strconv.Itoa(n+1), "X-User: ann")
	}
	missed(t, r, 1, 0)
	close(release)
	missed(t, r, 0, 0)
	x := r.read(fmt.Sprintf("/orders/%d", full+1), "ann")
	if got, want := x.Legs[parallax.Candidate].Request.Target, fmt.Sprintf("/orders/%d", 9000+full+1); got != want || len(x.Unmapped) > 0 {
		t.Errorf("the leg was asked for %s, want %s; unmapped: %v", got, want, x.Unmapped)
	}
}

// TestAnswersOfALegThatIsBehindPairNothing: a page that lacks an order has a cursor that means
// another place.
func TestAnswersOfALegThatIsBehindPairNothing(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	pages := func(cursor string, post func()) mirrortest.Answer {
		return func(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
			if r.Method == "POST" {
				post()
				return mirrortest.Status(201)(b, conn, r)
			}
			return mirrortest.Raw(mirrortest.Message(200, `{"next_cursor":"`+cursor+`"}`, "Content-Type: application/json"))(b, conn, r)
		}
	}
	candidate := mirrortest.NewBackend(t, pages("below:10831", func() { <-release }))
	cfg := pair(mirrortest.NewBackend(t, pages("before=10788", func() {})).URL, candidate.URL, mirror.Own)
	cfg.Identifiers = []ids.Config{{Name: "order", From: ids.At("POST /orders $.id"), In: ids.At("path:/orders/{id}")}}
	cfg.Mirror.OrderBy = "header:X-User"
	r := start(t, cfg, keeping(t.TempDir()))
	r.Mirror.Pause(mirror.Pause{By: mirror.ByPerson})
	posts(r, "ann", 0, 1)
	missed(t, r, 1, 0)
	r.Mirror.Resume()
	if x := r.read("/orders", "ann"); x.Lag == "" {
		t.Fatal("the leg is not behind: the test shows nothing")
	}
	close(release)
	missed(t, r, 0, 0)
	if x := r.read("/orders?cursor=before%3D10788", "ann"); x.Lag != "" || !slices.Equal(x.Unmapped, []string{"cursor"}) {
		t.Errorf("state %q, unmapped %v, want the cursor to have no partner", x.Lag, x.Unmapped)
	}
	r.read("/orders", "ann")
	if x := r.read("/orders?cursor=before%3D10788", "ann"); len(x.Unmapped) > 0 {
		t.Errorf("the cursor of a leg that has caught up has no partner: %v", x.Unmapped)
	}
}
