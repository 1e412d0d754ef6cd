package reports

import (
	"cmp"
	"context"
	"slices"
	"testing"
	"time"

	"parallax/divergence"
)

// table is a list of ticks as the store keeps it: by time, instance and number.
type table []divergence.Tick

func byPlace(a, b divergence.Cursor) int {
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Seq, b.Seq))
}

func (l *table) Ticks(_ context.Context, _ string, after divergence.Cursor, limit int) ([]divergence.Tick, error) {
	slices.SortFunc(*l, func(a, b divergence.Tick) int { return byPlace(a.Cursor(), b.Cursor()) })
	var out []divergence.Tick
	for _, t := range *l {
		if byPlace(t.Cursor(), after) > 0 && len(out) < limit {
			out = append(out, t)
		}
	}
	return out, nil
}

// TestALateTickOfTheSameTime comes before one that was read. It counts once, and so does the
// other, also when both are older than what is looked at again.
func TestALateTickOfTheSameTime(t *testing.T) {
	t.Parallel()
	r := readFrom(divergence.Cursor{})
	var l table
	read := func(second int) (folded []string) {
		now := noon.Add(time.Duration(second) * time.Second)
		ticks, err := l.Ticks(t.Context(), "shop", r.start(now), 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, tick := range ticks {
			if r.first(tick) {
				folded = append(folded, tick.Instance)
			}
		}
		return folded
	}
	f := func(second int, want ...string) {
		t.Helper()
		if got := read(second); !slices.Equal(got, want) {
			t.Errorf("second %d: folded %v, want %v", second, got, want)
		}
	}
	written := func(instance string) {
		one := tick("GET /a", 0, 1, 0)
		one.Instance, one.Seq = instance, 7
		l = append(l, one)
	}
	written("b")
	f(0, "b")
	written("a")
	f(6, "a")
	f(7)
	f(200)
	f(201)
	f(300)
}

// Two instances write ticks; some of those of one show up late, as their numbers
// say. All of the last minute count, and each counts once.
func TestTicksThatShowUpLate(t *testing.T) {
	t.Parallel()
	now := noon
	var l table
	j := judgeOf(nil, func(c *JudgeConfig) {
		c.Ticks, c.Now = &l, func() time.Time { return now }
	})
	write := func(instance string, seq, at int) {
		one := tick("GET /a", at, 1, 0)
		one.Instance, one.Seq = instance, uint64(seq)
		l = append(l, one)
	}
	f := func(second int, want uint64) {
		t.Helper()
		now = noon.Add(time.Duration(second) * time.Second)
		j.Look(t.Context())
		if n := j.evidence.endpoints["GET /a"].sums.n; n != want {
			t.Errorf("second %d: %d exchanges folded, want %d", second, n, want)
		}
	}
	write("a", 1, 0)
	f(0, 1)
	write("b", 2, 2)
	f(2, 2)
	write("a", 2, 1) // had to try again
	write("a", 3, 2)
	write("a", 4, 3)
	f(3, 3) // what is behind waits for the look back
	f(5, 5)
	f(10, 5)
	for second := 11; second < 200; second++ { // the clock of c is 40 s behind
		write("b", second, second)
		write("c", second, second-40)
		f(second, 5+uint64(second-10)+uint64(second/5*5-10))
	}
	f(205, 5+2*189)
	write("a", 5, 4) // too late
	f(300, 5+2*189)
	write("d", 1, 4000) // while the clock was wrong
	f(4000, 5+2*189+1)
	write("e", 1, 401)
	f(401, 5+2*189+1) // before the floor, which is not set back
	write("e", 2, 4010)
	f(4010, 5+2*189+2)
}

// A clock that was set back between two starts costs no evidence.
func TestTicksAfterAClockWasSetBack(t *testing.T) {
	t.Parallel()
	now := noon
	l := table{tick("GET /a", 3600, 1, 0)}
	l[0].Instance = "before"
	j := judgeOf(nil, func(c *JudgeConfig) {
		c.Ticks, c.Now = &l, func() time.Time { return now }
	})
	for second := range 30 {
		now = noon.Add(time.Duration(second) * time.Second)
		l = append(l, tick("GET /a", second, 1, 0))
		j.Look(t.Context())
	}
	now = now.Add(lookBackEvery)
	j.Look(t.Context())
	if n := j.evidence.endpoints["GET /a"].sums.n; n != 31 {
		t.Errorf("%d exchanges folded, want 31", n)
	}
}
