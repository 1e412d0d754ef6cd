package reports

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// chainIn is the chain of shop in a folder, at noon.
func chainIn(dir string, log io.Writer) *Chain {
	return NewChain(dir, "shop", func() time.Time { return noon }, slog.New(slog.NewTextHandler(log, nil)))
}

// decide appends verdicts that differ, and returns the heads.
func decide(c *Chain, n int) (heads []string) {
	for i := range n {
		heads = append(heads, c.Decide(Verdict{Service: "shop", Decision: Hold, Step: i, Reasons: []Reason{{Code: NoTraffic}, {Code: Paused}, {Code: NoTraffic}}}, Folded{uint64(i), "d"}))
	}
	return heads
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// walk reads the whole chain in a folder as parallax audit verify does.
func walk(t testing.TB, dir string) (hashes []string, kinds []ChainKind, err error) {
	t.Helper()
	files, err := ChainFiles(ChainPath(dir, "shop"))
	if err != nil {
		t.Fatal(err)
	}
	end := ChainEnd{}
	for _, name := range files {
		end, err = WalkChain(strings.NewReader(read(t, name)), end.Link, func(_ int, r ChainRecord, hash string) {
			hashes, kinds = append(hashes, hash), append(kinds, r.Kind)
		})
		if err == nil && end.Torn > 0 {
			err = errors.New("torn")
		}
		if err != nil {
			return hashes, kinds, fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
	}
	return hashes, kinds, nil
}

func TestChainKeepsChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := chainIn(dir, io.Discard)
	v := Verdict{Service: "shop", Decision: Promote, Final: true, RulesVersion: "r", CandidateVersion: "2.0"}
	one := c.Decide(v, Folded{10, "d10"})
	v.AsOf, v.Accounting.Received = noon, 7 // not what was decided
	if two := c.Decide(v, Folded{11, "d11"}); two != one || len(one) != 64 {
		t.Errorf("the same verdict again moved the head from %q to %q", one, two)
	}
	c.Move(ChainStep, Moved{Step: 500, Who: "ann", Reason: "go"})
	c.Move(ChainRollback, Moved{Step: 0, Who: "bob", Reason: "stop"})
	c = chainIn(dir, io.Discard) // a restart
	three := c.Decide(v, Folded{12, "d12"})
	v.Decision = Rollback
	four := c.Decide(v, Folded{13, "d13"})

	hashes, kinds, err := walk(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]ChainKind{ChainVerdict, ChainStep, ChainRollback, ChainVerdict}, kinds); d != "" {
		t.Errorf("records (-want +got)\n%s", d)
	}
	if hashes[0] != one || hashes[2] != three || hashes[3] != four {
		t.Errorf("heads %s %s %s, in the file %s", one, three, four, hashes)
	}
	want := `{"seq":1,"prev":"","at":"2026-11-21T12:00:00Z","kind":"verdict","verdict":{"verdict":"promote","final":true,"reasons":[],"step":0,"rules_version":"r","policy_version":"","primary_version":"","candidate_version":"2.0","evidence":{"ticks":10,"digest":"d10"}},"hash":"` + one + "\"}\n"
	if d := cmp.Diff(want, strings.SplitAfter(read(t, ChainPath(dir, "shop")), "\n")[0]); d != "" {
		t.Errorf("a line (-want +got)\n%s", d)
	}
}

// TestTamperingIsFound: whatever is done to any record, the walk says where.
func TestTamperingIsFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	decide(chainIn(dir, io.Discard), 6)
	good := strings.SplitAfter(strings.TrimSuffix(read(t, ChainPath(dir, "shop")), "\n"), "\n")
	good[5] += "\n"
	forged := func(line string) string { // with a hash that is right
		r, _, err := unseal([]byte(strings.TrimSuffix(line, "\n")))
		if err != nil {
			t.Fatal(err)
		}
		r.Verdict.Step = 9000
		out, _, err := r.seal()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	for i := range good {
		for _, c := range []struct {
			name  string
			lines func(l []string) []string
			at    int // line that is found, 0: none, and the head says it
			says  string
		}{
			{"edited", func(l []string) []string { l[i] = strings.Replace(l[i], `"step":`, `"step":1`, 1); return l }, i + 1, "was changed"},
			{"spaced", func(l []string) []string { l[i] = strings.Replace(l[i], `,"prev"`, `, "prev"`, 1); return l }, i + 1, "was changed"},
			{"hash edited", func(l []string) []string { l[i] = l[i][:len(l[i])-5] + "zz\"}\n"; return l }, i + 1, "was changed"},
			{"forged", func(l []string) []string { l[i] = forged(l[i]); return l }, i + 2, "does not follow"},
			{"dropped", func(l []string) []string { return append(l[:i], l[i+1:]...) }, i + 1, "some are missing"},
			{"swapped", func(l []string) []string { j := (i + 1) % 6; l[i], l[j] = l[j], l[i]; return l }, min(i, (i+1)%6) + 1, "in another order"},
			{"twice", func(l []string) []string { return append(l[:i+1], append([]string{l[i]}, l[i+1:]...)...) }, i + 2, "another order"},
			{"slipped in", func(l []string) []string { return append(l[:i], append([]string{"{}\n"}, l[i:]...)...) }, i + 1, "does not end with a hash"},
			{"joined", func(l []string) []string { l[i] = strings.TrimSuffix(l[i], "\n") + " \n"; return l }, i + 1, "does not end with a hash"},
		} {
			if i == 5 && (c.name == "forged" || c.name == "dropped") {
				continue // the head that a log has is not in it: TestAuditVerify
			}
			var broken *ChainFault
			_, err := WalkChain(strings.NewReader(strings.Join(c.lines(append([]string(nil), good...)), "")), Link{}, nil)
			if !errors.As(err, &broken) || broken.Line != c.at || !strings.Contains(broken.Error(), c.says) {
				t.Errorf("record %d %s: %v, want line %d %q", i+1, c.name, err, c.at, c.says)
			}
		}
	}
	if _, err := WalkChain(strings.NewReader(strings.Join(good, "")), Link{}, nil); err != nil {
		t.Error(err)
	}
}

// TestChainAfterACrash: at whatever byte a write ended, the chain opens, goes on, and is
// good.
func TestChainAfterACrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := ChainPath(dir, "shop")
	decide(chainIn(dir, io.Discard), 2)
	whole := read(t, path)
	first := strings.Index(whole, "\n") + 1
	for n := first; n < len(whole); n += 7 {
		if err := os.WriteFile(path, []byte(whole[:n]), 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		head := chainIn(dir, &log).Decide(Verdict{Decision: Rollback}, Folded{})
		hashes, kinds, err := walk(t, dir)
		want := []ChainKind{ChainVerdict, ChainCut, ChainVerdict}
		if n == first {
			want = []ChainKind{ChainVerdict, ChainVerdict}
		}
		if err != nil || !cmp.Equal(want, kinds) || hashes[len(hashes)-1] != head {
			t.Fatalf("cut after %d bytes: %v, %v", n, kinds, err)
		}
		if said := strings.Contains(log.String(), "was not whole"); said != (n > first) {
			t.Errorf("cut after %d bytes: the log says %q", n, log.String())
		}
	}
}

// TestABrokenChainIsKept: and a new file goes on after what is good of it.
func TestABrokenChainIsKept(t *testing.T) {
	t.Parallel()
	for line, wantKinds := range map[int][]ChainKind{
		0: {ChainBroken, ChainVerdict},
		2: {ChainVerdict, ChainVerdict, ChainBroken, ChainVerdict},
	} {
		dir := t.TempDir()
		path := ChainPath(dir, "shop")
		heads := decide(chainIn(dir, io.Discard), 4)
		lines := strings.SplitAfter(read(t, path), "\n")
		lines[line] = strings.Replace(lines[line], `"step":`, `"step":7`, 1)
		damaged := strings.Join(lines, "")
		if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		chainIn(dir, &log).Decide(Verdict{Decision: Rollback}, Folded{})
		hashes, kinds, err := walk(t, dir)
		if err != nil || !cmp.Equal(wantKinds, kinds) || line > 0 && hashes[1] != heads[1] {
			t.Errorf("line %d: %v, %v", line+1, kinds, err)
		}
		kept, err := filepath.Glob(path + ".broken-*")
		if err != nil || len(kept) != 1 || read(t, kept[0]) != damaged {
			t.Errorf("line %d: kept %v, %v", line+1, kept, err)
		}
		name := fmt.Sprintf("%s: line %d: the record was changed", filepath.Base(kept[0]), line+1)
		if !strings.Contains(read(t, path), name) || !strings.Contains(log.String(), "is broken") {
			t.Errorf("neither the file nor the log names %q:\n%s\n%s", name, read(t, path), log.String())
		}
	}
}

// TestChainTurns: a full file is followed by the next one, and the oldest goes.
func TestChainTurns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := chainIn(dir, io.Discard)
	c.most = 2000
	heads := decide(c, 80)
	files, err := ChainFiles(ChainPath(dir, "shop"))
	if err != nil || len(files) != maxChainFiles+1 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	hashes, kinds, err := walk(t, dir)
	if err != nil || kinds[0] != ChainContinues || hashes[len(hashes)-1] != heads[79] {
		t.Errorf("begins with %s, %v", kinds[0], err)
	}
	if err := os.Remove(files[3]); err != nil {
		t.Fatal(err)
	}
	if _, _, err := walk(t, dir); err == nil {
		t.Error("a file that is missing in between is not found")
	}

	// A crash between the rename and the next file, and a full file that is broken.
	if err := os.Rename(files[len(files)-1], files[len(files)-1]+".99"); err != nil {
		t.Fatal(err)
	}
	c = chainIn(dir, io.Discard)
	if head := c.Decide(Verdict{Decision: Promote}, Folded{}); head == "" {
		t.Error("no head after the crash")
	}
	if text := read(t, ChainPath(dir, "shop")); !strings.Contains(text, heads[79]) || !strings.Contains(text, `"kind":"continues"`) {
		t.Errorf("it does not go on from the full file:\n%s", text)
	}
	if err := errors.Join(os.Remove(ChainPath(dir, "shop")), os.WriteFile(ChainPath(dir, "shop")+".99", []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if head := chainIn(dir, io.Discard).Decide(Verdict{Decision: Promote}, Folded{}); head == "" {
		t.Error("a full file that is broken ends the chain")
	}
}

// TestChainThatCannotBeWritten: verdicts are given all the same, and it is tried again.
func TestChainThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := ChainPath(dir, "shop")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	now := noon
	var log bytes.Buffer
	c := NewChain(dir, "shop", func() time.Time { return now }, slog.New(slog.NewTextHandler(&log, nil)))
	decide(c, 5)
	if n := strings.Count(log.String(), "a decision is not in the chain"); n != 1 {
		t.Errorf("said %d times\n%s", n, log.String())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	now = now.Add(chainRetry)
	if heads := decide(c, 2); heads[1] == "" {
		t.Error("it is not tried again")
	}
	// Somebody else wrote: what is there counts.
	other := chainIn(dir, io.Discard)
	other.Move(ChainStep, Moved{Step: 1})
	c.Move(ChainStep, Moved{Step: 2})
	if _, kinds, err := walk(t, dir); err != nil || len(kinds) != 4 {
		t.Errorf("%v, %v", kinds, err)
	}
}

// TestNoHeadThatIsNotWritten: where the next file cannot be begun, as on a full disk, verdicts
// show the last head that is there.
func TestNoHeadThatIsNotWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	heads := decide(chainIn(dir, io.Discard), 3)
	long := strings.Repeat("s", 255-len(".verdicts")-len(".3")) // a full file fits in a name, and a new one beside it does not
	if err := os.Rename(ChainPath(dir, "shop"), ChainPath(dir, long)); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	c := NewChain(dir, long, func() time.Time { return noon }, slog.New(slog.NewTextHandler(&log, nil)))
	c.most = 1
	head := c.Decide(Verdict{Service: "shop", Decision: Promote}, Folded{})
	if !strings.Contains(log.String(), "a decision is not in the chain") {
		t.Fatalf("it was written\n%s", log.String())
	}
	if head != heads[2] {
		t.Errorf("the head is %s, and the last one written %s", head, heads[2])
	}
}

// FuzzWalkChain: no text makes the reader panic, and what is good is a beginning of it.
func FuzzWalkChain(f *testing.F) {
	dir := f.TempDir()
	decide(chainIn(dir, io.Discard), 3)
	whole := read(f, ChainPath(dir, "shop"))
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add(`{,"hash":"` + strings.Repeat("0", 64) + "\"}\n")
	f.Fuzz(func(t *testing.T, text string) {
		n := 0
		end, err := WalkChain(strings.NewReader(text), Link{}, func(int, ChainRecord, string) { n++ })
		if n != end.Lines || end.Size > int64(len(text)) || n != strings.Count(text[:end.Size], "\n") {
			t.Errorf("%d records, %+v", n, end)
		}
		if err == nil && end.Size+int64(end.Torn) != int64(len(text)) {
			t.Errorf("%d bytes are neither good nor torn", int64(len(text))-end.Size-int64(end.Torn))
		}
	})
}

// BenchmarkChain is what a decision costs with its sync to disk, what nothing new costs,
// and what reading costs a record.
func BenchmarkChain(b *testing.B) {
	dir := b.TempDir()
	c := chainIn(dir, io.Discard)
	b.Run("Decide/new", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			c.Decide(Verdict{Decision: Hold, Step: i}, Folded{})
		}
	})
	b.Run("Decide/same", func(b *testing.B) {
		for b.Loop() {
			c.Decide(Verdict{Decision: Promote}, Folded{})
		}
	})
	text := read(b, ChainPath(dir, "shop"))
	b.Run("Walk", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if _, err := WalkChain(strings.NewReader(text), Link{}, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}
