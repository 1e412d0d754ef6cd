package divergence

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parallax"
	"parallax/compare"
	"parallax/internal/ids"
)

// wrote returns an effect that inserts an order.
func wrote(id, total, password string) parallax.Effect {
	key := parallax.Column{Name: "id", Type: parallax.NumberColumn, Value: &id, Made: true}
	return parallax.Effect{
		Table: "orders", Op: parallax.Insert, Key: []parallax.Column{key}, Correlation: parallax.ByTag, At: noon.UTC(), Position: 7,
		After: []parallax.Column{key, {Name: "total", Type: parallax.NumberColumn, Value: &total}, {Name: "password", Value: &password}, {Name: "note"}},
	}
}

// TestEffectsAreComparedAndKept takes exchanges through a worker that waits for their
// effects, and reads them back: what a later one refers to by what the database made up
// before is known, secrets are tokens, and what is not known is no match.
func TestEffectsAreComparedAndKept(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.rig
	q := &listSource{failed: true}
	known := ids.NewMemory(ids.DefaultLimits, time.Now, nil)
	judge := s.judge
	judge.Effects = &Effects{Map: known, Missed: func() bool { return false }}
	did := map[parallax.ID][2][]parallax.Effect{}
	var unread parallax.ID
	gather := func(x *parallax.Exchange, then func(*parallax.Exchange)) func() {
		return func() {
			if n := r.ledger.InFlight("", parallax.InEffects); n != 1 {
				t.Errorf("%d exchanges wait for their effects, want 1", n)
			}
			out := *x
			for leg := range 2 {
				call := *x.Legs[leg]
				call.Effects = did[x.ID][leg]
				if x.ID == unread && leg == 1 {
					call.Unread = "the log was not read"
				}
				out.Legs[leg] = &call
			}
			if _, learn := judge.Effects.Learning(&out); learn != nil {
				if err := learn(); err != nil {
					t.Error(err)
				}
			}
			then(&out)
		}
	}
	w := NewWorker(WorkerConfig{Source: q, Recorder: r.Recorder, Ledger: r.ledger, Log: quiet, Goroutines: 1, Gather: gather,
		Judge: func(string) *Judge { return judge }})
	line := func(id, order, product string) parallax.Effect {
		e := wrote(id, "1", "x")
		e.Table = "items"
		e.After[1] = parallax.Column{Name: "order_id", Type: parallax.NumberColumn, Value: &order, Made: true, Ref: "orders.id"}
		return e
	}
	for n, effects := range [][2][]parallax.Effect{
		{{wrote("17", "10", "s3cret-of-old")}, {wrote("9017", "10.00", "s3cret-of-old")}}, // numbers of their own
		{{line("1", "17", "")}, {line("5", "9017", "")}},                                  // of the first
		{{line("2", "17", "")}, {line("6", "9018", "")}},                                  // of another
		{{wrote("18", "10", "x")}, {wrote("9018", "11", "x")}},
		{{wrote("19", "10", "x")}, {wrote("9019", "10", "x")}},
	} {
		x := pair(n+1, "POST /orders", 201, 201)
		x.Legs[1].Response.Body = x.Legs[0].Response.Body
		did[x.ID] = effects
		if n == 4 {
			unread = x.ID
		}
		q.list = append(q.list, x)
		r.ledger.Enter(x.Stamp())
		r.ledger.Move(x.Stamp(), parallax.InLive, parallax.InQueue)
	}
	if err := w.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.flush(t)
	f := func(n int, want ...string) ExchangeDetail {
		t.Helper()
		d, err := s.store.Exchange(t.Context(), "shop", testID(n))
		if err != nil {
			t.Fatal(err)
		}
		got := []string{d.Outcome + d.Reason}
		for _, l := range d.Differences {
			if l.By == "" {
				got = append(got, l.Path+" "+l.Primary+" "+l.Candidate)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("exchange %d (-want +got)\n%s", n, diff)
		}
		return d
	}
	first := f(1, "match")
	f(2, "match")
	f(3, "diverged", "effects:items[0] $.order_id 17 9018")
	f(4, "diverged", "effects:orders[0] $.total 10 11")
	total := []compare.Rule{{Path: "effects:orders $.total", Ignore: true, Reason: "r", Owner: "o"}}
	if dry, err := s.DryRun(t.Context(), "shop", total, PairFilter{}); err != nil || dry.Vanish != 1 || dry.Diverged.Before != 2 || dry.Diverged.After != 1 {
		t.Errorf("dry run: %v %+v", err, dry)
	}
	blind, err := s.BlindSpots(t.Context(), "shop", total, PairFilter{})
	if err != nil || len(blind.Endpoints) != 1 {
		t.Fatalf("blind spots: %v %+v", err, blind)
	}
	e := blind.Endpoints[0]
	if of := e.Flaws[compare.RowValueChanged]; of.N == 0 || of.Caught != 0 || e.Flaws[compare.RowMissing].Share != 1 || e.Flaws[compare.RowTwice].Share != 1 || e.Flaws[compare.RowWrongReference].Share != 1 {
		t.Errorf("blind spots: %+v", e)
	}
	if h := e.Hidden; len(h) != 1 || h[0].Detail != "rules[0] effects:orders $.total: r (o)" || h[0].Path != "effects:orders[0] $.total" {
		t.Errorf("hidden: %+v", h)
	}
	last := f(5, "not_comparableeffects_unknown")
	if diff := cmp.Diff(map[string]string{"candidate": "the log was not read"}, last.Unread); diff != "" {
		t.Errorf("unread (-want +got)\n%s", diff)
	}
	if first.Exchange == nil || len(first.Effects) != 2 {
		t.Fatalf("the first has %+v", first)
	}
	want := did[testID(1)][0]
	token := *first.Exchange.Legs[0].Effects[0].After[2].Value
	if token == "s3cret-of-old" || token != *first.Exchange.Legs[1].Effects[0].After[2].Value {
		t.Errorf("the password is stored as %q and %q", token, *first.Exchange.Legs[1].Effects[0].After[2].Value)
	}
	want[0].After[2].Value = &token
	if diff := cmp.Diff(want, first.Exchange.Legs[0].Effects, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("effects (-want +got)\n%s", diff)
	}
	if l := first.Effects[1]; l.Leg != "candidate" || l.Table != "orders" || l.Op != "insert" || *l.Key[0].Value != "9017" || l.Correlation != "tag" || l.Late {
		t.Errorf("the line is %+v", l)
	}
	judged, err := s.Rejudge(t.Context(), "shop", nil, PairFilter{})
	if err != nil || judged.Changed != 0 || judged.Pairs.Looked != 5 {
		t.Errorf("judged again: %+v, %v", judged, err)
	}
}

func TestNotesOfEffects(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.rig
	x := pair(1, "POST /orders", 201, 201)
	r.record(x, compare.Comparison{}, true)
	late := wrote("17", "10", "x")
	late.Late = true
	r.NoteLate(LateEffects{x.ID, x.Stamp(), parallax.Candidate, []parallax.Effect{late}})
	r.NoteEffects([]EffectCount{{noon, "shop", "primary", "orders", "tag", 3}, {noon, "other", "primary", "orders", "tag", 9}},
		[]EffectGap{{"shop", "primary", "old/shop", noon, time.Time{}, "away"}})
	s.flush(t)
	r.NoteEffects([]EffectCount{{noon, "shop", "primary", "orders", "tag", 2}, {noon, "shop", "candidate", "orders", "unattributed", 1}},
		[]EffectGap{{"shop", "primary", "old/shop", noon, noon.Add(time.Second), "away"}})
	s.flush(t)
	got, err := s.store.Effects(t.Context(), "shop", Window{})
	want := EffectsSummary{
		Counts: []EffectCount{{Leg: "candidate", Table: "orders", Count: "unattributed", N: 1}, {Leg: "primary", Table: "orders", Count: "tag", N: 5}},
		Gaps:   []EffectGap{{Leg: "primary", Database: "old/shop", From: noon.UTC(), Until: noon.Add(time.Second).UTC(), Why: "away"}},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	d, err := s.store.Exchange(t.Context(), "shop", x.ID)
	if err != nil || len(d.Effects) != 1 || !d.Effects[0].Late || d.Effects[0].Leg != "candidate" {
		t.Errorf("%+v, %v", d.Effects, err)
	}
}
