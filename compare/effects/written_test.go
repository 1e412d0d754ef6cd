package effects_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/compare/effects"
)

// TestWhatTheCandidateWritesAsTheLiveLeg is listed, whether its exchange is known before or
// after the commit, compared or answered by the candidate alone; nothing else is.
func TestWhatTheCandidateWritesAsTheLiveLeg(t *testing.T) {
	t.Parallel()
	all := func(c *effects.Config) { c.Correlate = []string{"tag", "trace", "column:request_id"} }
	joined(t, all, func(b *bench) {
		live := func(x *parallax.Exchange) *parallax.Exchange {
			x.Live = parallax.Candidate
			return x
		}
		aloneAs := func(x *parallax.Exchange) *parallax.Exchange {
			x.Legs[parallax.Primary] = nil
			return live(x)
		}
		before, after, traced := aloneAs(b.exchange()), aloneAs(b.exchange()), aloneAs(b.traced(trace, b.exchange()))
		both, primary := live(b.exchange()), b.exchange()
		b.primary.Commit(row("1", before.ID.String())) // of a database that both share
		for _, x := range []*parallax.Exchange{before, after, traced} {
			b.joiner.Lived(x)
		}
		b.gather(both, primary)
		b.pass(time.Millisecond)
		b.candidate.Commit(rowOf("2", after.ID.String()))
		b.primary.Commit(row("3", trace))
		b.primary.Commit(row("4", after.ID.String()+"/primary")) // says that another wrote it
		b.candidate.Commit(row("5", both.ID.String()))
		b.primary.Commit(row("6", both.ID.String())) // the shadow's
		b.primary.Commit(row("7", primary.ID.String()))
		b.candidate.Commit(row("8", primary.ID.String()))
		b.primary.Commit(row("9"))
		b.pass(3 * time.Second)
		b.want("an exchange that is compared", both, "6:tag", "5:tag")

		var got []string
		for _, w := range b.wrote {
			got = append(got, fmt.Sprintf("%x in the %s: %s", w.Exchange[15], w.In, shown(w.Effects)))
			if w.Stamp.Endpoint != "POST /orders" {
				t.Errorf("the stamp is %+v", w.Stamp)
			}
		}
		want := []string{"1 in the primary: 1:tag", "2 in the candidate: 2:column", "3 in the primary: 3:trace", "4 in the candidate: 5:tag"}
		slices.Sort(got)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("written (-want +got)\n%s", d)
		}
		if got := b.counted(); !slices.Contains(got, "primary orders alone 2") || !slices.Contains(got, "candidate orders alone 1") {
			t.Errorf("counted: %q", got)
		}
	})
}

// TestWrittenIsBounded commits more than there is room for while nobody takes it: it is
// counted, and what waits is told once somebody does.
func TestWrittenIsBounded(t *testing.T) {
	t.Parallel()
	joined(t, nil, func(b *bench) {
		x := b.exchange()
		x.Live, x.Legs[parallax.Primary] = parallax.Candidate, nil
		b.joiner.Lived(x)
		b.pass(time.Millisecond)
		b.hold = make(chan struct{}) // whoever is told waits
		const many = 6_000
		for i := range many {
			b.candidate.Commit(row(fmt.Sprint(i), x.ID.String()))
		}
		b.pass(time.Second)
		close(b.hold)
		b.pass(time.Second)
		unlisted := 0
		for _, line := range b.counted() {
			var n int
			if _, err := fmt.Sscanf(line, "candidate orders unlisted %d", &n); err == nil {
				unlisted += n
			}
		}
		if len(b.wrote) > 4_200 || len(b.wrote)+unlisted != many || unlisted == 0 {
			t.Errorf("%d listed and %d not, of %d", len(b.wrote), unlisted, many)
		}
	})
}
