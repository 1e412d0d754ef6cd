package effects_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/compare/effects"
)

// only is an exchange that one leg alone was asked.
func only(leg parallax.Leg, x *parallax.Exchange) *parallax.Exchange {
	x.Live = leg
	for other := range x.Legs {
		if parallax.Leg(other) != leg {
			x.Legs[other] = nil
		}
	}
	return x
}

// shapesOf says what was told of exchanges, sorted.
func (b *bench) shapesOf() (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.shapes {
		text := s.Live.String()
		for _, kind := range slices.SortedFunc(maps.Keys(s.Changes), func(a, b effects.Kind) int { return strings.Compare(string(a.Op), string(b.Op)) }) {
			text += fmt.Sprintf(" %s %s %d", kind.Op, kind.Table, s.Changes[kind])
		}
		if s.Unread != "" {
			text += " ? " + s.Unread
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}

// TestShapesOfExchangesWithoutAPair: what the live leg committed until its settle time is over
// is counted, whether it came before or after its exchange, and found by tag, trace or column; no
// shadow is accused, and what other legs are named for, or another database shows too, is not counted.
func TestShapesOfExchangesWithoutAPair(t *testing.T) {
	t.Parallel()
	all := func(c *effects.Config) { c.Correlate = []string{"tag", "trace", "column:request_id"} }
	joined(t, all, func(b *bench) {
		p, c := only(parallax.Primary, b.exchange()), only(parallax.Candidate, b.exchange())
		traced, nothing := only(parallax.Primary, b.traced(trace, b.exchange())), only(parallax.Candidate, b.exchange())
		for _, log := range []interface{ Commit(effects.Transaction) }{b.primary, b.candidate} { // one database, read for both
			log.Commit(row("1", p.ID.String()))
			log.Commit(row("2", c.ID.String()))
		}
		b.joiner.Answered(p)
		b.joiner.Lived(c)
		b.joiner.Answered(traced)
		b.joiner.Lived(nothing)
		b.pass(time.Millisecond)
		b.primary.Commit(rowOf("3", p.ID.String()))
		b.primary.Commit(row("4", trace))
		b.primary.Commit(row("5", p.ID.String()+"/candidate"))
		b.pass(time.Second)
		if got := b.shapesOf(); len(got) > 0 {
			t.Errorf("told before the settle time was over: %q", got)
		}
		b.pass(2 * time.Second)
		want := []string{"candidate", "candidate insert orders 1", "primary insert orders 1", "primary insert orders 2"}
		if d := cmp.Diff(want, b.shapesOf()); d != "" {
			t.Errorf("shapes (-want +got)\n%s", d)
		}
		if len(b.shadows) > 0 {
			t.Errorf("shadows are accused: %+v", b.shadows)
		}
	})
}

// TestShapesThatNobodyKnows: in a gap, with a trace that two exchanges share, where a transaction
// names two exchanges, and what waits at the end.
func TestShapesThatNobodyKnows(t *testing.T) {
	t.Parallel()
	var left *bench
	joined(t, func(c *effects.Config) { c.Correlate = []string{"tag", "trace"} }, func(b *bench) {
		left = b
		one, two := only(parallax.Primary, b.traced(trace, b.exchange())), only(parallax.Primary, b.traced(trace, b.exchange()))
		b.joiner.Answered(one)
		b.pass(time.Millisecond)
		b.primary.Commit(row("1", trace))
		b.joiner.Answered(two)
		torn := only(parallax.Candidate, b.exchange())
		b.joiner.Lived(torn)
		b.pass(time.Millisecond)
		b.candidate.Commit(row("2", torn.ID.String(), one.ID.String()))
		b.pass(3 * time.Second)
		const shared = "the trace of its effects is that of two exchanges"
		want := []string{"candidate ? one of its transactions names another exchange, too", "primary ? " + shared, "primary insert orders 1 ? " + shared}
		got := b.shapesOf()
		for i := range got { // whichever of the two it was counted to
			if got[i] == "primary insert orders 2 ? "+shared {
				got[i] = want[2]
			}
		}
		if len(got) != 3 || !strings.Contains(got[0], want[0]) || !strings.HasSuffix(got[1], shared) || !strings.HasSuffix(got[2], shared) {
			t.Errorf("shapes: %q", got)
		}
		b.joiner.Answered(only(parallax.Primary, b.exchange()))
		b.pass(time.Millisecond)
	})
	if got := left.shapesOf(); len(got) != 4 || !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "was not read in time") }) {
		t.Errorf("at the end: %q", got)
	}
}

// TestShapesAreBounded: of more than there is room for it is said that nobody knows.
func TestShapesAreBounded(t *testing.T) {
	t.Parallel()
	joined(t, nil, func(b *bench) {
		const many = 16_000
		for i := range many {
			x := only(parallax.Primary, b.exchange())
			x.ID[1], x.ID[2] = byte(i), byte(i>>8)
			b.joiner.Answered(x)
			if i%1000 == 0 {
				b.pass(time.Microsecond)
			}
		}
		b.pass(4 * time.Second)
		unread := 0
		for _, s := range b.shapesOf() {
			if strings.Contains(s, "too many exchanges") {
				unread++
			}
		}
		if len(b.shapes) != many || unread < many-10_000 || unread == many {
			t.Errorf("%d were told, %d of them not known", len(b.shapes), unread)
		}
	})
}
