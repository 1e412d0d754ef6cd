package debezium

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"

	"parallax"
	"parallax/compare/effects"
)

var update = flag.Bool("update", false, "write what the cases of testdata come to into them")

// TestCases sends the bodies of each file in testdata and compares the transactions that
// come of them.
func TestCases(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			synctest.Test(t, func(t *testing.T) { got = runCase(t, archive) })
			want := &archive.Files[len(archive.Files)-1]
			if *update {
				want.Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// runCase sends a file's bodies in a bubble and returns what came of them.
func runCase(t *testing.T, archive *txtar.Archive) string {
	var in *Inbox
	var s Source
	var got *collected
	var reader *Reader
	for _, f := range archive.Files {
		switch {
		case f.Name == "source.yaml":
			if err := yaml.Unmarshal(f.Data, &s); err != nil {
				t.Fatal(err)
			}
			s.Silence = -1 // the files' times are not the bubble's
			in = newTestInbox(t, s)
			if reader = in.Reader(s.Name); reader == nil {
				reader = in.Outbox()
			}
			got = run(t, reader)
		case f.Name == "wait":
			d, err := time.ParseDuration(strings.TrimSpace(string(f.Data)))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(d)
		case strings.HasSuffix(f.Name, ".json"):
			if _, err := in.Take(f.Data, ""); err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
		}
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	return got.String() + fmt.Sprintf("%+v\n", reader.Stats())
}

func newTestInbox(t *testing.T, sources ...Source) *Inbox {
	t.Helper()
	var named []Source
	for _, s := range sources {
		if s.Name != "" {
			named = append(named, s)
		}
	}
	in, err := NewInbox(named, []string{"mail", "kafka:orders", "payments"}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// collected is a sink that keeps what it gets, and fails where a position goes back.
type collected struct {
	t      *testing.T
	mu     sync.Mutex
	list   []effects.Transaction
	gaps   []string
	passed effects.Position
}

// run starts a reader that reads until the test ends.
func run(t *testing.T, r *Reader) *collected {
	c := &collected{t: t}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx, c) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return c
}

func (c *collected) Transaction(tx effects.Transaction) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if tx.Position <= c.passed {
		c.t.Errorf("transaction %s at %d comes after %d was passed", tx.ID, tx.Position, c.passed)
	}
	if n := len(c.list); n > 0 && c.list[n-1].Position >= tx.Position {
		c.t.Errorf("transaction %s has no later position than the one before", tx.ID)
	}
	c.list = append(c.list, tx)
}

func (c *collected) Passed(p effects.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p < c.passed {
		c.t.Errorf("passed %d after %d", p, c.passed)
	}
	c.passed = p
}

func (c *collected) Gap(from, until time.Time, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := "open"
	if !until.IsZero() {
		text = until.UTC().Format("15:04:05")
	}
	c.gaps = append(c.gaps, fmt.Sprintf("%s-%s %s", from.UTC().Format("15:04:05"), text, why))
}

func (c *collected) transactions() []effects.Transaction {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]effects.Transaction(nil), c.list...)
}

func (c *collected) position() effects.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.passed
}

func (c *collected) gapsSeen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.gaps...)
}

func (c *collected) String() string {
	var b strings.Builder
	for _, tx := range c.transactions() {
		fmt.Fprintf(&b, "%s %s %v", tx.ID, tx.At.Format(time.RFC3339Nano), tx.Tags)
		if tx.More {
			b.WriteString(" and more")
		}
		b.WriteByte('\n')
		for _, change := range tx.Changes {
			fmt.Fprintf(&b, "  %s %s\n", change.Op, change.Table)
			for _, image := range []struct {
				name string
				list []parallax.Column
			}{{"key", change.Key}, {"before", change.Before}, {"after", change.After}} {
				for _, column := range image.list {
					fmt.Fprintf(&b, "    %s %s\n", image.name, shown(column))
				}
			}
		}
	}
	return b.String()
}

func shown(c parallax.Column) string {
	kinds := [...]string{"text", "number", "bool", "time", "json", "bytes", "array", "unchanged"}
	if c.Value == nil {
		return fmt.Sprintf("%s %s NULL", c.Name, kinds[c.Type])
	}
	return fmt.Sprintf("%s %s %s", c.Name, kinds[c.Type], *c.Value)
}
