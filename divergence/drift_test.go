package divergence

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/compare"
)

// past is the exchanges of a test, one a minute.
type past struct {
	t   *testing.T
	now time.Time
	n   byte
	e   *Effects
}

func newPast(t *testing.T) *past {
	p := &past{t: t, now: time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)}
	p.e = p.restarted()
	return p
}

// restarted is a service that remembers nothing.
func (p *past) restarted() *Effects {
	return &Effects{Drift: NewDrift(func() time.Time { return p.now }, []byte("key")), Missed: func() bool { return false }}
}

// legDid is what a leg did to orders: each is "op id=7 total=1 status=new", and may go on
// with what was known of the row before: "| total=2".
func legDid(did ...string) *parallax.Call {
	c := &parallax.Call{Response: parallax.Response{Status: 200}, Done: time.Second}
	columns := func(words []string) (out []parallax.Column) {
		for _, word := range words {
			name, value, _ := strings.Cut(word, "=")
			kind := parallax.TextColumn
			if name == "meta" {
				kind = parallax.JSONColumn
			}
			out = append(out, parallax.Column{Name: name, Type: kind, Value: &value})
		}
		return out
	}
	for _, each := range did {
		now, was, _ := strings.Cut(each, " |")
		words := strings.Fields(now)
		e := parallax.Effect{Table: "orders", Op: parallax.Op(words[0]), Key: columns(words[1:2]), Before: columns(strings.Fields(was))}
		if e.Op != parallax.Delete {
			e.After = columns(words[1:])
		}
		c.Effects = append(c.Effects, e)
	}
	return c
}

// did returns the next exchange.
func (p *past) did(primary, candidate *parallax.Call) *parallax.Exchange {
	p.n++
	p.now = p.now.Add(time.Minute)
	return &parallax.Exchange{ID: parallax.ID{p.n}, Endpoint: "PUT /orders/{id}", Received: p.now, Legs: [parallax.Legs]*parallax.Call{primary, candidate}}
}

// compared compares an exchange and returns where it differs: what counts, and what is
// inherited with the number of the exchange that it comes from.
func (p *past) compared(x *parallax.Exchange) (c compare.Comparison, found string) {
	c = compare.Compare(x, compare.Input{Effects: p.e.of(x)})
	p.e.note(x, &c)
	var places []string
	for _, d := range c.Differences {
		place := strings.TrimPrefix(d.Normal, "effects:orders") + " " + string(d.Kind)
		if d.Suppressed.By == "inherited" {
			for n := range p.n {
				if strings.HasSuffix(d.Suppressed.Detail, parallax.ID{n + 1}.String()) {
					place += " from " + string('0'+n+1)
				}
			}
		}
		places = append(places, strings.TrimSpace(place))
	}
	return c, strings.Join(places, ", ")
}

// f says what the next exchange shows.
func (p *past) f(what string, primary, candidate *parallax.Call, want string) {
	p.t.Helper()
	c, got := p.compared(p.did(primary, candidate))
	outcome, reason := compare.Match, ""
	for place := range strings.SplitSeq(want, ", ") {
		switch {
		case place == "":
		case !strings.Contains(place, " from "):
			outcome, reason = compare.Diverged, ""
		case outcome == compare.Match:
			outcome, reason = compare.NotComparable, compare.ReasonInherited
		}
	}
	if got != want || c.Outcome != outcome || c.Reason != reason {
		p.t.Errorf("%s: %q, %s %s; want %q", what, got, c.Outcome, c.Reason, want)
	}
}

func TestDriftOfColumns(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	p.f("1: the same", legDid("update id=7 total=1 status=new"), legDid("update id=7 total=1 status=new"), "")
	p.f("2: the first difference", legDid("update id=7 total=1 status=new"), legDid("update id=7 total=2 status=new"), "$.total changed")
	p.f("3: the next there", legDid("update id=7 total=5 status=new"), legDid("update id=7 total=6 status=new"), "$.total changed from 2")
	p.f("4: another column", legDid("update id=7 total=5 status=new"), legDid("update id=7 total=6 status=old"), "$.status changed, $.total changed from 2")
	p.f("5: both again", legDid("update id=7 total=5 status=new"), legDid("update id=7 total=6 status=old"), "$.status changed from 4, $.total changed from 2")
	p.f("6: another row", legDid("update id=8 total=5 status=new"), legDid("update id=8 total=6 status=new"), "$.total changed")
	p.f("7: one is mended", legDid("update id=7 total=5 status=new"), legDid("update id=7 total=5 status=old"), "$.status changed from 4")
	p.f("8: and differs anew", legDid("update id=7 total=5 status=new"), legDid("update id=7 total=6 status=old"), "$.status changed from 4, $.total changed")

	again, _ := p.compared(&parallax.Exchange{ID: parallax.ID{2}, Received: p.now, Legs: [parallax.Legs]*parallax.Call{legDid("update id=9 total=1"), legDid("update id=9 total=2")}})
	if again.Outcome != compare.Diverged {
		t.Errorf("an exchange inherits from itself: %+v", again)
	}
	p.f("another row in its place", legDid("update id=7 total=5 status=new"), legDid("update id=9 total=6 status=old"), "$.id changed, $.status changed, $.total changed")
	p.f("both are gone", legDid("delete id=7"), legDid("delete id=7"), "")
	p.f("and made again", legDid("insert id=7 total=1 status=new"), legDid("insert id=7 total=2 status=new"), "$.total changed")
}

func TestDriftOfDocuments(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	p.f("1: within", legDid(`update id=7 meta={"a":{"n":1},"b":1}`), legDid(`update id=7 meta={"a":{"n":2},"b":1}`), "$.meta.a.n changed")
	p.f("2: there, and beside it", legDid(`update id=7 meta={"a":{"n":1},"b":1}`), legDid(`update id=7 meta={"a":{"n":2},"b":2}`), "$.meta.a.n changed from 1, $.meta.b changed")
	p.f("3: around it", legDid(`update id=7 meta={"a":{"n":1},"b":1}`), legDid(`update id=7 meta={"b":1}`), "$.meta.a missing")
}

// A write that the candidate lost is what differs from then on, and nothing else is.
func TestDriftOfLostUpdates(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]string{"by the log": " | total=1 status=new", "by what was written last": ""} {
		p := newPast(t)
		p.f(name+" 1: a row", legDid("insert id=7 total=1 status=new"), legDid("insert id=7 total=1 status=new"), "")
		p.f(name+" 2: lost", legDid("update id=7 total=1 status=paid"+before), legDid(), "missing")
		p.f(name+" 3: what it left", legDid("update id=7 total=5 status=paid"), legDid("update id=7 total=5 status=new"), "$.status changed from 2")
		p.f(name+" 4: a fault elsewhere", legDid("update id=7 total=5 status=paid"), legDid("update id=7 total=6 status=new"), "$.status changed from 2, $.total changed")
		p.f(name+" 5: caught up", legDid("update id=7 total=5 status=sent"), legDid("update id=7 total=6 status=sent"), "$.total changed from 4")
		p.f(name+" 6: lost once more", legDid("update id=7 total=5 status=back"), legDid(), "missing")
		p.f(name+" 7: there it is known to differ", legDid("update id=7 total=5 status=gone"), legDid(), "missing from 6")
	}
	p := newPast(t)
	p.f("nobody knows what changed", legDid("update id=7 total=1 status=paid"), legDid(), "missing")
	p.f("so it counts", legDid("update id=7 total=1 status=paid"), legDid("update id=7 total=1 status=new"), "$.status changed")
	p.f("once", legDid("update id=7 total=1 status=paid"), legDid("update id=7 total=1 status=new"), "$.status changed from 2")

	p = newPast(t)
	p.f("1: differs", legDid("update id=7 total=1"), legDid("update id=7 total=2"), "$.total changed")
	p.f("both logs say it was equal", legDid("update id=7 total=1 | total=3"), legDid("update id=7 total=2 | total=3"), "$.total changed")

	p = newPast(t)
	early := p.did(legDid("insert id=7 total=1"), legDid("insert id=7 total=1"))
	early.Legs[parallax.Candidate].Done = time.Hour
	p.compared(early)
	p.f("lost while it ran", legDid("update id=7 total=2"), legDid(), "missing")
	p.f("counts, for who knows in which order they came", legDid("update id=7 total=2"), legDid("update id=7 total=1"), "$.total changed")
}

func TestDriftOfRows(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	p.f("1: only the primary makes a row", legDid("insert id=7 total=1"), legDid(), "missing")
	p.f("2: and changes it", legDid("update id=7 total=2"), legDid(), "missing from 1")
	p.f("3: and the candidate makes it", legDid("update id=7 total=2"), legDid("insert id=7 total=3"), "type from 1")
	p.f("4: it has both now", legDid("update id=7 total=2"), legDid("update id=7 total=3"), "$.total changed")
	p.f("5: the candidate deletes it", legDid(), legDid("delete id=7"), "extra")
	p.f("6: so it cannot change it", legDid("update id=7 total=2"), legDid(), "missing from 5")
	p.f("7: and nobody has it", legDid("delete id=7"), legDid(), "missing from 5")
	p.f("8: it is made anew", legDid("insert id=7 total=1"), legDid(), "missing")
	p.f("9: twice only by what we do not know", legDid("insert id=7 total=1"), legDid(), "missing")

	p = newPast(t)
	p.f("one updates what the other deletes", legDid("update id=7 total=1"), legDid("delete id=7"), "type")
	p.f("so only one has it", legDid("update id=7 total=2"), legDid(), "missing from 1")
	if n := p.e.Drift.Rows(); n != 1 {
		t.Errorf("%d rows differ", n)
	}
}

// What whole tables show holds for what comes later, and takes away what is equal again.
func TestDriftByWholeTables(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	key := func(id string) []parallax.Column { return []parallax.Column{{Name: "id", Value: &id}} }
	p.f("1: differs", legDid("update id=1 total=1"), legDid("update id=1 total=2"), "$.total changed")
	early := p.did(legDid("update id=7 total=1"), legDid("update id=7 total=2"))
	p.now = p.now.Add(time.Minute)
	p.e.Drift.Tables(p.now, p.now, []TableFound{{Table: "orders", All: true, Rows: []RowFound{{Key: key("7"), Place: "$.total"}, {Key: key("8"), Only: parallax.Candidate}}}})
	if c, _ := p.compared(early); c.Outcome != compare.Diverged {
		t.Errorf("what tables show of an exchange excuses it: %+v", c)
	}
	p.f("3: equal in the table", legDid("update id=1 total=1"), legDid("update id=1 total=2"), "$.total changed")
	c, _ := p.compared(p.did(legDid("update id=7 total=1"), legDid("update id=7 total=2")))
	if c.Outcome != compare.NotComparable || !strings.Contains(c.Differences[0].Suppressed.Detail, "whole tables") {
		t.Errorf("a column that tables show: %+v", c)
	}
	if c, _ = p.compared(p.did(legDid(), legDid("update id=8 total=2"))); c.Reason != compare.ReasonInherited {
		t.Errorf("a row that tables show: %+v", c)
	}
	p.now = p.now.Add(time.Minute)
	p.e.Drift.Tables(p.now, p.now, []TableFound{{Table: "items", All: true}, {Table: "orders", Rows: nil}})
	if n := p.e.Drift.Rows(); n != 3 {
		t.Errorf("%d rows differ after a comparison that was not whole", n)
	}
	p.e.Drift.Tables(p.now, p.now, []TableFound{{Table: "orders", All: true}})
	if n := p.e.Drift.Rows(); n != 0 {
		t.Errorf("%d rows differ after none did", n)
	}
}

// What an exchange left behind that could not be judged is not counted when it shows.
func TestDriftOfWhatIsNotJudged(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	none := legDid()
	none.Response, none.Err.Kind = parallax.Response{}, parallax.Reset
	c, _ := p.compared(p.did(legDid("insert id=7 total=1"), none))
	if c.Outcome != compare.Diverged || c.Divergences != 1 {
		t.Errorf("no answer: %+v", c)
	}
	p.f("2: it has no row", legDid("update id=7 total=2"), legDid(), "missing from 1")
	for n, lag := range []string{"tainted", "behind"} {
		x := p.did(legDid("update id=8 total=1"), legDid("update id=8 total=2"))
		if x.Lag = lag; n == 1 {
			x = p.did(legDid("update id=9 total=1"), legDid("update id=9 total=2"))
			x.Lag = lag
		}
		if c, _ = p.compared(x); c.Reason != compare.ReasonLag {
			t.Errorf("%s: %+v", lag, c)
		}
	}
	p.f("a row of what is tainted", legDid("update id=8 total=1"), legDid("update id=8 total=2"), "$.total changed from 3")
	p.f("a row that was to be caught up", legDid("update id=9 total=1"), legDid("update id=9 total=2"), "$.total changed")
	late := legDid("insert id=7 total=1")
	late.Effects[0].Late = true
	p.e.Late(parallax.Candidate, late.Effects)
	p.f("it came late", legDid("update id=7 total=2"), legDid(), "missing")
}

func TestDriftRollsUp(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	first, _ := p.compared(p.did(legDid("insert id=7 total=1"), legDid()))
	p.n++
	next, _ := p.compared(p.did(legDid("update id=7 total=2"), legDid()))
	if a, b := first.Differences[0], next.Differences[0]; a.Fingerprint != b.Fingerprint || next.Inherited != 1 || next.Divergences != 0 {
		t.Errorf("%+v is not of the issue of %+v", b, a)
	}
}

func TestDriftIsForgotten(t *testing.T) {
	t.Parallel()
	p := newPast(t)
	p.f("1", legDid("update id=7 total=1"), legDid("update id=7 total=2"), "$.total changed")
	p.f("2", legDid("update id=8 total=1"), legDid("update id=8 total=2"), "$.total changed")
	p.now = p.now.Add(driftFor - 2*time.Minute)
	p.f("3", legDid("update id=8 total=1"), legDid("update id=8 total=2"), "$.total changed from 2")
	p.now = p.now.Add(time.Minute)
	if n := p.e.Drift.Rows(); n != 1 {
		t.Errorf("%d rows are left of which one was touched", n)
	}
	p.f("long ago", legDid("update id=7 total=1"), legDid("update id=7 total=2"), "$.total changed")
}

func TestDriftIsBounded(t *testing.T) {
	t.Parallel()
	e := &Effects{Drift: NewDrift(time.Now, nil)}
	for i := range maxDrifted + 10 {
		c := compare.RowChange{Entity: compare.Entity{byte(i), byte(i >> 8), byte(i >> 16)}, Differ: map[string]compare.Mark{"$.a": {}}, Images: [2]compare.Image{{"a": 1}}}
		e.note(&parallax.Exchange{}, &compare.Comparison{Rows: []compare.RowChange{c}})
	}
	d := e.Drift
	if n := d.Rows(); n != maxDrifted || d.age.Len() != n || d.marks != n {
		t.Errorf("%d rows are remembered, %d, %d places", n, d.age.Len(), d.marks)
	}
	if len(d.images) != maxImages || d.seen.Len() != maxImages {
		t.Errorf("of %d rows is known what was written", len(d.images))
	}
	if _, ok := d.rows[compare.Entity{}]; ok {
		t.Error("the oldest one is still there")
	}
	long := compare.RowChange{Entity: compare.Entity{1}, Differ: map[string]compare.Mark{"$." + strings.Repeat("a", maxMarkBytes): {}}}
	before := d.marks
	if e.note(&parallax.Exchange{}, &compare.Comparison{Rows: []compare.RowChange{long}}); d.marks != before {
		t.Error("a long name is remembered")
	}
	if len(d.unsaved.places) > maxUnsaved {
		t.Errorf("%d places wait for the store", len(d.unsaved.places))
	}
}

// saved returns what differs by what is stored.
func (p *past) saved(s *Store) []string {
	p.t.Helper()
	d := NewDrift(func() time.Time { return p.now }, []byte("key"))
	if err := d.Load(p.t.Context(), s, "shop"); err != nil {
		p.t.Fatal(err)
	}
	var out []string
	for _, at := range d.rows {
		row := at.Value.(*drifted)
		for _, path := range slices.Sorted(maps.Keys(row.marks)) {
			out = append(out, row.table+" "+path+" "+row.marks[path].Since.String()[:2])
		}
	}
	slices.Sort(out)
	return out
}

func TestDriftIsStored(t *testing.T) {
	t.Parallel()
	p, s := newPast(t), openShared(t)
	batch := uint64(0)
	write := func() {
		t.Helper()
		if err := p.e.Drift.Load(t.Context(), s, "shop"); err != nil {
			t.Fatal(err)
		}
		batch++
		b := &batchOfDrift{p.e.Drift.take("shop", 1000)}
		if err := s.writeDrift(t.Context(), b.batch(batch)); err != nil {
			t.Fatal(err)
		}
	}
	p.f("1", legDid("insert id=7 total=1"), legDid(), "missing")
	p.f("2", legDid("update id=8 total=1 status=a"), legDid("update id=8 total=2 status=b"), "$.status changed, $.total changed")
	p.f("3", legDid(`update id=9 meta={"a":1}`), legDid(`update id=9 meta={"a":2}`), "$.meta.a changed")
	write()
	if d := cmp.Diff([]string{"orders  01", "orders $.status 02", "orders $.total 02"}, p.saved(s)); d != "" {
		t.Errorf("stored (-want +got)\n%s", d)
	}
	p.e = p.restarted()
	p.f("4: before the store is there", legDid("update id=8 total=1 status=a"), legDid("update id=8 total=1 status=b"), "$.status changed")
	write()
	p.f("5: what was known", legDid("update id=7 total=1"), legDid(), "missing from 1")
	p.f("6: what was forgotten", legDid("update id=8 total=1 status=a"), legDid("update id=8 total=2 status=a"), "$.total changed")
	p.f("7: nobody has it", legDid("delete id=7"), legDid(), "missing from 1")
	write()
	if d := cmp.Diff([]string{"orders $.total 06"}, p.saved(s)); d != "" {
		t.Errorf("stored (-want +got)\n%s", d)
	}
	p.f("8", legDid("update id=9 total=1"), legDid("update id=9 total=2"), "$.total changed")
	p.e.Drift.unsaved.places, p.e.Drift.unsaved.anew = nil, true
	p.f("9: mended", legDid("update id=8 total=1"), legDid("update id=8 total=1"), "")
	p.e.Drift.unsaved.places = nil
	write()
	if d := cmp.Diff([]string{"orders $.total 08"}, p.saved(s)); d != "" {
		t.Errorf("written anew (-want +got)\n%s", d)
	}
}

type batchOfDrift struct{ marks []driftMark }

func (b *batchOfDrift) batch(seq uint64) *batch {
	return &batch{instance: "test", seq: seq, notes: effectNotes{drift: b.marks}}
}
