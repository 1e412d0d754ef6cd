package effects_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/compare/effects"
)

// TestWhatWasBeforeIsUnknown: an exchange of before a restart is not compared by what its
// databases commit now.
func TestWhatWasBeforeIsUnknown(t *testing.T) {
	t.Parallel()
	joined(t, nil, func(b *bench) {
		x, y := b.exchange(), b.exchange()
		x.Received = time.Now().Add(-time.Hour)
		b.gather(x, y)
		b.pass(time.Minute)
		b.want("of before", x, "? old/shop was not read: reading has not begun", "? new/shop was not read: reading has not begun")
		b.want("of now", y, "", "")
	})
}

const (
	trace  = "00-0123456789abcdef0123456789abcdef-00000000000000aa-01"
	span   = "00-0123456789abcdef0123456789abcdef-00000000000000bb-01"
	trace2 = "00-1123456789abcdef0123456789abcdef-00000000000000aa-01"
)

func TestCorrelations(t *testing.T) {
	t.Parallel()
	all := func(c *effects.Config) { c.Correlate = []string{"tag", "trace", "column:request_id", "key"} }
	joined(t, all, func(b *bench) {
		x, y, z, u, v := b.traced(trace, b.exchange()), b.exchange(), b.exchange(), b.exchange(), b.exchange()
		z.Legs[parallax.Primary].Response.Body.Bytes = []byte(`{"id":"7","of":12.50}`)
		z.Legs[parallax.Candidate].Request.Target = "/orders/70?from=1"
		b.primary.Commit(row("1", x.ID.String()))                    // before the exchange is known
		b.primary.Commit(row("2", x.ID.String()+"/primary", trace2)) // a tag is stronger than a trace
		b.gather(x, y, z, u)
		b.primary.Commit(row("3", trace))
		b.candidate.Commit(row("4", span)) // a span of the service's own
		b.candidate.Commit(rowOf("5", y.ID.String()))
		b.candidate.Commit(row("6", u.ID.String(), v.ID.String())) // of two
		b.primary.Commit(row("7"))
		b.candidate.Commit(row("70"))
		b.candidate.Commit(row("12"))                               // in no exchange
		b.candidate.Commit(row("8", parallax.ID{1, 2, 3}.String())) // of one that is not compared
		b.primary.Commit(row("9", x.ID.String()+"/nobody"))
		b.pass(3 * time.Second)
		b.want("tag and trace", x, "1:tag 2:tag 3:trace", "4:trace")
		b.want("column", y, "", "5:column")
		b.want("key", z, "7:key", "70:key")
		b.want("one of two", u, "", "? one of its transactions names another exchange, too")
		b.gather(v)
		b.pass(3 * time.Second)
		b.want("the other, which comes later", v, "", "? one of its transactions names another exchange, too")
		b.pass(2 * time.Minute)
		want := []string{
			"primary orders key 1", "primary orders tag 2", "primary orders trace 1",
			"candidate orders column 1", "candidate orders key 1", "candidate orders torn 1", "candidate orders trace 1",
			"primary orders unattributed 1", "candidate orders uncompared 1", "candidate orders unattributed 1",
		}
		got := b.counted()
		slices.Sort(got)
		slices.Sort(want)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("counts (-want +got)\n%s", d)
		}
	})
}

func TestWhatProvesNothing(t *testing.T) {
	t.Parallel()
	joined(t, func(c *effects.Config) { c.Correlate = []string{"trace", "key"} }, func(b *bench) {
		x, y := b.traced(trace, b.exchange()), b.traced(trace, b.exchange())
		u, v := b.exchange(), b.exchange()
		u.Legs[parallax.Primary].Request.Target, v.Legs[parallax.Primary].Request.Target = "/orders/17", "/orders/17"
		b.primary.Commit(row("1", trace))
		b.primary.Commit(row("2", u.ID.String())) // tags are off
		b.primary.Commit(row("17"))
		b.gather(x, y, u, v)
		b.pass(3 * time.Second)
		const twice = "? the trace of its effects is that of two exchanges"
		b.want("one of two with a trace", x, twice, "")
		b.want("the other", y, twice, "")
		b.want("one of two with a key", u, "", "")
		b.want("the other", v, "", "")
	})
	joined(t, nil, func(b *bench) {
		x, y := b.traced(trace, b.exchange()), b.traced(span, b.exchange())
		b.primary.Commit(row("1", trace))
		b.primary.Commit(row("2", span))
		b.gather(x, y)
		b.pass(3 * time.Second)
		b.want("spans of one trace", x, "1:trace", "")
		b.want("the other", y, "2:trace", "")
	})
}

// TestWhatIsNotKnownIsNotNone holds that an exchange of which changes were dropped, or taken
// for another one's, is not compared without them.
func TestWhatIsNotKnownIsNotNone(t *testing.T) {
	t.Parallel()
	const late = "? it came so late that what it committed may be forgotten: effects.log.age is how long that is kept"
	joined(t, nil, func(b *bench) {
		x, y, z := b.exchange(), b.traced(trace, b.exchange()), b.exchange()
		b.primary.Commit(row("1", x.ID.String()))
		b.primary.Commit(row("2", trace))
		b.pass(2 * time.Minute)
		b.gather(x, y, z)
		b.pass(3 * time.Second)
		b.want("that comes when its change is forgotten", x, late, "")
		b.want("likewise, by trace", y, late, "")
		b.want("that has written nothing", z, "", "")
		b.gather(z)
		b.pass(time.Millisecond)
		b.want("that comes again", z, "? it came twice", "? it came twice")
	})
	joined(t, nil, func(b *bench) {
		x, y := b.traced(trace, b.exchange()), b.traced(span, b.exchange())
		const child = "00-0123456789abcdef0123456789abcdef-00000000000000cc-01"
		b.gather(x)
		b.primary.Commit(row("1", child)) // which may be of y
		b.pass(3 * time.Second)
		b.want("the first one of a trace", x, "1:trace", "")
		b.gather(y)
		b.pass(3 * time.Second)
		const twice = "? the trace of its effects is that of two exchanges"
		b.want("the second one", y, twice, twice)
	})
	joined(t, nil, func(b *bench) {
		x, y := b.traced(trace, b.exchange()), b.traced(span, b.exchange())
		b.gather(x)
		b.primary.Commit(row("1", trace)) // which is of x
		b.pass(3 * time.Second)
		b.gather(y)
		b.pass(3 * time.Second)
		b.want("the second one of a trace of which each has said its span", y, "", "")
	})
	column := func(c *effects.Config) { c.Correlate = []string{"column:request_id"} }
	joined(t, column, func(b *bench) {
		x := b.exchange()
		b.gather(x)
		made := rowOf("1", x.ID.String())
		kept := rowOf("2", x.ID.String())
		kept.Changes[0].Op, kept.Changes[0].Before = parallax.Update, kept.Changes[0].After
		b.primary.Commit(made)
		b.primary.Commit(kept)
		b.pass(3 * time.Second)
		b.want("whose id a row has kept", x, "1:column", "")
	})
}

func TestBarrierAndSettle(t *testing.T) {
	t.Parallel()
	joined(t, nil, func(b *bench) {
		x := b.exchange()
		b.gather(x)
		b.pass(1900 * time.Millisecond)
		b.candidate.Commit(row("1", x.ID.String()))
		b.want("in its settle time", x, "-", "-")
		b.candidate.Stall(true)
		b.candidate.Commit(row("2", x.ID.String())) // committed in time, and read late
		b.pass(3 * time.Second)
		b.want("while the log is not read to its end", x, "-", "-")
		b.candidate.Stall(false)
		b.pass(50 * time.Millisecond)
		b.want("once it is", x, "", "1:tag 2:tag")
		b.candidate.Commit(row("3", x.ID.String()))
		b.pass(time.Millisecond)
		if len(b.late) != 1 || b.late[0].Exchange != x.ID || b.late[0].Leg != parallax.Candidate || shown(b.late[0].Effects) != "3:tag late" || b.late[0].Stamp != x.Stamp() {
			t.Errorf("late is %+v", b.late)
		}
		asked := b.primary.Asked()
		b.pass(time.Second)
		if again := b.primary.Asked(); again != asked {
			t.Errorf("the database was asked %d times while nothing waited", again-asked)
		}
		y := b.exchange()
		b.candidate.Stall(true)
		b.gather(y)
		b.pass(11 * time.Second)
		b.want("a log that does not come along", y, "-", "-")
		b.pass(2 * time.Second)
		b.want("is given up", y, "", "? the log of new/shop was not read in time")
		if polls := b.primary.Asked() - asked; polls > 13*50 {
			t.Errorf("%d polls in 13 s", polls)
		}
	})
}

func TestGaps(t *testing.T) {
	t.Parallel()
	joined(t, nil, func(b *bench) {
		before := b.exchange()
		b.gather(before)
		b.pass(2100 * time.Millisecond)
		b.want("before the gap", before, "", "")
		if b.joiner.Missed() {
			t.Error("something was missed before the gap")
		}
		b.primary.Cut("the server went away")
		synctest.Wait()
		during := b.exchange()
		b.gather(during)
		b.pass(2100 * time.Millisecond)
		b.want("in it", during, "? old/shop was not read: the server went away", "*")
		if !b.joiner.Missed() {
			t.Error("nothing was missed in the gap")
		}
		across := b.exchange()
		b.gather(across)
		b.pass(time.Second)
		b.primary.Mend()
		synctest.Wait()
		b.pass(2 * time.Second)
		b.want("across its end", across, "? old/shop was not read: the server went away", "*")
		after := b.exchange()
		b.gather(after)
		b.primary.Commit(row("1", after.ID.String()))
		b.pass(2100 * time.Millisecond)
		b.want("after it", after, "1:tag", "")
		_, gaps := b.joiner.TakeCounts()
		if last := gaps[len(gaps)-1]; len(gaps) != 3 || last.Leg != parallax.Primary || last.Until.Sub(last.From) != 3100*time.Millisecond {
			t.Errorf("gaps are %+v", gaps)
		}
	})
}

func TestCaps(t *testing.T) {
	t.Parallel()
	few := func(c *effects.Config) { c.Waiting.Exchanges = 2 }
	joined(t, few, func(b *bench) {
		x, y, z := b.exchange(), b.exchange(), b.exchange()
		b.gather(x, y, z)
		const many = "? too many exchanges were waiting for their effects"
		b.want("the third", z, many, many)
		b.pass(2100 * time.Millisecond)
		b.want("the first", x, "", "")
		u := b.exchange()
		b.gather(u)
		b.pass(2100 * time.Millisecond)
		b.want("the next", u, "", "")
		if d := cmp.Diff([]parallax.ID{x.ID, y.ID, u.ID}, b.learned); d != "" {
			t.Errorf("learned (-want +got)\n%s", d)
		}
	})
	joined(t, func(c *effects.Config) { c.Waiting.Memory = 1 << 10 }, func(b *bench) {
		x := b.exchange()
		x.Legs[parallax.Primary].Request.Body.Bytes = make([]byte, 10)
		b.gather(x)
		const many = "? too many exchanges were waiting for their effects"
		b.want("a large one", x, many, many)
	})
	joined(t, func(c *effects.Config) { c.Log.Memory = 1 << 20 }, func(b *bench) {
		x, y := b.exchange(), b.exchange()
		b.primary.Commit(row("1", x.ID.String()))
		for n := range 40 {
			b.primary.Commit(row(strings.Repeat("x", 1<<15), parallax.ID{2, 15: byte(n)}.String()))
		}
		b.pass(5 * time.Second)
		b.gather(x)
		y.Received = time.Now()
		b.gather(y)
		b.pass(3 * time.Second)
		b.want("whose change was forgotten", x, "? old/shop was not read: more was committed than effects.log.memory holds", "*")
		b.want("a later one", y, "", "")
	})
}

func TestShadowsThatWriteAreTold(t *testing.T) {
	t.Parallel()
	joined(t, nil, func(b *bench) {
		x := b.traced(trace, b.exchange())
		x.Legs[parallax.Candidate].Request.Headers[0].Value = span
		b.primary.Commit(row("1", x.ID.String()+"/candidate")) // before the exchange is known
		b.primary.Commit(row("2", span))
		b.primary.Commit(row("3", trace))
		b.candidate.Commit(row("4", x.ID.String()))
		b.gather(x)
		b.primary.Commit(row("5", x.ID.String()+"/candidate"))
		b.primary.Commit(row("6", span))
		b.pass(3 * time.Second)
		b.want("its own", x, "3:trace", "4:tag")
		var got []string
		for _, w := range b.shadows {
			if w.Exchange != x.ID || w.By != parallax.Candidate || w.Table != "orders" {
				t.Errorf("a shadow's write is %+v", w)
			}
			got = append(got, w.In.String())
		}
		slices.Sort(got)
		if d := cmp.Diff([]string{"candidate", "primary", "primary", "primary", "primary"}, got); d != "" {
			t.Errorf("in the databases of (-want +got)\n%s", d)
		}
		live := b.exchange()
		live.Live = parallax.Candidate
		b.gather(live)
		b.candidate.Commit(row("7", live.ID.String()))
		b.primary.Commit(row("8", live.ID.String()+"/candidate"))
		if b.pass(3 * time.Second); len(b.shadows) != 5 {
			t.Errorf("what the live leg wrote is told: %+v", b.shadows[5:])
		}
	})
}

func TestAdjust(t *testing.T) {
	t.Parallel()
	joined(t, nil, func(b *bench) {
		x, y := b.exchange(), b.exchange()
		b.gather(x)
		c := effects.DefaultConfig()
		c.Settle, c.Waiting.Exchanges = 500*time.Millisecond, 2
		b.joiner.Adjust(c)
		b.primary.Commit(row("1", y.ID.String()))
		b.gather(y)
		z := b.exchange()
		b.gather(z)
		b.pass(600 * time.Millisecond)
		b.want("that came before", x, "-", "-")
		b.want("the next one", y, "1:tag", "")
		const many = "? too many exchanges were waiting for their effects"
		b.want("one too many", z, many, many)
	})
}

func TestNotCompared(t *testing.T) {
	t.Parallel()
	joined(t, nil, func(b *bench) {
		x := b.exchange()
		x.Legs[parallax.Candidate].Err.Kind = parallax.NotAsked
		b.gather(x)
		b.want("handed on at once", x, "", "")
		b.primary.Commit(row("1", x.ID.String()))
		b.pass(2 * time.Minute)
		if d := cmp.Diff([]string{"primary orders uncompared 1"}, b.counted()); d != "" {
			t.Errorf("counts (-want +got)\n%s", d)
		}
	})
}

func TestStopHandsOn(t *testing.T) {
	t.Parallel()
	var left *bench
	var x *parallax.Exchange
	joined(t, nil, func(b *bench) {
		left, x = b, b.exchange()
		b.gather(x)
	})
	const stopped = "? Parallax was stopped"
	left.want("what waited", x, stopped, stopped)
}

// TestBarriersAreMeasured has logs that are read soon, after the settle time, and not at
// all: each exchange's barrier is measured, and the long ones are not left out.
func TestBarriersAreMeasured(t *testing.T) {
	t.Parallel()
	joined(t, nil, func(b *bench) {
		measured := func(name string, count uint64, least, most time.Duration) {
			t.Helper()
			families, err := b.registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				if f.GetName() != "parallax_effects_barrier_seconds" {
					continue
				}
				h := f.GetMetric()[0].GetHistogram()
				if took := h.GetSampleSum(); h.GetSampleCount() != count || took < least.Seconds() || took > most.Seconds() {
					t.Errorf("%s: %d barriers of %g s together, want %d of %v to %v", name, h.GetSampleCount(), took, count, least, most)
				}
			}
		}
		soon := b.exchange()
		b.gather(soon)
		b.pass(3 * time.Second)
		b.want("soon", soon, "", "")
		measured("soon", 1, 0, 50*time.Millisecond)
		b.candidate.Stall(true)
		b.gather(b.exchange())
		b.pass(5 * time.Second)
		b.candidate.Stall(false)
		b.pass(time.Second)
		measured("after the settle time", 2, 5*time.Second, 5100*time.Millisecond)
		b.candidate.Stall(true)
		never := b.exchange()
		b.gather(never)
		b.pass(2 * time.Minute)
		b.want("never", never, "*", "? the log of new/shop was not read in time")
		measured("never", 3, 7*time.Second, time.Minute)
	})
}
