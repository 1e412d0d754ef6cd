package divergence

import (
	"context"

	"parallax"
	"parallax/compare"
	"parallax/internal/ids"
)

// Gatherer waits for what the legs of an exchange did to their databases, or returns nil if
// nobody reads those. The function it returns is called once and returns at once. From
// then on the exchange is in [parallax.InEffects], until then is called, from any
// goroutine, with a copy that has the effects, or says why they are not known.
type Gatherer func(x *parallax.Exchange, then func(x *parallax.Exchange)) (gather func())

// gather makes an exchange wait for its effects, if somebody reads them, and reports
// whether it does. The queue keeps it until then.
func (w *Worker) gather(x *parallax.Exchange, repeated bool) bool {
	if w.cfg.Gather == nil {
		return false
	}
	gather := w.cfg.Gather(x, func(x *parallax.Exchange) {
		defer w.asked.Done()
		w.cfg.Ledger.Move(x.Stamp(), parallax.InEffects, parallax.InWorker)
		w.finishLater(x, turn{gathered: true, repeated: repeated})
	})
	if gather == nil {
		return false
	}
	w.asked.Add(1)
	w.cfg.Ledger.Move(x.Stamp(), parallax.InWorker, parallax.InEffects)
	gather()
	return true
}

// ungathered returns an exchange that did not wait for its effects although they are
// compared: the configuration has just changed, and nobody knows them.
func ungathered(x *parallax.Exchange) *parallax.Exchange {
	out := *x
	for leg, call := range x.Legs {
		if call != nil {
			unread := *call
			unread.Unread = "its databases were not read yet"
			out.Legs[leg] = &unread
		}
	}
	return &out
}

// Effects is what a judge knows of the databases of a service.
type Effects struct {
	Tables *compare.EffectTables
	Map    ids.Map     // where the values that databases make up are kept, with their partners
	Drift  *Drift      // which rows differ already; nil: each exchange is judged by itself
	Missed func() bool // reports whether values may have been made up that nobody read
}

// Version names what effects are compared by, "" where they are not.
func (e *Effects) Version() string {
	if e == nil {
		return ""
	}
	return "effects-" + e.Tables.Version()
}

// of returns what the effects of an exchange are compared by; nil where there is nothing to
// be known of them.
func (e *Effects) of(x *parallax.Exchange) *compare.Effects {
	if e == nil {
		return nil
	}
	out := &compare.Effects{Tables: e.Tables, Rows: e.Tables.Rows(x), Gap: e.Missed(), Before: e.Drift.before(x), Key: e.Drift.nameKey()}
	e.look(out)
	return out
}

// look asks what is known of the values in an exchange's rows.
func (e *Effects) look(to *compare.Effects) {
	refs := to.Rows.Refs()
	if len(refs) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	view, truncated, err := ids.Look(ctx, e.Map, refs)
	// Where not all could be asked for, a value without a partner may have one.
	to.View, to.Gap = view, to.Gap || truncated || err != nil
}

// Learning returns which values in an exchange's rows its databases may have made up earlier,
// and what notes, for the exchanges after it, which of those that they made up with it belong
// together. That is to be called once the pairs of the needs are known: the rows cannot be
// told apart before. Nil where there is nothing to be learnt.
func (e *Effects) Learning(x *parallax.Exchange) (needs []ids.Ref, learn func() error) {
	p, c := x.Legs[parallax.Primary], x.Legs[parallax.Candidate]
	if p == nil || c == nil || len(p.Effects)+len(c.Effects) == 0 || p.Unread != "" || c.Unread != "" {
		return nil, nil
	}
	by := &compare.Effects{Tables: e.Tables, Rows: e.Tables.Rows(x)}
	return by.Rows.Needs(), func() error {
		e.look(by)
		facts := by.Born(x)
		if len(facts) == 0 {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), lookTime)
		defer cancel()
		return e.Map.Learn(ctx, facts...)
	}
}

// Lose notes values that databases made up and whose partners nobody will learn: an exchange that
// names one of them is not comparable where the other leg names something else.
func (e *Effects) Lose(refs []ids.Ref) error {
	facts := make([]ids.Fact, len(refs))
	for i, ref := range refs {
		facts[i] = ids.Fact{Ref: ref, To: parallax.Candidate - ref.Leg, State: ids.Failed}
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	return e.Map.Learn(ctx, facts...)
}

// stored returns what the effects of a stored exchange are compared by.
func (e *Effects) stored(known []ids.Known) *compare.Effects {
	if e == nil {
		return nil
	}
	return &compare.Effects{Tables: e.Tables, View: ids.NewView(known), Gap: true}
}

// pairsIn lists all that was known of identifiers and of what databases make up.
func pairsIn(in compare.Input) (known []ids.Known) {
	if in.IDs != nil {
		known = in.IDs.View.Known()
	}
	if in.Effects != nil {
		known = append(known, in.Effects.View.Known()...)
	}
	return known
}

// foundByKey reports whether an effect was found by its key alone.
func foundByKey(x *parallax.Exchange) bool {
	for _, call := range x.Legs {
		if call == nil {
			continue
		}
		for i := range call.Effects {
			if call.Effects[i].Correlation == parallax.ByKey {
				return true
			}
		}
	}
	return false
}
