package effects_test

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"parallax"
	"parallax/compare/effects"
)

// TestCopyMark tells which exchanges committed before a position and which after it, and
// says so where nobody can know.
func TestCopyMark(t *testing.T) {
	t.Parallel()
	joined(t, nil, func(b *bench) {
		mark, err := b.joiner.MarkCopy("old/shop")
		if err != nil {
			t.Fatal(err)
		}
		of := func(name string, x *parallax.Exchange, before, after bool, want error) {
			t.Helper()
			gotBefore, gotAfter, err := mark.Of(x, x.Received.Add(time.Second))
			if gotBefore != before || gotAfter != after || !errors.Is(err, want) {
				t.Errorf("%s: before %t, after %t, %v; want %t, %t, %v", name, gotBefore, gotAfter, err, before, after, want)
			}
		}
		exchange := func() *parallax.Exchange {
			x := b.exchange()
			binary.BigEndian.PutUint64(x.ID[:8], uint64(x.Received.UnixMilli())<<16|7<<12) // as one that was received now
			return x
		}
		early, both, late, none := exchange(), exchange(), exchange(), exchange()
		traced := b.traced(trace, exchange())
		of("before the position is known", early, false, false, effects.ErrNotRead)
		b.primary.Commit(row("1", early.ID.String()))
		b.primary.Commit(row("2", both.ID.String()))
		at, err := b.primary.Position(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		mark.Set(at, time.Now())
		b.primary.Commit(row("3", both.ID.String()))
		b.primary.Commit(row("4", late.ID.String()))
		b.primary.Commit(row("5", span)) // a span of the service's own
		b.candidate.Commit(row("6", none.ID.String()))
		of("not read as far", early, false, false, effects.ErrNotReadYet)
		b.pass(3 * time.Second)
		of("early", early, true, false, nil)
		of("on both sides", both, true, true, nil)
		of("late", late, false, true, nil)
		of("by its trace", traced, false, true, nil)
		of("on the other leg only", none, false, false, nil)
		if _, _, err := mark.Of(early, time.Now().Add(time.Hour)); !errors.Is(err, effects.ErrNotRead) {
			t.Errorf("an exchange that went on for an hour: %v", err)
		}
		b.primary.Cut("the network is down")
		b.pass(time.Second)
		gapped := exchange()
		of("in a gap", gapped, false, false, effects.ErrNotRead)
		if _, err := b.joiner.MarkCopy("old/shop"); err == nil {
			t.Error("a copy was begun while the database is not read")
		}
		if _, err := b.joiner.MarkCopy("old/mall"); err == nil {
			t.Error("a copy was begun of a database that is not read at all")
		}
	})
}

func TestCopyNeedsTransactionsThatSayWhoseTheyAre(t *testing.T) {
	t.Parallel()
	joined(t, func(c *effects.Config) { c.Correlate = []string{"key"} }, func(b *bench) {
		if _, err := b.joiner.MarkCopy("old/shop"); err == nil {
			t.Error("a copy was begun where transactions are found by keys")
		}
	})
}
