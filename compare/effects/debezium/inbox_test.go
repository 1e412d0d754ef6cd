package debezium

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/tools/txtar"

	"parallax/internal/rig"
)

func TestMain(m *testing.M) {
	code := m.Run()
	rig.Clean()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// corpus returns the bodies of all cases.
func corpus(t testing.TB) (out [][]byte) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range txtar.Parse(text).Files {
			if strings.HasSuffix(f.Name, ".json") {
				out = append(out, f.Data)
			}
		}
	}
	return out
}

func insert(source string, id int, at time.Time) string {
	return fmt.Sprintf(`{"before":null,"after":{"id":%d},"source":{"name":%q,"ts_ms":%d,"db":"d","table":"orders","gtid":"g-%d","file":"b.1","pos":%d,"row":0},"op":"c"}`, id, source, at.UnixMilli(), id, id)
}

// TestFullInboxQueuesNothing fills one source's queue: a body that does not fit is
// refused whole, also its part for another source.
func TestFullInboxQueuesNothing(t *testing.T) {
	t.Parallel()
	in, err := NewInbox([]Source{{Name: "a"}, {Name: "b"}}, []string{"mail"}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	many := make([]string, maxEvents)
	for i := range many {
		many[i] = `{"ts_ms":1}`
	}
	body := []byte("[" + strings.Join(many, ",") + "]")
	for range maxQueued / maxEvents {
		if n, err := in.Take(body, "a"); err != nil || n != maxEvents {
			t.Fatal(n, err)
		}
	}
	mixed := []byte("[" + insert("b", 1, time.Now()) + "," + insert("a", 1, time.Now()) + `,{"sink":"mail"}]`)
	if n, err := in.Take(mixed, ""); !errors.Is(err, ErrFull) || n != 0 {
		t.Errorf("got %d, %v", n, err)
	}
	if b, sent := in.Reader("b").queue.take(), in.Outbox().queue.take(); len(b)+len(sent) > 0 {
		t.Errorf("%d and %d events of a body that was refused are queued", len(b), len(sent))
	}
	want := InboxStats{Full: 1, Read: map[string]Stats{"a": {Waiting: maxQueued}, "b": {}, "outbox": {}}}
	if diff := cmp.Diff(want, in.Stats()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	in.Reader("a").queue.take()
	if n, err := in.Take(mixed, ""); err != nil || n != 3 {
		t.Errorf("with room: %d, %v", n, err)
	}
}

func TestSourcesNeedNames(t *testing.T) {
	t.Parallel()
	for _, sources := range [][]Source{{{}}, {{Name: "a"}, {Name: "a"}}} {
		if _, err := NewInbox(sources, nil, time.Now); err == nil {
			t.Errorf("%+v is taken", sources)
		}
	}
	in, err := NewInbox(nil, nil, time.Now)
	if err != nil || in.Reader("a") != nil || in.Outbox() != nil {
		t.Fatal(err)
	}
	var faults Faults
	if _, err := in.Take([]byte(`{"sink":"mail"}`), ""); !errors.As(err, &faults) || !strings.Contains(err.Error(), "has no sinks") {
		t.Errorf("got %v", err)
	}
	if got := in.Stats(); got.Wrong != 1 || got.Full != 0 || len(got.Read) != 0 {
		t.Errorf("%+v", got)
	}
	if n, err := in.Take([]byte("null"), ""); n != 1 || err != nil {
		t.Errorf("a tombstone: %d, %v", n, err)
	}
	if _, err := in.Take([]byte(insert("a", 1, time.Now())), ""); !errors.As(err, &faults) || !strings.Contains(err.Error(), "are none") {
		t.Errorf("got %v", err)
	}
}

// TestSilenceAndDelayAreGaps follows a source that starts, stops, comes back behind and
// catches up.
func TestSilenceAndDelayAreGaps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := newTestInbox(t, Source{Name: "shop"})
		got := run(t, in.Reader("shop"))
		take := func(body string) {
			t.Helper()
			if _, err := in.Take([]byte(body), ""); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		take(`{"ts_ms":1}`) // 00:05: heard
		time.Sleep(20 * time.Second)
		take(insert("shop", 1, time.Now())) // 00:25: in time
		time.Sleep(40 * time.Second)        // 00:55: silent
		take(insert("shop", 2, time.Now().Add(-20*time.Second)))
		take(`{"ts_ms":1}`) // a heartbeat amid what is late
		time.Sleep(time.Second)
		take(`{"ts_ms":1}`) // 01:06: nothing late before it
		time.Sleep(time.Second)
		take(insert("shop", 3, time.Now().Add(-8*time.Second))) // 01:07
		time.Sleep(time.Second)
		take(insert("shop", 4, time.Now())) // 01:08
		time.Sleep(time.Second)
		synctest.Wait()
		want := []string{
			"00:00:00-open shop has not been heard yet",
			"00:00:00-00:00:05 shop has not been heard yet",
			"00:00:25-open shop has not been heard for 30s",
			"00:00:25-00:01:06 shop has not been heard for 30s",
			"00:00:59-open shop is 8s behind its database, or their clocks differ",
			"00:00:59-00:01:08 shop is 8s behind its database, or their clocks differ",
		}
		if diff := cmp.Diff(want, got.gapsSeen()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// TestPositionCoversWhatCameInTime asks for a position, and finds everything that came
// within the delay handed over when it has been passed, even what was not complete.
func TestPositionCoversWhatCameInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := newTestInbox(t, Source{Name: "shop", Delay: time.Second, Quiet: 400 * time.Millisecond})
		got := run(t, in.Reader("shop"))
		at, err := in.Reader("shop").Position(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(900 * time.Millisecond)
		if _, err := in.Take([]byte(insert("shop", 1, time.Now())), ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		if got.position() >= at {
			t.Error("the position was passed while a transaction was open that began before it")
		}
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		if passed := got.position(); passed < at || len(got.transactions()) != 1 {
			t.Errorf("passed %d, want %d and the transaction: %v", passed, at, got)
		}
	})
}

// TestOpenTransactionsAreBounded begins more transactions than may be open, and one that
// has more rows than fit.
func TestOpenTransactionsAreBounded(t *testing.T) {
	t.Parallel()
	sink := &collected{t: t}
	s := Source{Name: "shop"}.withDefaults()
	a := newAssembler(&s, sink)
	now := time.Now()
	for i := range maxOpen + 10 {
		a.add(event{kind: row, op: "c", tx: fmt.Sprint(i), order: 1, table: table{"t", "t"}, at: now}, now)
	}
	if len(a.open) != maxOpen || a.byAge.Len() != maxOpen || len(sink.list) != 10 || !sink.list[0].More {
		t.Errorf("%d are open, %d handed over", len(a.open), len(sink.list))
	}
	for range maxChanges + 1 {
		a.add(event{kind: row, op: "c", tx: "big", order: 1, table: table{"t", "t"}, at: now, size: 1}, now)
	}
	a.add(event{kind: end, tx: "big", count: maxChanges + 1}, now)
	last := sink.list[len(sink.list)-1]
	if last.ID != "big" || len(last.Changes) != maxChanges || !last.More {
		t.Errorf("%s: %d changes, more %v", last.ID, len(last.Changes), last.More)
	}
	for i := range 3 {
		a.add(event{kind: row, op: "c", tx: fmt.Sprint("large", i), order: 1, table: table{"t", "t"}, at: now, size: maxOpenBytes / 5}, now)
		a.add(event{kind: row, op: "c", tx: fmt.Sprint("large", i), order: 2, table: table{"t", "t"}, at: now, size: maxOpenBytes / 5}, now)
	}
	if a.bytes > maxOpenBytes {
		t.Errorf("%d bytes are open", a.bytes)
	}
}

func TestRecentForgets(t *testing.T) {
	t.Parallel()
	r := newRecent[int, int](10)
	for i := range 1000 {
		r.put(i, i)
		if _, ok := r.get(max(0, i-9)); !ok {
			t.Fatalf("%d is forgotten at %d", i-9, i)
		}
		if len(r.now)+len(r.old) > 20 {
			t.Fatalf("%d are held", len(r.now)+len(r.old))
		}
	}
	if _, ok := r.get(900); ok {
		t.Error("nothing is forgotten")
	}
}
