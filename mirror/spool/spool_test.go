package spool

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"parallax"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	secret = []byte(strings.Repeat("s", 32))
	ann    = Key{1}
	bob    = Key{2}
	orders = Entity{Key: Key{9}, Below: true}
)

func open(t *testing.T, dir string) *Spool {
	t.Helper()
	s, err := Open(dir, "shop/candidate", secret, 1<<20, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// write is an exchange that says what it is.
func write(name string) *parallax.Exchange {
	x := &parallax.Exchange{Service: "shop", Endpoint: name, Received: time.Unix(0, 0).UTC()}
	x.Legs[parallax.Candidate] = &parallax.Call{Request: parallax.Request{Method: "POST", Target: "/orders", Body: parallax.Body{Bytes: []byte("secret " + name)}}}
	return x
}

func keep(t *testing.T, s *Spool, user Key, names ...string) {
	t.Helper()
	for _, name := range names {
		if !s.Reserve(user, orders, time.Now()).Keep(write(name)) {
			t.Fatalf("%s is not kept", name)
		}
	}
}

func next(t *testing.T, s *Spool) *Write {
	t.Helper()
	w, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Begin(); err != nil {
		t.Fatal(err)
	}
	return w
}

func drain(t *testing.T, s *Spool, n int) (names []string) {
	t.Helper()
	for range n {
		w := next(t, s)
		names = append(names, w.Exchange.Endpoint)
		w.Done()
	}
	return names
}

// files returns the journals that are there once the spool has done its jobs.
func files(t *testing.T, s *Spool) []string {
	t.Helper()
	done := make(chan struct{})
	s.mu.Lock()
	s.do(func() { close(done) })
	s.mu.Unlock()
	<-done
	out, err := filepath.Glob(filepath.Join(s.dir, "*.spool"))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestALaneIsCaughtUpInOrderAndOthersGoOn(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	hole := s.Reserve(ann, orders, time.Now())
	keep(t, s, ann, "a2", "a3")
	keep(t, s, bob, "b1")
	if got := drain(t, s, 1); got[0] != "b1" {
		t.Errorf("%v went first, before a place of its lane was settled", got)
	}
	hole.Keep(write("a1"))
	first := next(t, s)
	if first.Exchange.Endpoint != "a1" || !s.Behind(ann, time.Now()) || s.Behind(bob, time.Now()) {
		t.Errorf("%s is the first, behind: %t, %t", first.Exchange.Endpoint, s.Behind(ann, time.Now()), s.Behind(bob, time.Now()))
	}
	first.Again()
	if diff := cmp.Diff([]string{"a1", "a2", "a3"}, drain(t, s, 3)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if s.Any() || s.Figures() != (Figures{}) {
		t.Errorf("all is caught up: %+v", s.Figures())
	}
	if left := files(t, s); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

// What a process leaves is taken over by the next: what it had not begun in order, what
// it had begun and not ended never again.
func TestTheNextProcessTakesOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	keep(t, s, ann, "a1", "a2", "a3")
	keep(t, s, bob, "b1", "b2")
	for _, w := range []*Write{next(t, s), next(t, s)} { // one of each lane
		if w.Exchange.Endpoint == "a1" {
			w.Done()
		} // b1 is under way when the process ends
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	after := open(t, dir)
	if got := after.Figures(); got.Waiting != 3 || got.Tainted != 1 {
		t.Errorf("%+v, want three to catch up and bob tainted", got)
	}
	if after.Lag(bob, nil) != Behind || after.Lag(Key{3}, []Entity{orders}) != Level {
		t.Error("the lag of bob, or of another user, is wrong")
	}
	got := map[byte][]string{}
	for _, name := range drain(t, after, 3) {
		got[name[0]] = append(got[name[0]], name)
	}
	if diff := cmp.Diff(map[byte][]string{'a': {"a2", "a3"}, 'b': {"b2"}}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if after.Lag(bob, nil) != Tainted || after.Lag(ann, nil) != Level {
		t.Errorf("bob is %q, ann %q", after.Lag(bob, nil), after.Lag(ann, nil))
	}
}

// A journal that another process still writes is left alone until it lets go.
func TestAJournalInUseIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	before := open(t, dir)
	keep(t, before, ann, "a1")
	if len(files(t, before)) != 1 {
		t.Fatal("nothing is on disk")
	}
	after := open(t, dir)
	if after.Any() {
		t.Fatal("the journal of a process that is alive was taken over")
	}
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	if before.Reserve(bob, orders, time.Now()).Keep(write("late")) {
		t.Error("a spool that is closed keeps a write")
	}
	if err := after.TakeOver(); err != nil || !after.Behind(ann, time.Now()) || after.Lag(bob, nil) != Tainted {
		t.Errorf("%v; ann %q, bob %q", err, after.Lag(ann, nil), after.Lag(bob, nil))
	}
}

// A last record that is incomplete is cut off; anything else that is changed is an error
// and says what to do. Nothing is in the clear.
func TestWhatIsOnDiskIsSealed(t *testing.T) {
	t.Parallel()
	f := func(what string, change func(text []byte) []byte, waiting int, good bool) {
		t.Helper()
		dir := t.TempDir()
		s := open(t, dir)
		keep(t, s, ann, "a1", "a2")
		path := files(t, s)[0]
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil || bytes.Contains(text, []byte("secret")) || bytes.Contains(text, []byte("orders")) {
			t.Fatalf("%v, or a write is in the clear", err)
		}
		if err := os.WriteFile(path, change(text), 0o600); err != nil {
			t.Fatal(err)
		}
		after, err := Open(dir, "shop/candidate", secret, 1<<20, time.Now, slog.New(slog.DiscardHandler))
		if good != (err == nil) || !good && !strings.Contains(err.Error(), "copy the leg's database anew") {
			t.Fatalf("%s: %v", what, err)
		}
		if err == nil {
			if got := after.Figures().Waiting; got != waiting {
				t.Errorf("%s: %d writes are left, want %d", what, got, waiting)
			}
			after.Close()
		}
	}
	f("nothing", func(text []byte) []byte { return text }, 2, true)
	f("cut short", func(text []byte) []byte { return text[:len(text)-5] }, 1, true)
	f("just begun", func(text []byte) []byte { return text[:7] }, 0, true)
	f("changed", func(text []byte) []byte { text[len(magic)+40]++; return text }, 0, false)
	f("another number", func(text []byte) []byte { text[len(magic)+5]++; return text }, 0, false)
	f("another file", func([]byte) []byte { return []byte("a file that somebody put here") }, 0, false)
	for _, other := range []struct{ name, secret string }{{"shop/secondary", string(secret)}, {"shop/candidate", strings.Repeat("t", 32)}} {
		dir := t.TempDir()
		s := open(t, dir)
		keep(t, s, ann, "a1")
		files(t, s)
		s.Close()
		if _, err := Open(dir, other.name, []byte(other.secret), 1, time.Now, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("read as that of %s", other.name)
		}
	}
}

func TestWhatHasNoRoomIsTainted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	s.SetMax(1500)
	keep(t, s, ann, "a1")
	if s.Reserve(Key{}, orders, time.Now()).Keep(write("nobody's")) {
		t.Error("kept beyond the bound")
	}
	about := func(keys ...byte) (out []Entity) {
		for _, k := range keys {
			out = append(out, Entity{Key: Key{k}})
		}
		return out
	}
	check := func(s *Spool) {
		t.Helper()
		for _, c := range []struct {
			about []Entity
			want  Lag
		}{{about(9), Tainted}, {about(5, 9), Tainted}, {about(5), Level}} {
			if got := s.Lag(bob, c.about); got != c.want {
				t.Errorf("%v: %q, want %q", c.about, got, c.want)
			}
		}
	}
	check(s)
	s.Close()
	check(open(t, dir))
}

func TestTooManyTaintsAreOne(t *testing.T) {
	t.Parallel()
	var list taints
	for i := range maxTaints + 1 {
		list.add(Entity{Key: Key{byte(i), byte(i >> 8), byte(i >> 16), 1}})
	}
	if !list.all || !list.holds(Key{77}, nil) || len(list.known) != maxTaints {
		t.Errorf("all: %t, of %d", list.all, len(list.known))
	}
}

func TestUntaintForgivesWhatCameBefore(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	s, err := Open(dir, "shop/candidate", secret, 1<<20, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Reserve(ann, orders, time.Now()).Taint("before")
	now = now.Add(time.Minute)
	s.Reserve(bob, orders, time.Now()).Taint("afterwards")
	check := func(s *Spool, annIs Lag) {
		t.Helper()
		if a, b := s.Lag(ann, nil), s.Lag(bob, nil); a != annIs || b != Tainted {
			t.Errorf("ann is %q and bob %q, want %q and %q", a, b, annIs, Tainted)
		}
	}
	check(s, Tainted)
	if err := s.Untaint(now); err != nil {
		t.Fatal(err)
	}
	check(s, Level)
	check(open(t, dir), Level) // as another process finds it
	if err := s.Untaint(now.Add(time.Hour)); err != nil || s.Any() {
		t.Errorf("%v; something is tainted still: %t", err, s.Any())
	}
}

// TestUntaintLeavesWhatWasTaintedAgain: what was tainted before a copy lacks a write of
// after it, too. It is so for the process that goes on with the copy, and for a leg that is
// tainted as a whole.
func TestUntaintLeavesWhatWasTaintedAgain(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{false, true} {
		dir, now := t.TempDir(), time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
		s, err := Open(dir, "shop/candidate", secret, 1<<20, func() time.Time { return now }, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.mu.Lock()
		s.tainted.all = false
		for i := range maxTaints {
			if whole {
				s.tainted.add(Entity{Key: Key{byte(i), byte(i >> 8), 2, 1}})
			}
		}
		s.mu.Unlock()
		s.Reserve(ann, orders, time.Now()).Taint("before")
		s.TaintAnew()
		now = now.Add(time.Minute)
		from := now
		s.Reserve(ann, orders, time.Now()).Taint("afterwards")
		s.Reserve(ann, orders, time.Now()).Taint("once more, which is not written down")
		if err := s.Untaint(from); err != nil {
			t.Fatal(err)
		}
		if got := s.Lag(ann, nil); got != Tainted || s.Figures().All != whole {
			t.Errorf("whole %t: ann is %q, want %q", whole, got, Tainted)
		}
		text, err := os.ReadFile(s.taintsFile())
		if lines := strings.Count(string(text), "\n"); err != nil || lines != 1 {
			t.Errorf("whole %t: %d lines (%v), want 1\n%s", whole, lines, err, text)
		}
	}
}

// TestATaintIsOnDiskBeforeItsWriteEnds: a process that is killed between the two must not
// leave a write as if the leg had it. The disk is slow, so that there is a time in between.
func TestATaintIsOnDiskBeforeItsWriteEnds(t *testing.T) {
	t.Parallel()
	dir, killed := t.TempDir(), t.TempDir()
	s := open(t, dir)
	keep(t, s, ann, "poisoned", "further")
	w := next(t, s)
	returned, early := make(chan struct{}), make(chan bool, 1)
	s.mu.Lock()
	s.do(func() {
		select {
		case <-returned:
			early <- true
		case <-time.After(100 * time.Millisecond):
			early <- false
		}
	})
	s.mu.Unlock()
	w.Taint("it was rejected")
	if err := os.CopyFS(filepath.Join(killed, "spool"), os.DirFS(dir)); err != nil { // as a process that is killed now leaves it
		t.Fatal(err)
	}
	close(returned)
	if <-early {
		t.Error("the write has ended before its taint was on disk")
	}
	after := open(t, filepath.Join(killed, "spool"))
	if diff := cmp.Diff([]string{"further"}, drain(t, after, 1)); diff != "" {
		t.Errorf("caught up after all (-want +got)\n%s", diff)
	}
	if lag := after.Lag(ann, nil); lag != Tainted {
		t.Errorf("the user of a write that the leg never gets is %q, want tainted", lag)
	}
}

// TestWritesGoBehindThoseThatCameBefore: one that found no room goes behind none that came after it,
// and lets those pass that came before.
func TestWritesGoBehindThoseThatCameBefore(t *testing.T) {
	t.Parallel()
	s, began := open(t, t.TempDir()), time.Now()
	at := func(n int) time.Time { return began.Add(time.Duration(n) * time.Millisecond) }
	for _, n := range []int{30, 10, 20} {
		if !s.Reserve(ann, orders, at(n)).Keep(write(at(n).Sub(began).String())) {
			t.Fatal("no room")
		}
	}
	if s.Behind(ann, at(9)) || !s.Behind(ann, at(11)) || !s.Behind(ann, at(31)) || s.Behind(bob, at(31)) {
		t.Errorf("behind: %t %t %t %t", s.Behind(ann, at(9)), s.Behind(ann, at(11)), s.Behind(ann, at(31)), s.Behind(bob, at(31)))
	}
	if diff := cmp.Diff([]string{"10ms", "20ms", "30ms"}, drain(t, s, 3)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestLostWritesAreListed: before those that wait, also by the next process, until the leg's database is
// made anew.
func TestLostWritesAreListed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	lost := write("POST /lost")
	lost.Received = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	s.Lose(lost, "reset")
	keep(t, s, ann, "POST /waits")
	files(t, s) // all of it is on disk
	check := func(s *Spool) {
		t.Helper()
		list, err := s.List(10)
		want := []Missing{
			{Exchange: lost.ID.String(), Endpoint: "POST /lost", Received: lost.Received, Why: "reset"},
			{Exchange: lost.ID.String(), Endpoint: "POST /waits", Received: time.Unix(0, 0).UTC()},
		}
		if diff := cmp.Diff(want, list); diff != "" || err != nil {
			t.Errorf("%v (-want +got)\n%s", err, diff)
		}
		if first, err := s.List(1); len(first) != 1 || err != nil {
			t.Errorf("%d of one, %v", len(first), err)
		}
		if f := s.Figures(); f.Lost != 1 || f.Waiting != 1 || f.Oldest.IsZero() {
			t.Errorf("%+v", f)
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	after := open(t, dir)
	check(after)
	if err := after.Untaint(lost.Received.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if f := after.Figures(); f.Lost != 0 || f.Waiting != 1 {
		t.Errorf("with another database: %+v", f)
	}
}

// TestTheNextProcessKeepsTheOrder: the order of a lane is when its writes came in, also where
// the first of them was missed last.
func TestTheNextProcessKeepsTheOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	began := time.Now()
	for _, at := range []struct {
		name  string
		after time.Duration
	}{{"second", 2}, {"first", 1}, {"third", 3}} {
		x := write(at.name)
		x.Received = began.Add(at.after * time.Millisecond)
		if !s.Reserve(ann, orders, x.Received).Keep(x) {
			t.Fatalf("%s is not kept", at.name)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"first", "second", "third"}, drain(t, open(t, dir), 3)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestWhatAKilledProcessHadBegunIsLostOnce: however many processes take over its journal, in
// which another write waits; and a copy of the data forgives it for good.
func TestWhatAKilledProcessHadBegunIsLostOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	keep(t, s, ann, "begun")
	next(t, s)
	keep(t, s, bob, "waits")
	for range 3 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
	}
	if f := s.Figures(); f.Lost != 1 || f.Waiting != 1 {
		t.Errorf("%d writes are lost and %d wait, want one of each", f.Lost, f.Waiting)
	}
	if err := s.Untaint(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if f := open(t, dir).Figures(); f.Lost != 0 || f.Tainted != 0 || f.Waiting != 1 {
		t.Errorf("after a copy %+v", f)
	}
}
