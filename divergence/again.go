package divergence

import (
	"context"

	"parallax"
	"parallax/compare"
)

// Asker asks both legs of a diverging safe exchange once more, or returns nil if
// they are not to be asked; see mirror.Mirror.AskAgain. The function it returns is
// called once and returns at once. From then on the exchange is in
// [parallax.InAgain], until it is back in [parallax.InWorker] and then is called with
// the answers.
type Asker func(x *parallax.Exchange, then func(second [parallax.Legs]*parallax.Call)) (ask func())

// seconds is what came of asking an exchange again. The zero value is that it was not.
type seconds struct {
	how    [2]compare.Steadiness // of the primary and the candidate
	status [2]uint16
	flaky  bool // the candidate changed its answer and the primary did not
}

// askAgain asks both legs of an exchange again, if it diverged with two complete answers
// and may be repeated. It reports whether it does; then the exchange is judged when they have
// answered. The queue keeps it until then.
func (w *Worker) askAgain(x *parallax.Exchange, c *compare.Comparison, t turn) bool {
	if w.cfg.Again == nil || !x.Safe || x.Covered || c.Outcome != compare.Diverged || !whole(x, parallax.Primary) || !whole(x, parallax.Candidate) {
		return false
	}
	ask := w.cfg.Again(x, func(second [parallax.Legs]*parallax.Call) {
		defer w.asked.Done()
		w.finishLater(x, turn{second: &second, gathered: true, repeated: t.repeated})
	})
	if ask == nil {
		return false
	}
	w.asked.Add(1)
	ask()
	return true
}

func whole(x *parallax.Exchange, leg parallax.Leg) bool {
	return x.Legs[leg] != nil && x.Legs[leg].Err.Kind == parallax.NoError
}

// finishLater takes an exchange that was waited for to the recorder.
func (w *Worker) finishLater(x *parallax.Exchange, t turn) {
	if w.finish(x, t) {
		return
	}
	if err := w.cfg.Source.Ack(context.Background(), x.ID); err != nil {
		w.cfg.Log.Warn("cannot acknowledge exchanges; they may come again", "error", err)
	}
}

// weigh says what second answers make of a comparison. Whether it is transient is
// decided by the primary's answers alone.
func (w *Worker) weigh(x *parallax.Exchange, c compare.Comparison, second *[parallax.Legs]*parallax.Call, in compare.Input) (compare.Comparison, seconds) {
	var s seconds
	for i := range s.how {
		s.how[i] = compare.Again(x, parallax.Leg(i), second[i], in)
		if second[i] != nil {
			s.status[i] = uint16(second[i].Response.Status)
		}
	}
	if compare.Transient(x, c, second[parallax.Primary], s.how[parallax.Primary], in) {
		c = c.AsTransient()
	}
	s.flaky = c.Outcome == compare.Diverged && s.how[parallax.Primary] == compare.Steady && s.how[parallax.Candidate] == compare.Unsteady
	w.cfg.Recorder.metrics.askedAgain(x.Service, s, c.Reason == compare.ReasonTransient)
	return c, s
}
