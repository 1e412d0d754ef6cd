package effects

import (
	"context"
	"sync/atomic"

	"parallax"
)

// Written is what the candidate committed for a caller, as the live leg: after a way back
// somebody has to look at it.
type Written struct {
	Exchange parallax.ID
	Stamp    parallax.Stamp
	In       parallax.Leg // whose database it is
	Effects  []parallax.Effect
}

// Bounds of what waits between the readers and [JoinerConfig.Written].
const (
	maxLived        = 4_096    // exchanges; of one more it is not known what it wrote
	maxWritten      = 4_096    // transactions
	maxWrittenBytes = 32 << 20 // of them; what is more is counted as unlisted
)

// living is what the candidate did as the live leg, on its way to who keeps it.
type living struct {
	came  chan *parallax.Exchange
	wrote chan writtenBytes
	unmet atomic.Uint64 // exchanges that there was no room for, since they were counted
	bytes int64         // in wrote; guarded by the joiner's lock
}

type writtenBytes struct {
	Written
	bytes int64
}

func newLiving() *living {
	return &living{came: make(chan *parallax.Exchange, maxLived), wrote: make(chan writtenBytes, maxWritten)}
}

// Lived notes an exchange that the candidate alone has answered, and that is not gathered:
// what it commits is told to [JoinerConfig.Written]. It returns at once. Where there is no
// room for it, an unlisted change is counted.
func (j *Joiner) Lived(x *parallax.Exchange) {
	select {
	case j.living.came <- x:
	default:
		j.living.unmet.Add(1)
	}
}

// live looks after what the candidate did as the live leg, until ctx ends.
func (j *Joiner) live(ctx context.Context) {
	for {
		select {
		case x := <-j.living.came:
			j.meet(x)
		case x := <-j.shapes.came:
			j.await(x)
		case w := <-j.living.wrote:
			j.list(w)
		case <-ctx.Done():
			return
		}
	}
}

// finishLiving takes what is left, once nothing is read any more.
func (j *Joiner) finishLiving() {
	for {
		select {
		case x := <-j.living.came:
			j.meet(x)
		case w := <-j.living.wrote:
			j.list(w)
		default:
			return
		}
	}
}

func (j *Joiner) list(w writtenBytes) {
	j.mu.Lock()
	j.living.bytes -= w.bytes
	j.mu.Unlock()
	if j.cfg.Written != nil {
		j.cfg.Written(w.Written)
	}
}

// await waits for the shape of an exchange.
func (j *Joiner) await(x *parallax.Exchange) {
	j.mu.Lock()
	none := j.awaitShape(x)
	j.mu.Unlock()
	j.tellShapes(none)
}

// meet remembers an exchange that nobody else was asked for.
func (j *Joiner) meet(x *parallax.Exchange) {
	j.await(x)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.exchange.add(&waiting{x: x}, settledState, j.cfg.Now())
	j.exchange.byID[x.ID].alone = true
	j.listRead(x)
}

// listRead lists what was read before its exchange came. The caller holds mu.
func (j *Joiner) listRead(x *parallax.Exchange) {
	if x.Live != parallax.Candidate {
		return
	}
	for e := range j.entriesOf(x) {
		if j.written(e) {
			j.log.remove(e)
			j.entries.remove(e)
			j.told(e, false)
		}
	}
}

// written lists a transaction that the candidate committed as the live leg. Over says that
// nothing else is to become of it, as nobody else was asked. The caller holds mu.
func (j *Joiner) written(e *entry) (over bool) {
	k := j.exchange.of(e.claim)
	if k == nil || k.live != parallax.Candidate || e.claim.named && e.claim.leg != parallax.Candidate {
		return false
	}
	if !k.alone && j.writer(e) != parallax.Candidate {
		return false
	}
	now := j.cfg.Now()
	w := writtenBytes{Written{Exchange: k.id, Stamp: k.stamp, In: e.source.leg, Effects: e.effects(e.claim.how)}, e.bytes}
	full := j.living.bytes+w.bytes > maxWrittenBytes
	if !full {
		select {
		case j.living.wrote <- w:
			j.living.bytes += w.bytes
		default:
			full = true
		}
	}
	if full || e.tx.More {
		j.count(e, Unlisted, now)
	}
	if k.alone {
		j.count(e, alone, now)
	}
	return k.alone
}
