package effects_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/compare/effects"
	"parallax/internal/ids"
)

// slow returns an exchange whose last answer comes in 5 s, though what it commits is there.
func (b *bench) slow() *parallax.Exchange {
	x := b.exchange()
	x.Legs[parallax.Candidate].Done = 5 * time.Second
	return x
}

// names says that an exchange has the ids of rows that the primary made up.
func (b *bench) names(x *parallax.Exchange, rows ...string) {
	for _, id := range rows {
		b.needs[x.ID] = append(b.needs[x.ID], ids.Ref{Name: "effects:orders.id", Leg: parallax.Primary, Value: id})
	}
}

// state says what became of exchanges: they wait, were learnt from or not, with a mark for those
// that name what is not known.
func (b *bench) state(list ...*parallax.Exchange) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, x := range list {
		got := b.handed[x.ID]
		switch learned := slices.Contains(b.learned, x.ID); {
		case got == nil:
			out = append(out, "waits")
		case len(got.Unmapped) > 0 && !learned:
			out = append(out, "unmapped")
		case len(got.Unmapped) == 0 && learned:
			out = append(out, "compared")
		default:
			out = append(out, fmt.Sprintf("wrong: learned %v unmapped %v", learned, got.Unmapped))
		}
	}
	return strings.Join(out, " ")
}

func (b *bench) wantState(when, want string, list ...*parallax.Exchange) {
	b.t.Helper()
	if got := b.state(list...); got != want {
		b.t.Errorf("%s: %s, want %s", when, got, want)
	}
}

func TestRowsOfExchangesThatAreNotOver(t *testing.T) {
	t.Parallel()
	joined(t, nil, func(b *bench) { // The chain begins with one that is over last.
		x, y, z, other := b.slow(), b.exchange(), b.exchange(), b.exchange()
		b.primary.Commit(row("1", x.ID.String()))
		b.primary.Commit(row("2", y.ID.String()))
		b.primary.Commit(row("3", z.ID.String()))
		b.names(x, "1", "77")
		b.names(y, "2", "1")
		b.names(z, "3", "2", "1")
		b.gather(z, y, other)
		b.pass(2500 * time.Millisecond)
		b.wantState("before the first one has come", "waits waits waits compared", x, y, z, other)
		b.gather(x)
		b.pass(4 * time.Second)
		b.wantState("before its settle time is over", "waits waits waits", x, y, z)
		b.pass(time.Second)
		b.wantState("then", "compared compared compared", x, y, z)
		if d := cmp.Diff([]parallax.ID{other.ID, x.ID, y.ID, z.ID}, b.learned); d != "" {
			t.Errorf("learned (-want +got)\n%s", d)
		}
		late := b.exchange()
		b.names(late, "1", "2", "3")
		b.gather(late)
		b.pass(2100 * time.Millisecond)
		b.wantState("a later one", "compared", late)
	})
	joined(t, nil, func(b *bench) { // The one it waits for never comes, or is not compared.
		x, y, z, other := b.exchange(), b.exchange(), b.exchange(), b.exchange()
		b.gather(other)
		b.primary.Commit(row("1", parallax.ID{7}.String()))
		b.primary.Commit(row("2", x.ID.String()))
		b.names(x, "1")
		b.names(y, "2") // and so this one's partner is never known either
		b.gather(x, y)
		b.pass(11900 * time.Millisecond)
		b.wantState("while it may come", "waits waits", x, y)
		b.pass(200 * time.Millisecond)
		b.wantState("once it has waited long enough", "unmapped unmapped", x, y)
		if d := cmp.Diff([]string{"effects:orders.id"}, b.handed[x.ID].Unmapped); d != "" {
			t.Errorf("unmapped (-want +got)\n%s", d)
		}
		b.primary.Commit(row("3", z.ID.String()))
		u := b.exchange()
		b.names(u, "3")
		b.gather(u)
		b.pass(3 * time.Second)
		b.wantState("while it may come", "waits", u)
		z.Legs[parallax.Candidate].Err.Kind = parallax.NotAsked
		b.gather(z)
		b.pass(time.Millisecond)
		b.wantState("once it is not compared", "unmapped", u)
		v := b.exchange()
		b.names(v, "3")
		b.gather(v)
		b.pass(2100 * time.Millisecond)
		b.wantState("after that", "unmapped", v)
		b.primary.Commit(row("4", other.ID.String())) // late
		b.primary.Commit(row("5", other.ID.String(), x.ID.String()))
		b.gather(b.exchange())
		b.pass(3 * time.Second)
		if d := cmp.Diff([]string{"2", "4", "5"}, b.lost); d != "" || b.joiner.Missed() {
			t.Errorf("lost (-want +got)\n%s\nall may be: %v", d, b.joiner.Missed())
		}
	})
	joined(t, nil, func(b *bench) { // Two wait for each other.
		x, y, other := b.exchange(), b.exchange(), b.exchange()
		b.primary.Commit(row("1", x.ID.String()))
		b.primary.Commit(row("2", y.ID.String()))
		b.names(x, "2")
		b.names(y, "1")
		b.gather(x, y)
		b.pass(5 * time.Second)
		b.gather(other)
		b.pass(2100 * time.Millisecond)
		b.wantState("meanwhile", "waits waits compared", x, y, other)
		b.pass(5 * time.Second)
		b.wantState("at the end", "unmapped unmapped", x, y)
	})
}

func TestWaitingForOthersIsBounded(t *testing.T) {
	t.Parallel()
	joined(t, func(c *effects.Config) { c.Waiting.Exchanges = 8 }, func(b *bench) {
		b.primary.Commit(row("1", parallax.ID{7}.String()))
		var all []*parallax.Exchange
		for range 3 {
			all = append(all, b.exchange())
			b.names(all[len(all)-1], "1")
			b.gather(all[len(all)-1])
			b.pass(10 * time.Millisecond)
		}
		b.pass(2100 * time.Millisecond)
		b.wantState("three that wait for another", "waits waits unmapped", all...)
	})
	joined(t, nil, func(b *bench) {
		x, many := b.exchange(), make([]string, 1001)
		for n := range many {
			many[n] = fmt.Sprint(n)
			b.primary.Commit(row(many[n], parallax.ID{7}.String()))
		}
		b.names(x, many...)
		b.gather(x)
		b.pass(2100 * time.Millisecond)
		b.wantState("one with too many values", "unmapped", x)
	})
	joined(t, func(c *effects.Config) { c.Log.Age = 5 * time.Second }, func(b *bench) {
		b.primary.Commit(row("1", parallax.ID{7}.String()))
		x := b.exchange()
		b.names(x, "1")
		b.gather(x)
		b.pass(3 * time.Second)
		b.wantState("while the change is remembered", "waits", x)
		b.pass(3 * time.Second)
		b.wantState("once it is not", "unmapped", x)
	})
	var left *bench
	var x *parallax.Exchange
	joined(t, nil, func(b *bench) {
		left, x = b, b.exchange()
		b.primary.Commit(row("1", parallax.ID{7}.String()))
		b.names(x, "1")
		b.gather(x)
		b.pass(3 * time.Second)
		b.wantState("before the end", "waits", x)
	})
	left.wantState("at the end", "unmapped", x)
}
